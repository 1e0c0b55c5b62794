"""The texts that two ends of a tunnel load one after the other: whichever ends have which, the tunnel comes up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloison.change.links import NEXT, TunnelEnd, initiates, tunnel_phases
from cloison.device.swanctl import parse, section, write
from cloison.errors import InputError
from cloison.model import EquipmentName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cloison.device.swanctl import Tree

RENDERED = Path(__file__).parents[1] / "golden" / "render"
FIREWALLS = sorted(RENDERED.glob("*/firewall/tunnels"))
NAMES = ("administration", "video")
# Some within others, so that to count what they have in common misleads.
SELECTORS = ("10.56.1.0/24", "10.56.1.0/26", "10.56.1.64/26", "10.56.1.128/26", "10.56.2.0/28", "10.56.3.0/28")
REMOTE = ("10.60.0.0/16", "10.60.1.0/24", "10.60.2.0/24", "10.61.0.0/28")
ALGORITHMS = ("aes256gcm16-ecp384", "aes128gcm16-ecp256", "chacha20poly1305-x25519")
NEAR, FAR = 0, 1
DEVICE = EquipmentName("operations-centre/firewall")


@dataclass(frozen=True)
class Tunnel:
    """One tunnel as its two ends have it in common; in each pair the near end is first."""

    addresses: tuple[str, str] = ("192.0.2.1", "198.51.100.1")
    names: tuple[str, str] = ("near", "far")
    proposals: tuple[str, ...] = ALGORITHMS[:1]
    childless: str = "force"
    rekey: str = "1h"
    children: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = field(
        default_factory=lambda: {"video": (SELECTORS[:1], REMOTE[3:], ALGORITHMS[:1])}
    )
    """By name: the near selectors, the far ones, and the algorithms."""


Network = dict[str, Tunnel]


def some(of: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(of), min_size=1, max_size=3, unique=True).map(tuple)


@st.composite
def tunnels(draw: st.DrawFn, name: str) -> Tunnel:
    near = {name: SELECTORS[:4], "more": SELECTORS[4:]}
    return Tunnel(
        addresses=(f"192.0.2.{draw(st.integers(1, 2))}", f"198.51.100.{draw(st.integers(1, 2))}"),
        names=(f"{name}.{draw(st.sampled_from('ab'))}", f"hub.{name}.{draw(st.sampled_from('ab'))}"),
        proposals=draw(some(ALGORITHMS)),
        childless=draw(st.sampled_from(["force", "never", "allow"])),
        rekey=draw(st.sampled_from(["1h", "2h"])),
        children={
            child: (draw(some(near[child])), draw(some(REMOTE)), draw(some(ALGORITHMS)))
            for child in draw(st.sampled_from([(name,), (name, "more")]))
        },
    )


NETWORKS: st.SearchStrategy[Network] = st.fixed_dictionaries({}, optional={name: tunnels(name) for name in NAMES})
INITIATORS = st.frozensets(st.sampled_from(NAMES))
"""The tunnels that the near end initiates; the far end does the others."""
ENDS = st.sampled_from((NEAR, FAR))


def text_of(network: Network, end: int, initiators: frozenset[str]) -> str:
    """Return the configuration of one end."""
    starts = {name for name in network if (name in initiators) is (end == NEAR)}
    return write(
        {"connections": {name: end_of(tunnel, end, starts=name in starts) for name, tunnel in network.items()}}
    )


def end_of(tunnel: Tunnel, own: int, *, starts: bool) -> Tree:
    other = 1 - own
    action = {"start_action": "start", "close_action": "start"} if starts else {"start_action": "none"}
    return {
        "version": "2",
        "local_addrs": tunnel.addresses[own],
        "remote_addrs": tunnel.addresses[other],
        "proposals": ", ".join(tunnel.proposals),
        "childless": tunnel.childless,
        "rekey_time": tunnel.rekey,
        "local": {"auth": "pubkey", "certs": f"{tunnel.names[own]}.crt", "id": tunnel.names[own]},
        "remote": {"auth": "pubkey", "id": tunnel.names[other], "cacerts": "tunnel.crt"},
        "children": {
            child: {
                "local_ts": ", ".join(parts[own]),
                "remote_ts": ", ".join(parts[other]),
                "esp_proposals": ", ".join(parts[2]),
                "rekey_time": tunnel.rekey,
                **action,
            }
            for child, parts in tunnel.children.items()
        },
    }


def phases(old: Network, new: Network, end: int, initiators: frozenset[str]) -> tuple[str, str, str]:
    return tunnel_phases(text_of(old, end, initiators), text_of(new, end, initiators))


def connections_of(text: str) -> Mapping[str, Tree]:
    under = section(parse(text), "connections")
    return {name: section(under, name) for name in under}


def children_of(connection: Tree) -> Mapping[str, Tree]:
    under = section(connection, "children")
    return {name: section(under, name) for name in under}


def members(values: Tree, key: str) -> list[str]:
    return [one.strip() for one in str(values[key]).split(",")]


# --- what strongSwan does ---------------------------------------------------------------------------------------------


def reduced(prefixes: list[str]) -> set[str]:
    """Return prefixes without those that are within another."""
    return {one for one in prefixes if not any(one != other and overlap(one, other) == one for other in prefixes)}


def overlap(one: str, other: str) -> str | None:
    """Return what two prefixes have in common: the longer one, or nothing."""
    networks = ip_network(one), ip_network(other)
    return str(max(networks, key=lambda net: net.prefixlen)) if networks[0].overlaps(networks[1]) else None


def narrowed(asked: list[str], has: list[str]) -> set[str]:
    return reduced([common for pair in product(asked, has) if (common := overlap(*pair))])


def rating(asked: list[str], has: list[str]) -> int:
    """Return how well selectors fit (strongSwan 5.9, src/libcharon/config/peer_cfg.c, get_ts_match)."""
    weighed = zip(range(len(asked), 0, -1), asked, strict=True)
    return sum(
        weight * (5 if one == other else 1 if overlap(one, other) else 0)
        for (weight, one), other in product(weighed, has)
    )


def answering(asks: Tree, answers: str) -> Iterator[Tree]:
    """Yield the connections of a responder that take a peer which asks by one of its own."""
    for one in connections_of(answers).values():
        if (
            section(one, "local")["id"] == section(asks, "remote")["id"]
            and section(one, "remote")["id"] == section(asks, "local")["id"]
            and members(asks, "remote_addrs")[0] in members(one, "local_addrs")
            and members(asks, "local_addrs")[0] in members(one, "remote_addrs")
            and set(members(asks, "proposals")) & set(members(one, "proposals"))
            and {one["childless"], asks["childless"]} != {"force", "never"}
        ):
            yield one


def negotiated(child: Tree, answer: Tree) -> tuple[set[str], set[str]] | None:
    """Return the selectors that come out, from the initiator's side; None when there is no tunnel."""
    own, far = members(child, "local_ts"), members(child, "remote_ts")
    best, taken = 0, None
    for one in children_of(answer).values():
        ratings = rating(own, members(one, "remote_ts")), rating(far, members(one, "local_ts"))
        if all(ratings) and sum(ratings) > best:
            best, taken = sum(ratings), one
    if taken is None or not set(members(child, "esp_proposals")) & set(members(taken, "esp_proposals")):
        return None
    return narrowed(own, members(taken, "remote_ts")), narrowed(far, members(taken, "local_ts"))


