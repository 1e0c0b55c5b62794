"""Every row of the fault matrix of a change over a site, with the state that it must end in and its exit code.

The devices are those of `tests/simulation/scene.py`: the site's pole switch, core switch and firewall, and the hub's
firewall. `O` is a device wholly old, `N` one wholly new, in that order. The rows that simulation cannot show stand
elsewhere: 22 (a device's wall clock is stepped) with the script, 39 (a wave that is halted) with the waves.
"""

import ast
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the simulation stands in a folder of its own, for a script too

from tests.simulation.histories import NEW, OLD, undisturbed
from tests.simulation.scene import (
    CORE,
    CUT,
    DEADLINE,
    EDGE,
    FILTER,
    FIREWALL,
    FORBIDDEN,
    HUB,
    INTERFACES,
    LIVE,
    POLE,
    STAGES,
    SWITCH,
    TUNNELS,
    Ending,
    Moment,
    Scene,
    new,
)

from cloison.change.crash import CrashPoint
from cloison.change.journal import Event
from cloison.change.outcome import Standing
from cloison.change.resuming import resume
from cloison.device.guard import GRACE_SECONDS, Cause, Timer, TransactionState
from cloison.device.memory import BY_HAND
from cloison.device.memory_tunnels import as_declared
from cloison.device.memory_world import Call, Fault, FaultKind, Operation, World
from cloison.errors import RefusedError
from cloison.flow import Outcome
from cloison.model import EquipmentName
from cloison.render.config import SectionName

EACH = [name for (name,) in STAGES]
ROOT = Path(__file__).parents[2]
on_each_device = pytest.mark.parametrize("device", EACH)


def first(device: EquipmentName, operation: Operation, number: int = 1) -> Call:
    call = Call(device, operation, number)
    assert call in undisturbed().calls, f"{call} is no call of the change"
    return call


def scene_with(*faults: Fault, killed_at: Moment | None = None) -> Scene:
    return Scene(plan_of=undisturbed(), world=World(round_trip=0.1, faults=faults), killed_at=killed_at)


def played(*faults: Fault) -> tuple[Scene, Ending]:
    """Return a scene once the command has ended, and before anything else could happen."""
    scene = scene_with(*faults)
    return scene, scene.go()


def killed(point: CrashPoint, device: EquipmentName | str = "", number: int = 1) -> Scene:
    """Return a scene in which the coordinator died at the n-th pass of a point."""
    passes = [index for index, one in enumerate(undisturbed().points, 1) if one == (point, device)]
    scene = scene_with(killed_at=Moment("point", passes[number - 1]))
    assert scene.go().killed
    return scene


def explained(ending: Ending) -> str:
    assert ending.result is not None
    return ending.result.explanation


def ends(scene: Scene, ending: Ending, sides: str, code: int) -> None:
    """Hold a scene to its end: at once, and when the world is at rest; nothing is left on any device."""
    assert (scene.sides(), ending.code) == (sides, code), ending
    scene.rest()
    assert scene.sides() == sides
    assert scene.left_over() == []


def test_row_01_killed_before_anything_was_armed() -> None:
    for point, device in undisturbed().points:
        if point is CrashPoint.ARMING:
            break
        scene = killed(point, device)
        scene.rest()
        assert (scene.sides(), scene.left_over()) == (OLD, [])
        assert {one.guard.state().state for one in scene.devices.values()} == {TransactionState.NONE}


@on_each_device
def test_row_02_killed_after_a_device_was_armed_and_nothing_applied(device: EquipmentName) -> None:
    call = first(device, Operation.ARM)
    scene, ending = played(Fault(call, FaultKind.NOT_BEGUN), Fault(call, FaultKind.KILL_AFTER))
    assert ending.killed
    assert scene.devices[device].guard.state().step == 0
    before = list(scene.devices[device].loaded)
    scene.world.advance(DEADLINE + GRACE_SECONDS)
    assert scene.sides() == OLD
    assert scene.devices[device].loaded == before
    assert scene.left_over() == []


@on_each_device
def test_row_03_killed_after_a_device_applied(device: EquipmentName) -> None:
    scene = killed(CrashPoint.ARMED, device)
    assert scene.sides() != OLD
    scene.world.advance(DEADLINE + GRACE_SECONDS)
    assert (scene.sides(), scene.left_over()) == (OLD, [])


