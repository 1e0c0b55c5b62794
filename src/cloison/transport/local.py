"""Runs a command as a process of this machine, with a time limit, a cap on its output, and byte-exact streams."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from typing import IO, TYPE_CHECKING

from cloison.errors import TransportError, TransportTimeout
from cloison.transport.base import DEFAULT_TIMEOUT_SECONDS, OUTPUT_LIMIT_BYTES, CommandResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
        self,
        arguments: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        report: LineReport | None = None,
    ) -> CommandResult:
        """Run one command to its end, hearing its report on the way; see `cloison.transport.base.Runner`."""
        return run_bounded(
            self._place, arguments, stdin=stdin, timeout=timeout, environment=self._environment, report=report
        )

    def close(self) -> None:
        """Do nothing: there is no connection."""


class LineReport:
    """A descriptor of its own by which a command reports line by line while it runs.

    `on_line` is called with each line, without its newline, as it comes; a last line without newline was cut off, and
    is not given.
    """

    def __init__(self, on_line: Callable[[bytes], None]) -> None:
        self._on_line = on_line
        self.reading, self.descriptor = os.pipe2(os.O_CLOEXEC)
        """Where this process reads, and what the command writes to: its number is known before the command starts."""
        self._rest = b""

    def collect(self) -> bool:
        """Give the lines that can be read; False at the end of the stream."""
        chunk = os.read(self.reading, _CHUNK)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._on_line(line)
        return bool(chunk)


def run_bounded(
    place: str,
    arguments: Sequence[str],
    *,
    stdin: bytes,
    timeout: float,
    environment: Mapping[str, str] | None = None,
    report: LineReport | None = None,
) -> CommandResult:
    """Run one command as a local process and return what it left.

    Raises TransportTimeout past `timeout` seconds, TransportError when it cannot be started or writes more than
    OUTPUT_LIMIT_BYTES on one stream; whatever is raised, its whole process group is killed first.
    """
    process = _start(place, arguments, environment, report)
    with process, contextlib.ExitStack() as opened:
        if report:
            opened.callback(os.close, report.reading)
        try:
            stdout, stderr = _exchange(place, process, stdin, report, time.monotonic() + timeout)
            status = process.wait()
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, TimeoutError):
                message = f"{arguments[0]} had not ended after {timeout:g} s"
                raise TransportTimeout(place, message) from error
            raise
    return CommandResult(status, stdout, stderr)


def _start(
    place: str, arguments: Sequence[str], environment: Mapping[str, str] | None, report: LineReport | None
) -> subprocess.Popen[bytes]:
    """Start the command in a process group of its own; what it is to report to is then open in it alone."""
    try:
        return subprocess.Popen(
            list(arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            pass_fds=(report.descriptor,) if report else (),
            start_new_session=True,
        )
    except OSError as error:
        if report:
            os.close(report.reading)
        raise TransportError(place, f"{arguments[0]} cannot be started: {error.strerror}") from error
    finally:
        if report:
            os.close(report.descriptor)


def _exchange(
    place: str, process: subprocess.Popen[bytes], stdin: bytes, report: LineReport | None, deadline: float
) -> tuple[bytes, bytes]:
    """Feed the standard input and collect all outputs until they are closed and the process has ended."""
    given, out, err = process.stdin, process.stdout, process.stderr
    if given is None or out is None or err is None:  # pragma: no cover  they were asked for
        raise TransportError(place, "the process has no pipes")
    stdout, stderr, left = bytearray(), bytearray(), memoryview(stdin)

    def feed() -> bool:
        nonlocal left
        left = _feed(given.fileno(), left)
        return bool(left)

    act: dict[int, Callable[[], bool]] = {
        given.fileno(): feed,
        out.fileno(): lambda: _collect(place, out.fileno(), stdout),
        err.fileno(): lambda: _collect(place, err.fileno(), stderr),
    }
    if report:
        act[report.reading] = report.collect
    _pump(act, given, deadline)
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    return bytes(stdout), bytes(stderr)


def _pump(act: Mapping[int, Callable[[], bool]], given: IO[bytes], deadline: float) -> None:
    """Act on each descriptor whenever it is ready, until it says that there is no more; TimeoutError past the deadline.

    All are read from but the one of `given`, which is written to, and closed when there is no more.
    """
    with selectors.DefaultSelector() as selector:
        for fd in act:
            os.set_blocking(fd, False)
            selector.register(fd, selectors.EVENT_WRITE if fd == given.fileno() else selectors.EVENT_READ)
        while selector.get_map():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            for key, _ in selector.select(remaining):
                if not act[key.fd]():
                    selector.unregister(key.fd)
                    if not given.closed and key.fd == given.fileno():
                        given.close()


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
