"""The text of a section as statements that can be taken out and put back: rules, elements of sets, connections.

Whoever takes some of them out and puts them back in gets the very text again: what a section is shown with (the order
of the elements, where a line is broken) follows from the statements and from the `Layout` of the texts at hand. Where
it does not follow, nothing is taken out. Texts are those that a device shows, or that rendering leaves.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from cloison.device.interfaces import place_of
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

ADDRESS = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d{1,3}){3})(?:/(\d{1,2}))?(?![\d.])")
_PAIR = re.compile(r"ip saddr (\d+(?:\.\d+){3}) ip daddr (\d+(?:\.\d+){3})(?= )")
_PAIRS = re.compile(r"ip saddr \. ip daddr \{ ([\d./ ,-]+) \}")
_LISTED = "ip saddr . ip daddr {}"
_ELEMENTS = "elements = {}"
_ACCEPTS = re.compile(r'\baccept comment "([^"]*)"$')
_SORTED_BY = tuple(re.compile(words) for words in (r'iifname "([^"]*)"', r'oifname "([^"]*)"', r"(\w+) dport (\d+)"))
_DIFFERS = re.compile(r"differs: connection ([^ :]+)")
_ADDRESSES_A_LINE = 2
"""How many addresses nft puts on a line of a set."""
_BREAK = ",\n\t\t\t     "
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """One rule, one set with its elements, one connection, or one line."""

    text: str
    """Without the indent; `{}` stands for the elements."""
    elements: tuple[str, ...] | None = None
    """What it lists; None where it is no list."""
    key: Key | None = None
    """Its place among others of its kind; None for what no other may be moved across."""
    group: str = ""
    """The statement without a key that closes the group that it stands in, itself when it is one; empty at the end."""
    name: str = ""
    """The connection that it is, or is about."""

    @property
    def frame(self) -> tuple[str, str]:
        """What two lists have in common that are one list."""
        return self.group, self.text


@dataclass(slots=True)
class Place:
    """Where statements stand, such as one chain: its path, and its statements in order."""

    path: str
    depth: int
    """How many braces it stands in."""
    statements: list[Statement] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """The lines that it was read from."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the tools that print a text put elements in order, and break lines."""

    last_first: bool = False
    """True where concatenations are sorted by their last byte first, as nft does on a little-endian machine."""
    a_line: int = 0
    """How many elements of a set stand on a line; 0 for all of them."""
    indented: bool = False
    """True where a line has a tab for each brace that it stands in."""

    def show(self, statement: Statement) -> str | None:
        """Return a statement as it is printed; None for a list of nothing."""
        if statement.elements is None:
            return statement.text
        listed = sorted(statement.elements, key=self.order)
        if not listed:
            return None
        if statement.text == _ELEMENTS:
            size = self.a_line or len(listed)
            lines = (", ".join(listed[at : at + size]) for at in range(0, len(listed), size))
            return f"elements = {{ {_BREAK.join(lines)} }}"
        if len(listed) == 1:
            source, _, destination = listed[0].partition(" . ")
            return statement.text.replace(_LISTED, f"ip saddr {source} ip daddr {destination}")
        return statement.text.replace(_LISTED, f"ip saddr . ip daddr {{ {', '.join(listed)} }}")

    def order(self, element: str) -> tuple[tuple[int, ...], str]:
        """Return the sort key of an element: numbers, not letters."""
        numbers = tuple(int(part) for part in re.findall(r"\d+", element))
        return (numbers[::-1] if self.last_first and " . " in element else numbers, element)


def layout_of(*texts: str) -> Layout:
    """Return how these texts are laid out; they are taken for the output of one tool on one machine."""
    orders = Layout(), Layout(last_first=True)
    lists = [listed.split(", ") for text in texts for listed in _PAIRS.findall(text)]
    by_first, by_last = (sum(_is_sorted(elements, order.order) for elements in lists) for order in orders)
    indented = any("\n\t" in text for text in texts)
    broken = re.search(r"elements = \{ ([^\n{}]*),\n", "".join(texts))
    a_line = len(broken[1].split(", ")) if broken else _ADDRESSES_A_LINE if indented and not _is_long(texts) else 0
    return Layout(last_first=by_last > by_first, a_line=a_line, indented=indented)


