"""What guards a change over several devices: each guard, how it is taken away, and what then goes wrong.

A guard is taken away by giving a name of a module or a class another value; what goes wrong is found by a few histories
of the simulated site (`tests/simulation`) that end well while it stands. `number` is that of the way to fail that it
stands against: 1 is a partial commit, 17 a reboot between armed and applied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from tests.simulation.histories import NEW, OLD, History, undisturbed
from tests.simulation.scene import CORE, FIREWALL, HUB, LIVE, POLE, SWITCH, Moment, Scene

from cloison.change import asking, catching_up, connections, gate, jobs, judging, recovery, resuming, transaction
from cloison.change.asking import Asking
from cloison.change.journal import Event
from cloison.change.outcome import Standing
from cloison.device.guard import TransactionState
from cloison.device.job import Load
from cloison.device.memory_guard import MemoryGuard
from cloison.device.memory_world import Operation
from cloison.flow import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloison.change.plan import DevicePlan
    from cloison.device.guard import Cause
    from cloison.device.memory_guard import _Transaction


class Patch(Protocol):
    """Gives a name another value, and takes that back in the end (pytest's MonkeyPatch)."""

    def setattr(self, target: object, name: str, value: object) -> None:
        """Give a name of a module or a class another value."""


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard of a change."""

    number: int
    """Of the way to fail that it stands against."""
    name: str
    remove: Callable[[Patch], None]
    trial: Callable[[], list[str]]
    """Plays histories and returns what went wrong in them; nothing while the guard stands."""


# --- what is played ---------------------------------------------------------------------------------------------------


def _histories(*lines: str) -> Callable[[], list[str]]:
    return lambda: [f"{line}: {wrong}" for line in lines for wrong in History.parse(line).play()]


def _after(event: Event, number: int = 1) -> Moment:
    """Return the moment at which the n-th line of an event was just written."""
    lines = [count for count, one in enumerate(undisturbed().run.lines, 1) if one.event is event]
    return Moment("line-after", lines[number - 1])


def _dead(event: Event, number: int = 1) -> Scene:
    """Return a scene whose coordinator died there."""
    scene = History(killed_at=_after(event, number)).scene()
    scene.go()
    return scene


def _late(event: Event, number: int = 1) -> Callable[[], list[str]]:
    return lambda: History(killed_at=_after(event, number)).play()


def _decided_under(line: str) -> Callable[[], list[str]]:
    """Play a history in which nothing may be decided."""

    def trial() -> list[str]:
        scene = History.parse(line).scene()
        scene.go()
        return [f"{line}: it was decided"] if scene.decided else []

    return trial


def _unconfirmed(line: str) -> Callable[[], list[str]]:
    """Play a history that must end confirmed at once."""

    def trial() -> list[str]:
        scene = History.parse(line).scene()
        code = scene.go().code
        return [] if code == 0 else [f"{line}: exit code {code}"]

    return trial


def _no_time_left() -> list[str]:
    scene = _dead(Event.GATE)
    left = scene.devices[POLE].guard.state().remaining - 1
    return _decided_under(f"centre/firewall state 2 pause {left:g}; late")()


class LyingGuard(MemoryGuard):
    """Says that it went back, and did not."""

    def _go_back(self, last: _Transaction, cause: Cause, detail: str = "") -> None:
        self._last = replace(last, state=TransactionState.REVERTED, cause=cause, detail=detail)
        self._lease = None


def _lie() -> list[str]:
    scene = Scene(plan_of=undisturbed())
    scene.devices[CORE].guard = LyingGuard(scene.devices[CORE])
    scene.verdict = Outcome.FAIL
    result = scene.go().result
    said = {one.standing for one in result.devices if one.device == CORE} if result else set()
    return [] if said == {Standing.REVERTED_DIFFERS} else [f"{CORE} was believed: {said}"]


def _way_back_fails() -> list[str]:
    scene = History.parse("site/core-switch arm 1 revert-fails 0; late").scene()
    scene.verdict = Outcome.FAIL
    result = scene.go().result
    said = {one.standing for one in result.devices if one.device == CORE} if result else set()
    return [] if said == {Standing.REVERTED_DIFFERS} else [f"a way back that failed was told as {said}"]


def _stale() -> list[str]:
    scene = Scene(plan_of=undisturbed())
    scene.devices[CORE].running[SWITCH] += "port 7\n"
    ending = scene.go()
    wrong = [] if isinstance(ending.code, int) and ending.code != 0 and ending.result is None else ["it was applied"]
    return wrong + [one for one in scene.left_over() if "lease" in one]


def _second_engineer() -> list[str]:
    scene = _dead(Event.LEASED, 4)
    scene.revive()
    scene.run = scene.begun(scene.plan)
    return [] if scene.go().error is not None else ["two engineers changed the same devices at once"]


def _foreign_token() -> list[str]:
    """Somebody else's change is pending where ours went back: it is not ours to confirm."""
    scene = _dead(Event.DECIDED)
    scene.rest()
    ours, scene.run = scene.run, scene.begun(scene.plan)
    scene.revive()
    scene.killed_at = Moment("line-after", _after(Event.DECIDED).number + _after(Event.GATE).number)
    scene.go()
    scene.run = ours
    scene.resume()
    held = {name: device.guard.state().startup for name, device in scene.devices.items()}
    return [f"{name}: {token} was confirmed" for name, token in held.items() if token and ours.name not in token]


def _old_conversation() -> list[str]:
    scene = Scene(plan_of=undisturbed())
    for wall in (FIREWALL, HUB):
        scene.devices[wall].conversations += ["accept 1", LIVE]
    scene.go()
    return [f"{wall} still tracks it" for wall in (FIREWALL, HUB) if scene.devices[wall].conversations != [LIVE]]


def _somebody_elses() -> list[str]:
    scene = _dead(Event.GATE)
    scene.devices[HUB].running[SWITCH] += "port of another commune\n"
    scene.resume()
    kept = "another commune" in scene.devices[HUB].running[SWITCH]
    return [] if kept else ["the way back took another commune's port away"]


def _undetermined() -> list[str]:
    scene = Scene(plan_of=undisturbed())
    scene.verdict = Outcome.UNKNOWN
    scene.go()
    scene.rest()
    return [] if scene.sides() == OLD else ["what could not be determined was confirmed"]


def _rolled_back() -> list[str]:
    scene = Scene()
    scene.go()
    first = scene.run
    scene.aim(scene.before)
    scene.go()
    scene.run = first
    scene.resume()
    return [] if scene.sides() == NEW else ["its rollback was undone"]


def _said_where() -> list[str]:
    """A device started anew within its arming: nothing more may be sent to those that come after it."""
    scene = History.parse("site/pole-switch arm 1 reboot-within 0; late").scene()
    scene.go()
    armed = {call.device for call in scene.calls if call.operation is Operation.ARM}
    return [] if armed == {POLE} else [f"armed all the same: {sorted(armed - {POLE})}"]


# --- what is taken away -----------------------------------------------------------------------------------------------


def _set(target: object, name: str, value: object) -> Callable[[Patch], None]:
    return lambda patch: patch.setattr(target, name, value)


def _nothing(*_arguments: object, **_named: object) -> None:
    return None


def _job(alter: Callable[[DevicePlan, jobs.DeviceJob], jobs.DeviceJob]) -> Callable[[Patch], None]:
    made = jobs.job_of

    def altered(planned: DevicePlan, *arguments: object) -> jobs.DeviceJob:
        return alter(planned, made(planned, *arguments))  # type: ignore[arg-type]  # handed through as they came

    def remove(patch: Patch) -> None:
        patch.setattr(transaction, "job_of", altered)
        patch.setattr(catching_up, "job_of", altered)

    return remove


def _boots_old(planned: DevicePlan, made: jobs.DeviceJob) -> jobs.DeviceJob:
    startup = tuple(Load(section.name, section.text) for section in planned.running)
    return replace(made, job=replace(made.job, startup=startup))


def _whole_way_back(planned: DevicePlan, made: jobs.DeviceJob) -> jobs.DeviceJob:
    back = tuple(Load(section.name, section.text) for section in planned.running)
    return replace(made, job=replace(made.job, back=back))


def _never(_planned: DevicePlan, made: jobs.DeviceJob) -> jobs.DeviceJob:
    return replace(made, job=replace(made.job, deadline=100_000))


def _at_once(planned: DevicePlan, made: jobs.DeviceJob) -> jobs.DeviceJob:
    """Let a device load the last of its texts in the first step, whatever its peers have."""
    del planned
    if len(made.job.steps) == 1:
        return made
    last = made.job.steps[-1]
    return jobs.DeviceJob(replace(made.job, steps=(made.job.steps[0] + last,)), {jobs.FIRST_PHASE: 1})


def _asked_once(self: Asking, device: DevicePlan, ask: Callable[[object], object], _seconds: float = 0.0) -> object:
    return ask(self.connections(device.device))


def _not_failed(self: gate.GateCheck) -> bool:
    return self.outcome is not Outcome.FAIL


def _undecided(_entries: object) -> bool:
    return False


def _decided(_entries: object) -> bool:
    return True


def _as_it_was_found(_self: object, _device: object, found: object) -> object:
    return found


class _Every(tuple[str, ...]):
    """Holds whatever it is asked for."""

    __slots__ = ()

    def __contains__(self, _token: object) -> bool:
        return True


def _every_token(self: recovery.Recovery) -> tuple[str, ...]:
    return _Every([self.run.token(self.plan)])


def _believed(patch: Patch) -> None:
    patch.setattr(recovery.Recovery, "_compared", _as_it_was_found)
    patch.setattr(asking, "_STANDING", {**asking._STANDING, TransactionState.REVERTED_DIFFERS: Standing.REVERTED})


def _armed_or_not(patch: Patch) -> None:
    patch.setattr(judging, "pending", lambda _state, _token: True)
    patch.setattr(judging.Judging, "margin", lambda _self: "")  # what is not armed has no time left: found there too


def _dead_man_passes(_self: object, device: DevicePlan) -> gate.GateCheck:
    return gate.GateCheck(name="dead-man", outcome=Outcome.PASS, device=device.device)


GUARDS: tuple[Guard, ...] = (
    Guard(
        1, "recovery goes forward once it is decided", _set(resuming, "_decided", _undecided), _late(Event.CONFIRMED, 2)
    ),
    Guard(1, "recovery goes back while nothing is decided", _set(resuming, "_decided", _decided), _late(Event.GATE)),
    Guard(
        1,
        "what went back after the decision is brought forward",
        _set(catching_up.CatchingUp, "go", _nothing),
        _late(Event.CONFIRMED, 1),
    ),
    Guard(
        2,
        "the gate wants every device armed",
        _armed_or_not,
        _decided_under("site/pole-switch state 2 reboot-before 0; late"),
    ),
    Guard(3, "a dead-man has a deadline", _job(_never), _late(Event.GATE)),
    Guard(
        4,
        "only a token of the run is confirmed",
        _set(recovery.Recovery, "tokens", property(_every_token)),
        _foreign_token,
    ),
    Guard(
        5,
        "the gate wants every dead-man alive",
        _set(judging.Judging, "_dead_man", _dead_man_passes),
        _decided_under("site/core-switch read 2 timer-killed 0; late"),
    ),
    Guard(
        6,
        "every timer has margin before the decision",
        _set(judging.Judging, "margin", lambda _self: ""),
        _no_time_left,
    ),
    Guard(
        1,
        "a reply that was lost is asked for again",
        _set(Asking, "of_device", _asked_once),
        _unconfirmed("site/core-switch arm 1 reply-lost 5; late"),
    ),
    Guard(
        7,
        "a confirmation that comes too late is taken forward",
        _set(catching_up.CatchingUp, "go", _nothing),
        _unconfirmed("site/core-switch confirm 1 delay 130; late"),
    ),
    Guard(8, "a device that says it went back is read", _set(recovery.Recovery, "_compared", _as_it_was_found), _lie),
    Guard(9, "a way back that failed is told", _believed, _way_back_fails),
    Guard(10, "the way back is by section", _job(_whole_way_back), _somebody_elses),
    Guard(11, "confirming is saving", _job(_boots_old), _histories("late")),
    Guard(12, "a lease keeps a second engineer out", _set(MemoryGuard, "_refuse_other", _nothing), _second_engineer),
    Guard(12, "a stale plan is refused", _set(transaction, "differing", lambda _sections, _read: []), _stale),
    Guard(12, "refusing leaves no lease", _set(transaction.Transaction, "_release", _nothing), _stale),
    Guard(12, "a run that ended is only asked about", _set(resuming, "_ended", lambda _entries: ""), _rolled_back),
    Guard(
        13,
        "the gate opens a new connection",
        _set(connections.Connections, "drop", _nothing),
        _decided_under("site/core-switch read 1 host-key 0; late"),
    ),
    Guard(13, "a tunnel changes in phases", _job(_at_once), _unconfirmed("late")),
    Guard(
        13,
        "a confirmed end takes old and new for the far end",
        _set(catching_up.CatchingUp, "_hold_open", _nothing),
        _late(Event.CONFIRMED, 1),
    ),
    Guard(13, "undetermined is failed", _set(gate.GateCheck, "passed", property(_not_failed)), _undetermined),
    Guard(
        14, "refused conversations are forgotten", _set(transaction.Transaction, "_forget", _nothing), _old_conversation
    ),
    Guard(
        15,
        "what is read back is compared with the candidate",
        _set(judging, "difference", lambda _running, _canonical: ""),
        _decided_under("site/core-switch arm 1 write-otherwise 0; late"),
    ),
    Guard(
        16,
        "so is what somebody changed in the window",
        _set(judging, "difference", lambda _running, _canonical: ""),
        _decided_under("site/pole-switch read 2 hand-edit 0; late"),
    ),
    Guard(
        17,
        "a device that started anew is not taken for armed",
        _set(asking, "require_pending", lambda _device, state, _token: state),
        _said_where,
    ),
)
"""Every guard that can be taken away."""
