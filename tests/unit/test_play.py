"""Every playbook of the workspace, over devices in memory: what it owns, in which order, and what it leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.change.order import Via
from cloison.desired import state_of
from cloison.device.connection import CONNECTION, DRIVERS, CloisonConnection, register
from cloison.device.contract import Facts
from cloison.device.memory import MemoryDevice
from cloison.errors import CloisonError, InputError, PlaybookError, RenderError, TransportError, WorkspaceError
from cloison.fleet.inventory import IntentInventory
from cloison.fleet.play import names, run
from cloison.fleet.reach import Reach, sections_of
from cloison.intent.load import load
from cloison.model import EquipmentName, HostKeyFingerprint, Name, Platform
from cloison.optics import Link, Module, Reading, decode, encode, typical
from cloison.render import render
from cloison.render.config import Config, SectionName
from cloison.transport.dial import DirectDialer
from cloison.workspace import Workspace

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from cloison.device.contract import Device
    from cloison.fleet.play import Played
    from cloison.fleet.record import Record
    from cloison.intent.network import Equipment, Intent

ROOT = Path(__file__).parents[2]
SITE = "roussy-le-village"
FIREWALL, CORE, POLE = (EquipmentName(f"{SITE}/{name}") for name in ("firewall", "core-switch", "pole-switch"))
KEY = HostKeyFingerprint("SHA256:" + "A" * 43)
SWITCH, FIBRE, INTERFACES = SectionName.SWITCH, SectionName.FIBRE, SectionName.INTERFACES
EDGE, FILTER, TUNNELS = SectionName.EDGE, SectionName.FILTER, SectionName.TUNNELS


def a_reading() -> Reading:
    link = Link(length=820, connectors=4, splices=2, transmitter="1000BASE-LX10", receiver="1000BASE-LX10")
    return decode(encode(Module("MAKER", "PART", "SFP-0001", 1310, 10_000), typical(link)))


@dataclass
class MemoryReach:
    """The devices of an intent, in memory."""

    intent: Intent
    configs: dict[EquipmentName, Config]
    via: Via = Via.LOCAL
    devices: dict[EquipmentName, MemoryDevice] = field(default_factory=dict)
    order: list[tuple[EquipmentName, SectionName]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the devices."""
        facts = Facts("memory", "", 0.0, optics={"sfp1": a_reading()}, emulated=("sfp1: emulated",))
        for name, config in self.configs.items():
            has_fibre = FIBRE in config.names
            self.devices[name] = MemoryDevice(
                name, config.platform, config.names, facts=facts if has_fibre else Facts("memory", "", 0.0)
            )
            self.devices[name].on_load = lambda one, section: self.order.append((one.device, section.name))

    def address(self, equipment: Equipment) -> IPv4Address:
        assert equipment.address is not None
        return equipment.address

    def __call__(self, device: EquipmentName) -> Device:
        return self.devices[device].open()

    def run_already(self) -> None:
        """Make every device run what is declared, behind the playbooks' back."""
        for name, config in self.configs.items():
            self.devices[name].running = {s.name: s.text for s in self.devices[name].canonical(config).sections}


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


@pytest.fixture(scope="module")
def configs(intent: Intent) -> dict[EquipmentName, Config]:
    return {device.name: render(state_of(intent, device.name), ROOT / "templates") for device in intent.devices}


@pytest.fixture
def reach(intent: Intent, configs: dict[EquipmentName, Config]) -> MemoryReach:
    return MemoryReach(intent, configs)


def played(reach: MemoryReach, name: str, *, site: str | None = SITE, dry_run: bool = False) -> Played:
    return run(Workspace(ROOT), reach, name, sites=[site] if site else None, dry_run=dry_run)


def test_the_playbooks_of_the_workspace_are_known() -> None:
    expected = ["audit", "camera-vlans", "core-switch", "fibre-link", "firewall", "site", "vpn"]
    assert names(Workspace(ROOT)) == tuple(Name(name) for name in expected)


