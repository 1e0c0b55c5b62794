"""Spells captured packets as a pcap file (draft-ietf-opsawg-pcap), nanosecond resolution."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloison.probe.capture import Captured

HEADER_BYTES = 96
"""How much of a packet is kept: headers, and what marks a probe; never a picture."""
_MAGIC_NANOSECONDS = 0xA1B23C4D
_ETHERNET = 1
_NO_ADDRESSES = bytes(12) + b"\x08\x00"


def pcap_of(packets: Iterable[Captured]) -> bytes:
    """Return a pcap file of the packets, HEADER_BYTES of each, in the order of their times.

    All as Ethernet: what was heard from the IP header on gets one with empty addresses.
    """
    parts = [struct.pack("<IHHiIII", _MAGIC_NANOSECONDS, 2, 4, 0, 0, HEADER_BYTES, _ETHERNET)]
    for packet in sorted(packets, key=lambda packet: packet.nanoseconds):
        added = b"" if packet.ethernet else _NO_ADDRESSES
        kept = (added + packet.data)[:HEADER_BYTES]
        seconds, rest = divmod(packet.nanoseconds, 1_000_000_000)
        parts.append(struct.pack("<IIII", seconds, rest, len(kept), len(added) + packet.length) + kept)
    return b"".join(parts)
