"""From an answer of the proof to its document: texts escaped, identifiers unique, every entry with its origins."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

import cloison
from cloison.cli.findings.document import (
    Asked,
    ChangeEntry,
    CoverageEntry,
    Declared,
    DifferenceEntry,
    FindingEntry,
    HopEntry,
    OriginEntry,
    PlaceEntry,
    ProofDocument,
    TriedEntry,
    WitnessEntry,
)
from cloison.flow import exit_code
from cloison.model import Untrusted
from cloison.prove.difference import ChangeKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cloison.cli.findings.origins import Origin, Origins
    from cloison.intent.network import Intent
    from cloison.prove.answer import Answer, Finding, Hop, Witness
    from cloison.prove.difference import Change, Difference
    from cloison.testing.witnesses import Tried

_TEXT_LIMIT = 1000


def proof_document(
    answer: Answer,
    intent: Intent,
    *,
    subject: str,
    origins: Origins,
    difference: Difference | None = None,
    origins_before: Origins | None = None,
    tried: Mapping[str, Tried] | None = None,
) -> ProofDocument:
    """Return the document of an answer about a network, and of a comparison where there is one.

    `subject` says what was proved; `origins` finds lines of the inventory that was proved, `origins_before` of the one
    that it was compared with; `tried` tells what became of the witnesses, by the identities of the findings.
    """
    return ProofDocument(
        version=cloison.__version__,
        network=str(intent.network),
        subject=subject,
        outcome=answer.outcome,
        exit_code=_exit_code(answer),
        declared=declared(intent),
        asked=Asked(
            senders=answer.senders, receivers=answer.receivers, flows=answer.flows, invariants=answer.invariants
        ),
        findings=tuple(_findings(answer.findings, origins, tried or {})),
        coverage=tuple(
            CoverageEntry(device=str(one.device), section=one.section, read=one.read, modelled=one.modelled)
            for one in answer.coverage
        ),
        difference=None if difference is None else _difference(difference, origins, origins_before),
        seconds={phase: round(seconds, 6) for phase, seconds in answer.seconds.items()},
    )


def declared(intent: Intent) -> Declared:
    """Return what an intent declares."""
    return Declared(
        sites=len(intent.sites),
        devices=len(intent.devices),
        equipment=len(intent.equipment_by_name),
        flows=len(intent.flows),
        tunnels=len(intent.tunnels),
        invariants=len(intent.invariants),
        flow_rules=tuple(sorted({str(flow.rule) for flow in intent.flows})),
        invariant_rules=tuple(sorted(str(invariant.id) for invariant in intent.invariants)),
    )


def _exit_code(answer: Answer) -> Literal[0, 1, 3]:
    code = exit_code((answer.outcome,))
    return 0 if code == 0 else 1 if code == 1 else 3


def _findings(found: Iterable[Finding], origins: Origins, tried: Mapping[str, Tried]) -> Iterator[FindingEntry]:
    seen: Counter[str] = Counter()
    for finding in found:
        yield FindingEntry(
            id=_unique(finding.identity, seen),
            kind=finding.kind,
            sender=_text(finding.sender),
            receiver=_text(finding.receiver),
            service=_text(finding.service),
            what=_text(finding.what) or finding.kind.value,
            tunnels=finding.tunnels,
            reply=finding.reply,
            rule=_text(finding.rule),
            packets=str(finding.packets),
            witness=_witness(finding.witness, tried.get(finding.identity)),
            hops=_hops(finding.hops),
            origins=_origins(origins.of(finding)),
        )


def _difference(difference: Difference, origins: Origins, before: Origins | None) -> DifferenceEntry:
    return DifferenceEntry(
        before=_text(difference.before) or "before",
        after=_text(difference.after) or "after",
        changes=tuple(_changes(difference.changes, origins, before)),
    )


def _changes(found: Iterable[Change], origins: Origins, before: Origins | None) -> Iterator[ChangeEntry]:
    seen: Counter[str] = Counter()
    for change in found:
        closed = change.kind is ChangeKind.CLOSED
        yield ChangeEntry(
            id=_unique(change.identity, seen),
            kind=change.kind,
            sender=_text(change.sender),
            receiver=_text(change.receiver),
            service=_text(change.service),
            what=_text(change.what) or change.kind.value,
            tunnels=change.tunnels,
            reply=change.reply,
            rule=_text(change.rule),
            packets=str(change.packets),
            witness=_witness(change.witness),
            hops=_hops(change.hops),
            stopped=_hops(change.stopped),
            origins=_origins(origins.of(change)),
            origins_before=_origins(before.of(change)) if closed and before is not None else (),
        )


def _unique(identity: str, seen: Counter[str]) -> str:
    """Return an identifier that no other entry of the document has: a further one of the same identity is numbered."""
    shown = _text(identity)
    seen[shown] += 1
    return shown if seen[shown] == 1 else f"{shown}--{seen[shown]}"


def _witness(witness: Witness | None, tried: Tried | None = None) -> WitnessEntry | None:
    if witness is None:
        return None
    return WitnessEntry(
        sender=_text(witness.sender),
        receiver=_text(witness.receiver),
        text=_text(witness.text),
        packet={name: str(value) for name, value in witness.packet.items()},
        tried=None
        if tried is None
        else TriedEntry(fate=tried.fate.value, disagrees=tried.disagrees, why=_text(tried.why)),
    )


def _hops(hops: Iterable[Hop]) -> tuple[HopEntry, ...]:
    return tuple(
        HopEntry(
            device=_text(hop.device),
            what=_text(hop.what),
            place=None
            if hop.place is None
            else PlaceEntry(device=str(hop.place.device), section=_text(hop.place.section), line=hop.place.line),
            statement=_text(hop.statement),
        )
        for hop in hops
    )


def _origins(origins: Iterable[Origin]) -> tuple[OriginEntry, ...]:
    return tuple(
        OriginEntry(file=origin.file.as_posix(), line=origin.line, column=origin.column, why=_text(origin.why))
        for origin in origins
    )


def _text(text: str) -> str:
    """Return the text on one line, its controls escaped, its length capped."""
    if len(text) <= _TEXT_LIMIT and text.isascii() and text.isprintable():
        return text  # nearly all of them: thousands of findings have tens of thousands of texts
    return Untrusted(text).shown(_TEXT_LIMIT).replace("\n", " ").replace("\t", " ")
