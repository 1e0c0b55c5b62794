"""No regular expression of the engine can be made to take exponential time by a text that somebody else wrote."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import cloison
from cloison.model import Token

if TYPE_CHECKING:
    from collections.abc import Iterator

# The standard library's own parser of patterns; it has no type.
code: Any = importlib.import_module("re._constants")
_parser: Any = importlib.import_module("re._parser")
SOURCE = Path(cloison.__file__).parent
FUNCTIONS = {"compile", "match", "search", "fullmatch", "split", "sub", "subn", "findall", "finditer"}
MANY = 10
"""A repetition of up to so many is no danger inside another."""
ALPHABET = [chr(number) for number in range(256)]


def characters(item: tuple[Any, Any]) -> frozenset[str]:
    """Return the characters that one element of a pattern can begin, go on or end with; an over-estimate."""
    kind, argument = item
    if kind is code.LITERAL:
        return frozenset(chr(argument))
    if kind in {code.NOT_LITERAL, code.IN, code.ANY, code.CATEGORY}:
        return matched(_written(item))
    return frozenset().union(*map(characters, inside(item)))


@cache
def matched(pattern: str) -> frozenset[str]:
    compiled = re.compile(pattern, re.DOTALL)
    return frozenset(char for char in ALPHABET if compiled.fullmatch(char))


def _written(item: tuple[Any, Any]) -> str:
    """Write an element that matches one character as a pattern of its own."""
    kind, argument = item
    if kind is code.ANY:
        return "."
    if kind is code.NOT_LITERAL:
        return f"[^{re.escape(chr(argument))}]"
    if kind is code.CATEGORY:
        return {
            code.CATEGORY_DIGIT: r"\d", code.CATEGORY_NOT_DIGIT: r"\D", code.CATEGORY_SPACE: r"\s",
            code.CATEGORY_NOT_SPACE: r"\S", code.CATEGORY_WORD: r"\w", code.CATEGORY_NOT_WORD: r"\W",
        }[argument]  # fmt: skip
    parts = []
    for sort, value in argument:
        if sort is code.NEGATE:
            parts.append("^")
        elif sort is code.RANGE:
            parts.append(f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}")
        else:
            parts.append(re.escape(chr(value)) if sort is code.LITERAL else _written((sort, value)))
    return f"[{''.join(parts)}]"


def inside(item: tuple[Any, Any]) -> list[tuple[Any, Any]]:
    """Return the elements that an element is made of."""
    kind, argument = item
    if kind in {code.MAX_REPEAT, code.MIN_REPEAT}:
        return list(argument[2])
    if kind is code.SUBPATTERN:
        return list(argument[3])
    if kind is code.BRANCH:
        return [element for branch in argument[1] for element in branch]
    if kind in {code.ASSERT, code.ASSERT_NOT}:
        return list(argument[1])
    return []


def everything_in(items: list[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    for item in items:
        yield item
        yield from everything_in(inside(item))


def is_repeated(item: tuple[Any, Any]) -> bool:
    return item[0] in {code.MAX_REPEAT, code.MIN_REPEAT} and item[1][1] > MANY


def is_parted(body: list[tuple[Any, Any]]) -> bool:
    """Tell whether each round of a repetition holds one character that nothing else in the round can match."""
    if len(body) == 1 and body[0][0] is code.SUBPATTERN:
        return is_parted(inside(body[0]))
    for number, item in enumerate(body):
        others = frozenset[str]().union(*map(characters, body[:number] + body[number + 1 :]))
        if item[0] in {code.LITERAL, code.IN} and not characters(item) & others:
            return True
    return False


def choices(body: list[tuple[Any, Any]]) -> Iterator[list[list[Any]]]:
    """Yield the alternatives of each choice; the parser has taken out what they begin with in common."""
    for kind, argument in everything_in(body):
        if kind is code.BRANCH:
            yield [list(branch) for branch in argument[1]]


def overlapping(body: list[tuple[Any, Any]]) -> bool:
    """Tell whether a round of a repetition has a choice between two that can begin with the same character."""
    for choice in choices(body):
        first = [characters(branch[0]) if branch else frozenset(ALPHABET) for branch in choice]
        if len(frozenset().union(*first)) < sum(map(len, first)):
            return True
    return False


def dangers(pattern: str | bytes) -> list[str]:
    """Return the repetitions of a pattern in which one text can be taken in very many ways."""
    found = []
    for item in everything_in(list(_parser.parse(pattern))):
        if not is_repeated(item):
            continue
        body = inside(item)
        if any(choice.count([]) > 1 for choice in choices(body)):
            found.append(f"{pattern!r}: a choice of two that are the same")
        nested = any(is_repeated(inner) for inner in everything_in(body))
        if (nested or overlapping(body)) and not is_parted(body):
            found.append(f"{pattern!r}: a repetition in a repetition, or a choice of two that begin alike in one")
    return found


def in_texts() -> Iterator[str | bytes]:
    """Yield every pattern that stands as a constant in a call of `re`."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="re"), attr=function), args=[ast.Constant(value=pattern), *_]
                ) if function in FUNCTIONS and isinstance(pattern, str | bytes):
                    yield pattern


