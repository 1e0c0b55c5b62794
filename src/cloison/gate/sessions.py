"""Watches the sessions of the flows that a change opens, closes or must leave alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.flow import Outcome
from cloison.gate.flows import session_checks
from cloison.gate.tries import both_tries
from cloison.probe.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloison.change.gate import GateCheck
    from cloison.gate.flows import Fated
    from cloison.probe.sessions import Attempt, DialerAt


class SessionWatch:
    """A `cloison.change.gate.Watch` of TCP sessions, each opened where its flow comes from."""

    def __init__(
        self,
        dialer_at: DialerAt,
        fated: Iterable[Fated],
        *,
        settling: bool = False,
        window_seconds: float = 4.0,
    ) -> None:
        """Take what opens connections from a place, and the flows with what the change is to do with each.

        With `settling` what a second look sees counts; without it, it is kept beside the first and changes nothing.
        """
        self._sessions = Sessions(dialer_at, window_seconds=window_seconds)
        self._fated = tuple(fated)
        self._settling = settling
        self._before: dict[str, Attempt] = {}

    def before(self) -> None:
        """Open a session of every flow, and keep it; one that does not open is tried twice."""
        flows = [one.flow for one in self._fated]
        self._before = dict(self._sessions.open(flows))
        failed = [flow for flow in flows if (tried := self._before.get(flow.key)) is not None and not tried.works]
        self._before |= self._sessions.open(failed)

    def after(self) -> tuple[GateCheck, ...]:
        """Return a check `session/<flow>` for every flow."""
        first = self._look()
        # What failed is seen again in one more window, with all that may serve as its control.
        again = self._look() if any(check.outcome is not Outcome.PASS for check in first) else ()
        return both_tries(first, again, settling=self._settling)

    def _look(self) -> tuple[GateCheck, ...]:
        seen = {one.flow.key: one for one in self._sessions.look([one.flow for one in self._fated])}
        return session_checks(self._fated, self._before, seen)

    def close(self) -> None:
        """Close every session; a second call does nothing."""
        self._sessions.close()
