"""Runs a command of this machine that reports line by line while it runs, through a descriptor of its own."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from cloison.errors import TransportError, TransportTimeout
from cloison.transport.base import OUTPUT_LIMIT_BYTES, CommandResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_CHUNK = 64 * 1024
_PLACE = "local"


def run_streaming(
    arguments: Callable[[int], Sequence[str]],
    on_line: Callable[[bytes], None],
    *,
    timeout: float,
    environment: Mapping[str, str] | None = None,
) -> CommandResult:
    """Run one command to its end, calling `on_line` with each line it reports, without its newline, as it comes.

    `arguments` is given the number of the descriptor to report to. A last line without newline was cut off, and is not
    given. Raises TransportTimeout past `timeout` seconds, TransportError when it cannot be started or writes more than
    OUTPUT_LIMIT_BYTES on one stream; whatever is raised, its whole process group is killed first.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    command = list(arguments(writing))
    with os.fdopen(reading, "rb", buffering=0) as report:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                pass_fds=(writing,),
                start_new_session=True,
            )
        except OSError as error:
            raise TransportError(_PLACE, f"{command[0]} cannot be started: {error.strerror}") from error
        finally:
            os.close(writing)
        with process:
            try:
                return _follow(process, report.fileno(), on_line, time.monotonic() + timeout)
            except BaseException as error:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, TimeoutError):
                    raise TransportTimeout(_PLACE, f"{command[0]} had not ended after {timeout:g} s") from error
                raise


def _follow(
    process: subprocess.Popen[bytes], report: int, on_line: Callable[[bytes], None], deadline: float
) -> CommandResult:
    """Read all three streams until they are closed and the process has ended."""
    if process.stdout is None or process.stderr is None:  # pragma: no cover  they were asked for
        raise TransportError(_PLACE, "the process has no pipes")
    out, err = process.stdout.fileno(), process.stderr.fileno()
    read: dict[int, bytearray] = {out: bytearray(), err: bytearray(), report: bytearray()}
    with selectors.DefaultSelector() as selector:
        for fd in read:
            os.set_blocking(fd, False)
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fd)
                read[key.fd] += chunk
                if key.fd == report:
                    _give_lines(read[report], on_line)
                elif len(read[key.fd]) > OUTPUT_LIMIT_BYTES:
                    place = "local"
                    raise TransportError(place, f"the output passed {OUTPUT_LIMIT_BYTES} bytes")
    try:
        status = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    return CommandResult(status, bytes(read[out]), bytes(read[err]))


def _give_lines(buffer: bytearray, on_line: Callable[[bytes], None]) -> None:
    *lines, rest = bytes(buffer).split(b"\n")
    for line in lines:
        on_line(line)
    buffer[:] = rest
