"""A firewall that communes share: whose is what, and what is loaded when only some of them change."""

from __future__ import annotations

import importlib.util
import re
import tempfile
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloison.change.fragment import Sharing, sharing_devices, sites_on
from cloison.change.plan import candidates
from cloison.errors import RefusedError
from cloison.intent.load import load
from cloison.model import EquipmentName, Name
from cloison.render.config import Section, SectionName

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cloison.intent.network import Intent
    from cloison.render.config import Config

ROOT = Path(__file__).parents[2]
HUB = EquipmentName("crisis-cell/firewall")
OPERATIONS = Name("operations-centre")
A, B, C = (Name(f"commune-{number}") for number in range(3))
COMMUNES = (A, B, C)
WAN = {A: "100.64.0.2", B: "100.64.0.6", C: "100.64.0.10", OPERATIONS: "203.0.113.2"}
PREFIX = {A: "10.56.10", B: "10.56.11", C: "10.56.12", OPERATIONS: "10.56.3"}
OWN = "10.56.2"


@cache
def network() -> Intent:
    """Return a network of three communes like the pilot."""
    spec = importlib.util.spec_from_file_location("growth", ROOT / "benchmarks" / "growth.py")
    assert spec is not None
    assert spec.loader is not None
    growth = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(growth)
    with tempfile.TemporaryDirectory() as folder:
        growth.grow(Path(folder), len(COMMUNES))
        return load(Path(folder))


@cache
def hub() -> Sharing:
    return Sharing(network(), HUB)


@pytest.fixture(scope="module")
def intent() -> Intent:
    return network()


@pytest.fixture(scope="module")
def rendered(intent: Intent) -> Mapping[EquipmentName, Config]:
    return candidates(intent, ROOT / "templates")


# --- a firewall as a device shows it, written by other code than what is tested ---------------------------------------


@dataclass(frozen=True)
class Part:
    """What one site has at the shared firewall."""

    peer: bool
    prefixes: tuple[int, ...]
    """The last bytes of its prefixes that come out of the tunnel."""
    pairs: tuple[tuple[str, int, int], ...]
    """A flow, the last byte of the own host, and that of the site's."""
    lifetime: int
    """Hours until a rekey; 0 without a tunnel."""


@dataclass(frozen=True)
class Writer:
    """How the text is written."""

    from_kernel: bool
    """True as nft and swanctl leave it, False as a device in memory does."""

    def filter(self, parts: Mapping[Name, Part], own: int) -> Section:
        peers = sorted((WAN[site] for site, part in parts.items() if part.peer), key=IPv4Address)
        remote = sorted(
            (f"{PREFIX[site]}.{last}/28" for site, part in parts.items() for last in part.prefixes),
            key=lambda prefix: IPv4Address(prefix.split("/")[0]),
        )
        chain = [
            'meta nfproto ipv6 counter drop comment "no-ipv6"',
            'ct state established counter accept comment "established"',
            *(rule for flow in ("log", "time", "watch") for rule in self._rule(flow, parts, own)),
            "jump noise",
            *([f'tcp dport {own} counter drop comment "own"'] if own else []),
            "jump final",
        ]
        lines = [
            "table inet cloison {",
            *self._set("peers", [], peers),
            *self._set("remote", ["\t\tflags interval"], remote),
            "\tchain business {",
            "\t\ttype filter hook forward priority filter; policy drop;",
            *(f"\t\t{rule}" for rule in chain),
            "\t}",
            "}",
        ]
        return self._section(SectionName.FILTER, lines)

    def _set(self, name: str, flags: list[str], elements: list[str]) -> list[str]:
        size = 2 if self.from_kernel else max(1, len(elements))
        broken = [", ".join(elements[at : at + size]) for at in range(0, len(elements), size)]
        listed = [f"\t\telements = {{ {(',' + chr(10) + chr(9) * 3 + ' ' * 5).join(broken)} }}"] if elements else []
        return [f"\tset {name} {{", "\t\ttype ipv4_addr", *flags, *listed, "\t}", ""]

    def _rule(self, flow: str, parts: Mapping[Name, Part], own: int) -> list[str]:
        pairs = [(f"{OWN}.{h}", f"{PREFIX[s]}.{f}") for s, p in parts.items() for name, h, f in p.pairs if name == flow]
        if flow == "time" and own:
            pairs.append((f"{OWN}.{own}", f"{OWN}.1"))
        pairs.sort(key=lambda pair: IPv4Address(pair[1]).packed[::-1] + IPv4Address(pair[0]).packed[::-1])
        if not self.from_kernel:
            pairs.sort(key=lambda pair: (IPv4Address(pair[0]), IPv4Address(pair[1])))
        rest = f'tcp dport 8322 ct state new counter accept comment "{flow}"'
        if not pairs:
            return []
        if len(pairs) == 1:
            return [f'iifname "vlan210" oifname "ipsec0" ip saddr {pairs[0][0]} ip daddr {pairs[0][1]} {rest}']
        listed = ", ".join(f"{one} . {other}" for one, other in pairs)
        return [f'iifname "vlan210" oifname "ipsec0" ip saddr . ip daddr {{ {listed} }} {rest}']

    def tunnels(self, parts: Mapping[Name, Part], own: int) -> Section:
        names = {
            site: f"administration-crisis-cell--{site}" if site == OPERATIONS else f"video-{site}--crisis-cell"
            for site, part in parts.items()
            if part.lifetime
        }
        lines = ["connections {"]
        for site, name in sorted(names.items(), key=lambda item: item[1]):
            lines += [f"\t{name} {{", f"\t\tremote_addrs = {WAN[site]}", "\t\tchildren {", f"\t\t\t{name} {{"]
            lines += [f"\t\t\t\trekey_time = {parts[site].lifetime}h", "\t\t\t}", "\t\t}", "\t}"]
        lines += ["}", *([f"authorities {{\n\town-{own} {{\n\t\tcacert = ca.crt\n\t}}\n}}"] if own else [])]
        return self._section(SectionName.TUNNELS, lines)

    def _section(self, name: SectionName, lines: list[str]) -> Section:
        text = "".join(f"{line}\n" for line in lines)
        if not self.from_kernel:
            text = "".join(f"{line.strip()}\n" for line in text.splitlines() if line.strip())
        return Section(name=name, text=text)


