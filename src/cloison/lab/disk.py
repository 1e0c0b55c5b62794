"""Puts files on the disk of a node, and reads from it what a node wrote without following it out."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Final

from cloison.lab.root import USERS

if TYPE_CHECKING:
    from pathlib import Path, PurePosixPath

    from cloison.lab.service import NodeFile, NodeFolder

_SYS_OPENAT2: Final = 437
"""The same number on every architecture (since Linux 5.6)."""
_RESOLVE_IN_ROOT, _RESOLVE_NO_MAGICLINKS = 0x10, 0x02

_libc = ctypes.CDLL(None, use_errno=True)
_user_numbers = {name: number for name, number, _, _ in USERS}


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def owner_number(user: str) -> int:
    """Return the number of a user that every node has; ValueError for another."""
    if user not in _user_numbers:
        msg = f"no user {user!r} in a node; expected one of {', '.join(_user_numbers)}"
        raise ValueError(msg)
    return _user_numbers[user]


def is_volatile(path: PurePosixPath) -> bool:
    """Tell whether the path is where every boot starts empty."""
    return path.parts[1:2] in {("run",), ("tmp",), ("dev",)} or path.parts[1:3] == ("var", "run")


def _inside(root: Path, path: PurePosixPath) -> Path:
    parts = path.parts[1:]
    if parts[:2] == ("var", "run"):
        parts = ("run", *parts[2:])
    return root.joinpath(*parts)


def put_folder(root: Path, folder: NodeFolder) -> None:
    """Make the folder under `root`, with its mode and owner; those on the way belong to root, mode 0755."""
    where = _inside(root, folder.path)
    where.mkdir(parents=True, exist_ok=True)
    number = owner_number(folder.owner)
    os.chown(where, number, number)
    where.chmod(folder.mode)


def put_file(root: Path, file: NodeFile) -> None:
    """Write the file under `root`, with its mode and owner; folders on the way belong to root, mode 0755."""
    where = _inside(root, file.path)
    where.parent.mkdir(parents=True, exist_ok=True)
    number = owner_number(file.owner)
    fresh = where.with_name(f".{where.name}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as stream:
        stream.write(file.content)
        os.fchown(fd, number, number)
        os.fchmod(fd, file.mode)
    fresh.replace(where)


def read_tail(root: Path, path: PurePosixPath, size: int = 1500) -> bytes:
    """Return the last bytes of a file under `root`; nothing when there is none. No link in it leads out of `root`."""
    base = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = _OpenHow(os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
        name = ctypes.c_char_p(str(path).encode())
        fd = _libc.syscall(_SYS_OPENAT2, base, name, ctypes.byref(how), ctypes.sizeof(how))
    finally:
        os.close(base)
    if fd < 0:
        return b""
    with os.fdopen(fd, "rb") as stream:
        length = os.fstat(fd).st_size
        stream.seek(max(0, length - size))
        return stream.read(size)
