"""The document of one proof, `--format json`: frozen, the same bytes for the same facts; every other format is of it.

What a device wrote is escaped here, once, on its way in.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from cloison.document_schema import document_schema
from cloison.flow import Outcome
from cloison.model import Model
from cloison.prove.answer import FindingKind, TunnelsAre
from cloison.prove.difference import ChangeKind

SCHEMA_FILE = Path(__file__).with_name("proof.schema.json")
Line = Annotated[str, Field(min_length=1)]
Count = Annotated[str, Field(pattern="^(0|[1-9][0-9]*)$", description="an exact count, of any size")]
Seconds = Annotated[float, Field(ge=0)]


class OriginEntry(Model):
    """A line of the inventory that something follows from."""

    file: Line
    """Relative to the workspace."""
    line: PositiveInt
    column: PositiveInt
    why: Line


class PlaceEntry(Model):
    """A statement's place in what a device runs."""

    device: Line
    section: Line
    line: NonNegativeInt
    """0 where the form has no lines."""


class HopEntry(Model):
    """One step of a packet's way."""

    device: Line
    what: Line
    place: PlaceEntry | None
    statement: str


class TriedEntry(Model):
    """What became of a witness that was sent into a twin."""

    fate: Literal["arrived", "did not arrive", "not tried"]
    disagrees: bool
    """Whether the packet did something else than the proof says."""
    why: str
    """Why it was not tried, or how it was lost."""


class WitnessEntry(Model):
    """One packet that shows a finding."""

    sender: Line
    receiver: Line
    text: Line
    packet: dict[str, Count]
    """Every field as a decimal number: an IPv6 address is larger than what many readers of JSON take for a number."""
    tried: TriedEntry | None
    """Null when it was not asked for."""


class Entry(Model):
    """What a finding and a change have in common."""

    id: Line
    """Unique in the document, the same in every run for the same thing."""
    sender: str
    receiver: str
    service: str
    what: Line
    tunnels: TunnelsAre
    reply: bool
    rule: str
    """The id of a flow of policy.yaml or of an invariant; empty for neither."""
    packets: Count
    witness: WitnessEntry | None
    hops: tuple[HopEntry, ...]
    origins: Annotated[tuple[OriginEntry, ...], Field(min_length=1)]
    """The first is the nearest to what someone would edit."""


class FindingEntry(Entry):
    """One thing that is not as declared."""

    kind: FindingKind


class ChangeEntry(Entry):
    """Packets that get through in one of two configurations alone."""

    kind: ChangeKind
    stopped: tuple[HopEntry, ...]
    """The way of the witness in the other configuration."""
    origins_before: tuple[OriginEntry, ...]
    """Lines of the inventory as it was."""


class DifferenceEntry(Model):
    """All that differs in reach between two configurations."""

    before: Line
    after: Line
    changes: tuple[ChangeEntry, ...]


class CoverageEntry(Model):
    """How much of one section of one device the proof models."""

    device: Line
    section: Line
    read: NonNegativeInt
    modelled: NonNegativeInt


class Declared(Model):
    """What the intent declares."""

    sites: NonNegativeInt
    devices: NonNegativeInt
    equipment: NonNegativeInt
    flows: NonNegativeInt
    tunnels: NonNegativeInt
    invariants: NonNegativeInt
    flow_rules: tuple[Line, ...]
    """The ids of policy.yaml, sorted."""
    invariant_rules: tuple[Line, ...]
    """The ids of invariants.yaml, sorted."""


class Asked(Model):
    """How much was asked."""

    senders: NonNegativeInt
    receivers: NonNegativeInt
    flows: NonNegativeInt
    invariants: NonNegativeInt


class ProofDocument(Model):
    """What one proof found."""

    format: Literal["cloison-proof-1"] = "cloison-proof-1"
    version: Line
    """Of Cloison."""
    network: Line
    subject: Line
    """What was proved: `rendered configuration`, `lab`, `live`."""
    outcome: Outcome
    exit_code: Literal[0, 1, 3]
    declared: Declared
    asked: Asked
    findings: tuple[FindingEntry, ...]
    coverage: tuple[CoverageEntry, ...]
    difference: DifferenceEntry | None
    """Null when nothing was compared."""
    seconds: dict[str, Seconds]

    @property
    def unmodelled(self) -> int:
        """How many statements were read and not modelled."""
        return sum(entry.read - entry.modelled for entry in self.coverage)

    def counts(self) -> Counter[FindingKind]:
        """Return how many findings there are of each kind."""
        return Counter(finding.kind for finding in self.findings)

    def changes(self, kind: ChangeKind) -> tuple[ChangeEntry, ...]:
        """Return the changes of one kind; none when nothing was compared."""
        every = self.difference.changes if self.difference is not None else ()
        return tuple(change for change in every if change.kind is kind)

    def to_json(self) -> bytes:
        """Return the document as JSON, UTF-8, keys in the order of the schema."""
        return f"{self.model_dump_json(indent=2)}\n".encode()


def schema() -> dict[str, object]:
    """Return the JSON Schema (2020-12) of the document, every property required; SCHEMA_FILE holds the same."""
    return document_schema(ProofDocument)
