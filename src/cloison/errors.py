"""Every error Cloison raises on purpose, and the exit code it becomes.

The tree:

    CloisonError                     exit 3: could not be determined
    ├── InputError                   exit 2: the input or the command is wrong
    │   ├── WorkspaceError           a folder or a file of the workspace is missing or unreadable
    │   ├── IntentError              the declared intent is wrong: carries every Problem found
    │   ├── RenderError              a template is wrong, or asks for what the state does not hold
    │   └── RefusedError             the command is understood, and refused: it would not be safe
    ├── TransportError(place)        a command, a connection or a transfer did not come through
    │   ├── TransportTimeout         also a TimeoutError
    │   └── HostKeyError             the host showed another key than the pinned one
    ├── DeviceError(device)          a device answered with what cannot be used
    │   └── LoadError                a device refused a candidate section; it runs what it ran before
    ├── ProbeError                   a probe could not be sent, heard or decoded
    ├── EvidenceError                a run folder cannot be written or read
    ├── LabError                     the twin cannot be started, reached or stopped
    ├── PlaybookError                a playbook broke while it ran
    ├── OutputError                  the result cannot be written
    └── StoppedError                 exit 130: it was interrupted, or nobody reads its output any more
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class CloisonError(Exception):
    """Root of the tree: something could not be determined (exit code 3)."""

    exit_code: ClassVar[int] = 3


class InputError(CloisonError):
    """The input or the command is wrong; nothing was changed."""

    exit_code: ClassVar[int] = 2


class WorkspaceError(InputError):
    """A folder or a file of the workspace is missing or cannot be read."""


class RenderError(InputError):
    """A template is wrong, or asks for what the state does not hold."""


class RefusedError(InputError):
    """The command was understood and refused, because carrying it out would not be safe."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in the inventory, where it stands and what to do about it."""

    file: Path
    line: int
    """1 for the first line."""
    column: int
    """1 for the first character."""
    code: str
    """Stable identifier, `CL` and three digits; `cloison rule CODE` explains it."""
    message: str
    expected: str = ""
    hint: str = ""

    def __str__(self) -> str:
        """Return `file:line:column: code: message; expected …; hint`."""
        parts = [self.message, self.expected and f"expected {self.expected}", self.hint]
        text = "; ".join(part for part in parts if part)
        return f"{self.file}:{self.line}:{self.column}: {self.code}: {text}"


class IntentError(InputError):
    """The declared intent is wrong. Every problem is carried, sorted by place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class TransportError(CloisonError):
    """A command, a connection or a transfer did not come through."""

    def __init__(self, place: str, message: str) -> None:
        self.place = place
        super().__init__(f"{place}: {message}")


class TransportTimeout(TransportError, TimeoutError):  # noqa: N818  named as the builtin it is
    """The time limit of a call passed."""


class HostKeyError(TransportError):
    """The host showed another key than the one pinned in the inventory."""


class DeviceError(CloisonError):
    """A device answered with what cannot be used."""

    def __init__(self, device: str, message: str) -> None:
        self.device = device
        super().__init__(f"{device}: {message}")


class LoadError(DeviceError):
    """A device refused a candidate section; it runs what it ran before."""


class ProbeError(CloisonError):
    """A probe could not be sent, heard or decoded."""


class EvidenceError(CloisonError):
    """A run folder cannot be written or read."""


class LabError(CloisonError):
    """The twin cannot be started, reached or stopped."""


class PlaybookError(CloisonError):
    """A playbook broke while it ran; what it did before stays."""


class OutputError(CloisonError):
    """The result cannot be written where it belongs."""


class StoppedError(CloisonError):
    """The user interrupted the command, or whoever read its output has left."""

    exit_code: ClassVar[int] = 130