@pytest.mark.parametrize("point", [CrashPoint.GATING, CrashPoint.GATED])
def test_row_04_killed_at_the_gate(point: CrashPoint) -> None:
    scene = killed(point)
    scene.world.advance(DEADLINE + GRACE_SECONDS)
    assert (scene.sides(), scene.left_over()) == (OLD, [])


def test_row_05_killed_after_the_decision() -> None:
    scene = killed(CrashPoint.DECIDED)
    ends(scene, scene.resume(), NEW, 0)
    scene = killed(CrashPoint.DECIDED)
    scene.rest()
    assert (scene.sides(), scene.left_over()) == (OLD, [])
    assert scene.status().next_step == f"cloison resume {scene.run.name}"


@pytest.mark.parametrize(("confirmed", "mixture"), [(HUB, "OOON"), (FIREWALL, "OONN"), (CORE, "ONNN")])
def test_row_06_killed_between_two_confirmations(confirmed: EquipmentName, mixture: str) -> None:
    scene = killed(CrashPoint.CONFIRMED, confirmed)
    ends(scene, scene.resume(), NEW, 0)
    scene = killed(CrashPoint.CONFIRMED, confirmed)
    scene.rest()
    assert (scene.sides(), scene.left_over()) == (mixture, [])
    ends(scene, scene.resume(), NEW, 0)


def test_row_07_killed_before_the_report() -> None:
    scene = killed(CrashPoint.FINISHED)
    loaded = {name: len(device.loaded) for name, device in scene.devices.items()}
    ends(scene, scene.resume(), NEW, 0)
    assert {name: len(device.loaded) for name, device in scene.devices.items()} == loaded


@pytest.mark.parametrize("event", [Event.APPLIED, Event.GATE])
def test_row_08_stopped_for_longer_than_the_timer(event: Event) -> None:
    """A change that is not decided goes back, and no late confirmation is taken."""
    last = first(HUB, Operation.STEP) if event is Event.APPLIED else first(HUB, Operation.STATE, 2)
    scene, ending = played(Fault(last, FaultKind.PAUSE, DEADLINE + 10.0))
    ends(scene, ending, OLD, 1)
    assert Operation.CONFIRM not in {call.operation for call in scene.calls}


@on_each_device
def test_row_09_a_device_refuses_its_candidate(device: EquipmentName) -> None:
    scene, ending = played(Fault(first(device, Operation.ARM), FaultKind.REFUSE))
    ends(scene, ending, OLD, 2)
    assert f"{device}" in explained(ending)
    assert "by the daemon" in explained(ending)


@on_each_device
@pytest.mark.parametrize("kind", [FaultKind.NOT_BEGUN, FaultKind.HALF_DONE])
def test_row_10_what_applies_is_killed_on_the_device(device: EquipmentName, kind: FaultKind) -> None:
    scene, ending = played(Fault(first(device, Operation.ARM), kind))
    ends(scene, ending, OLD, 1)


@pytest.mark.parametrize("call", undisturbed().calls, ids=str)
def test_row_11_a_request_is_lost(call: Call) -> None:
    scene, ending = played(Fault(call, FaultKind.REQUEST_LOST, 5.0))
    ends(scene, ending, NEW, 0)


@pytest.mark.parametrize("call", undisturbed().calls, ids=str)
def test_row_12_a_reply_is_lost(call: Call) -> None:
    scene, ending = played(Fault(call, FaultKind.REPLY_LOST, 5.0))
    ends(scene, ending, NEW, 0)
    loads = {name: device.loaded for name, device in undisturbed().devices.items()}
    assert {name: device.loaded for name, device in scene.devices.items()} == loads  # nothing was applied twice


@pytest.mark.parametrize("device", [FIREWALL, HUB])
def test_row_13_the_change_itself_breaks_the_tunnel(device: EquipmentName) -> None:
    texts = new()
    texts[device][TUNNELS] = texts[device][TUNNELS].replace("aes256", "aes192")
    scene = Scene(after=texts)
    ends(scene, scene.go(), OLD, 1)


