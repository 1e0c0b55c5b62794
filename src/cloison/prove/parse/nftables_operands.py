"""What nftables' operands hold: how each value is spelt, its number, and what a test of it takes for granted.

Sources: nft(8), "PAYLOAD EXPRESSIONS", "META EXPRESSIONS", "CONNTRACK EXPRESSIONS", "DATA TYPES"; `nft describe`.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cloison.prove.packet import Connection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.prove.ruleset import Family, Value


class NotModelledError(Exception):
    """An expression is not modelled; the text says which word it is. Never leaves the parsers."""


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of value."""

    bits: int
    names: Mapping[str, int] = field(default_factory=dict)
    spelt: str = "number"
    """`number`, `ipv4`, `ipv6`, `ether` or `name` (of an interface)."""
    bitmask: bool = False
    """Its names are bits, and a bare value is a test of them (`tcp flags syn`)."""

    @property
    def last(self) -> int:
        """The greatest value."""
        return (1 << self.bits) - 1


PROTOCOLS: Final = {
    "icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "ipv6-route": 43, "ipv6-frag": 44,
    "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "icmpv6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60,
    "ospf": 89, "pim": 103, "ipcomp": 108, "comp": 108, "vrrp": 112, "sctp": 132, "udplite": 136,
}  # fmt: skip
_ICMP_TYPES: Final = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
    "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
    "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
    "address-mask-request": 17, "address-mask-reply": 18,
}  # fmt: skip
_ICMP_CODES: Final = {
    "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
    "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
}  # fmt: skip
_ICMPV6_TYPES: Final = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
    "echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
    "mld-listener-done": 132, "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134,
    "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138,
    "ind-neighbor-solicit": 141, "ind-neighbor-advert": 142, "mld2-listener-report": 143,
}  # fmt: skip
_ICMPV6_CODES: Final = {
    "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
    "reject-route": 6,
}  # fmt: skip
_ETHERNET_TYPES: Final = {
    "ip": 0x0800, "arp": 0x0806, "vlan": 0x8100, "8021q": 0x8100, "8021ad": 0x88A8,
    "ip6": 0x86DD,
}  # fmt: skip
_ARP_OPERATIONS: Final = {
    "request": 1, "reply": 2, "rrequest": 3, "rreply": 4, "inrequest": 8, "inreply": 9, "nak": 10,
}  # fmt: skip
_TCP_FLAGS: Final = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128}
# linux/rtnetlink.h, RTN_*
_ROUTE_TYPES: Final = {
    "unspec": 0, "unicast": 1, "local": 2, "broadcast": 3, "anycast": 4, "multicast": 5, "blackhole": 6,
    "unreachable": 7, "prohibit": 8,
}  # fmt: skip
NFPROTO_IPV4, NFPROTO_IPV6 = 2, 10
# linux/netfilter/nf_conntrack_common.h, NF_CT_STATE_*_BIT: the number that nft shows for a state, and ours.
STATE_BITS: Final = {
    1: Connection.INVALID, 2: Connection.ESTABLISHED, 4: Connection.RELATED, 8: Connection.NEW,
    64: Connection.UNTRACKED,
}  # fmt: skip

ADDRESS4 = Kind(32, spelt="ipv4")
ADDRESS6 = Kind(128, spelt="ipv6")
ETHER = Kind(48, spelt="ether")
INTERFACE = Kind(0, spelt="name")
PORT = Kind(16)
PROTOCOL = Kind(8, PROTOCOLS)
ETHERNET_TYPE = Kind(16, _ETHERNET_TYPES)
NUMBER = Kind(32)
PRESENCE = Kind(1, {"missing": 0, "exists": 1})
STATE = Kind(3, {state.name.lower(): int(state) for state in Connection}, bitmask=True)
TCP_FLAGS = Kind(8, _TCP_FLAGS, bitmask=True)
ICMP_TYPE, ICMP_CODE = Kind(8, _ICMP_TYPES), Kind(8, _ICMP_CODES)
ICMPV6_TYPE, ICMPV6_CODE = Kind(8, _ICMPV6_TYPES), Kind(8, _ICMPV6_CODES)
NFPROTO = Kind(8, {"ipv4": NFPROTO_IPV4, "ipv6": NFPROTO_IPV6})
ARP_OPERATION = Kind(16, _ARP_OPERATIONS)
ROUTE_TYPE = Kind(8, _ROUTE_TYPES)

