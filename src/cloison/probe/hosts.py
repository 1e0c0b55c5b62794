"""testinfra over the project's own transport: one backend, whatever the runner reaches, with a limit on every call."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from cloison.errors import ProbeError
from cloison.model import Untrusted
from cloison.probe.command import COMMAND_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloison.transport.base import Runner

_SAID_LIMIT = 300


class RunnerBackend(BaseBackend):  # type: ignore[misc]
    """Runs testinfra's commands through a Runner."""

    NAME = "cloison"

    def __init__(self, runner: Runner, seconds: float = COMMAND_SECONDS) -> None:
        super().__init__(runner.place)
        self._runner = runner
        self._seconds = seconds

    def run(self, command: str, *args: str, **_: object) -> CommandResult:
        """Return what a shell command left; raise TransportTimeout when it had not ended in time."""
        line = self.get_command(command, *args)
        left = self._runner.run(["sh", "-c", line], timeout=self._seconds)
        return self.result(left.exit_status, line, left.stdout, left.stderr)


def host_of(runner: Runner) -> Host:
    """Return a testinfra host behind a runner."""
    return Host(RunnerBackend(runner))


def said_by(host: Host, command: Sequence[str]) -> str:
    """Return the standard output of a command that exits 0; ProbeError otherwise.

    testinfra's own `check_output` asserts, and an assertion in a check says that the network is wrong: a command that
    cannot be run says no such thing.
    """
    result = host.run(shlex.join(command))
    if result.rc != 0:
        said = Untrusted(result.stderr or result.stdout).shown(_SAID_LIMIT).strip()
        msg = f"{host.backend.hostname}: {command[0]} exited {result.rc}: {said or '(nothing)'}"
        raise ProbeError(msg)
    return str(result.stdout)
