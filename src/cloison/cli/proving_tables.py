"""The matrix and the test packets on the terminal, and as documents."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from cloison.cli.output import console, say
from cloison.model import Untrusted
from cloison.prove.matrix import CellState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table
    from rich.text import Text

    from cloison.prove.cover import Cover, PacketTest, RuleReference
    from cloison.prove.matrix import Cell, Matrix

_SIGNS: Final = {
    CellState.LEAK: ("✗", "bold white on red", "LEAK: something gets through that nothing declares"),
    CellState.OUTAGE: ("▼", "bold red", "outage: something declared does not get through"),
    CellState.UNKNOWN: ("?", "yellow", "not determined"),
    CellState.DECLARED: ("✓", "green", "declared, and gets through"),
    CellState.SILENT: ("·", "bright_black", "nothing declared, and nothing gets through"),
}
_PADDING = 2
_STATEMENT_LIMIT = 300


def show_matrix(found: Matrix) -> None:
    """Write the matrix of equipment, in as many blocks as the width asks for, then what else gets through."""
    terminal = console()
    room = terminal.width - max(map(len, found.equipment), default=0) - 2 * _PADDING
    for site, those in groupby(found.equipment, key=lambda name: name.partition("/")[0]):
        receivers = [name for name in those if _column(found, name)]
        for block in _blocks(receivers, {name: _width(found, name) for name in receivers}, room):
            say(f"to {site}", style="bold")
            terminal.print(_table(found, block))
            say()
    for state in dict.fromkeys(_state(found, one, other) for one in found.equipment for other in found.equipment):
        sign, style, meaning = _SIGNS[state]
        say(f" {sign}  {meaning}", style=style)
    others = [cell for ends, cell in found.cells.items() if not set(ends) <= set(found.equipment)]
    say(
        f"Other places ({len(found.places)}):"
        if others
        else f"Other places ({len(found.places)}): nothing gets through"
    )
    for cell in others:
        say(f"  {_line(cell)}", style=_SIGNS[cell.state][1])
    for cell in found.cells.values():
        if cell.state in {CellState.LEAK, CellState.OUTAGE} and cell not in others:
            say(f"{_line(cell)}", style=_SIGNS[cell.state][1])
    for one in found.undetermined:
        say(Untrusted(str(one)).shown(_STATEMENT_LIMIT), style="yellow")


def _state(found: Matrix, sender: str, receiver: str) -> CellState:
    return found.cell(sender, receiver).state


def _column(found: Matrix, receiver: str) -> bool:
    """Tell whether a column holds anything: one that nothing reaches is left out of the terminal."""
    return any(_state(found, sender, receiver) is not CellState.SILENT for sender in found.equipment)


def _said(cell: Cell) -> tuple[str, ...]:
    """Return what stands in a cell: what gets through, and what should."""
    return tuple(dict.fromkeys((*cell.leaking, *cell.missing, *cell.services)))


def _width(found: Matrix, receiver: str) -> int:
    words = [word for sender in found.equipment for word in _said(found.cell(sender, receiver))]
    return max(len(receiver.partition("/")[2]), *(len(word) + _PADDING for word in words))


def _blocks(receivers: Sequence[str], widths: dict[str, int], room: int) -> Iterator[list[str]]:
    """Yield receivers that fit side by side."""
    block: list[str] = []
    for name in receivers:
        if block and sum(widths[one] + _PADDING for one in (*block, name)) > room:
            yield block
            block = []
        block.append(name)
    if block:
        yield block


def _table(found: Matrix, receivers: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, _PADDING, 0, 0), header_style="bold")
    table.add_column("from \\ to")
    for name in receivers:
        table.add_column(name.partition("/")[2], no_wrap=True)
    silent = 0
    for sender in found.equipment:
        if any(_state(found, sender, receiver) is not CellState.SILENT for receiver in receivers):
            table.add_row(sender, *(_cell(found, sender, receiver) for receiver in receivers))
        else:
            silent += 1
    if silent:
        table.add_row(f"{silent} others", *(_SIGNS[CellState.SILENT][0] for _ in receivers), style="bright_black")
    return table


def _cell(found: Matrix, sender: str, receiver: str) -> Text:
    from rich.text import Text

    if sender == receiver:
        return Text("")
    cell = found.cell(sender, receiver)
    sign, style, _ = _SIGNS[cell.state]
    words = "\n".join(f"{sign} {word}" for word in _said(cell))
    return Text(words or sign, style=style)


def _line(cell: Cell) -> str:
    parts = [", ".join(cell.services) or "nothing gets through"]
    parts += [f"not declared: {', '.join(cell.leaking)}"] if cell.leaking else []
    parts += [f"does not get through: {', '.join(cell.missing)}"] if cell.missing else []
    return f"{_SIGNS[cell.state][0]} {cell.sender} → {cell.receiver}: {'; '.join(parts)}"


def matrix_document(found: Matrix) -> dict[str, object]:
    """Return the matrix for a program; a pair that is not among the cells is silent."""
    return {
        "outcome": found.outcome.value,
        "equipment": list(found.equipment),
        "places": list(found.places),
        "cells": [
            {
                "sender": cell.sender,
                "receiver": cell.receiver,
                "state": cell.state.value,
                "services": list(cell.services),
                "leaking": list(cell.leaking),
                "declared": list(cell.declared),
                "missing": list(cell.missing),
            }
            for cell in found.cells.values()
        ],
        "undetermined": [Untrusted(str(one)).shown(_STATEMENT_LIMIT) for one in found.undetermined],
    }


# --- test packets -----------------------------------------------------------------------------------------------------


def show_packets(found: Cover) -> None:
    """Write the test packets as a person would name them, then the rules that they leave out."""
    for arrives, title in ((True, "must arrive"), (False, "must not arrive")):
        tests = [test for test in found.packets if test.arrives is arrives]
        say(f"{len(tests)} packets that {title}", style="bold")
        for test in tests:
            say(f"  {'→' if arrives else '⊘'} {test.sender} → {test.receiver}: {test.text}")
            if test.boundary:
                say(f"      just outside: {test.boundary}", style="dim")
            for rule in test.rules:
                say(f"      {rule}", style="dim")
    for one in found.unexercised:
        say(f"not exercised: {one.rule}: {one.why}", style="yellow")
    for dead in found.shadowed:
        by = f"shadowed by {', '.join(map(str, dead.by))}" if dead.by else "dead: it matches nothing that comes to it"
        say(f"{dead.rule}: {by}", style="red")
    for unknown in found.undetermined:
        say(Untrusted(str(unknown)).shown(_STATEMENT_LIMIT), style="yellow")
    count = sum(test.arrives for test in found.packets)
    say(
        f"{count} packets exercise {len(found.rules)} permit rules, {len(found.packets) - count} test what is just "
        f"outside them; {len(found.unexercised)} permit rules are not exercised, {len(found.shadowed)} rules are dead."
    )


def packets_document(found: Cover) -> dict[str, object]:
    """Return the test packets for a program."""
    return {
        "packets": [_test(test) for test in found.packets],
        "rules": [_rule(rule) for rule in found.rules],
        "unexercised": [{"rule": _rule(one.rule), "why": one.why} for one in found.unexercised],
        "shadowed": [{"rule": _rule(one.rule), "by": [_rule(rule) for rule in one.by]} for one in found.shadowed],
        "undetermined": [Untrusted(str(one)).shown(_STATEMENT_LIMIT) for one in found.undetermined],
    }


def _test(test: PacketTest) -> dict[str, object]:
    return {
        "sender": test.sender,
        "receiver": test.receiver,
        "text": test.text,
        "expected": "arrives" if test.arrives else "must not arrive",
        "rules": [_rule(rule) for rule in test.rules],
        "boundary": test.boundary,
        "packet": {name: value for name, value in test.packet.items() if name not in {"sender", "receiver"}},
    }


def _rule(rule: RuleReference) -> dict[str, object]:
    return {
        "device": rule.device,
        "section": rule.place.section,
        "line": rule.place.line,
        "hook": rule.hook,
        "chain": rule.chain,
        "comment": rule.comment,
        "statement": rule.statement,
    }
