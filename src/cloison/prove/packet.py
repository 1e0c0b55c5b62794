"""The frame that the proof reasons about: its fields, what a well-formed one is, and its words for people.

Everything that a rule of a device may look at is a field: of the frame (IEEE 802.3, 802.1Q), of the packet (RFC 791,
8200, 826), of the transport header (RFC 768, 9293, 792, 4443), and what the device itself attaches to a packet on its
way (the interfaces, the state of its connection). Two more fields say where it was sent from and where it was heard, so
that one set holds every pair of places at once.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from cloison.prove.space import Field, Region, Space

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ETHERNET_IPV4: Final = 0x0800
ETHERNET_ARP: Final = 0x0806
ETHERNET_IPV6: Final = 0x86DD
ETHERNET_VLAN: Final = 0x8100
"""The EtherType of a tag (IEEE 802.1Q): a frame whose type is this holds one tag more than the model keeps."""

ICMP, TCP, UDP, ICMPV6, SCTP, UDPLITE, DCCP = 1, 6, 17, 58, 132, 136, 33
WITH_PORTS: Final = (TCP, UDP, DCCP, SCTP, UDPLITE)

UNTAGGED: Final = 4096
"""The value of the fields `tag` and `inner_tag` where there is none; a tag's value is its VLAN identifier, 0 included
(a priority tag, IEEE 802.1Q clause 6.9.1)."""

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))


class Fragment(IntEnum):
    """What part of a datagram a packet is (RFC 791 section 3.2)."""

    WHOLE = 0
    FIRST = 1
    """Offset 0, more to come: it has the transport header."""
    LATER = 2
    """An offset: it has no transport header."""


class Connection(IntEnum):
    """The state of the connection that a packet belongs to, as netfilter's conntrack says it (`ct state`)."""

    NEW = 0
    ESTABLISHED = 1
    RELATED = 2
    INVALID = 3
    UNTRACKED = 4


FIELDS: Final = (
    Field("sender", 16),  # the place it is sent from, by its number in `Places`
    Field("tag", 13),  # the outer tag of the frame
    Field("inner_tag", 13),  # the tag behind it
    Field("ethernet_type", 16),  # of what follows the tags
    Field("mac_source", 48),
    Field("mac_destination", 48),
    Field("arp_sender_mac", 48),  # of an ARP packet; 0 in any other
    Field("arp_target_mac", 48),
    Field("interface_in", 16),  # the interface it came in by, by its number in `Interfaces`; 0 for none
    Field("interface_out", 16),
    Field("source", 128),  # IPv4 and IPv6; of an ARP packet, the sender's protocol address
    Field("destination", 128),
    Field("receiver", 16),  # the place it is heard at, by its number in `Places`
    Field("protocol", 8),  # of IPv6: behind the extension headers; of an ARP packet, its operation
    Field("destination_port", 16),  # the type of an ICMP message
    Field("source_port", 16),  # the code of an ICMP message
    Field("tcp_flags", 8),
    Field("fragment", 2),
    Field("header_length", 4),  # of IPv4, in words of four bytes: more than 5 where there are options; 0 of any other
    Field("connection", 3),
)
"""In the order of the diagram: what tells packets of different rules apart best comes first, but for the places.

The receiver stands behind the destination, which mostly says who it is: what is tested behind both, a service, is then
the same few nodes for every site."""

LINK_FIELDS: Final = ("tag", "inner_tag", "mac_source", "mac_destination", "arp_sender_mac", "arp_target_mac")
"""What a router takes off."""
DEVICE_FIELDS: Final = ("interface_in", "interface_out", "connection")
"""What a device attaches to a packet and does not send."""


class Frames(Space):
    """The space of frames, with the sets that every part of the proof needs."""

    def __init__(self, budget: int = 4_000_000) -> None:
        super().__init__(FIELDS, budget)
        box = self.box
        self.ipv4 = box(ethernet_type=ETHERNET_IPV4)
        self.ipv6 = box(ethernet_type=ETHERNET_IPV6)
        self.arp = box(ethernet_type=ETHERNET_ARP)
        self.ip = self.ipv4 | self.ipv6
        self.well_formed = self._well_formed()
        """Frames that have 0 in every field that they do not hold: without it, one frame would be counted as many."""
        self.packets = (self.well_formed & self.ip).without(*LINK_FIELDS)
        """Well-formed IP packets, whatever frame they are in: what routers see."""
        self.interfaces = Names("interface", first=1)
        """The names of interfaces, of all devices: the same name has the same number everywhere."""
        self.places = Names("place", first=0)
        """The senders and the receivers."""
        self.kept: dict[object, object] = {}
        """What the models of devices made in this space and need again for the next device, by a key of their own."""

    def _well_formed(self) -> Region:
        box = self.box
        later = box(fragment=Fragment.LATER)
        ports = self.union(box(protocol=protocol) for protocol in WITH_PORTS)
        message = (self.ipv4 & box(protocol=ICMP)) | (self.ipv6 & box(protocol=ICMPV6))
        no_ports = box(destination_port=0, source_port=0)
        transport = (message & box(destination_port=(0, 255), source_port=(0, 255))) | (ports - message) | no_ports
        transport &= box(protocol=TCP) | box(tcp_flags=0)
        transport = (transport - later) | (later & no_ports & box(tcp_flags=0))
        last = (1 << 32) - 1
        four = self.ipv4 & box(source=(0, last), destination=(0, last), header_length=(5, 15))
        six = self.ipv6 & box(header_length=0)
        packets = (four | six) & transport & box(fragment=(0, 2), arp_sender_mac=0, arp_target_mac=0)
        bare = {"destination_port": 0, "source_port": 0, "tcp_flags": 0, "fragment": 0, "header_length": 0}
        requests = self.arp & box(source=(0, last), destination=(0, last), **bare)
        other = (
            box(source=0, destination=0, protocol=0, arp_sender_mac=0, arp_target_mac=0, **bare) - self.ip - self.arp
        )
        tags = box(tag=(0, UNTAGGED), inner_tag=(0, UNTAGGED)) - (box(tag=UNTAGGED) - box(inner_tag=UNTAGGED))
        return (packets | requests | other) & tags & box(connection=(0, 4))


class Names:
    """Numbers for names, given in the order in which the names are first asked for."""

    def __init__(self, what: str, first: int) -> None:
        self._what = what
        self._first = first
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []

    def number(self, name: str) -> int:
        """Return the number of a name, a new one when it has none; ValueError beyond 65535."""
        number = self._numbers.setdefault(name, len(self._names) + self._first)
        if number - self._first == len(self._names):
            if number > 0xFFFF:  # noqa: PLR2004  the field has 16 bits
                msg = f"more than 65535 names of {self._what}s"
                raise ValueError(msg)
            self._names.append(name)
        return number

    def name(self, number: int) -> str:
        """Return the name of a number; IndexError when none has it."""
        if number < self._first:
            raise IndexError(number)
        return self._names[number - self._first]

    def numbers(self, names: Iterable[str]) -> frozenset[tuple[int, int]]:
        """Return the numbers of several names, as the intervals that `Space.box` takes."""
        return frozenset((number, number) for number in map(self.number, names))

    def __len__(self) -> int:
        """Return how many names have a number."""
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        """Yield every name, in the order of the numbers."""
        return iter(self._names)
