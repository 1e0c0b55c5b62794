"""What is told apart on the wide-area network, and packets made by hand: against Scapy, and a cipher of its own."""

import struct
from collections import Counter
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from random import SystemRandom

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet
from scapy.utils import PcapReader

from cloison.intent.load import load
from cloison.intent.network import Intent
from cloison.model import MacAddress
from cloison.probe.capture import Captured
from cloison.probe.carried import flows_through
from cloison.probe.craft import ethernet, payload, udp_packet
from cloison.probe.esp import SecurityAssociation, last_sequence, read_outbound
from cloison.probe.pcap import pcap_of
from cloison.probe.spoof import attempts
from cloison.probe.wide_area import Emissions, some

HERE, THERE, STRANGER = "192.0.2.2", "198.51.100.2", "203.0.113.99"
ENDS = frozenset({(IPv4Address(HERE), IPv4Address(THERE))})
INNER = IPv4Network("10.56.0.0/14")
MAC = MacAddress("02:00:00:00:00:01")


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(Path(__file__).parents[2])


def captured(packet: Packet | bytes, *, is_frame: bool = True, when: int = 0) -> Captured:
    """Return a packet as a tap would give it."""
    data = bytes(packet)
    return Captured(when, "site1", outgoing=False, vlan=None, length=len(data), data=data[:96], ethernet=is_frame)


def emitted(*packets: Packet) -> Emissions:
    found = Emissions()
    found.add([captured(Ether(src=MAC, dst=MAC) / packet) for packet in packets], INNER, ENDS)
    return found


def nat(body: bytes) -> Packet:
    return IP(src=HERE, dst=THERE) / UDP(sport=4500, dport=4500) / body


def test_ike_esp_and_arp_between_the_ends_are_what_should_be_there() -> None:
    esp = struct.pack("!II", 0xC9626251, 1) + bytes(64)
    ike = IP(src=HERE, dst=THERE) / UDP(sport=500, dport=500) / bytes(28)
    found = emitted(nat(esp), nat(esp), nat(bytes(4) + bytes(28)), ike, nat(b"\xff"), ARP())
    pair = (IPv4Address(HERE), IPv4Address(THERE))
    assert (found.clear, found.foreign) == ([], [])
    assert found.esp_packets == Counter({pair: 2})
    assert found.esp_bytes == Counter({pair: 2 * (20 + 8 + 72)})
    assert found.ike_packets == Counter({pair: 2})


@pytest.mark.parametrize(
    "packet",
    [
        IP(src="10.56.1.50", dst=THERE) / TCP(),
        IP(src=HERE, dst="10.56.3.18") / UDP() / b"log",
        IP(src=HERE, dst=STRANGER) / UDP() / payload(bytes(8), 1),
    ],
)
def test_an_inner_address_and_a_probe_are_in_clear(packet: Packet) -> None:
    found = emitted(packet)
    assert (len(found.clear), found.foreign) == (1, [])


@pytest.mark.parametrize(
    "packet",
    [
        IP(src=HERE, dst=STRANGER) / UDP(sport=500, dport=500) / bytes(28),
        IP(src=THERE, dst=HERE) / UDP(sport=4500, dport=4500) / bytes(28),
        IP(src=HERE, dst=THERE) / UDP(sport=4500, dport=53) / bytes(28),
        IP(src=HERE, dst=THERE) / ICMP() / bytes(28),
        IPv6() / UDP() / bytes(28),
    ],
)
def test_everything_else_is_foreign(packet: Packet) -> None:
    found = emitted(packet)
    assert (found.clear, len(found.foreign)) == ([], 1)
    assert not found.esp_packets


def test_many_are_told_as_some() -> None:
    assert some(list("abcdefg")) == "a; b; c; d; e, and 2 more"
    assert some(["a"]) == "a"


# --- ESP by hand ---------------------------------------------------------------------------------------------------

KEY = bytes(range(36))


@pytest.mark.parametrize("length", range(20, 28))
def test_esp_is_what_its_receiver_opens(length: int) -> None:
    packet = bytes(range(length))
    sealed, after = SecurityAssociation(0xC9626251, KEY, sequence=6).seal(packet)
    spi, sequence = struct.unpack("!II", sealed[:8])
    assert (spi, sequence, after.sequence) == (0xC9626251, 7, 7)
    opened = AESGCM(KEY[:32]).decrypt(KEY[32:] + sealed[8:16], sealed[16:], sealed[:8])
    pad, following = opened[-2], opened[-1]
    assert (following, len(opened) % 4) == (4, 0)
    assert opened[-2 - pad : -2] == bytes(range(1, pad + 1))
    assert opened[: -2 - pad] == packet


