"""Witnesses over one real cable: what arrives, what a filter drops, what is tagged, what an ear cannot hear."""

from __future__ import annotations

import ctypes
import os
import threading
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from random import SystemRandom
from typing import TYPE_CHECKING

import pytest

from cloison.errors import ProbeError
from cloison.probe.vantage import CableEnd
from cloison.probe.witness import Ear, Fate, Outlet, Patience, Trial, quoted, try_all
from cloison.probe.witness_frame import ICMP, UDP, WitnessFrame, frames_of
from cloison.transport.local import LocalRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab
QUICK = Patience(silence_seconds=0.5, tries=2)
LEFT_MAC, RIGHT_MAC = 0x020000000001, 0x020000000002
FILTER = (
    "table inet f {\n chain input {\n type filter hook input priority 0; policy drop;\n tcp dport 22 accept\n }\n}\n"
)
FRAME = WitnessFrame(
    ethernet_type=0x0800,
    mac_source=LEFT_MAC,
    mac_destination=RIGHT_MAC,
    source=int(IPv4Address("10.99.1.1")),
    destination=int(IPv4Address("10.99.1.2")),
    protocol=6,
    destination_port=22,
    source_port=40000,
    tcp_flags=2,
)


def new_namespace() -> int:
    """Return a descriptor of a new network namespace, which lives as long as something refers to it."""
    found: list[int] = []

    def make() -> None:
        assert ctypes.CDLL(None, use_errno=True).unshare(0x40000000) == 0
        found.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return found[0]


@dataclass(frozen=True)
class Cable:
    """Two hosts on one cable; the right one has an input filter."""

    left: int
    right: int

    def inside(self, descriptor: int, *arguments: str, stdin: str = "") -> None:
        """Run a command in one of the two namespaces."""
        command = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{descriptor}", *arguments]
        result = LocalRunner().run(command, stdin=stdin.encode())
        assert result.exit_status == 0, result

    @property
    def out(self) -> Outlet:
        """The left host's end."""
        return Outlet(self.left, "eth0")

    @property
    def ear(self) -> Ear:
        """The right host's end."""
        return Ear(self.right, "eth0", CableEnd(self.left, "eth0"))

    def fate(self, frame: WitnessFrame, ear: Ear, *, arrives: bool, out: Outlet | None = None) -> Fate:
        """Send one frame from the left host."""
        (outcome,) = try_all([Trial(frame, (out or self.out,), (ear,), arrives)], SystemRandom(), QUICK)
        return outcome.fate


@pytest.fixture
def cable() -> Iterator[Cable]:
    made = Cable(new_namespace(), new_namespace())
    right = f"/proc/{os.getpid()}/fd/{made.right}"
    link = "ip link add eth0 address 02:00:00:00:00:01 type veth peer eth0 address 02:00:00:00:00:02 netns"
    made.inside(made.left, *link.split(), right)
    for descriptor, address in ((made.left, "10.99.1.1/24"), (made.right, "10.99.1.2/24")):
        made.inside(descriptor, "ip", "address", "add", address, "dev", "eth0")
        made.inside(descriptor, "ip", "link", "set", "eth0", "up")
    made.inside(made.right, "nft", "-f", "-", stdin=FILTER)
    yield made
    os.close(made.left)
    os.close(made.right)


def test_a_frame_on_the_cable_is_heard_and_one_to_nowhere_is_not(cable: Cable) -> None:
    assert cable.fate(FRAME, cable.ear, arrives=True) is Fate.ARRIVED
    own = Ear(cable.left, "eth0", CableEnd(cable.right, "eth0"))
    assert cable.fate(FRAME, own, arrives=False) is Fate.LOST  # it left there, and came in nowhere


def test_a_host_hears_what_its_filter_lets_in_and_nothing_else(cable: Cable) -> None:
    past = Ear(cable.right, None)
    assert cable.fate(FRAME, past, arrives=True) is Fate.ARRIVED
    assert cable.fate(replace(FRAME, destination_port=23), past, arrives=False) is Fate.LOST
    assert cable.fate(replace(FRAME, protocol=UDP, tcp_flags=0), past, arrives=False) is Fate.LOST


