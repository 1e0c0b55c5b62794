"""The user's workspace: the one module that knows the names of its folders, and how its root is found."""

from __future__ import annotations

import os
import stat
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from cloison.errors import WorkspaceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.model import Name

PROJECT_FILE = "pyproject.toml"
INVENTORY = "inventory"
BLUEPRINTS = f"{INVENTORY}/blueprints"
SITES = f"{INVENTORY}/sites"
SCHEMAS = f"{INVENTORY}/.schema"
_PROJECT_SIZE_LIMIT = 1_000_000


class Network(StrEnum):
    """Which network a command is about. No command falls back from one to the other."""

    LAB = "lab"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folders of one network. `root` is absolute and resolved once, so that no later link can move it."""

    root: Path
    network: Network = Network.LAB
    """The network that a command is about when none is given."""

    @property
    def inventory(self) -> Path:
        """What is declared."""
        return self.root / INVENTORY

    @property
    def templates(self) -> Path:
        """How a state is spelt."""
        return self.root / "templates"

    @property
    def playbooks(self) -> Path:
        """In which order things are done."""
        return self.root / "playbooks"

    @property
    def validators(self) -> Path:
        """The suites that judge the network."""
        return self.root / "validators"

    @property
    def runs(self) -> Path:
        """What audits leave."""
        return self.root / "runs"

    @property
    def state(self) -> Path:
        """What Cloison keeps for itself: never tracked, never read for the live network."""
        return self.root / ".cloison"

    @property
    def plans(self) -> Path:
        """The saved plans."""
        return self.state / "plans"

    def lab(self, name: Name) -> Path:
        """Return the folder of one twin's state."""
        return self.state / "lab" / name

    def shown(self, path: Path) -> Path:
        """Return the path relative to the root when it is below it: how a message names a file."""
        return path.relative_to(self.root) if path.is_relative_to(self.root) else path


def find_workspace(root: Path | None = None, start: Path | None = None) -> Workspace:
    """Return the workspace at `root`, or else the nearest one at or above `start` (the current folder).

    A workspace is a folder whose pyproject.toml has a table `[tool.cloison]`; a folder given as `root` may do
    without the file, and is then for the lab. Raises WorkspaceError.
    """
    if root is not None:
        folder = _resolved(root)
        settings = _settings(folder / PROJECT_FILE)
        return _workspace(folder, settings if settings is not None else {})
    here = _resolved(start if start is not None else Path.cwd())
    for folder in (here, *here.parents):
        settings = _settings(folder / PROJECT_FILE)
        if settings is not None:
            return _workspace(folder, settings)
    msg = (
        f"no workspace at or above {here}: expected a {PROJECT_FILE} with a table [tool.cloison]; or name it by --root"
    )
    raise WorkspaceError(msg)


def _resolved(folder: Path) -> Path:
    try:
        found = folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        msg = f"{folder}: no such folder; name the root of the workspace by --root"
        raise WorkspaceError(msg) from error
    if not found.is_dir():
        msg = f"{folder}: not a folder; name the root of the workspace by --root"
        raise WorkspaceError(msg)
    return found


def _settings(path: Path) -> dict[str, object] | None:
    """Return the table [tool.cloison] of a pyproject.toml; None when the file or the table is absent."""
    if not path.is_file():
        return None
    content = read_start(path, _PROJECT_SIZE_LIMIT)
    if len(content) > _PROJECT_SIZE_LIMIT:
        msg = f"{path}: larger than {_PROJECT_SIZE_LIMIT} bytes"
        raise WorkspaceError(msg)
    try:
        tables = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path}: not TOML: {error}"
        raise WorkspaceError(msg) from error
    tool = tables.get("tool", {})
    settings = tool.get("cloison") if isinstance(tool, dict) else None
    if settings is not None and not isinstance(settings, dict):
        msg = f"{path}: tool.cloison is not a table"
        raise WorkspaceError(msg)
    return settings


def _workspace(root: Path, settings: dict[str, object]) -> Workspace:
    place = root / PROJECT_FILE
    unknown = sorted(set(settings) - {"network"})
    if unknown:
        msg = f"{place}: [tool.cloison] has an unknown key `{unknown[0]}`; expected `network`"
        raise WorkspaceError(msg)
    declared = settings.get("network", Network.LAB)
    if declared not in tuple(Network):
        msg = f"{place}: [tool.cloison] network is neither `lab` nor `live`"
        raise WorkspaceError(msg)
    return Workspace(root, Network(str(declared)))


def read_start(path: Path, limit: int) -> bytes:
    """Return the first `limit` + 1 bytes of a regular file, so that a longer one shows; no link at its end is followed.

    Raises WorkspaceError when it is missing, a link, not a regular file or unreadable.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = "a symbolic link; expected the file itself" if path.is_symlink() else error.strerror
        msg = f"{path}: {reason}"
        raise WorkspaceError(msg) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        msg = f"{path}: not a regular file"
        raise WorkspaceError(msg)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit + 1)


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every entry below a folder that is not itself a plain folder, sorted; links are not followed.

    Raises WorkspaceError when the folder is missing or cannot be listed.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        msg = f"{folder}: {error.strerror}; expected a folder of the workspace"
        raise WorkspaceError(msg) from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(Path(entry.path))
        else:
            yield Path(entry.path)
