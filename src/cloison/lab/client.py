"""Speaks to the daemon of a twin: what it shows, hands out and does."""

from __future__ import annotations

import contextlib
import json
import os
import signal as signals
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cloison.errors import InputError, LabError, TransportError, TransportTimeout
from cloison.lab.folder import LabFolder
from cloison.lab.status import LabStatus
from cloison.model import EquipmentName, Name, Untrusted
from cloison.transport.base import DEFAULT_TIMEOUT_SECONDS, CommandResult
from cloison.transport.channel import Channel
from cloison.transport.namespace import NamespaceDialer, NamespaceRunner, Namespaces

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ANSWER_SECONDS = 60.0
# In one step for a reader: written beside, then renamed.
_PUT = 'set -e; umask 077; mkdir -p "${1%/*}"; cat >"$1.new"; chmod "$2" "$1.new"; mv -f "$1.new" "$1"'

_FILLING = "/var/tmp/filling"  # noqa: S108  a node's, where nobody else writes
# At once what is free, then page by page whatever was freed meanwhile; the second ends by there being no space left.
_FILL = f"""
set -e
free=$(df -B1 --output=avail / | tail -n 1)
[ "$free" -lt 4096 ] || fallocate -l "$free" {_FILLING}
dd if=/dev/zero bs=4096 oflag=append conv=notrunc of={_FILLING} 2>/dev/null || true
[ "$(df -B1 --output=avail / | tail -n 1)" -eq 0 ]
"""


