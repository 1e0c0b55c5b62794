"""Reaches into Linux namespaces through their file descriptors: sockets opened there, commands run there.

A namespace is named by a descriptor and never by a path or a process id, so what is reached is what was handed over.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

from cloison.errors import TransportError, TransportTimeout
from cloison.transport.base import DEFAULT_TIMEOUT_SECONDS, CommandResult
from cloison.transport.local import run_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000

DROPPED_CAPABILITIES = {
    "sys_module": 16,
    "sys_rawio": 17,
    "sys_boot": 22,
    "sys_time": 25,
    "mknod": 27,
    "syslog": 34,
}
"""What nothing inside a node may do, with the numbers of linux/capability.h: these reach the machine, not the node."""
NODE_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}

_libc = ctypes.CDLL(None, use_errno=True)


def setns(fd: int, kind: int) -> None:
    """Move the calling thread into the namespace; OSError when the kernel refuses (setns(2))."""
    if _libc.setns(fd, kind) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


@contextlib.contextmanager
def network_namespace(netns_fd: int) -> Iterator[None]:
    """Inside the block, the calling thread (and no other) is in the network namespace; its sockets stay there."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(netns_fd, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


def open_socket_in(netns_fd: int, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """Return a new socket that belongs to the network namespace for as long as it is open."""
    with network_namespace(netns_fd):
        return socket.socket(family, kind, protocol)


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Open descriptors of the namespaces of one node. Whoever holds them closes them."""

    net: int
    mnt: int
    pid: int
    uts: int
    ipc: int

    @classmethod
    def of_process(cls, pid: int) -> Self:
        """Open the namespaces that a process is in; OSError when it has ended."""
        with contextlib.ExitStack() as undo:
            opened: list[int] = []
            for field in fields(cls):
                fd = os.open(f"/proc/{pid}/ns/{field.name}", os.O_RDONLY | os.O_CLOEXEC)
                undo.callback(os.close, fd)
                opened.append(fd)
            undo.pop_all()
        return cls(*opened)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors, in the order of the fields."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def enter(self) -> None:
        """Move the calling process into all of them; the process-id namespace takes effect for its children."""
        kinds = (CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUTS, CLONE_NEWIPC)
        order = sorted(zip(self.descriptors, kinds, strict=True), key=lambda pair: pair[1] == CLONE_NEWNS)
        for fd, kind in order:  # the mount namespace last: /proc is another one after it
            setns(fd, kind)

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self.descriptors:
            os.close(fd)

    def __enter__(self) -> Self:
        """Return the descriptors, to be closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the descriptors."""
        self.close()


class NamespaceDialer:
    """Opens TCP connections from inside a network namespace. `close` closes its descriptor."""

    def __init__(self, place: str, netns_fd: int) -> None:
        self.place = place
        self._netns_fd = netns_fd

    def dial(self, address: str, port: int, *, timeout: float) -> socket.socket:
        """Return a socket connected from inside the namespace, with `timeout` still set on it.

        Raises TransportTimeout when nothing answered in time, TransportError when the connection was refused.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            dialled = open_socket_in(self._netns_fd, family, socket.SOCK_STREAM)
        except OSError as error:
            raise TransportError(self.place, f"no socket in its network namespace: {error.strerror}") from error
        try:
            dialled.settimeout(timeout)
            dialled.connect((address, port))
        except TimeoutError as error:
            dialled.close()
            raise TransportTimeout(self.place, f"{address} port {port} did not answer within {timeout:g} s") from error
        except OSError as error:
            dialled.close()
            raise TransportError(self.place, f"{address} port {port}: {error.strerror}") from error
        return dialled

    def close(self) -> None:
        """Close the descriptor; connections that were dialled stay open."""
        os.close(self._netns_fd)


def entering(namespaces: Namespaces, arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs `arguments` inside, with the capabilities of a node, dying with its caller."""
    # Through this process's own table of descriptors, so that the command inside inherits none of them.
    table = f"/proc/{os.getpid()}/fd"
    dropped = ",".join(f"-{name}" for name in DROPPED_CAPABILITIES)
    return [
        "setpriv",
        "--pdeathsig=KILL",
        "nsenter",
        f"--net={table}/{namespaces.net}",
        f"--mount={table}/{namespaces.mnt}",
        f"--pid={table}/{namespaces.pid}",
        f"--uts={table}/{namespaces.uts}",
        f"--ipc={table}/{namespaces.ipc}",
        "setpriv",
        "--pdeathsig=KILL",
        f"--bounding-set={dropped}",
        "--",
        *arguments,
    ]


def attach(namespaces: Namespaces, arguments: Sequence[str], terminal: str = "dumb") -> int:
    """Run one command inside on this process's own terminal, input and outputs; return its exit status.

    As a shell has it, the status of one that a signal ended is 128 and the signal's number. An interrupt from the
    keyboard is for the command: this process outlives it. `terminal` becomes TERM.
    """
    environment = {**NODE_ENVIRONMENT, "TERM": terminal}
    before = signal.signal(signal.SIGINT, lambda *_: None)  # not SIG_IGN, which the command would inherit
    try:
        status = subprocess.run(entering(namespaces, arguments), env=environment, check=False).returncode
        return status if status >= 0 else 128 - status
    finally:
        signal.signal(signal.SIGINT, before)


class NamespaceRunner:
    """Runs commands inside a node: in all its namespaces, on its root, without its host's environment."""

    def __init__(self, place: str, namespaces: Namespaces) -> None:
        self._place = place
        self._namespaces = namespaces

    @property
    def place(self) -> str:
        """The name of the node."""
        return self._place

    def run(
        self, arguments: Sequence[str], *, stdin: bytes = b"", timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> CommandResult:
        """Run one command to its end; see `cloison.transport.base.Runner`. 127 when there is no such program."""
        command = entering(self._namespaces, arguments)
        return run_bounded(self._place, command, stdin=stdin, timeout=timeout, environment=NODE_ENVIRONMENT)

    def close(self) -> None:
        """Close the descriptors of the namespaces."""
        self._namespaces.close()