def refusals(asker: str, answerer: str) -> list[str]:
    """Return the children that one end brings up and the other does not take as they are."""
    found = []
    for name, asks in connections_of(asker).items():
        taken = next(answering(asks, answerer), None)
        for child, values in children_of(asks).items() if initiates(asks) else ():
            wanted = reduced(members(values, "local_ts")), reduced(members(values, "remote_ts"))
            if taken is None or negotiated(values, taken) != wanted:
                found.append(f"{name}/{child}")
    return found


AHEAD = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (3, 3)]
"""Which phase each end has loaded; 0 is before the change. No end is ahead by more than one."""


@given(NETWORKS, NETWORKS, INITIATORS)
def test_every_tunnel_comes_up_whichever_end_has_loaded_what(
    old: Network, new: Network, initiators: frozenset[str]
) -> None:
    near, far = ([text_of(old, end, initiators), *phases(old, new, end, initiators)] for end in (NEAR, FAR))
    for one, other in AHEAD:
        assert refusals(near[one], far[other]) == [], f"the near end asks in phase {one}, the far one is in {other}"
        assert refusals(far[other], near[one]) == [], f"the far end asks in phase {other}, the near one is in {one}"


def test_the_model_refuses_what_strongswan_refuses() -> None:
    """Without phases one end is refused while it is ahead, as measured on the daemons."""
    initiators, tunnel = frozenset(("video",)), Tunnel()
    algorithms = replace(tunnel, children={"video": (SELECTORS[:1], REMOTE[3:], ALGORITHMS[1:2])})
    asker, answerer = (text_of({"video": tunnel}, end, initiators) for end in (NEAR, FAR))
    assert refusals(asker, answerer) == []
    for ahead in (
        replace(tunnel, names=("near", "renamed")),
        replace(tunnel, proposals=ALGORITHMS[1:2]),
        replace(tunnel, addresses=("192.0.2.9", "198.51.100.1")),
        replace(tunnel, childless="never"),
        replace(tunnel, children={"video": (SELECTORS[:1], REMOTE[2:], ALGORITHMS[:1])}),
        algorithms,
    ):
        assert refusals(text_of({"video": ahead}, NEAR, initiators), answerer) == ["video/video"], ahead
    # A child of the new algorithms beside the old one does not help: the first of the same selectors is taken.
    connection = connections_of(answerer)["video"]
    (child,) = children_of(connection).values()
    beside = {"video": child, "video-next": {**child, "esp_proposals": ALGORITHMS[1]}}
    answerer = write({"connections": {"video": {**connection, "children": beside}}})
    assert refusals(text_of({"video": algorithms}, NEAR, initiators), answerer) == ["video/video"]


