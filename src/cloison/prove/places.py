"""The places that packets are sent from and heard at, and their numbers in the fields `sender` and `receiver`.

Each place has two numbers. One is the *host* that is declared there: as a sender it speaks in its own name (its MAC
address, its IP address, no tag), as a receiver it takes only what is meant for it. The other is its *cable*: whoever
holds it sends any frame that can be made, and hears whatever comes, tagged or not. What is declared must pass between
hosts; what is not declared must not pass between cables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloison.model import Name
    from cloison.prove.packet import Frames
    from cloison.prove.space import Interval

_CABLES = 0x8000
HOST_NUMBERS: Final[Interval] = (0, _CABLES - 1)
CABLE_NUMBERS: Final[Interval] = (_CABLES, 0xFFFF)

WAN: Final = "wan"
"""Everybody on the wide-area network."""


def out_of_tunnel(site: Name) -> str:
    """Return the name of the place behind every tunnel of a site: whoever has the other ends in his hand."""
    return f"{site}/tunnels"


def technician(site: Name) -> str:
    """Return the name of the laptop on the local management port of a site's firewall."""
    return f"{site}/technician"


class Places:
    """The places of one space of frames."""

    def __init__(self, frames: Frames) -> None:
        self._names = frames.places

    def host(self, name: str) -> int:
        """Return the number of what is declared at a place."""
        return self._names.number(name)

    def cable(self, name: str) -> int:
        """Return the number of whoever holds the cable of a place."""
        return _CABLES + self._names.number(name)

    def both(self, name: str) -> frozenset[Interval]:
        """Return both numbers."""
        host = self.host(name)
        return frozenset({(host, host), (_CABLES + host, _CABLES + host)})

    def name(self, number: int) -> str:
        """Return the name of a place by either of its numbers."""
        return self._names.name(number % _CABLES)

    def names(self, numbers: Iterable[int]) -> set[str]:
        """Return the names of places by their numbers; of packets that nobody is said to send, all numbers come."""
        return {self.name(number) for number in numbers if number % _CABLES < len(self._names)}

    def named(self, numbers: Iterable[Interval]) -> frozenset[str]:
        """Return the names of all places that have a number among these, which may hold numbers that no place has."""
        last = len(self._names)
        found = [
            (low % _CABLES, high % _CABLES) if low // _CABLES == high // _CABLES else (0, last) for low, high in numbers
        ]
        return frozenset(self._names.name(n) for low, high in found for n in range(low, min(high + 1, last)))
