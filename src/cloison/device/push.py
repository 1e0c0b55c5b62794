"""Loads what has changed on one device, in the order of sections, and whatever hangs on it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from cloison.device.contract import depends_on_switch
from cloison.errors import LoadError
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.device.contract import Device, Reader
    from cloison.render.config import Config, Section


_MATCHED_LINES = 200_000
"""Seconds of matching at the worst; a shared firewall of 725 communes has fewer."""


def changed(running: Config, canonical: Config) -> tuple[SectionName, ...]:
    """Return the sections of a canonical candidate that differ from what runs, in the order of application."""
    return tuple(section.name for section in canonical.sections if running.section(section.name).text != section.text)


def difference(running: Section, canonical: Section) -> str:
    """Return a unified diff from what runs to a canonical candidate; an empty text when they are equal."""
    return unified(running.text, canonical.text, f"running/{running.name}", f"candidate/{canonical.name}")


def unified(before: str, after: str, name: str, other: str) -> str:
    """Return a unified diff of two texts; an empty text when they are equal.

    A text of very many lines is not matched line by line, or a device could keep this process busy for ever: it is
    shown as taken away and put in whole.
    """
    lines, others = before.splitlines(keepends=True), after.splitlines(keepends=True)
    if max(len(lines), len(others)) <= _MATCHED_LINES:
        return "".join(difflib.unified_diff(lines, others, name, other))
    if before == after:
        return ""
    head = f"--- {name}\n+++ {other}\n@@ -1,{len(lines)} +1,{len(others)} @@\n"
    return head + "".join([*(f"-{line}" for line in lines), *(f"+{line}" for line in others)])


def loads(reader: Reader, running: Config, candidate: Config, canonical: Config) -> Iterator[Section]:
    """Yield what has to be loaded so that a device runs the candidate, in order.

    That is each section of the candidate that differs from what runs, and after a rebuild of the switch rows every
    section that it may undo: as in the candidate, or as it ran when the candidate leaves it alone. Where no filter
    runs yet it goes first: a firewall forwards nothing unfiltered, not even while it is configured.
    """
    different = changed(running, canonical)
    rebuilt = SectionName.SWITCH in different
    bare = SectionName.FILTER in different and not running.section(SectionName.FILTER).text.strip()
    for section in sorted(running.sections, key=lambda s: not (bare and s.name is SectionName.FILTER)):
        if section.name in different:
            yield candidate.section(section.name)
        elif rebuilt and depends_on_switch(section.name):
            declared = section.name in candidate.names
            yield candidate.section(section.name) if declared else reader.loadable(running, section.name)


def push(device: Device, running: Config, candidate: Config, canonical: Config) -> tuple[SectionName, ...]:
    """Load what differs; return the sections that were loaded. Sections that do not differ are not touched.

    Raises LoadError for the first one that is refused; the message names those that were loaded before it.
    """
    done: list[SectionName] = []
    for section in loads(device.reader, running, candidate, canonical):
        try:
            device.writer.load(section)
        except LoadError as error:
            if not done:
                raise
            said = str(error).removeprefix(f"{error.device}: ")
            raise LoadError(error.device, f"{said} (loaded before it: {', '.join(done)})") from error
        done.append(section.name)
    return tuple(done)
