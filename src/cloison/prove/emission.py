"""What can be sent at a place: by the host declared there, and by whoever holds its cable instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloison.prove.conntrack import first_packet_states
from cloison.prove.packet import ETHERNET_ARP, ICMP, UNTAGGED, Connection, Fragment
from cloison.prove.places import CABLE_NUMBERS, HOST_NUMBERS

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from cloison.prove.packet import Frames
    from cloison.prove.places import Places
    from cloison.prove.space import Region

ICMP_ERRORS: Final = ((3, 5), (11, 12))
"""ICMP types that netfilter relates to a conversation when they quote a packet of it (nf_conntrack_proto_icmp.c)."""


def number_of(mac: str) -> int:
    """Return the 48 bits of a MAC address."""
    return int(mac.replace(":", ""), 16)


class Emission:
    """The frames that places send, in one space."""

    def __init__(self, frames: Frames, places: Places, *, tcp_loose: bool) -> None:
        self._frames = frames
        self._places = places
        first = first_packet_states(frames, tcp_loose=tcp_loose)
        errors = frames.ipv4 & frames.box(
            protocol=ICMP, destination_port=frozenset(ICMP_ERRORS), connection=Connection.RELATED
        )
        others = frames.well_formed - frames.ip
        self._first = first | errors
        self._any = frames.well_formed & (first | errors | others)
        self._spoken = frames.well_formed & ((first & frames.box(connection=Connection.NEW)) | self._answers())
        self._bare = frames.well_formed & frames.box(tag=UNTAGGED)
        self.possible = frames.box(sender=HOST_NUMBERS) | (first | errors).setting(sender=CABLE_NUMBERS)
        """What a router can meet: of cables no packet of a conversation, not even behind tags a switch takes off."""

    def _answers(self) -> Region:
        """Return what belongs to a conversation that exists."""
        return self._frames.ip & self._frames.box(connection=Connection.ESTABLISHED)

    def cable(self, name: str) -> Region:
        """Return everything that whoever holds a cable can send: any frame, with any tags, in anybody's name.

        Left out are packets of conversations that exist: what may answer follows from what may open.
        """
        return self._any & self._frames.box(sender=self._places.cable(name))

    def host(self, name: str, address: IPv4Address, mac: str | None, gateway: IPv4Address) -> Region:
        """Return what a declared host sends: untagged, in its own name, and questions for its gateway's MAC address."""
        box, source = self._frames.box, int(address)
        packets = self._spoken & box(source=source) & self._frames.ipv4
        asking = self._bare & box(ethernet_type=ETHERNET_ARP, source=source, destination=int(gateway))
        link = box(tag=UNTAGGED, sender=self._places.host(name))
        if mac is not None:
            link &= box(mac_source=number_of(mac))
            asking &= box(arp_sender_mac=number_of(mac))
        return (packets | asking) & link

    def router(self, name: str) -> Region:
        """Return what a firewall sends by itself: its kernel makes whole datagrams without options, to any address."""
        plain = self._frames.box(fragment=Fragment.WHOLE, header_length=frozenset({(0, 0), (5, 5)}))
        return self.packets(name) & plain

    def packets(self, name: str) -> Region:
        """Return every IP packet that can come from a place with no cable of ours.

        As a host, the packets of conversations that exist are among them; as a cable they are not.
        """
        host, cable = (self._frames.box(sender=number(name)) for number in (self._places.host, self._places.cable))
        return self._frames.packets & ((self._first | self._answers()) & host | (self._first & cable))
