"""Cameras, live gateways, recorders and players: the programs of `lab/node`, and the files that configure them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cloison.lab.service import NodeFile, NodeFolder, NodeServices, PortReady, Service

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address

    from cloison.lab.configure.identity import TlsIdentity

REALM = "cloison"
CAMERA_PATH = "/live"
SCENE = PurePosixPath("/srv/scene/nonce")
"""What a camera looks at: 8 hexadecimal digits. Replace it, and the picture changes within two frames."""
RECORDINGS = PurePosixPath("/srv/recordings")
PLAYER = PurePosixPath("/opt/twin/play")
CREDENTIALS = PurePosixPath("/etc/twin/credentials")
"""Folder of a client: one file a server, one line `user:password` in it."""
_PROGRAMS = PurePosixPath("/opt/twin")
_FOLDER = PurePosixPath("/etc/twin")
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
    """Return a camera that serves `/live` and looks at the scene with this nonce (32 bits)."""
    config = {**_listening(door), "path": CAMERA_PATH, "scene": str(SCENE)}
    files = (*_door_files(door), NodeFile(SCENE, f"{scene:08x}\n".encode(), 0o644))
    return _program("camera", config, door, files)


def relay(door: Door, sources: Sequence[Source], authority: bytes) -> NodeServices:
    """Return a live gateway: each source is served live as `/<mount>`, and nothing of it is kept."""
    config = {"listening": _listening(door), "mounts": _mounts(sources)}
    return _program("relay", config, door, (*_door_files(door), *_client_files(sources, authority)))


def recorder(
    door: Door, sources: Sequence[Source], authority: bytes, *, segment_seconds: int, retention_seconds: int
) -> NodeServices:
    """Return a recorder: a relay that also keeps each source under RECORDINGS, for the retention and no longer."""
    recordings = {
        "folder": str(RECORDINGS),
        "segment_seconds": segment_seconds,
        "retention_seconds": retention_seconds,
    }
    config = {"listening": _listening(door), "mounts": _mounts(sources), "recordings": recordings}
    files = (*_door_files(door), *_client_files(sources, authority))
    return _program("recorder", config, door, files) + NodeServices(folders=(NodeFolder(RECORDINGS),))


def client(logins: Sequence[tuple[str, Login]], authority: bytes) -> NodeServices:
    """Return what a client of some servers needs: whom to believe, and `CREDENTIALS/<server>` for each by its name."""
    return NodeServices(
        files=(
            NodeFile(_FOLDER / "authority.pem", authority, 0o644),
            *(NodeFile(CREDENTIALS / name, login.line, 0o600) for name, login in logins),
        )
    )


def player(logins: Sequence[tuple[str, Login]], authority: bytes) -> NodeServices:
    """Return a client that can also play: `PLAYER URL --credential FILE --authority FILE`."""
    return client(logins, authority) + NodeServices(
        files=(*programs(), NodeFile(PLAYER, _PLAYER_SCRIPT.encode(), 0o755))
    )


def _listening(door: Door) -> dict[str, object]:
    listening: dict[str, object] = {
        "address": str(door.address),
        "port": door.port,
        "users": str(_FOLDER / "users"),
        "realm": REALM,
    }
    if door.identity is not None:
        listening |= {"certificate": str(_FOLDER / "certificate.pem"), "key": str(_FOLDER / "key.pem")}
    return listening


def _door_files(door: Door) -> tuple[NodeFile, ...]:
    users = NodeFile(_FOLDER / "users", "".join(map(digest_line, door.logins)).encode(), 0o600)
    if door.identity is None:
        return (users,)
    shown = (
        NodeFile(_FOLDER / "certificate.pem", door.identity.certificate, 0o644),
        NodeFile(_FOLDER / "key.pem", door.identity.key, 0o600),
    )
    return (users, *shown)


def _client_files(sources: Sequence[Source], authority: bytes) -> tuple[NodeFile, ...]:
    logins = (NodeFile(CREDENTIALS / source.mount, source.login.line, 0o600) for source in sources)
    return (NodeFile(_FOLDER / "authority.pem", authority, 0o644), *logins)


def _mounts(sources: Sequence[Source]) -> list[dict[str, object]]:
    mounts: list[dict[str, object]] = []
    for source in sources:
        scheme = "rtsps" if source.is_encrypted else "rtsp"
        remote = {
            "url": f"{scheme}://{source.address}:{source.port}{CAMERA_PATH}",
            "credential": str(CREDENTIALS / source.mount),
        }
        if source.is_encrypted:
            remote["authority"] = str(_FOLDER / "authority.pem")
        mounts.append({"path": f"/{source.mount}", "remote": remote})
    return mounts


def _program(name: str, config: object, door: Door, files: tuple[NodeFile, ...]) -> NodeServices:
    path = _FOLDER / f"{name}.json"
    text = json.dumps(config, indent=1, sort_keys=True) + "\n"
    ready = PortReady(door.address, door.port, _READY_SECONDS)
    return NodeServices(
        files=(*programs(), NodeFile(path, text.encode(), 0o644), *files),
        services=(Service(name, (_PYTHON, "-m", f"node.{name}", str(path)), ready, environment=_ENVIRONMENT),),
    )
