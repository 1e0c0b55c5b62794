"""Runs a command whose output is wanted, and takes nothing for an answer but a clean end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.errors import ProbeError
from cloison.model import Untrusted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloison.transport.base import Runner

COMMAND_SECONDS = 30.0
_SAID_LIMIT = 300


def output_of(runner: Runner, command: Sequence[str], *, stdin: bytes = b"", timeout: float = COMMAND_SECONDS) -> str:
    """Return the standard output of a command that exits 0; ProbeError otherwise, TransportError as the runner does."""
    result = runner.run(command, stdin=stdin, timeout=timeout)
    if result.exit_status != 0:
        said = Untrusted(result.stderr or result.stdout).shown(_SAID_LIMIT).strip()
        msg = f"{runner.place}: {command[0]} exited {result.exit_status}: {said or '(nothing)'}"
        raise ProbeError(msg)
    return result.text
