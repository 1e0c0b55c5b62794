"""Opens TCP connections from this machine: how the live network is reached."""

from __future__ import annotations

import socket

from cloison.errors import TransportError, TransportTimeout


class DirectDialer:
    """Opens TCP connections from this machine, by its own routes."""

    def __init__(self, place: str = "local") -> None:
        self.place = place

    def dial(self, address: str, port: int, *, timeout: float) -> socket.socket:
        """Return a connected socket with `timeout` still set on it.

        Raises TransportTimeout when nothing answered in time, TransportError when the connection was refused.
        """
        try:
            return socket.create_connection((address, port), timeout)
        except TimeoutError as error:
            raise TransportTimeout(self.place, f"{address} port {port} did not answer within {timeout:g} s") from error
        except OSError as error:
            raise TransportError(self.place, f"{address} port {port}: {error.strerror or error}") from error
