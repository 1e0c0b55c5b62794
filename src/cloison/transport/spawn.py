"""Starts long-running programs inside other namespaces, as children of the calling process."""

from __future__ import annotations

import contextlib
import ctypes
import grp  # noqa: F401  loaded before a child loses sight of the library folder
import os
import pwd
import resource
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from cloison.errors import TransportError
from cloison.transport.namespace import DROPPED_CAPABILITIES, NODE_ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PR_CAPBSET_DROP = 24
_FAILED = 127
_DESCRIPTORS = 1024

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Program:
    """A program to start: where its output goes, as whom, with which environment."""

    arguments: Sequence[str]
    log: str = "/dev/null"
    """Path, inside the namespaces, that standard output and error are appended to."""
    user: str = "root"
    """A user of the system inside."""
    environment: Mapping[str, str] = field(default_factory=lambda: NODE_ENVIRONMENT)


def spawn(
    place: str, program: Program, *, enter: Callable[[], None], prepare: Callable[[], None] = lambda: None
) -> int:
    """Start a program and return its process id once it is executing.

    Two children are forked, since a process-id namespace is entered by a child of who asked for it: the first one
    calls `enter` (setns or unshare) and ends, the second calls `prepare`, drops the capabilities that no node has,
    and becomes the program. The caller is the first process of its own process-id namespace, so that the program,
    once orphaned, is its child; it has a single thread.
    Raises TransportError with the step that failed.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    first = os.fork()
    if first == 0:
        _first_child(program, writing, enter, prepare)
    os.close(writing)
    with os.fdopen(reading, "rb") as report:
        said = report.read().decode(errors="replace")
    os.waitpid(first, 0)
    numbers = [line for line in said.splitlines() if line.isdigit()]
    failures = [line for line in said.splitlines() if not line.isdigit()]
    if failures or not numbers:
        for number in numbers:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(int(number), 0)
        raise TransportError(place, f"{program.arguments[0]} cannot be started: {' '.join(failures) or 'killed'}")
    return int(numbers[0])


def _first_child(program: Program, report: int, enter: Callable[[], None], prepare: Callable[[], None]) -> NoReturn:
    """Enter the namespaces, fork the program into them, tell its process id."""
    try:
        enter()
        second = os.fork()
        if second == 0:
            _second_child(program, report, prepare)
        os.write(report, f"{second}\n".encode())
        os._exit(0)
    except BaseException as error:  # noqa: BLE001  nothing of the parent's code may run in the child
        os.write(report, f"{type(error).__name__}: {error}\n".encode())
    os._exit(_FAILED)


def _second_child(program: Program, report: int, prepare: Callable[[], None]) -> NoReturn:
    """Become the program."""
    try:
        prepare()
        os.setsid()
        _standard_streams(program.log)
        drop_capabilities()
        environment = dict(program.environment)
        if program.user != "root":
            environment["HOME"] = _become(program.user)
        os.chdir("/")
        os.umask(0o022)
        # As an init would start it, whatever the caller's limit: some daemons walk through every number they may have.
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_DESCRIPTORS, hard), hard))
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python, and inherited so
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(program.arguments[0], list(program.arguments), environment)  # noqa: S606  no shell is wanted
    except BaseException as error:  # noqa: BLE001  nothing of the parent's code may run in the child
        os.write(report, f"{type(error).__name__}: {error}\n".encode())
    os._exit(_FAILED)


def _standard_streams(log: str) -> None:
    nothing = os.open("/dev/null", os.O_RDWR)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o640)
    os.dup2(nothing, 0)
    os.dup2(written, 1)
    os.dup2(written, 2)


def _become(user: str) -> str:
    """Take a user's identity, as the system inside knows it; return their home."""
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    return entry.pw_dir


def drop_capabilities() -> None:
    """Take DROPPED_CAPABILITIES out of the bounding set: neither this process nor a child can have them after exec."""
    for number in DROPPED_CAPABILITIES.values():
        if _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl: cannot drop capability {number}")
