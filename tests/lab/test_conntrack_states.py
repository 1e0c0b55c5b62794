"""What connection tracking says of first packets, against the kernel: every TCP flag, every ICMP type."""

import json
import re
import sys
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the other parts of this test stand beside it

from tests.lab.filter_packets import datagrams

from cloison.prove.conntrack import first_packet_states
from cloison.prove.packet import ETHERNET_IPV4, ETHERNET_IPV6, FIELDS, UNTAGGED, Connection, Frames
from cloison.prove.space import Packet
from cloison.transport.local import LocalRunner

pytestmark = pytest.mark.lab

SENDER = Path(__file__).with_name("first_packets.py")
ENDS = {
    ETHERNET_IPV4: (int(IPv4Address("10.9.0.0")), int(IPv4Address("10.9.255.1"))),
    ETHERNET_IPV6: (int(IPv6Address("2001:db8:9::")), int(IPv6Address("2001:db8:9::ffff"))),
}


def first_packets() -> list[Packet]:
    """Return packets of which each is the first of its connection: another source each."""
    found = []
    for kind, (source, destination) in ENDS.items():
        ipv4 = kind == ETHERNET_IPV4
        fixed = {
            "ethernet_type": kind, "tag": UNTAGGED, "inner_tag": UNTAGGED, "destination": destination,
            "header_length": 5 if ipv4 else 0,
        }  # fmt: skip
        told = [{"protocol": 6, "tcp_flags": flags, "source_port": 9, "destination_port": 80} for flags in range(256)]
        told += [{"protocol": 1 if ipv4 else 58, "destination_port": number} for number in range(256)]
        told += [{"protocol": 17, "source_port": 9, "destination_port": 53}]
        told += [{"protocol": number} for number in (47, 50, 99, 58 if ipv4 else 1)]
        empty = dict.fromkeys((field.name for field in FIELDS), 0)
        found += [empty | fixed | {"source": source + index + 1} | one for index, one in enumerate(told)]
    return found


@pytest.mark.parametrize("loose", [True, False])
def test_first_packets_get_the_state_that_is_told(*, loose: bool) -> None:
    frames = Frames()
    told = first_packet_states(frames, tcp_loose=loose)
    packets = first_packets()
    given = [(packet["ethernet_type"], datagrams(packet, number)[0].hex()) for number, packet in enumerate(packets, 1)]
    words = ["unshare", "--net", sys.executable, str(SENDER), str(int(loose))]
    done = LocalRunner().run(words, stdin=json.dumps(given).encode(), timeout=60.0)
    assert done.exit_status == 0, done.stderr.decode()
    states = {int(number): state for number, state in re.findall(r"(\d+) \. (\w+)", done.text)}
    wrong = []
    for number, packet in enumerate(packets, 1):
        state = states.get(number if packet["ethernet_type"] == ETHERNET_IPV4 else number << 1, "missing")
        proved = [one.name.lower() for one in Connection if {**packet, "connection": int(one)} in told]
        if proved != [state]:
            wrong.append((packet["protocol"], packet["destination_port"], packet["tcp_flags"], proved, state))
    assert wrong == []
    assert {"new", "invalid", "untracked"} <= set(states.values())
