"""Hears packets on one interface, or past the input filter of one host, without losing any unnoticed.

Sockets are AF_PACKET (packet(7)): made with protocol 0, given their filter, then bound, so that nothing unfiltered
slips in; sized so that a reader that never reads loses nothing; and asked for their count of drops.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.probe.craft import ETHERNET_BYTES, MAGIC
from cloison.probe.pcap import HEADER_BYTES
from cloison.transport.namespace import open_socket_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Constants of linux/if_packet.h, linux/if_ether.h and asm-generic/socket.h that the socket module lacks.
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_AUXDATA = 263, 6, 8
_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SO_MEMINFO = 26, 33, 35, 55
_TP_STATUS_VLAN_VALID = 0x10
_AUXDATA = struct.Struct("=IIIHHHH")
_TIMESPEC = struct.Struct("=qq")
_MEMINFO_DROPS = 8
BYTES_A_PACKET = 1024
"""Receive buffer for each packet that could come: one takes 832 bytes of it on a veth (measured), whatever its size."""
_LEAST_BUFFER = 1 << 20

Instruction = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Captured:
    """One packet as it was heard."""

    nanoseconds: int
    """Since the epoch, by the kernel."""
    interface: str
    """Empty when it was heard past the input filter."""
    outgoing: bool
    vlan: int | None
    """The tag that the kernel took off on receipt; a tag on a sent frame stands in the bytes instead."""
    length: int
    """Of the whole packet, in bytes."""
    data: bytes
    """Its first HEADER_BYTES bytes."""
    ethernet: bool
    """Whether they begin with an Ethernet header; with an IP header otherwise."""


def everything(kept: int = HEADER_BYTES) -> list[Instruction]:
    """Return a classic BPF program that keeps the first bytes of every packet."""
    return [(0x06, 0, 0, kept)]


def probes_of(nonce: bytes, at: int) -> list[Instruction]:
    """Return a classic BPF program that keeps IPv4 packets whose payload begins with the magic and this nonce.

    `at` is where the IP header begins: ETHERNET_BYTES, or 0. The payload is 8 bytes after UDP and ICMP headers begin,
    and after the data offset of TCP.
    """
    words = struct.unpack("!4I", MAGIC + nonce)
    head: list[Instruction] = (
        [(0x28, 0, 0, 12), (0x15, 0, 0, _ETH_P_IP)]  # ldh [12]; jeq ipv4
        if at
        else [(0x30, 0, 0, 0), (0x54, 0, 0, 0xF0), (0x15, 0, 0, 0x40)]  # ldb [0]; and #0xf0; jeq version 4
    )
    body: list[Instruction] = [
        (0xB1, 0, 0, at),  # ldxb 4*([at] & 0xf): length of the IP header
        (0x30, 0, 0, at + 9),  # ldb [at + 9]: protocol
        (0x15, 0, 4, 6),  # jeq TCP, or skip four
        (0x50, 0, 0, at + 12),  # ldb [x + at + 12]: data offset, in its high half
        (0x74, 0, 0, 4),  # rsh 4
        (0x64, 0, 0, 2),  # lsh 2
        (0x05, 0, 0, 1),  # ja over the next
        (0x00, 0, 0, 8),  # ld #8
        (0x0C, 0, 0, 0),  # add x
        (0x07, 0, 0, 0),  # tax
    ]
    for index, word in enumerate(words):
        body += [(0x40, 0, 0, at + 4 * index), (0x15, 0, 0, word)]  # ld [x + at + 4i]; jeq word
    program = [*head, *body, (0x06, 0, 0, HEADER_BYTES), (0x06, 0, 0, 0)]
    last = len(program) - 1
    # Every comparison but that of the protocol, when false, goes to the last instruction, which refuses.
    return [
        (code, yes, last - index - 1, value) if code == 0x15 and (yes, no) == (0, 0) else (code, yes, no, value)  # noqa: PLR2004
        for index, (code, yes, no, value) in enumerate(program)
    ]


def attach_filter(sock: socket.socket, program: Sequence[Instruction]) -> None:
    """Let only what the program keeps into the socket (SO_ATTACH_FILTER)."""
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(buffer)))


class Capture:
    """One open ear. Close it last: closing an AF_PACKET socket takes 13 ms."""

    def __init__(self, sock: socket.socket, *, ethernet: bool, shows_arrival: bool = True) -> None:
        self.socket = sock
        self.ethernet = ethernet
        self.shows_arrival = shows_arrival
        """Whether what it hears coming in has arrived there; a host that forwards hears what only passes by."""
        self._drops = 0
        self.broken = ""
        """Why it may have missed something; empty while it has not."""

    @classmethod
    def on_link(
        cls,
        namespace: int,
        interface: str,
        program: Sequence[Instruction],
        expected: int,
        *,
        shows_arrival: bool = True,
    ) -> Capture:
        """Hear one interface, both directions, before any filter of its host; OSError when it cannot be opened."""
        sock = open_socket_in(namespace, socket.AF_PACKET, socket.SOCK_RAW)
        return cls(prepared(sock, program, expected, interface), ethernet=True, shows_arrival=shows_arrival)

    @classmethod
    def on_every_link(cls, namespace: int, program: Sequence[Instruction], expected: int) -> Capture:
        """Hear all interfaces of a host from the IP header on, tunnels among them."""
        # Bound to no interface, it hears from its first instant: what comes before the filter is told apart later.
        sock = open_socket_in(namespace, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
        return cls(prepared(sock, program, expected), ethernet=False, shows_arrival=False)

    @classmethod
    def past_filter(cls, namespace: int, protocol: int, program: Sequence[Instruction], expected: int) -> Capture:
        """Hear what a host takes in for itself: a raw IP socket gets its copy after the input hook (raw(7))."""
        sock = open_socket_in(namespace, socket.AF_INET, socket.SOCK_RAW, protocol)
        return cls(prepared(sock, program, expected), ethernet=False)

    @property
    def header_at(self) -> int:
        """Where the IP header of a captured packet begins."""
        return ETHERNET_BYTES if self.ethernet else 0

    def drain(self) -> Iterator[Captured]:
        """Yield what has come since the last time."""
        while True:
            try:
                data, ancillary, _, address = self.socket.recvmsg(2048, 256)
            except BlockingIOError:
                return
            except OSError as error:
                # The interface is down, went down, or away: what comes later was not heard either.
                self.broken = error.strerror or str(error)
                return
            yield self._captured(data, ancillary, address)

    def _captured(
        self, data: bytes, ancillary: list[tuple[int, int, bytes]], address: tuple[str | int, ...]
    ) -> Captured:
        when, vlan, length = time.time_ns(), None, len(data)
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                seconds, rest = _TIMESPEC.unpack_from(value)
                when = seconds * 1_000_000_000 + rest
            elif level == _SOL_PACKET and kind == _PACKET_AUXDATA:
                status, length, _, _, _, tag, _ = _AUXDATA.unpack_from(value)
                vlan = tag & 0xFFF if status & _TP_STATUS_VLAN_VALID else None
        heard_on_packet_socket = self.socket.family == socket.AF_PACKET
        return Captured(
            nanoseconds=when,
            interface=str(address[0]) if heard_on_packet_socket else "",
            outgoing=heard_on_packet_socket and address[2] == socket.PACKET_OUTGOING,
            vlan=vlan,
            length=length,
            data=data,
            ethernet=self.ethernet,
        )

    def drops(self) -> int:
        """Return how many packets the kernel could not keep since the capture was opened."""
        if self.socket.family == socket.AF_PACKET:
            # Reading the statistics sets them back to nothing.
            self._drops += struct.unpack("=II", self.socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
            return self._drops
        memory = self.socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_MEMINFO_DROPS + 1))
        return int(struct.unpack(f"={_MEMINFO_DROPS + 1}I", memory)[_MEMINFO_DROPS])

    def close(self) -> None:
        """Stop hearing."""
        self.socket.close()


def prepared(
    sock: socket.socket, program: Sequence[Instruction], expected: int, interface: str | None = None
) -> socket.socket:
    """Return the socket with its filter, a buffer for all that could come, the kernel's times, bound.

    Raises OSError, the socket closed.
    """
    try:
        attach_filter(sock, program)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, max(_LEAST_BUFFER, expected * BYTES_A_PACKET))
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.settimeout(0)
        if sock.family == socket.AF_PACKET:
            sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        if interface is not None:
            sock.bind((interface, _ETH_P_ALL))
    except OSError:
        sock.close()
        raise
    return sock
