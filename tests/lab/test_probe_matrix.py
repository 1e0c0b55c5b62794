"""The probe engine against a small network whose filter is known: four hosts and a router, nothing else running."""

import ctypes
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from random import SystemRandom

import pytest

from cloison.flow import Endpoint, Flow, Protocol, Purpose, Service
from cloison.model import EquipmentName, Name
from cloison.probe.matrix import Matrix, Observation, Pace
from cloison.probe.question import Packet, PacketKind, Probe, Way
from cloison.probe.vantage import Attachment, CableEnd
from cloison.transport.local import LocalRunner

pytestmark = pytest.mark.lab

ROUTER, LEFT, RIGHT, SIDE = (EquipmentName(f"site/{name}") for name in ("router", "left", "right", "side"))
ADDRESS = {
    ROUTER: IPv4Address("10.99.1.1"),
    LEFT: IPv4Address("10.99.1.2"),
    SIDE: IPv4Address("10.99.1.3"),
    RIGHT: IPv4Address("10.99.2.2"),
}
QUICK = Pace(settle_seconds=1.2, warm_seconds=1.0, rounds=2)
FILTER = """
table inet f {
    chain forward { type filter hook forward priority 0; policy drop;
        ct state established accept
        ip saddr 10.99.1.2 ip daddr 10.99.2.2 tcp dport 443 tcp flags & (syn | ack) == syn accept
        ip saddr 10.99.1.2 ip daddr 10.99.1.3 udp dport 554 accept
    }
    chain input { type filter hook input priority 0; policy drop;
        udp dport 123 accept
    }
    chain output { type filter hook output priority 0; policy drop;
        udp dport 6514 accept
    }
}
"""


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


