"""Frames against Scapy, which builds them from their fields: ours are patched templates, and must be the same bytes."""

import contextlib
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from cloison.errors import ProbeError
from cloison.model import MacAddress
from cloison.probe.capture import Instruction, attach_filter, everything, probes_of
from cloison.probe.craft import (
    ETHERNET_BYTES,
    Template,
    arp_answer,
    arp_request,
    build,
    canary,
    finish,
    payload,
    read_number,
)
from cloison.probe.question import PacketKind
from cloison.transport.base import CommandResult
from cloison.transport.local import LocalRunner

NONCE = bytes(range(8))
HERE, THERE = MacAddress("02:00:00:00:00:01"), MacAddress("02:00:00:00:00:02")
LEFT, RIGHT = IPv4Address("10.99.1.2"), IPv4Address("10.99.2.2")
NUMBER = 0x1234_5678_9ABC
SEGMENTS: dict[PacketKind, Packet] = {
    PacketKind.TCP_SYN: TCP(sport=20001, dport=443, flags="S", window=64240, seq=NUMBER & 0xFFFFFFFF),
    PacketKind.TCP_ACK: TCP(sport=20001, dport=443, flags="A", window=64240, ack=1, seq=NUMBER & 0xFFFFFFFF),
    PacketKind.UDP: UDP(sport=20001, dport=443),
    PacketKind.ICMP_ECHO: ICMP(type=8, id=20001, seq=NUMBER & 0xFFFF),
}


def whole(segment: Packet) -> bytes:
    """Return the frame that Scapy makes of a segment."""
    packet = Ether(src=HERE, dst=THERE) / IP(src=str(LEFT), dst=str(RIGHT), flags="DF", ttl=64, id=NUMBER & 0xFFFF)
    return bytes(packet / segment / Raw(payload(NONCE, NUMBER)))


@pytest.fixture(scope="module")
def templates() -> dict[PacketKind, bytes]:
    wanted = {kind: Template(HERE, THERE, LEFT, RIGHT, kind) for kind in PacketKind}
    built = build(wanted.values(), LocalRunner())
    return {kind: built[template] for kind, template in wanted.items()}


@pytest.mark.parametrize("kind", PacketKind)
def test_finished_frame_is_byte_for_byte_what_scapy_makes(kind: PacketKind, templates: dict[PacketKind, bytes]) -> None:
    assert finish(templates[kind], (20001, 443), NUMBER, NONCE) == whole(SEGMENTS[kind])


@pytest.mark.parametrize("kind", PacketKind)
def test_number_is_read_back_with_and_without_the_ethernet_header(kind: PacketKind) -> None:
    frame = whole(SEGMENTS[kind])
    assert read_number(frame, ETHERNET_BYTES, NONCE) == NUMBER
    assert read_number(frame[ETHERNET_BYTES:], 0, NONCE) == NUMBER


def test_number_is_read_past_options_of_ip_and_tcp() -> None:
    segment = TCP(sport=1, dport=2, options=[("MSS", 1400), ("NOP", None), ("WScale", 7)])
    packet = Ether() / IP(src="10.0.0.1", dst="10.0.0.2", options=b"\x94\x04\0\0") / segment / payload(NONCE, 7)
    assert read_number(bytes(packet), ETHERNET_BYTES, NONCE) == 7


@pytest.mark.parametrize(
    "packet",
    [
        IP() / UDP() / payload(bytes(8), 7),
        IP() / ICMP(type="echo-reply") / payload(NONCE, 7),
        IP() / ICMP(type="dest-unreach") / IP() / UDP() / payload(NONCE, 7),
        IP() / UDP() / (b"x" + payload(NONCE, 7)),
        IP() / UDP() / payload(NONCE, 7)[:-1],
        IP(proto=47) / payload(NONCE, 7),
        IP() / TCP(),
        IP(),
    ],
    ids=lambda packet: packet.summary(),
)
def test_what_is_no_probe_of_this_run_has_no_number(packet: Packet) -> None:
    assert read_number(bytes(packet), 0, NONCE) is None
    assert read_number(bytes(packet)[:19], 0, NONCE) is None


def test_canary_is_a_correct_datagram_to_its_receiver() -> None:
    frame = Ether(canary(THERE, RIGHT, NUMBER, NONCE))
    assert (frame.dst, frame[IP].dst, frame[UDP].dport) == (THERE, str(RIGHT), 9)
    assert int(IPv4Address(frame[IP].src)) == 0
    rebuilt = frame.copy()
    del rebuilt[IP].chksum
    assert bytes(rebuilt) == bytes(frame)
    assert read_number(bytes(frame), ETHERNET_BYTES, NONCE) == NUMBER


def test_arp_question_and_answer() -> None:
    asked = Ether(arp_request(bytes.fromhex(HERE.replace(":", "")), LEFT, RIGHT))
    assert (asked.dst, asked[ARP].op, asked[ARP].psrc, asked[ARP].pdst) == (
        "ff:ff:ff:ff:ff:ff",
        1,
        str(LEFT),
        str(RIGHT),
    )
    reply = bytes(Ether(src=THERE) / ARP(op=2, hwsrc=THERE, psrc=str(RIGHT), pdst=str(LEFT)))
    assert arp_answer(reply, RIGHT) == bytes.fromhex(THERE.replace(":", ""))
    assert arp_answer(reply, LEFT) is None
    assert arp_answer(bytes(asked), LEFT) is None
    assert arp_answer(reply[:30], RIGHT) is None


def test_a_scapy_process_that_fails_says_what_is_missing() -> None:
    class Broken(LocalRunner):
        def run(self, *_: object, **__: object) -> CommandResult:
            return CommandResult(1, b"", b"Traceback\nModuleNotFoundError: No module named 'scapy'\n")

    with pytest.raises(ProbeError, match="No module named 'scapy'; expected Scapy to be installed"):
        build([Template(HERE, THERE, LEFT, RIGHT, PacketKind.UDP)], Broken())


def kept(program: Sequence[Instruction], packet: bytes) -> int:
    """Return how many bytes of a packet the kernel keeps under this filter: a datagram socket takes one too."""
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with sender, receiver:
        attach_filter(receiver, program)
        receiver.settimeout(0)
        with contextlib.suppress(OSError):  # the sender is told that nothing of it was kept
            sender.send(packet)
        try:
            return len(receiver.recv(2048))
        except BlockingIOError:
            return 0


@pytest.mark.parametrize("kind", PacketKind)
@pytest.mark.parametrize("at", [0, ETHERNET_BYTES])
def test_filter_keeps_the_probes_of_its_run_alone(kind: PacketKind, at: int) -> None:
    packet = whole(SEGMENTS[kind])[ETHERNET_BYTES - at :]
    assert kept(probes_of(NONCE, at), packet + bytes(96)) == 96
    assert kept(probes_of(NONCE[:-1] + b"\xff", at), packet) == 0
    assert kept(probes_of(NONCE, at), packet[:-9]) == 0
    assert kept(everything(), packet + bytes(96)) == 96
    other = bytes(Ether(type=0x86DD)) + packet[at:] if at else b"\x60" + packet[1:]
    assert kept(probes_of(NONCE, at), other) == 0
