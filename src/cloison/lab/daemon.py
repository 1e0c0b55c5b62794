"""The lab daemon: one process a twin, started detached by `lab up`. Its end is the end of everything it made.

It is the first process of its own process-id, mount, network and IPC namespaces; nodes nest inside them.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from uuid import uuid4

from cloison.errors import CloisonError, LabError
from cloison.lab.lab import Lab
from cloison.lab.order import LabOrder
from cloison.transport.channel import LINE_LIMIT_BYTES, encode, listen, send_with_descriptors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Request = Mapping[str, object]

_CHUNK = 64 * 1024


def leave(status: int) -> NoReturn:
    """End the twin: the kernel kills what is in a process-id namespace when its first process ends."""
    os._exit(status)


class LineReader:
    """Lines from a non-blocking socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = bytearray()

    async def line(self) -> bytes | None:
        """Return the next line, or None when the other end has gone."""
        loop = asyncio.get_running_loop()
        while b"\n" not in self._read:
            try:
                chunk = await loop.sock_recv(self._connection, _CHUNK)
            except OSError:
                return None
            if not chunk or len(self._read) > LINE_LIMIT_BYTES:
                return None
            self._read += chunk
        line, _, rest = bytes(self._read).partition(b"\n")
        self._read = bytearray(rest)
        return line


class Control:
    """Answers the requests of the control socket, each connection in its own task."""

    def __init__(self, lab: Lab, listener: socket.socket) -> None:
        self._lab, self._listener = lab, listener
        self._started = time.monotonic()
        self._born = uuid4().hex
        self._tasks: set[asyncio.Task[None]] = set()
        self._verbs: dict[str, Callable[[Request], Awaitable[Mapping[str, object] | None]]] = {
            "status": self._status,
            "start": lambda r: self._lab.start(str(r.get("node")), str(r.get("service"))),
            "stop": lambda r: self._lab.stop(str(r.get("node")), str(r.get("service"))),
            "signal": self._signal,
            "power-off": lambda r: self._lab.power_off(str(r.get("node"))),
            "power-on": lambda r: self._lab.power_on(str(r.get("node"))),
            "reboot": lambda r: self._lab.reboot(str(r.get("node"))),
            "cut": lambda r: self._lab.cabling.cut(str(r.get("port"))),
            "mend": lambda r: self._lab.cabling.mend(str(r.get("port"))),
            "plug": self._plug,
            "unplug": lambda r: self._lab.cabling.unplug(str(r.get("port"))),
        }

    async def serve(self) -> None:
        """Accept connections for ever."""
        loop = asyncio.get_running_loop()
        self._listener.settimeout(0)
        while True:
            connection, _ = await loop.sock_accept(self._listener)
            task = loop.create_task(self._converse(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _converse(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(0)
            reader = LineReader(connection)
            while (line := await reader.line()) is not None:
                try:
                    await self._answer(connection, line)
                except OSError:
                    return  # the client has gone

    async def _answer(self, connection: socket.socket, line: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            answer, fds = await self._act(_object(line))
        except CloisonError as error:
            answer, fds = {"error": str(error)}, ()
        except (OSError, ValueError) as error:
            answer, fds = {"error": f"{type(error).__name__}: {error}"}, ()
        if fds:
            send_with_descriptors(connection, answer, fds)
        else:
            await loop.sock_sendall(connection, encode(answer))
        if "down" in answer:
            leave(0)

    async def _act(self, request: Request) -> tuple[Mapping[str, object], tuple[int, ...]]:
        """Do what is asked; return the answer, and the descriptors to send with it."""
        verb = request.get("verb")
        if verb == "namespaces":
            return {"done": True}, self._lab.machine(request.get("node")).powered().descriptors
        if verb == "down":
            return {"down": True}, ()
        act = self._verbs.get(str(verb))
        if act is None:
            msg = f"unknown request {verb!r}; expected one of: {', '.join(self._verbs)}"
            raise LabError(msg)
        return {"done": True, **(await act(request) or {})}, ()

    async def _status(self, _: Request) -> Mapping[str, object]:
        return {
            "born": self._born,
            "seconds": time.monotonic() - self._started,
            "nodes": [machine.state() for machine in self._lab.machines.values()],
            "links": self._lab.cabling.state(),
        }

    async def _signal(self, request: Request) -> None:
        number = request.get("number")
        if not isinstance(number, int):
            msg = "a signal is a number"
            raise LabError(msg)
        self._lab.machine(request.get("node")).signal(str(request.get("service")), number)

    async def _plug(self, request: Request) -> None:
        node = self._lab.machine(request.get("node")).design.name
        await self._lab.cabling.plug(str(request.get("port")), node, str(request.get("interface")))


def _object(line: bytes) -> Request:
    try:
        request = json.loads(line)
    except ValueError as error:
        msg = "a request is one line of JSON"
        raise LabError(msg) from error
    if not isinstance(request, dict):
        msg = "a request is a JSON object"
        raise LabError(msg)
    return request


class Daemon:
    """Builds the twin it is ordered, tells who ordered it, and serves it from then on."""

    def __init__(self, folder: Path, unpacked: Path, orderer: socket.socket, outer: socket.socket) -> None:
        self._folder, self._unpacked = folder, unpacked
        self._orderer, self._outer = orderer, outer

    async def run(self) -> None:
        """Build and serve; end with everything when the outer process ends, or who ordered it before it is ready."""
        loop = asyncio.get_running_loop()
        # The kernel kills this namespace when the outer process dies; this covers the instant before it was asked to.
        loop.add_reader(self._outer, leave, 1)
        self._orderer.settimeout(0)
        reader = LineReader(self._orderer)
        line = await reader.line()
        if line is None:
            leave(1)
        watch = loop.create_task(self._leave_unless_released(reader))
        try:
            order = LabOrder.model_validate_json(str(_object(line).get("order")))
            lab = Lab(order)
            await lab.build(self._unpacked, lambda text: self._tell({"progress": text}))
            control = Control(lab, listen(self._folder / "control"))
        except (CloisonError, OSError, ValueError) as error:
            kind = "" if isinstance(error, CloisonError) else f"{type(error).__name__}: "
            self._tell({"error": f"{kind}{error}"})
            leave(1)
        self._tell({"ready": True})
        await asyncio.gather(watch, control.serve())

    def _tell(self, message: Mapping[str, object]) -> None:
        try:
            self._orderer.sendall(encode(message))
        except OSError:
            leave(1)

    async def _leave_unless_released(self, reader: LineReader) -> None:
        """Wait for the word that releases the daemon; end everything when the channel closes without it."""
        if await reader.line() is None:
            leave(1)
        self._orderer.close()


def main(arguments: list[str]) -> None:
    """Run the daemon: FOLDER UNPACKED, and the numbers of four descriptors that its outer process holds too.

    They are the channel to who ordered the twin, the end of a socket pair that closes when the outer process ends,
    that process's own end of it, and the lock.
    """
    folder, unpacked, *numbers = arguments
    orderer, outer, other, lock = (int(number) for number in numbers)
    for fd in (orderer, outer, lock):
        fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    os.close(other)
    daemon = Daemon(Path(folder), Path(unpacked), socket.socket(fileno=orderer), socket.socket(fileno=outer))
    asyncio.run(daemon.run())


if __name__ == "__main__":
    main(sys.argv[1:])
