"""One frame described by its fields as numbers, and its bytes: whatever can be said of a frame can be sent.

Fields as IEEE 802.3 and 802.1Q (tags), RFC 826 (ARP), RFC 791 and 8200 (IP), RFC 768, 792, 4443 and 9293 have them.
What a field does not say (identifiers, sequence numbers, times to live) is as plain as it can be, and checksums are
right.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from cloison.probe.craft import internet_checksum

UNTAGGED: Final = 4096
"""The value of a tag where there is none."""
_IPV4, _ARP, _IPV6, _VLAN = 0x0800, 0x0806, 0x86DD, 0x8100
ICMP, TCP, UDP, ICMPV6, SCTP, UDPLITE, DCCP = 1, 6, 17, 58, 132, 136, 33
_FRAGMENT_HEADER: Final = 44
_WHOLE, _FIRST, _LATER = range(3)
_ROUTABLE: Final = 64
"""The time to live."""
_FIRST_BYTES: Final = 64
"""What the first fragment of a datagram holds: fragments are cut at multiples of 8 bytes (RFC 791 section 3.2)."""
_MORE: Final = 0x2000
_NO_OPERATION: Final = b"\x01"
_WINDOW: Final = 64240
_IDENTIFIER: Final = 1
"""Of a datagram: the same of all its fragments."""


@dataclass(frozen=True, slots=True)
class WitnessFrame:
    """One frame. A field that it does not hold is 0."""

    ethernet_type: int
    """Of what follows the tags."""
    mac_source: int
    mac_destination: int
    source: int
    """The address of the sender; of an ARP packet, its protocol address."""
    destination: int
    protocol: int
    """Of IPv6: behind the extension headers; of an ARP packet, its operation."""
    tag: int = UNTAGGED
    """The VLAN identifier of the outer tag; UNTAGGED for none."""
    inner_tag: int = UNTAGGED
    arp_sender_mac: int = 0
    arp_target_mac: int = 0
    destination_port: int = 0
    """The type of an ICMP message."""
    source_port: int = 0
    """The code of an ICMP message."""
    tcp_flags: int = 0
    fragment: int = _WHOLE
    """0 for a whole datagram, 1 for a first fragment, 2 for a later one."""
    header_length: int = 5
    """Of IPv4, in words of four bytes."""

    @property
    def is_ip(self) -> bool:
        """Whether it carries an IP packet."""
        return self.ethernet_type in {_IPV4, _IPV6}

    @property
    def version(self) -> int:
        """The version of the IP packet, 4 for anything but IPv6."""
        return 6 if self.ethernet_type == _IPV6 else 4


def frames_of(frame: WitnessFrame, body: bytes) -> list[bytes]:
    """Return the frame with `body` as its payload; of a fragment also the rest of its datagram, without the body.

    A router that keeps track of connections waits for the whole datagram: a fragment alone would get nowhere.
    """
    header = _link(frame)
    return [header + packet for packet in packets_of(frame, body)]


def packets_of(frame: WitnessFrame, body: bytes) -> list[bytes]:
    """Return what the frame carries behind its Ethernet type; see `frames_of`."""
    if frame.ethernet_type == _ARP:
        return [_arp(frame) + body]
    if not frame.is_ip:
        return [body]
    addresses = _addresses(frame)
    if frame.fragment == _WHOLE:
        return [_packet(frame, _segment(frame, addresses, body), 0)]
    room = _FIRST_BYTES - len(_segment(frame, addresses, b""))
    filling = bytes(len(body))
    first, later = (body, filling) if frame.fragment == _FIRST else (filling, body)
    datagram = _segment(frame, addresses, first.ljust(room, b"\0") + later)
    return [
        _packet(frame, datagram[:_FIRST_BYTES], _MORE),
        _packet(frame, datagram[_FIRST_BYTES:], _FIRST_BYTES // 8),
    ]


def _link(frame: WitnessFrame) -> bytes:
    tags = b"".join(struct.pack("!HH", _VLAN, tag) for tag in (frame.tag, frame.inner_tag) if tag != UNTAGGED)
    macs = frame.mac_destination.to_bytes(6, "big") + frame.mac_source.to_bytes(6, "big")
    return macs + tags + struct.pack("!H", frame.ethernet_type)


def _arp(frame: WitnessFrame) -> bytes:
    return struct.pack(
        "!HHBBH6s4s6s4s",
        1,
        _IPV4,
        6,
        4,
        frame.protocol,
        frame.arp_sender_mac.to_bytes(6, "big"),
        frame.source.to_bytes(4, "big"),
        frame.arp_target_mac.to_bytes(6, "big"),
        frame.destination.to_bytes(4, "big"),
    )


def _addresses(frame: WitnessFrame) -> bytes:
    size = 16 if frame.version == 6 else 4  # noqa: PLR2004  the version of IP
    return frame.source.to_bytes(size, "big") + frame.destination.to_bytes(size, "big")


def _packet(frame: WitnessFrame, data: bytes, offset: int) -> bytes:
    """Return an IP packet; `offset` is the field of the fragment's offset (in units of 8 bytes) and flags."""
    addresses = _addresses(frame)
    if frame.version == 4:  # noqa: PLR2004  the version of IP
        options = _NO_OPERATION * (4 * (frame.header_length - 5))
        length = 20 + len(options) + len(data)
        start = struct.pack(
            "!BBHHHBB", 0x40 | frame.header_length, 0, length, _IDENTIFIER, offset, _ROUTABLE, frame.protocol
        )
        checksum = internet_checksum(start + b"\0\0" + addresses + options)
        return start + struct.pack("!H", checksum) + addresses + options + data
    following, extension = frame.protocol, b""
    if frame.fragment != _WHOLE:
        more, units = bool(offset & _MORE), offset & ~_MORE
        extension = struct.pack("!BBHI", frame.protocol, 0, units << 3 | more, _IDENTIFIER)
        following = _FRAGMENT_HEADER
    start = struct.pack("!IHBB", 6 << 28, len(extension) + len(data), following, _ROUTABLE)
    return start + addresses + extension + data


