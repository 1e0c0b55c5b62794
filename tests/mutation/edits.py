"""Edits of configuration texts: what a mutant is, and how one text becomes many that differ by one small thing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cloison.model import EquipmentName

ADDRESS = r"(?<![\d.])(?P<address>\d+\.\d+\.\d+\.\d+)(?:/(?P<length>\d+))?(?![\d./])"


class Edit(NamedTuple):
    """One text made of another by one change."""

    line: int
    """1 for the first; where the change is, or begins."""
    kind: str
    before: str
    after: str
    """The line that is changed; empty where it is gone."""
    text: str
    """The whole section, changed."""
    inert: bool = False
    """True when, by construction of the model, the word decides about no packet's way: nothing is proved by it."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A network in which something small is not as it was rendered."""

    device: EquipmentName
    section: str
    edit: Edit
    others: tuple[tuple[EquipmentName, str, str], ...] = ()
    """What is changed elsewhere with it: device, section, text (the other end of a tunnel)."""

    @property
    def name(self) -> str:
        """Say where and what, on one line."""
        edit = self.edit
        after = edit.after.strip() or "(gone)"
        return f"{self.device} {self.section}:{edit.line} {edit.kind}: {edit.before.strip()} → {after}"


@dataclass(frozen=True, slots=True)
class Substitution:
    """A part of a line, and what may stand there instead."""

    kind: str
    pattern: str
    instead: Callable[[re.Match[str]], Iterable[str]]
    inert: bool = False


class Lines:
    """The lines of one section, and the texts that differ from it by one of them."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")

    def meant(self) -> Iterator[tuple[int, str]]:
        """Yield the lines that are neither blank nor comment, with their index."""
        for index, line in enumerate(self.lines):
            if line.strip() and not line.strip().startswith("#"):
                yield index, line

    def without(self, first: int, count: int = 1) -> str:
        """Return the text without some lines."""
        return "\n".join(self.lines[:first] + self.lines[first + count :])

    def having(self, changed: dict[int, str]) -> str:
        """Return the text with other lines at some indices."""
        return "\n".join(changed.get(index, line) for index, line in enumerate(self.lines))

    def dropped(self, index: int, kind: str, count: int = 1, *, inert: bool = False) -> Edit:
        """Return the edit that takes lines out."""
        return Edit(index + 1, kind, self.lines[index], "", self.without(index, count), inert)

    def changed(self, index: int, kind: str, line: str, *, inert: bool = False) -> Edit:
        """Return the edit that puts another line in the place of one."""
        return Edit(index + 1, kind, self.lines[index], line, self.having({index: line}), inert)

    def added(self, index: int, kind: str, line: str) -> Edit:
        """Return the edit that puts a line before one."""
        text = "\n".join([*self.lines[:index], line, *self.lines[index:]])
        return Edit(index + 1, kind, "(nothing)", line, text)

    def swapped(self, one: int, other: int, kind: str) -> Edit:
        """Return the edit that exchanges two lines."""
        text = self.having({one: self.lines[other], other: self.lines[one]})
        return Edit(one + 1, kind, self.lines[one], f"changes places with {self.lines[other].strip()}", text)

    def substituted(self, substitutions: Sequence[Substitution]) -> Iterator[Edit]:
        """Yield one edit for every part of every line that may be something else."""
        for index, line in self.meant():
            for one in substitutions:
                for found in re.finditer(one.pattern, line):
                    for instead in dict.fromkeys(one.instead(found)):
                        new = line[: found.start()] + instead + line[found.end() :]
                        if new != line:
                            yield self.changed(index, one.kind, new, inert=one.inert)


def removed(kind: str, pattern: str, *, inert: bool = False) -> Substitution:
    """Return the substitution that takes a part of a line out."""
    return Substitution(kind, pattern, lambda _: [""], inert)


def words(kind: str, pattern: str, *instead: str) -> Substitution:
    r"""Return the substitution by fixed words; `\1` and the like stand for the groups of the pattern."""
    return Substitution(kind, pattern, lambda found: [found.expand(each) for each in instead])


def next_address(found: re.Match[str]) -> list[str]:
    """Return the next address, or the next network of the same size, in the place of the match of `ADDRESS`."""
    number, length = int(IPv4Address(found["address"])), found["length"]
    step = 1 if length is None or not _is_network(found) else 1 << (32 - int(length))
    return [f"{IPv4Address((number + step) % (1 << 32))}{'' if length is None else f'/{length}'}"]


def widened(found: re.Match[str]) -> list[str]:
    """Return the network that is twice as large, or the address with a prefix one bit shorter where it is a host's."""
    length = int(found["length"] or 32)
    if length == 0:
        return []
    if found["length"] is not None and not _is_network(found):
        return [f"{found['address']}/{length - 1}"]
    return [str(IPv4Network((found["address"], length - 1), strict=False))]


def _is_network(found: re.Match[str]) -> bool:
    return int(IPv4Address(found["address"])) % (1 << (32 - int(found["length"] or 32))) == 0


def neighbours(names: Sequence[str]) -> Callable[[re.Match[str]], list[str]]:
    """Return what puts, for a whole match that is among names, the one before and the one behind it there."""

    def instead(found: re.Match[str]) -> list[str]:
        if found[0] not in names:
            return []
        at = names.index(found[0])
        return [names[at - 1], names[(at + 1) % len(names)]]

    return instead


def shifted(found: re.Match[str]) -> list[str]:
    """Return the numbers below and above a whole match."""
    return [str(int(found[0]) - 1), str(int(found[0]) + 1)]


def elements(kind: str, opening: str, closing: str, separator: str = ", ") -> list[Substitution]:
    """Return the substitutions of a list between two patterns: an element fewer, one more (the next after the last)."""

    def fewer(found: re.Match[str]) -> Iterator[str]:
        items = found[0].split(separator)
        for index in range(len(items)):
            yield separator.join(items[:index] + items[index + 1 :])

    def more(found: re.Match[str]) -> Iterator[str]:
        last = found[0].split(separator)[-1]
        if numbers := re.fullmatch(r"\d+", last):
            yield f"{found[0]}{separator}{int(numbers[0]) + 1}"
        elif address := re.match(ADDRESS, last):
            yield f"{found[0]}{separator}{next_address(address)[0]}{last[address.end() :]}"

    pattern = f"(?<={opening})[^{{}}]+?(?={closing})"
    return [Substitution(f"{kind} removed", pattern, fewer), Substitution(f"{kind} added", pattern, more)]
