"""YAML text → plain data with the place of every value: a strict subset, in which nothing is read two ways.

Strict: one document, no anchor, alias, merge key, tag, duplicate key, tab, control or bidirectional character; and a
plain scalar that YAML 1.1 and 1.2 read differently (`no`, `22:22`, `010`, `1_000`, a date) must be quoted.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import yaml
from yaml import events
from yaml.resolver import Resolver

from cloison.intent.hint import cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from yaml._yaml import Mark as CMark

Data: TypeAlias = "str | int | float | bool | list[Data] | dict[str, Data] | None"
Path: TypeAlias = tuple[str | int, ...]
"""Keys and list indexes from the root of the document."""

SIZE_LIMIT = 1_000_000
"""Bytes of one file."""
DEPTH_LIMIT = 20
_CHARACTER_PROBLEMS_SHOWN = 10
_INTEGER_DIGITS = 18
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)
_NOTHING = {"", "~", "null", "Null", "NULL"}
# Read as a number or a truth value by one version of YAML or by a common library, as a string by another.
_TWISTED = re.compile(
    r"[yn]|[-+]?0[0-9]+|0o[0-7]+|[-+]?0x[0-9a-f]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)(e[-+]?[0-9]+)?",
    re.IGNORECASE,
)
_STRING_TAG = "tag:yaml.org,2002:str"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Place(NamedTuple):
    """A line and a column of a file, both 1 for the first."""

    line: int
    column: int


START = Place(1, 1)


class Mistake(NamedTuple):
    """What is wrong with the text at one place; `load` adds the file."""

    place: Place
    code: str
    message: str
    expected: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """Where every value and every key of a document stands."""

    values: Mapping[Path, Place]
    keys: Mapping[Path, Place]

    def of(self, path: Path) -> Place:
        """Return where the value at `path` stands, or the nearest value that holds it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.values:
                return self.values[path[:length]]
        return START

    def of_key(self, path: Path) -> Place:
        """Return where the last key of `path` stands; for a list item, the item."""
        return self.keys[path] if path in self.keys else self.of(path)


@dataclass(frozen=True, slots=True)
class Document:
    """What a text says, and what is wrong with it. `data` is None where something was refused."""

    data: Data
    places: Places
    mistakes: tuple[Mistake, ...] = ()
    refused: frozenset[Path] = frozenset()
    """Paths whose value was refused: whatever else is said about them is noise."""
    incomplete: frozenset[Path] = frozenset()
    """Mappings with a key that was refused: that they lack another is perhaps noise."""


class _StopReading(Exception):  # noqa: N818  a way out, not an error
    """The rest of the document is of no use."""


def read_document(content: bytes) -> Document:
    """Return what the bytes say with every mistake found; never raises on any content."""
    if len(content) > SIZE_LIMIT:
        return _unreadable([Mistake(START, "CL005", f"the file is larger than {SIZE_LIMIT} bytes")])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        place = Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        return _unreadable([Mistake(place, "CL006", "not UTF-8", hint="save the file as UTF-8")])
    mistakes = _character_mistakes(text)
    if mistakes:
        return _unreadable(mistakes)
    return _Reader(text).read()


def _unreadable(mistakes: list[Mistake]) -> Document:
    return Document(None, Places({}, {}), tuple(mistakes), frozenset({()}))


def _character_mistakes(text: str) -> list[Mistake]:
    """Return the first tab or hidden character of each line, for the first lines that have one."""
    mistakes: list[Mistake] = []
    for number, ended in enumerate(text.split("\n"), 1):
        line = ended.removesuffix("\r")
        if line.isascii() and line.isprintable():
            continue
        for column, character in enumerate(line, 1):
            mistake = _character_mistake(character, Place(number, column))
            if mistake is not None:
                mistakes.append(mistake)
                break
        if len(mistakes) == _CHARACTER_PROBLEMS_SHOWN:
            break
    return mistakes


def _character_mistake(character: str, place: Place) -> Mistake | None:
    if " " <= character <= "~":
        return None
    if character == "\t":
        return Mistake(place, "CL008", "a tab", "spaces", "indent by spaces")
    if character == "\ufeff":
        return Mistake(place, "CL006", "a byte order mark (U+FEFF)", hint="save the file as UTF-8 without it")
    if unicodedata.category(character) in _HIDDEN_CATEGORIES:
        return Mistake(place, "CL007", f"a character that cannot be seen (U+{ord(character):04X})", hint="remove it")
    return None


