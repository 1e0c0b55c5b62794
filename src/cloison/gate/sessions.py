"""Watches the sessions of the flows that a change opens, closes or must leave alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from cloison.errors import CloisonError
from cloison.flow import Outcome, Protocol
from cloison.gate.flows import Fate, session_checks
from cloison.gate.tries import both_tries
from cloison.probe.sessions import Attempt, Life, Opening, Seen, Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cloison.change.gate import GateCheck
    from cloison.flow import Flow
    from cloison.gate.flows import Fated
    from cloison.probe.sessions import DialerAt

    Use = Callable[[Flow], str]
    """Asks the server of a flow from its source; returns why there was no usable answer, an empty text if one came."""

_TIME: Final = 123
"""The port of the one service without connections that can be asked a question (RFC 5905)."""
_AT_ONCE: Final = 32


class SessionWatch:
    """A `cloison.change.gate.Watch` of TCP sessions and of the time service, each from where its flow comes from."""

    def __init__(
        self,
        dialer_at: DialerAt,
        use: Use,
        fated: Iterable[Fated],
        *,
        settling: bool = False,
        window_seconds: float = 4.0,
    ) -> None:
        """Take what speaks from a place, and the flows with what the change is to do with each.

        With `settling` what a second look sees counts; without it, it is kept beside the first and changes nothing.
        """
        self._sessions = Sessions(dialer_at, window_seconds=window_seconds)
        self._use = use
        self._fated = tuple(fated)
        self._settling = settling
        self._before: dict[str, Attempt] = {}

    def before(self) -> None:
        """Open a session of every flow that is there, and keep it; one that does not open is tried twice."""
        flows = [one.flow for one in self._fated if one.fate is not Fate.OPENS]
        self._before = self._opened(flows)
        self._before |= self._opened(flow for flow in flows if not self._before.get(flow.key, _WORKS).works)

    def after(self) -> tuple[GateCheck, ...]:
        """Return a check `session/<flow>` for every flow that can be spoken over."""
        first = self._look()
        # What failed is seen again in one more window, with all that may serve as its control.
        again = self._look() if any(check.outcome is not Outcome.PASS for check in first) else ()
        return both_tries(first, again, settling=self._settling)

    def close(self) -> None:
        """Close every session; a second call does nothing."""
        self._sessions.close()

    def _opened(self, flows: Iterable[Flow]) -> dict[str, Attempt]:
        wanted = list(flows)
        return {**self._sessions.open(wanted), **self._asked(wanted)}

    def _look(self) -> tuple[GateCheck, ...]:
        flows = [one.flow for one in self._fated]
        with ThreadPoolExecutor(1) as beside:
            asked = beside.submit(self._asked, flows)
            seen = {one.flow.key: one for one in self._sessions.look(flows)}
        by_key = {flow.key: flow for flow in flows}
        seen |= {key: Seen(by_key[key], None, attempt) for key, attempt in asked.result().items()}
        return session_checks(self._fated, self._before, seen)

    def _asked(self, flows: Iterable[Flow]) -> Mapping[str, Attempt]:
        """Ask every time server, all at once."""
        wanted = [one for one in flows if one.service.protocol is Protocol.UDP and one.service.port == _TIME]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip((one.key for one in wanted), pool.map(self._ask, wanted), strict=True))

    def _ask(self, flow: Flow) -> Attempt:
        try:
            unanswered = self._use(flow)
        except CloisonError as error:
            return Attempt(Opening.UNTRIED, str(error))
        return Attempt(Opening.SILENT, unanswered) if unanswered else _WORKS


_WORKS: Final = Attempt(Opening.OPENED, life=Life.ALIVE)
