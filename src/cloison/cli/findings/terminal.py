"""The document of a proof for a terminal: Rich renderables, which the command line prints. Nothing is markup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cloison.cli.findings.wording import (
    CHANGE_HEADINGS,
    HEADINGS,
    SENTENCES,
    counted,
    counted_changes,
    covered,
    ends,
    packets,
    place_of,
    qualified_service,
    tried,
)
from cloison.prove.answer import FindingKind
from cloison.prove.difference import ChangeKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from cloison.cli.findings.document import CoverageEntry, Entry, HopEntry, ProofDocument

_SHOWN: Final = 50
"""Findings of one kind; more are counted."""
_WAYS: Final = 10
"""Of these, with their way hop by hop."""
_ROWS: Final = 40
"""Sections in the table of coverage; of more, those alone that are not modelled whole."""
_SIGNS: Final = {
    FindingKind.LEAK: ("✗", "bold red"),
    FindingKind.OUTAGE: ("▼", "bold red"),
    FindingKind.NOTICE: ("!", "magenta"),
    FindingKind.UNDETERMINED: ("?", "yellow"),
    ChangeKind.OPENED: ("+", "bold yellow"),
    ChangeKind.CLOSED: ("-", "bold cyan"),
}
_VERDICT_STYLES: Final = {0: "bold green", 1: "bold red", 3: "bold yellow"}


def sheet(document: ProofDocument) -> RenderableType:
    """Return what is found, grouped by kind, what changed, the coverage, and the outcome on the last line."""
    return Group(*_parts(document))


def verdict_line(document: ProofDocument) -> Text:
    """Return the outcome and the counts on one line, the outcome first."""
    line = Text.assemble((SENTENCES[document.exit_code], _VERDICT_STYLES[document.exit_code]))
    line.append(f"  {counted(document)}; {document.asked.flows} flows and {document.asked.invariants} forbidden pairs")
    line.append(f" from {document.asked.senders} places to {document.asked.receivers}; {covered(document)}")
    return line


def _parts(document: ProofDocument) -> Iterator[RenderableType]:
    for kind, (_, plural, meaning) in HEADINGS.items():
        found = [finding for finding in document.findings if finding.kind is kind]
        if found:
            yield from _group(found, f"{plural.upper()} {len(found)}", meaning, *_SIGNS[kind])
    if document.difference is not None:
        for change, (heading, meaning) in CHANGE_HEADINGS.items():
            changes = document.changes(change)
            if changes:
                yield from _group(changes, f"{heading.upper()} {len(changes)}", meaning, *_SIGNS[change])
        yield Text(counted_changes(document))
    yield from _coverage(document)
    yield verdict_line(document)


def _group(found: Sequence[Entry], heading: str, meaning: str, sign: str, style: str) -> Iterator[RenderableType]:
    yield Text.assemble((heading, style), f"  {meaning}")
    for number, entry in enumerate(found[:_SHOWN]):
        yield _entry(entry, sign, style, entry.hops if number < _WAYS else ())
    if len(found) > _SHOWN:
        yield Text(f"  and {len(found) - _SHOWN} more; --format json holds them all", style=style)
    yield Text()


def _entry(entry: Entry, sign: str, style: str, hops: tuple[HopEntry, ...]) -> Text:
    text = Text.assemble((f"{sign} ", style), (ends(entry), "bold"), f"  {qualified_service(entry)}")
    text.append(f"\n    {entry.what}")
    if entry.witness is not None:
        many = f"  (one of {packets(entry)})" if entry.packets not in {"0", "1"} else ""
        text.append(f"\n    packet  {entry.witness.text}{many}")
        if said := tried(entry):
            text.append(f"\n    sent    {said}")
    for number, hop in enumerate(hops, 1):
        text.append(f"\n    {'way' if number == 1 else '':<8}{number} {hop.device}: {hop.what}")
        text.append(_by(hop), style="bright_black")
    for number, origin in enumerate(entry.origins):
        text.append(f"\n    {'' if number else 'see':<8}{origin.file}:{origin.line}:{origin.column}  {origin.why}")
    return text


def _by(hop: HopEntry) -> str:
    """Return a line with the statement that decides at a hop, and where it stands."""
    said = "  ".join(part for part in (place_of(hop), hop.statement) if part)
    return f"\n              {said}" if said else ""


def _coverage(document: ProofDocument) -> Iterator[RenderableType]:
    if not document.coverage:
        yield Text("Nothing was read.", style="bold yellow")
        return
    rows = list(document.coverage)
    if len(rows) > _ROWS:
        rows = [row for row in rows if row.modelled != row.read]
    if rows:
        yield _coverage_table(rows[:_ROWS])
    left = len(document.coverage) - len(rows[:_ROWS])
    if left:
        yield Text(f"and {left} more sections; --format json holds them all")


def _coverage_table(rows: Sequence[CoverageEntry]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("device", "section"):
        table.add_column(heading, overflow="fold")
    for heading in ("statements", "modelled"):
        table.add_column(heading, justify="right")
    for row in rows:
        whole = row.modelled == row.read
        modelled = Text(str(row.modelled), style="green" if whole else "bold yellow")
        table.add_row(Text(row.device), Text(row.section), Text(str(row.read)), modelled)
    return table
