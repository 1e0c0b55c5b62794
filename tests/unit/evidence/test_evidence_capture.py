import struct

import pytest

from cloison.errors import EvidenceError
from cloison.evidence.capture import headers_only

ETHERNET = bytes.fromhex("020000000111 020000000222".replace(" ", ""))
TCP = struct.pack("!HHIIBBHHH", 40000, 8322, 1, 2, 5 << 4, 0x18, 512, 0, 0)
SECRET = b"Authorization: Basic c2VjcmV0"


def ipv4(protocol: int, payload: bytes, *, offset: int = 0, options: bytes = b"") -> bytes:
    length = 20 + len(options)
    head = struct.pack("!BBHHHBBH", 0x40 | length // 4, 0, length + len(payload), 7, offset, 64, protocol, 0)
    return head + bytes([10, 56, 2, 2, 10, 56, 1, 50]) + options + payload


def frame(kind: int, packet: bytes, *tags: int) -> bytes:
    tagged = b"".join(struct.pack("!HH", 0x8100, tag) for tag in tags)
    return ETHERNET + tagged + struct.pack("!H", kind) + packet


def pcap(*frames: bytes, order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1) -> bytes:
    out = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for item in frames:
        out += struct.pack(f"{order}IIII", 1, 2, len(item), len(item) + 10) + item
    return out


@pytest.mark.parametrize(
    ("item", "kept"),
    [
        pytest.param(frame(0x0800, ipv4(6, TCP + SECRET)), 14 + 20 + 20, id="tcp"),
        pytest.param(frame(0x0800, ipv4(6, TCP + SECRET), 110), 18 + 20 + 20, id="tcp-in-a-vlan"),
        pytest.param(frame(0x0800, ipv4(6, TCP + SECRET), 999, 110), 22 + 20 + 20, id="tcp-in-two-tags"),
        pytest.param(frame(0x0800, ipv4(6, TCP + SECRET, options=b"\x01" * 4)), 14 + 24 + 20, id="ip-options"),
        pytest.param(frame(0x0800, ipv4(17, bytes(8) + SECRET)), 14 + 20 + 8, id="udp"),
        pytest.param(frame(0x0800, ipv4(1, bytes(8) + SECRET)), 14 + 20 + 8, id="icmp"),
        pytest.param(frame(0x0800, ipv4(50, bytes(8) + SECRET)), 14 + 20 + 8, id="esp"),
        pytest.param(frame(0x0800, ipv4(6, SECRET + SECRET, offset=3)), 14 + 20, id="later-fragment"),
        pytest.param(frame(0x0800, ipv4(132, SECRET)), 14 + 20, id="unknown-transport"),
        pytest.param(frame(0x86DD, bytes(6) + b"\x11" + bytes(33) + bytes(8) + SECRET), 14 + 40 + 8, id="ipv6-udp"),
        pytest.param(frame(0x0806, bytes(28) + SECRET), 14 + 28, id="arp"),
        pytest.param(frame(0x88CC, SECRET), 14, id="unknown-kind"),
        pytest.param(ETHERNET[:9], 9, id="runt"),
    ],
)
@pytest.mark.parametrize(("order", "magic"), [("<", 0xA1B2C3D4), (">", 0xA1B2C3D4), ("<", 0xA1B23C4D)])
def test_a_packet_is_cut_after_its_headers(item: bytes, kept: int, order: str, magic: int) -> None:
    found = headers_only(pcap(item, order=order, magic=magic))
    assert SECRET not in found
    assert struct.unpack_from(f"{order}IIII", found, 24) == (1, 2, kept, len(item) + 10)
    assert found[40:] == item[:kept]
    assert headers_only(found) == found


def test_every_packet_of_a_capture_is_kept() -> None:
    assert len(headers_only(pcap(*[frame(0x88CC, SECRET)] * 3))) == 24 + 3 * (16 + 14)


WHOLE = pcap(frame(0x88CC, SECRET))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x0a\x0d\x0d\x0a" + bytes(40), id="pcapng"),
        pytest.param(pcap(link=113), id="cooked"),
        pytest.param(WHOLE[:-1], id="cut-in-a-packet"),
        pytest.param(WHOLE[:30], id="cut-in-a-record"),
        pytest.param(WHOLE[:32] + struct.pack("<II", 2**31 - 1, 2**31 - 1) + WHOLE[40:], id="lying-length"),
        pytest.param(WHOLE[:36] + struct.pack("<I", 1) + WHOLE[40:], id="more-captured-than-on-the-wire"),
    ],
)
def test_a_capture_that_lies_is_refused(content: bytes) -> None:
    with pytest.raises(EvidenceError, match="capture"):
        headers_only(content)
