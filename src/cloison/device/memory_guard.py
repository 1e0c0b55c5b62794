"""The guard of a device in memory: one lease, one pending transaction, a dead-man, and a start from what was confirmed.

It answers as the script on a real device does; both are held to the same tests (tests/contract).
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from cloison.device.guard import Cause, GuardState, Lease, LeaseError, TokenError, TransactionState
from cloison.device.section import joined, lines_of
from cloison.errors import DeviceError, LoadError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.device.guard import Timer
    from cloison.device.job import Job, Load
    from cloison.device.memory_world import World
    from cloison.model import EquipmentName
    from cloison.render.config import SectionName

SCRIPT = hashlib.sha256(b"memory").hexdigest()
"""What a device in memory says of its script."""


class Guarded(Protocol):
    """What the guard knows of the device that it guards."""

    device: EquipmentName
    world: World
    running: dict[SectionName, str]
    disk_full: bool
    timer_alive: bool
    revert_fails: bool
    boots: int
    timer: Timer
    conversations: list[str]

    def keep(self, load: Load) -> None:
        """Make a section equal to a text. Raises LoadError."""

    def interrupted(self, loaded: int) -> None:
        """Raise, where the device is to lose power or the process once so many sections are loaded."""


@dataclass(frozen=True, slots=True)
class _Transaction:
    """The last transaction."""

    job: Job
    before: Mapping[SectionName, str]
    """What ran before it, by section."""
    deadline: float
    state: TransactionState = TransactionState.ARMED
    step: int = 0
    cause: Cause = Cause.NONE
    detail: str = ""
    begun: tuple[SectionName, ...] = ()
    """The sections that were begun to be loaded."""

    @property
    def pending(self) -> bool:
        return self.state is TransactionState.ARMED


class MemoryGuard:
    """What the script does on a device; nothing befalls a call here."""

    def __init__(self, device: Guarded) -> None:
        self._device = device
        self._last: _Transaction | None = None
        self._lease: Lease | None = None
        self._lease_ends = 0.0
        self._startup_token = ""
        self._startup = dict(device.running)

    def state(self) -> GuardState:
        """Return where the device stands."""
        last, now = self._last, self._device.world.now
        state = GuardState(
            script=SCRIPT,
            timer=self._device.timer,
            timer_alive=self._device.timer_alive,
            boot=f"{self._device.boots}",
            state=TransactionState.NONE,
            startup=self._startup_token,
            lease=self._held(),
        )
        if last is None:
            return state
        return replace(
            state,
            state=last.state,
            token=last.job.token,
            step=last.step,
            remaining=max(0.0, last.deadline - now) if last.pending else 0.0,
            cause=last.cause,
            detail=last.detail,
        )

    def lease(self, lease: Lease) -> None:
        """Take the lease, or renew one's own."""
        self._refuse_other(lease.token)
        self._lease, self._lease_ends = lease, self._device.world.now + lease.seconds

    def release(self, token: str) -> None:
        """Give the lease up; nothing while its transaction is pending, and nothing when it is another's."""
        held = self._held()
        if held is not None and held.token == token and not (self._last and self._last.pending):
            self._lease = None

    def arm(self, job: Job) -> GuardState:
        """Arm the dead-man and apply the first step."""
        device, last = self._device, self._last
        if last is not None and last.job.token == job.token:
            return self.state()
        if job.token == self._startup_token:
            return self._confirmed()
        if last is not None and last.pending:
            raise TokenError(device.device, f"{last.job.token} is pending")
        held = self._held()
        if held is None or held.token != job.token:
            raise LeaseError(device.device, held)
        if device.disk_full:
            raise DeviceError(device.device, "the job cannot be kept: no space left on device")
        if not device.timer_alive:
            raise DeviceError(device.device, "the dead-man does not run, nothing was applied")
        deadline = device.world.now + job.deadline
        armed = self._last = _Transaction(job, dict(device.running), deadline)
        device.world.at(deadline, lambda: self._expire(job.token))
        return self._apply(armed, 1)

    def step(self, token: str, number: int) -> GuardState:
        """Apply a further step."""
        last = self._pending(token)
        if number <= last.step:
            return self.state()
        if number != last.step + 1 or number > len(last.job.steps):
            raise DeviceError(self._device.device, f"step {number} does not follow step {last.step}")
        return self._apply(last, number)

    def confirm(self, token: str) -> GuardState:
        """Decide for the change."""
        if token == self._startup_token:
            return self._confirmed()
        last = self._pending(token)
        if last.step != len(last.job.steps):
            raise DeviceError(self._device.device, f"step {last.step} of {len(last.job.steps)} is applied")
        if self._device.disk_full:
            raise DeviceError(self._device.device, "the decision cannot be kept: no space left on device")
        self._last = replace(last, state=TransactionState.CONFIRMED)
        self._startup = {load.section: joined(lines_of(load.text)) for load in last.job.startup}
        self._startup_token, self._lease = token, None
        return self.state()

    def revert(self, token: str) -> GuardState:
        """Go back now."""
        last = self._last
        if last is not None and last.pending:
            if last.job.token != token:
                raise TokenError(self._device.device, f"{last.job.token} is pending")
            self._go_back(last, Cause.ORDER)
        if token == self._startup_token:
            raise TokenError(self._device.device, f"{token} was confirmed")
        return self.state()

    def forget(self, token: str, conversations: tuple[str, ...]) -> None:
        """Delete tracked connections."""
        self._pending(token)
        self._forget(conversations)

    def boot(self) -> None:
        """Start from what was last confirmed, and drop what is pending."""
        device = self._device
        self._lease, device.timer_alive = None, True
        device.running.clear()
        device.running.update(self._startup)
        if self._last is not None and self._last.pending:
            self._ended(self._last, Cause.BOOT)

    def settle(self) -> None:
        """Make what runs at this moment what the device starts with, as whoever set it up did."""
        self._startup = dict(self._device.running)

    def boots_with(self) -> Mapping[SectionName, str]:
        """Return what the device starts with."""
        return self._startup

    def _confirmed(self) -> GuardState:
        """Return the state of what the device boots with, whatever came after it."""
        state = self.state()
        return replace(state, state=TransactionState.CONFIRMED, token=state.startup, cause=Cause.NONE, detail="")

    def _held(self) -> Lease | None:
        now, last = self._device.world.now, self._last
        if self._lease is None:
            return None
        ends = self._lease_ends
        if last is not None and last.pending and last.job.token == self._lease.token:
            ends = max(ends, last.deadline)
        return replace(self._lease, seconds=ends - now) if now < ends else None

    def _refuse_other(self, token: str) -> None:
        held = self._held()
        if held is not None and held.token != token:
            raise LeaseError(self._device.device, held)

    def _pending(self, token: str) -> _Transaction:
        if self._last is None or self._last.job.token != token or not self._last.pending:
            raise TokenError(self._device.device, f"{token} is not pending")
        return self._last

    def _apply(self, last: _Transaction, number: int) -> GuardState:
        try:
            self._device.interrupted(0)
            for loaded, load in enumerate(last.job.steps[number - 1], 1):
                last = self._last = replace(last, begun=(*last.begun, load.section))
                self._device.keep(load)
                self._device.interrupted(loaded)
        except LoadError as error:
            self._go_back(last, Cause.REFUSED, str(error))
        else:
            self._last = replace(last, step=number)
        return self.state()

    def _expire(self, token: str) -> None:
        last = self._last
        if last is not None and last.job.token == token and last.pending and self._device.timer_alive:
            self._go_back(last, Cause.DEADLINE)

    def _go_back(self, last: _Transaction, cause: Cause, detail: str = "") -> None:
        running = self._device.running
        for load in last.job.back:
            touched = load.section in last.begun or running.get(load.section, "") != last.before.get(load.section, "")
            if not touched:
                continue  # nobody touched it, and so does nobody now
            with contextlib.suppress(LoadError):  # the comparison tells it
                if not self._device.revert_fails:
                    self._device.keep(load)
        self._forget(last.job.back_conversations)
        self._ended(last, cause, detail)

    def _forget(self, conversations: tuple[str, ...]) -> None:
        kept = [one for one in self._device.conversations if one not in conversations]
        self._device.conversations[:] = kept

    def _ended(self, last: _Transaction, cause: Cause, detail: str = "") -> None:
        """Compare what the change is about with what ran before, and let go of the lease."""
        running, before = self._device.running, last.before
        back = [load.section for load in last.job.back]
        differ = [name for name in back if running.get(name, "") != before.get(name, "")]
        state = TransactionState.REVERTED_DIFFERS if differ else TransactionState.REVERTED
        self._last = replace(last, state=state, cause=cause, detail=" ".join(differ) or detail)
        self._lease = None