PARTS = st.builds(
    Part,
    peer=st.booleans(),
    prefixes=st.lists(st.sampled_from((0, 16, 32, 48)), unique=True).map(tuple),
    pairs=st.lists(
        st.tuples(st.sampled_from(("log", "time", "watch")), st.integers(2, 4), st.integers(40, 43)), unique=True
    ).map(tuple),
    lifetime=st.integers(0, 3),
)
NETWORKS = st.fixed_dictionaries(dict.fromkeys((*COMMUNES, OPERATIONS), PARTS))
WRITERS = st.builds(Writer, from_kernel=st.booleans())
OWNS = st.sampled_from((0, 5, 9))
KINDS = st.sampled_from(("filter", "tunnels"))


def written(writer: Writer, kind: str, parts: Mapping[Name, Part], own: int) -> Section:
    return writer.filter(parts, own) if kind == "filter" else writer.tunnels(parts, own)


def mixed(before: Mapping[Name, Part], after: Mapping[Name, Part], sites: Collection[Name]) -> dict[Name, Part]:
    return {site: (after if site in sites else before)[site] for site in before}


# --- properties -------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(writer=WRITERS, kind=KINDS, parts=NETWORKS, own=OWNS)
def test_fragments_joined_are_the_section(writer: Writer, kind: str, parts: dict[Name, Part], own: int) -> None:
    section = written(writer, kind, parts, own)
    assert hub().join(section) == section
    fragments = hub().fragments(section)
    if kind == "filter":
        present = {site for site, part in parts.items() if part.peer or part.prefixes or part.pairs}
    else:
        present = {site for site, part in parts.items() if part.lifetime}
    assert fragments.keys() - {None} == present
    for site in present:  # nothing of a site is left in what is the device's own
        assert WAN[site] not in (fragments[None] or "")


@settings(max_examples=60, deadline=None)
@given(writer=WRITERS, kind=KINDS, before=NETWORKS, after=NETWORKS, own=OWNS, sites=st.sets(st.sampled_from(COMMUNES)))
def test_what_is_loaded_is_the_new_of_these_sites_and_the_old_of_all_others(
    writer: Writer,
    kind: str,
    before: dict[Name, Part],
    after: dict[Name, Part],
    own: int,
    sites: set[Name],
) -> None:
    running, candidate = written(writer, kind, before, own), written(writer, kind, after, own)
    merged = hub().merge(running, candidate, sites)
    wanted = written(writer, kind, mixed(before, after, sites), own)
    assert sorted_text(merged) == sorted_text(wanted)
    if wanted.text in {running.text, candidate.text}:
        assert merged == wanted


