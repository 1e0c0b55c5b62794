"""How what two configurations let through differs: the ways that are new, and those that are gone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cloison.prove.answer import TunnelsAre, identity_of

if TYPE_CHECKING:
    from cloison.prove.answer import Hop, Witness


class ChangeKind(StrEnum):
    """What became of packets. The values are stable: they are part of identifiers."""

    OPENED = "opened"
    """They get through now, and did not before."""
    CLOSED = "closed"
    """They got through before, and do not any more."""


@dataclass(frozen=True, slots=True)
class Change:
    """Packets from one place to another that get through in one of two configurations alone."""

    kind: ChangeKind
    sender: str
    """`<site>/<equipment>`, or the name of a place."""
    receiver: str
    service: str
    """As in Finding: `tcp/443`, `udp/1024-65535`, `any`, `arp`; the name of a service where it is exactly one."""
    what: str
    """One sentence."""
    tunnels: TunnelsAre = TunnelsAre.UP
    reply: bool = False
    rule: str = ""
    """The id of the flow in policy.yaml that declares it: after the change if it was opened, before it if closed."""
    packets: int = 0
    """How many different packets, exactly."""
    witness: Witness | None = None
    hops: tuple[Hop, ...] = ()
    """The way of the witness where it gets through: after the change where it was opened, before it where closed."""
    stopped: tuple[Hop, ...] = ()
    """Its way in the other configuration, to where it dies."""

    @property
    def identity(self) -> str:
        """Return a stable identifier, the same in every run for the same change; its form is that of a finding."""
        return identity_of(self)


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs in reach between two configurations; none when they let the same packets through."""

    changes: tuple[Change, ...]
    before: str
    """What the first configuration is, in a word: a git revision, `what runs`."""
    after: str
    """What the second is: `this workspace`."""
