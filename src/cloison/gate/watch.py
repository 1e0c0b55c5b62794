"""All that watches the flows of a change, as one; and what stands in its place where nobody can watch."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from cloison.audit import run
from cloison.change.gate import GateCheck
from cloison.errors import CloisonError
from cloison.flow import Outcome
from cloison.gate.flows import fates
from cloison.gate.sessions import SessionWatch
from cloison.gate.streams import FRAMES, SECONDS, StreamWatch, viewed
from cloison.gate.verdicts import VerdictWatch
from cloison.probe.exchange import use
from cloison.probe.stream import watch

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cloison.change.gate import Watch
    from cloison.flow import Flow, Verdict
    from cloison.intent.network import Intent
    from cloison.model import EquipmentName
    from cloison.probe.stream import Stream, StreamSeen
    from cloison.session import Session


class FlowWatch:
    """A `cloison.change.gate.Watch` of everything that can be watched of some sites, one part after the other."""

    def __init__(
        self,
        session: Session,
        before: Intent | None,
        after: Intent,
        sites: Collection[str],
        *,
        full: bool = False,
        settling: bool = False,
        families: Sequence[str] = (),
    ) -> None:
        """Take what was declared before the change and what is after it, and the sites of the devices that change.

        `full` asks every validator, and otherwise those of `families`: none by default, for the cheapest of them
        (`cloison.gate.verdicts.FAMILIES`) take 15 s on the pilot before a change and 15 s after it, against 3 s for the
        sessions and streams. `settling` lets the second try of what failed count.
        """
        fated = fates(before, after, sites)
        if session.lab is None:
            self._parts: tuple[Watch, ...] = (UnwatchedFlows(),)
            return
        sight = _Sight(session)
        parts: list[Watch] = [
            SessionWatch(session.dialer_at, sight.use, fated, settling=settling),
            StreamWatch(sight.play, viewed(after, fated), is_new=before is None, settling=settling),
        ]
        if full or families:
            parts.append(VerdictWatch(sight.judge, fated, () if full else families, settling=settling))
        self._parts = tuple(parts)

    def before(self) -> None:
        """Open sessions and keep verdicts; raises what keeps a part from it."""
        for part in self._parts:
            part.before()

    def after(self) -> tuple[GateCheck, ...]:
        """Return the checks of every part; a part that broke is ERROR, and the others are asked all the same."""
        found: list[GateCheck] = []
        for part in self._parts:
            try:
                found += part.after()
            except CloisonError as error:
                name = type(part).__name__.removesuffix("Watch").lower()
                found.append(GateCheck(name=f"{name}/asked", outcome=Outcome.ERROR, detail=str(error)))
        return tuple(found)

    def close(self) -> None:
        """Close every part; a second call does nothing."""
        for part in self._parts:
            part.close()


class UnwatchedFlows:
    """A Watch for a network that this machine has no vantage points in: what it cannot see it does not pass."""

    def before(self) -> None:
        """Do nothing."""

    def after(self) -> tuple[GateCheck, ...]:
        """Return one check that is UNKNOWN, with what to do about it."""
        what = (
            "this machine has no vantage point at the hosts of the network, so nobody saw which flows get through; "
            "with `--gate proof` management, read-back and the proof decide alone"
        )
        return (GateCheck(name="session/vantage-points", outcome=Outcome.UNKNOWN, detail=what),)

    def close(self) -> None:
        """Do nothing."""


class _Sight:
    """What can be seen from inside the nodes of a twin."""

    def __init__(self, session: Session) -> None:
        if session.lab is None:  # pragma: no cover  FlowWatch has seen to it
            raise ValueError(session.network)
        self._session, self._lab = session, session.lab

    def use(self, flow: Flow) -> str:
        """Return why a flow cannot be used from its source; an empty text when it can."""
        with self._lab.namespaces(flow.source.name) as inside:
            return use(flow, inside.net, is_synchronised=False)

    def play(self, station: EquipmentName, stream: Stream) -> StreamSeen:
        """Return what a station sees of a stream in a few pictures."""
        with closing(self._lab.runner(station)) as runner:
            return watch(runner, stream, frames=FRAMES, seconds=SECONDS)

    def judge(self, only: Sequence[str]) -> Sequence[Verdict]:
        """Run validators and return their verdicts."""
        session = self._session
        done = run(session.workspace, session.network, self._lab.name, _heard, only=only)
        return done.stream.verdicts


def _heard(_line: bytes) -> None:
    """Take in a line of results, which the run returns as a whole."""
