"""Runs the validators of a workspace in a process of their own, and hears their verdicts as they come.

In a process of its own, so that no run judges with modules of an earlier one, and so that one that dies leaves NOT_RUN
behind for what it did not come to, never a PASS.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.errors import EvidenceError, InputError, TransportTimeout
from cloison.evidence.stream import read_stream
from cloison.model import Untrusted
from cloison.transport.local import LineReport, LocalRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cloison.evidence.stream import Stream
    from cloison.workspace import Network, Workspace

AUDIT_SECONDS = 900.0
_COLLECTED = {0, 1, 5}
"""Exit statuses of pytest after which every check was run: all passed, or some did not, or none was asked for."""
_SAID_LIMIT = 3000


@dataclass(frozen=True, slots=True)
class AuditRun:
    """What came of one run of the validators."""

    stream: Stream
    """A verdict for every planned check; NOT_RUN for those without a result."""
    complaint: str
    """What the process said when it broke or ended early; empty when it came to its end."""


def run(  # noqa: PLR0913  each says one thing about the run
    workspace: Workspace,
    network: Network,
    lab_name: str,
    on_line: Callable[[bytes], None],
    *,
    captures: Path | None = None,
    key: Path | None = None,
    only: Sequence[str] = (),
    timeout: float = AUDIT_SECONDS,
) -> AuditRun:
    """Run the validators against a network and return their verdicts; `on_line` gets each line of the stream at once.

    `captures` is an existing folder for header-only captures. `only` are
    families (`reach`), ids or patterns of the checks to run, all when empty.
    Raises InputError when `only` names no check, EvidenceError when nothing was planned for another reason: the
    validators could not even be collected.
    """
    lines: list[bytes] = []

    def hear(line: bytes) -> None:
        lines.append(line)
        on_line(line)

    options = ["--network", network, "--cloison-root", str(workspace.root), "--lab-name", lab_name]
    options += ["--captures", str(captures)] if captures else []
    options += ["--key", str(key)] if key else []
    options += [f"--only={pattern}" for pattern in only]
    said, broken = _run_suite(workspace, options, hear, timeout)
    stream = read_stream(b"".join(line + b"\n" for line in lines), "validators")
    if not stream.planned and only and not broken:
        msg = f"--only {' --only '.join(only)}: no check has such an id; `cloison audit --json` shows them all"
        raise InputError(msg)
    if not stream.planned:
        msg = f"no check was planned; the validators said:\n{said}"
        raise EvidenceError(msg)
    if not stream.ended and not broken:
        said = f"the validators' process ended by itself before its end\n{said}"
    return AuditRun(stream, said if broken or not stream.ended else "")


def _run_suite(
    workspace: Workspace, options: list[str], hear: Callable[[bytes], None], timeout: float
) -> tuple[str, bool]:
    """Run pytest over the validators; return what it said, and whether it broke."""
    report = LineReport(hear)
    # The workspace's own pytest settings are those of its tests: none of them counts here.
    command = [
        *(sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(workspace.root), "-q", "--tb=short"),
        *("-p", "cloison.testing", "-p", "no:cacheprovider", "--strict-markers"),
        *options,
        *("--results", f"fd:{report.descriptor}"),
        str(workspace.validators),
    ]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        result = LocalRunner(environment=environment).run(command, timeout=timeout, report=report)
    except TransportTimeout as error:
        return str(error), True
    said = _gist(Untrusted((result.stdout + result.stderr)[-_SAID_LIMIT:]).shown(_SAID_LIMIT).strip())
    return said, result.exit_status not in _COLLECTED


def _gist(said: str) -> str:
    """Return which validators could not be collected and why, without pytest's own frames; else the text as it is."""
    lines = said.splitlines()
    why = [line for line in lines if line.startswith("E  ")]
    where = [line.strip("_ ") for line in lines if "ERROR collecting" in line]
    return "\n".join([*where, *why]) if where and why else said