def in_modules() -> Iterator[str | bytes]:
    """Yield every pattern that a module holds compiled, and those of the value types."""
    for module in pkgutil.walk_packages([str(SOURCE)], "cloison."):
        if ".lab.node" in module.name or "scapy" in module.name or module.name.endswith("spoof"):
            continue  # they run apart, under another interpreter or with libraries of their own
        for value in vars(importlib.import_module(module.name)).values():
            several = list(value.values()) if isinstance(value, dict) else [value]
            yield from (one.pattern for one in several if isinstance(one, re.Pattern))
    yield from (kind.pattern for kind in Token.__subclasses__())


READ_ONE_WAY = (
    # Quotes and backslashes, and brackets, tell the rounds apart; the analysis above only sees one character at a time.
    r'(?:"(?:[^"\\]|\\.)*"|[^,"])+',
    r"(?:[^,()]|\([^()]*(?:\([^()]*\)[^()]*)*\))+",
)
OF_ASSOCIATIONS = "uniqueid="
"""In the pattern of `swanctl --list-sas --raw`, braces do."""


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (READ_ONE_WAY[0], '"' + "\\\\a" * 20_000),
        (READ_ONE_WAY[0], 'a"b"' * 20_000 + '"'),
        (READ_ONE_WAY[1], "(" * 20_000),
        (READ_ONE_WAY[1], "(a()b" * 20_000),
        (READ_ONE_WAY[1], "(" + "()" * 20_000),
    ],
)
def test_what_is_read_one_way_ends_at_once(pattern: str, text: str) -> None:
    started = time.process_time()
    re.compile(pattern).fullmatch(text)
    assert time.process_time() - started < 1


def test_no_pattern_is_dangerous() -> None:
    patterns = {*in_texts(), *in_modules()} - {*READ_ONE_WAY}
    assert len(patterns) > 50
    patterns -= {one for one in patterns if OF_ASSOCIATIONS in str(one)}
    assert [danger for pattern in sorted(patterns, key=repr) for danger in dangers(pattern)] == []


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+", "(a*)*b", "([a-z]+[0-9]?)*", "(?:a|[ab]c?)*d", "(?:a|a)+", r"(\w+\s?)*;", "(.*,)+x", "((a{0,99})b?)*"],
)
def test_a_dangerous_pattern_is_found(pattern: str) -> None:
    assert dangers(pattern)


@pytest.mark.parametrize(
    "pattern",
    [r"\d+(,\d+)*", r"(\.[a-z][a-z0-9-]{0,62})+", "a+b+c+", "(?:a|b)*", r"(?:[0-9a-f]{2}:)*", "[^,]*(?:,[^,]*)*"],
)
def test_a_pattern_that_reads_one_way_is_not_found(pattern: str) -> None:
    assert dangers(pattern) == []
