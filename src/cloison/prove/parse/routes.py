"""One route, in the words of ip-route(8)."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final, get_args

from cloison.prove.stack import MAIN, TABLE_NAMES, Hop, Route, RouteKind
from cloison.prove.statement import Unmodelled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.prove.stack import Address, Network
    from cloison.prove.statement import Statement

KINDS: Final = {str(kind): kind for kind in get_args(RouteKind)}
EVERYTHING: Final[Mapping[int, Network]] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
_NO_MATTER: Final = frozenset({"proto", "mtu", "advmss", "weight"})
"""Words with a value that changes nothing about where a packet goes: all ways of several count alike."""


class Unknown(Exception):  # noqa: N818  the word that is not known, on its way to become an `Unmodelled`
    """A word that is not modelled."""


@lru_cache(maxsize=4096)
def network(text: str, *, strict: bool = True) -> Network:
    """Return the network of a text such as `10.56.0.0/14` or `10.56.3.18`; ValueError when it is none."""
    return ip_network(text, strict=strict)


@lru_cache(maxsize=4096)
def address(text: str) -> Address:
    """Return the address of a text; ValueError when it is none."""
    return ip_address(text)


def read_route(statement: Statement, words: list[str]) -> Route:
    """Return the route that the words after `route replace` make.

    A route that holds a word that is not known says so. Raises Unknown or ValueError where it is not even known which
    destinations it is for.
    """
    kind = KINDS.get(words[0])
    rest = words[1:] if kind else words
    options = _Options(rest[1:])
    version = 6 if any(":" in word for word in rest) else 4
    destination = EVERYTHING[version] if rest[0] == "default" else network(rest[0])
    table = options.values.get("table", MAIN)
    return Route(
        statement,
        TABLE_NAMES.get(table, table),
        kind or "unicast",
        destination,
        options.hops(),
        int(options.values.get("metric", "0")),
        address(options.values["src"]) if "src" in options.values else None,
        Unmodelled(statement, options.unknown) if options.unknown else None,
    )


class _Options:
    """The words behind the destination of a route, apart."""

    def __init__(self, words: list[str]) -> None:
        self.values: dict[str, str] = {}
        self.unknown = ""
        self._hops: list[dict[str, str]] = []
        here = self.values
        rest = iter(words)
        for word in rest:
            if word == "nexthop":
                here = {}
                self._hops.append(here)
            elif word in {"via", "dev", "src", "metric", "table"} or word in _NO_MATTER:
                value = next(rest, None)
                if value is None:
                    raise Unknown(word)
                here[word] = value
            elif word == "scope":
                self.unknown = self.unknown or ("" if next(rest, "") in {"link", "global", "host"} else word)
            elif word != "onlink":  # that the gateway is a neighbour is taken on trust
                self.unknown = self.unknown or word

    def hops(self) -> tuple[Hop, ...]:
        """Return where it leads, one for each `nexthop`, or the one of the route itself."""
        ways = self._hops or [self.values]
        return tuple(
            Hop(way.get("dev", ""), address(way["via"]) if "via" in way else None)
            for way in ways
            if "via" in way or "dev" in way
        )