# --- the texts themselves ---------------------------------------------------------------------------------------------


def offered(text: str) -> Mapping[tuple[str, str], Tree]:
    """Return the children of a text by the names of their connection and their own."""
    return {
        (name, child): values
        for name, connection in connections_of(text).items()
        for child, values in children_of(connection).items()
    }


@given(NETWORKS, NETWORKS, INITIATORS, ENDS)
def test_the_responder_offers_the_old_until_the_end_and_the_initiator_until_it_moves(
    old: Network, new: Network, initiators: frozenset[str], end: int
) -> None:
    was, comes = (text_of(network, end, initiators) for network in (old, new))
    first, second, third = tunnel_phases(was, comes)
    assert third == comes
    starting = {name for name in NAMES if (name in initiators) is (end == NEAR)}
    for key, child in offered(was).items():
        if key[0] in starting:
            assert offered(first)[key] == child
            assert offered(second).get(key) == offered(comes).get(key)
        else:
            for text, what in product((first, second), ("local_ts", "remote_ts", "esp_proposals")):
                assert set(members(child, what)) <= set(members(offered(text)[key], what))
    assert {key for key in offered(first) if key[0] in starting} == {key for key in offered(was) if key[0] in starting}


@given(NETWORKS, INITIATORS, ENDS)
def test_an_end_on_which_nothing_changes_has_one_text(network: Network, initiators: frozenset[str], end: int) -> None:
    text = text_of(network, end, initiators)
    assert set(tunnel_phases(f"# as it ran\n{text}", text)) == {text}
    assert TunnelEnd(DEVICE, f"# as it ran\n{text}", text).changed == frozenset()


@given(NETWORKS, NETWORKS, INITIATORS, ENDS)
def test_a_change_that_broke_off_is_taken_up_or_back_like_any_other(
    old: Network, new: Network, initiators: frozenset[str], end: int
) -> None:
    was, comes = (text_of(network, end, initiators) for network in (old, new))
    for between, target in product(tunnel_phases(was, comes), (was, comes)):
        assert tunnel_phases(between, target)[2] == target
        assert connections_of(between).keys() <= connections_of(tunnel_phases(between, target)[0]).keys()


