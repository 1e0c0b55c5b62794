"""The verdict of an audit for a terminal: Rich renderables, which the command line prints.

What a device or a host wrote is escaped here; nothing is read as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cloison.evidence.document import NOT_ASKED
from cloison.evidence.truth import SEVERITY, Reach
from cloison.flow import Outcome
from cloison.model import Untrusted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from cloison.evidence.document import AuditDocument, JudgedVerdict
    from cloison.evidence.truth import TruthCell
    from cloison.model import EquipmentName

OUTCOME_SYMBOL = {
    Outcome.PASS: "✓",
    Outcome.FAIL: "✗",
    Outcome.ERROR: "!",
    Outcome.UNKNOWN: "?",
    Outcome.NOT_RUN: "○",
}
_OUTCOME_STYLE = {
    Outcome.PASS: "green",
    Outcome.FAIL: "bold red",
    Outcome.ERROR: "magenta",
    Outcome.UNKNOWN: "yellow",
    Outcome.NOT_RUN: "bright_black",
}
_REACH_CELL = {
    Reach.DELIVERED: ("✓", "green", "authorised, and delivered"),
    Reach.SILENT: ("·", "bright_black", "refused, and silent"),
    Reach.LEAK: ("✗", "bold white on red", "LEAK: something unauthorised arrives"),
    Reach.OUTAGE: ("▼", "bold red", "outage: something authorised does not arrive"),
    Reach.UNKNOWN: ("?", "yellow", "unknown"),
}
_DETAIL_LIMIT = 400
_COMPLAINT_LIMIT = 3000
_NUMBER_WIDTH = 3
_CELL_WIDTH = 3
_SENTENCES = {
    0: ("CONFORMS", "bold green"),
    1: ("DOES NOT CONFORM", "bold red"),
    3: ("COULD NOT BE DETERMINED", "bold yellow"),
}


def verdict_line(document: AuditDocument) -> Text:
    """Return the verdict and the counts on one line, the verdict first."""
    word, style = _SENTENCES[document.exit_code]
    line = Text.assemble((word, style), f"  {document.run} of {document.planned} checks run")
    for outcome in Outcome:
        count = document.tally.of(outcome)
        if count or outcome is Outcome.PASS:
            line.append(f"  {OUTCOME_SYMBOL[outcome]} {count} {outcome}", style=_OUTCOME_STYLE[outcome])
    if document.tally.waived:
        line.append(f"  ({document.tally.waived} FAIL waived)")
    for entry in document.not_examined:
        if entry.reason == NOT_ASKED:
            line.append(f"  ({Untrusted(entry.name).shown(300)}: {entry.reason})", style="yellow")
    if not document.ended:
        line.append("  the run did not come to its end", style="bold yellow")
    return line


def tally_table(document: AuditDocument) -> Table:
    """Return the count of each outcome by family of checks, with a last row for all."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("checks")
    for outcome in Outcome:
        table.add_column(f"{OUTCOME_SYMBOL[outcome]} {outcome}", justify="right")
    families: dict[str, list[Outcome]] = {}
    for verdict in document.verdicts:
        families.setdefault(Untrusted(verdict.check.split("/")[0]).shown(40), []).append(verdict.outcome)
    for family, outcomes in sorted(families.items()):
        table.add_row(Text(family), *(_count(outcomes.count(outcome), outcome) for outcome in Outcome))
    table.add_row(Text("all", style="bold"), *(_count(document.tally.of(outcome), outcome) for outcome in Outcome))
    return table


def _count(count: int, outcome: Outcome) -> Text:
    return Text(str(count), style=_OUTCOME_STYLE[outcome]) if count else Text("–", style="bright_black")


def findings(document: AuditDocument) -> RenderableType:
    """Return what the run said when it broke off, and every verdict that is not PASS, the worst first."""
    ranked = sorted(
        (verdict for verdict in document.verdicts if verdict.outcome is not Outcome.PASS),
        key=lambda verdict: (SEVERITY.index(verdict.outcome), verdict.check),
    )
    said = Untrusted(document.complaint).shown(_COMPLAINT_LIMIT)
    complaint = [Text.assemble(("the run broke off: ", "bold yellow"), said)] if said else []
    return Group(*complaint, *(_finding(verdict) for verdict in ranked))


def _finding(verdict: JudgedVerdict) -> Text:
    head = f"{OUTCOME_SYMBOL[verdict.outcome]} {verdict.outcome:<7} "
    text = Text.assemble((head, _OUTCOME_STYLE[verdict.outcome]), Untrusted(verdict.check).shown(300))
    if verdict.waived:
        text.append(" (waived)")
    for line in (verdict.title, verdict.detail):
        shown = Untrusted(line).shown(_DETAIL_LIMIT)
        if shown:
            text.append("\n          " + shown.replace("\n", "\n          "))
    return text


class TruthMatrix:
    """Who reaches whom as a matrix, from downwards and to rightwards, in as many blocks as the width asks for.

    Destinations are numbered; the number stands before the same name among the rows.
    """

    def __init__(self, cells: Iterable[TruthCell]) -> None:
        self._cells = {(cell.source, cell.destination): cell for cell in cells}
        self._places = list(dict.fromkeys(name for pair in self._cells for name in pair))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield one table for each block of destinations that fits, so that no column is ever cut away."""
        names = max((len(name) for name in self._places), default=0) + _NUMBER_WIDTH + 1
        fitting = max(1, (options.max_width - names) // _CELL_WIDTH)
        for start in range(0, len(self._places), fitting):
            yield self._block(start, self._places[start : start + fitting])

    def _block(self, start: int, destinations: list[EquipmentName]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        table.add_column("from \\ to", overflow="fold")
        for number, _ in enumerate(destinations, start=start + 1):
            table.add_column(str(number), justify="center", no_wrap=True, min_width=_CELL_WIDTH - 1)
        for number, source in enumerate(self._places, start=1):
            marks = [_mark(self._cells.get((source, destination))) for destination in destinations]
            table.add_row(Text(f"{number:>2} {source}"), *marks)
        return table


def truth_table(cells: Iterable[TruthCell]) -> RenderableType:
    """Return who reaches whom as a matrix, the meaning of each sign, and a line for every leak and outage."""
    known = tuple(cells)
    used = {cell.reach for cell in known}
    legend = [
        Text.assemble((f" {sign} ", style), f" {meaning}")
        for reach, (sign, style, meaning) in _REACH_CELL.items()
        if reach in used
    ]
    return Group(TruthMatrix(known), *legend, *_not_as_declared(known))


def _mark(cell: TruthCell | None) -> Text:
    if cell is None:
        return Text(" ")
    sign, style, _ = _REACH_CELL[cell.reach]
    return Text(sign, style=style)


def _not_as_declared(cells: Iterable[TruthCell]) -> list[Text]:
    """Return one line for every pair with a leak or an outage: which service, from where to where."""
    lines = []
    for cell in cells:
        if cell.reach in {Reach.LEAK, Reach.OUTAGE}:
            sign, style, _ = _REACH_CELL[cell.reach]
            lost = [str(item.service) for item in cell.authorised if item.outcome is Outcome.FAIL]
            what = ["something unauthorised arrives"] if cell.silence is Outcome.FAIL else []
            what += [f"{service} does not arrive" for service in lost]
            said = f" {cell.source} → {cell.destination}: {', '.join(what)}"
            lines.append(Text.assemble((f" {sign} ", style), said))
    return lines
