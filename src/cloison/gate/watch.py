"""All that watches the flows of a change, as one; and what stands in its place where nobody can watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.change.gate import GateCheck
from cloison.errors import CloisonError
from cloison.flow import Outcome
from cloison.gate.flows import fates
from cloison.gate.sessions import SessionWatch

if TYPE_CHECKING:
    from collections.abc import Collection

    from cloison.change.gate import Watch
    from cloison.intent.network import Intent
    from cloison.session import Session


class FlowWatch:
    """A `cloison.change.gate.Watch` of everything that can be watched of some sites, one part after the other."""

    def __init__(
        self, session: Session, before: Intent, after: Intent, sites: Collection[str], *, settling: bool = False
    ) -> None:
        """Take what was declared before the change and what is after it, and the sites of the devices that change."""
        fated = fates(before, after, sites)
        self._parts: tuple[Watch, ...] = (SessionWatch(session.dialer_at, fated, settling=settling),)

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
