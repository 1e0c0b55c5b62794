"""The child processes of the lab daemon: how each ended, awaited; and `ip -batch` among them."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from typing import TYPE_CHECKING

from cloison.errors import LabError
from cloison.lab.root import STAGE
from cloison.model import Untrusted
from cloison.transport.namespace import CLONE_NEWNET, setns
from cloison.transport.spawn import Program, spawn

if TYPE_CHECKING:
    from collections.abc import Callable


class Children:
    """Reaps every child, and tells who waits for one how it ended."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._batches = itertools.count(1)
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            future = self._waiting.pop(pid, None)
            if future is not None and not future.done():
                future.set_result(os.waitstatus_to_exitcode(status))

    def start(
        self, place: str, program: Program, *, enter: Callable[[], None], prepare: Callable[[], None] = lambda: None
    ) -> tuple[int, asyncio.Future[int]]:
        """Start a program; return its process id and its exit status to come (negative: the signal that ended it).

        Raises TransportError when it cannot be started.
        """
        pid = spawn(place, program, enter=enter, prepare=prepare)
        self._waiting[pid] = future = asyncio.get_running_loop().create_future()
        return pid, future

    async def ip(self, what: str, lines: list[str], netns_fd: int | None) -> None:
        """Run lines of `ip -batch` in a network namespace, the daemon's own when None; LabError when one is refused."""
        if not lines:
            return
        batch = STAGE / f"ip-{next(self._batches)}"
        log = batch.with_suffix(".log")
        batch.write_text("\n".join([*lines, ""]), encoding="ascii")

        def enter() -> None:
            if netns_fd is not None:
                setns(netns_fd, CLONE_NEWNET)

        _, ended = self.start(what, Program(("ip", "-batch", str(batch)), log=str(log)), enter=enter)
        status = await ended
        said = log.read_bytes()
        batch.unlink()
        log.unlink()
        if status != 0:
            msg = f"{what}: ip refused the interfaces: {Untrusted(said).shown(600).strip()}"
            raise LabError(msg)
