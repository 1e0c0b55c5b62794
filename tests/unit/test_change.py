"""Plans and their application over devices in memory: what is refused, in which order, and what is believed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.change.apply import Effects, apply, raise_failures
from cloison.change.describe import HEADING, describe, next_command, tally
from cloison.change.fleetwide import SeveralDevicesError, on_each
from cloison.change.order import Via, stages
from cloison.change.plan import Plan, load, make, save, sections_of
from cloison.change.rules import UNNAMED, rule_changes
from cloison.desired import state_of
from cloison.device.memory import MemoryDevice
from cloison.errors import CloisonError, DeviceError, InputError, LoadError, RefusedError, TransportError
from cloison.intent.load import load as load_intent
from cloison.model import EquipmentName
from cloison.render import render
from cloison.render.config import Config, Section, SectionName

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloison.device.contract import Device
    from cloison.intent.network import Intent

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "templates"
FIREWALL = EquipmentName("roussy-le-village/firewall")
CORE = EquipmentName("roussy-le-village/core-switch")
POLE = EquipmentName("roussy-le-village/pole-switch")
CELL_FIREWALL, CELL_SWITCH = EquipmentName("crisis-cell/firewall"), EquipmentName("crisis-cell/core-switch")
HUB, HUB_SWITCH = EquipmentName("operations-centre/firewall"), EquipmentName("operations-centre/core-switch")


@dataclass
class Fleet:
    """Devices in memory, a clock that only sleeping moves, and what was noted."""

    devices: dict[EquipmentName, MemoryDevice]
    now: float = 0.0
    notes: list[tuple[EquipmentName | None, str, str]] = field(default_factory=list)
    order: list[tuple[EquipmentName, SectionName]] = field(default_factory=list)

    def __call__(self, device: EquipmentName) -> Device:
        return self.devices[device].open()

    @property
    def effects(self) -> Effects:
        return Effects(self, lambda *note: self.notes.append(note), lambda: self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def noted(self, event: str) -> list[EquipmentName | None]:
        return [device for device, what, _ in self.notes if what == event]


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load_intent(ROOT)


@pytest.fixture(scope="module")
def configs(intent: Intent) -> list[Config]:
    return [render(state_of(intent, equipment.name), TEMPLATES) for equipment in intent.devices]


@pytest.fixture
def fleet(configs: list[Config]) -> Fleet:
    made = Fleet({})
    for config in configs:
        device = MemoryDevice(config.device, config.platform, config.names)
        device.on_load = lambda one, section: made.order.append((one.device, section.name))
        made.devices[config.device] = device
    return made


def plan_of(fleet: Fleet, intent: Intent, via: Via = Via.LOCAL) -> Plan:
    return make(intent, TEMPLATES, fleet, network="lab", via=via)


def settled(fleet: Fleet, intent: Intent) -> Fleet:
    """Return the fleet once every device runs what is declared."""
    raise_failures(apply(plan_of(fleet, intent), intent, TEMPLATES, fleet.effects))
    fleet.order.clear()
    fleet.notes.clear()
    return fleet


def replaced(device: MemoryDevice, name: SectionName, old: str, new: str) -> None:
    assert old in device.running[name]
    device.running[name] = device.running[name].replace(old, new)


# --- the plan --------------------------------------------------------------------------------------------------------


def test_first_plan_changes_everything(fleet: Fleet, intent: Intent) -> None:
    plan = plan_of(fleet, intent)
    assert {device.device for device in plan.changed} == set(fleet.devices)
    assert len(sections_of(plan)) == sum(len(device.sections) for device in fleet.devices.values())
    assert all(rule.opens for rule in plan.rules)
    assert fleet.order == []


def test_second_plan_changes_nothing(fleet: Fleet, intent: Intent) -> None:
    plan = plan_of(settled(fleet, intent), intent)
    assert (plan.changed, plan.rules, next_command(plan)) == ((), (), "")
    assert tally(plan) == "no change: 7 devices run what is declared"
    assert describe(plan).shown() == "no change: 7 devices run what is declared\n"


def test_the_same_state_gives_the_same_plan(fleet: Fleet, intent: Intent) -> None:
    one, other = plan_of(fleet, intent), plan_of(fleet, intent)
    assert one.sha256 == other.sha256
    fleet.devices[FIREWALL].running[SectionName.FILTER] = "table inet cloison {\n"
    assert plan_of(fleet, intent).sha256 != one.sha256
    assert plan_of(fleet, intent, Via.TUNNEL).sha256 != plan_of(fleet, intent).sha256


def test_a_plan_can_be_narrowed(fleet: Fleet, intent: Intent) -> None:
    plan = make(
        intent, TEMPLATES, fleet, network="lab", via=Via.LOCAL, devices=[CORE, POLE], sections=[SectionName.EDGE]
    )
    assert sections_of(plan) == [(POLE, SectionName.EDGE), (CORE, SectionName.EDGE)]
    assert plan.device(CORE).config("running").names == fleet.devices[CORE].sections
    with pytest.raises(InputError, match="nowhere/at-all is not a device"):
        make(intent, TEMPLATES, fleet, network="lab", via=Via.LOCAL, devices=[EquipmentName("nowhere/at-all")])


def test_every_device_that_cannot_be_read_is_named(fleet: Fleet, intent: Intent) -> None:
    fleet.devices[CORE].reachable = fleet.devices[HUB].reachable = False
    with pytest.raises(SeveralDevicesError) as caught:
        plan_of(fleet, intent)
    assert str(caught.value).splitlines() == [f"{CORE}: not reachable", f"{HUB}: not reachable"]
    assert caught.value.exit_code == 3


def test_flows_are_shown_first_and_the_next_command_last(fleet: Fleet, intent: Intent) -> None:
    device = settled(fleet, intent).devices[FIREWALL]
    lines = device.running[SectionName.FILTER].splitlines(keepends=True)
    watch = next(line for line in lines if 'comment "watch-live"' in line)
    lines.remove(watch)
    device.running[SectionName.FILTER] = "".join(["tcp dport 22 accept\n", *lines])
    shown = describe(plan_of(fleet, intent, Via.TUNNEL)).shown(100_000).splitlines()
    assert shown[0] == HEADING
    assert shown[1] == f"  - {UNNAMED} on {FIREWALL}: tcp dport 22 accept"
    assert shown[2] == f"  + watch-live on {FIREWALL}: {watch.strip()}"
    assert f"{FIREWALL}: section filter" in shown
    assert f"+{watch.rstrip()}" in shown
    assert shown[-2] == "1 of 7 devices to change, 1 section; 1 rule opened, 1 closed"
    assert shown[-1].startswith("next: cloison apply --plan ")


def test_what_a_device_says_is_escaped_where_it_is_shown(fleet: Fleet, intent: Intent) -> None:
    settled(fleet, intent).devices[CORE].running[SectionName.EDGE] = "\x1b]0;owned\x07\u202e\n"
    shown = describe(plan_of(fleet, intent)).shown(100_000)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\\x1b]0;owned\\x07\\x202e" in shown


def test_a_rule_that_only_drops_is_no_flow() -> None:
    running = (
        'table inet cloison {\n type filter hook input priority 0; policy accept;\n udp dport 5 drop comment "accept"\n'
    )
    assert rule_changes(FIREWALL, running, "") == ()


# --- saved -----------------------------------------------------------------------------------------------------------


def test_a_saved_plan_comes_back(fleet: Fleet, intent: Intent, tmp_path: Path) -> None:
    plan = plan_of(fleet, intent)
    file = save(plan, tmp_path / "plans")
    assert file.name == f"{plan.sha256[:12]}.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert load(file) == plan
    assert save(plan, tmp_path / "plans") == file


def test_an_altered_plan_is_refused(fleet: Fleet, intent: Intent, tmp_path: Path) -> None:
    file = save(plan_of(fleet, intent), tmp_path)
    content = json.loads(file.read_text())
    content["devices"][0]["candidate"][0]["text"] += "add-br br1\n"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="its name is not the hash of what it holds"):
        load(file)
    file.write_text('{"version": 2}')
    with pytest.raises(InputError, match="not a plan of this version"):
        load(file)


# --- the order -------------------------------------------------------------------------------------------------------


def test_through_the_tunnel_the_farthest_come_first(intent: Intent) -> None:
    names = [device.name for device in intent.devices]
    assert stages(intent, Via.TUNNEL, names) == (
        (POLE,),
        (CORE, CELL_SWITCH),
        (FIREWALL, CELL_FIREWALL),
        (HUB,),
        (HUB_SWITCH,),
    )


def test_through_local_ports_all_are_changed_at_once(intent: Intent) -> None:
    names = [device.name for device in intent.devices]
    assert stages(intent, Via.LOCAL, names) == (tuple(names),)
    assert stages(intent, Via.LOCAL, []) == ()


# --- applied ---------------------------------------------------------------------------------------------------------


def test_apply_makes_every_device_run_what_is_declared(fleet: Fleet, intent: Intent) -> None:
    outcomes = apply(plan_of(fleet, intent), intent, TEMPLATES, fleet.effects)
    assert all(outcome.conforms for outcome in outcomes)
    for outcome in outcomes:
        sections = fleet.devices[outcome.device].sections
        # A bare firewall gets its filter first; everything else keeps its order.
        assert outcome.loaded == tuple(sorted(sections, key=lambda name: name is not SectionName.FILTER))
    assert plan_of(fleet, intent).changed == ()


def test_tunnels_are_loaded_last_and_started_once_all_are_loaded(fleet: Fleet, intent: Intent) -> None:
    apply(plan_of(fleet, intent), intent, TEMPLATES, fleet.effects)
    sections = [name for _, name in fleet.order]
    assert set(sections[-3:]) == {SectionName.TUNNELS}
    assert SectionName.TUNNELS not in sections[:-3]
    last_load = max(number for number, note in enumerate(fleet.notes) if note[1] == "load")
    first_up = min(number for number, note in enumerate(fleet.notes) if note[1] == "up")
    assert last_load < first_up
    assert set(fleet.noted("up")) == {FIREWALL, CELL_FIREWALL, HUB}


def test_through_the_tunnel_stage_follows_stage(fleet: Fleet, intent: Intent) -> None:
    settled(fleet, intent)
    for device in fleet.devices.values():
        device.running[SectionName.INTERFACES] += "address replace 192.0.2.77/24 dev p1\n"
    apply(plan_of(fleet, intent, Via.TUNNEL), intent, TEMPLATES, fleet.effects)
    loaded = [device for device, _ in fleet.order]
    assert loaded[0] == POLE
    assert set(loaded[1:3]) == {CORE, CELL_SWITCH}
    assert set(loaded[3:5]) == {FIREWALL, CELL_FIREWALL}
    assert loaded[5:] == [HUB, HUB_SWITCH]


def test_only_what_differs_is_loaded(fleet: Fleet, intent: Intent) -> None:
    replaced(settled(fleet, intent).devices[CORE], SectionName.EDGE, "priority=0", "priority=1")
    outcomes = {one.device: one for one in apply(plan_of(fleet, intent), intent, TEMPLATES, fleet.effects)}
    assert fleet.order == [(CORE, SectionName.EDGE)]
    assert outcomes[CORE].loaded == (SectionName.EDGE,)
    assert outcomes[POLE].loaded == ()
    assert len(fleet.noted("verify")) == 7


def test_what_hangs_on_the_switch_rows_follows_them(fleet: Fleet, intent: Intent) -> None:
    replaced(settled(fleet, intent).devices[CORE], SectionName.SWITCH, "tag=120", "tag=130")
    apply(plan_of(fleet, intent), intent, TEMPLATES, fleet.effects)
    names = (SectionName.SWITCH, SectionName.FIBRE, SectionName.INTERFACES, SectionName.EDGE)
    assert fleet.order == [(CORE, name) for name in names]


def test_applying_no_change_opens_no_device(fleet: Fleet, intent: Intent) -> None:
    plan = plan_of(settled(fleet, intent), intent)
    opened = [device.opened for device in fleet.devices.values()]
    outcomes = apply(plan, intent, TEMPLATES, fleet.effects)
    assert [device.opened for device in fleet.devices.values()] == opened
    assert fleet.notes == [(None, "done", "no change")]
    assert all(outcome.conforms for outcome in outcomes)


def test_a_tunnel_is_not_changed_through_itself(fleet: Fleet, intent: Intent) -> None:
    replaced(settled(fleet, intent).devices[FIREWALL], SectionName.TUNNELS, "5s", "50s")
    plan = plan_of(fleet, intent, Via.TUNNEL)
    assert "refused through its own tunnel" in describe(plan).shown(100_000)
    with pytest.raises(RefusedError, match=f"the tunnels of {FIREWALL} would change .*`--via local`"):
        apply(plan, intent, TEMPLATES, fleet.effects)
    assert fleet.order == []


def stale_intent(fleet: Fleet, intent: Intent, plan: Plan) -> tuple[Plan, Intent, str]:
    del fleet
    return plan, intent.model_copy(update={"workers": intent.workers + 1}), "the inventory changed since"


def stale_device(fleet: Fleet, intent: Intent, plan: Plan) -> tuple[Plan, Intent, str]:
    fleet.devices[POLE].running[SectionName.FIBRE] = "port sfp9\n"
    return plan, intent, f"section fibre of {POLE} changed since"


def stale_candidate(fleet: Fleet, intent: Intent, plan: Plan) -> tuple[Plan, Intent, str]:
    del fleet
    first, *others = plan.devices
    altered = (*first.candidate[:-1], Section(name=first.candidate[-1].name, text="table=0,actions=NORMAL\n"))
    devices = (first.model_copy(update={"candidate": altered}), *others)
    return plan.model_copy(update={"devices": devices}), intent, f"the templates now give {first.device} another text"


@pytest.mark.parametrize("grow_stale", [stale_intent, stale_device, stale_candidate])
def test_a_stale_plan_is_refused(
    fleet: Fleet, intent: Intent, grow_stale: Callable[[Fleet, Intent, Plan], tuple[Plan, Intent, str]]
) -> None:
    plan, now, why = grow_stale(fleet, intent, plan_of(fleet, intent))
    with pytest.raises(RefusedError, match=f"the plan is stale: {why}"):
        apply(plan, now, TEMPLATES, fleet.effects)
    assert fleet.order == []


def test_a_refused_load_stops_what_comes_after(fleet: Fleet, intent: Intent) -> None:
    def refuse(device: MemoryDevice, section: Section) -> None:
        if section.name is SectionName.INTERFACES:
            raise LoadError(device.device, "section interfaces is refused: no such device")

    fleet.devices[POLE].on_load = refuse
    outcomes = {one.device: one for one in apply(plan_of(fleet, intent), intent, TEMPLATES, fleet.effects)}
    assert not outcomes[POLE].conforms
    assert outcomes[POLE].error == (
        f"{POLE}: section interfaces is refused: no such device (loaded before it: switch, fibre)"
    )
    assert SectionName.TUNNELS not in [name for _, name in fleet.order]
    assert not outcomes[FIREWALL].conforms  # its tunnels were never loaded
    with pytest.raises(CloisonError, match="section interfaces is refused"):
        raise_failures(tuple(outcomes.values()))


def test_a_device_that_lies_about_a_load_is_found_out(fleet: Fleet, intent: Intent) -> None:
    settled(fleet, intent)
    device = fleet.devices[CORE]
    replaced(device, SectionName.EDGE, "priority=0", "priority=1")
    plan = plan_of(fleet, intent)
    kept = dict(device.running)

    class Liar(MemoryDevice):
        """Takes every load and keeps what it had."""

        def load(self, section: Section) -> None:
            self.loaded.append(section.name)

    fleet.devices[CORE] = Liar(device.device, device.platform, device.sections, running=kept)
    outcomes = {one.device: one for one in apply(plan, intent, TEMPLATES, fleet.effects)}
    assert outcomes[CORE].loaded == (SectionName.EDGE,)
    assert "+table=0,priority=0,actions=drop" in outcomes[CORE].differences
    assert not outcomes[CORE].conforms
    with pytest.raises(CloisonError, match="what was read back differs"):
        raise_failures(tuple(outcomes.values()))


def test_management_that_does_not_come_back_is_waited_for_and_named(fleet: Fleet, intent: Intent) -> None:
    replaced(settled(fleet, intent).devices[CORE], SectionName.EDGE, "priority=0", "priority=1")

    def cut_off(device: MemoryDevice, section: Section) -> None:
        del section
        device.reachable = False

    fleet.devices[CORE].on_load = cut_off
    outcomes = {one.device: one for one in apply(plan_of(fleet, intent), intent, TEMPLATES, fleet.effects)}
    assert outcomes[CORE].error == f"{CORE}: not reachable"
    assert outcomes[POLE].conforms
    assert 30 <= fleet.now < 31


def test_management_may_take_a_while_to_come_back(fleet: Fleet, intent: Intent) -> None:
    core = settled(fleet, intent).devices[CORE]
    replaced(core, SectionName.EDGE, "priority=0", "priority=1")
    core.on_load = lambda device, _: setattr(device, "reachable", False)
    plan = plan_of(fleet, intent)

    def sleep(seconds: float) -> None:
        fleet.now += seconds
        core.reachable = fleet.now > 10

    effects = Effects(fleet, lambda *_: None, lambda: fleet.now, sleep)
    assert all(outcome.conforms for outcome in apply(plan, intent, TEMPLATES, effects))
    assert fleet.now == 10.5


def test_a_tunnel_that_stays_down_is_named(fleet: Fleet, intent: Intent) -> None:
    fleet.devices[FIREWALL].down = ("video",)
    outcomes = apply(plan_of(fleet, intent), intent, TEMPLATES, fleet.effects)
    with pytest.raises(CloisonError, match=f"^{FIREWALL}: tunnels that stayed down: video$"):
        raise_failures(outcomes)


# --- on each ---------------------------------------------------------------------------------------------------------


def test_each_device_is_tried_and_one_failure_keeps_its_own_error() -> None:
    tried: list[EquipmentName] = []

    def act(name: EquipmentName) -> int:
        tried.append(name)
        if name == CORE:
            raise TransportError(name, "gone")
        return len(name)

    with pytest.raises(TransportError, match="gone"):
        on_each([CORE, POLE], act, workers=1)
    assert tried == [CORE, POLE]
    assert on_each([POLE], act, workers=4) == {POLE: len(POLE)}
    assert on_each([], act, workers=4) == {}


def test_the_most_telling_exit_code_wins() -> None:
    assert SeveralDevicesError([DeviceError("a", "x"), RefusedError("y")]).exit_code == 3