def sorted_text(section: Section) -> list[str]:
    """Return the words of a section without the order of what a list holds, which two short texts do not give away."""
    return [" ".join(sorted(line.replace(",", " ").split())) for line in section.text.replace(",\n", ",").splitlines()]


@settings(max_examples=60, deadline=None)
@given(writer=WRITERS, kind=KINDS, before=NETWORKS, after=NETWORKS, own=OWNS)
def test_one_after_the_other_is_both_at_once_and_is_the_candidate(
    writer: Writer, kind: str, before: dict[Name, Part], after: dict[Name, Part], own: int
) -> None:
    changed = mixed(before, after, {A, B})
    running, candidate = written(writer, kind, before, own), written(writer, kind, changed, own)
    first = hub().merge(running, candidate, {A})
    assert hub().merge(first, candidate, {B}) == hub().merge(running, candidate, {A, B}) == candidate
    # B's fragment is byte-equal after A's change, and after going back from it while B changed meanwhile
    assert hub().fragments(first).get(B) == hub().fragments(running).get(B)
    both = hub().merge(first, candidate, {B})
    back = hub().merge(both, running, {A})
    assert hub().fragments(back).get(B) == hub().fragments(candidate).get(B)
    assert hub().fragments(back).get(A) == hub().fragments(running).get(A)
    assert hub().stale(running, first, {B}) == ()
    assert hub().stale(running, first, {A}) == ((A,) if before[A] != after[A] and first != running else ())


@settings(deadline=None)
@given(writer=WRITERS, parts=NETWORKS, own=OWNS)
def test_a_change_of_the_device_itself_makes_every_plan_stale(
    writer: Writer, parts: dict[Name, Part], own: int
) -> None:
    running, now = writer.filter(parts, own), writer.filter(parts, own + 1)
    assert None in hub().stale(running, now, {B})
    merged = hub().merge(running, now, {None})
    assert sorted_text(merged) == sorted_text(now)


# --- the pilot's own texts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hub", ["crisis-cell/firewall", "operations-centre/firewall"])
@pytest.mark.parametrize("name", [SectionName.FILTER, SectionName.TUNNELS])
def test_every_commune_has_a_fragment_of_what_is_rendered(
    intent: Intent, rendered: Mapping[EquipmentName, Config], hub: str, name: SectionName
) -> None:
    section = rendered[EquipmentName(hub)].section(name)
    sharing = Sharing(intent, EquipmentName(hub))
    fragments = sharing.fragments(section)
    assert sharing.join(section) == section
    assert {None, *COMMUNES} <= fragments.keys()
    assert WAN[A] in fragments[A]
    assert WAN[B] not in fragments[A]
    assert not [commune for commune in COMMUNES if WAN[commune] in fragments[None]]
    assert not [commune for commune in COMMUNES if f"{PREFIX[commune]}." in fragments[None]]
    assert len(set(sharing.hashes(section).values())) == len(fragments)


def test_a_commune_that_comes_anew_is_put_beside_the_others(
    intent: Intent, rendered: Mapping[EquipmentName, Config]
) -> None:
    sharing = Sharing(intent, HUB)
    for name in (SectionName.FILTER, SectionName.TUNNELS):
        candidate = rendered[HUB].section(name)
        nothing = Section(name=name, text=candidate.text)
        without = sharing.merge(candidate, written(Writer(from_kernel=True), name.value, {}, 0), {B})
        assert WAN[B] not in without.text
        assert f"{PREFIX[B]}." not in without.text
        assert WAN[A] in without.text
        assert sharing.merge(without, candidate, {B}) == nothing
        assert sharing.merge(without, candidate, {A}) == without


def test_what_has_no_place_yet_is_refused(intent: Intent, rendered: Mapping[EquipmentName, Config]) -> None:
    candidate = rendered[HUB].section(SectionName.FILTER)
    with pytest.raises(RefusedError, match=r"crisis-cell/firewall runs no .* plan --site crisis-cell"):
        Sharing(intent, HUB).merge(Section(name=SectionName.FILTER, text=""), candidate, {A})
    moved = Section(name=SectionName.FILTER, text=candidate.text.replace("jump noise", "jump silence"))
    with pytest.raises(RefusedError, match="chain business"):
        Sharing(intent, HUB).merge(moved, candidate, {A})


