"""The frozen base of every model, and the value types that templates may see.

A string that can become a line of configuration is one of the `Token` classes below: each has a charset without
space, quote, newline or comment sign, so no text of the inventory can become a line of configuration.
"""

from __future__ import annotations

import json
import re
import unicodedata
from enum import StrEnum
from typing import Any, ClassVar, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


class Model(BaseModel):
    """A frozen value; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Token(str):
    """A string with a charset. Subclasses give the pattern and say what it is called in an error."""

    __slots__ = ()
    pattern: ClassVar[str] = r"[a-z0-9-]+"
    called: ClassVar[str] = "a token"

    def __new__(cls, value: str) -> Self:
        """Return the token; raise ValueError when the text does not match the pattern entirely."""
        if not re.fullmatch(cls.pattern, value):
            msg = f"not {cls.called}"
            raise ValueError(msg)
        return super().__new__(cls, value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate a plain string into the token."""
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(strict=True))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Show the pattern to editors."""
        return {"type": "string", "pattern": f"^{cls.pattern}$", "description": cls.called}


class Name(Token):
    """The name of a site, an equipment, a segment, a service or a flow."""

    __slots__ = ()
    pattern = r"[a-z][a-z0-9-]{0,62}"
    called = "a name (lower-case letters, digits and hyphens, a letter first, 63 characters at most)"


class EquipmentName(Token):
    """`<site>/<equipment>`: how a thing is called everywhere."""

    __slots__ = ()
    pattern = r"[a-z][a-z0-9-]{0,62}/[a-z][a-z0-9-]{0,62}"
    called = "an equipment name <site>/<equipment>"

    @property
    def host_name(self) -> HostName:
        """`<equipment>.<site>`, for certificates and hostnames."""
        site, equipment = self.split("/")
        return HostName(f"{equipment}.{site}")

    @property
    def site(self) -> Name:
        """The part before the slash."""
        return Name(self.split("/")[0])

    @property
    def equipment(self) -> Name:
        """The part after the slash."""
        return Name(self.split("/")[1])


class HostName(Token):
    """A fully qualified name, `<equipment>.<site>`: an IKE identity (ID_FQDN) and a DNS subject alternative name."""

    __slots__ = ()
    pattern = r"[a-z][a-z0-9-]{0,62}(\.[a-z][a-z0-9-]{0,62})+"
    called = "a host name (labels of lower-case letters, digits and hyphens joined by dots)"


class InterfaceName(Token):
    """The name of a network interface; Linux allows 15 characters (IFNAMSIZ - 1)."""

    __slots__ = ()
    pattern = r"[a-z][a-z0-9.-]{0,14}"
    called = "an interface name (lower-case letters, digits, dot and hyphen, 15 characters at most)"


class MacAddress(Token):
    """A unicast EUI-48 in lower case (IEEE 802)."""

    __slots__ = ()
    pattern = r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}"
    called = "a unicast MAC address (six lower-case hexadecimal pairs joined by colons, the first one even)"


class HostKeyFingerprint(Token):
    """The SHA-256 fingerprint of an SSH host key, as `ssh-keygen -l` prints it."""

    __slots__ = ()
    pattern = r"SHA256:[A-Za-z0-9+/]{43}"
    called = "an SSH host-key fingerprint (SHA256: and 43 base64 characters)"


class SerialNumber(Token):
    """A serial number as printed on the device."""

    __slots__ = ()
    pattern = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
    called = "a serial number (letters, digits, dot, underscore and hyphen)"


class Platform(StrEnum):
    """How a device is configured."""

    DEBIAN_LIBIPSEC = "debian-libipsec"
    OPENVSWITCH = "openvswitch"


class Secret:
    """A reference to a secret (`env:NAME`, `file:PATH`, `cmd:[…]`, `keyring:SERVICE/NAME`); never its value."""

    __slots__ = ("reference",)

    def __init__(self, reference: str) -> None:
        if not re.fullmatch(r"(env|file|cmd|keyring):\S.{0,255}", reference):
            msg = "not a secret reference (env:NAME, file:PATH, cmd:[ARG, …] or keyring:SERVICE/NAME)"
            raise ValueError(msg)
        self.reference = reference

    def __repr__(self) -> str:
        """Show the reference and nothing else."""
        return f"‹secret:{self.reference}›"

    __str__ = __repr__


_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


class Untrusted:
    """Text that a device or a host wrote. Its only way out is an escape made for one sink."""

    __slots__ = ("_text",)
    shown_limit: ClassVar[int] = 2000

    def __init__(self, text: str | bytes) -> None:
        self._text = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text

    def shown(self, limit: int = shown_limit) -> str:
        """Return the text for a terminal, a log or a message: controls and bidi marks escaped, length capped."""
        out = "".join(
            char if char in "\n\t" or unicodedata.category(char) not in _HIDDEN else f"\\x{ord(char):02x}"
            for char in self._text[:limit]
        )
        return out + "…" if len(self._text) > limit else out

    def __repr__(self) -> str:
        """Show nothing of the text."""
        return f"Untrusted({len(self._text)} characters)"

    def __eq__(self, other: object) -> bool:
        """Two untrusted texts are equal when their characters are."""
        return isinstance(other, Untrusted) and self._text == other._text

    def __hash__(self) -> int:
        """Hash the characters."""
        return hash(self._text)


Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

JSON_DEPTH_LIMIT = 64
_NUMBER_DIGITS = 30


def read_json(text: str, depth: int = JSON_DEPTH_LIMIT) -> Json:
    """Return the one value that a text of somebody else's means.

    Raises ValueError for what two readers would take for two values, or cannot hold: a key that stands twice in one
    object (RFC 8259 section 4), NaN and infinities, a number that overflows or has more than 30 digits, half of a
    surrogate pair, more than `depth` levels, and anything that is not JSON.
    """
    try:
        value: Json = json.loads(
            text, object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float, parse_int=_int
        )
    except RecursionError as error:
        msg = "nested too deeply"
        raise ValueError(msg) from error
    level: list[Json] = [value]
    for _ in range(depth + 1):
        level = [inner for item in level for inner in _inside(item)]
        if not level:
            return value
    msg = f"more than {depth} levels"
    raise ValueError(msg)


def _inside(item: Json) -> list[Json]:
    """Return what a value holds; raise ValueError for a string that no encoding has bytes for."""
    match item:
        case dict():
            return [*item.keys(), *item.values()]
        case list():
            return item
        case str() if not item.isascii() and any("\ud800" <= char <= "\udfff" for char in item):
            msg = "half of a surrogate pair"
            raise ValueError(msg)
    return []


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        # The key is the writer's text: shown as a JSON string, which escapes every control.
        twice = json.dumps(next(name for name in names if names.count(name) > 1)[:80])
        msg = f"the key {twice} stands twice in one object"
        raise ValueError(msg)
    return found


def _constant(text: str) -> float:
    msg = f"{text} is not a number of JSON"
    raise ValueError(msg)


def _float(text: str) -> float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        msg = "a number overflows"
        raise ValueError(msg)
    return value


def _int(text: str) -> int:
    if len(text) > _NUMBER_DIGITS:
        msg = f"a number of more than {_NUMBER_DIGITS} digits"
        raise ValueError(msg)
    return int(text)
