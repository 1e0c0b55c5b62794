"""What guards a change on a device: a lease, a dead-man that goes back by itself, and one rename that decides.

The contract is gNMI's commit-confirmed and NETCONF's (RFC 6241 section 8.4) with a persist-id: one pending transaction
on a device, known by its token, armed and applied in one operation, confirmed or taken back by whoever holds the
token, over any connection. Every operation may be asked twice: a reply can be lost, and the answer is then the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from cloison.errors import DeviceError, RefusedError

if TYPE_CHECKING:
    from cloison.device.job import Job

GRACE_SECONDS = 5.0
"""How long after its deadline a device may take to have gone back."""


class Timer(StrEnum):
    """What runs the dead-man."""

    SYSTEMD = "systemd"
    """A transient timer unit (systemd-run(1)) with `AccuracySec=1s`."""
    TICKER = "ticker"
    """A process that compares the clock with the deadline twice a second and is started again when it dies."""
    NONE = "none"
    """Nothing: the change stays when nobody confirms it."""


class TransactionState(StrEnum):
    """Where the last transaction of a device stands."""

    NONE = "none"
    """There never was one, or none since the last one was forgotten."""
    ARMED = "armed"
    """The dead-man runs; the steps up to `step` are applied."""
    CONFIRMED = "confirmed"
    """It was confirmed, and is what the device boots with."""
    REVERTED = "reverted"
    """It went back, and every section was then compared equal to the snapshot taken before it."""
    REVERTED_DIFFERS = "reverted-differs"
    """It went back, and something then differed from the snapshot; `detail` names the sections."""
    REVERTING = "reverting"
    """It is on its way back at this moment."""


class Cause(StrEnum):
    """Why a transaction went back."""

    NONE = "none"
    DEADLINE = "deadline"
    """Nobody confirmed in time."""
    ORDER = "order"
    """Whoever holds the token said so."""
    BOOT = "boot"
    """The device started anew while it was pending."""
    REFUSED = "refused"
    """A daemon refused a section; `detail` has its words."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may change a device. It ends by itself, and lives as long as a transaction under its token is pending."""

    token: str
    owner: str
    """A person and a machine, for whoever is refused; printable ASCII, 80 characters at most."""
    plan: str
    """The first 12 digits of the plan's hash."""
    seconds: float
    """How long it lasts yet."""


@dataclass(frozen=True, slots=True)
class GuardState:
    """What the guard of a device says of itself. All of it is the device's word."""

    script: str
    """SHA-256 of the script that answers; empty where the platform has its own guard."""
    timer: Timer
    timer_alive: bool
    """False when nothing would go back: a confirm is then never sent."""
    boot: str
    """Tells this run of the device from the one before."""
    state: TransactionState
    token: str = ""
    """Of the transaction that `state` is about."""
    step: int = 0
    """The last step that was applied whole; steps count from 1."""
    busy: bool = False
    """True while a step is being applied, or the way back is under way."""
    remaining: float = 0.0
    """Seconds until the dead-man acts; 0 when none is pending."""
    cause: Cause = Cause.NONE
    detail: str = ""
    """Words of a tool, or the sections that differ; untrusted."""
    startup: str = ""
    """The token of the transaction that the device boots with; empty when none was ever confirmed."""
    lease: Lease | None = None


class LeaseError(RefusedError):
    """Somebody else is changing the device; or nobody holds the lease that is asked for."""

    def __init__(self, device: str, lease: Lease | None) -> None:
        self.device, self.lease = device, lease
        super().__init__(
            f"{device}: {lease.owner} is changing it (plan {lease.plan}, for {lease.seconds:.0f} s more); "
            "wait, or ask them"
            if lease
            else f"{device}: a change without a lease is refused; its lease has run out or was never taken"
        )


class TokenError(DeviceError):
    """The device holds no pending transaction of this token, or another one."""


class NoGuardError(DeviceError):
    """Nothing on the device guards a change."""


class Guard(Protocol):
    """Guards one device over one connection. Every call raises TransportError when the device cannot be asked."""

    def state(self) -> GuardState:
        """Return where it stands. Raises DeviceError for an answer without a known form."""

    def lease(self, lease: Lease) -> None:
        """Take the lease, or renew one's own. Raises LeaseError while another token has it."""

    def release(self, token: str) -> None:
        """Give the lease up; nothing when it is another's or when there is none."""

    def arm(self, job: Job) -> GuardState:
        """Arm the dead-man and apply the first step, as one operation; return the state once the step has ended.

        Nothing is applied before the dead-man is alive. A section that a daemon refuses makes the device go back at
        once: the state is then REVERTED with cause REFUSED. Raises LeaseError without the lease, TokenError while
        another transaction is pending, DeviceError when the job cannot be kept (its disk is full) or has another hash.
        Asked again with the same token, it applies nothing and returns the state.
        """

    def step(self, token: str, number: int) -> GuardState:
        """Apply a further step; as `arm` for what is refused. Raises TokenError unless the token is armed here."""

    def confirm(self, token: str) -> GuardState:
        """Decide for the change, which then is what the device boots with, and end the lease.

        Raises TokenError when the token is not pending (it went back, or the device started anew). Asked again it
        returns CONFIRMED.
        """

    def revert(self, token: str) -> GuardState:
        """Go back now; return the state once the device has. Raises TokenError when the token was confirmed."""

    def forget(self, token: str, conversations: tuple[str, ...]) -> None:
        """Delete tracked connections, each named by the words of conntrack(8) that select it, from the pending change.

        Raises TokenError unless the token is armed here.
        """
