"""What a parser read: every statement with its place, and whether the proof models it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloison.model import EquipmentName, Untrusted

Model = TypeVar("Model", covariant=True)  # noqa: PLC0105  a parser's result, named as what it holds


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement stands: in which section of which device."""

    device: EquipmentName
    section: str
    """`switch`, `interfaces`, `edge`, `filter`, `tunnels`…"""
    line: int
    """1 for the first line of the section; 0 where the form has no lines (JSON)."""

    def __str__(self) -> str:
        """Return `<site>/<device> <section>:<line>`."""
        return f"{self.device} {self.section}:{self.line}" if self.line else f"{self.device} {self.section}"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a configuration, such as a rule, a port, a flow, a route."""

    place: Place
    text: Untrusted
    """As it was read, on one line."""

    def __str__(self) -> str:
        """Return its place and its text, fit for a terminal."""
        return f"{self.place}: {self.text.shown(300)}"


@dataclass(frozen=True, slots=True)
class Unmodelled:
    """A statement, or the part of one, whose effect the proof does not know."""

    statement: Statement
    what: str
    """The word or the expression that is not modelled."""

    def __str__(self) -> str:
        """Say what is not modelled and where."""
        return f"{self.statement.place}: not modelled: {self.what}"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is wrong in itself, whatever packets it lets through: a mirror, a foreign table, a manager."""

    statement: Statement
    what: str
    """One sentence."""

    def __str__(self) -> str:
        """Say what is wrong and where."""
        return f"{self.statement.place}: {self.what}"


@dataclass(frozen=True, slots=True)
class Parsed(Generic[Model]):
    """What a parser made of one section."""

    model: Model
    read: int
    """Statements in the section, comments and blank lines not counted."""
    unmodelled: tuple[Unmodelled, ...] = ()
    notices: tuple[Notice, ...] = field(default=())

    @property
    def modelled(self) -> int:
        """Statements whose effect the proof knows whole."""
        return self.read - len({one.statement for one in self.unmodelled})


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of one section of one device the proof models."""

    device: EquipmentName
    section: str
    read: int
    modelled: int


def coverage(device: EquipmentName, section: str, parsed: Iterable[Parsed[object]]) -> Coverage:
    """Return the coverage of one section from what its parsers made of it."""
    every = list(parsed)
    return Coverage(device, section, sum(one.read for one in every), sum(one.modelled for one in every))