@pytest.mark.parametrize("path", FIREWALLS, ids=lambda path: path.parts[-3])
def test_a_device_with_no_tunnel_yet(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    connections = connections_of(text)
    answered = {name for name, one in connections.items() if not initiates(one)}
    first, second, third = tunnel_phases("", text)
    assert connections_of(first).keys() == answered
    assert (second, third) == (text, text)
    assert TunnelEnd(DEVICE, "", text).changed == connections.keys()
    if answered in (set(), connections.keys()):
        assert first == (text if answered else "")
    # And back: what it initiates goes in the second phase, what it answers in the third.
    assert connections_of(tunnel_phases(text, "")[1]).keys() == answered


@pytest.fixture(scope="module")
def hub() -> str:
    """Return the tunnels of a firewall that only answers."""
    return (RENDERED / "operations-centre" / "firewall" / "tunnels").read_text(encoding="utf-8")


COMMUNE = "administration-roussy-le-village--operations-centre"


def test_a_changed_child_takes_both_under_its_own_name(hub: str) -> None:
    new = hub.replace("10.56.3.16/28", "10.56.3.32/28").replace("aes256gcm16-ecp384", "aes128gcm16-ecp256")
    first, second, third = tunnel_phases(hub, new)
    child = offered(first)[COMMUNE, COMMUNE]
    assert child["local_ts"] == "10.56.3.0/28, 10.56.3.32/28, 10.56.3.16/28"
    assert child["esp_proposals"] == "aes128gcm16-ecp256, aes256gcm16-ecp384"
    assert (second, third) == (first, new)
    assert TunnelEnd(DEVICE, hub, new).changed == connections_of(hub).keys()


def test_a_peer_of_another_name_gets_a_connection_beside_the_old_one(hub: str) -> None:
    new = hub.replace("id = firewall.roussy-le-village", "id = firewall.bourg")
    first, second, _ = tunnel_phases(hub, new)
    connections = connections_of(first)
    assert connections[COMMUNE] == connections_of(hub)[COMMUNE]
    assert connections[COMMUNE + NEXT] == connections_of(new)[COMMUNE]
    assert len(connections) == len(connections_of(hub)) + 1
    assert second == first
    assert TunnelEnd(DEVICE, hub, new).back.changed == {COMMUNE}
    # What a change left behind that broke off is not doubled.
    assert tunnel_phases(first, new)[0] == first


def test_a_child_that_comes_is_there_at_once_and_one_that_goes_until_the_end() -> None:
    (parts,) = Tunnel().children.values()
    with_more = replace(Tunnel(), children={"video": parts, "more": (SELECTORS[4:], *parts[1:])})
    fewer, more = (text_of({"video": tunnel}, FAR, frozenset(("video",))) for tunnel in (Tunnel(), with_more))
    assert tunnel_phases(fewer, more) == (more, more, more)
    assert tunnel_phases(more, fewer) == (more, more, fewer)


def test_whether_a_child_comes_with_the_connection_is_left_open_meanwhile() -> None:
    """Which of two connections a peer is for is not known before it has named itself."""
    for names in (("near", "far"), ("near", "renamed")):
        new = replace(Tunnel(), childless="never", names=names)
        was, comes = (text_of({"video": tunnel}, FAR, frozenset(("video",))) for tunnel in (Tunnel(), new))
        assert {one["childless"] for one in connections_of(tunnel_phases(was, comes)[0]).values()} == {"allow"}


def test_what_an_end_decides_for_itself_is_new_at_once(hub: str) -> None:
    new = hub.replace("dpd_delay = 5s", "dpd_delay = 9s").replace("rekey_time = 1h", "rekey_time = 2h")
    assert new != hub
    assert set(tunnel_phases(hub, new)) == {new}


def test_a_certificate_of_another_file_is_shown_beside_the_old_one(hub: str) -> None:
    new = hub.replace("operations-centre.crt", "renewed.crt").replace("tunnel.crt", "other.crt")
    connection = connections_of(tunnel_phases(hub, new)[0])[COMMUNE]
    assert section(connection, "local")["certs"] == "firewall.renewed.crt, firewall.operations-centre.crt"
    assert section(connection, "remote")["cacerts"] == "other.crt, tunnel.crt"


def test_a_list_that_was_left_out_is_taken_for_what_strongswan_takes(hub: str) -> None:
    new = hub.replace("\t\tproposals = aes256gcm16-prfsha384-ecp384\n", "")
    assert connections_of(tunnel_phases(new, hub)[0])[COMMUNE]["proposals"] == "aes256gcm16-prfsha384-ecp384, default"


def test_nobody_stops_initiating_before_the_other_end_has_begun() -> None:
    was, comes = (text_of({"video": Tunnel()}, NEAR, frozenset(these)) for these in (["video"], []))
    assert tunnel_phases(was, comes) == (was, was, comes)
    assert tunnel_phases(comes, was) == (comes, was, was)


@pytest.mark.parametrize("broken", ["connections {", "include other.conf", "differs: connection a: not in the daemon"])
def test_a_text_of_another_form_is_refused(broken: str) -> None:
    for pair in ((broken, ""), ("", broken)):
        with pytest.raises(InputError, match="the tunnels cannot be changed in phases"):
            tunnel_phases(*pair)


@given(NETWORKS, INITIATORS)
def test_a_tree_is_read_as_it_was_written(network: Network, initiators: frozenset[str]) -> None:
    text = text_of(network, NEAR, initiators)
    assert write(parse(text)) == text
    authorities: Tree = {"tunnel": {"crl_uris": ("a", "b"), "cacert": ""}}
    written = write({**parse(text), "authorities": authorities})
    assert section(parse(written), "authorities") == {"tunnel": {"crl_uris": "a, b", "cacert": ""}}
