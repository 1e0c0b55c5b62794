"""What a condition of nftables means as a set of packets: which field an operand looks at, and when it can at all.

An operand that a packet does not have (the port of an ICMP message, the IPv4 address of an IPv6 packet) ends the rule,
and so does its negation: nft(8) loads such a check before each operand (`nft --debug=netlink` shows it). Here that
check is the *guard* of an operand.

Some operands look at more than the fields of `packet` keep. What they match is then given twice: what surely matches
and what may match. So it is with the transport header of a later fragment. There is none, and yet Linux 6.18 loads what
stands in its place (measured: of IPv4 the data of the fragment, of IPv6 the IP header, whose flow label is then the
port); other versions end the rule. So `tcp dport 443` may match a later fragment, as may its negation.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from cloison.prove import packet
from cloison.prove.packet import Fragment, Names
from cloison.prove.ruleset import Operand, SetReference

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cloison.prove.ruleset import Element, Match, Value
    from cloison.prove.space import Interval

Intervals = tuple["Interval", ...]
"""Sorted, without overlap: the values that one field may have."""
Box = dict[str, Intervals]
"""A product: the values that each field named may have."""

LINKS: Final = frozenset({"iifname", "oifname", "iif", "oif"})
"""The operands that are names."""
IPV4: Final[Intervals] = ((packet.ETHERNET_IPV4, packet.ETHERNET_IPV4),)
IPV6: Final[Intervals] = ((packet.ETHERNET_IPV6, packet.ETHERNET_IPV6),)
ARP: Final[Intervals] = ((packet.ETHERNET_ARP, packet.ETHERNET_ARP),)
IP: Final[Intervals] = IPV4 + IPV6
HAS_TRANSPORT: Final[Intervals] = ((Fragment.WHOLE, Fragment.FIRST),)
_LATER: Final[Intervals] = ((Fragment.LATER, Fragment.LATER),)
WITH_PORTS: Final[Intervals] = tuple((protocol, protocol) for protocol in sorted(packet.WITH_PORTS))
WIDTHS: Final = {field.name: field.bits for field in packet.FIELDS}

_IPV4: Final[Box] = {"ethernet_type": IPV4}
_IPV6: Final[Box] = {"ethernet_type": IPV6}
_ARP: Final[Box] = {"ethernet_type": ARP}
_RECEIVED: Final[Box] = {"interface_in": ((1, 0xFFFF),)}
"""A packet that the device itself sends has no link header yet when it is filtered."""
_TAGGED: Final[Box] = {"tag": ((0, packet.UNTAGGED - 1),)}


def _transport(protocol: int, ethernet_type: Intervals = IP) -> Box:
    return {"ethernet_type": ethernet_type, "protocol": ((protocol, protocol),), "fragment": HAS_TRANSPORT}


_OPERANDS: Final[dict[str, tuple[str, Box]]] = {
    "iifname": ("interface_in", {}),
    "iif": ("interface_in", {}),
    "oifname": ("interface_out", {}),
    "oif": ("interface_out", {}),
    "meta protocol": ("ethernet_type", {}),
    "ether type": ("ethernet_type", _RECEIVED),
    "ether saddr": ("mac_source", _RECEIVED),
    "ether daddr": ("mac_destination", _RECEIVED),
    "vlan id": ("tag", _TAGGED),
    "meta l4proto": ("protocol", {"ethernet_type": IP}),
    "ip protocol": ("protocol", _IPV4),
    "ip saddr": ("source", _IPV4),
    "ip daddr": ("destination", _IPV4),
    "ip hdrlength": ("header_length", _IPV4),
    "ip6 saddr": ("source", _IPV6),
    "ip6 daddr": ("destination", _IPV6),
    "icmp type": ("destination_port", _transport(packet.ICMP, IPV4)),
    "icmp code": ("source_port", _transport(packet.ICMP, IPV4)),
    "icmpv6 type": ("destination_port", _transport(packet.ICMPV6, IPV6)),
    "icmpv6 code": ("source_port", _transport(packet.ICMPV6, IPV6)),
    "tcp flags": ("tcp_flags", _transport(packet.TCP)),
    "th sport": ("source_port", {"ethernet_type": IP, "protocol": WITH_PORTS, "fragment": HAS_TRANSPORT}),
    "th dport": ("destination_port", {"ethernet_type": IP, "protocol": WITH_PORTS, "fragment": HAS_TRANSPORT}),
    "ct state": ("connection", {}),
    "arp operation": ("protocol", _ARP),
    "arp saddr ip": ("source", _ARP),
    "arp daddr ip": ("destination", _ARP),
    "arp saddr ether": ("arp_sender_mac", _ARP),
    "arp daddr ether": ("arp_target_mac", _ARP),
} | {
    f"{name} {operand}": (field, _transport(protocol))
    for name, protocol in (("tcp", 6), ("udp", 17), ("dccp", 33), ("sctp", 132), ("udplite", 136))
    for operand, field in (("sport", "source_port"), ("dport", "destination_port"))
}
_NO_PORTS: Final[Box] = {
    "ethernet_type": IP,
    "protocol": tuple((low + 1, high - 1) for (_, low), (high, _) in pairwise(((-1, -1), *WITH_PORTS, (256, 256)))),
    "fragment": HAS_TRANSPORT,
}
"""`th dport` alone reads the first bytes behind the IP header, whatever the protocol: a checksum, an SPI."""
_NFPROTO: Final = {2: packet.ETHERNET_IPV4, 10: packet.ETHERNET_IPV6}
_FRAGMENT_OFFSET, _MORE, _DO_NOT = 0x1FFF, 0x2000, 0x4000


class Term(NamedTuple):
    """One operand against some values."""

    field: str
    guard: Box
    """Where the operand has a value at all."""
    sure: Intervals
    """Values of the field with which it surely matches, within the guard."""
    may: Intervals
    """Values with which it may match."""
    later: Box | None = None
    """The later fragments that it may match or not, whatever the field."""
    beyond: Box | None = None
    """Other packets outside the guard that it may match or not."""

    def negated(self) -> Term:
        """Return the term that matches within the guard where this one does not."""
        return self._replace(sure=complement(self.field, self.may), may=complement(self.field, self.sure))


def term(operand: Operand, values: Collection[Value], interfaces: Names) -> Term | None:
    """Return what an operand against some values tests; None where the operand or a value is not modelled.

    `vlan*` stands for every name in `interfaces` that begins so.
    """
    key = operand.key
    if operand.mask is None and key in _OPERANDS:
        field, guard = _OPERANDS[key]
        numbers = _numbers(values, interfaces)
        if key.startswith(("iif", "oif")) or all(not isinstance(value, str) for value in values):
            matching = within(field, numbers)
            return Term(field, guard, matching, matching, *_outside(key, guard))
        return None
    return _masked(operand, values) if operand.mask is not None else _special(key, values)


def _outside(key: str, guard: Box) -> tuple[Box | None, Box | None]:
    """Return the later fragments, and the other packets, that an operand may match though its header is not there."""
    if guard.get("fragment") is not HAS_TRANSPORT:
        return None, None
    later = {**guard, "fragment": _LATER}
    if not key.startswith("th "):
        return later, None
    return {**later, "protocol": ((0, 255),)}, _NO_PORTS


def _numbers(values: Collection[Value], interfaces: Names) -> Intervals:
    """Return values as intervals; names of interfaces by their numbers, `vlan*` by those of all that begin so."""
    found: list[Interval] = []
    for value in values:
        if not isinstance(value, str):
            found.append(value)
        elif value.endswith("*"):
            found += interfaces.numbers(name for name in tuple(interfaces) if name.startswith(value[:-1]))
        else:
            found += interfaces.numbers([value])
    return joined(found)


def _special(key: str, values: Iterable[Value]) -> Term | None:
    """Return the term of an operand that is a matter of more than one field's value."""
    numbers = joined([value for value in values if not isinstance(value, str)])
    if key == "meta nfproto":
        types = joined([(kind, kind) for family, kind in _NFPROTO.items() if holds(numbers, family)])
        return Term("ethernet_type", {"ethernet_type": IP}, types, types)
    if key.startswith("ip option ") or key == "exthdr frag":
        return _presence(key, numbers)
    if key == "ip frag-off":
        return _fragment_offset(0xFFFF, numbers)
    return None


