"""One trial: a change that is injured at one point, what every device runs after it, and what status and resume say."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from tests.crash.ground import BASE, Direction
from tests.crash.injuries import INJURIES, moment_after

from cloison.change.order import Via
from cloison.device.guard import TransactionState
from cloison.errors import CloisonError
from cloison.model import EquipmentName

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.crash.forked import Child
    from tests.crash.ground import Ground, Look

    from cloison.change.plan import Plan
    from cloison.device.guard import GuardState

KILL = "killed"
STOP = "stopped past the deadline"
CONTROL_DEADLINE = 60
CHILD_SECONDS = 240.0
QUIET_SECONDS = 90.0
_POLL_SECONDS = 0.5
_PENDING = {TransactionState.ARMED, TransactionState.REVERTING}


class Found(StrEnum):
    """What a device runs."""

    OLD = "old"
    NEW = "new"
    NEITHER = "neither"


@dataclass(frozen=True)
class Trial:
    """What is tried."""

    change: str
    """One of `ground.CHANGES`."""
    fault: str
    """KILL or STOP (of the coordinator), or the name of an injury; empty for a change that nothing befalls."""
    point: str = ""
    """`<point>` or `<point>@<device>`; empty with `after`."""
    device: str = ""
    """Where the injury is dealt."""
    after: float = 0.0
    """Seconds after the start at which the coordinator is killed, where there is no point."""
    deadline: int = 20
    soon: bool = False
    """Resumed at once; otherwise first left alone until every device has settled by itself."""
    also: str = ""
    """A second point, at which the coordinator is killed after the injury at the first."""
    via: Via = Via.TUNNEL
    gate: str = "proof"

    def __str__(self) -> str:
        """Return it in words."""
        where = f" at {self.point}" if self.point else f" after {self.after:.2f} s" if self.after else ""
        on, then = f" on {self.device}" if self.device else "", f", then killed at {self.also}" if self.also else ""
        return f"{self.change}: {self.fault or 'nothing'}{on}{where}{then}"


@dataclass
class Outcome:
    """What came of a trial; one line of the record."""

    trial: dict[str, object]
    direction: str
    number: int = 0
    exit: int | None = None
    """Of `cloison apply`; -9 when it was killed."""
    reached: bool = True
    """False when the point was not passed, so that nothing was injured."""
    run: str = ""
    decided: bool = False
    quiet: dict[str, str] = field(default_factory=dict)
    """What each device runs before anybody resumes."""
    status: dict[str, str] = field(default_factory=dict)
    """What `cloison status` says of each."""
    resumed: int | None = None
    """Exit status of `cloison resume`."""
    end: dict[str, str] = field(default_factory=dict)
    """What each device runs at the end."""
    negotiated: bool = False
    """True when the trial before had left tunnels that were up and carried nothing, so that they were made anew."""
    rebooted: str = ""
    """The device that was started anew at the end, to see that it boots with what it runs."""
    wrong: list[str] = field(default_factory=list)
    """Everything that is not as promised."""
    apply_seconds: float = 0.0
    seconds: float = 0.0

    def line(self) -> str:
        """Return it as a line of JSON."""
        return json.dumps(asdict(self), default=str) + "\n"


class Trying:
    """Carries out one trial after the other on one ground; keeps track of which intent the network is in."""

    def __init__(self, ground: Ground, record: Path) -> None:
        self.ground, self.record = ground, record
        self.intent = BASE
        self.count = 0
        self.hurt = False
        """True when something was done to the network that it may not have got over."""

    def learn(self, change: str, gate: str = "proof") -> tuple[list[str], list[str], float]:
        """Make a change and take it back, uninjured, and keep what every device then reads back.

        Return the points that either passes, the devices that it changes, and the seconds that the longer one took.
        Raises RuntimeError when it does not come off.
        """
        ground, points, seconds = self.ground, set[str](), 0.0
        if BASE not in ground.sections:
            ground.keep(BASE, ground.devices)
        names: list[EquipmentName] = []
        for direction in (Direction(BASE, change), Direction(change, BASE)):
            plan = ground.plan(direction, CONTROL_DEADLINE)
            names = [device.device for device in plan.changed]
            outcome = Outcome({"change": change}, str(direction))
            run = _Run(ground, Trial(change, "", deadline=CONTROL_DEADLINE, gate=gate), direction, outcome)
            run.apply(plan)
            if outcome.exit != 0:
                msg = f"{direction}, uninjured, ended with {outcome.exit}: {ground.said()}"
                raise RuntimeError(msg)
            ground.keep(direction.new, names)
            points |= set((ground.folder / "points.txt").read_text(encoding="utf-8").split())
            seconds = max(seconds, outcome.apply_seconds)
        return sorted(points), sorted(map(str, names)), seconds

    def run(self, trial: Trial, *, reboot: bool = False) -> Outcome:
        """Carry out a trial and write its line."""
        if self.intent not in {BASE, trial.change}:
            self.run(Trial(self.intent, "", deadline=CONTROL_DEADLINE))
        direction = Direction(self.intent, trial.change if self.intent == BASE else BASE)
        started = time.monotonic()
        self.count += 1
        outcome = Outcome({**asdict(trial), "name": str(trial)}, str(direction), self.count)
        try:
            _Run(self.ground, trial, direction, outcome).go(reboot=reboot, hurt=self.hurt)
        except (CloisonError, RuntimeError, TimeoutError) as error:
            outcome.wrong.append(f"the harness could not go on: {error}")
        outcome.seconds = round(time.monotonic() - started, 1)
        with self.record.open("a", encoding="utf-8") as file:
            file.write(outcome.line())
        self.hurt = reboot or trial.fault not in {"", KILL, STOP}
        ends = set(outcome.end.values())
        if outcome.wrong or len(ends) != 1 or not ends <= {Found.OLD, Found.NEW}:
            self._repair()
        elif ends == {Found.NEW}:
            self.intent = direction.new
        return outcome

    def _repair(self) -> None:
        """Put the shipped intent back, after a trial that left the network otherwise."""
        self.ground.heal_all()
        self.ground.negotiate()
        if self.ground.runs():
            self.ground.cloison(BASE, "resume", self.ground.runs()[-1])
        self.ground.settle()
        self.intent, self.hurt = BASE, True


@dataclass
class _Run:
    ground: Ground
    trial: Trial
    direction: Direction
    outcome: Outcome

    def go(self, *, reboot: bool, hurt: bool) -> None:
        plan = self.ground.plan(self.direction, self.trial.deadline, self.trial.via)
        names = [device.device for device in plan.changed]
        if hurt:
            self.outcome.negotiated = self.ground.await_way(plan)
        before = set(self.ground.runs())
        self.apply(plan)
        self._find_run(before)
        if not self.outcome.run and self.outcome.exit != -signal.SIGKILL:
            self.outcome.wrong.append(f"the change was refused before it began: {self.ground.said()}")
        looks = self.ground.look(names, read=False) if self.trial.soon else self._quiet(names, plan.deadline)
        self.outcome.quiet = {} if self.trial.soon else self._found_all(looks)
        if self.outcome.run:
            self._status(looks)
        if self.outcome.run and self.outcome.exit not in {0, 1, 2}:
            self._resume()
        if self.trial.soon or self.outcome.resumed is not None:
            looks = self.ground.look(names)
        self._judge(looks)
        if reboot:
            self._start_anew(names[self.outcome.number % len(names)])

    # --- the change, and what befalls it ----------------------------------------------------------------------------

    def apply(self, plan: Plan) -> None:
        """Apply the plan in a process of its own, and have befall it what the trial says."""
        trial, listed = self.trial, self.ground.folder / "points.txt"
        listed.unlink(missing_ok=True)
        variables = {"CLOISON_CRASH_LIST": str(listed)}
        if trial.fault == KILL and trial.point:
            variables["CLOISON_CRASH_AT"] = trial.point
        elif trial.point:
            variables["CLOISON_PAUSE_AT"] = trial.point
        if trial.also:
            variables["CLOISON_CRASH_AT"] = trial.also
        words = ["apply", "--yes", "--json", "--gate", trial.gate, "--plan", plan.sha256[:12]]
        started = time.monotonic()
        child = self.ground.start(self.direction.new, *words, **variables)
        try:
            self._befall(child, plan)
            self.outcome.exit = child.wait(CHILD_SECONDS)
        except TimeoutError as error:
            self.outcome.wrong.append(f"apply: {error}")
            self.outcome.exit = child.code
        finally:
            self.outcome.apply_seconds = round(time.monotonic() - started, 2)
            if child.code is None:
                child.kill()
                child.wait(CHILD_SECONDS)
        if (trial.also or trial.fault == KILL) and self.outcome.exit != -signal.SIGKILL:
            self.outcome.reached = False

    def _befall(self, child: Child, plan: Plan) -> None:
        trial = self.trial
        if trial.fault == KILL and not trial.point:
            child.event(trial.after)
            child.kill()
        elif trial.fault and trial.fault != KILL:
            if child.event(CHILD_SECONDS) == "stopped":
                self._injure(child, plan)
            else:
                self.outcome.reached = False

    def _injure(self, child: Child, plan: Plan) -> None:
        if self.trial.fault == STOP:
            self._quiet([device.device for device in plan.changed], plan.deadline)
            child.send(signal.SIGCONT)
            return
        injury, device = INJURIES[self.trial.fault], EquipmentName(self.trial.device)
        until = moment_after(self.trial.deadline, injury)
        injury.inflict(self.ground, device)
        try:
            child.send(signal.SIGCONT)
            if child.event(max(0.0, until - time.monotonic())) == "ended" and injury.past_deadline:
                time.sleep(max(0.0, until - time.monotonic()))
        finally:
            injury.heal(self.ground, device)

    # --- afterwards -------------------------------------------------------------------------------------------------

    def _find_run(self, before: set[str]) -> None:
        fresh = sorted(set(self.ground.runs()) - before)
        if fresh:
            self.outcome.run = fresh[-1]
            self.outcome.decided = "decided" in self.ground.events(fresh[-1])

    def _quiet(self, names: list[EquipmentName], deadline: int) -> dict[EquipmentName, Look]:
        """Look at the devices once none has anything pending; note those that still have when they must not."""
        limit = time.monotonic() + deadline + QUIET_SECONDS
        while True:
            looks = self.ground.look(names, read=False)
            busy = {name: look for name, look in looks.items() if look.state is None or is_pending(look.state)}
            if not busy:
                return self.ground.look(names)
            if time.monotonic() > limit:
                said = {str(name): look.error or str(look.state and look.state.state) for name, look in busy.items()}
                self.outcome.wrong.append(f"not settled: {said}")
                return self.ground.look(names)
            left = [look.state.remaining for look in busy.values() if look.state is not None]
            time.sleep(max([_POLL_SECONDS, *(min(seconds, 10.0) for seconds in left)]))

    def _found_all(self, looks: Mapping[EquipmentName, Look]) -> dict[str, str]:
        return {str(name): self._found(name, look) for name, look in looks.items()}

    def _found(self, name: EquipmentName, look: Look) -> str:
        old, new = (self.ground.sections[one][name] for one in (self.direction.old, self.direction.new))
        if look.config == new:
            return Found.NEW
        if look.config == old:
            return Found.OLD
        if look.config is None:
            self.outcome.wrong.append(f"{name} cannot be read: {look.error}")
        else:
            names = [s.name.value for s in look.config.sections if s not in (*old.sections, *new.sections)]
            self.outcome.wrong.append(f"{name} runs neither old nor new: {', '.join(names) or 'a mixture'}")
            self.ground.keep_evidence(self.outcome.number, name, look.config, old, new)
        return Found.NEITHER

    def _status(self, before: Mapping[EquipmentName, Look]) -> None:
        """Ask where the run stands, and compare with what the devices themselves say before and after."""
        code, document = self.ground.json(self.direction.new, "status", self.outcome.run)
        devices = document.get("devices")
        if not isinstance(devices, list):
            self.outcome.wrong.append(f"status says nothing (exit {code}): {document}")
            return
        self.outcome.status = {one["device"]: one["standing"] for one in devices}
        after = self.ground.look(before, read=False) if self.trial.soon else before
        for name in before:
            said = self.outcome.status.get(str(name), "not named")
            true = {self._truth(looks[name].state) for looks in (before, after)}
            if said not in true:
                self.outcome.wrong.append(f"status says {name} is {said}; the device says {', '.join(sorted(true))}")
            runs = self.outcome.quiet.get(str(name))
            if runs is not None and runs != _SHOULD_RUN.get(said, runs):
                self.outcome.wrong.append(f"status says {name} is {said}, and it runs the {runs}")
        if document.get("decided") is not self.outcome.decided:
            self.outcome.wrong.append(f"status says decided: {document.get('decided')}; the journal does not")

    def _truth(self, state: GuardState | None) -> str:
        """Return the standing that follows from what a guard says of this run."""
        if state is None:
            return "unreachable"
        if not state.token.startswith(self.outcome.run):
            return "unchanged"
        return str(state.state)

    def _resume(self) -> None:
        self.outcome.resumed, document = self.ground.json(self.direction.new, "resume", self.outcome.run)
        wanted = {0} if self.outcome.decided else {1, 3}
        if self.outcome.resumed not in wanted:
            said = document.get("explanation", document)
            self.outcome.wrong.append(f"resume ended with {self.outcome.resumed}: {said}")

    def _judge(self, looks: Mapping[EquipmentName, Look]) -> None:
        outcome = self.outcome
        outcome.end = self._found_all(looks)
        wanted = Found.NEW if outcome.decided else Found.OLD
        stray = [name for name, found in outcome.end.items() if found != wanted]
        if stray:
            outcome.wrong.append(f"{'decided' if outcome.decided else 'not decided'}, and {', '.join(stray)} is not so")
        if outcome.exit == 0 and not outcome.decided:
            outcome.wrong.append("apply ended with 0 and decided nothing")
        if outcome.exit in {1, 2} and outcome.decided:
            outcome.wrong.append(f"apply ended with {outcome.exit} and had decided")
        for name, look in looks.items():
            outcome.wrong += [f"{name}: {left}" for left in self._left(look, wanted)]

    def _left(self, look: Look, wanted: Found) -> list[str]:
        """Return what a run left on a device that it should not have."""
        state = look.state
        if state is None:
            return [look.error]
        found = []
        if state.lease is not None:
            found.append(f"a lease of {state.lease.owner} is left")
        if is_pending(state) or state.busy:
            found.append(f"it is {state.state}{', busy' if state.busy else ''}")
        if not state.timer_alive:
            found.append("its dead-man does not run")
        boots = bool(self.outcome.run) and state.startup.startswith(self.outcome.run)
        if boots is not (wanted is Found.NEW):
            found.append(f"it boots with {state.startup or 'nothing'}, and runs the {wanted}")
        return found

    def _start_anew(self, device: EquipmentName) -> None:
        """Cut the power of a device and boot it: what it then runs is what it ran."""
        self.outcome.rebooted = str(device)
        self.ground.client.reboot(device)
        self.ground.await_booted(device)
        ran = self.outcome.end[str(device)]
        runs = self._found(device, self.ground.look([device])[device])
        if runs != ran:
            self.outcome.wrong.append(f"{device} ran the {ran}, and boots with the {runs}")


def is_pending(state: GuardState) -> bool:
    """Tell whether a device has a change that is neither kept nor taken back."""
    return state.state in _PENDING


_SHOULD_RUN = {"confirmed": Found.NEW, "reverted": Found.OLD, "unchanged": Found.OLD}
