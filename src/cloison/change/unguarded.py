"""Stands in for the guard that a device lacks, where somebody asked for the change of that device by its name.

It takes the change back while this process lives and the device can be reached, and it can do no more: when either
ends, what was loaded stays. It keeps nothing for a boot either. The plan says so, and so does every refusal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cloison.device.guard import Cause, GuardState, Lease, LeaseError, Timer, TokenError, TransactionState
from cloison.errors import LoadError
from cloison.render.config import Section, SectionName

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from cloison.change.plan import DevicePlan, Plan
    from cloison.device.contract import Device, Opener
    from cloison.device.job import Job, Load
    from cloison.model import EquipmentName


@dataclass
class _Held:
    """What this process knows of the transaction of one device."""

    state: GuardState = field(
        default_factory=lambda: GuardState("", Timer.NONE, timer_alive=True, boot="", state=TransactionState.NONE)
    )
    job: Job | None = None
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class HeldHere:
    """A `cloison.device.guard.Guard` whose dead-man is this process: it goes back when it is told to, and only then."""

    planned: DevicePlan
    device: Device
    held: _Held

    def state(self) -> GuardState:
        """Return what this process knows."""
        return replace(self.held.state, lease=self.held.lease)

    def lease(self, lease: Lease) -> None:
        """Take the lease in this process; nobody else is kept from the device."""
        if self.held.lease is not None and self.held.lease.token != lease.token:
            raise LeaseError(self.planned.device, self.held.lease)
        self.held.lease = lease

    def release(self, token: str) -> None:
        """Give the lease up."""
        if self.held.lease is not None and self.held.lease.token == token:
            self.held.lease = None

    def arm(self, job: Job) -> GuardState:
        """Apply the first step; there is nothing to be armed."""
        if self.held.state.token != job.token:
            self.held.job = job
            self._is(TransactionState.ARMED, job.token, 0, remaining=float(job.deadline))
            self._apply(1)
        return self.state()

    def step(self, token: str, number: int) -> GuardState:
        """Apply a further step."""
        self._require(token)
        if number > self.held.state.step:
            self._apply(number)
        return self.state()

    def confirm(self, token: str) -> GuardState:
        """Let the change stay."""
        if (self.held.state.token, self.held.state.state) != (token, TransactionState.CONFIRMED):
            self._require(token)
            self._is(TransactionState.CONFIRMED, token, self.held.state.step)
            self.held.lease = None
        return self.state()

    def revert(self, token: str) -> GuardState:
        """Go back, section by section."""
        if self.held.state.token == token and self.held.state.state is TransactionState.ARMED:
            self._back(token, Cause.ORDER, "")
        elif self.held.state.token != token or self.held.state.state is TransactionState.CONFIRMED:
            self._require(token)
        return self.state()

    def forget(self, token: str, conversations: tuple[str, ...]) -> None:
        """Forget nothing: without a guard there is nobody on the device to be asked."""
        del conversations
        self._require(token)

    def _require(self, token: str) -> None:
        if self.held.state.token != token or self.held.state.state is not TransactionState.ARMED:
            raise TokenError(self.planned.device, "the token is not pending here")

    def _is(self, state: TransactionState, token: str, step: int, *, remaining: float = 0.0) -> None:
        self.held.state = replace(
            self.held.state, state=state, token=token, step=step, remaining=remaining, cause=Cause.NONE, detail=""
        )

    def _apply(self, number: int) -> None:
        job = self.held.job
        if job is None:
            raise TokenError(self.planned.device, "the token is not pending here")
        try:
            for load in job.steps[number - 1]:
                self.device.writer.load(self._section(load, self.planned.config("candidate").section))
        except LoadError as error:
            self._back(job.token, Cause.REFUSED, str(error))
            return
        self._is(TransactionState.ARMED, job.token, number, remaining=self.held.state.remaining)

    def _section(self, load: Load, text_of: Callable[[SectionName], Section]) -> Section:
        """Return a section as a Writer loads it: a job spells switch rows otherwise, all else is the same text."""
        if load.section is SectionName.SWITCH:
            return text_of(SectionName.SWITCH)
        return Section(name=load.section, text=load.text)

    def _back(self, token: str, cause: Cause, detail: str) -> None:
        reader, before = self.device.reader, self.planned.config("running")
        for load in self.held.job.back if self.held.job is not None else ():
            self.device.writer.load(self._section(load, lambda name: reader.loadable(before, name)))
        self._is(TransactionState.REVERTED, token, 0)
        self.held.state = replace(self.held.state, cause=cause, detail=detail)
        self.held.lease = None


def guarded_here(plan: Plan, opener: Opener, names: Collection[EquipmentName]) -> Opener:
    """Return an opener whose devices of these names are guarded by this process; the others are as they are."""
    held = {name: _Held() for name in names}

    def opened(device: EquipmentName) -> Device:
        found = opener(device)
        if device not in held:
            return found
        return replace(found, guard=HeldHere(plan.device(device), found, held[device]))

    return opened
