"""What netfilter's connection tracking says of a packet that belongs to no connection it knows.

Sources, Linux 6.x: `tcp_valid_flags`, `get_conntrack_index` and the column sNO of `tcp_conntracks` in
net/netfilter/nf_conntrack_proto_tcp.c; `valid_new` and `icmp_is_err` in nf_conntrack_proto_icmp.c; `valid_new` and
`noct_valid_new` in nf_conntrack_proto_icmpv6.c; `nf_conntrack_in` in nf_conntrack_core.c. The lab tests show each value
equal to the running kernel's.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

from cloison.prove.packet import (
    ACK,
    CWR,
    DCCP,
    ECE,
    ICMP,
    ICMPV6,
    PSH,
    SCTP,
    SYN,
    TCP,
    UDPLITE,
    URG,
    Connection,
    Fragment,
)

if TYPE_CHECKING:
    from cloison.prove.packet import Frames
    from cloison.prove.space import Interval, Region

_OPENING: Final = frozenset({SYN, SYN | URG})
_PICKED_UP: Final = frozenset({ACK, ACK | URG})
"""Flags in the middle of a connection, with which one that is not known is taken for established if loosely tracked."""
_IGNORED: Final = (PSH, ECE, CWR)
_ICMP_REQUESTS: Final = frozenset({8, 13, 15, 17})
"""Echo, timestamp, information and address mask request (RFC 792, RFC 950)."""
_ICMPV6_REQUESTS: Final = frozenset({128, 139})
"""Echo request (RFC 4443), node information query (RFC 4620)."""
_ICMPV6_UNTRACKED: Final = frozenset({130, 131, 132, 133, 134, 135, 136, 143, 151, 152})
"""Multicast listener, neighbour and multicast router discovery (RFC 2710, 3810, 4861, 4286)."""


def first_packet_states(frames: Frames, *, tcp_loose: bool) -> Region:
    """Return the IP packets with the state that the kernel gives the first packet it sees of a connection.

    `tcp_loose` is net.netfilter.nf_conntrack_tcp_loose: whether connections are picked up in their middle. SCTP, DCCP
    and UDP-Lite depend on what the proof does not keep (the kind of the chunk, what the checksum covers) and may be new
    or invalid. A packet of
    which the header or the checksum is wrong is invalid too; the proof keeps neither.
    """
    box = frames.box
    new, invalid = box(connection=Connection.NEW), box(connection=Connection.INVALID)
    tracked = frames.ip - box(fragment=Fragment.LATER)
    tcp, icmp, icmpv6 = box(protocol=TCP), box(protocol=ICMP), box(protocol=ICMPV6)
    unsure = box(protocol=frozenset((protocol, protocol) for protocol in (SCTP, DCCP, UDPLITE)))
    opening = tcp & box(tcp_flags=_flags(_OPENING | (_PICKED_UP if tcp_loose else frozenset())))
    opening |= icmp & frames.ipv4 & box(destination_port=_values(_ICMP_REQUESTS))
    opening |= icmpv6 & frames.ipv6 & box(destination_port=_values(_ICMPV6_REQUESTS))
    opening |= ~(tcp | icmp | icmpv6)
    untracked = icmpv6 & frames.ipv6 & box(destination_port=_values(_ICMPV6_UNTRACKED))
    related = (opening & new) | (unsure & invalid) | (untracked & box(connection=Connection.UNTRACKED))
    return (tracked & (related | (invalid - opening - untracked))) | (frames.ip - tracked) & invalid


def _flags(wanted: frozenset[int]) -> frozenset[Interval]:
    """Return flags as values, with and without those that tracking does not look at."""
    ignored = [sum(some) for some in product(*((0, flag) for flag in _IGNORED))]
    return _values(frozenset(flags | more for flags in wanted for more in ignored))


def _values(numbers: frozenset[int]) -> frozenset[Interval]:
    return frozenset((number, number) for number in numbers)
