"""What firewalls put on the wide-area network: IKE and ESP between the ends of tunnels, and nothing else. Pure.

ESP goes in UDP port 4500 (RFC 3948): four zero bytes mark IKE there, one byte 0xff a keep-alive, all else is ESP.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from cloison.probe.craft import ETHERNET_BYTES, MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloison.probe.capture import Captured

_IPV4, _ARP = 0x0800, 0x0806
_UDP, _IKE_PORT, _NAT_PORT = 17, 500, 4500
_KEEP_ALIVE = b"\xff"
_SHOWN_LIMIT = 5

Ends = tuple[IPv4Address, IPv4Address]
"""Source and destination address on the wide-area network."""


@dataclass(slots=True)
class Emissions:
    """What was seen of one interface, counted."""

    esp_bytes: Counter[Ends] = field(default_factory=Counter)
    """Bytes of whole IP packets that carry ESP in UDP."""
    esp_packets: Counter[Ends] = field(default_factory=Counter)
    ike_packets: Counter[Ends] = field(default_factory=Counter)
    clear: list[str] = field(default_factory=list)
    """Packets with an address of the private plan, or that show a probe, each described."""
    foreign: list[str] = field(default_factory=list)
    """Anything else than ARP, IKE and ESP between the given ends, each described."""

    def add(self, packets: Iterable[Captured], inner: IPv4Network, ends: frozenset[Ends]) -> None:
        """Count packets of an Ethernet link."""
        for packet in packets:
            self._add(packet, inner, ends)

    def _add(self, packet: Captured, inner: IPv4Network, ends: frozenset[Ends]) -> None:
        frame = packet.data
        kind = int.from_bytes(frame[12:14])
        if kind == _ARP:
            return
        if kind != _IPV4 or len(frame) < ETHERNET_BYTES + 28:
            self.foreign.append(f"a frame of type {kind:#06x}, {packet.length} bytes")
            return
        header = frame[ETHERNET_BYTES:]
        pair = (IPv4Address(header[12:16]), IPv4Address(header[16:20]))
        described = f"{pair[0]} to {pair[1]}, protocol {header[9]}, {packet.length} bytes"
        if pair[0] in inner or pair[1] in inner or MAGIC in frame:
            self.clear.append(described)
            return
        segment = header[(header[0] & 0xF) * 4 :]
        ports = {int.from_bytes(segment[0:2]), int.from_bytes(segment[2:4])}
        if header[9] != _UDP or pair not in ends or not ports <= {_IKE_PORT, _NAT_PORT}:
            self.foreign.append(described)
        elif ports == {_IKE_PORT} or segment[8:12] == bytes(4):
            self.ike_packets[pair] += 1
        elif segment[8:] != _KEEP_ALIVE and segment[8:9] != _KEEP_ALIVE:
            self.esp_packets[pair] += 1
            self.esp_bytes[pair] += packet.length - ETHERNET_BYTES


def some(described: list[str]) -> str:
    """Return the first few, and how many more there are."""
    more = f", and {len(described) - _SHOWN_LIMIT} more" if len(described) > _SHOWN_LIMIT else ""
    return "; ".join(described[:_SHOWN_LIMIT]) + more