def test_what_two_sites_share_or_no_one_declares_is_the_devices(
    intent: Intent, rendered: Mapping[EquipmentName, Config]
) -> None:
    sharing = Sharing(intent, HUB)
    section = rendered[HUB].section(SectionName.FILTER)
    hand = (
        'iifname "ipsec0" oifname "ipsec0" ip saddr 10.56.10.50 ip daddr 10.56.11.50 counter accept comment "between"',
        'iifname "ipsec0" ip saddr 192.0.2.99 ip daddr 10.56.2.2 tcp dport 9 counter accept comment "stranger"',
        'ip saddr 10.56.10.50 counter drop comment "hand"',
        "tcp dport 4 accept",
    )
    for line in hand:
        spoilt = section.text.replace("\t\tjump noise\n", f"\t\t{line}\n\t\tjump noise\n")
        found = Section(name=section.name, text=spoilt)
        assert line in sharing.fragments(found)[None]
        assert sharing.join(found) == found
        assert None in sharing.stale(section, found, {B})


@pytest.mark.parametrize(
    "text", ["", "x", "table {\n", "}\n}\n", "connections {\n\tx {\n", "set s {\nelements = { 1.2"]
)
@pytest.mark.parametrize("name", list(SectionName))
def test_a_text_of_no_known_form_is_the_devices_own(intent: Intent, name: SectionName, text: str) -> None:
    section = Section(name=name, text=text)
    assert Sharing(intent, HUB).fragments(section) == {None: text}


def test_a_list_in_an_order_of_its_own_is_the_devices_and_nothing_else_is(
    intent: Intent, rendered: Mapping[EquipmentName, Config]
) -> None:
    text = rendered[HUB].section(SectionName.FILTER).text
    found = Section(name=SectionName.FILTER, text=text.replace("100.64.0.2, 100.64.0.6", "100.64.0.6, 100.64.0.2"))
    fragments = Sharing(intent, HUB).fragments(found)
    assert "100.64.0.6" in fragments[None]
    assert f"{PREFIX[B]}." not in fragments[None]
    assert Sharing(intent, HUB).join(found) == found


def test_a_line_belongs_to_the_site_whose_address_it_has(intent: Intent) -> None:
    lines = ("address replace 10.56.2.1/28 dev vlan210", f"route replace {PREFIX[B]}.0/24 via 198.51.100.1 dev wan0")
    section = Section(name=SectionName.INTERFACES, text="".join(f"{line}\n" for line in lines))
    fragments = Sharing(intent, HUB).fragments(section)
    assert fragments[None] == f"{lines[0]}\n"
    assert lines[1] in fragments[B]


def test_a_finding_about_a_connection_is_of_its_site(intent: Intent, rendered: Mapping[EquipmentName, Config]) -> None:
    section = rendered[HUB].section(SectionName.TUNNELS)
    finding = f"differs: connection video-{B}--crisis-cell: child video-{B}--crisis-cell: not in the daemon\n"
    found = Section(name=section.name, text=section.text + finding)
    sharing = Sharing(intent, HUB)
    assert sharing.stale(section, found, {A}) == ()
    assert sharing.stale(section, found, {B}) == (B,)
    assert sharing.merge(found, section, {B}) == section
    assert sharing.merge(found, section, {A}) == found


def test_a_site_is_known_by_the_address_that_it_had(intent: Intent, rendered: Mapping[EquipmentName, Config]) -> None:
    candidate = rendered[HUB]
    before = {
        section.name: Section(name=section.name, text=re.sub(r"\b100\.64\.0\.6\b", "100.64.0.7", section.text))
        for section in candidate.sections
    }
    sharing = Sharing(intent, HUB, before[SectionName.TUNNELS].text)
    for name in (SectionName.FILTER, SectionName.TUNNELS):
        assert before[name] != candidate.section(name)
        assert sharing.merge(before[name], candidate.section(name), {B}) == candidate.section(name)
        assert sharing.merge(before[name], candidate.section(name), {A}) == before[name]


def test_which_devices_a_site_shares_and_how_much_of_them(intent: Intent) -> None:
    assert sharing_devices(intent, A) == (HUB, EquipmentName("operations-centre/firewall"))
    assert sites_on(HUB, {A}) == (A,)
    assert sites_on(HUB, {A, Name("crisis-cell")}) is None