OPERANDS: Final[Mapping[str, Kind]] = {
    "iifname": INTERFACE, "oifname": INTERFACE, "iif": INTERFACE, "oif": INTERFACE,
    "meta l4proto": PROTOCOL, "meta protocol": ETHERNET_TYPE, "meta nfproto": NFPROTO,
    "ether type": ETHERNET_TYPE, "ether saddr": ETHER, "ether daddr": ETHER, "vlan id": Kind(12),
    "arp operation": ARP_OPERATION, "arp saddr ip": ADDRESS4, "arp daddr ip": ADDRESS4,
    "arp saddr ether": ETHER, "arp daddr ether": ETHER,
    "ip saddr": ADDRESS4, "ip daddr": ADDRESS4, "ip protocol": PROTOCOL, "ip frag-off": Kind(16),
    "ip hdrlength": Kind(4), "ip6 saddr": ADDRESS6, "ip6 daddr": ADDRESS6, "exthdr frag": PRESENCE,
    "th sport": PORT, "th dport": PORT, "tcp sport": PORT, "tcp dport": PORT, "udp sport": PORT, "udp dport": PORT,
    "sctp sport": PORT, "sctp dport": PORT, "dccp sport": PORT, "dccp dport": PORT,
    "udplite sport": PORT, "udplite dport": PORT, "tcp flags": TCP_FLAGS,
    "icmp type": ICMP_TYPE, "icmp code": ICMP_CODE, "icmpv6 type": ICMPV6_TYPE, "icmpv6 code": ICMPV6_CODE,
    "ct state": STATE,
    "fib saddr . iif oif": PRESENCE, "fib saddr oif": PRESENCE, "fib daddr oif": PRESENCE,
    "fib daddr . iif oif": PRESENCE, "fib daddr type": ROUTE_TYPE, "fib saddr type": ROUTE_TYPE,
    "fib daddr . iif type": ROUTE_TYPE, "fib saddr . iif type": ROUTE_TYPE,
}  # fmt: skip
"""The operands that are modelled; a test of any other is opaque."""

SET_TYPES: Final[Mapping[str, Kind]] = {
    "ipv4_addr": ADDRESS4, "ipv6_addr": ADDRESS6, "ether_addr": ETHER, "inet_service": PORT, "inet_proto": PROTOCOL,
    "ifname": INTERFACE, "iface_index": INTERFACE, "ct_state": STATE, "tcp_flag": TCP_FLAGS, "icmp_type": ICMP_TYPE,
    "icmp_code": ICMP_CODE, "icmpv6_type": ICMPV6_TYPE, "icmpv6_code": ICMPV6_CODE, "ether_type": ETHERNET_TYPE,
    "nf_proto": NFPROTO, "arp_op": ARP_OPERATION, "fib_addrtype": ROUTE_TYPE, "integer": NUMBER, "boolean": PRESENCE,
}  # fmt: skip
"""The types of named sets (nft(8), "DATA TYPES")."""


def implied(key: str, family: Family) -> tuple[tuple[str, int], ...]:
    """Return what a test of an operand takes for granted, as operands and the number each has to have.

    nft puts these tests into the kernel's rule and leaves them out of what it lists.
    """
    header = key.partition(" ")[0]
    network = {"ip": 4, "icmp": 4, "igmp": 4, "ip6": 6, "icmpv6": 6, "exthdr": 6}.get(header, 0)
    found: list[tuple[str, int]] = []
    if network and family == "inet":
        found.append(("meta nfproto", NFPROTO_IPV4 if network == 4 else NFPROTO_IPV6))  # noqa: PLR2004  its version
    elif network and family in {"bridge", "netdev"}:
        found.append(("meta protocol", _ETHERNET_TYPES["ip" if network == 4 else "ip6"]))  # noqa: PLR2004  its version
    elif header == "arp" and family in {"bridge", "netdev"}:
        found.append(("meta protocol", _ETHERNET_TYPES["arp"]))
    if header in {"icmp", "icmpv6", "tcp", "udp", "sctp", "dccp", "udplite"}:
        found.append(("meta l4proto", PROTOCOLS[header]))
    return tuple(found)


@lru_cache(maxsize=1 << 16)
def spelt(kind: Kind, text: str) -> Value:
    """Return the value that a literal spells; ValueError, saying what was expected, when it spells none."""
    if kind.spelt == "name":
        return _interface(text)
    if kind.spelt == "number":
        number = _number(text)
        if number > kind.last:
            msg = f"a number of at most {kind.last}"
            raise ValueError(msg)
        return number, number
    if kind.spelt == "ether":
        number = int(text.replace(":", ""), 16)
        return number, number
    return _addresses(kind, text)


def _interface(text: str) -> str:
    if not text or "\\" in text or "*" in text[:-1]:
        msg = "the name of an interface"
        raise ValueError(msg)
    return text


def _number(text: str) -> int:
    try:
        return int(text, 16) if text[:2] in {"0x", "0X"} else int(text)
    except ValueError as error:
        msg = "a number"
        raise ValueError(msg) from error


_SOCKETS: Final = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}


def _addresses(kind: Kind, text: str) -> tuple[int, int]:
    address, slash, length = text.partition("/")
    try:
        number = int.from_bytes(socket.inet_pton(_SOCKETS[kind.spelt], address), "big")
    except OSError as error:
        msg = f"an {kind.spelt} address"
        raise ValueError(msg) from error
    if not slash:
        return number, number
    if not length.isdecimal() or int(length) > kind.bits:
        msg = f"a prefix length of at most {kind.bits}"
        raise ValueError(msg)
    rest = (1 << (kind.bits - int(length))) - 1
    return number & ~rest, number | rest
