"""The bytes of a packet that is given by the fields of the proof (RFC 791, 8200, 9293, 768, 792, 4443)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

from cloison.prove.packet import ETHERNET_IPV4, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE, Fragment

Fields = Mapping[str, int]
_FIRST_PART = 48
"""Bytes of the transport part that the first fragment holds; a multiple of eight."""
_FRAGMENT_HEADER = 44
_MARTIAN = 0xC6336401
"""198.51.100.1: what an ICMP error quotes is from nobody."""


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def is_ipv4(packet: Fields) -> bool:
    return packet["ethernet_type"] == ETHERNET_IPV4


def address(number: int, *, ipv4: bool) -> bytes:
    return number.to_bytes(4 if ipv4 else 16, "big")


def shown(number: int, *, ipv4: bool) -> str:
    return str(IPv4Address(number) if ipv4 else IPv6Address(number))


def quoted(packet: Fields) -> bytes:
    """Return the packet that an ICMP error is about: one of no connection."""
    datagram = struct.pack("!4H", 9, 9, 8, 0)
    if is_ipv4(packet):
        ends = packet["destination"].to_bytes(4, "big") + _MARTIAN.to_bytes(4, "big")
        head = struct.pack("!2B3H2BH", 0x45, 0, 28, 7, 0, 9, UDP, 0) + ends
        return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + datagram
    return (
        struct.pack("!IHBB", 6 << 28, 8, UDP, 9) + packet["destination"].to_bytes(16, "big") + b"\xfd" * 16 + datagram
    )


def transport(packet: Fields, number: int) -> bytes:
    """Return what follows the IP header, with a right checksum; a number makes a message of ICMP its own."""
    protocol, one, two = packet["protocol"], packet["source_port"], packet["destination_port"]
    ipv4 = is_ipv4(packet)
    body = b"cloison " * 9
    if protocol == TCP:
        data, place = struct.pack("!2H2I2B3H", one, two, number, 1, 5 << 4, packet["tcp_flags"], 1024, 0, 0) + body, 16
    elif protocol == UDP:
        data, place = struct.pack("!4H", one, two, 8 + len(body), 0) + body, 6
    elif protocol == UDPLITE:
        data, place = struct.pack("!4H", one, two, 0, 0) + body, 6
    elif (ipv4 and protocol == ICMP) or (not ipv4 and protocol == ICMPV6):
        error = two in {3, 4, 5, 11, 12} if ipv4 else two < 128
        data = struct.pack("!2B3H", two, one, 0, number & 0xFFFF, 0) + (quoted(packet) if error else b"") + body
        place = 2
    elif protocol == SCTP:
        return struct.pack("!2H2I2BH", one, two, 0, 0, 1, 0, 20) + body
    else:
        return struct.pack("!2H", one, two) + b"\0" * 4 + body
    ends = address(packet["source"], ipv4=ipv4) + address(packet["destination"], ipv4=ipv4)
    pseudo = ends + (struct.pack("!2BH", 0, protocol, len(data)) if ipv4 else struct.pack("!I3xB", len(data), protocol))
    pseudo = b"" if protocol == ICMP else pseudo
    value = checksum(pseudo + data) or 0xFFFF
    return data[:place] + value.to_bytes(2, "big") + data[place + 2 :]


def datagrams(packet: Fields, number: int) -> list[bytes]:
    """Return the IP packets: one, or the two fragments of a datagram where the packet is a fragment."""
    data = transport(packet, number)
    if packet["fragment"] == Fragment.WHOLE:
        return [_network(packet, data, number, 0, more=False)]
    first, later = data[:_FIRST_PART], data[_FIRST_PART:]
    return [
        _network(packet, first, number, 0, more=True),
        _network(packet, later, number, _FIRST_PART // 8, more=False),
    ]


def _network(packet: Fields, data: bytes, number: int, offset: int, *, more: bool) -> bytes:
    source, destination = packet["source"], packet["destination"]
    if is_ipv4(packet):
        length = packet["header_length"]
        size = length * 4 + len(data)
        head = struct.pack("!2B3H2BH", 0x40 | length, 0, size, number, offset | more << 13, 64, packet["protocol"], 0)
        head += address(source, ipv4=True) + address(destination, ipv4=True) + b"\x01" * (length * 4 - 20)
        return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + data
    following = packet["protocol"]
    if offset or more:
        data = struct.pack("!2BHI", following, 0, offset << 3 | more, number) + data
        following = _FRAGMENT_HEADER
    label = number * 2 + (offset > 0)
    head = struct.pack("!IHBB", 6 << 28 | label, len(data), following, 64)
    return head + address(source, ipv4=False) + address(destination, ipv4=False) + data
