"""Tunnels changed at both ends, in the real IKE daemons of the pilot: nobody is locked out, and nothing else notices.

Every change goes through the very texts and steps of a transaction: the responder takes both, the initiator moves, the
responder takes the new alone, both are made anew and compared. While it lasts, packets go through the tunnel that is
changed and through one that is not.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from tests.lab.test_tunnel_configurations import (
    BEGIN,
    PILOT,
    RENDERED,
    Certificates,
    certificates,
    put,
)

from cloison.change.links import TunnelEnd, settle_tunnels, tunnel_phases
from cloison.device import agent, swanctl
from cloison.device.contract import Device
from cloison.device.daemons import DaemonReader, DaemonWriter
from cloison.flow import Outcome
from cloison.model import EquipmentName, Platform
from cloison.render.config import Section, SectionName
from cloison.transport.base import DEFAULT_TIMEOUT_SECONDS
from cloison.transport.local import LocalRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cloison.transport.base import CommandResult

__all__ = ["certificates"]  # a fixture

pytestmark = pytest.mark.lab

COMMUNE, CELL, HUB = (EquipmentName(f"{site}/firewall") for site in PILOT)
ADMINISTRATION = "administration-roussy-le-village--operations-centre"
VIDEO = "video-roussy-le-village--crisis-cell"
GOLDEN = {name: (RENDERED / name / "tunnels").read_text(encoding="utf-8") for name in (COMMUNE, CELL, HUB)}
THROUGH = {ADMINISTRATION: ("10.56.1.1", "10.56.3.1"), VIDEO: ("10.56.1.49", "10.56.2.1")}
"""Gateways of the commune and of the other end, by tunnel."""
AWAY_SECONDS = 3.0
"""How long a tunnel that is changed may be away at a time; 0.04 to 0.4 s were measured on two busy cores."""
EVERY_SECONDS = 0.02
SCRIPT = Path(agent.__file__).with_suffix("") / "cloison-device"
RENAMED = "firewall.bourg-le-village"
STAY = "for site in $SITES; do begin $site; done\necho ready\nexec sleep infinity\n"
Answer = TypeVar("Answer")


@dataclass
class Firewall:
    """A firewall in namespaces of its own; runs commands beside its IKE daemon."""

    device: EquipmentName
    enter: tuple[str, ...]
    asked: int = 0

    @property
    def place(self) -> str:
        return self.device

    def run(
        self, arguments: Sequence[str], stdin: bytes = b"", timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> CommandResult:
        self.asked += 1
        return LocalRunner().run([*self.enter, *arguments], stdin=stdin, timeout=timeout)

    def close(self) -> None:
        """Do nothing: every command is a process of its own."""

    def open(self) -> Device:
        reader = DaemonReader(self, self.device, Platform.DEBIAN_LIBIPSEC, (SectionName.TUNNELS,), 30.0)
        return Device(reader, DaemonWriter(self, self.device, Platform.DEBIAN_LIBIPSEC), lambda: None)

    def load(self, text: str) -> None:
        self.open().writer.load(tunnels(text))

    def see_to_tunnels(self) -> subprocess.Popen[bytes]:
        """Start what the script on a device leaves behind whenever it has loaded tunnels."""
        apart = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs disk /var/lib; exec sh "$@"', "sh"]
        return subprocess.Popen([*self.enter, *apart, str(SCRIPT), "work", "up"])


def tunnels(text: str) -> Section:
    return Section(name=SectionName.TUNNELS, text=text)


@dataclass
class Pilot:
    """The three firewalls, their daemons running, and what each has loaded."""

    firewalls: Mapping[EquipmentName, Firewall]
    loaded: dict[EquipmentName, str] = field(default_factory=dict)

    def ask(self, device: EquipmentName, act: Callable[[Device], Answer]) -> Answer:
        return act(self.firewalls[device].open())

    def load(self, texts: Mapping[EquipmentName, str]) -> None:
        for name, text in texts.items():
            if self.loaded.get(name, "") != text:
                self.firewalls[name].load(text)
                self.loaded[name] = text

    def passes(self, tunnel: str) -> bool:
        """Tell whether a packet goes through a tunnel and back within a second, ten times asked at most."""
        source, target = THROUGH[tunnel]
        ping = ["ping", "-q", "-c", "1", "-W", "1", "-I", source, target]
        return any(self.firewalls[COMMUNE].run(ping).exit_status == 0 for _ in range(10))

    def _bring_up(self, device: Device) -> tuple[str, ...]:
        return device.writer.bring_up(tunnels(self.loaded.get(device.reader.device, "")))

    def change(self, new: Mapping[EquipmentName, str]) -> list[str]:
        """Change every end in three phases; return what failed of the checks of the changed tunnels."""
        ends = [TunnelEnd(name, self.loaded.get(name, ""), new[name]) for name in self.firewalls]
        texts = {end.device: tunnel_phases(end.before, end.after) for end in ends}
        changed = {tunnel for end in ends for tunnel in end.changed} & THROUGH.keys()
        for phase in range(3):
            self.load({name: three[phase] for name, three in texts.items()})
            for name in self.firewalls:
                assert self.ask(name, self._bring_up) == (), f"phase {phase + 1}"
            for tunnel in changed:
                expected = f"\t{tunnel} {{" in texts[COMMUNE][phase]  # the commune initiates all of its tunnels
                assert not expected or self.passes(tunnel), f"phase {phase + 1}: {tunnel}"
        checks = settle_tunnels(ends, self.ask, time.sleep, 3)
        assert {check.name for check in checks} == {f"selectors/{name}" for end in ends for name in end.changed}
        return [f"{check.name}: {check.detail}" for check in checks if check.outcome is not Outcome.PASS]


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Pilot]:
    """Return the firewalls with their daemons running and nothing loaded."""
    folder = tmp_path_factory.mktemp("daemons")
    for site in PILOT:
        put(folder, site, certificates.identity(site), "connections {\n}\n")
    given = certificates.identity(RENAMED.removeprefix("firewall."))
    for kind, content in (("x509", given.certificate), ("private", given.key)):
        suffix = "crt" if kind == "x509" else "key"
        (folder / PILOT[0] / f"etc/swanctl/{kind}/{RENAMED}.{suffix}").write_bytes(content)
    apart = ("unshare", "--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child")
    script = f"ROOT={folder}\nSITES='{' '.join(PILOT)}'\n{BEGIN}{STAY}"
    with subprocess.Popen([*apart, "bash", "-c", script], stdout=subprocess.PIPE) as world:
        try:
            assert world.stdout is not None
            assert world.stdout.readline() == b"ready\n"
            inside = Path(f"/proc/{world.pid}/task/{world.pid}/children").read_text(encoding="ascii").split()[0]
            enter = ("nsenter", "--target", inside, "--net", "--mount", "--pid")
            yield Pilot({name: Firewall(name, (*enter, *_beside(folder, name.site))) for name in GOLDEN})
        finally:
            world.kill()


def _beside(folder: Path, site: str) -> tuple[str, ...]:
    """Return the words that run a command where the daemon of a site is: its network, its folders, its sockets."""
    mounts = f"mount --bind {folder}/{site}/etc/swanctl /etc/swanctl; mount --bind /run/of/{site} /run; "
    strongswan = f"mount --bind {folder}/{site}/etc/strongswan.conf /etc/strongswan.conf; "
    return ("ip", "netns", "exec", site, "unshare", "--mount", "bash", "-c", f'{strongswan}{mounts}exec "$@"', "bash")


@pytest.fixture
def pilot(daemons: Pilot) -> Pilot:
    """Return the firewalls with all tunnels as they are rendered, loaded by a change as well."""
    assert daemons.change(GOLDEN) == []
    assert all(daemons.passes(tunnel) for tunnel in THROUGH)
    return daemons


@contextlib.contextmanager
def train(firewall: Firewall, tunnel: str) -> Iterator[list[int]]:
    """Send a packet every EVERY_SECONDS while it lasts; the list then holds how many packets each gap cost."""
    source, target = THROUGH[tunnel]
    # Its end is the end of what it reads: a signal would not go through to it.
    until_told = 'ping "$@" & read -r _; kill -INT $!; wait $!'
    ping = [*firewall.enter, "sh", "-c", until_told, "sh", "-i", str(EVERY_SECONDS), "-I", source, target]
    gaps: list[int] = []
    with subprocess.Popen(ping, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield gaps
        finally:
            printed, _ = process.communicate(timeout=20)
    heard = [int(number) for number in re.findall(rb"icmp_seq=(\d+) ttl", printed)]
    assert len(heard) > 10
    gaps += [after - before - 1 for before, after in zip([0, *heard], heard, strict=False) if after > before + 1]


def within(tunnel: str, change: Callable[[str], str]) -> Callable[[str], str]:
    """Return what changes one connection of a text and no other."""

    def edit(text: str) -> str:
        found = re.search(rf"(?ms)^\t{tunnel} \{{.*?^\t\}}\n", text)
        return text if found is None else text[: found.start()] + change(found[0]) + text[found.end() :]

    return edit


def replaced(*pairs: tuple[str, str]) -> Callable[[str], str]:
    def edit(text: str) -> str:
        for before, after in pairs:
            text = re.sub(before, after, text)
        return text

    return edit


CHANGES = {
    "selectors, algorithms and lives of a child": replaced(
        (r"10\.56\.1\.80/29, 10\.56\.1\.88/29", "10.56.1.80/29"),
        ("esp_proposals = aes256gcm16-ecp384", "esp_proposals = aes128gcm16-ecp256"),
        ("rekey_time = 1h", "rekey_time = 2h"),
    ),
    "algorithms and lives of a connection": replaced(
        ("\tproposals = aes256gcm16-prfsha384-ecp384", "\tproposals = aes128gcm16-prfsha256-ecp256"),
        ("rekey_time = 4h", "rekey_time = 3h"),
        ("dpd_delay = 5s", "dpd_delay = 7s"),
    ),
    "the name of a peer": replaced((r"firewall\.roussy-le-village", RENAMED)),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_tunnel_changes_and_another_does_not_notice(pilot: Pilot, case: str) -> None:
    edit = within(ADMINISTRATION, CHANGES[case])
    new = {name: edit(text) for name, text in GOLDEN.items()}
    assert {name for name in new if new[name] != GOLDEN[name]} == {COMMUNE, HUB}
    commune = pilot.firewalls[COMMUNE]
    with train(commune, ADMINISTRATION) as changed, train(commune, VIDEO) as other:
        assert pilot.change(new) == []
    assert other == []
    assert max(changed, default=0) * EVERY_SECONDS < AWAY_SECONDS
    shown = commune.run(["swanctl", "--list-sas"]).text
    assert len(re.findall("INSTALLED", shown)) == 2
    assert re.search(rf"(?m)^{ADMINISTRATION}: .*ESTABLISHED", shown)
    assert pilot.loaded == new
    for name in (COMMUNE, HUB):
        listed = pilot.firewalls[name].run(["swanctl", "--list-conns", "--pretty"]).text
        assert swanctl.differences(swanctl.parse(new[name]), swanctl.listed_connections(listed)) == []


def test_a_tunnel_goes_and_comes_again(pilot: Pilot) -> None:
    gone = within(VIDEO, lambda _: "")
    commune = pilot.firewalls[COMMUNE]
    with train(commune, ADMINISTRATION) as other:
        assert pilot.change({name: gone(text) for name, text in GOLDEN.items()}) == []
        assert VIDEO not in pilot.firewalls[CELL].run(["swanctl", "--list-sas"]).text
        assert pilot.change(GOLDEN) == []
    assert other == []
    assert pilot.passes(VIDEO)


def test_what_was_negotiated_before_is_ended_where_only_the_responder_changes(pilot: Pilot) -> None:
    """Loading fewer selectors at the responder leaves those of before in force: that is what settling is for."""
    narrower = within(VIDEO, replaced((r"local_ts = 10\.56\.2\.0/28", "local_ts = 10.56.2.0/29")))
    new = {name: narrower(text) if name == CELL else text for name, text in GOLDEN.items()}
    pilot.load(new)
    before = pilot.ask(CELL, lambda device: device.reader.negotiated())
    assert [one.local for one in before if one.connection == VIDEO] == [("10.56.2.0/28",)]
    ends = [TunnelEnd(name, GOLDEN[name], new[name]) for name in new]
    (check,) = settle_tunnels(ends, pilot.ask, time.sleep, 3)
    # The commune still declares more than it now gets, and says so.
    assert f"{COMMUNE}: {VIDEO}: child {VIDEO} has remote_ts 10.56.2.0/29; declared 10.56.2.0/28" in check.detail
    assert f"{CELL}: " not in check.detail
    after = pilot.ask(CELL, lambda device: device.reader.negotiated())
    assert [one.local for one in after if one.connection == VIDEO] == [("10.56.2.0/29",)]


def test_ends_that_go_back_by_themselves_find_each_other_again(pilot: Pilot) -> None:
    """The dead-man of the initiator acts first: it is refused, and would never ask again."""
    weaker = within(ADMINISTRATION, CHANGES["selectors, algorithms and lives of a child"])
    assert pilot.change({name: weaker(text) for name, text in GOLDEN.items()}) == []
    pilot.load({COMMUNE: GOLDEN[COMMUNE]})
    pilot.load({HUB: GOLDEN[HUB]})
    assert not _is_up(pilot, ADMINISTRATION)
    process = pilot.firewalls[COMMUNE].see_to_tunnels()
    assert process.wait(timeout=30) == 0  # it ends once all is up
    assert _is_up(pilot, ADMINISTRATION)
    assert pilot.passes(ADMINISTRATION)


def _is_up(pilot: Pilot, tunnel: str) -> bool:
    shown = pilot.ask(COMMUNE, lambda device: device.reader.negotiated())
    return any(one.passes for one in shown if one.connection == tunnel)