OWNED = {
    # The filter comes first where a firewall runs none.
    "firewall": {FIREWALL: (FILTER, SWITCH, INTERFACES)},
    "vpn": {FIREWALL: (TUNNELS,)},
    # A rebuild of the rows is followed by what hangs on them: the others as they ran, which is nothing yet.
    "core_switch": {CORE: (SWITCH, FIBRE, INTERFACES, EDGE)},
    "camera_vlans": {POLE: (SWITCH, FIBRE, INTERFACES, EDGE), CORE: (EDGE,)},
    "fibre_link": {POLE: (FIBRE,), CORE: (FIBRE,)},
    "site": {
        POLE: (SWITCH, FIBRE, INTERFACES, EDGE),
        CORE: (SWITCH, FIBRE, INTERFACES, EDGE),
        FIREWALL: (FILTER, SWITCH, INTERFACES, TUNNELS),
    },
    "audit": {},
}


@pytest.mark.parametrize("name", OWNED)
def test_a_playbook_loads_its_own_sections_in_order(reach: MemoryReach, name: str) -> None:
    left = played(reach, name)
    assert not left.failed, left
    loaded = {device: tuple(s for one, s in reach.order if one == device) for device, _ in reach.order}
    assert loaded == OWNED[name]
    assert left.changed is bool(OWNED[name])


@pytest.mark.parametrize("name", OWNED)
def test_a_second_run_changes_nothing_and_says_so(reach: MemoryReach, name: str) -> None:
    reach.run_already()
    left = played(reach, name)
    assert (left.changed, left.failed, left.differs, reach.order) == (False, False, False, [])
    said = {record.summary for record in left.records if record.task in {"replace", "compare"}}
    assert said == {"runs what is declared" if name == "audit" else "no change"}


@pytest.mark.parametrize("name", ["firewall", "camera-vlans", "site"])
def test_a_dry_run_shows_and_changes_nothing(reach: MemoryReach, name: str) -> None:
    left = played(reach, name, dry_run=True)
    assert (left.changed, left.failed, left.differs, reach.order) == (False, False, True, [])
    assert all(record.summary.startswith("would change ") for record in left.records if record.diff)


def test_an_audit_finds_drift_and_leaves_it(reach: MemoryReach) -> None:
    reach.run_already()
    reach.devices[CORE].running[EDGE] = "table=0,priority=1,actions=NORMAL\n"
    left = played(reach, "audit", site=None)
    assert (left.changed, left.failed, left.differs, reach.order) == (False, False, True, [])
    (found,) = (record for record in left.records if record.diff)
    assert (found.device, found.summary) == (CORE, "differs in edge")
    assert "-table=0,priority=1,actions=NORMAL" in found.diff


def test_site_goes_through_the_tunnel_from_the_far_end(reach: MemoryReach) -> None:
    reach.run_already()
    reach.via = Via.TUNNEL
    for device in reach.devices.values():
        device.running[INTERFACES] = "address replace 192.0.2.77/24 dev p1\n"
    assert not played(reach, "site", site=None).failed
    order = [device for device, _ in reach.order]
    assert order[0] == POLE
    assert order.index(CORE) < order.index(FIREWALL)
    assert order[-2:] == ["operations-centre/firewall", "operations-centre/core-switch"]


def test_site_stops_where_a_device_failed(reach: MemoryReach) -> None:
    reach.via = Via.TUNNEL
    reach.run_already()
    for device in reach.devices.values():
        device.running[INTERFACES] = "address replace 192.0.2.77/24 dev p1\n"
    reach.devices[POLE].reachable = False
    left = played(reach, "site")
    assert left.failed
    assert reach.order == []
    assert left.records[0].summary == f"{POLE}: not reachable"


def test_vpn_is_refused_through_its_own_tunnel(reach: MemoryReach) -> None:
    reach.run_already()
    reach.via = Via.TUNNEL
    reach.devices[FIREWALL].running[TUNNELS] = "connections {\n}\n"
    left = played(reach, "vpn")
    assert left.failed
    assert reach.order == []
    assert "`--via local`" in left.records[0].summary


