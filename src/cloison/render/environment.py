"""The sandbox that templates run in: immutable, strict about names, and letting value types out alone."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING

from jinja2 import FileSystemLoader, StrictUndefined, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cloison.model import Token

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class SpellingError(TypeError):
    """A template let out what is no value type."""


class Spelt(str):
    """Text made of value types alone."""

    __slots__ = ()


def spelt(value: object) -> Spelt:
    """Return the text of a value type: a Token, an int, a member of an enumeration, an address.

    Anything else raises SpellingError: a bare string of the inventory must not become a line of configuration, and a
    truth value or None has no spelling.
    """
    if isinstance(value, Undefined):
        return Spelt(str(value))  # raises UndefinedError, which names what is missing
    if isinstance(value, Spelt):
        return value
    if isinstance(value, StrEnum):
        return Spelt(value.value)
    if isinstance(value, int) and not isinstance(value, bool):
        return Spelt(int(value))
    if isinstance(value, Token | IPv4Address | IPv4Interface | IPv4Network):
        return Spelt(value)
    msg = f"a {type(value).__name__} may not be written; expected a Token, an int, an enumeration or an address"
    raise SpellingError(msg)


def listed(values: Iterable[object], separator: str = ", ") -> Spelt:
    """Return value types joined by a separator, which a template gives as a constant."""
    return Spelt(separator.join(spelt(value) for value in values))


def environment(templates: Path) -> ImmutableSandboxedEnvironment:
    """Return the sandbox for a folder of templates. No filter but `listed`, no global name, no test but Jinja's own."""
    made = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(templates, encoding="utf-8"),
        undefined=StrictUndefined,
        finalize=spelt,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    made.filters.clear()
    made.filters["listed"] = listed
    made.globals.clear()
    return made