def test_row_14_the_tunnel_dies_for_another_reason() -> None:
    call = first(FIREWALL, Operation.OPEN, 2)
    scene = scene_with(*(Fault(Call(name, call.operation, 2), FaultKind.UNREACHABLE, 400.0) for name in EACH[:3]))
    ending = scene.go()
    assert ending.code == 3
    scene.rest()
    assert (scene.sides(), scene.left_over()) == (OLD, [])
    scene.revive()
    scene.run = scene.begun(scene.plan)  # the plan is as good as before
    ends(scene, scene.go(), NEW, 0)


@pytest.mark.parametrize(("device", "section"), [(CORE, EDGE), (POLE, SWITCH), (FIREWALL, FILTER), (HUB, FILTER)])
def test_row_15_management_is_cut_and_the_streams_are_not(device: EquipmentName, section: SectionName) -> None:
    texts = new()
    texts[device][section] += f"{CUT}\n"
    scene = Scene(after=texts)
    ending = scene.go()
    ends(scene, ending, OLD, 1)
    assert f"management: {device}: not reachable" in explained(ending)


@on_each_device
def test_row_16_what_is_sent_arrives_and_nothing_is_heard(device: EquipmentName) -> None:
    scene, ending = played(Fault(first(device, Operation.CONFIRM), FaultKind.UNHEARD, 3.0 * DEADLINE))
    assert ending.code == 3
    scene.rest()
    assert "?" not in scene.sides()
    ends(scene, scene.resume(), NEW, 0)


@on_each_device
def test_row_17_reboot_between_armed_and_applied(device: EquipmentName) -> None:
    scene, ending = played(Fault(first(device, Operation.ARM), FaultKind.REBOOT_WITHIN))
    ends(scene, ending, OLD, 1)
    assert scene.devices[device].guard.state().cause is Cause.BOOT


@on_each_device
def test_row_18_reboot_between_applied_and_confirmed(device: EquipmentName) -> None:
    scene, ending = played(Fault(first(device, Operation.ARM), FaultKind.REBOOT_AFTER))
    ends(scene, ending, OLD, 1)
    assert scene.devices[device].guard.state().cause is Cause.BOOT


@on_each_device
def test_row_19_reboot_after_the_decision(device: EquipmentName) -> None:
    scene, ending = played(Fault(first(device, Operation.CONFIRM), FaultKind.REBOOT_BEFORE))
    ends(scene, ending, NEW, 0)
    assert len(scene.devices[device].loaded) > len(undisturbed().devices[device].loaded)  # applied again


@on_each_device
def test_row_20_reboot_between_the_confirmation_and_its_reply(device: EquipmentName) -> None:
    call = first(device, Operation.CONFIRM)
    scene, ending = played(Fault(call, FaultKind.REBOOT_AFTER), Fault(call, FaultKind.REPLY_LOST, 5.0))
    ends(scene, ending, NEW, 0)


@on_each_device
def test_row_21_the_timer_fires_during_the_confirmation(device: EquipmentName) -> None:
    scene, ending = played(Fault(first(device, Operation.CONFIRM), FaultKind.DELAY, DEADLINE + 10.0))
    ends(scene, ending, NEW, 0)


