"""A change of one device by itself, as a playbook makes it: guarded like any other, judged by its read-back alone."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from cloison.change.asking import Asking, guard_of, require_applied
from cloison.change.jobs import FIRST_PHASE, job_of
from cloison.device.guard import Lease
from cloison.device.push import difference
from cloison.errors import CloisonError, DeviceError, LoadError

if TYPE_CHECKING:
    from cloison.change.effects import Effects
    from cloison.change.plan import DevicePlan
    from cloison.model import Name

DEADLINE_SECONDS: Final = 120
_LEASE_SECONDS: Final = 60.0


def change_alone(planned: DevicePlan, play: Name, effects: Effects) -> None:
    """Make one device run its candidate, or leave it as it was.

    It is confirmed once a new connection reads back exactly the candidate. Raises RefusedError (LeaseError among them)
    with nothing changed; LoadError when the device refuses a section, and DeviceError when it then shows something else
    than it was given, the device having gone back; TransportError when it cannot be reached, and goes back by itself.
    """
    asking = Asking(effects)
    token = f"play-{play[:20]}-{secrets.token_hex(6)}"
    try:
        lease = Lease(token, effects.owner, f"play {play}"[:12].replace(" ", "-"), _LEASE_SECONDS)
        asking.of_device(planned, lambda opened: guard_of(opened).lease(lease))
        _applied(planned, asking, token)
        asking.connections.drop(planned.device)
        read = asking.read(planned)
        left = "".join(difference(read.section(section.name), section) for section in planned.canonical)
        if left:
            raise DeviceError(planned.device, f"what was read back differs from what was loaded:\n{left}")
        asking.of_guard(planned, lambda guard: guard.confirm(token))
    except CloisonError as error:
        _gone_back(planned, asking, token, error)
        raise
    finally:
        asking.connections.close()


def _applied(planned: DevicePlan, asking: Asking, token: str) -> None:
    prepared = asking.of_device(planned, lambda opened: job_of(planned, opened.reader, token, DEADLINE_SECONDS))
    state = asking.of_guard(planned, lambda guard: guard.arm(prepared.job))
    for number in range(FIRST_PHASE + 1, prepared.last + 1):
        require_applied(planned, state, token)
        state = asking.of_guard(planned, lambda guard, number=number: guard.step(token, number))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    require_applied(planned, state, token)


def _gone_back(planned: DevicePlan, asking: Asking, token: str, error: CloisonError) -> None:
    """Have the device go back, or give its lease up; what cannot be reached does both by itself."""
    if isinstance(error, LoadError):
        return
    try:
        asking.of_device(planned, lambda opened: guard_of(opened).release(token), 0.0)
        asking.of_guard(planned, lambda guard: guard.revert(token), 0.0)
    except CloisonError:
        return