def _segment(frame: WitnessFrame, addresses: bytes, body: bytes) -> bytes:
    """Return the transport header and its payload, the checksum right (RFC 1071)."""
    ports = (frame.source_port, frame.destination_port)
    length = {TCP: 20, UDP: 8, ICMP: 8, ICMPV6: 8}.get(frame.protocol, 0) + len(body)
    pseudo = addresses + (
        struct.pack("!HH", frame.protocol, length)
        if frame.version == 4  # noqa: PLR2004  the version of IP
        else struct.pack("!II", length, frame.protocol)
    )
    if frame.protocol == TCP:
        acknowledged = 1 if frame.tcp_flags & 0x10 else 0
        segment = struct.pack("!HHIIBBHHH", *ports, 1, acknowledged, 0x50, frame.tcp_flags, _WINDOW, 0, 0) + body
        return _summed(segment, 16, pseudo)
    if frame.protocol == UDP:
        return _summed(struct.pack("!HHHH", *ports, length, 0) + body, 6, pseudo)
    if frame.protocol == (ICMP if frame.version == 4 else ICMPV6):  # noqa: PLR2004  the version of IP
        message = struct.pack("!BBHHH", frame.destination_port, frame.source_port, 0, *_echo(body)) + body
        return _summed(message, 2, pseudo if frame.protocol == ICMPV6 else b"")
    if frame.protocol in {SCTP, DCCP, UDPLITE}:
        return struct.pack("!HH", *ports) + bytes(12) + body
    return body


def _echo(body: bytes) -> tuple[int, int]:
    """Return identifier and sequence number of an echo: each body has its own, for each begins a conversation."""
    return int.from_bytes(body[-2:], "big"), 1


def _summed(segment: bytes, at: int, pseudo: bytes) -> bytes:
    checksum = internet_checksum(pseudo + segment) or 0xFFFF
    return segment[:at] + struct.pack("!H", checksum) + segment[at + 2 :]
