"""What every way of running a command promises: exit status, exact bytes, a time limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

DEFAULT_TIMEOUT_SECONDS = 30.0
OUTPUT_LIMIT_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a finished command left: its exit status and its output, byte for byte."""

    exit_status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """The standard output as UTF-8; undecodable bytes are escaped."""
        return self.stdout.decode("utf-8", "backslashreplace")


class Runner(Protocol):
    """Runs commands at one place."""

    @property
    def place(self) -> str:
        """Where: an equipment name, or `local`."""

    def run(
        self, arguments: Sequence[str], *, stdin: bytes = b"", timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> CommandResult:
        """Run one command (no shell of its own: an argument is an argument) and return when it has ended.

        Raises TransportTimeout past `timeout` seconds, and TransportError when the output passes OUTPUT_LIMIT_BYTES
        or the place cannot be reached. A non-zero exit status is not an error here.
        """

    def close(self) -> None:
        """Release the connection; a closed runner may not be used again."""


class Dialer(Protocol):
    """Opens TCP connections from some place (this host, or inside a network namespace)."""

    def dial(self, address: str, port: int, *, timeout: float) -> socket.socket:
        """Return a connected socket; raise TransportError or TransportTimeout."""