class Network:
    """left and side on one bridge of the router, right on another link of it."""

    def __init__(self) -> None:
        self.runner = LocalRunner()
        self.fds = {name: new_namespace() for name in (ROUTER, LEFT, SIDE, RIGHT)}
        self.inside(ROUTER, "ip", "link", "add", "lan", "type", "bridge")
        for name, port, gateway in ((LEFT, "p1", None), (SIDE, "p2", None), (RIGHT, "p3", "10.99.2.1/24")):
            self.link(name, port)
            if gateway is None:
                self.inside(ROUTER, "ip", "link", "set", port, "master", "lan")
            else:
                self.inside(ROUTER, "ip", "address", "add", gateway, "dev", port)
        self.inside(ROUTER, "ip", "address", "add", "10.99.1.1/24", "dev", "lan")
        self.inside(ROUTER, "ip", "link", "set", "lan", "up")
        self.inside(ROUTER, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.filter(FILTER)

    def inside(self, name: EquipmentName, *arguments: str, stdin: str = "") -> None:
        """Run a command in the network namespace of a node."""
        table = f"/proc/{os.getpid()}/fd/{self.fds[name]}"
        result = self.runner.run(["nsenter", f"--net={table}", *arguments], stdin=stdin.encode())
        assert result.exit_status == 0, result

    def link(self, name: EquipmentName, port: str) -> None:
        """Cable a host to a port of the router, with its address and its default route."""
        table = f"/proc/{os.getpid()}/fd/{self.fds[name]}"
        self.inside(ROUTER, "ip", "link", "add", port, "up", "type", "veth", "peer", "name", "eth0", "netns", table)
        self.inside(name, "ip", "address", "add", f"{ADDRESS[name]}/24", "dev", "eth0")
        self.inside(name, "ip", "link", "set", "eth0", "up")

    def filter(self, text: str) -> None:
        """Put a rule set on the router in place of what it has."""
        self.inside(ROUTER, "nft", "-f", "-", stdin="flush ruleset\n" + text)

    def attachments(self) -> list[Attachment]:
        """Return the vantage points."""
        ports = {LEFT: "p1", SIDE: "p2", RIGHT: "p3"}
        hosts = [
            Attachment(
                name,
                self.fds[name],
                "eth0",
                ADDRESS[name],
                IPv4Address("10.99.2.1" if name == RIGHT else "10.99.1.1"),
                CableEnd(self.fds[ROUTER], port),
            )
            for name, port in ports.items()
        ]
        return [*hosts, Attachment(ROUTER, self.fds[ROUTER], None, ADDRESS[ROUTER], None, None)]

    def observe(self, *probes: Probe) -> Observation:
        """Run a matrix of these probes."""
        with Matrix(self.attachments(), SystemRandom(), len(probes) * 8, QUICK) as matrix:
            return matrix.run(probes, self.runner)

    def close(self) -> None:
        """Let the kernel take it all away."""
        for fd in self.fds.values():
            os.close(fd)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.close()


def probe(source: EquipmentName, destination: EquipmentName, packet: str, *, expected: bool = False) -> Probe:
    """Return a probe by the text of its packet; `expected` invents a flow that authorises it."""
    kind, _, port = packet.partition("/")
    service = Service(name=Name("any"), protocol=Protocol.TCP, port=int(port or 1))
    flow = Flow(
        rule=Name("any"),
        source=Endpoint(name=source, address=ADDRESS[source]),
        destination=Endpoint(name=destination, address=ADDRESS[destination]),
        service=service,
        purpose=Purpose.MANAGE,
    )
    return Probe(
        source=source,
        destination=destination,
        sender=ADDRESS[source],
        target=ADDRESS[destination],
        way=Way.GATEWAY,
        packet=Packet(PacketKind(kind), int(port) if port else None),
        flow=flow if expected else None,
    )


def test_every_probe_arrives_where_the_filter_lets_it_and_nowhere_else(network: Network) -> None:
    let_in = [
        probe(LEFT, RIGHT, "tcp-syn/443", expected=True),
        probe(LEFT, ROUTER, "udp/123", expected=True),
        probe(ROUTER, RIGHT, "udp/6514", expected=True),
        replace(probe(LEFT, SIDE, "udp/554", expected=True), way=Way.NEIGHBOUR),
    ]
    refused = [
        probe(LEFT, RIGHT, "tcp-ack/443"),
        probe(LEFT, RIGHT, "tcp-syn/22"),
        probe(LEFT, RIGHT, "udp/443"),
        probe(LEFT, RIGHT, "icmp-echo"),
        probe(RIGHT, LEFT, "tcp-syn/443"),
        probe(SIDE, RIGHT, "tcp-syn/443"),
        probe(LEFT, ROUTER, "tcp-syn/22"),
        probe(LEFT, ROUTER, "icmp-echo"),
        probe(ROUTER, RIGHT, "tcp-syn/22"),
    ]
    observation = network.observe(*let_in, *refused)
    assert observation.closed == {}
    assert len(observation.rounds) == 1
    heard = {attempt.probe: attempt.heard_at for attempt in observation.rounds[0].tries}
    assert heard == {p: {p.destination} for p in let_in} | {p: set() for p in refused}
    assert observation.rounds[0].canaries == dict.fromkeys((LEFT, SIDE, RIGHT), (True, True))
    assert set(observation.rounds[0].drops.values()) == {0}
    left = {attempt.probe for attempt in observation.rounds[0].tries if attempt.left}
    assert left == {p for p in [*let_in, *refused] if p != refused[-1]}
    kept_in = [attempt for attempt in observation.rounds[0].tries if attempt.refused]
    assert [(attempt.probe, attempt.refused) for attempt in kept_in] == [(refused[-1], "Operation not permitted")]


def test_a_leak_is_asked_again_and_a_dead_path_too(network: Network) -> None:
    leak, dead = probe(RIGHT, LEFT, "udp/53"), probe(LEFT, RIGHT, "tcp-syn/443", expected=True)
    network.filter("table inet f { chain forward { type filter hook forward priority 0; tcp dport 443 drop; }; }")
    try:
        observation = network.observe(leak, dead, probe(SIDE, RIGHT, "tcp-syn/443"))
    finally:
        network.filter(FILTER)
    assert [{attempt.probe for attempt in attempts.tries} for attempts in observation.rounds] == [
        {leak, dead, probe(SIDE, RIGHT, "tcp-syn/443")},
        {leak, dead},
    ]
    numbers = [attempt.number for attempts in observation.rounds for attempt in attempts.tries]
    assert len(set(numbers)) == len(numbers) == 5
    assert {attempt.probe: attempt.delivered for attempt in observation.rounds[1].tries} == {leak: True, dead: False}


def test_a_vantage_point_that_is_not_there_is_said_to_be_closed(network: Network) -> None:
    gone = EquipmentName("site/gone")
    attachment = Attachment(gone, network.fds[LEFT], "eth7", ADDRESS[LEFT], None, None)
    with Matrix([attachment], SystemRandom(), 8, QUICK) as matrix:
        observation = matrix.run([], network.runner)
    assert observation.closed == {gone: "site/gone: eth7 cannot be opened: No such device"}


def test_a_vantage_point_whose_interface_is_down_breaks_nothing_but_itself(network: Network) -> None:
    network.inside(SIDE, "ip", "link", "set", "eth0", "down")
    try:
        good = probe(LEFT, RIGHT, "tcp-syn/443", expected=True)
        observation = network.observe(good, probe(SIDE, RIGHT, "udp/53"))
    finally:
        network.inside(SIDE, "ip", "link", "set", "eth0", "up")
    assert observation.closed == {SIDE: "site/side: the capture broke: Network is down"}
    attempts = {attempt.probe.source: attempt for attempt in observation.rounds[0].tries}
    assert attempts[LEFT].delivered
    assert (attempts[SIDE].unsent, attempts[SIDE].left) == ("the gateway of site/side does not answer ARP", False)
