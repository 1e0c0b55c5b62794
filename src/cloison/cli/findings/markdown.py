"""The document of a proof as GitHub-flavoured Markdown, for a comment on a merge request: the verdict and counts first.

A comment has a limit, so what does not fit is left out whole, and counted. What a device wrote is code, in which every
character that could be markup is an entity, so that it is neither a link, nor a mention, nor a row of a table.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cloison.cli.findings.document import ChangeEntry
from cloison.cli.findings.wording import (
    CHANGE_HEADINGS,
    HEADINGS,
    SENTENCES,
    counted,
    counted_changes,
    covered,
    ends,
    qualified_service,
    tried,
    way,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cloison.cli.findings.document import Entry, OriginEntry, ProofDocument

LIMIT: Final = 60_000
"""Characters; a comment on GitHub has 65,536 at most."""
MARK: Final = "<!-- cloison proof -->"
"""The first line, by which a job finds the comment to replace."""
_SIGNS: Final = {0: "✅", 1: "❌", 3: "❓"}
_RESERVED: Final = 400
_CELL: Final = 200
_STATEMENT: Final = 400
_PLAIN = re.compile(r"[^\w .,/→()=+-]|_", re.ASCII)


def markdown(document: ProofDocument) -> bytes:
    """Return the document as Markdown, UTF-8, of at most LIMIT characters."""
    lines: list[str] = []
    room = LIMIT - _RESERVED
    left_out = 0
    for block, entries in _blocks(document):
        room -= len(block) + 1
        if room >= 0:
            lines.append(block)
        else:  # nothing smaller slips in behind it: a row without the head of its table
            left_out += entries
            room = -1
    if left_out:
        lines.append(
            f"\n**{left_out} more rows and details are left out**: a comment has {LIMIT:,} characters at most."
        )
        lines.append("`--format json` holds all.")
    return ("\n".join(lines) + "\n").encode()


def _blocks(document: ProofDocument) -> Iterator[tuple[str, int]]:
    """Yield pieces that stand or fall whole, and how many findings or changes each shows."""
    yield MARK, 0
    yield f"### {_SIGNS[document.exit_code]} Cloison: {SENTENCES[document.exit_code]}\n", 0
    yield f"{counted(document)}; {covered(document)}.", 0
    if document.difference is not None:
        yield f"\n{_text(counted_changes(document))}.", 0
        for kind, (heading, meaning) in CHANGE_HEADINGS.items():
            yield from _table(document.changes(kind), f"{heading.capitalize()}", meaning)
    for finding_kind, (_, plural, meaning) in HEADINGS.items():
        found = [finding for finding in document.findings if finding.kind is finding_kind]
        yield from _table(found, plural.capitalize(), meaning)
    every: list[Entry] = [*(document.difference.changes if document.difference else ()), *document.findings]
    if every:
        yield "\n#### Packet by packet", 0
    for entry in every:
        yield _details(entry), 1


def _table(entries: Sequence[Entry], heading: str, meaning: str) -> Iterator[tuple[str, int]]:
    if not entries:
        return
    yield f"\n#### {heading}: {len(entries)}\n\n{meaning}\n", 0
    yield "| from | to | what | packet | see |\n|---|---|---|---|---|", 0
    for entry in entries:
        packet = _code(entry.witness.text, _CELL) if entry.witness is not None else ""
        origin = entry.origins[0]
        cells = (
            _code(entry.sender, _CELL),
            _code(entry.receiver, _CELL),
            _code(qualified_service(entry), _CELL),
            packet,
            _code(f"{origin.file}:{origin.line}", _CELL),
        )
        yield f"| {' | '.join(cells)} |", 1


def _details(entry: Entry) -> str:
    """Return the whole story of one finding, folded away."""
    lines = [f"<details><summary>{_text(ends(entry))} {_text(qualified_service(entry))}</summary>\n"]
    lines.append(f"{_text(entry.what)}\n")
    if entry.witness is not None:
        lines.append(f"- packet: {_code(entry.witness.text, _STATEMENT)}")
        lines.extend(f"- {_text(said)}" for said in [tried(entry)] if said)
    lines.extend(f"- {_code(step, _STATEMENT)}" for step in way(entry.hops))
    lines.extend(f"- {_code(f'{at.file}:{at.line}:{at.column}', _CELL)} {_text(at.why)}" for at in _origins(entry))
    lines.append("\n</details>")
    return "\n".join(lines)


def _origins(entry: Entry) -> tuple[OriginEntry, ...]:
    """Return the places in the inventory as it is, then those in it as it was."""
    return (*entry.origins, *entry.origins_before) if isinstance(entry, ChangeEntry) else entry.origins


def _code(text: str, limit: int) -> str:
    """Return text as code, on one line."""
    shown = text[:limit] + ("…" if len(text) > limit else "")
    return f"<code>{_text(shown)}</code>" if shown else ""


def _text(text: str) -> str:
    """Return text in which nothing is markup: each character that could be is an entity (GFM, section 6.2)."""
    return _PLAIN.sub(lambda match: f"&#{ord(match[0])};", text)
