from __future__ import annotations

import socket

import pytest

from cloison.errors import TransportError
from cloison.transport.dial import DirectDialer


def test_a_listening_port_is_reached_and_a_closed_one_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with DirectDialer().dial("127.0.0.1", port, timeout=5.0) as dialled, server.accept()[0] as accepted:
            accepted.sendall(b"on")
            assert dialled.recv(2) == b"on"
            assert dialled.gettimeout() == 5.0
    with pytest.raises(TransportError, match=rf"here: 127\.0\.0\.1 port {port}: Connection refused"):
        DirectDialer("here").dial("127.0.0.1", port, timeout=5.0)