def test_a_router_gets_a_copy_for_each_of_its_addresses(cable: Cable) -> None:
    past, elsewhere = Ear(cable.right, None), replace(FRAME, mac_destination=0x020000000099)
    assert cable.fate(elsewhere, past, arrives=False) is Fate.LOST
    copies = Outlet(cable.left, "eth0", (0x020000000098, RIGHT_MAC))
    assert cable.fate(elsewhere, past, arrives=True, out=copies) is Fate.ARRIVED


def test_a_host_sends_by_its_own_stack_and_its_filter_may_refuse(cable: Cable) -> None:
    stack = Outlet(cable.left, None)
    assert cable.fate(FRAME, cable.ear, arrives=True, out=stack) is Fate.ARRIVED
    drop = "table inet f {\n chain output {\n type filter hook output priority 0; policy drop;\n }\n}\n"
    cable.inside(cable.left, "nft", "-f", "-", stdin=drop)
    (outcome,) = try_all([Trial(FRAME, (stack,), (cable.ear,), arrives=False)], SystemRandom(), QUICK)
    assert outcome.fate is Fate.LOST
    assert "refuses" in outcome.why


def test_a_tag_counts_where_the_ear_takes_tags(cable: Cable) -> None:
    tagged, plain = replace(FRAME, tag=110), replace(cable.ear, takes_tags=False)
    assert cable.fate(tagged, cable.ear, arrives=True) is Fate.ARRIVED
    assert cable.fate(tagged, plain, arrives=False) is Fate.LOST
    assert cable.fate(replace(FRAME, tag=0), plain, arrives=True) is Fate.ARRIVED


def test_what_has_no_payload_of_its_own_is_known_again(cable: Cable) -> None:
    for frame in (
        replace(FRAME, ethernet_type=0x0806, protocol=1, arp_sender_mac=LEFT_MAC),
        replace(FRAME, ethernet_type=0x88CC),
        replace(FRAME, fragment=2, destination_port=0, source_port=0, tcp_flags=0),
        replace(FRAME, header_length=15, tag=0, inner_tag=150),
        replace(FRAME, protocol=ICMP, destination_port=8, source_port=0, tcp_flags=0),
    ):
        assert cable.fate(frame, cable.ear, arrives=True) is Fate.ARRIVED, frame


def test_an_ear_that_hears_nothing_says_nothing(cable: Cable) -> None:
    deaf = Ear(cable.left, "lo", CableEnd(cable.left, "eth0"))  # what is put on that cable comes out elsewhere
    (outcome,) = try_all([Trial(FRAME, (cable.out,), (deaf,), arrives=False)], SystemRandom(), QUICK)
    assert outcome.fate is Fate.UNTRIED
    assert "lo" in outcome.why


def test_one_frame_is_listened_for_at_several_places_and_sent_once(cable: Cable) -> None:
    trials = [
        Trial(FRAME, (cable.out,), (cable.ear,), arrives=True),
        Trial(FRAME, (cable.out,), (Ear(cable.right, None),), arrives=True),
        Trial(replace(FRAME, destination_port=23), (cable.out,), (Ear(cable.right, None),), arrives=False),
    ]
    fates = [outcome.fate for outcome in try_all(trials, SystemRandom(), QUICK)]
    assert fates == [Fate.ARRIVED, Fate.ARRIVED, Fate.LOST]


def test_an_interface_that_is_not_there_is_an_error(cable: Cable) -> None:
    with pytest.raises(ProbeError, match="eth9 cannot be listened to"):
        cable.fate(FRAME, Ear(cable.right, "eth9"), arrives=True)


def test_an_error_that_quotes_a_witness_is_no_arrival() -> None:
    body = b"Cloison!" + bytes(16)
    (inner,) = frames_of(FRAME, body)
    (error,) = frames_of(replace(FRAME, protocol=ICMP, destination_port=3, tcp_flags=0, source_port=0), inner[14:])
    (echo,) = frames_of(replace(FRAME, protocol=ICMP, destination_port=8, tcp_flags=0, source_port=0), body)
    assert quoted(error[: error.index(body)], ethernet=True)
    assert not quoted(echo[: echo.index(body)], ethernet=True)
    assert not quoted(inner[: inner.index(body)], ethernet=True)
