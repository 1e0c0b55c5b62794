"""What the proof answers: leaks, outages and what could not be determined, each in words and with a packet to send."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from cloison.flow import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.prove.statement import Coverage, Place


class FindingKind(StrEnum):
    """What a finding is about. The values are stable: they are part of identifiers."""

    LEAK = "leak"
    """Packets get through that nothing declares."""
    OUTAGE = "outage"
    """Packets do not get through that a flow declares; or their answers do not."""
    NOTICE = "notice"
    """Something is wrong in itself: a mirror, a foreign table, selectors that do not agree."""
    UNDETERMINED = "undetermined"
    """A statement that is not modelled decides about packets."""


class TunnelsAre(StrEnum):
    """In which state of the tunnels a finding holds."""

    UP = "up"
    DOWN = "down"


class Identified(Protocol):
    """What a finding and a change have in common, and are known by."""

    @property
    def kind(self) -> str: ...  # noqa: D102  see Finding
    @property
    def sender(self) -> str: ...  # noqa: D102
    @property
    def receiver(self) -> str: ...  # noqa: D102
    @property
    def service(self) -> str: ...  # noqa: D102
    @property
    def tunnels(self) -> TunnelsAre: ...  # noqa: D102
    @property
    def reply(self) -> bool: ...  # noqa: D102


def identity_of(found: Identified) -> str:
    """Return a stable identifier: `<kind>/<sender>--<receiver>--<service>`, slashes in the names as dots.

    `--reply` and `--tunnels-down` follow where they apply.
    """
    ends = "--".join(part.replace("/", ".") for part in (found.sender, found.receiver, found.service) if part)
    tail = ("--reply" if found.reply else "") + ("--tunnels-down" if found.tunnels is TunnelsAre.DOWN else "")
    return f"{found.kind}/{ends}{tail}"


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a packet's way."""

    device: str
    """`<site>/<equipment>`, or the name of a place."""
    what: str
    """What happens there, in one sentence: `accepted by rule "watch-live"`, `dropped: no route`."""
    place: Place | None = None
    """The statement that decides, where one does."""
    statement: str = ""
    """Its text, fit for a terminal."""


@dataclass(frozen=True, slots=True)
class Witness:
    """One packet that shows the finding, chosen as a person would."""

    sender: str
    receiver: str
    text: str
    """`TCP SYN from 10.56.2.2 port 40000 to 10.56.1.34 port 443`."""
    packet: Mapping[str, int]
    """Every field, by the names of packet.FIELDS."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as declared."""

    kind: FindingKind
    sender: str
    """`<site>/<equipment>`, or the name of a place; empty where it is about one device alone, which is `receiver`."""
    receiver: str
    service: str
    """What gets through or does not: `tcp/443`, `udp/1024-65535`, `any`, `arp`; a flow's name for an outage."""
    what: str
    """One sentence."""
    tunnels: TunnelsAre = TunnelsAre.UP
    reply: bool = False
    """True when it is the answers that do not come back."""
    rule: str = ""
    """The id of the flow in policy.yaml that an outage is about, or of the invariant that a leak breaks."""
    packets: int = 0
    """How many different packets, exactly; 0 where it is not about packets."""
    witness: Witness | None = None
    hops: tuple[Hop, ...] = ()
    """The way of the witness, to where it arrives or dies."""

    @property
    def identity(self) -> str:
        """Return a stable identifier, the same in every run for the same finding; see `identity_of`."""
        return identity_of(self)


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer about one network."""

    findings: tuple[Finding, ...]
    coverage: tuple[Coverage, ...]
    """One for every section that was read."""
    senders: int
    """Places that packets were sent from, in all ways."""
    receivers: int
    flows: int
    """Authorised flows that were asked for, both directions of each."""
    invariants: int
    """Pairs of addresses that the invariants forbid, checked on the same sets by their own code path."""
    seconds: Mapping[str, float]
    """How long each phase took: `parse`, `prove`."""

    @property
    def outcome(self) -> Outcome:
        """FAIL when there is a leak, an outage or a notice; UNKNOWN when something could not be determined."""
        kinds = {finding.kind for finding in self.findings}
        if kinds - {FindingKind.UNDETERMINED}:
            return Outcome.FAIL
        return Outcome.UNKNOWN if kinds or not self.coverage else Outcome.PASS
