"""Runs a command as a process of this machine, with a time limit, a cap on its output, and byte-exact streams."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from cloison.errors import TransportError, TransportTimeout
from cloison.transport.base import DEFAULT_TIMEOUT_SECONDS, OUTPUT_LIMIT_BYTES, CommandResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CHUNK = 64 * 1024


class LocalRunner:
    """Runs commands on this machine. Each gets a process group of its own, which a time-out kills whole."""

    def __init__(self, place: str = "local", environment: Mapping[str, str] | None = None) -> None:
        self._place = place
        self._environment = environment

    @property
    def place(self) -> str:
        """Where the commands run."""
        return self._place

    def run(
        self, arguments: Sequence[str], *, stdin: bytes = b"", timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> CommandResult:
        """Run one command to its end; see `cloison.transport.base.Runner`."""
        return run_bounded(self._place, arguments, stdin=stdin, timeout=timeout, environment=self._environment)

    def close(self) -> None:
        """Do nothing: there is no connection."""


def run_bounded(
    place: str,
    arguments: Sequence[str],
    *,
    stdin: bytes,
    timeout: float,
    environment: Mapping[str, str] | None = None,
) -> CommandResult:
    """Run one command as a local process and return what it left.

    Raises TransportTimeout past `timeout` seconds, TransportError when it cannot be started or writes more than
    OUTPUT_LIMIT_BYTES on one stream; in both cases its whole process group is killed.
    """
    try:
        process = subprocess.Popen(
            list(arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise TransportError(place, f"{arguments[0]} cannot be started: {error.strerror}") from error
    with process:
        try:
            stdout, stderr = _exchange(place, process, stdin, time.monotonic() + timeout)
            status = process.wait()
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, TimeoutError):
                message = f"{arguments[0]} had not ended after {timeout:g} s"
                raise TransportTimeout(place, message) from error
            raise
    return CommandResult(status, stdout, stderr)


def _exchange(place: str, process: subprocess.Popen[bytes], stdin: bytes, deadline: float) -> tuple[bytes, bytes]:
    """Feed the standard input and collect both outputs until they are closed and the process has ended."""
    given, out, err = process.stdin, process.stdout, process.stderr
    if given is None or out is None or err is None:  # pragma: no cover  they were asked for
        raise TransportError(place, "the process has no pipes")
    read = {out.fileno(): bytearray(), err.fileno(): bytearray()}
    left = memoryview(stdin)
    with selectors.DefaultSelector() as selector:
        for stream, event in ((given, selectors.EVENT_WRITE), (out, selectors.EVENT_READ), (err, selectors.EVENT_READ)):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, event)
        while selector.get_map():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            for key, _ in selector.select(remaining):
                if key.fileobj is given:
                    left = _feed(key.fd, left)
                    ended = not left
                else:
                    ended = not _collect(place, key.fd, read[key.fd])
                if ended:
                    selector.unregister(key.fileobj)
                if ended and key.fileobj is given:
                    given.close()
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    stdout, stderr = read.values()
    return bytes(stdout), bytes(stderr)


def _collect(place: str, fd: int, read: bytearray) -> bool:
    """Add what can be read; False at the end of the stream, TransportError when it is too much."""
    chunk = os.read(fd, _CHUNK)
    read += chunk
    if len(read) > OUTPUT_LIMIT_BYTES:
        raise TransportError(place, f"the output passed {OUTPUT_LIMIT_BYTES} bytes")
    return bool(chunk)


def _feed(fd: int, left: memoryview) -> memoryview:
    """Write what the pipe takes; return what is left, nothing when the reader has gone."""
    try:
        return left[os.write(fd, left[:_CHUNK]) :]
    except BrokenPipeError:
        return left[:0]