def _presence(key: str, numbers: Intervals) -> Term:
    """Return the term of something that is there (1) or is not (0), of which the fields keep only a hint."""
    if key == "exthdr frag":  # a datagram may be whole and yet have the header: RFC 6946, atomic fragments
        there = Term("fragment", _IPV6, ((Fragment.FIRST, Fragment.LATER),), ((Fragment.WHOLE, Fragment.LATER),))
    else:  # where there are options, it may be this one or another
        there = Term("header_length", _IPV4, (), ((6, 15),))
    if holds(numbers, 0) == holds(numbers, 1):
        every = ((0, (1 << WIDTHS[there.field]) - 1),) if holds(numbers, 0) else ()
        return there._replace(sure=every, may=every)
    return there if holds(numbers, 1) else there.negated()


def _masked(operand: Operand, values: Iterable[Value]) -> Term | None:
    """Return the term of an operand of which some bits are compared."""
    mask = operand.mask or 0
    numbers = joined([value for value in values if not isinstance(value, str)])
    if operand.key == "ip frag-off":
        return _fragment_offset(mask, numbers)
    if operand.key not in _OPERANDS or operand.key.startswith(("iif", "oif", "ct")):
        return None
    field, guard = _OPERANDS[operand.key]
    last = (1 << (32 if operand.key.startswith("ip ") and WIDTHS[field] > 32 else WIDTHS[field])) - 1  # noqa: PLR2004  the width of an IPv4 address
    matching = _under_mask(mask & last, last, numbers)
    return None if matching is None else Term(field, guard, matching, matching, *_outside(operand.key, guard))


