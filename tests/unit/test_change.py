"""Plans and their application over devices in memory: what is refused, in which order, and what is believed."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.change.describe import HEADING, describe, next_command, tally
from cloison.change.effects import Effects
from cloison.change.fleetwide import SeveralDevicesError, on_each
from cloison.change.journal import Event, begin
from cloison.change.order import Via, stages
from cloison.change.outcome import Decision, Result, Standing
from cloison.change.plan import Plan, load, make, save, sections_of
from cloison.change.rules import UNNAMED, rule_changes
from cloison.change.stale import check
from cloison.change.transaction import Transaction
from cloison.desired import state_of
from cloison.device.guard import Lease
from cloison.device.job import Job
from cloison.device.memory import MemoryDevice
from cloison.device.memory_world import World
from cloison.errors import DeviceError, InputError, LoadError, RefusedError, TransportError
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
    world: World = field(default_factory=World)
    notes: list[tuple[EquipmentName | None, Event, str]] = field(default_factory=list)
    order: list[tuple[EquipmentName, SectionName]] = field(default_factory=list)

    def __call__(self, device: EquipmentName) -> Device:
        return self.devices[device].open()

    @property
    def effects(self) -> Effects:
        return Effects(self, self.write, self.world.monotonic, self.world.sleep, workers=1)

    def write(self, event: Event, device: EquipmentName | None = None, detail: str = "") -> None:
        self.notes.append((device, event, detail))

    def noted(self, event: Event) -> list[EquipmentName | None]:
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
        device = MemoryDevice(config.device, config.platform, config.names, world=made.world)
        device.on_load = lambda one, section: made.order.append((one.device, section.name))
        made.devices[config.device] = device
    return made


def plan_of(fleet: Fleet, intent: Intent, via: Via = Via.LOCAL) -> Plan:
    return make(intent, TEMPLATES, fleet, network="lab", via=via)


def settled(fleet: Fleet, intent: Intent) -> Fleet:
    """Return the fleet once every device runs what is declared."""
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_of(fleet, intent).model_copy(update={"deadline": 120})
        assert Transaction(plan, begin(plan, Path(folder), lambda _: None), fleet.effects).go().exit_code == 0
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


@pytest.fixture
def put(fleet: Fleet, tmp_path: Path) -> Callable[[Plan], Result]:
    """Carry a plan out on the fleet, its journal in a folder of its own."""

    def carry_out(plan: Plan) -> Result:
        timed = plan.model_copy(update={"deadline": 120})
        return Transaction(timed, begin(timed, tmp_path / "changes", lambda _: None), fleet.effects).go()

    return carry_out


def test_apply_makes_every_device_run_what_is_declared(
    fleet: Fleet, intent: Intent, put: Callable[[Plan], Result]
) -> None:
    result = put(plan_of(fleet, intent))
    assert {one.standing for one in result.devices} == {Standing.CONFIRMED}
    for device in fleet.devices.values():
        first = [name for name in device.loaded if name is not SectionName.TUNNELS]
        # A bare firewall gets its filter first; everything else keeps its order.
        assert first == sorted(
            (name for name in device.sections if name is not SectionName.TUNNELS),
            key=lambda name: name is not SectionName.FILTER,
        )
    assert plan_of(fleet, intent).changed == ()


def test_who_starts_a_tunnel_loads_it_once_who_answers_has_it(
    fleet: Fleet, intent: Intent, put: Callable[[Plan], Result]
) -> None:
    put(plan_of(fleet, intent))
    tunnels = [device for device, name in fleet.order if name is SectionName.TUNNELS]
    # The cell answers the village and starts towards the hub: it loads twice, and each time in its turn.
    assert tunnels.index(HUB) < tunnels.index(FIREWALL)
    assert tunnels.index(CELL_FIREWALL) < tunnels.index(FIREWALL)
    assert tunnels.index(HUB) < len(tunnels) - 1 - tunnels[::-1].index(CELL_FIREWALL)
    last_load = max(number for number, note in enumerate(fleet.notes) if note[1] == Event.APPLIED)
    last_up = max(number for number, note in enumerate(fleet.notes) if note[1] == Event.BROUGHT_UP)
    assert last_load < last_up
    assert set(fleet.noted(Event.BROUGHT_UP)) == {FIREWALL, CELL_FIREWALL, HUB}


def test_through_the_tunnel_stage_follows_stage(fleet: Fleet, intent: Intent, put: Callable[[Plan], Result]) -> None:
    settled(fleet, intent)
    for device in fleet.devices.values():
        device.running[SectionName.INTERFACES] += "address replace 192.0.2.77/24 dev p1\n"
    put(plan_of(fleet, intent, Via.TUNNEL))
    loaded = [device for device, _ in fleet.order]
    assert loaded[0] == POLE
    assert set(loaded[1:3]) == {CORE, CELL_SWITCH}
    assert set(loaded[3:5]) == {FIREWALL, CELL_FIREWALL}
    assert loaded[5:] == [HUB, HUB_SWITCH]


def test_only_what_differs_is_loaded(fleet: Fleet, intent: Intent, put: Callable[[Plan], Result]) -> None:
    replaced(settled(fleet, intent).devices[CORE], SectionName.EDGE, "priority=0", "priority=1")
    result = put(plan_of(fleet, intent))
    assert fleet.order == [(CORE, SectionName.EDGE)]
    assert [(one.device, one.sections) for one in result.devices] == [(CORE, ("edge",))]
    read_back = [check.device for check in result.checks if check.name == "read-back"]
    assert len(read_back) == 7


def test_what_hangs_on_the_switch_rows_follows_them(
    fleet: Fleet, intent: Intent, put: Callable[[Plan], Result]
) -> None:
    replaced(settled(fleet, intent).devices[CORE], SectionName.SWITCH, "tag=120", "tag=130")
    put(plan_of(fleet, intent))
    names = (SectionName.SWITCH, SectionName.FIBRE, SectionName.INTERFACES, SectionName.EDGE)
    assert fleet.order == [(CORE, name) for name in names]


def stale_intent(fleet: Fleet, intent: Intent, plan: Plan) -> tuple[Plan, Intent, str]:
    del fleet
    return plan, intent.model_copy(update={"workers": intent.workers + 1}), "the inventory changed since"


def stale_candidate(fleet: Fleet, intent: Intent, plan: Plan) -> tuple[Plan, Intent, str]:
    del fleet
    first, *others = plan.devices
    altered = (*first.candidate[:-1], Section(name=first.candidate[-1].name, text="table=0,actions=NORMAL\n"))
    devices = (first.model_copy(update={"candidate": altered}), *others)
    return plan.model_copy(update={"devices": devices}), intent, f"the templates now give {first.device} another text"


@pytest.mark.parametrize("grow_stale", [stale_intent, stale_candidate])
def test_a_plan_that_no_longer_follows_is_refused(
    fleet: Fleet, intent: Intent, grow_stale: Callable[[Fleet, Intent, Plan], tuple[Plan, Intent, str]]
) -> None:
    plan, now, why = grow_stale(fleet, intent, plan_of(fleet, intent))
    with pytest.raises(RefusedError, match=f"the plan is stale: {why}"):
        check(plan, now, TEMPLATES)
    check(plan_of(fleet, intent), intent, TEMPLATES)


def test_a_plan_for_what_a_device_no_longer_runs_is_refused_and_leaves_no_lease(
    fleet: Fleet, intent: Intent, put: Callable[[Plan], Result]
) -> None:
    plan = plan_of(fleet, intent)
    fleet.devices[POLE].running[SectionName.FIBRE] = "port sfp9\n"
    with pytest.raises(RefusedError, match=f"the plan is stale: section fibre of {POLE} changed since"):
        put(plan)
    assert fleet.order == []
    assert [device.guard.state().lease for device in fleet.devices.values()] == [None] * 7


def test_a_refused_section_takes_every_device_back(fleet: Fleet, intent: Intent, put: Callable[[Plan], Result]) -> None:
    def refuse(device: MemoryDevice, section: Section) -> None:
        if section.name is SectionName.INTERFACES and section.text:
            raise LoadError(device.device, "section interfaces is refused: no such device")

    before = {name: dict(device.running) for name, device in fleet.devices.items()}
    fleet.devices[POLE].on_load = refuse
    result = put(plan_of(fleet, intent))
    assert (result.decision, result.exit_code) == (Decision.REFUSED, 2), result
    assert "section interfaces is refused: no such device" in result.explanation
    after = {name: {k: v for k, v in d.running.items() if v} for name, d in fleet.devices.items()}
    assert after == {name: {k: v for k, v in running.items() if v} for name, running in before.items()}


def test_a_tunnel_that_stays_down_fails_the_gate(fleet: Fleet, intent: Intent, put: Callable[[Plan], Result]) -> None:
    fleet.devices[FIREWALL].down = ("video",)
    result = put(plan_of(fleet, intent))
    assert (result.decision, result.exit_code) == (Decision.REVERTED, 1)
    assert f"tunnels on {FIREWALL}: tunnels that stayed down: video" in result.explanation


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


def test_a_plan_says_where_another_change_is_under_way(fleet: Fleet, intent: Intent) -> None:
    guard = fleet.devices[CORE].guard
    guard.lease(Lease("run-1", "ann@desk", "0" * 12, 60.0))
    guard.arm(Job("run-1", 120, ((),), (), ()))
    plan = plan_of(fleet, intent)
    assert {device.device: device.under_way for device in plan.devices if device.under_way} == {CORE: "run-1"}
    assert f"{CORE}: a change is under way (run-1): what runs there now may not stay" in describe(plan).shown(200_000)


def test_a_decision_that_cannot_be_written_is_none(fleet: Fleet, intent: Intent, tmp_path: Path) -> None:
    def write(event: Event, device: EquipmentName | None = None, detail: str = "") -> None:
        if event is Event.DECIDED:
            msg = "journal.jsonl: No space left on device"
            raise RefusedError(msg)
        fleet.write(event, device, detail)

    plan = plan_of(fleet, intent).model_copy(update={"deadline": 120})
    effects = Effects(fleet, write, fleet.world.monotonic, fleet.world.sleep, workers=1)
    result = Transaction(plan, begin(plan, tmp_path, lambda _: None), effects).go()
    assert result.decision is Decision.REVERTED
    assert "the decision could not be written: journal.jsonl: No space left on device" in result.explanation
    assert {one.standing for one in result.devices} == {Standing.REVERTED}