def test_vpn_starts_what_is_down_once_every_end_is_loaded(reach: MemoryReach) -> None:
    left = played(reach, "vpn", site=None)
    tasks = [record.task for record in left.records]
    assert tasks == ["replace"] * 3 + ["bring_up"] * 3
    assert [device.raised for name, device in reach.devices.items() if name.equipment == "firewall"] == [[TUNNELS]] * 3
    reach.devices[FIREWALL].running.pop(TUNNELS)
    reach.devices[FIREWALL].down = ("video",)
    again = played(reach, "vpn")
    assert again.failed
    assert again.records[-1].summary == f"{FIREWALL}: tunnels that stayed down: video"


def test_every_record_of_the_fibre_says_what_is_emulated(reach: MemoryReach) -> None:
    left = played(reach, "fibre_link")
    assert {record.device for record in left.records} == {POLE, CORE}
    assert [record.emulated for record in left.records] == [("sfp1: emulated",)] * 4
    measured = [record.summary for record in left.records if record.task == "optics"]
    assert measured == ["sfp1: MAKER PART SFP-0001: sent -6.0 dBm, received -8.6 dBm, bias 18.0 mA, 35 °C"] * 2


def test_a_load_that_did_not_take_is_a_failure(reach: MemoryReach) -> None:
    reach.run_already()
    reach.devices[POLE].running[EDGE] = "old\n"
    reach.devices[POLE].on_load = lambda device, _: device.running.update({SWITCH: "altered by somebody\n"})
    left = played(reach, "camera_vlans")
    assert left.failed
    assert "what was read back differs from what was loaded" in left.records[0].summary


def test_progress_is_told_as_it_comes(reach: MemoryReach) -> None:
    told: list[Record] = []
    left = run(Workspace(ROOT), reach, "audit", sites=[SITE], progress=told.append)
    assert tuple(told) == left.records
    assert len(told) == 5


def test_what_is_not_there_is_named(reach: MemoryReach, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no playbook 'nothing' .*expected one of audit, camera-vlans"):
        played(reach, "nothing")
    with pytest.raises(InputError, match="no site 'atlantis'; expected one of crisis-cell"):
        played(reach, "audit", site="atlantis")
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "broken.py").write_text("def play(:\n")
    (tmp_path / "playbooks" / "empty.py").write_text("")
    with pytest.raises(WorkspaceError, match=r"broken\.py:1: SyntaxError: invalid syntax"):
        run(Workspace(tmp_path), reach, "broken")
    with pytest.raises(WorkspaceError, match=r"empty\.py: expected a function `play\(nornir\)`"):
        run(Workspace(tmp_path), reach, "empty")
    (tmp_path / "playbooks" / "fine.py").write_text(
        "def play(nornir):\n    nornir.run(task=lambda task: 1 / 0, name='bad')\n"
    )
    with pytest.raises(RenderError, match="no such template"):
        run(Workspace(tmp_path), reach, "fine")


@pytest.mark.parametrize(
    ("text", "wrong", "said"),
    [
        ("import nothing\n", WorkspaceError, r"odd\.py:1: ModuleNotFoundError: .*not a playbook"),
        ("\nnothing\n", WorkspaceError, r"odd\.py:2: NameError: "),
        ("raise SystemExit(0)\n", WorkspaceError, r"odd\.py:1: SystemExit: 0"),
        ("def play(nornir):\n    return 1 / 0\n", PlaybookError, r"odd\.py:2: ZeroDivisionError: .*`cloison plan`"),
        ("def play(nornir):\n    raise SystemExit(0)\n", PlaybookError, r"odd\.py:2: SystemExit: 0"),
    ],
)
def test_a_playbook_that_breaks_is_named_with_its_line(
    reach: MemoryReach, tmp_path: Path, text: str, wrong: type[CloisonError], said: str
) -> None:
    (tmp_path / "templates").symlink_to(ROOT / "templates")
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "odd.py").write_text(text)
    with pytest.raises(wrong, match=said):
        run(Workspace(tmp_path), reach, "odd", sites=[SITE])