@lru_cache(maxsize=1024)
def _under_mask(mask: int, last: int, numbers: Intervals) -> Intervals | None:
    """Return the values whose bits under a mask are some numbers; None for a mask that is too wide and no prefix."""
    free = last & ~mask
    if free & (free + 1) == 0:  # the free bits are the lowest: a prefix
        edges = ((low + free & ~free, (high & ~free) + free) for low, high in numbers if low <= last)
        return joined([(low, min(high, last)) for low, high in edges if low <= high])
    if last > 0xFFFF:  # noqa: PLR2004  16 bits can be gone through one by one
        return None
    return joined([(value, value) for value in range(last + 1) if holds(numbers, value & mask)])


@lru_cache(maxsize=1024)
def _fragment_offset(mask: int, numbers: Intervals) -> Term:
    """Return what the flags and the offset of IPv4 (RFC 791) under a mask say: DF and the offset are not kept."""
    sure, may = [], []
    for fragment in Fragment:
        possible = _possible_offsets(fragment, mask)
        inside = [holds(numbers, low) and holds(numbers, high) and covers(numbers, low, high) for low, high in possible]
        touched = any(low <= last and first <= high for low, high in possible for first, last in numbers)
        if all(inside):
            sure.append((int(fragment), int(fragment)))
        if touched:
            may.append((int(fragment), int(fragment)))
    return Term("fragment", _IPV4, joined(sure), joined(may))


def _possible_offsets(fragment: Fragment, mask: int) -> list[Interval]:
    """Return what the 16 bits of a packet can be under a mask. The reserved bit is 0."""
    more = {Fragment.WHOLE: (0,), Fragment.FIRST: (_MORE,), Fragment.LATER: (0, _MORE)}[fragment]
    bases = {(one | two) & mask for one in more for two in (0, _DO_NOT)}
    if fragment is not Fragment.LATER:
        return [(base, base) for base in bases]
    offset = mask & _FRAGMENT_OFFSET
    if offset == _FRAGMENT_OFFSET:
        return [(base + 1, base + offset) for base in bases]
    return [(base + part, base + part) for base in bases for part in {value & offset for value in range(1, 8192)}]


def product(match: Match, interfaces: Names) -> tuple[Box, Box] | None:
    """Return what a test of one operand surely matches, and what it may match of later fragments, as products.

    None where it is not a product, or what it may match is more than that.
    """
    if len(match.operands) != 1 or isinstance(match.elements, SetReference):
        return None
    operand = match.operands[0]
    if operand.key in LINKS:
        return _product(operand, match.elements, interfaces, negated=match.negated)
    return _known_product(operand.key, operand.mask, match.elements, match.negated)


@lru_cache(maxsize=1 << 15)
def _known_product(
    key: str,
    mask: int | None,
    elements: tuple[Element, ...],
    negated: bool,  # noqa: FBT001  a cached function takes what it is called with by place
) -> tuple[Box, Box] | None:
    return _product(Operand(key, mask), elements, _NO_NAMES, negated=negated)


def _product(
    operand: Operand, elements: tuple[Element, ...], interfaces: Names, *, negated: bool
) -> tuple[Box, Box] | None:
    found = term(operand, [value for (value,) in elements], interfaces)
    if found is None or found.beyond is not None:
        return None
    found = found.negated() if negated else found
    box = merged(found.guard, {found.field: found.sure}) if found.sure == found.may else None
    return None if box is None else (box, found.later or box)


_NO_NAMES: Final = Names("interface", first=1)


# --- intervals -----------------------------------------------------------------------------------------------------


def joined(intervals: list[Interval]) -> Intervals:
    """Return intervals sorted, those that touch made one."""
    if len(intervals) == 1:
        return (intervals[0],)
    found: list[Interval] = []
    for low, high in sorted(intervals):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def complement(field: str, intervals: Intervals) -> Intervals:
    """Return the values of a field that are in no interval."""
    found, following, last = [], 0, (1 << WIDTHS[field]) - 1
    for low, high in intervals:
        if low > following:
            found.append((following, low - 1))
        following = high + 1
    if following <= last:
        found.append((following, last))
    return tuple(found)


def within(field: str, intervals: Intervals) -> Intervals:
    """Return what of the intervals a field can hold."""
    last = (1 << WIDTHS[field]) - 1
    if not intervals or intervals[-1][1] <= last:
        return intervals
    return tuple((low, min(high, last)) for low, high in intervals if low <= last)


def meet(one: Intervals, two: Intervals) -> Intervals:
    """Return the values that are in both."""
    if one == two:
        return one
    found = [(max(low, first), min(high, last)) for low, high in one for first, last in two]
    return tuple(sorted((low, high) for low, high in found if low <= high))


def holds(intervals: Intervals, value: int) -> bool:
    """Tell whether a value is in one of the intervals."""
    return any(low <= value <= high for low, high in intervals)


def covers(intervals: Intervals, low: int, high: int) -> bool:
    """Tell whether one interval holds all the values from one to another."""
    return any(first <= low and high <= last for first, last in intervals)


def merged(one: Box, two: Box) -> Box | None:
    """Return the packets of both products; None where there is none."""
    if one.keys().isdisjoint(two):
        return {**one, **two}
    found = {**one, **two}
    for field in one.keys() & two.keys():
        both = meet(one[field], two[field])
        if not both:
            return None
        found[field] = both
    return found
