"""The gate between a change that is applied and one that is decided: what is asked, and of whom.

The proof, the probes and the validators live in rooms that a change never sees: they are handed in as the protocols
below. Nothing here turns what could not be determined into a pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cloison.flow import Outcome
from cloison.model import EquipmentName, Model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.render.config import Config


class GateCheck(Model):
    """One question of the gate, and its answer."""

    name: str
    """`management`, `dead-man`, `read-back`, `proof`, `session/…`, `verdict/…`: what an explanation refers to."""
    outcome: Outcome
    device: EquipmentName | None = None
    """None when it is about the network."""
    detail: str = ""
    """One sentence; untrusted."""
    tries: tuple[str, ...] = ()
    """What each try saw, the first one first; kept when there was more than one; untrusted."""

    @property
    def passed(self) -> bool:
        """True for PASS and for nothing else: undetermined is failed."""
        return self.outcome is Outcome.PASS


class Watch(Protocol):
    """Watches flows across a change: judged before it, with sessions that stay open, and again after it."""

    def before(self) -> None:
        """Open a session of every flow that is there, and keep the verdicts of the validators to compare with."""

    def after(self) -> tuple[GateCheck, ...]:
        """Return what became of every flow that opened, closed or must survive: new sessions and the kept ones."""

    def close(self) -> None:
        """Close what is open; a second call does nothing."""


class Proof(Protocol):
    """Holds the configurations that devices run against the intent."""

    def __call__(self, running: Mapping[EquipmentName, Config]) -> tuple[GateCheck, ...]:
        """Return the checks of the proof over what every device of the network was read back with."""


class Refusals(Protocol):
    """Tells which tracked connections a device's new filter would refuse."""

    def __call__(self, running: Config, tracked: str) -> tuple[str, ...]:
        """Return those of `conntrack -L -o extended` that are refused, each as words for `conntrack -D`."""

    def checks(self) -> tuple[GateCheck, ...]:
        """Return a check that is no pass for every connection that nobody can tell of, so far; they were left alone."""


class NothingWatched:
    """A Watch that asks nothing: for a change whose gate is management, read-back and proof alone."""

    def before(self) -> None:
        """Do nothing."""

    def after(self) -> tuple[GateCheck, ...]:
        """Return no check."""
        return ()

    def close(self) -> None:
        """Do nothing."""
