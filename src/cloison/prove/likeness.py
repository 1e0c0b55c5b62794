"""Sites that are alike: what one does with packets is what another does, with their own addresses and names exchanged.

Of a fleet most sites are one blueprint. Their texts are equal once each site's own words stand as *what of the site*
they are: the fifth address of its block, the second of its MAC addresses, its name. For two such sites the exchange of
their blocks (and of their MAC addresses and their places) is a one-to-one map of all packets to all packets that turns
what one is configured to do into what the other is. So what comes of packets is turned by it too, and is computed once.

That holds as long as everything that looks at an address asks for a prefix which lies in a block, or holds both blocks
whole, or none of either: prefixes are nested or apart, and which of the site's blocks a foreign one holds is part of
the shape. Whatever else may be written, a range, a mask with holes, IPv6, makes a site like no other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from ipaddress import IPv4Network

    from cloison.intent.network import Equipment, Site
    from cloison.prove.packet import Frames
    from cloison.prove.places import Places
    from cloison.prove.space import Region

_WORD: Final = re.compile(
    r"\d+(?:\.\d+){3}(?:/\d+)?|(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}(?:/(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2})?"
)
"""An IPv4 address or prefix; a MAC address, perhaps with a mask."""
_NOT_COMPARABLE: Final = re.compile(
    r"‹\?›|::|&\s*(?:\d+\.|‹)|/\d+\.|-\s*‹|›\s*-|\d\s*-\s*\d+\.\d+\.|[0-9a-fA-F]{2}-[0-9a-fA-F]{2}:"
    r"|(?:[0-9a-fA-F]{1,4}:){6}"
)
"""What a shape must not hold: masks and ranges of addresses, IPv6 addresses, what `_Words` could not place."""
_BITS: Final = 32
_SPECIAL: Final = ((0x00000000, 0x00FFFFFF), (0x7F000000, 0x7FFFFFFF), (0xE0000000, 0xFFFFFFFF))
"""This network, loopback, multicast and beyond (RFC 6890): the kernel means something by them."""
_GROUP: Final = 1 << 40
"""The bit of a MAC address that makes it one of a group (IEEE 802)."""
_WIDEST: Final = 64
"""So many places at once are looked at one by one."""


class Unlike(Exception):  # noqa: N818  no error: it says that a set must be computed for the site itself
    """A set of packets cannot be exchanged."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a site and its texts are, but for the site's own words."""

    text: str
    name: str
    blocks: tuple[tuple[int, int], ...]
    """Its addresses and those of its link to the WAN: the first and the last."""
    words: _Words

    def of(self, text: str) -> str:
        """Return another text without the site's own words."""
        return self.words.shaped(text)


class Shapes:
    """The shapes of sites; what is the same for many is looked at once."""

    def __init__(self) -> None:
        self._comparable: dict[str, bool] = {}

    def of(self, site: Site, sections: Iterable[str]) -> Shape | None:
        """Return the shape of a site and of the sections of its devices, None when it can be like no other."""
        words = _Words(site)
        if not words.usable:
            return None
        own = "\n".join((*_declared(site), *sections))
        if "‹" in own:  # it could be taken for a word of ours
            return None
        text = words.shaped(own)
        if text not in self._comparable:
            self._comparable[text] = _NOT_COMPARABLE.search(text) is None
        return Shape(text, str(site.name), words.blocks, words) if self._comparable[text] else None


def _declared(site: Site) -> Iterator[str]:
    """Yield what is declared of a site and matters for packets."""
    yield f"{site.role} {site.wan_address} {site.wan_gateway} {site.prefix} {site.local_management}"
    for segment in site.segments:
        yield f"{segment.name} {segment.vlan} {segment.prefix} {segment.gateway}"
    for one in site.equipment:
        yield f"{one.name} {one.kind} {one.segment} {one.address} {one.mac} {one.local_management}"
        yield from _ports(one)
    for cable in site.cables:
        yield " ".join(map(str, cable.ends))


def _ports(equipment: Equipment) -> Iterator[str]:
    for port in equipment.ports:
        yield f"{port.name} {port.number} {port.mode} {port.vlans} {port.peer} {' '.join(port.attached)}"


