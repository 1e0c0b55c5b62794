"""Frames from their fields against Scapy, which reads them: each field is where it belongs, and the sums are right."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, defragment
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from cloison.probe.witness_frame import UNTAGGED, WitnessFrame, frames_of

BODY = b"Cloison!" + bytes(range(16))
HERE, THERE = 0x020000000111, 0x020000000222
FRAME = WitnessFrame(
    ethernet_type=0x0800,
    mac_source=HERE,
    mac_destination=THERE,
    source=int(IPv4Address("10.56.1.82")),
    destination=int(IPv4Address("10.56.1.34")),
    protocol=6,
    destination_port=443,
    source_port=40000,
    tcp_flags=2,
)


def read(frame: WitnessFrame) -> Packet:
    (data,) = frames_of(frame, BODY)
    return Ether(data)


def sums_are_right(packet: Packet) -> bool:
    """Tell whether Scapy, left to compute every checksum and length itself, makes the same bytes."""
    again = packet.copy()
    for layer, names in ((IP, ("chksum", "len")), (TCP, ("chksum",)), (UDP, ("chksum", "len")), (ICMP, ("chksum",))):
        if layer in again:
            for name in names:
                delattr(again[layer], name)
    if ICMPv6EchoRequest in again:
        del again[ICMPv6EchoRequest].cksum
    return bytes(again) == bytes(packet)


def test_a_first_packet_of_tcp() -> None:
    packet = read(FRAME)
    assert (packet[Ether].src, packet[Ether].dst) == ("02:00:00:00:01:11", "02:00:00:00:02:22")
    assert (packet[IP].src, packet[IP].dst, packet[IP].ihl) == ("10.56.1.82", "10.56.1.34", 5)
    assert (packet[TCP].sport, packet[TCP].dport, packet[TCP].flags) == (40000, 443, "S")
    assert bytes(packet[Raw]) == BODY
    assert sums_are_right(packet)


@pytest.mark.parametrize(
    ("tag", "inner", "expected"),
    [(UNTAGGED, UNTAGGED, []), (0, UNTAGGED, [0]), (111, UNTAGGED, [111]), (0, 150, [0, 150])],
)
def test_tags_are_in_their_order(tag: int, inner: int, expected: list[int]) -> None:
    packet = read(replace(FRAME, tag=tag, inner_tag=inner))
    found = []
    layer = packet.getlayer(Dot1Q)
    while isinstance(layer, Dot1Q):
        found.append(layer.vlan)
        layer = layer.payload
    assert found == expected
    assert packet[TCP].dport == 443


def test_options_are_of_the_length_that_is_asked_for() -> None:
    packet = read(replace(FRAME, header_length=8))
    assert packet[IP].ihl == 8
    assert [option.option for option in packet[IP].options] == [1] * 12
    assert packet[TCP].dport == 443
    assert sums_are_right(packet)


def test_udp_icmp_and_what_has_no_ports() -> None:
    datagram = read(replace(FRAME, protocol=17, tcp_flags=0, destination_port=123))
    assert (datagram[UDP].dport, bytes(datagram[Raw])) == (123, BODY)
    assert sums_are_right(datagram)
    echo = read(replace(FRAME, protocol=1, tcp_flags=0, destination_port=8, source_port=0))
    assert (echo[ICMP].type, echo[ICMP].code) == (8, 0)
    assert sums_are_right(echo)
    other = read(replace(FRAME, protocol=47, tcp_flags=0, destination_port=0, source_port=0))
    assert (other[IP].proto, bytes(other)[34:]) == (47, BODY)


def test_ipv6_and_its_icmp() -> None:
    six = replace(
        FRAME, ethernet_type=0x86DD, source=int(IPv6Address("fe80::1")), destination=int(IPv6Address("fe80::2"))
    )
    packet = read(six)
    assert (packet[IPv6].src, packet[IPv6].dst, packet[TCP].dport) == ("fe80::1", "fe80::2", 443)
    assert sums_are_right(packet)
    echo = read(replace(six, protocol=58, tcp_flags=0, destination_port=128, source_port=0))
    assert ICMPv6EchoRequest in echo
    assert sums_are_right(echo)


def test_arp_keeps_its_fields_and_what_follows_them() -> None:
    packet = read(replace(FRAME, ethernet_type=0x0806, protocol=2, arp_sender_mac=HERE, arp_target_mac=THERE))
    assert (packet[ARP].op, packet[ARP].hwsrc, packet[ARP].psrc) == (2, "02:00:00:00:01:11", "10.56.1.82")
    assert (packet[ARP].hwdst, packet[ARP].pdst) == ("02:00:00:00:02:22", "10.56.1.34")
    assert bytes(packet).endswith(BODY)


def test_any_other_type_carries_the_body_alone() -> None:
    assert frames_of(replace(FRAME, ethernet_type=0x88CC), BODY)[0].endswith(b"\x88\xcc" + BODY)


@pytest.mark.parametrize("protocol", [6, 17, 1])
@pytest.mark.parametrize("fragment", [1, 2])
def test_a_fragment_comes_with_the_rest_of_its_datagram(protocol: int, fragment: int) -> None:
    port = 8 if protocol == 1 else 443
    source = 0 if protocol == 1 else 40000
    whole_frame = replace(FRAME, protocol=protocol, destination_port=port, source_port=source)
    one, two = map(Ether, frames_of(replace(whole_frame, fragment=fragment), BODY))
    assert (one[IP].flags, one[IP].frag, two[IP].flags) == ("MF", 0, 0)
    assert len(one[IP].payload) == two[IP].frag * 8
    assert (BODY in bytes(one), BODY in bytes(two)) == (fragment == 1, fragment == 2)
    (whole,) = defragment([one, two])  # type: ignore[no-untyped-call]
    assert sums_are_right(Ether(bytes(whole)))


def test_a_fragment_of_ipv6_has_its_header() -> None:
    one, two = map(Ether, frames_of(replace(FRAME, ethernet_type=0x86DD, fragment=1), BODY))
    assert (one[IPv6ExtHdrFragment].m, one[IPv6ExtHdrFragment].nh, two[IPv6ExtHdrFragment].offset) == (1, 6, 8)
