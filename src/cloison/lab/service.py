"""What the lab daemon puts into a node and starts there: files, and services with the condition that shows them up.

The values here are the whole contract between `services.py`, which decides them, and the daemon, which obeys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address  # noqa: TC003  pydantic reads it at run time, to carry these values to the daemon
from pathlib import PurePosixPath  # noqa: TC003  the same


@dataclass(frozen=True, slots=True)
class NodeFile:
    """One file of a node: after `put`, `path` inside the node holds exactly `content`.

    Folders on the way are made, owned by root, mode 0755. A file is written before any service starts.
    """

    path: PurePosixPath
    """Absolute, inside the node's root."""
    content: bytes = field(repr=False)
    """Kept out of `repr`: some files are passwords and private keys."""
    mode: int
    owner: str = "root"
    """A user name of the node; its primary group owns the file too."""

    def __post_init__(self) -> None:
        """Refuse a path that is not absolute, or that climbs; raise ValueError."""
        if not self.path.is_absolute() or ".." in self.path.parts:
            msg = f"{self.path}: expected an absolute path without '..'"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """One folder of a node that a service needs before it starts (a run folder, a recordings folder)."""

    path: PurePosixPath
    mode: int = 0o755
    owner: str = "root"


@dataclass(frozen=True, slots=True)
class PortReady:
    """True once a TCP connection to `address`:`port`, opened inside the node's network namespace, is accepted."""

    address: IPv4Address
    port: int
    deadline: float
    """Seconds after the start."""


@dataclass(frozen=True, slots=True)
class SocketReady:
    """True once a unix stream socket at `path`, inside the node's root, accepts a connection."""

    path: PurePosixPath
    deadline: float
    """Seconds after the start."""


@dataclass(frozen=True, slots=True)
class CommandReady:
    """True once the command, run inside the node, exits 0; it is tried again until then."""

    arguments: tuple[str, ...]
    deadline: float
    """Seconds after the start."""


Ready = PortReady | SocketReady | CommandReady


@dataclass(frozen=True, slots=True)
class Service:
    """One long-running program of a node, in the foreground, started as a child of the node's init.

    Services start in the order they are given, and one starts only after the one before is ready. Standard output and
    error go to `/var/log/<name>.log` of the node. A service that ends before its condition holds has failed.
    """

    name: str
    """Unique in its node; charset of `cloison.model.Name`."""
    arguments: tuple[str, ...]
    """The program by absolute path, then its arguments; never a secret, which `ps` would show."""
    ready: Ready
    user: str = "root"
    environment: tuple[tuple[str, str], ...] = ()
    """Added to `PATH`, `HOME=/root` and `LANG=C.UTF-8`, the only variables a service is given."""


@dataclass(frozen=True, slots=True)
class NodeServices:
    """Everything that one node needs: put the folders, then the files, then start the services in order."""

    folders: tuple[NodeFolder, ...] = ()
    files: tuple[NodeFile, ...] = ()
    services: tuple[Service, ...] = ()

    def __add__(self, other: NodeServices) -> NodeServices:
        """Return both, in order; raise ValueError when the two put the same file or start the same name."""
        joined = NodeServices(self.folders + other.folders, self.files + other.files, self.services + other.services)
        for what, names in (
            ("file", [str(file.path) for file in joined.files]),
            ("service", [service.name for service in joined.services]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                msg = f"{what} given twice to one node: {', '.join(twice)}"
                raise ValueError(msg)
        return joined