LOG = """\
13[CHD] CHILD_SA video{2} state change: INSTALLED => REKEYING
03[CHD] DH secret => 8 bytes @ 0x7f772c00bb70
03[CHD]    0: A2 9A 6E E6 00 30 3B 4A                          ..n..0;J
03[CHD] encryption initiator key => 36 bytes @ 0x7f772c00e7a0
03[CHD]    0: FE 1D 71 72 7B 47 B0 04 E0 68 28 A8 75 FE 36 7B  ..qr{G...h(.u.6{
03[CHD]   16: 27 79 79 00 A8 B6 54 01 00 76 9C C0 98 0D A3 CF  'yy...T..v......
03[CHD]   32: 7E F9 1D C7                                      ~...
03[CHD] encryption responder key => 36 bytes @ 0x7f772c0066a0
03[CHD]    0: FA CC DE AB C7 E1 C4 93 5C 36 C1 12 4E BE 44 E3  ........\\6..N.D.
03[CHD] adding inbound ESP SA
03[CHD]   SPI 0xf465b241, src 192.0.2.2 dst 198.51.100.2
03[CHD] adding outbound ESP SA
03[CHD]   SPI 0xc9626251, src 198.51.100.2 dst 192.0.2.2
"""


def test_keys_are_read_from_the_daemons_log() -> None:
    association = read_outbound(LOG)
    assert association is not None
    assert association.spi == 0xC9626251
    key = "fe1d71727b47b004e06828a875fe367b27797900a8b6540100769cc0980da3cf7ef91dc7"
    assert association.key.hex() == key
    assert key not in repr(association)


@pytest.mark.parametrize("log", ["", LOG.replace("outbound", "inbound"), LOG.replace("initiator key", "some key")])
def test_a_log_without_keys_gives_none(log: str) -> None:
    assert read_outbound(log) is None


def test_last_sequence_is_that_of_its_own_association() -> None:
    def esp(spi: int, sequence: int) -> Captured:
        packet = udp_packet(IPv4Address(HERE), IPv4Address(THERE), (4500, 4500), struct.pack("!II", spi, sequence))
        return captured(ethernet(MAC, MAC, packet))

    seen = [esp(1, 3), esp(1, 9), esp(1, 8), esp(2, 70)]
    assert (last_sequence(seen, 1), last_sequence(seen, 2), last_sequence(seen, 3)) == (9, 70, 0)


def test_only_what_another_tunnel_may_bring_is_tried(intent: Intent) -> None:
    tried = {tunnel.name: attempts(intent, tunnel) for tunnel in intent.tunnels}
    assert {name: [str(attempt.sender.firewall) for attempt in found] for name, found in tried.items()} == {
        "video-roussy-le-village--crisis-cell": ["crisis-cell/firewall"],
        "administration-roussy-le-village--operations-centre": [
            "roussy-le-village/firewall",
            "operations-centre/firewall",
        ],
        "administration-crisis-cell--operations-centre": ["crisis-cell/firewall"],
    }
    for tunnel in intent.tunnels:
        for attempt in tried[tunnel.name]:
            assert attempt.legal in flows_through(intent, tunnel)
            assert not set(attempt.foreign) & set(flows_through(intent, tunnel))
            assert not any(f.source.address in prefix for f in attempt.foreign for prefix in attempt.sender.selectors)


# --- captures --------------------------------------------------------------------------------------------------------


def test_capture_holds_headers_in_order_of_time(tmp_path: Path) -> None:
    first = Ether(src=MAC, dst=MAC) / IP(src=HERE, dst=THERE) / UDP() / bytes(200)
    second = IP(src=HERE, dst=STRANGER) / TCP()
    file = tmp_path / "a.pcap"
    moment = SystemRandom().randrange(10**18)
    packets = [captured(second, is_frame=False, when=moment + 1), captured(first, when=moment)]
    file.write_bytes(pcap_of(packets))
    with PcapReader(str(file)) as reader:
        read = list(reader)
    assert [packet[IP].dst for packet in read] == [THERE, STRANGER]
    assert [len(bytes(packet)) for packet in read] == [96, 14 + 40]
    assert [packet.wirelen for packet in read] == [len(bytes(first)), 14 + 40]
