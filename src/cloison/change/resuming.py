"""Where a run stands, by the word of every device it was about, and how it is taken to its end after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.change.asking import Asking, outcome
from cloison.change.fleetwide import on_each_that_can
from cloison.change.journal import Event
from cloison.change.outcome import Decision, DeviceOutcome, Result, Standing
from cloison.change.recovery import Recovery
from cloison.errors import RefusedError
from cloison.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cloison.change.effects import Effects
    from cloison.change.journal import Entry, Run
    from cloison.change.plan import DevicePlan

ASK_SECONDS = 5.0
"""How long `status` tries to reach a device."""


class Status(Model):
    """Where a run stands."""

    run: str
    plan: str
    begun: str
    """UTC, ISO 8601."""
    decided: bool
    """True once the decision is on the disk: from then on the change goes forward."""
    ended: str = ""
    """How the run ended; empty while it did not."""
    devices: tuple[DeviceOutcome, ...]

    @property
    def sentence(self) -> str:
        """Say where the network stands in this run."""
        count = len(self.devices)
        tally = {where: sum(1 for one in self.devices if one.standing is where) for where in Standing}
        shown = ", ".join(f"{number} {where}" for where, number in tally.items() if number)
        if not count:
            return "no device was to change"
        if tally[Standing.CONFIRMED] == count:
            return f"all {count} devices run the candidate and boot with it"
        if tally[Standing.REVERTED] + tally[Standing.UNCHANGED] == count:
            return f"all {count} devices run what they ran before"
        return f"{count} devices: {shown}"

    @property
    def settled(self) -> bool:
        """True when nothing is left to do: the run ended, or every device stands on the same side of it."""
        sides = {one.standing for one in self.devices}
        alike = sides <= {Standing.CONFIRMED} or (sides <= {Standing.REVERTED, Standing.UNCHANGED} and not self.decided)
        return bool(self.ended) and alike

    @property
    def next_step(self) -> str:
        """Return the command that goes on; an empty text when nothing is left to do."""
        return "" if self.settled else f"cloison resume {self.run}"


def status(run: Run, effects: Effects) -> Status:
    """Return where every device of a run stands, each asked now. Raises InputError for a broken journal."""
    plan, entries = run.plan, run.entries()
    asking = Asking(effects)
    tokens = Recovery(plan, run, effects, asking, effects.monotonic()).tokens
    try:
        devices = _all(plan.changed, lambda device: asking.where(device, tokens, ASK_SECONDS), effects.workers)
    finally:
        asking.connections.close()
    kept = {entry.device for entry in entries if entry.event is Event.CONFIRMED}
    return Status(
        run=run.name,
        plan=plan.sha256,
        begun=entries[0].at if entries else "",
        decided=_decided(entries),
        ended=_ended(entries),
        devices=tuple(_superseded(one) if one.device in kept else one for one in devices),
    )


def _superseded(one: DeviceOutcome) -> DeviceOutcome:
    """Return the outcome of a device that was confirmed in this run: what stands there instead is a later change."""
    if one.standing is not Standing.UNCHANGED:
        return one
    return one.model_copy(update={"standing": Standing.CONFIRMED, "detail": "a later change went on from there"})


def _all(
    devices: Sequence[DevicePlan], ask: Callable[[DevicePlan], DeviceOutcome], workers: int
) -> tuple[DeviceOutcome, ...]:
    by_name = {device.device: device for device in devices}
    done, failed = on_each_that_can(list(by_name), lambda name: ask(by_name[name]), workers) if devices else ({}, {})
    stray = {name: outcome(by_name[name], Standing.UNKNOWN, str(error)) for name, error in failed.items()}
    return tuple((done | stray)[name] for name in by_name)


def _decided(entries: Sequence[Entry]) -> bool:
    return any(entry.event is Event.DECIDED for entry in entries)


def _ended(entries: Sequence[Entry]) -> str:
    return next((entry.detail for entry in reversed(entries) if entry.event is Event.ENDED), "")


def resume(run: Run, effects: Effects, *, still: bool = True) -> Result:
    """Take a run to its end: back where nothing was decided, forward where something was; return what became of it.

    A run that ended is only asked about. `still` says that no other process is at this run: a second one must not
    decide for the first. Raises RefusedError otherwise.
    """
    if not still:
        msg = f"run {run.name} is being carried out by another process; wait for it, or end it"
        raise RefusedError(msg)
    plan, entries = run.plan, run.entries()
    if ended := _ended(entries):
        return _asked_about(run, effects, ended)
    asking = Asking(effects)
    recovery = Recovery(plan, run, effects, asking, effects.monotonic())
    try:
        effects.journal(Event.RESUMED)
        result = recovery.forward() if _decided(entries) else recovery.back(_why(entries))
    finally:
        asking.connections.close()
    if result.decision is not Decision.UNDETERMINED:
        effects.journal(Event.ENDED, None, result.decision.value)
    return result


def _asked_about(run: Run, effects: Effects, ended: str) -> Result:
    """Return how an ended run ended, and where its devices stand now: what came later is not undone."""
    decision, _, reason = ended.partition(": ")
    now = status(run, effects)
    return Result(run=run.name, plan=now.plan, decision=Decision(decision), devices=now.devices, reason=reason)


def _why(entries: Sequence[Entry]) -> str:
    given = next((entry.detail for entry in reversed(entries) if entry.event is Event.GOING_BACK), "")
    return given or "it stopped before anything was decided"