class LabClient:
    """One twin, by its workspace and its name. Every call has a connection of its own: threads may share it."""

    def __init__(self, root: Path, name: str) -> None:
        self.folder = LabFolder(root, Name(name))

    @property
    def name(self) -> str:
        """The name of the twin."""
        return self.folder.name

    def is_up(self) -> bool:
        """Tell whether the daemon answers."""
        try:
            self._ask({"verb": "status"})
        except LabError:
            return False
        return True

    def _connect(self) -> Channel:
        try:
            return Channel.connect(f"lab {self.name}", self.folder.control)
        except TransportError as error:
            if isinstance(error.__cause__, PermissionError):
                msg = f"lab {self.name} is another user's: {self.folder.path} may not be entered; expected to be root"
                raise LabError(msg) from error
            msg = f"lab {self.name} is not up; start it with `cloison lab up --name {self.name}`"
            raise LabError(msg) from error

    def _ask(self, request: dict[str, object], timeout: float = _ANSWER_SECONDS) -> tuple[dict[str, object], list[int]]:
        """Return the answer and the descriptors that came with it; LabError with the daemon's own words."""
        with self._connect() as channel:
            try:
                channel.send(request)
                answer, fds = channel.receive(timeout)
            except TransportTimeout as error:
                msg = f"lab {self.name}: {request['verb']} not done within {timeout:g} s; `cloison lab down` ends it"
                raise LabError(msg) from error
            except TransportError as error:
                msg = f"lab {self.name}: the daemon ended meanwhile; see {self.folder.log}"
                raise LabError(msg) from error
        if "error" in answer:
            for fd in fds:
                os.close(fd)
            raise LabError(Untrusted(str(answer["error"])).shown())
        return answer, fds

    def status(self) -> LabStatus:
        """Return the state of every node, service and cable."""
        return LabStatus.model_validate_json(json.dumps(self._ask({"verb": "status"})[0]))

    def node(self, text: str) -> EquipmentName:
        """Return the node of that name, or the only one whose name ends so (`nvr`); InputError otherwise."""
        nodes = [node.node for node in self.status().nodes]
        found = [node for node in nodes if node == text] or [node for node in nodes if node.equipment == text]
        if len(found) == 1:
            return found[0]
        wrong = "is ambiguous" if found else "is no node of the twin"
        msg = f"{Untrusted(text).shown(100)} {wrong}; expected one of: {', '.join(found or nodes)}"
        raise InputError(msg)

    def namespaces(self, node: EquipmentName | str) -> Namespaces:
        """Return open descriptors of the namespaces of a node, to be closed by the caller; LabError when it is off."""
        _, fds = self._ask({"verb": "namespaces", "node": node})
        return Namespaces(*fds)

    def runner(self, node: EquipmentName | str) -> NamespaceRunner:
        """Return a runner of commands inside the node; the caller closes it."""
        return NamespaceRunner(str(node), self.namespaces(node))

    def dialer(self, node: EquipmentName | str) -> NamespaceDialer:
        """Return a dialer from inside the node's network namespace; the caller closes it."""
        namespaces = self.namespaces(node)
        for fd in namespaces.descriptors:
            if fd != namespaces.net:
                os.close(fd)
        return NamespaceDialer(str(node), namespaces.net)

    def run(
        self,
        node: EquipmentName | str,
        arguments: Sequence[str],
        stdin: bytes = b"",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> CommandResult:
        """Run one command inside the node to its end; see `cloison.transport.base.Runner`."""
        with contextlib.closing(self.runner(node)) as runner:
            return runner.run(arguments, stdin=stdin, timeout=timeout)

    def put_file(self, node: EquipmentName | str, path: PurePosixPath | str, content: bytes, mode: int = 0o644) -> None:
        """Write a file of the node in one step, owned by root; LabError when it cannot be."""
        where = PurePosixPath(path)
        if not where.is_absolute() or ".." in where.parts:
            msg = f"{where}: expected an absolute path without '..'"
            raise LabError(msg)
        result = self.run(node, ["sh", "-c", _PUT, "put", str(where), f"{mode:o}"], content)
        if result.exit_status != 0:
            msg = f"{node}: {where} cannot be written: {Untrusted(result.stderr).shown(300).strip()}"
            raise LabError(msg)

    def start(self, node: EquipmentName | str, service: str) -> None:
        """Start a service and return once it is ready; LabError with the last lines of its log when it is not."""
        self._ask({"verb": "start", "node": node, "service": service})

    def stop(self, node: EquipmentName | str, service: str) -> None:
        """End a service: asked first, killed after 5 s."""
        self._ask({"verb": "stop", "node": node, "service": service})

    def signal(self, node: EquipmentName | str, service: str, number: signals.Signals) -> None:
        """Send a signal to the process of a service."""
        self._ask({"verb": "signal", "node": node, "service": service, "number": int(number)})

    def pause(self, node: EquipmentName | str, service: str) -> None:
        """Stop the process of a service where it stands; the kernel still takes connections for it."""
        self.signal(node, service, signals.SIGSTOP)

    def resume(self, node: EquipmentName | str, service: str) -> None:
        """Undo `pause`."""
        self.signal(node, service, signals.SIGCONT)

    def power_off(self, node: EquipmentName | str) -> None:
        """Kill everything in the node as a power cut would; its disk and its cables stay."""
        self._ask({"verb": "power-off", "node": node})

    def power_on(self, node: EquipmentName | str) -> None:
        """Boot a node that is off and return once its services are ready; nothing when it has power."""
        self._ask({"verb": "power-on", "node": node})

    def reboot(self, node: EquipmentName | str) -> None:
        """Cut the power of the node and return once it has booted on its disk and its cables, services ready."""
        self._ask({"verb": "reboot", "node": node})

    def freeze(self, node: EquipmentName | str) -> None:
        """Stop every process in the node where it stands; its kernel goes on, and forwards what it forwarded."""
        self._do(node, "kill -STOP -1", "cannot be frozen")

    def thaw(self, node: EquipmentName | str) -> None:
        """Undo `freeze`."""
        self._do(node, "kill -CONT -1", "cannot be thawed")

    def fill_disk(self, node: EquipmentName | str) -> None:
        """Leave no byte free on the disk of the node."""
        self._do(node, _FILL, "its disk cannot be filled")

    def free_disk(self, node: EquipmentName | str) -> None:
        """Undo `fill_disk`."""
        self._do(node, f"rm -f {_FILLING}", "its disk cannot be freed")

    def _do(self, node: EquipmentName | str, script: str, wrong: str) -> None:
        """Run a script inside the node; LabError with what is wrong, and the script's words, when it fails."""
        result = self.run(node, ["sh", "-c", script])
        if result.exit_status != 0:
            msg = f"{node}: {wrong}: {Untrusted(result.stderr).shown(300).strip()}"
            raise LabError(msg)

    def cut(self, port: str) -> None:
        """Cut the cable at `<site>/<equipment>:<port>`: no carrier on the device's side."""
        self._ask({"verb": "cut", "port": port})

    def mend(self, port: str) -> None:
        """Undo `cut`."""
        self._ask({"verb": "mend", "port": port})

    def plug(self, port: str, node: EquipmentName | str, interface: str) -> None:
        """Put the far end of the cable at `port` into another node, as `interface`, up, in place of what was on it."""
        self._ask({"verb": "plug", "port": port, "node": node, "interface": interface})

    def unplug(self, port: str) -> None:
        """Bring the far end of the cable at `port` back where it belongs."""
        self._ask({"verb": "unplug", "port": port})
