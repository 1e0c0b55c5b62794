"""Names what a device runs otherwise than declared: one departure a thing, whichever section it is in.

Two canonical texts go in. Their lines are told apart by what they are about (a port, a route, a flow, a rule of a
chain), so that a line reads `mirror, not declared` and not as a difference of texts. What no reading of a section
explains is a departure all the same: texts that differ never give none.
"""

from __future__ import annotations

import re
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING

from cloison.change.departure_things import Found, things_of
from cloison.model import EquipmentName, Model
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cloison.render.config import Config, Section

_TEXT_LIMIT = 2000
_FOREIGN_TABLE = "foreign "
_DIFFERS = "differs: "


class How(StrEnum):
    """In which way something departs from what is declared."""

    FOREIGN = "foreign"
    """It is there and nobody declares it."""
    MISSING = "missing"
    """It is declared and not there."""
    CHANGED = "changed"
    """It is declared, and there with another value."""
    MOVED = "moved"
    """It is declared and there, at another place among its neighbours, where the order counts."""


class Departure(Model):
    """One thing that a device runs otherwise than declared. Its texts are the device's word: untrusted."""

    device: EquipmentName
    section: SectionName
    kind: str
    """What it is: `mirror`, `table`, `rule`, `route`, `flow`…; a word of this program and never of a device."""
    how: How
    running: str = ""
    """As it runs; empty when it is missing."""
    declared: str = ""
    """As it is declared; empty when it is foreign."""


def departures(running: Config, declared: Config) -> tuple[Departure, ...]:
    """Return every departure of a device from the canonical text of what is declared for it, in order of sections.

    Empty exactly when every declared section runs.
    """
    return tuple(
        Departure(
            device=running.device,
            section=section.name,
            kind=kind,
            how=how,
            running=one[:_TEXT_LIMIT],
            declared=other[:_TEXT_LIMIT],
        )
        for section in declared.sections
        for kind, how, one, other in _of_section(running.section(section.name), section)
    )


_Named = tuple[str, How, str, str]


def _of_section(running: Section, declared: Section) -> Iterator[_Named]:
    if running.text == declared.text:
        return
    said, findings = _parted(running.text)
    if said.strip() or not declared.text.strip():
        things = _compared(things_of(declared.name, said), things_of(declared.name, declared.text))
    else:
        things = iter([("section", How.MISSING, "", f"all {len(declared.text.splitlines())} lines of it")])
    found = [*_findings(findings), *things]
    yield from found or [("text", How.CHANGED, "the text differs, in nothing that has a name", "")]


def _parted(text: str) -> tuple[str, list[str]]:
    """Part a section from the lines that the reading adds to it and that no section holds."""
    kept: list[str] = []
    findings: list[str] = []
    for line in text.splitlines(keepends=True):
        (findings if line.startswith((_FOREIGN_TABLE, _DIFFERS)) else kept).append(line)
    return "".join(kept), [line.rstrip("\n") for line in findings]


def _findings(lines: Sequence[str]) -> Iterator[_Named]:
    for line in lines:
        if line.startswith(_FOREIGN_TABLE):
            yield "table", How.FOREIGN, line.removeprefix(_FOREIGN_TABLE), ""
        else:
            said = line.removeprefix(_DIFFERS)
            if said.endswith(("loaded by somebody else", "not declared")):
                yield "connection", How.FOREIGN, said, ""
            elif said.startswith("/"):
                yield "file", How.CHANGED, said, ""
            else:
                yield "daemon", How.CHANGED, said, ""


def _compared(running: Sequence[Found], declared: Sequence[Found]) -> Iterator[_Named]:
    """Compare two sections thing by thing; where one thing occurs more than once, count."""
    here, there = _grouped(running), _grouped(declared)
    for key in dict.fromkeys([*there, *here]):
        ours, theirs = here.get(key, []), there.get(key, [])
        surplus = list((Counter(one.text for one in ours) - Counter(one.text for one in theirs)).elements())
        lacking = list((Counter(one.text for one in theirs) - Counter(one.text for one in ours)).elements())
        kind = (ours or theirs)[0].kind
        for one, other in zip(surplus, lacking, strict=False):
            yield kind, How.CHANGED, one, other
        yield from ((kind, How.FOREIGN, one, "") for one in surplus[len(lacking) :])
        yield from ((kind, How.MISSING, "", other) for other in lacking[len(surplus) :])
    yield from _moved(running, declared)


def _grouped(things: Sequence[Found]) -> dict[str, list[Found]]:
    groups: dict[str, list[Found]] = {}
    for thing in things:
        groups.setdefault(thing.key, []).append(thing)
    return groups


def _moved(running: Sequence[Found], declared: Sequence[Found]) -> Iterator[_Named]:
    """Yield, for each place where the order counts, the first thing that stands where another is declared."""
    here, there = _placed(running), _placed(declared)
    for place, theirs in there.items():
        ours = here.get(place, [])
        common = Counter(one.text for one in ours) & Counter(one.text for one in theirs)
        kept = [_first(list_, common) for list_ in (ours, theirs)]
        for one, other in zip(*kept, strict=True):
            if one.text != other.text:
                yield one.kind, How.MOVED, one.text, other.text
                break


def _placed(things: Sequence[Found]) -> dict[str, list[Found]]:
    places: dict[str, list[Found]] = {}
    for thing in things:
        if thing.ordered_in:
            places.setdefault(thing.ordered_in, []).append(thing)
    return places


def _first(things: Sequence[Found], common: Counter[str]) -> list[Found]:
    """Return the things in their order, each text as often as it is common to both."""
    left = Counter(common)
    kept = []
    for thing in things:
        if left[thing.text] > 0:
            left[thing.text] -= 1
            kept.append(thing)
    return kept


def words(departure: Departure) -> str:
    """Return one line, without the device: `filter: table ip filter, not declared`. Untrusted, as its parts are."""
    what = departure.running or departure.declared
    said = {
        How.FOREIGN: f"{what}, not declared",
        How.MISSING: f"{what}, declared and not there",
        How.CHANGED: f"{what}, declared as {departure.declared}" if departure.declared else what,
        How.MOVED: f"{what}, where this is declared: {departure.declared}",
    }[departure.how]
    return re.sub(r"\s+", " ", f"{departure.section}: {departure.kind}: {said}")