def _is_long(texts: Iterable[str]) -> bool:
    """Return True where a text has more on a line than nft would put there."""
    found = (listed for text in texts for listed in re.findall(r"elements = \{([^}]*)", text))
    return any(listed.count(",") >= _ADDRESSES_A_LINE for listed in found)


def _is_sorted(elements: Sequence[str], order: Callable[[str], tuple[tuple[int, ...], str]]) -> bool:
    return all(order(one) <= order(other) for one, other in pairwise(elements))


@dataclass(frozen=True, slots=True)
class Text:
    """A section as lines that nobody moves, with places of statements between them."""

    pieces: tuple[str | Place, ...]

    @property
    def places(self) -> tuple[Place, ...]:
        """The places of statements."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Place))

    def show(self, layout: Layout) -> str:
        """Return the text."""
        return "".join(self._shown(layout))

    def _shown(self, layout: Layout) -> Iterator[str]:
        for piece in self.pieces:
            if isinstance(piece, str):
                yield piece
                continue
            for statement in piece.statements:
                shown = layout.show(statement)
                if shown is not None:
                    lines = shown.split("\n") if statement.text != _ELEMENTS else [shown]
                    indent = "\t" * piece.depth if layout.indented else ""
                    yield from (f"{indent}{line}\n" for line in lines)


def parse(name: SectionName, text: str) -> Text:
    """Return the statements of a section; none of a place whose lines do not follow from its statements."""
    readers = {SectionName.FILTER: _filter, SectionName.TUNNELS: _tunnels, SectionName.INTERFACES: _interfaces}
    layout = layout_of(text)
    pieces: list[str | Place] = []
    for piece in readers[name](text) if name in readers and text.endswith("\n") else ():
        raw = piece if isinstance(piece, str) else "".join(f"{line}\n" for line in piece.lines)
        pieces.append(piece if Text((piece,)).show(layout) == raw else raw)
    found = Text(tuple(pieces))
    return found if found.show(layout) == text else Text((text,))


def insert(place: Place, statements: Iterable[Statement]) -> Place | None:
    """Return a place with more statements, each in its group; None when the one that closes its group is not there."""
    elements: dict[tuple[str, str], tuple[str, ...]] = defaultdict(tuple)
    new: list[Statement] = []
    known = {statement.frame for statement in place.statements if statement.elements is not None}
    for statement in statements:
        if statement.elements is None:
            new.append(statement)
            continue
        if statement.frame not in known:
            known.add(statement.frame)
            new.append(replace(statement, elements=()))
        elements[statement.frame] += statement.elements
    groups = {statement.group for statement in place.statements if statement.key is None} | {""}
    if any(statement.group not in groups for statement in new):
        return None
    found = [
        one if one.elements is None else replace(one, elements=one.elements + elements.pop(one.frame, ()))
        for one in _woven(place.statements, new)
    ]
    return Place(place.path, place.depth, found)


def _woven(own: Iterable[Statement], new: Iterable[Statement]) -> Iterator[Statement]:
    """Yield one's own statements in the order that they have, and each new one where its key puts it in its group."""
    waiting: dict[str, deque[Statement]] = defaultdict(deque)
    for statement in sorted(new, key=_key):
        waiting[statement.group].append(statement)
    for statement in own:
        ahead = waiting[statement.group]
        while ahead and (statement.key is None or _key(ahead[0]) < _key(statement)):
            yield ahead.popleft()
        yield statement
    yield from waiting[""]


def _key(statement: Statement) -> tuple[Key, str]:
    return statement.key or (), statement.text


def _grouped(statements: Iterable[Statement]) -> list[Statement]:
    """Return the statements, each with the one that closes its group."""
    closing: Counter[str] = Counter()
    found: list[Statement] = []
    open_since = 0
    for statement in statements:
        found.append(statement)
        if statement.key is None:
            closing[statement.text] += 1
            count = closing[statement.text]
            group = statement.text if count == 1 else f"{statement.text} ({count})"
            found[open_since:] = [replace(one, group=group) for one in found[open_since:]]
            open_since = len(found)
    return found


