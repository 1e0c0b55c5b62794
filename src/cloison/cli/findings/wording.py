"""The words that every format has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloison.prove.answer import FindingKind, TunnelsAre
from cloison.prove.difference import ChangeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.cli.findings.document import Entry, HopEntry, ProofDocument

_DIGITS: Final = 12

SENTENCES: Final = {0: "CONFORMS", 1: "DOES NOT CONFORM", 3: "COULD NOT BE DETERMINED"}
"""The verdict, by exit code."""

HEADINGS: Final = {
    FindingKind.LEAK: ("leak", "leaks", "Packets get through that nothing declares."),
    FindingKind.OUTAGE: (
        "outage",
        "outages",
        "Packets do not get through that a flow declares, or their answers do not.",
    ),
    FindingKind.NOTICE: ("notice", "notices", "Something is wrong in itself, whatever packets it lets through."),
    FindingKind.UNDETERMINED: (
        "undetermined",
        "undetermined",
        "A statement that the proof does not model decides about packets.",
    ),
}
CHANGE_HEADINGS: Final = {
    ChangeKind.OPENED: ("newly possible", "Packets get through that did not before."),
    ChangeKind.CLOSED: ("no longer possible", "Packets do not get through any more that did before."),
}


def ends(entry: Entry) -> str:
    """Return `<sender> → <receiver>`, or the one device that it is about."""
    return f"{entry.sender} → {entry.receiver}" if entry.sender and entry.receiver else entry.sender or entry.receiver


def qualified_service(entry: Entry) -> str:
    """Return the service, and what of it: the answers alone, only while the tunnels are down."""
    parts = [entry.service, "(answers)" if entry.reply else ""]
    parts.append("(tunnels down)" if entry.tunnels is TunnelsAre.DOWN else "")
    return " ".join(part for part in parts if part)


def place_of(hop: HopEntry) -> str:
    """Return `<site>/<device> <section>:<line>`; an empty text for a hop that no statement decides."""
    if hop.place is None:
        return ""
    line = f":{hop.place.line}" if hop.place.line else ""
    return f"{hop.place.device} {hop.place.section}{line}"


def way(hops: tuple[HopEntry, ...]) -> Iterator[str]:
    """Yield one line a hop: where, what happens, and by which statement."""
    for number, hop in enumerate(hops, 1):
        place = place_of(hop)
        by = f" [{place}]" if place else ""
        statement = f" {hop.statement}" if hop.statement else ""
        yield f"{number}. {hop.device}: {hop.what}{by}{statement}"


def counted(document: ProofDocument) -> str:
    """Return the counts in words: `2 leaks, 1 outage`, or `no finding`."""
    counts = document.counts()
    parts = [f"{counts[kind]} {HEADINGS[kind][counts[kind] > 1]}" for kind in FindingKind if counts[kind]]
    return ", ".join(parts) or "no finding"


def counted_changes(document: ProofDocument) -> str:
    """Return the counts of a comparison in words; an empty text when nothing was compared."""
    if document.difference is None:
        return ""
    parts = [
        f"{len(document.changes(kind))} {heading}"
        for kind, (heading, _) in CHANGE_HEADINGS.items()
        if document.changes(kind)
    ]
    said = ", ".join(parts) or "the same packets get through"
    return f"{document.difference.before} → {document.difference.after}: {said}"


def covered(document: ProofDocument) -> str:
    """Return the coverage in words: `1,204 of 1,204 statements modelled`."""
    read = sum(entry.read for entry in document.coverage)
    return f"{read - document.unmodelled:,} of {read:,} statements modelled"


def packets(entry: Entry) -> str:
    """Return how many different packets: exactly as far as a person reads it, by its magnitude beyond."""
    count = entry.packets
    return f"{int(count):,}" if len(count) <= _DIGITS else f"about {count[0]}.{count[1]} × 10^{len(count) - 1}"


def tried(entry: Entry) -> str:
    """Return what became of the witness in the twin; an empty text when it was not asked for."""
    found = entry.witness.tried if entry.witness is not None else None
    if found is None:
        return ""
    if found.fate == "not tried":
        return f"not tried: {found.why}"
    said = f"the witness {found.fate}" + (f" ({found.why})" if found.why else "")
    return f"{said}: proof and packet disagree" if found.disagrees else said


def explained(entry: Entry) -> str:
    """Return everything that is known of a finding, as lines of plain text: the sentence, the packet, its way."""
    lines = [entry.what]
    if entry.witness is not None:
        lines.append(f"packet: {entry.witness.text} (from {entry.witness.sender} to {entry.witness.receiver})")
    if said := tried(entry):
        lines.append(said)
    if entry.packets != "0":
        lines.append(f"different packets: {packets(entry)}")
    lines.extend(way(entry.hops))
    lines.extend(f"{origin.file}:{origin.line}:{origin.column}: {origin.why}" for origin in entry.origins)
    return "\n".join(lines)
