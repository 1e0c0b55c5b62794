"""Tightened rules on a real router: the tracked connections that they refuse are deleted, and no other one is."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from cloison.model import EquipmentName
from cloison.prove.conversation import Weighed, weigh
from cloison.prove.parse.tracked import read_tracked
from cloison.transport.namespace import open_socket_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.conftest import Bench

    from cloison.lab.client import LabClient

pytestmark = pytest.mark.lab
LEFT, MIDDLE, RIGHT = (EquipmentName(f"here/{name}") for name in ("left", "middle", "right"))
ADDRESSES = {LEFT: "10.0.0.2", MIDDLE: "10.0.0.1", RIGHT: "10.0.1.2"}
INTERFACES = """\
sysctl net.ipv4.ip_forward=1
sysctl net.ipv4.conf.all.rp_filter=1
sysctl net.netfilter.nf_conntrack_tcp_loose=0
address replace 10.0.0.1/24 dev p1
link set dev p1 up
address replace 10.0.1.1/24 dev p2
link set dev p2 up
"""
WIDE = """\
table inet cloison {
	chain forward {
		type filter hook forward priority filter; policy accept;
		ct state invalid counter drop
	}
}
"""
TIGHT = """\
table inet cloison {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established counter accept
		iifname "p1" tcp dport 22 tcp flags & (fin | syn | rst | ack) == syn ct state new counter accept
		iifname "p1" icmp type echo-request counter accept
	}
	chain output {
		type filter hook output priority filter; policy drop;
		ct state established counter accept
		oifname "p2" ip daddr 10.0.1.2 tcp dport 8322 ct state new counter accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established counter accept
		iifname "p1" oifname "p2" ip saddr 10.0.0.2 tcp dport 8322 ct state new counter accept
	}
}
"""
TCP = {
    (LEFT, RIGHT, 8322): True,
    (LEFT, RIGHT, 8323): False,
    (LEFT, MIDDLE, 22): True,
    (LEFT, MIDDLE, 23): False,
    (MIDDLE, RIGHT, 8322): True,
    (MIDDLE, RIGHT, 8324): False,
}
"""Who speaks with whom, and whether the tightened rules let it."""


Ends = tuple[socket.socket, socket.socket]


class Talk:
    """Sessions through the router, with both their ends in this process."""

    def __init__(self, client: LabClient, undo: contextlib.ExitStack) -> None:
        self._net = {node: undo.enter_context(client.namespaces(node)).net for node in (LEFT, MIDDLE, RIGHT)}
        self._undo = undo
        self._listening: dict[tuple[EquipmentName, int], socket.socket] = {}
        self.ends = {talk: self._open(*talk) for talk in TCP}
        self.datagram = self.socket_at(LEFT, socket.SOCK_DGRAM)
        self.hearing = self.socket_at(RIGHT, socket.SOCK_DGRAM)
        self.hearing.bind((ADDRESSES[RIGHT], 5353))

    def socket_at(self, node: EquipmentName, kind: int) -> socket.socket:
        made = self._undo.enter_context(open_socket_in(self._net[node], socket.AF_INET, kind))
        made.settimeout(5.0)
        return made

    def _open(
        self, source: EquipmentName, destination: EquipmentName, port: int
    ) -> tuple[socket.socket, socket.socket]:
        if (destination, port) not in self._listening:
            listening = self._listening[destination, port] = self.socket_at(destination, socket.SOCK_STREAM)
            listening.bind((ADDRESSES[destination], port))
            listening.listen()
        calling = self.socket_at(source, socket.SOCK_STREAM)
        calling.connect((ADDRESSES[destination], port))
        answering = self._undo.enter_context(self._listening[destination, port].accept()[0])
        answering.settimeout(5.0)
        return calling, answering


@pytest.fixture
def router(bench: Bench) -> LabClient:
    client = bench.up()
    for name in ("net.ipv4.conf.all.rp_filter=1", "net.netfilter.nf_conntrack_tcp_loose=0"):
        assert client.run(MIDDLE, ["sysctl", "-w", name]).exit_status == 0
    return client


@pytest.fixture
def talk(router: LabClient) -> Iterator[Talk]:
    load(router, WIDE)
    with contextlib.ExitStack() as undo:
        yield Talk(router, undo)


def load(router: LabClient, text: str) -> None:
    done = router.run(MIDDLE, ["nft", "-f", "-"], f"flush ruleset\n{text}".encode())
    assert done.exit_status == 0, done.stderr


def listed(router: LabClient) -> str:
    return router.run(MIDDLE, ["conntrack", "-L", "-o", "extended"]).text


def cut(router: LabClient, text: str) -> Weighed:
    """Load rules, and delete what they refuse, as a change does."""
    load(router, text)
    configuration = {"interfaces": INTERFACES, "filter": text}
    weighed = weigh(MIDDLE, configuration, read_tracked(MIDDLE, listed(router)))
    for conversation in weighed.refused:
        done = router.run(MIDDLE, ["conntrack", "-D", *conversation.words.split()])
        assert done.exit_status == 0, (conversation.words, done.stderr)
        assert b"1 flow entries have been deleted" in done.stderr
    return weighed


def ping(router: LabClient, destination: EquipmentName) -> bool:
    return router.run(LEFT, ["ping", "-c", "1", "-W", "1", ADDRESSES[destination]]).exit_status == 0


def test_what_the_rules_refuse_is_cut_and_the_rest_goes_on(router: LabClient, talk: Talk) -> None:
    assert ping(router, RIGHT)
    assert ping(router, MIDDLE)
    talk.datagram.sendto(b"ask", (ADDRESSES[RIGHT], 5353))
    assert talk.hearing.recv(3) == b"ask"
    weighed = cut(router, TIGHT)
    assert weighed.undetermined == ()
    ports = {(one.protocol, one.destination_port, str(one.destination)) for one in weighed.refused}
    assert ports == {
        (6, 8323, ADDRESSES[RIGHT]),
        (6, 23, ADDRESSES[MIDDLE]),
        (6, 8324, ADDRESSES[RIGHT]),
        (17, 5353, ADDRESSES[RIGHT]),
        (1, 8, ADDRESSES[RIGHT]),
    }
    for talking, allowed in sorted(TCP.items(), key=lambda one: one[1]):  # those that are cut speak first
        calling, answering = talk.ends[talking]
        calling.sendall(b"x")
        if allowed:
            assert answering.recv(1) == b"x", talking
    for talking, allowed in TCP.items():
        if not allowed:
            talk.ends[talking][1].settimeout(0)
            with pytest.raises(BlockingIOError):
                talk.ends[talking][1].recv(1)
    assert not ping(router, RIGHT)
    assert ping(router, MIDDLE)


def test_rules_that_refuse_nothing_cut_nothing(router: LabClient, talk: Talk) -> None:
    before = len(read_tracked(MIDDLE, listed(router)))
    assert before >= len(TCP)
    assert cut(router, WIDE) == Weighed((), ())
    for calling, answering in talk.ends.values():
        calling.sendall(b"x")
        assert answering.recv(1) == b"x"


def test_without_the_deletion_a_refused_session_goes_on(router: LabClient, talk: Talk) -> None:
    load(router, TIGHT)
    calling, answering = talk.ends[LEFT, RIGHT, 8323]
    calling.sendall(b"x")
    assert answering.recv(1) == b"x"


@pytest.mark.parametrize("words", ["-p tcp", "-p icmp"])
def test_the_words_are_of_one_entry_alone(router: LabClient, talk: Talk, words: str) -> None:
    assert talk.ends
    assert ping(router, RIGHT)
    known = [one for one in read_tracked(MIDDLE, listed(router)) if one.words.startswith(words)]
    for conversation in known:
        found = router.run(MIDDLE, ["conntrack", "-L", "-o", "extended", *conversation.words.split()]).text
        assert read_tracked(MIDDLE, found) == (conversation,)
    assert known
