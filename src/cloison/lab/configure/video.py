"""Cameras, live gateways, recorders and players: the programs of `lab/node`, and the files that configure them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cloison.lab.service import CommandReady, NodeFile, NodeFolder, NodeServices, PortReady, Service

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address

    from cloison.lab.configure.identity import TlsIdentity
    from cloison.lab.service import Ready

REALM = "cloison"
CAMERA_PATH = "/live"
SCENE = PurePosixPath("/srv/scene/nonce")
"""What a camera looks at: 8 hexadecimal digits. Replace it, and the picture changes within two frames."""
RECORDINGS = PurePosixPath("/srv/recordings")
PLAYER = PurePosixPath("/opt/twin/play")
CREDENTIALS = PurePosixPath("/etc/cloison/credentials")
"""Folder of a client: one file a server, one line `user:password` in it."""
AUTHORITY = PurePosixPath("/etc/cloison/authority.pem")
_PROGRAMS = PurePosixPath("/opt/twin")
_FOLDER = PurePosixPath("/etc/cloison")
_PYTHON = "/usr/bin/python3"
_ENVIRONMENT = (("PYTHONPATH", str(_PROGRAMS)), ("PYTHONDONTWRITEBYTECODE", "1"))
_PLAYER_SCRIPT = f'#!/bin/sh\nPYTHONPATH={_PROGRAMS} PYTHONDONTWRITEBYTECODE=1 exec {_PYTHON} -m node.play "$@"\n'
_READY_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Login:
    """A user of a server, and the password."""

    user: str
    password: str = field(repr=False)

    @property
    def line(self) -> bytes:
        """The one line of a credential file."""
        return f"{self.user}:{self.password}\n".encode()


@dataclass(frozen=True, slots=True)
class Door:
    """Where a server listens and whom it lets in."""

    address: IPv4Address
    port: int
    logins: tuple[Login, ...]
    identity: TlsIdentity | None
    """None for a camera declared `transport: rtsp`: in clear."""


@dataclass(frozen=True, slots=True)
class Source:
    """A stream that a relay pulls: from which camera, as whom, and the mount that it becomes."""

    mount: str
    """A name without slash."""
    address: IPv4Address
    port: int
    login: Login
    is_encrypted: bool = True


def digest_line(login: Login) -> str:
    """Return the user's line of a htdigest file: MD5 of user, realm and password, as RFC 2617 digest access has it."""
    secret = f"{login.user}:{REALM}:{login.password}".encode()
    return f"{login.user}:{REALM}:{hashlib.md5(secret, usedforsecurity=False).hexdigest()}\n"


def programs() -> tuple[NodeFile, ...]:
    """Return every program of `lab/node` as a file of a node."""
    folder = Path(__file__).resolve().parent.parent / "node"
    return tuple(
        NodeFile(_PROGRAMS / "node" / file.name, file.read_bytes(), 0o644) for file in sorted(folder.glob("*.py"))
    )


def camera(door: Door, scene: int) -> NodeServices:
    """Return a camera that serves `/live` and looks at the scene with this nonce (32 bits).

    It is ready when it has described its stream to one of its users.
    """
    config = _Config("camera", door, {"path": CAMERA_PATH, "scene": str(SCENE)} | _listening("camera", door))
    describe = ("/usr/bin/env", *(f"{name}={value}" for name, value in _ENVIRONMENT), _PYTHON, "-m", "node.describe")
    ready = CommandReady((*describe, str(config.path)), _READY_SECONDS)
    return config.services(ready) + NodeServices(files=(NodeFile(SCENE, f"{scene:08x}\n".encode(), 0o644),))


def relay(door: Door, sources: Sequence[Source], authority: bytes) -> NodeServices:
    """Return a live gateway: each source is served live as `/<mount>`, and nothing of it is kept."""
    config = _Config("relay", door, {"listening": _listening("relay", door), "mounts": _mounts(sources)})
    return config.services(config.listens()) + _client_of(sources, authority)


def recorder(
    door: Door, sources: Sequence[Source], authority: bytes, *, segment_seconds: int, retention_seconds: int
) -> NodeServices:
    """Return a recorder: a relay that also keeps each source under RECORDINGS, for the retention and no longer."""
    recordings = {
        "folder": str(RECORDINGS),
        "segment_seconds": segment_seconds,
        "retention_seconds": retention_seconds,
    }
    listening = _listening("recorder", door)
    config = _Config("recorder", door, {"listening": listening, "mounts": _mounts(sources), "recordings": recordings})
    kept = NodeServices(folders=(NodeFolder(RECORDINGS),))
    return config.services(config.listens()) + _client_of(sources, authority) + kept


def client(logins: Sequence[tuple[str, Login]], authority: bytes) -> NodeServices:
    """Return what a client of some servers needs: whom to believe, and `CREDENTIALS/<server>` for each by its name."""
    return NodeServices(
        files=(
            NodeFile(AUTHORITY, authority, 0o644),
            *(NodeFile(CREDENTIALS / name, login.line, 0o600) for name, login in logins),
        )
    )


def player(logins: Sequence[tuple[str, Login]], authority: bytes) -> NodeServices:
    """Return a client that can also play: `PLAYER URL --credential FILE --authority FILE`."""
    return client(logins, authority) + NodeServices(
        files=(*programs(), NodeFile(PLAYER, _PLAYER_SCRIPT.encode(), 0o755))
    )


@dataclass(frozen=True, slots=True)
class _Config:
    """The configuration of one program, under `/etc/cloison/<program>/`."""

    program: str
    door: Door
    fields: dict[str, object]

    @property
    def path(self) -> PurePosixPath:
        return _FOLDER / self.program / "config.json"

    def listens(self) -> PortReady:
        return PortReady(self.door.address, self.door.port, _READY_SECONDS)

    def services(self, ready: Ready) -> NodeServices:
        text = json.dumps(self.fields, indent=1, sort_keys=True) + "\n"
        users = "".join(map(digest_line, self.door.logins))
        arguments = (_PYTHON, "-m", f"node.{self.program}", str(self.path))
        return NodeServices(
            files=(
                *programs(),
                NodeFile(self.path, text.encode(), 0o644),
                NodeFile(self.path.with_name("users"), users.encode(), 0o600),
                *(self.door.identity.files(self.path.parent) if self.door.identity else ()),
            ),
            services=(Service(self.program, arguments, ready, environment=_ENVIRONMENT),),
        )


def _listening(program: str, door: Door) -> dict[str, object]:
    folder = _FOLDER / program
    listening: dict[str, object] = {
        "address": str(door.address),
        "port": door.port,
        "users": str(folder / "users"),
        "realm": REALM,
    }
    if door.identity is not None:
        listening |= {"certificate": str(folder / "certificate.pem"), "key": str(folder / "key.pem")}
    return listening


def _client_of(sources: Sequence[Source], authority: bytes) -> NodeServices:
    return client([(source.mount, source.login) for source in sources], authority)


def _mounts(sources: Sequence[Source]) -> list[dict[str, object]]:
    mounts: list[dict[str, object]] = []
    for source in sources:
        scheme = "rtsps" if source.is_encrypted else "rtsp"
        remote = {
            "url": f"{scheme}://{source.address}:{source.port}{CAMERA_PATH}",
            "credential": str(CREDENTIALS / source.mount),
        }
        if source.is_encrypted:
            remote["authority"] = str(AUTHORITY)
        mounts.append({"path": f"/{source.mount}", "remote": remote})
    return mounts
