# SPDX-License-Identifier: GPL-2.0-only
"""A process of its own that builds frames with Scapy: one JSON array of requests in, one of frames (base64) out.

The engine never imports this module; it runs `python -m cloison.probe.scapy_craft`.
"""

from __future__ import annotations

import base64
import json
import logging
import sys
from typing import IO

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402  Scapy warns while it is imported
from scapy.layers.l2 import Ether  # noqa: E402
from scapy.packet import Packet, Raw  # noqa: E402


def segment(kind: str, port: int) -> Packet:
    """Return the layer above IP; KeyError for an unknown kind."""
    return {
        "tcp-syn": TCP(sport=port, dport=port, flags="S", window=64240),
        "tcp-ack": TCP(sport=port, dport=port, flags="A", window=64240, ack=1),
        "udp": UDP(sport=port, dport=port),
        "icmp-echo": ICMP(type="echo-request"),
    }[kind]


def frame(request: dict[str, str | int]) -> bytes:
    """Return one Ethernet frame with correct lengths and checksums."""
    packet = (
        Ether(src=str(request["source_mac"]), dst=str(request["destination_mac"]))
        / IP(src=str(request["source"]), dst=str(request["destination"]), flags="DF", ttl=64)
        / segment(str(request["kind"]), int(request["port"]))
        / Raw(base64.b64decode(str(request["payload"])))
    )
    return bytes(packet)


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Answer every request, in order."""
    json.dump([base64.b64encode(frame(request)).decode() for request in json.load(requests)], answers)


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
