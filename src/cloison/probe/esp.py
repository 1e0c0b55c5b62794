"""Packets of a CHILD_SA made by hand: ESP with AES-GCM (RFC 4303, RFC 4106), in UDP (RFC 3948)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloison.probe.craft import ETHERNET_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloison.probe.capture import Captured

_NEXT_HEADER_IPV4 = 4
_SALT_BYTES = 4
_IPV4_BYTES, _UDP_BYTES = 20, 8
_DUMP = re.compile(r"\[CHD\]\s+\d+: ((?:[0-9A-F]{2} ?)+)")
_KEY = re.compile(r"\[CHD\] encryption initiator key => (\d+) bytes")
_OUTBOUND = re.compile(r"\[CHD\] adding outbound ESP SA")
_SPI = re.compile(r"\[CHD\]\s+SPI 0x([0-9a-f]{8})")


@dataclass(frozen=True, slots=True)
class SecurityAssociation:
    """One direction of a CHILD_SA, as its sender has it."""

    spi: int
    key: bytes = field(repr=False)
    """The AES key, then the salt of 4 bytes."""
    sequence: int = 0
    """Of the last packet sent."""

    def seal(self, packet: bytes) -> tuple[bytes, SecurityAssociation]:
        """Return the ESP packet that carries an IPv4 packet next in sequence, and the association after it."""
        following = replace(self, sequence=self.sequence + 1)
        padding = bytes(range(1, 1 + (-(len(packet) + 2)) % 4))
        body = packet + padding + bytes([len(padding), _NEXT_HEADER_IPV4])
        header = struct.pack("!II", self.spi, following.sequence)
        vector = following.sequence.to_bytes(8, "big")
        key, salt = self.key[:-_SALT_BYTES], self.key[-_SALT_BYTES:]
        return header + vector + AESGCM(key).encrypt(salt + vector, body, header), following


def read_outbound(log: str) -> SecurityAssociation | None:
    """Return the association that charon, asked to rekey, has just set up for sending; None when the log shows none.

    The log is charon's own, group CHD at level 4. Who asks for the exchange is its initiator, whose key it sends with.
    """
    key, spi = b"", None
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if (found := _KEY.search(line)) is not None:
            dumped = [match[1] for match in map(_DUMP.search, lines[number + 1 : number + 9]) if match]
            key = bytes.fromhex("".join(dumped).replace(" ", ""))[: int(found[1])]
        elif _OUTBOUND.search(line) and number + 1 < len(lines) and (match := _SPI.search(lines[number + 1])):
            spi = int(match[1], 16)
    return None if spi is None or len(key) <= _SALT_BYTES else SecurityAssociation(spi, key)


def last_sequence(packets: Iterable[Captured], spi: int) -> int:
    """Return the highest sequence number that was seen of an association; 0 when it has sent nothing."""
    at = ETHERNET_BYTES + _IPV4_BYTES + _UDP_BYTES
    wanted = struct.pack("!I", spi)
    sequences = [
        int.from_bytes(packet.data[at + 4 : at + 8]) for packet in packets if packet.data[at : at + 4] == wanted
    ]
    return max(sequences, default=0)
