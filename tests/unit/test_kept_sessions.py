"""Sessions that stay open, over this machine's own loopback: who answered, who ended them, who never opened."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from cloison.errors import LabError
from cloison.flow import Endpoint, Flow, Protocol, Purpose, Service
from cloison.model import EquipmentName, Name
from cloison.probe.sessions import Life, Opening, Sessions, tcp
from cloison.transport.dial import DirectDialer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from cloison.transport.base import Dialer

HERE = EquipmentName("here/station")


def flow(port: int, name: str = "server", protocol: Protocol = Protocol.TCP) -> Flow:
    ends = [{"name": "here/station", "address": "127.0.0.1"}, {"name": f"here/{name}", "address": "127.0.0.1"}]
    source, destination = map(Endpoint.model_validate, ends)
    service = Service(name=Name(f"port-{port}"), protocol=protocol, port=port)
    return Flow(rule=Name("rule"), source=source, destination=destination, service=service, purpose=Purpose.MANAGE)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def sessions() -> Iterator[Sessions]:
    with Sessions(lambda _: DirectDialer(), window_seconds=2.0) as opened:
        yield opened


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def test_a_session_answers_and_so_does_a_fresh_one(server: socket.socket, sessions: Sessions) -> None:
    asked = flow(port_of(server))
    assert sessions.open([asked])[asked.key].works
    with server.accept()[0]:
        for _ in range(2):  # asking costs a session nothing: it can be asked again
            (seen,) = sessions.look([asked])
            assert (seen.kept, seen.fresh.opening, seen.fresh.life) == (Life.ALIVE, Opening.OPENED, Life.ALIVE)


@pytest.mark.parametrize("reset", [False, True])
def test_a_session_that_the_server_ended_is_not_taken_for_silence(
    server: socket.socket, sessions: Sessions, *, reset: bool
) -> None:
    asked = flow(port_of(server))
    sessions.open([asked])
    accepted = server.accept()[0]
    if reset:
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    accepted.close()
    for _ in range(2):  # what it once was, it stays
        (seen,) = sessions.look([asked])
        assert seen.kept is Life.ENDED
        assert seen.fresh.works


def test_a_port_that_nobody_listens_at_is_refused(server: socket.socket, sessions: Sessions) -> None:
    asked = flow(port_of(server))
    server.close()
    attempt = sessions.open([asked])[asked.key]
    assert (attempt.opening, attempt.works) == (Opening.REFUSED, False)
    (seen,) = sessions.look([asked])
    assert (seen.kept, seen.fresh.opening) == (None, Opening.REFUSED)


def test_a_place_that_cannot_be_spoken_from_is_untried(server: socket.socket) -> None:
    def off(place: EquipmentName) -> Dialer:
        msg = f"{place} is off"
        raise LabError(msg)

    asked = flow(port_of(server))
    with Sessions(off) as sessions:
        attempt = sessions.open([asked])[asked.key]
        assert (attempt.opening, attempt.detail) == (Opening.UNTRIED, "here/station is off")


def test_there_is_one_window_for_all_of_them_and_not_one_for_each(sessions: Sessions) -> None:
    with ExitStack() as stack:
        full: list[Flow] = []
        for number in range(12):  # a queue of one that is full answers no SYN (listen(2))
            listening = stack.enter_context(socket.socket())
            listening.bind(("127.0.0.1", 0))
            listening.listen(0)
            stack.enter_context(socket.create_connection(listening.getsockname()))
            full.append(flow(port_of(listening), f"server-{number}"))
        began = time.monotonic()
        seen = sessions.look(full)
        assert {one.fresh.opening for one in seen} == {Opening.SILENT}
        assert time.monotonic() - began < 2 * 2.0


def test_only_flows_of_tcp_have_sessions_and_each_has_one() -> None:
    one, other = flow(1), flow(1, protocol=Protocol.UDP)
    assert tcp([one, other, one]) == (one,)


def test_closing_closes_what_is_open_and_may_be_done_twice(server: socket.socket, sessions: Sessions) -> None:
    sessions.open([flow(port_of(server))])
    with server.accept()[0] as accepted:
        sessions.close()
        sessions.close()
        assert accepted.recv(1) == b""


def test_addresses_are_those_of_the_flow(server: socket.socket) -> None:
    dialled: list[tuple[EquipmentName, str, int]] = []

    class Noting:
        def __init__(self, place: EquipmentName) -> None:
            self.place = place

        def dial(self, address: str, port: int, *, timeout: float) -> socket.socket:
            dialled.append((self.place, address, port))
            return socket.create_connection((address, port), timeout)

    address: IPv4Address = flow(1).destination.address
    with Sessions(Noting) as sessions:
        sessions.open([flow(port_of(server))])
    assert dialled == [(HERE, str(address), port_of(server))]
