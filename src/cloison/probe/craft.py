"""From templates that the Scapy process built to the frames of one run, and back from a heard frame to its probe.

Scapy takes some 0.8 ms a frame and a run has some ten thousand: it builds one template for each conversation and kind
of packet, and here the ports, the numbers, the payload and the checksums are put in, some 10 µs a frame.
"""

from __future__ import annotations

import base64
import json
import struct
import sys
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from cloison.errors import ProbeError
from cloison.model import MacAddress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloison.probe.question import PacketKind
    from cloison.transport.base import Runner

ETHERNET_BYTES = 14
MAGIC = b"Cloison!"
NONCE_BYTES = 8
PAYLOAD_BYTES = len(MAGIC) + NONCE_BYTES + 8
_IPV4, _ARP = 0x0800, 0x0806
_ICMP, _TCP, _UDP = 1, 6, 17
_ECHO_REQUEST = 8
_DISCARD = 9
NOBODY = MacAddress("02:00:00:00:00:00")
CRAFT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Template:
    """A conversation between two addresses, by two MAC addresses, and a kind of packet."""

    source_mac: MacAddress
    destination_mac: MacAddress
    source: IPv4Address
    destination: IPv4Address
    kind: PacketKind


def payload(nonce: bytes, number: int) -> bytes:
    """Return the bytes that tell a probe of this run from everything else: magic, nonce, number (64 bits)."""
    return MAGIC + nonce + number.to_bytes(8, "big")


def build(templates: Iterable[Template], runner: Runner) -> dict[Template, bytes]:
    """Return a frame for every template, with placeholders for ports and payload.

    One Scapy process builds them all. Raises ProbeError when it fails.
    """
    wanted = list(dict.fromkeys(templates))
    requests = [
        {
            "kind": template.kind,
            "port": 1,
            "source_mac": template.source_mac,
            "destination_mac": template.destination_mac,
            "source": str(template.source),
            "destination": str(template.destination),
            "payload": base64.b64encode(bytes(PAYLOAD_BYTES)).decode(),
        }
        for template in wanted
    ]
    command = [sys.executable, "-m", "cloison.probe.scapy_craft"]
    result = runner.run(command, stdin=json.dumps(requests).encode(), timeout=CRAFT_SECONDS)
    if result.exit_status != 0:
        lines = result.stderr.decode("utf-8", "backslashreplace").strip().splitlines() or ["no message"]
        msg = f"the Scapy process failed: {lines[-1]}; expected Scapy to be installed (extra `probe`)"
        raise ProbeError(msg)
    frames = [base64.b64decode(text) for text in json.loads(result.stdout)]
    return dict(zip(wanted, frames, strict=True))


def finish(template: bytes, ports: tuple[int, int], number: int, nonce: bytes) -> bytes:
    """Return the template with its source and destination port, number and payload, and both checksums right.

    The low bits of the number are the IP identification and the TCP sequence number too, or the ICMP identifier, for
    what would strip the payload. Expects an IPv4 header without options.
    """
    frame = bytearray(template)
    ip, segment = ETHERNET_BYTES, ETHERNET_BYTES + 20
    source_port, port = ports
    frame[-PAYLOAD_BYTES:] = payload(nonce, number)
    struct.pack_into("!H", frame, ip + 4, number & 0xFFFF)
    protocol = frame[ip + 9]
    if protocol == _ICMP:
        struct.pack_into("!HH", frame, segment + 4, source_port, number & 0xFFFF)
        checksum_at, pseudo = segment + 2, b""
    else:
        struct.pack_into("!HH", frame, segment, source_port, port)
        pseudo = bytes(frame[ip + 12 : ip + 20]) + struct.pack("!HH", protocol, len(frame) - segment)
        checksum_at = segment + (16 if protocol == _TCP else 6)
        if protocol == _TCP:
            struct.pack_into("!I", frame, segment + 4, number & 0xFFFFFFFF)
    _sum_into(frame, ip + 10, bytes(frame[ip:segment]), skip=10)
    _sum_into(frame, checksum_at, pseudo + bytes(frame[segment:]), skip=len(pseudo) + checksum_at - segment)
    return bytes(frame)


def _sum_into(frame: bytearray, at: int, covered: bytes, skip: int) -> None:
    """Write the Internet checksum (RFC 1071) of the covered bytes, but for the two that hold it; 0 as 0xffff (UDP)."""
    blank = covered[:skip] + b"\0\0" + covered[skip + 2 :]
    struct.pack_into("!H", frame, at, internet_checksum(blank) or 0xFFFF)


def internet_checksum(data: bytes) -> int:
    """Return the one's complement of the one's complement sum of 16-bit words (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def udp_packet(source: IPv4Address, destination: IPv4Address, ports: tuple[int, int], body: bytes) -> bytes:
    """Return an IPv4 packet with one UDP datagram, without UDP checksum (RFC 768 allows it, RFC 3948 asks for it)."""
    datagram = struct.pack("!HHHH", *ports, 8 + len(body), 0) + body
    header = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0x4000, 64, _UDP, 0))
    header += source.packed + destination.packed
    _sum_into(header, 10, bytes(header), skip=10)
    return bytes(header) + datagram


def ethernet(source: MacAddress, destination: MacAddress, packet: bytes) -> bytes:
    """Return a frame with an IPv4 packet."""
    addresses = bytes.fromhex(destination.replace(":", "") + source.replace(":", ""))
    return addresses + struct.pack("!H", _IPV4) + packet


def canary(mac: MacAddress, address: IPv4Address, number: int, nonce: bytes) -> bytes:
    """Return a UDP frame from 0.0.0.0 to a receiver's discard port, to be put on its cable: nobody answers it."""
    packet = udp_packet(IPv4Address(0), address, (_DISCARD, _DISCARD), payload(nonce, number))
    return ethernet(NOBODY, mac, packet)


def read_number(data: bytes, at: int, nonce: bytes) -> int | None:
    """Return the number of the probe that an IPv4 packet starting at `at` is; None when it is none of this run.

    The payload is looked for where it belongs, so that an ICMP error that quotes a probe is none, and an echo reply,
    which carries it back, is none either.
    """
    if len(data) < at + 20 or data[at] >> 4 != 4:  # noqa: PLR2004  IP version
        return None
    protocol = data[at + 9]
    segment = at + (data[at] & 0xF) * 4
    if protocol == _TCP and len(data) > segment + 12:
        begins = segment + (data[segment + 12] >> 4) * 4
    elif protocol == _UDP or (protocol == _ICMP and len(data) > segment and data[segment] == _ECHO_REQUEST):
        begins = segment + 8
    else:
        return None
    found = data[begins : begins + PAYLOAD_BYTES]
    if len(found) != PAYLOAD_BYTES or not found.startswith(MAGIC + nonce):
        return None
    return int.from_bytes(found[-8:], "big")


def arp_request(mac: bytes, sender: IPv4Address, target: IPv4Address) -> bytes:
    """Return a broadcast frame that asks who has `target` (RFC 826)."""
    body = struct.pack("!HHBBH6s4s6s4s", 1, _IPV4, 6, 4, 1, mac, sender.packed, bytes(6), target.packed)
    return b"\xff" * 6 + mac + struct.pack("!H", _ARP) + body


def arp_answer(frame: bytes, target: IPv4Address) -> bytes | None:
    """Return the MAC address in a reply of `target`; None when the frame is none (RFC 826)."""
    if len(frame) < ETHERNET_BYTES + 28 or frame[12:14] != struct.pack("!H", _ARP) or frame[20:22] != b"\0\2":
        return None
    return frame[22:28] if frame[28:32] == target.packed else None