# --- the filter -----------------------------------------------------------------------------------------------------


def _filter(text: str) -> Iterator[str | Place]:
    """Yield the pieces of a table of nftables: the rules of each chain, the elements of each set and map."""
    containers: list[str] = []
    place = Place("", 0)
    lines = iter(text.splitlines())
    for line in lines:
        words = line.strip()
        kind = containers[-1].split()[0] if len(containers) > 1 else ""
        if words.endswith("{"):
            containers.append(words)
            place = Place(words.removesuffix(" {"), len(containers))
        elif words == "}" and containers:
            containers.pop()
            place.statements[:] = _grouped(place.statements)
            yield place
            place = Place("", 0)
        elif kind == "chain" and words and not words.startswith(("type ", "policy ")):
            place.statements.append(_rule(words))
            place.lines.append(line)
            continue
        elif kind in {"set", "map"} and words.startswith("elements = {"):
            while not line.endswith("}"):
                line += "\n" + next(lines, "}")  # noqa: PLW2901  the rest of the same statement
            if listed := _listed(line):
                place.statements.append(listed)
                place.lines.append(line)
                continue
        yield f"{line}\n"


def _listed(lines: str) -> Statement | None:
    """Return the elements of a set; None unless each of them begins with an address."""
    elements = tuple(one.strip() for one in lines.strip().removeprefix("elements = {").removesuffix("}").split(","))
    return Statement(_ELEMENTS, elements, ()) if all(ADDRESS.match(one) for one in elements) else None


def _rule(words: str) -> Statement:
    """Return a rule. One that accepts pairs of addresses may stand anywhere among others that do."""
    accepts = _ACCEPTS.search(words)
    pair, pairs = _PAIR.search(words), _PAIRS.search(words)
    if not accepts or not (pair or pairs) or "{}" in words:
        return Statement(words)
    key = (accepts[1], *(group for one in _SORTED_BY for group in _groups(one, words)))
    if pairs:
        return Statement(words.replace(pairs[0], _LISTED), tuple(pairs[1].split(", ")), key)
    return Statement(_PAIR.sub(_LISTED, words), (f"{pair[1]} . {pair[2]}",) if pair else (), key)


def _groups(pattern: re.Pattern[str], words: str) -> tuple[str, ...]:
    found = pattern.search(words)
    return found.groups() if found else ("",) * pattern.groups


# --- tunnels and interfaces -----------------------------------------------------------------------------------------


def _tunnels(text: str) -> Iterator[str | Place]:
    """Yield the pieces of a swanctl.conf: its connections, and what the daemon shows otherwise."""
    connections, differs = Place("connections", 1), Place("differs", 0)
    block: list[str] = []
    depth = 0
    within = False
    for line in text.splitlines():
        words = line.strip()
        before, depth = depth, depth + words.endswith("{") - (words == "}")
        if within and max(before, depth) > 1:
            block.append(line)
            connections.lines.append(line)
            if depth == 1:
                connections.statements.append(_connection(block))
                block = []
            continue
        if found := _DIFFERS.match(words):
            differs.statements.append(Statement(words, key=(words,), name=found[1]))
            differs.lines.append(line)
            continue
        if within and not depth:
            yield connections
        within = words == "connections {" if not before else within and depth > 0
        yield f"{line}\n"
    yield differs


def _connection(block: list[str]) -> Statement:
    name = block[0].split()[0]
    return Statement("\n".join(line.removeprefix("\t") for line in block), key=(name,), name=name)


def _interfaces(text: str) -> Iterator[str | Place]:
    """Yield the lines of the interfaces section."""
    lines = text.splitlines()
    keys = [(str(place_of(line)[0]), line) if line.strip() else None for line in lines]
    yield Place("lines", 0, [Statement(line, key=key) for line, key in zip(lines, keys, strict=True)], lines)
