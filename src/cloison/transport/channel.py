"""A unix socket that carries JSON lines, and open descriptors beside them (SCM_RIGHTS, unix(7))."""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import struct
import time
from typing import TYPE_CHECKING, Self

from cloison.errors import TransportError, TransportTimeout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_CHUNK = 64 * 1024
_FD_LIMIT = 16
LINE_LIMIT_BYTES = 64 * 1024 * 1024


@contextlib.contextmanager
def _short_name(path: Path) -> Iterator[str]:
    """Yield a name of the path that fits in the 108 bytes of a socket address, however deep its folder is."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path) -> socket.socket:
    """Return a socket that listens at `path`, for its owner alone, in place of what was there."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    with _short_name(path) as name:
        before = os.umask(0o177)
        try:
            listener.bind(name)
        finally:
            os.umask(before)
    listener.listen(64)
    return listener


def encode(message: Mapping[str, object]) -> bytes:
    """Return the message as one line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def send_with_descriptors(connection: socket.socket, message: Mapping[str, object], fds: Sequence[int]) -> None:
    """Send a short message in one piece, with descriptors that the receiver gets its own copies of."""
    line = encode(message)
    sent = connection.sendmsg([line], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
    if sent != len(line):
        raise OSError(0, "the message did not fit")


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Return bytes and the descriptors beside them, which no child inherits (`socket.recv_fds` drops that flag)."""
    space = socket.CMSG_SPACE(_FD_LIMIT * array.array("i").itemsize)
    chunk, ancillary, _, _ = connection.recvmsg(_CHUNK, space, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return chunk, fds.tolist()


class Channel:
    """The client's end: one message out, one message in, each within a time limit."""

    def __init__(self, place: str, connection: socket.socket) -> None:
        self.place = place
        self._connection = connection
        self._read = bytearray()
        self._fds: list[int] = []

    @classmethod
    def connect(cls, place: str, path: Path, timeout: float = 5.0) -> Self:
        """Return a channel to who listens at `path`; raise TransportError when nobody does."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            with _short_name(path) as name:
                connection.connect(name)
        except OSError as error:
            connection.close()
            raise TransportError(place, f"{path}: {error.strerror or error}") from error
        return cls(place, connection)

    @classmethod
    def pair(cls, place: str) -> tuple[Self, socket.socket]:
        """Return a channel and its other end, to be handed to a child."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(place, ours), theirs

    @property
    def peer_pid(self) -> int:
        """The process id of who listens (SO_PEERCRED), as this process sees it."""
        credentials = self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0])

    def send(self, message: Mapping[str, object], timeout: float = 30.0) -> None:
        """Send one message; TransportError when the other end has gone."""
        try:
            self._connection.settimeout(timeout)
            self._connection.sendall(encode(message))
        except OSError as error:
            raise TransportError(self.place, f"cannot send: {error.strerror or error}") from error

    def receive(self, timeout: float) -> tuple[dict[str, object], list[int]]:
        """Return the next message and the descriptors that came with it, which the caller now owns.

        Raises TransportTimeout, and TransportError when the other end closed the channel first.
        """
        deadline = time.monotonic() + timeout
        while b"\n" not in self._read:
            try:
                self._connection.settimeout(max(0.001, deadline - time.monotonic()))
                chunk, fds = _receive(self._connection)
            except TimeoutError as error:
                raise TransportTimeout(self.place, f"no answer within {timeout:g} s") from error
            except OSError as error:
                raise TransportError(self.place, f"cannot receive: {error.strerror}") from error
            self._fds += fds
            self._read += chunk
            if not chunk or len(self._read) > LINE_LIMIT_BYTES:
                raise TransportError(self.place, "closed before it answered")
        line, _, rest = bytes(self._read).partition(b"\n")
        self._read = bytearray(rest)
        fds, self._fds = self._fds, []
        message = json.loads(line)
        if not isinstance(message, dict):
            raise TransportError(self.place, "answered with something else than an object")
        return message, fds

    def close(self) -> None:
        """Close the channel, and what descriptors nobody took."""
        for fd in self._fds:
            os.close(fd)
        self._fds = []
        self._connection.close()

    def __enter__(self) -> Self:
        """Return the channel, to be closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the channel."""
        self.close()