class _Words(dict[str, str]):
    """What each address that occurs is of one site; a word is looked at once."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._name = f"{site.name}/"
        networks = (site.prefix, site.wan_address.network)
        self.blocks = tuple(_bounds(network) for network in networks)
        self._lengths = tuple(network.prefixlen for network in networks)
        macs = dict.fromkeys(_number(one.mac) for one in site.equipment if one.mac is not None)
        self._macs = {mac: number for number, mac in enumerate(macs)}
        self.usable = apart((*self.blocks, *_SPECIAL)) and not any(mac & _GROUP for mac in macs)

    def shaped(self, text: str) -> str:
        """Return a text without the site's own words."""
        return _WORD.sub(lambda word: self[word[0]], text.replace(self._name, "‹site›/"))

    def __missing__(self, word: str) -> str:
        """Look at a word for the first time."""
        base, _, mask = word.partition("/")
        found = self[word] = self._of_mac(word, base, mask) if ":" in word else self._of_address(word, base, mask)
        return found

    def _of_mac(self, word: str, base: str, mask: str) -> str:
        number = _number(base)
        if not mask:
            return f"‹mac {self._macs[number]}›" if number in self._macs else word
        if number in self._macs:
            return "‹?›"
        bits = _number(mask)
        held = [own for mac, own in self._macs.items() if mac & bits == number & bits]
        return f"{word}‹{held}›" if held else word

    def _of_address(self, word: str, base: str, mask: str) -> str:
        octets = [int(octet) for octet in base.split(".")]
        length = int(mask) if mask else _BITS
        if max(octets) > 0xFF or length > _BITS:  # noqa: PLR2004  no address
            return "‹?›"
        address = int.from_bytes(bytes(octets))
        first = address >> _BITS - length << _BITS - length
        last = first | (1 << _BITS - length) - 1
        for number, ((low, high), own) in enumerate(zip(self.blocks, self._lengths, strict=True)):
            if low <= address <= high:
                wide = f" of {first}" if length < own else ""
                return f"‹{number}: {address - low}/{mask}{wide}›"
            if first <= low and high <= last:
                word += f"‹{number}›"
        return word


def _bounds(network: IPv4Network) -> tuple[int, int]:
    return int(network[0]), int(network[-1])


def _number(mac: str) -> int:
    return int(mac.replace(":", ""), 16)


def apart(blocks: Iterable[tuple[int, int]]) -> bool:
    """Tell whether no two blocks of addresses have one in common."""
    ordered = sorted(blocks)
    return all(before[1] < after[0] for before, after in pairwise(ordered))


class Exchange:
    """The exchange of everything that is of one site with what is so of another."""

    def __init__(self, frames: Frames, places: Places, one: Shape, two: Shape) -> None:
        """Take two sites of one shape. Raises Unlike when their blocks overlap."""
        if not apart((*one.blocks, *two.blocks)):
            raise Unlike
        self._frames = frames
        self._places = _Places(places, one.name, two.name)
        pairs = [(*of_one, of_two[0]) for of_one, of_two in zip(one.blocks, two.blocks, strict=True)]
        moves = [(low, high, other - low) for low, high, other in pairs]
        moves += [(low + shift, high + shift, -shift) for low, high, shift in moves]
        self._moves = sorted(moves)
        self._address_levels = frozenset(map(frames.level_of, ("source", "destination")))
        self._place_levels = frozenset(map(frames.level_of, ("sender", "receiver")))
        self._deepest = max(self._address_levels | self._place_levels)
        self._done: dict[int, int] = {}

    def region(self, region: Region) -> Region:
        """Return a set of packets, of which no address of their frames matters, exchanged. Raises Unlike."""
        return type(region)(self._frames, self._node(region.node))

    def name(self, name: str) -> str:
        """Return the name of the place at one site that is as a place is at the other."""
        return self._places.other(name)

    def _node(self, node: int) -> int:
        level = self._frames.nodes[node][0]
        if level > self._deepest:
            return node
        found = self._done.get(node)
        if found is None:
            found = self._done[node] = self._exchanged(node)
        return found

    def _exchanged(self, node: int) -> int:
        frames = self._frames
        level, ends, children = frames.nodes[node]
        if level not in self._address_levels and level not in self._place_levels:
            return frames.node(level, ends, [self._node(child) for child in children])
        edges = [(low, high, self._node(child)) for low, high, child in frames.edges(node)]
        moved = self._moved(edges) if level in self._address_levels else self._replaced(edges)
        return frames.test(level, sorted(moved))

    def _moved(self, edges: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
        """Yield the edges of a level of addresses, cut where blocks begin and end."""
        for low, high, child in edges:
            at = low
            for first, last, shift in self._moves:
                if first > high:
                    break
                if last >= at:
                    if at < first:
                        yield at, first - 1, child
                    yield max(at, first) + shift, min(high, last) + shift, child
                    at = last + 1
            if at <= high:
                yield at, high, child

    def _replaced(self, edges: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
        """Yield the edges of a level of places, one by one."""
        for low, high, child in edges:
            if high - low > _WIDEST:
                raise Unlike
            for number in range(low, high + 1):
                other = self._places[number]
                yield other, other, child


class _Places(dict[int, int]):
    """The numbers of places at one site by those at the other, both ways; others are their own."""

    def __init__(self, places: Places, one: str, two: str) -> None:
        super().__init__()
        self._places = places
        self._of: Mapping[str, str] = {one: two, two: one}

    def other(self, name: str) -> str:
        """Return the name of the place that stands for another."""
        site, slash, rest = name.partition("/")
        return f"{self._of.get(site, site)}{slash}{rest}"

    def __missing__(self, number: int) -> int:
        """Look at a number for the first time."""
        name = self._places.name(number)
        other = self.other(name)
        found = number if other == name else number - self._places.host(name) + self._places.host(other)
        self[number] = found
        return found
