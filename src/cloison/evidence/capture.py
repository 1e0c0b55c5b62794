"""Captures as evidence hold headers and nothing else: what a camera or a host said is dropped before it is kept.

Format: the classic pcap file (draft-ietf-opsawg-pcap), link type Ethernet.
"""

from __future__ import annotations

import struct

from cloison.errors import EvidenceError

_FILE_HEADER = 24
_RECORD_HEADER = 16
_ETHERNET = 1
_SNAP_LIMIT = 262_144
_MAGICS = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\x3c\x4d": ">"}
_VLAN_TYPES = (0x8100, 0x88A8)
_TAGS_LIMIT = 2
_IPV4, _IPV6, _ARP = 0x0800, 0x86DD, 0x0806
_TCP, _UDP, _ICMP, _ESP, _ICMP6 = 6, 17, 1, 50, 58
# Length of what stands before the payload; ESP (RFC 4303): security parameters index and sequence number.
_TRANSPORT = {_UDP: 8, _ICMP: 8, _ESP: 8, _ICMP6: 8}
_TCP_SHORTEST = 20
_IPV4_SHORTEST = 20
_FRAGMENT_OFFSET = 0x1FFF


def headers_only(pcap: bytes) -> bytes:
    """Return the capture with every packet cut after its last known header; lengths on the wire are kept.

    Raises EvidenceError when the file is not a whole classic pcap of Ethernet, or a record lies about its length.
    """
    order = _MAGICS.get(pcap[:4])
    if order is None or len(pcap) < _FILE_HEADER:
        msg = "a capture is not a pcap file; expected the classic format"
        raise EvidenceError(msg)
    link = struct.unpack_from(f"{order}I", pcap, 20)[0]
    if link != _ETHERNET:
        msg = f"a capture has link type {link}; expected {_ETHERNET}, Ethernet"
        raise EvidenceError(msg)
    out = [pcap[:_FILE_HEADER]]
    at = _FILE_HEADER
    while at < len(pcap):
        seconds, fraction, captured, wire = _record(pcap, at, order)
        start = at + _RECORD_HEADER
        at = start + captured
        if captured > min(wire, _SNAP_LIMIT) or at > len(pcap):
            msg = f"a capture is cut off or lies: a record of {captured} bytes before byte {len(pcap)}"
            raise EvidenceError(msg)
        kept = pcap[start : start + header_length(pcap[start:at])]
        out.append(struct.pack(f"{order}IIII", seconds, fraction, len(kept), wire) + kept)
    return b"".join(out)


def _record(pcap: bytes, at: int, order: str) -> tuple[int, int, int, int]:
    if at + _RECORD_HEADER > len(pcap):
        msg = f"a capture is cut off at byte {len(pcap)}; expected a whole record"
        raise EvidenceError(msg)
    seconds, fraction, captured, wire = struct.unpack_from(f"{order}IIII", pcap, at)
    return seconds, fraction, captured, wire


def header_length(frame: bytes) -> int:
    """Return how many bytes of an Ethernet frame are headers: link, at most two tags, network, transport."""
    at = 12
    for _ in range(_TAGS_LIMIT):
        if int.from_bytes(frame[at : at + 2]) in _VLAN_TYPES:
            at += 4
    kind = int.from_bytes(frame[at : at + 2])
    at += 2
    if kind == _IPV4:
        at += _after_ipv4(frame[at:])
    elif kind == _IPV6:
        at += 40 + _transport_length(frame[at + 6 : at + 7], frame[at + 40 :])
    elif kind == _ARP:
        at += 28
    return min(at, len(frame))


def _after_ipv4(packet: bytes) -> int:
    if len(packet) < _IPV4_SHORTEST:
        return len(packet)
    length = max(_IPV4_SHORTEST, (packet[0] & 0x0F) * 4)
    if int.from_bytes(packet[6:8]) & _FRAGMENT_OFFSET:
        # A later fragment starts with payload.
        return length
    return length + _transport_length(packet[9:10], packet[length:])


def _transport_length(protocol: bytes, segment: bytes) -> int:
    if protocol == bytes([_TCP]) and len(segment) >= _TCP_SHORTEST:
        return max(_TCP_SHORTEST, (segment[12] >> 4) * 4)
    return _TRANSPORT.get(protocol[0], 0) if protocol else 0
