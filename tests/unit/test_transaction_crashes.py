"""The coordinator dies at every moment of a change and of its recovery: at each line, each point and each call.

Nobody takes it up, or somebody does at once, or late. Each device is then old or new by itself, and the site wholly
old or wholly new once it was taken up: new exactly where the decision was on the disk.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the simulation stands in a folder of its own, for a script too

from tests.simulation.histories import KILLS, NEW, OLD, History, faults_at, undisturbed
from tests.simulation.scene import CORE, DEADLINE, EDGE, POLE, SWITCH, Moment, Scene

from cloison.change.journal import Event
from cloison.change.outcome import Decision, Standing
from cloison.device.memory_world import FaultKind, Operation


def moments(kind: str) -> list[Moment]:
    return [moment for moment in undisturbed().moments if moment.kind == kind]


def died(history: History) -> Scene:
    """Return the scene in which the coordinator died, before anybody takes it up."""
    scene = history.scene()
    assert scene.go().killed, history
    return scene


@pytest.mark.parametrize("kind", ["line-before", "line-after", "point"])
def test_killed_at_every_line_of_the_journal_and_at_every_point(kind: str) -> None:
    histories = [History(killed_at=moment) for moment in moments(kind)]
    assert len(histories) > 20
    assert [line for history in histories for line in history.play_both()] == []


@pytest.mark.parametrize("kind", sorted(KILLS))
def test_killed_at_every_call(kind: FaultKind) -> None:
    histories = [History((fault,)) for fault in faults_at(undisturbed().calls, kind)]
    assert len(histories) > 50
    assert [line for history in histories for line in history.play_both()] == []


@pytest.mark.parametrize("late", [True, False], ids=["late", "at once"])
@pytest.mark.parametrize("after", [Event.APPLIED, Event.GATE, Event.DECIDED, Event.CONFIRMED])
def test_killed_again_at_every_call_of_the_recovery(after: Event, late: bool) -> None:  # noqa: FBT001  a parameter
    line = next(number for number, entry in enumerate(undisturbed().run.lines, 1) if entry.event is after)
    first = History(killed_at=Moment("line-after", line), late=late)
    scene = died(first)
    if late:
        scene.rest()
    scene.calls.clear()
    assert scene.resume().code in {0, 1}
    recovery = list(scene.calls)
    assert recovery
    for kind in sorted(KILLS):
        for fault in faults_at(recovery, kind):
            history = History(killed_at=first.killed_at, late=late, faults_of_resume=(fault,))
            assert history.play() == [], history


def test_dead_after_the_decision_and_never_taken_up() -> None:
    """Between the confirmations a mixture stays, each device on one side of it; the status says which."""
    mixtures = set()
    confirmed = [moment for moment, entry in _lines() if entry is Event.CONFIRMED]
    assert len(confirmed) == 4
    for moment in confirmed:
        scene = died(History(killed_at=moment))
        scene.rest()
        assert scene.left_over() == []
        mixtures.add(scene.sides())
        shown = scene.status()
        assert shown.decided
        where = {one.device: one.standing for one in shown.devices}
        for name, standing in where.items():
            wanted = Standing.CONFIRMED if scene.side(name) == "N" else Standing.REVERTED
            assert standing is wanted or (standing is Standing.UNREACHABLE and not scene.carried(name))
        assert shown.next_step == f"cloison resume {scene.run.name}"
    assert mixtures == {"OOON", "OONN", "ONNN", NEW}


def _lines() -> list[tuple[Moment, Event]]:
    lines = enumerate(undisturbed().run.lines, 1)
    return [(Moment("line-after", number), entry.event) for number, entry in lines]


def test_decided_and_taken_up_in_time_is_confirmed_without_another_load() -> None:
    (moment,) = [moment for moment, event in _lines() if event is Event.DECIDED]
    scene = died(History(killed_at=moment))
    loaded = {name: list(device.loaded) for name, device in scene.devices.items()}
    ending = scene.resume()
    assert (ending.code, scene.sides()) == (0, NEW)
    assert {name: device.loaded for name, device in scene.devices.items()} == loaded


def test_decided_and_taken_up_late_is_applied_again() -> None:
    (moment,) = [moment for moment, event in _lines() if event is Event.DECIDED]
    scene = died(History(killed_at=moment))
    scene.rest()
    assert scene.sides() == OLD
    ending = scene.resume()
    assert (ending.code, scene.sides()) == (0, NEW)


def test_not_decided_and_taken_up_goes_back_at_once() -> None:
    (moment,) = [moment for moment, event in _lines() if event is Event.GATE]
    scene = died(History(killed_at=moment))
    began = scene.world.now
    ending = scene.resume()
    assert (ending.code, scene.sides()) == (1, OLD)
    assert scene.world.now - began < DEADLINE
    assert ending.result is not None
    assert "stopped before anything was decided" in ending.result.explanation


def test_an_ended_run_is_asked_about_and_left_alone() -> None:
    scene = Scene()
    assert scene.go().code == 0
    calls = len(scene.calls)
    ending = scene.resume()
    assert (ending.code, scene.sides()) == (0, NEW)
    asked = {call.operation for call in scene.calls[calls:]}
    assert asked <= {Operation.OPEN, Operation.STATE}


def test_a_run_taken_up_does_not_undo_a_later_change() -> None:
    """A mixture is left, somebody plans from there and applies; whoever then takes the first run up changes nothing."""
    moment = [moment for moment, event in _lines() if event is Event.CONFIRMED][1]
    scene = died(History(killed_at=moment))
    scene.rest()
    assert scene.sides() == "OONN"
    first = scene.run
    scene.revive()
    later = {name: dict(device.running) for name, device in scene.devices.items()}
    later[POLE][SWITCH], later[CORE][EDGE] = "port 1\nport 3\n", "flow 1\nflow 3\n"
    scene.aim(later)
    assert scene.go().code == 0
    scene.run = first
    ending = scene.resume()
    assert ending.result is not None
    assert ending.result.decision is Decision.UNDETERMINED
    assert scene.sides() == "NNOO"  # of the later change, which is none on the two firewalls
    assert scene.left_over() == []
    assert f"{CORE} is unknown" in ending.result.explanation


def test_a_run_taken_up_does_not_undo_its_rollback() -> None:
    scene = Scene()
    assert scene.go().code == 0
    first = scene.run
    scene.aim(scene.before)
    assert scene.go().code == 0
    scene.run = first
    ending = scene.resume()
    assert ending.result is not None
    assert ending.result.decision is Decision.CONFIRMED  # so it ended
    assert scene.sides() == NEW  # of the rollback: what ran at first


@pytest.mark.parametrize("number", range(1, len(undisturbed().run.lines) + 1))
def test_the_journal_cannot_be_written_from_a_line_on(number: int) -> None:
    """Without a journal nothing new is done: before the decision the site goes back, after it every device is new."""
    scene = Scene(plan_of=undisturbed(), journal_fails_at=number)
    ending = scene.go()
    scene.rest()
    assert scene.left_over() == []
    assert "?" not in scene.sides()
    if not scene.decided:
        assert scene.sides() == OLD
        assert ending.code != 0
    scene.journal_fails_at = None
    ending = scene.resume()
    assert ending.code is not None
    assert scene.sides() == (NEW if scene.decided else OLD)
