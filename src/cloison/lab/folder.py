"""The folder of one twin, `.cloison/lab/<name>/` of the workspace: its lock, its control socket, its log, its keys."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.errors import LabError
from cloison.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from cloison.model import Name


@dataclass(frozen=True, slots=True)
class LabFolder:
    """Where the things of one twin are; nothing but a twin's untracked secrets and its daemon's handles."""

    root: Path
    """The workspace."""
    name: Name

    @property
    def path(self) -> Path:
        """The folder itself, mode 0700."""
        return Workspace(self.root).lab(self.name)

    @property
    def control(self) -> Path:
        """The control socket of the daemon."""
        return self.path / "control"

    @property
    def log(self) -> Path:
        """What the daemon wrote on its standard error since the last `up`."""
        return self.path / "daemon.log"

    @property
    def unpacked(self) -> Path:
        """Programs for nodes alone, laid over the host's /usr."""
        return Workspace(self.root).state / "root" / "usr"

    def make(self) -> None:
        """Make the folder; LabError when it cannot be."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
        except OSError as error:
            msg = f"{self.path}: {error.strerror}; the folder of a twin must be writable"
            raise LabError(msg) from error

    def lock(self) -> int | None:
        """Return the lock of the twin as a descriptor, or None when somebody holds it: the twin is up, or coming up.

        It is held by whoever has the descriptor open, so it is free exactly when every process that had it has ended.
        LabError when it cannot be opened.
        """
        try:
            fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            msg = f"{self.path / 'lock'}: {error.strerror}; expected to be root, whose twin it is"
            raise LabError(msg) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def is_locked(self) -> bool:
        """Tell whether the twin is up, or coming up."""
        try:
            (self.path / "lock").lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            msg = f"{self.path}: {error.strerror}; expected to be root, whose twin it is"
            raise LabError(msg) from error
        fd = self.lock()
        if fd is None:
            return True
        os.close(fd)
        return False
