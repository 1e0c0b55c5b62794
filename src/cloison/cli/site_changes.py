"""The change of one commune among many: its own devices, and its fragments of the firewalls that it shares."""

from __future__ import annotations

import contextlib
import threading
from contextlib import closing
from typing import TYPE_CHECKING

from cloison.change.journal import Event
from cloison.change.outcome import Decision, Standing
from cloison.change.stale import StaleError
from cloison.change.wave_journal import SiteOutcome, SiteState
from cloison.change.waves import BusyError
from cloison.device.guard import LeaseError
from cloison.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cloison.change.journal import Run
    from cloison.change.order import Via
    from cloison.change.outcome import Result
    from cloison.change.waves import Note
    from cloison.model import EquipmentName, Name
    from cloison.operation import Operation

_STATES = {Event.ARMING: SiteState.ARMED, Event.GATE: SiteState.APPLIED}
"""Where a site stands from an event of its run on; ARMING is written before the first device is asked."""


class SiteChanges:
    """Carries out the change of one commune: its devices, and its fragments of the firewalls that it shares."""

    def __init__(self, operation: Operation, via: Via) -> None:
        self._operation, self._via = operation, via
        self._shared = {device.name: threading.Lock() for device in operation.session.intent.devices}

    def change(self, site: Name, note: Note) -> SiteOutcome:
        """Plan and carry out the change of a site; see `cloison.change.waves.ChangeSite`."""

        def noted(run: Run, event: Event) -> None:
            if event in _STATES:
                note(_STATES[event], run.name)

        with closing(self._operation.apart(noted)) as operation:
            made = operation.plan(self._via, [site], shared=True)
            if not made.changed:
                return SiteOutcome(site=site, state=SiteState.CONFIRMED, reason="no change")
            if made.intermediate is not None and made.intermediate.refused:
                raise RefusedError(made.intermediate.refused[0])
            with self._alone([device.device for device in made.changed if device.sites is not None]):
                try:
                    return outcome_of(site, operation.apply(made))
                except (LeaseError, StaleError) as error:  # another's now, or just changed: not so a while later
                    raise BusyError(str(error)) from error

    def resume(self, site: Name, run: str) -> SiteOutcome:
        """Take a run that was cut off to its end."""
        with closing(self._operation.apart(lambda *_: None)) as operation:
            return outcome_of(site, operation.resume(operation.ledger.find(run)))

    @contextlib.contextmanager
    def _alone(self, devices: Sequence[EquipmentName]) -> Iterator[None]:
        """Wait in this process for what would be refused on the device: it is changed by one at a time."""
        with contextlib.ExitStack() as stack:
            for device in sorted(devices):
                stack.enter_context(self._shared[device])
            yield


def outcome_of(site: Name, result: Result) -> SiteOutcome:
    """Return where a site stands after its transaction."""
    standings = {device.standing for device in result.devices}
    if result.decision in {Decision.CONFIRMED, Decision.NO_CHANGE}:
        state = SiteState.CONFIRMED
    elif result.decision is Decision.UNDETERMINED or Standing.REVERTED_DIFFERS in standings:
        state = SiteState.UNKNOWN
    else:
        state = SiteState.REVERTED
    reason = "" if state is SiteState.CONFIRMED else result.explanation
    return SiteOutcome(site=site, state=state, run=result.run, reason=reason)
