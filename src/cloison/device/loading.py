"""What the guard of a device is given for each section: data that the script there knows how to load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.device.capabilities import PLATFORMS
from cloison.device.interfaces import InterfacesReading
from cloison.device.interfaces_load import removals
from cloison.device.job import Load
from cloison.device.rows import transaction
from cloison.device.section import Answers, joined, lines_of
from cloison.errors import LoadError
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from cloison.model import Platform
    from cloison.render.config import Section


def load_of(device: str, platform: Platform, running: Section, candidate: Section) -> Load:
    """Return what makes a running section, in canonical text, equal to a loadable one.

    Raises LoadError for lines without a known form.
    """
    try:
        match candidate.name:
            case SectionName.SWITCH:
                return Load(candidate.name, _words(transaction(candidate.text)))
            case SectionName.FIBRE:
                return Load(candidate.name, joined(lines_of(candidate.text)))
            case SectionName.INTERFACES:
                wanted = InterfacesReading(PLATFORMS[platform]).canonical(candidate.text, Answers(device, {}))
                extra = set(lines_of(running.text)) - set(lines_of(wanted))
                return Load(candidate.name, joined(lines_of(candidate.text)), joined(removals(extra)))
    except ValueError as error:
        raise LoadError(device, f"section {candidate.name} is refused: {error}") from error
    return Load(candidate.name, candidate.text)


def _words(words: list[str]) -> str:
    """Return the words of a transaction, one a line; ValueError when that would make two of one."""
    if any("\n" in word for word in words):
        msg = "a word holds a line break"
        raise ValueError(msg)
    return joined(words)