def test_row_22_no_wall_clock_decides_anything() -> None:
    """What the coordinator decides by is handed in; the wall clock only names runs and dates lines of the journal."""
    for path in sorted((ROOT / "src/cloison/change").glob("*.py")):
        names = {
            alias.name.partition(".")[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
        }
        assert "time" not in names, path
        assert "datetime" not in names or "journal" in path.name, path


@on_each_device
def test_row_23_the_dead_man_is_killed(device: EquipmentName) -> None:
    scene, ending = played(Fault(first(device, Operation.READ, 2), FaultKind.TIMER_KILLED))
    ends(scene, ending, OLD, 1)
    assert f"dead-man on {device}" in explained(ending)


def test_row_24_the_way_back_fails() -> None:
    scene, ending = played(
        Fault(first(CORE, Operation.ARM), FaultKind.WRITE_OTHERWISE),
        Fault(first(CORE, Operation.ARM), FaultKind.REVERT_FAILS),
    )
    assert ending.code == 1
    assert scene.sides() == "O?OO"
    assert f"{CORE} is reverted-differs (edge)" in explained(ending)
    assert explained(ending).startswith("taken back: not every device runs what it ran before")


@on_each_device
def test_row_25_the_disk_of_a_device_is_full(device: EquipmentName) -> None:
    scene, ending = played(Fault(first(device, Operation.ARM), FaultKind.DISK_FULL))
    assert "no space left" in explained(ending)
    ends(scene, ending, OLD, 1)
    scene, ending = played(Fault(first(device, Operation.CONFIRM), FaultKind.DISK_FULL))
    assert ending.code == 3
    scene.rest()
    assert "?" not in scene.sides()
    scene.devices[device].disk_full = False
    ends(scene, scene.resume(), NEW, 0)


def test_row_26_a_second_engineer() -> None:
    scene = killed(CrashPoint.GATING)
    first_run, scene.run = scene.run, scene.begun(scene.plan)
    scene.revive()
    ending = scene.go()
    assert ending.code == 2
    assert "ann@desk is changing it" in str(ending.error)
    scene.run = first_run
    ends(scene, scene.resume(), OLD, 1)


def test_row_27_somebody_changes_a_section_by_hand() -> None:
    scene, ending = played(Fault(first(POLE, Operation.READ, 2), FaultKind.HAND_EDIT))
    ends(scene, ending, OLD, 1)
    assert BY_HAND in explained(ending)


def test_row_27_somebody_changes_another_section_by_hand() -> None:
    scene = killed(CrashPoint.GATED)
    scene.devices[CORE].running[SWITCH] += "port 9\n"
    ending = scene.resume()
    assert ending.code == 1
    assert scene.devices[CORE].running == {**scene.before[CORE], SWITCH: "port 1\nport 9\n"}


def test_row_28_another_commune_changes_the_hub() -> None:
    scene = killed(CrashPoint.GATED)
    scene.devices[HUB].running[SWITCH] += "port of another commune\n"
    ending = scene.resume()
    assert ending.code == 1
    assert scene.devices[HUB].running == {**scene.before[HUB], SWITCH: "trunk\nport of another commune\n"}


def test_row_29_a_stale_plan() -> None:
    scene = scene_with()
    scene.devices[CORE].running[SWITCH] += "port 7\n"
    ending = scene.go()
    assert ending.code == 2
    assert str(ending.error) == f"the plan is stale: section switch of {CORE} changed since; make it again"
    assert [one for one in scene.left_over() if "boots" not in one] == []


def test_row_30_the_same_plan_twice() -> None:
    scene = scene_with()
    assert scene.go().code == 0
    scene.run = scene.begun(scene.plan)
    loaded = {name: len(device.loaded) for name, device in scene.devices.items()}
    ending = scene.go()
    ends(scene, ending, NEW, 0)
    assert explained(ending).startswith("no change")
    assert {name: len(device.loaded) for name, device in scene.devices.items()} == loaded


def test_row_31_an_old_conversation_survives_the_rule() -> None:
    scene = scene_with()
    for wall in (FIREWALL, HUB):
        scene.devices[wall].conversations += ["accept 1", LIVE]
    ends(scene, scene.go(), NEW, 0)
    assert [scene.devices[wall].conversations for wall in (FIREWALL, HUB)] == [[LIVE], [LIVE]]


def test_row_32_an_association_keeps_what_it_was_made_with() -> None:
    scene = scene_with()
    for wall in (FIREWALL, HUB):
        scene.devices[wall].left_over += as_declared(scene.before[wall][TUNNELS])
    ends(scene, scene.go(), NEW, 0)
    assert [scene.devices[wall].left_over for wall in (FIREWALL, HUB)] == [[], []]
    assert "admin" in scene.devices[FIREWALL].renewed


def test_row_33_a_gate_that_fails_first_and_then_passes() -> None:
    scene = scene_with()
    scene.verdict, scene.tries = Outcome.FAIL, ("no packet arrives", "every packet arrives")
    ending = scene.go()
    ends(scene, ending, OLD, 1)
    assert ending.result is not None
    assert [check.tries for check in ending.result.failed] == [("no packet arrives", "every packet arrives")]


@on_each_device
def test_row_34_a_read_back_that_cannot_be_used(device: EquipmentName) -> None:
    scene, ending = played(Fault(first(device, Operation.READ, 2), FaultKind.NONSENSE))
    ends(scene, ending, OLD, 3)


@pytest.mark.parametrize("verdict", [Outcome.ERROR, Outcome.UNKNOWN, Outcome.NOT_RUN])
def test_row_35_what_cannot_be_determined_is_no_pass(verdict: Outcome) -> None:
    scene = scene_with()
    scene.verdict = verdict
    ends(scene, scene.go(), OLD, 3)


@on_each_device
def test_row_36_another_host_key(device: EquipmentName) -> None:
    scene, ending = played(Fault(first(device, Operation.OPEN, 2), FaultKind.HOST_KEY))
    ends(scene, ending, OLD, 3)
    assert Operation.CONFIRM not in {call.operation for call in scene.calls}
    assert "another host key" in explained(ending)


def test_row_37_the_journal_cannot_be_written() -> None:
    armed = [number for number, line in enumerate(undisturbed().run.lines, 1) if line.event is Event.ARMING]
    for number in range(1, armed[0] + 1):
        scene = Scene(plan_of=undisturbed(), journal_fails_at=number)
        ending = scene.go()
        assert isinstance(ending.error, RefusedError) or number == armed[0]
        scene.rest()
        assert (scene.sides(), scene.left_over()) == (OLD, [])
        assert {one.guard.state().state for one in scene.devices.values()} == {TransactionState.NONE}


def test_row_38_another_machine_runs_the_same_change() -> None:
    """The devices know that somebody is at it: a second execution is refused, and may only take the first one up."""
    scene = killed(CrashPoint.GATING)
    scene.revive()
    with pytest.raises(RefusedError, match="is being carried out by another process"):
        resume(scene.run, scene.effects(scene.run), still=False)
    first_run, scene.run = scene.run, scene.begun(scene.plan)
    assert scene.go().code == 2
    scene.run = first_run
    ends(scene, scene.resume(), OLD, 1)


def test_row_40_a_device_that_nothing_guards() -> None:
    scene = Scene()
    scene.devices[POLE].timer = Timer.NONE
    scene.plan = scene.planned(scene.after)
    ending = scene.go()
    assert ending.code == 2
    assert str(POLE) in str(ending.error)
    scene.rest()
    assert (scene.sides(), scene.left_over()) == (OLD, [])


def test_a_candidate_that_opens_a_forbidden_flow_is_taken_back() -> None:
    texts = new()
    texts[FIREWALL][FILTER] += f"{FORBIDDEN}\n"
    scene = Scene(after=texts)
    ending = scene.go()
    ends(scene, ending, OLD, 1)
    assert f"proof: a leak on {FIREWALL}" in explained(ending)


def test_a_candidate_that_breaks_the_live_stream_is_taken_back() -> None:
    texts = new()
    texts[FIREWALL][FILTER] = "accept 2\n"
    scene = Scene(after=texts)
    ending = scene.go()
    ends(scene, ending, OLD, 1)
    assert "session/live: the live stream does not arrive" in explained(ending)


def test_sections_that_do_not_change_are_not_touched() -> None:
    for texts, code in ((new(), 0), (new() | {FIREWALL: new()[FIREWALL] | {FILTER: "accept 2\n"}}, 1)):
        scene = Scene(after=texts)
        assert scene.go().code == code
        loaded = {name: set(device.loaded) for name, device in scene.devices.items()}
        assert loaded == {
            POLE: {SWITCH, INTERFACES, EDGE},  # the rebuild of the rows takes what hangs on them with it
            CORE: {EDGE},
            FIREWALL: {FILTER, TUNNELS},
            HUB: {FILTER, TUNNELS},
        }


def test_status_says_where_each_device_stands_while_the_change_is_under_way() -> None:
    scene = killed(CrashPoint.ARMED, CORE)
    shown = {one.device: one.standing for one in scene.status().devices}
    assert shown == {
        POLE: Standing.ARMED,
        CORE: Standing.ARMED,
        FIREWALL: Standing.UNCHANGED,
        HUB: Standing.UNCHANGED,
    }
    assert scene.resume().result is not None
    assert scene.status().sentence == "all 4 devices run what they ran before"
