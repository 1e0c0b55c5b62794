"""One node while it lives: its disk, its init, its namespaces, its services."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from cloison.errors import LabError
from cloison.lab.disk import is_volatile, put_file, put_folder, read_tail
from cloison.lab.kernel import unshare
from cloison.lab.root import STAGE, enter_disk, make_disk
from cloison.lab.service import CommandReady, NodeServices, PortReady, Service, SocketReady
from cloison.model import Untrusted
from cloison.transport.namespace import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    NODE_ENVIRONMENT,
    Namespaces,
    open_socket_in,
)
from cloison.transport.spawn import Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloison.lab.children import Children
    from cloison.lab.design import NodeDesign

# One init a node, that reaps what its services leave behind; it has nothing else to do.
_INIT: Final = Program(("/usr/bin/tini", "--", "/usr/bin/sleep", "infinity"))
_POLL_SECONDS: Final = 0.02
_TRY_SECONDS: Final = 2.0
_GRACE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Running:
    """A service that was started: its process, and how it will have ended."""

    pid: int
    ended: asyncio.Future[int]


class Machine:
    """A node. It is built once; it may then boot, die and boot again, and keeps its disk."""

    def __init__(
        self, design: NodeDesign, given: NodeServices, children: Children, died: Callable[[Machine], None]
    ) -> None:
        self.design, self.given = design, given
        self._children, self._died = children, died
        self.disk: Path = STAGE / "disks" / design.name.site / design.name.equipment
        self.namespaces: Namespaces | None = None
        """None while it has no power."""
        self.netns: int = -1
        """Its network namespace, held so that the cables outlive the node."""
        self._init: _Running | None = None
        self._running: dict[str, _Running] = {}

    def build(self) -> None:
        """Make its disk, with everything it was given but what a boot would lose."""
        make_disk(self.disk, self.design.host_name, self.design.name.host_name)
        self._put(self.disk, volatile=False)

    def _put(self, root: Path, *, volatile: bool) -> None:
        for folder in self.given.folders:
            if is_volatile(folder.path) is volatile:
                put_folder(root, folder)
        for file in self.given.files:
            if is_volatile(file.path) is volatile:
                put_file(root, file)

    def boot(self) -> int:
        """Start its init in namespaces of its own; return the network namespace it had before, -1 for none.

        The caller moves the cables over and closes that one. Raises TransportError.
        """
        kinds = CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC
        pid, ended = self._children.start(
            self.design.name,
            _INIT,
            enter=lambda: unshare(kinds),
            prepare=lambda: enter_disk(self.disk, self.design.host_name),
        )
        self._init = _Running(pid, ended)
        self.namespaces = Namespaces.of_process(pid)
        before, self.netns = self.netns, os.dup(self.namespaces.net)
        self._put(Path(f"/proc/{pid}/root"), volatile=True)
        ended.add_done_callback(lambda _: self._lost_power())
        return before

    def _lost_power(self) -> None:
        if self.namespaces is not None:
            self.namespaces.close()
        self.namespaces, self._init = None, None
        self._died(self)

    async def power_off(self) -> None:
        """Kill everything in the node, at once, as a power cut would."""
        if self._init is not None:
            ended = self._init.ended
            os.kill(self._init.pid, signal.SIGKILL)
            await ended
            await asyncio.sleep(0)  # lets the callbacks of the future run first
        for running in self._running.values():
            await running.ended
        self._running.clear()

    async def start_services(self) -> None:
        """Start every service in order, each once the one before is ready; LabError when one is not."""
        for service in self.given.services:
            await self.start(service.name)

    def _service(self, name: str) -> Service:
        for service in self.given.services:
            if service.name == name:
                return service
        known = ", ".join(service.name for service in self.given.services) or "none"
        msg = f"{self.design.name}: no service {name!r}; expected one of: {known}"
        raise LabError(msg)

    async def start(self, name: str) -> None:
        """Start a service and return once it is ready; nothing when it runs already.

        Raises LabError with the last lines of its log when it ends or is not ready in time.
        """
        service = self._service(name)
        running = self._running.get(name)
        if running is not None and not running.ended.done():
            return
        program = Program(
            service.arguments,
            log=f"/var/log/{name}.log",
            user=service.user,
            environment={**NODE_ENVIRONMENT, **dict(service.environment)},
        )
        pid, ended = self._children.start(f"{self.design.name} {name}", program, enter=self.powered().enter)
        self._running[name] = _Running(pid, ended)
        deadline = time.monotonic() + service.ready.deadline
        while not await self._is_ready(service, deadline):
            if ended.done():
                status = ended.result()
                how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
                raise self._failure(name, f"{how} before it was ready")
            if time.monotonic() > deadline:
                raise self._failure(name, f"was not ready after {service.ready.deadline:g} s: {service.ready}")
            await asyncio.wait({ended}, timeout=_POLL_SECONDS)

    def _failure(self, name: str, what: str) -> LabError:
        said = Untrusted(read_tail(self.disk, PurePosixPath(f"/var/log/{name}.log"))).shown().strip()
        return LabError(f"{self.design.name}: service {name} {what}; its log ends:\n{said or '(empty)'}")

    def powered(self) -> Namespaces:
        """Return its namespaces; LabError when it is off."""
        if self.namespaces is None:
            msg = f"{self.design.name} is off; `cloison lab power {self.design.name} on` boots it"
            raise LabError(msg)
        return self.namespaces

    async def _is_ready(self, service: Service, deadline: float) -> bool:
        ready = service.ready
        limit = min(_TRY_SECONDS, max(0.05, deadline - time.monotonic()))
        if isinstance(ready, PortReady):
            probe = open_socket_in(self.powered().net, socket.AF_INET, socket.SOCK_STREAM)
            return await self._accepts(probe, (str(ready.address), ready.port), limit)
        if isinstance(ready, SocketReady):
            if self._init is None:
                return False
            probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            return await self._accepts(probe, f"/proc/{self._init.pid}/root{ready.path}", limit)
        return await self._exits_with_success(ready, limit)

    @staticmethod
    async def _accepts(probe: socket.socket, address: tuple[str, int] | str, limit: float) -> bool:
        with probe:
            probe.settimeout(0)
            try:
                async with asyncio.timeout(limit):
                    await asyncio.get_running_loop().sock_connect(probe, address)
            except OSError:
                return False
        return True

    async def _exits_with_success(self, ready: CommandReady, limit: float) -> bool:
        pid, ended = self._children.start(self.design.name, Program(ready.arguments), enter=self.powered().enter)
        done, _ = await asyncio.wait({ended}, timeout=limit)
        if not done:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            await ended
        return ended.result() == 0

    async def stop(self, name: str) -> None:
        """End a service: asked first, killed with all its process group after a grace of 5 s."""
        self._service(name)
        running = self._running.pop(name, None)
        if running is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGTERM)
            await asyncio.wait({running.ended}, timeout=_GRACE_SECONDS)
            os.killpg(running.pid, signal.SIGKILL)
        await running.ended

    def signal(self, name: str, number: int) -> None:
        """Send a signal to the process of a service; LabError when it does not run."""
        self._service(name)
        running = self._running.get(name)
        if running is None or running.ended.done():
            msg = f"{self.design.name}: service {name} does not run"
            raise LabError(msg)
        os.kill(running.pid, number)

    def state(self) -> dict[str, object]:
        """Return what `status` shows of the node."""
        services = {service.name: self._state_of(service.name) for service in self.given.services}
        power = self.namespaces is not None
        return {"node": self.design.name, "role": self.design.role, "power": power, "services": services}

    def _state_of(self, name: str) -> str:
        running = self._running.get(name)
        if running is None:
            return "stopped"
        return f"ended ({running.ended.result()})" if running.ended.done() else "running"