@dataclass(slots=True)
class _Reader:
    """Builds the data of one document from the events of the parser; `mistakes` grows as it reads."""

    text: str
    mistakes: list[Mistake] = field(default_factory=list)
    values: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    refused: set[Path] = field(default_factory=set)
    incomplete: set[Path] = field(default_factory=set)
    resolver: Resolver = field(default_factory=Resolver)
    stream: Iterator[events.Event] = field(default_factory=lambda: iter(()))

    def read(self) -> Document:
        """Return the document of the text."""
        data: Data = None
        try:
            self.stream = yaml.parse(self.text, Loader=_LOADER)
            data = self._stream()
        except yaml.MarkedYAMLError as error:
            self._refuse((), _place(error.problem_mark or error.context_mark), "CL009", f"not YAML: {error.problem}")
        except yaml.YAMLError:
            self._refuse((), START, "CL009", "not YAML")
        except _StopReading:
            self.refused.add(())
        places = Places(self.values, self.keys)
        return Document(data, places, tuple(self.mistakes), frozenset(self.refused), frozenset(self.incomplete))

    def _refuse(self, path: Path, place: Place, code: str, message: str, expected: str = "", hint: str = "") -> None:
        self.refused.add(path)
        self.mistakes.append(Mistake(place, code, message, expected, hint))

    def _stream(self) -> Data:
        data: Data = None
        documents = 0
        for event in self.stream:
            if isinstance(event, events.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    place = _place(event.start_mark)
                    self._refuse((), place, "CL015", "a second document", "one document a file", "remove the `---`")
                    return data
                if event.version or event.tags:
                    self._refuse((), START, "CL012", "a YAML directive", hint="remove the line that starts with `%`")
            elif not isinstance(event, events.StreamStartEvent | events.StreamEndEvent | events.DocumentEndEvent):
                data = self._node(event, (), 1)
        if documents == 0:
            self._refuse((), START, "CL016", "the file is empty")
        return data

    def _node(self, event: events.Event, path: Path, depth: int) -> Data:
        """Return the value that starts with this event, and note where it stands."""
        place = _place(event.start_mark)
        self.values[path] = place
        if depth > DEPTH_LIMIT:
            self._refuse(path, place, "CL010", f"nested more than {DEPTH_LIMIT} deep")
            raise _StopReading
        if isinstance(event, events.AliasEvent):
            self._refuse(path, place, "CL011", f"an alias (*{cut(event.anchor or '')})", hint="write the value out")
            return None
        if isinstance(event, events.NodeEvent) and event.anchor is not None:
            self._refuse(path, place, "CL011", f"an anchor (&{cut(event.anchor)})", hint="write the value out")
        if isinstance(event, events.ScalarEvent | events.CollectionStartEvent) and event.tag is not None:
            self._refuse(path, place, "CL012", "a tag", hint="remove the word that starts with `!`")
        if isinstance(event, events.SequenceStartEvent):
            return self._sequence(path, depth)
        if isinstance(event, events.MappingStartEvent):
            return self._mapping(path, depth)
        return self._scalar(event, path, place) if isinstance(event, events.ScalarEvent) else None

    def _sequence(self, path: Path, depth: int) -> Data:
        items: list[Data] = []
        for event in self.stream:
            if isinstance(event, events.SequenceEndEvent):
                break
            items.append(self._node(event, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, path: Path, depth: int) -> Data:
        mapping: dict[str, Data] = {}
        first: dict[str, int] = {}
        for event in self.stream:
            if isinstance(event, events.MappingEndEvent):
                break
            key = self._key(event, path, depth)
            if key is None:
                # Its value is read for the mistakes in it, under a path that no model asks for.
                self.incomplete.add(path)
                self._node(next(self.stream), (*path, "<refused>"), depth + 1)
                continue
            place = _place(event.start_mark)
            if key in mapping:
                hint = f"the first is on line {first[key]}; remove one"
                self.mistakes.append(Mistake(place, "CL013", f"the key `{cut(key)}` is given twice", hint=hint))
                self._node(next(self.stream), (*path, "<refused>"), depth + 1)
                continue
            first[key] = place.line
            self.keys[*path, key] = place
            mapping[key] = self._node(next(self.stream), (*path, key), depth + 1)
        return mapping

    def _key(self, event: events.Event, path: Path, depth: int) -> str | None:
        """Return a key that is a string; None when it was refused."""
        place = _place(event.start_mark)
        before = len(self.mistakes)
        value = self._node(event, (*path, "<key>"), depth + 1)
        if isinstance(value, str) and len(self.mistakes) == before:
            if value != "<<" or getattr(event, "style", None):
                return value
            self.mistakes.append(Mistake(place, "CL011", "a merge key (<<)", hint="write the keys out"))
        elif len(self.mistakes) == before:
            self.mistakes.append(Mistake(place, "CL014", "a key that is not a string", hint="quote it"))
        return None

    def _scalar(self, event: events.ScalarEvent, path: Path, place: Place) -> Data:
        value: str = event.value
        if event.style in {"'", '"', "|", ">"}:
            for character in value:
                hidden = None if character == "\n" else _character_mistake(character, place)
                if hidden is not None:
                    self._refuse(path, *hidden)
                    return None
            return value
        return self._plain(value, path, place)

    def _plain(self, text: str, path: Path, place: Place) -> Data:
        """Return what an unquoted scalar says, when every reader of YAML reads it so."""
        if text in {"true", "false"}:
            return text == "true"
        if _INTEGER.fullmatch(text) and len(text.removeprefix("-")) <= _INTEGER_DIGITS:
            return int(text)
        if _DECIMAL.fullmatch(text) and math.isfinite(float(text)):
            return float(text)
        if text in _NOTHING:
            self._refuse(path, place, "CL017", "no value", hint="give the key a value or remove it")
        elif _NOT_FINITE.fullmatch(text):
            self._refuse(path, place, "CL018", f"`{cut(text)}` is not a finite number")
        elif _INTEGER.fullmatch(text) or _DECIMAL.fullmatch(text):
            self._refuse(path, place, "CL018", "a number that is too large")
        elif _TWISTED.fullmatch(text) or self._resolved(text) != _STRING_TAG:
            hint = f'quote it if a text is meant: "{cut(text)}"'
            self._refuse(path, place, "CL019", f"`{cut(text)}` is read differently by YAML 1.1 and 1.2", hint=hint)
        else:
            return text
        return None

    def _resolved(self, text: str) -> str:
        # A merge key has a meaning as a key alone, and is refused there.
        return _STRING_TAG if text == "<<" else str(self.resolver.resolve(yaml.ScalarNode, text, (True, False)))  # type: ignore[no-untyped-call]


def _place(mark: yaml.Mark | CMark | None) -> Place:
    return START if mark is None else Place(mark.line + 1, mark.column + 1)
