"""Twins of the tests' own: grown small, watched from the host, and ended. They need Linux and root."""

from __future__ import annotations

import fcntl
import itertools
import os
import sys
import time
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.lab import verbs
from cloison.lab.client import LabClient
from cloison.lab.design import InterfaceDesign, LabDesign, LinkDesign, LinkEnd, NodeDesign, NodeRole
from cloison.lab.order import LabOrder
from cloison.model import EquipmentName, InterfaceName, MacAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cloison.lab.service import NodeServices

LEFT, MIDDLE, RIGHT = (EquipmentName(f"here/{name}") for name in ("left", "middle", "right"))
_NS_GET_PARENT = 0xB702
_KINDS = ("net", "mnt", "uts", "ipc", "pid")
_serial = itertools.count(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests of the twin out where no twin can be."""
    if sys.platform == "linux" and os.geteuid() == 0:
        return
    needing = [item for item in items if item.get_closest_marker("lab")]
    if needing:
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in needing]


def pytest_report_collectionfinish() -> list[str]:
    """Say so."""
    if sys.platform == "linux" and os.geteuid() == 0:
        return []
    return ["NOT RUN: every test marked `lab`: they need Linux and root; run `sudo make test`"]


def _interface(name: str, number: int, *addresses: str) -> InterfaceDesign:
    return InterfaceDesign(
        name=InterfaceName(name),
        mac=MacAddress(f"02:00:00:00:00:{number:02x}"),
        addresses=tuple(IPv4Interface(address) for address in addresses),
    )


def _link(near: str, far: str | None) -> LinkDesign:
    ends = [
        LinkEnd(node=EquipmentName(node), interface=InterfaceName(interface))
        for node, _, interface in (text.partition(":") for text in (near, far) if text)
    ]
    return LinkDesign(near=ends[0], far=ends[1] if far else None)


@pytest.fixture
def design() -> LabDesign:
    """Two hosts, a router between them with a spare port."""
    return LabDesign(
        nodes=(
            NodeDesign(
                name=LEFT,
                role=NodeRole.HOST,
                interfaces=(_interface("eth0", 1, "10.0.0.2/24"),),
                gateway=IPv4Address("10.0.0.1"),
            ),
            NodeDesign(
                name=RIGHT,
                role=NodeRole.HOST,
                interfaces=(_interface("eth0", 2, "10.0.1.2/24"),),
                gateway=IPv4Address("10.0.1.1"),
            ),
            NodeDesign(
                name=MIDDLE,
                role=NodeRole.ROUTER,
                interfaces=(
                    _interface("p1", 3, "10.0.0.1/24"),
                    _interface("p2", 4, "10.0.1.1/24"),
                    _interface("p3", 5),
                ),
                forwards=True,
            ),
        ),
        links=(
            _link("here/middle:p1", "here/left:eth0"),
            _link("here/middle:p2", "here/right:eth0"),
            _link("here/middle:p3", None),
        ),
    )


def processes_of(folder: Path) -> dict[int, list[str]]:
    """Return the processes whose command line names the folder of a twin: the outer one and the daemon."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if str(folder) in words:
                found[int(entry.name)] = words
    return found


def pid_namespaces(pid: int) -> list[int]:
    """Return the process-id namespaces of a process, its own first, then those around it (ioctl_ns(2))."""
    try:
        fd = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY)
    except OSError:  # it has ended, or it is outside of what we may see
        return []
    inodes: list[int] = []
    while True:
        inodes.append(os.fstat(fd).st_ino)
        try:
            around = fcntl.ioctl(fd, _NS_GET_PARENT)
        except OSError:  # EPERM: what is around is not ours to see
            return inodes
        finally:
            os.close(fd)
        fd = around


def namespaces_of(pid: int) -> dict[str, int]:
    """Return the numbers of the namespaces of a process, none when it has ended."""
    try:
        return {kind: Path(f"/proc/{pid}/ns/{kind}").stat().st_ino for kind in _KINDS}
    except OSError:
        return {}


def started(pid: int) -> str | None:
    """Return when a process started, in ticks since the boot (proc(5), stat, field 22); None when it has ended."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else fields[18]  # a zombie is gone but for whoever started it


class Watch:
    """What one twin has on the host, seen from outside of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        host = {kind: Path(f"/proc/self/ns/{kind}").stat().st_ino for kind in _KINDS}
        named = processes_of(folder)
        self.outer = next((pid for pid, words in named.items() if words[0] == "unshare"), None)
        self.daemon = next((pid for pid, words in named.items() if words[0] != "unshare"), None)
        around = pid_namespaces(self.daemon)[:1] if self.daemon else []
        self.namespace = around[0] if around and around[0] != host["pid"] else None
        self.started = {pid: started(pid) for pid in (*named, *self.inside())}
        self.namespaces = {
            inode for pid in self.inside() for kind, inode in namespaces_of(pid).items() if inode != host[kind]
        }

    def inside(self) -> list[int]:
        """Return the processes of the twin but the outer one; whatever is in its namespaces is held by one of them.

        The number of a namespace that has ended is given to another one: once none was inside, none ever is.
        """
        if self.namespace is None:
            return []
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        found = [pid for pid in pids if self.namespace in pid_namespaces(pid)]
        if not found:
            self.namespace = None
        return found

    def left(self) -> list[str]:
        """Return what of the twin is there now: processes that are, were or are named so, and mounts."""
        found = [f"process {pid} {words}" for pid, words in processes_of(self.folder).items()]
        found += [f"process {pid} inside" for pid in self.inside()]
        found += [f"process {pid} of before" for pid, when in self.started.items() if when and started(pid) == when]
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        found += [line for line in mounts if str(self.folder) in line or " stage " in line or " disk " in line]
        return found

    def remains(self, within: float = 10.0) -> list[str]:
        """Wait for nothing to be left, and return what still is."""
        deadline = time.monotonic() + within
        while (left := self.left()) and time.monotonic() < deadline:
            time.sleep(0.02)  # the end of a process that is not ours is no event we could await
        return left


class Bench:
    """Starts twins in a workspace of its own, and ends them."""

    def __init__(self, root: Path, design: LabDesign) -> None:
        self.root, self.design = root, design
        self.started: list[str] = []

    def new_name(self) -> str:
        """Return a name that no other test uses."""
        name = f"mech-{os.getpid()}-{next(_serial)}"
        self.started.append(name)
        return name

    def folder(self, name: str) -> Path:
        """Return the folder of a twin."""
        return LabClient(self.root, name).folder.path

    def order(self, given: Mapping[EquipmentName, NodeServices] | None = None) -> LabOrder:
        """Return the order of the small design."""
        return LabOrder(design=self.design, given=dict(given or {}))

    def up(self, given: Mapping[EquipmentName, NodeServices] | None = None, name: str | None = None) -> LabClient:
        """Start a twin of the small design; return its client."""
        name = name or self.new_name()
        verbs.up(self.root, name, lambda: self.order(given), lambda _: None)
        return LabClient(self.root, name)

    def watch(self, client: LabClient) -> Watch:
        """Return what the twin has on the host now."""
        return Watch(client.folder.path)


@pytest.fixture
def bench(tmp_path: Path, design: LabDesign) -> Iterator[Bench]:
    """A bench, whose twins end with the test."""
    made = Bench(tmp_path, design)
    yield made
    for name in made.started:
        if made.folder(name).exists():
            verbs.down(tmp_path, name)


@pytest.fixture
def watching() -> Callable[[Path], Watch]:
    """Look at what the twin of a folder has on the host now."""
    return Watch