def test_a_fault_of_a_playbook_is_recorded_without_a_traceback(
    reach: MemoryReach, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "templates").symlink_to(ROOT / "templates")
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "fine.py").write_text(
        "def play(nornir):\n    nornir.run(task=lambda task: 1 / 0, name='bad')\n"
    )
    left = run(Workspace(tmp_path), reach, "fine", sites=[SITE])
    assert {record.summary for record in left.records} == {"ZeroDivisionError: division by zero"}
    assert capsys.readouterr() == ("", "")


def test_what_a_playbook_prints_is_not_the_result(
    reach: MemoryReach, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "templates").symlink_to(ROOT / "templates")
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "loud.py").write_text("print('one')\ndef play(nornir):\n    print('two')\n")
    (tmp_path / "playbooks" / "no Name.py").write_text("")
    assert names(Workspace(tmp_path)) == ("loud",)
    assert run(Workspace(tmp_path), reach, "loud", sites=[SITE]).records == ()
    assert capsys.readouterr() == ("", "one\ntwo\n")


# --- the inventory, the connection, the reach -------------------------------------------------------------------------


def test_hosts_follow_from_the_intent(reach: MemoryReach, intent: Intent) -> None:
    inventory = IntentInventory(intent, reach, reach.configs, reach.address).load()
    assert set(inventory.hosts) == {device.name for device in intent.devices}
    host = inventory.hosts[CORE]
    assert (host.hostname, host.username, host.port, host.platform) == ("10.56.1.3", "root", 22, "openvswitch")
    assert host.has_parent_group(SITE)
    assert host.has_parent_group("commune")
    assert host.has_parent_group("switch")
    assert host["equipment"] == intent.equipment_by_name[CORE]
    assert host["candidate"] == reach.configs[CORE]


def test_connection_opens_the_driver_of_the_platform(reach: MemoryReach) -> None:
    register()
    register()
    connection = CloisonConnection()
    with pytest.raises(TransportError, match="not open"):
        _ = connection.connection
    connection.open("h", "u", None, 22, "openvswitch", {"device": CORE, "opener": reach})
    assert type(connection.connection) is DRIVERS[Platform.OPENVSWITCH]
    assert connection.connection.is_alive() == {"is_alive": True}
    connection.close()
    with pytest.raises(InputError, match="no driver for platform ios"):
        connection.open("h", "u", None, 22, "ios", {})
    assert CONNECTION == "cloison"
    assert set(DRIVERS) == set(Platform)


def test_reach_goes_the_declared_way(intent: Intent) -> None:
    asked: list[EquipmentName] = []

    def dialer_at(place: EquipmentName) -> DirectDialer:
        asked.append(place)
        return DirectDialer(place)

    core = intent.equipment_by_name[CORE]
    tunnel = Reach(intent, Via.TUNNEL, Path("key"), dialer_at, {CORE: KEY})
    assert str(tunnel.access(core).address) == "10.56.1.3"
    local = Reach(intent, Via.LOCAL, Path("key"), dialer_at, {CORE: KEY})
    assert str(local.access(core).address) == "192.168.56.5"
    assert asked == ["operations-centre/administration-station", f"{SITE}/technician"]
    assert local.access(core).host_key == KEY
    with pytest.raises(
        InputError, match=rf"{POLE} has no pinned host key; expected `host_key` in inventory/sites/{SITE}"
    ):
        tunnel.access(intent.equipment_by_name[POLE])
    with pytest.raises(InputError, match="is not a device"):
        tunnel(EquipmentName(f"{SITE}/nvr"))


def test_a_device_without_an_optical_port_has_no_fibre(intent: Intent) -> None:
    assert FIBRE in sections_of(intent.equipment_by_name[CORE])
    assert FIBRE not in sections_of(intent.equipment_by_name[EquipmentName("crisis-cell/core-switch")])
    assert sections_of(intent.equipment_by_name[EquipmentName(f"{SITE}/nvr")]) == ()


def test_what_is_rendered_is_what_the_platform_has(intent: Intent, configs: dict[EquipmentName, Config]) -> None:
    for name, config in configs.items():
        assert sections_of(intent.equipment_by_name[name]) == config.names
