"""Runs the command line in processes forked from one that has imported everything: a trial is three commands.

What runs is `cloison.cli.main.main`, in a process of its own that can be killed and stopped like any other.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cloison.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_IMPORTED = (
    "cloison.cli.output",
    "cloison.operation",
    "cloison.session",
    "cloison.change.transaction",
    "cloison.gate.proof",
    "cloison.gate.mixtures",
    "cloison.gate.refusals",
    "cloison.gate.watch",
)


class Child:
    """A command that runs. It must end before the next one is started."""

    def __init__(self, server: Forked, pid: int) -> None:
        self._server, self.pid = server, pid
        self.code: int | None = None
        """How it ended, as `subprocess` has it; None while it runs."""

    def event(self, seconds: float) -> str:
        """Return `stopped` or `ended` once it has, and `nothing` when neither came within the time."""
        if self.code is not None:
            return "ended"
        line = self._server.line(seconds)
        if line is None:
            return "nothing"
        if line == "stopped":
            return "stopped"
        self.code = int(line)
        return "ended"

    def kill(self) -> None:
        """Send SIGKILL; nothing when it has ended."""
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing when it has ended."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, seconds: float) -> int:
        """Return how it ended; TimeoutError when it does not, and it is killed then."""
        deadline = time.monotonic() + seconds
        while self.code is None:
            if time.monotonic() > deadline:
                self.kill()
                self.event(10)
                msg = f"a command had not ended after {seconds:g} s"
                raise TimeoutError(msg)
            self.event(max(0.0, deadline - time.monotonic()))
        return self.code


class Forked:
    """The process that forks."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.crash.forked"]
        folders = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            bufsize=1,
            env={**os.environ, "PYTHONPATH": folders},
            cwd=Path(__file__).parents[2],
        )

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], stdout: Path, stderr: Path) -> Child:
        """Start `cloison ARGUMENTS`, its outputs into files."""
        assert self._process.stdin is not None
        order = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "stdout": str(stdout),
            "stderr": str(stderr),
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        started = self.line(60)
        if started is None:
            msg = "the process that forks does not answer"
            raise TimeoutError(msg)
        return Child(self, int(started))

    def line(self, seconds: float) -> str | None:
        """Return the next line that it says; None when none comes in time."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return None
        line = self._process.stdout.readline()
        if not line:
            msg = "the process that forks has ended"
            raise RuntimeError(msg)
        return line.strip()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def _serve() -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    while line := sys.stdin.readline():
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order)
        _say(str(pid))
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            _say("stopped")
        _say(str(os.waitstatus_to_exitcode(status)))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _become(order: dict[str, object]) -> None:
    """Be the command from here on."""
    os.setsid()
    for number, name in ((0, "/dev/null"), (1, str(order["stdout"])), (2, str(order["stderr"]))):
        opened = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    environment, arguments = order["environment"], order["arguments"]
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["cloison", *arguments]
    status = 1
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve()
