"""The system calls that make a node's root: mount, umount, pivot_root, unshare, sethostname (Linux)."""

from __future__ import annotations

import ctypes
import os
from typing import Final

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
_MNT_DETACH: Final = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount `source` on `target` (mount(2)); OSError names both."""
    result = _libc.mount(source.encode(), os.fsencode(target), kind.encode() or None, flags, options.encode() or None)
    _checked(result, f"mount {kind or 'bind'} {source} on {target}")


def bind_read_only(source: str, target: str) -> None:
    """Show `source` at `target`, without the right to write there."""
    mount(source, target, flags=MS_BIND)
    mount("", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def unmount(target: str) -> None:
    """Take the mount away, now from the tree and later, once nobody uses it, from the kernel."""
    _checked(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"umount {target}")


def pivot_root(new_root: str) -> None:
    """Make `new_root`, a mount point, the root of the mount namespace, and forget the old root (pivot_root(2))."""
    os.chdir(new_root)
    _checked(_libc.pivot_root(b".", b"."), f"pivot_root {new_root}")
    # The old root lies over the new one now: detached, it is gone from the namespace (pivot_root(2), NOTES).
    unmount(".")
    os.chdir("/")


def unshare(flags: int) -> None:
    """Give the calling process new namespaces (unshare(2))."""
    _checked(_libc.unshare(flags), "unshare")


def set_host_name(name: str) -> None:
    """Set the host name of the UTS namespace."""
    encoded = name.encode()
    _checked(_libc.sethostname(encoded, len(encoded)), f"sethostname {name}")
