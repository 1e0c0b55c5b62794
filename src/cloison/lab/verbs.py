"""What `cloison lab` does: up, down, status, shell, tap. The command line parses and prints; it is done here."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cloison.errors import InputError, LabError, TransportError
from cloison.lab.client import LabClient
from cloison.lab.folder import LabFolder
from cloison.model import EquipmentName, InterfaceName, Name, Untrusted
from cloison.transport.channel import Channel
from cloison.transport.detached import start_detached
from cloison.transport.namespace import attach

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloison.lab.order import LabOrder
    from cloison.lab.status import LabStatus

UP_SECONDS = 90.0
"""The most that `up` waits between two words of the daemon."""
DOWN_SECONDS = 15.0
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class UpReport:
    """How `up` ended."""

    was_up: bool
    """True when the twin was up already, and nothing was done."""
    seconds: float


def up(
    root: Path,
    name: str,
    order: Callable[[], LabOrder],
    progress: Callable[[str], None],
    commission: Callable[[LabClient], None] | None = None,
) -> UpReport:
    """Start the twin of that name and return once every node is booted and every service of it is ready.

    `order` is called only when there is something to start, and `commission` once it has: what nodes are given that
    they have to ask for. The daemon outlives the caller from then on; when the caller ends before, or `commission`
    raises, the daemon ends too, with all it has made. Raises LabError with what did not come up.
    """
    started = time.monotonic()
    _require_root()
    folder = LabFolder(root, Name(name))
    folder.make()
    lock = folder.lock()
    if lock is None:
        if not LabClient(root, name).is_up():
            msg = f"lab {name} is being started or ended by somebody else; try again, or `cloison lab down`"
            raise LabError(msg)
        return UpReport(was_up=True, seconds=time.monotonic() - started)
    try:
        channel, theirs = Channel.pair(f"lab {name}")
        with channel:
            with theirs:
                _start_daemon(folder, theirs, lock)
            _follow(folder, channel, order(), progress)
            if commission is not None:
                commission(LabClient(root, name))
            _release(folder, channel)
    except BaseException:
        os.close(lock)
        _await_end(folder)
        raise
    os.close(lock)
    return UpReport(was_up=False, seconds=time.monotonic() - started)


def _require_root() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        msg = "the twin needs Linux and root (namespaces, mounts); without them, `check` and `render` still work"
        raise LabError(msg)


def _start_daemon(folder: LabFolder, orderer: socket.socket, lock: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fds = [orderer.fileno(), ours.fileno(), theirs.fileno(), lock]
        package = Path(__file__).resolve().parent.parent.parent
        environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "cloison.lab.daemon", str(folder.path), str(folder.unpacked)]
        start_detached(
            f"lab {folder.name}",
            [*command, *map(str, fds)],
            log=folder.log,
            pass_fds=fds,
            environment=environment,
        )


def _follow(folder: LabFolder, channel: Channel, order: LabOrder, progress: Callable[[str], None]) -> None:
    """Give the order, and repeat what the daemon says until it is ready."""
    try:
        channel.send({"order": order.model_dump_json()})
        while True:
            message, _ = channel.receive(UP_SECONDS)
            if "error" in message:
                raise LabError(Untrusted(str(message["error"])).shown())
            if "ready" in message:
                return
            progress(Untrusted(str(message.get("progress", ""))).shown(200))
    except TransportError as error:
        raise _ended_early(folder) from error


def _release(folder: LabFolder, channel: Channel) -> None:
    """Let the daemon outlive the caller."""
    try:
        channel.send({"release": True})
    except TransportError as error:
        raise _ended_early(folder) from error


def _ended_early(folder: LabFolder) -> LabError:
    said = Untrusted(folder.log.read_bytes()[-2000:]).shown().strip()
    return LabError(f"lab {folder.name}: the daemon ended before it was ready; {folder.log} ends:\n{said or '(empty)'}")


def down(root: Path, name: str) -> bool:
    """End the twin and return once nothing is left of it; False when it was not up.

    A daemon that does not answer is killed, and everything in the twin with it. LabError when it will not end.
    """
    folder = LabFolder(root, Name(name))
    if not folder.is_locked():
        return False
    with contextlib.suppress(TransportError), Channel.connect(f"lab {name}", folder.control) as channel:
        pid = channel.peer_pid
        try:
            channel.send({"verb": "down"}, timeout=2)
            channel.receive(2)
        except TransportError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
    if not _await_end(folder):
        msg = f"lab {name} has not ended after {DOWN_SECONDS:g} s; see {folder.log}"
        raise LabError(msg)
    folder.control.unlink(missing_ok=True)
    return True


def _await_end(folder: LabFolder) -> bool:
    """Return True once no process of the twin is left, False when some still is after DOWN_SECONDS."""
    deadline = time.monotonic() + DOWN_SECONDS
    while folder.is_locked():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def status(root: Path, name: str) -> LabStatus | None:
    """Return the state of the twin, None when it is not up."""
    client = LabClient(root, name)
    return client.status() if client.is_up() else None


def shell(root: Path, name: str, node: str, terminal: str) -> int:
    """Open a shell inside a node on this terminal; return its exit status. `terminal` is the type of it (TERM)."""
    client = LabClient(root, name)
    with client.namespaces(client.node(node)) as namespaces:
        return attach(namespaces, ["bash", "-l"], terminal)


def tap(root: Path, name: str, link: str) -> int:
    """Write what passes `<site>/<equipment>:<port>` on standard output, as pcap, until interrupted or the twin ends.

    A port may also be an internal one (`vlan110`). Return the exit status of the capture, 0 when it ran. Raises
    InputError for a port that is not there, LabError for a node that is off.
    """
    equipment, separator, port = link.rpartition(":")
    try:
        interface = InterfaceName(port)
    except ValueError as error:
        msg = f"{Untrusted(link).shown(100)}: expected <site>/<equipment>:<port>"
        raise InputError(msg) from error
    if not separator:
        msg = f"{Untrusted(link).shown(100)}: expected <site>/<equipment>:<port>"
        raise InputError(msg)
    client = LabClient(root, name)
    node = client.node(equipment)
    _require_port(client, node, interface)
    with client.namespaces(node) as namespaces:
        return attach(namespaces, ["tcpdump", "-Z", "root", "-i", interface, "--immediate-mode", "-U", "-w", "-"])


def _require_port(client: LabClient, node: EquipmentName, port: InterfaceName) -> None:
    links = json.loads(client.run(node, ["ip", "-json", "link", "show"]).stdout or b"[]")
    ports = sorted(str(link["ifname"]) for link in links)
    if port not in ports:
        msg = f"{node} has no port {port}; expected one of: {', '.join(ports)}"
        raise InputError(msg)
