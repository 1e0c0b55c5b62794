"""The cables of a twin: veth pairs whose ends are in the network namespaces of nodes, and where they are now.

An end that is plugged in nowhere lies in the drawer: the daemon's own network namespace, which nothing else uses.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloison.errors import LabError
from cloison.lab.design import LabDesign, LinkDesign, NodeDesign, NodeRole
from cloison.transport.namespace import network_namespace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cloison.model import EquipmentName

    IpBatch = Callable[[str, list[str], int | None], Awaitable[None]]
    """Runs lines of `ip -batch` inside a network namespace (None: the drawer); the first text names it in an error."""

_SIOCETHTOOL: Final = 0x8946
_GET_FEATURES, _SET_FEATURES = 0x3A, 0x3B
_BLOCKS: Final = 4
"""Of 32 features each: more than any kernel has; it says how many it used (linux/ethtool.h)."""
_BRIDGE: Final = "br0"
_SIOCGIFFLAGS: Final = 0x8913
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_CARRIER_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.02


@dataclass(slots=True)
class _End:
    """One end of one cable: where it belongs and where it is."""

    home: EquipmentName | None
    home_interface: str
    at: EquipmentName | None
    interface: str


def turn_offloads_off(netns_fd: int, interface: str) -> None:
    """Make the interface hand over whole packets with real checksums and tags, as Open vSwitch in user space needs."""
    with network_namespace(netns_fd), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:

        def ask(value: array.array[int]) -> None:
            fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP16x", interface.encode(), value.buffer_info()[0]))

        # Four words a block: available, requested, active, never changed.
        known = array.array("I", [_GET_FEATURES, _BLOCKS, *[0] * 4 * _BLOCKS])
        ask(known)
        blocks = known[1]
        wanted = array.array("I", [_SET_FEATURES, blocks])
        for block in range(blocks):
            available, _, _, fixed = known[2 + 4 * block : 6 + 4 * block]
            wanted.extend((available & ~fixed, 0))  # valid, requested: everything that can be changed is off
        ask(wanted)


def flags_of(netns_fd: int, interface: str) -> int:
    """Return the flags of an interface (SIOCGIFFLAGS, netdevice(7)); none when somebody took it away."""
    with network_namespace(netns_fd), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            answer = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16s24x", interface.encode()))
        except OSError:
            return 0
    return int(struct.unpack_from("H", answer, 16)[0])


def turn_forwarding_on(netns_fd: int) -> None:
    """Make the namespace forward IPv4 packets between its interfaces."""
    with network_namespace(netns_fd):
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n", encoding="ascii")


class Cabling:
    """Every cable of one twin. `netns` gives the network namespace of a node as a descriptor."""

    def __init__(self, design: LabDesign, netns: Callable[[EquipmentName], int], ip: IpBatch) -> None:
        self._design, self._netns, self._ip = design, netns, ip
        self._ends: dict[int, tuple[_End, _End]] = {}
        self._down: dict[int, bool] = {}
        """The cables that are cut, and whether the end that went down for it was up: a device's may not have been."""
        for number, link in enumerate(design.links):
            near = _End(link.near.node, link.near.interface, link.near.node, link.near.interface)
            spare = f"spare{number}"
            far = _End(None, spare, None, spare)
            if link.far is not None:
                far = _End(link.far.node, link.far.interface, link.far.node, link.far.interface)
            self._ends[number] = (near, far)

    async def lay(self) -> None:
        """Make every cable, both ends where they belong, named, with their MAC addresses, down, without offloads."""
        lines = []
        for number in self._ends:
            near, far = self._ends[number]
            lines.append(f"link add {self._new(near)} type veth peer {self._new(far)}")
        await self._ip("cables", lines, None)
        for ends in self._ends.values():
            for end in ends:
                if end.at is not None:
                    turn_offloads_off(self._netns(end.at), end.interface)

    def _new(self, end: _End) -> str:
        if end.at is None:
            return f"name {end.interface}"
        interface = next(i for i in self._design.node_by_name[end.at].interfaces if i.name == end.interface)
        table = f"/proc/{os.getpid()}/fd"
        return f"name {end.interface} address {interface.mac} mtu {interface.mtu} netns {table}/{self._netns(end.at)}"

    async def configure(self, node: NodeDesign) -> None:
        """Bring up what the design has up at boot in this node: loopback, interfaces, addresses, default route."""
        lines = ["link set dev lo up"]
        if node.role is NodeRole.UNMANAGED_SWITCH:
            lines += [f"link add name {_BRIDGE} type bridge", f"link set dev {_BRIDGE} up"]
        for interface in node.interfaces:
            number, place = self._place_of(node.name, interface.name)
            if self._ends[number][place].at != node.name:
                continue  # somebody else has the cable
            lines += [f"address add {address} dev {interface.name}" for address in interface.addresses]
            if node.role is NodeRole.UNMANAGED_SWITCH:
                lines.append(f"link set dev {interface.name} master {_BRIDGE}")
            if interface.up and not (number in self._down and place == self._cut_place(number)):
                lines.append(f"link set dev {interface.name} up")
        if node.gateway is not None and any(line.endswith("eth0 up") for line in lines):
            lines.append(f"route add default via {node.gateway}")
        await self._ip(node.name, lines, self._netns(node.name))
        if node.forwards:
            turn_forwarding_on(self._netns(node.name))

    async def settle(self) -> None:
        """Wait until every cable whose two ends are up carries: the kernel looks at new carriers once a second."""
        deadline = time.monotonic() + _CARRIER_SECONDS
        while not all(self._is_settled(near, far) for near, far in self._ends.values()):
            if time.monotonic() > deadline:
                msg = f"a cable had no carrier after {_CARRIER_SECONDS:g} s; `cloison lab status` lists them"
                raise LabError(msg)
            await asyncio.sleep(_POLL_SECONDS)

    def _is_settled(self, near: _End, far: _End) -> bool:
        if near.at is None or far.at is None:
            return True
        flags = [flags_of(self._netns(end.at), end.interface) for end in (near, far) if end.at is not None]
        return not all(flag & _IFF_UP for flag in flags) or all(flag & _IFF_RUNNING for flag in flags)

    def _place_of(self, node: EquipmentName, interface: str) -> tuple[int, int]:
        """Return the cable and the end of it that belong at this interface."""
        for number, ends in self._ends.items():
            for place, end in enumerate(ends):
                if (end.home, end.home_interface) == (node, interface):
                    return number, place
        msg = f"{node}:{interface}: no such end of a cable; `cloison lab status` lists them"
        raise LabError(msg)

    def _find(self, port: str) -> tuple[int, int]:
        node, _, interface = port.partition(":")
        for name in self._design.node_by_name:
            if name == node:
                return self._place_of(name, interface)
        msg = f"{port}: no such node; expected <site>/<equipment>:<port>"
        raise LabError(msg)

    def _cut_place(self, number: int) -> int:
        """Return which end goes down when the cable is cut: never a device's, whose own state must not change."""
        for place, end in enumerate(self._ends[number]):
            role = self._design.node_by_name[end.home].role if end.home else NodeRole.HOST
            if role not in {NodeRole.FIREWALL, NodeRole.SWITCH}:
                return place
        return 1

    async def cut(self, port: str) -> None:
        """Take the cable's light away: the device on it sees no carrier."""
        number, _ = self._find(port)
        end = self._ends[number][self._cut_place(number)]
        if number not in self._down:
            self._down[number] = end.at is not None and bool(flags_of(self._netns(end.at), end.interface) & _IFF_UP)
        await self._ip(port, [f"link set dev {end.interface} down"], self._descriptor(end.at))

    async def mend(self, port: str) -> None:
        """Undo `cut`: the end is up again where it was, with the addresses and the route of the design."""
        number, _ = self._find(port)
        end = self._ends[number][self._cut_place(number)]
        if number not in self._down:
            return
        await self._up_again(end, was_up=self._down.pop(number))
        await self.settle()

    async def _up_again(self, end: _End, *, was_up: bool = False) -> None:
        lines = [f"link set dev {end.interface} up"]
        node = self._design.node_by_name[end.home] if end.home else None
        if node is not None and end.at == end.home:
            interface = next(i for i in node.interfaces if i.name == end.home_interface)
            if not interface.up and not was_up:
                lines = []
            lines += [f"address replace {address} dev {interface.name}" for address in interface.addresses]
            if node.gateway is not None and interface.name == "eth0":
                lines.append(f"route replace default via {node.gateway}")
            if node.role is NodeRole.UNMANAGED_SWITCH:
                lines.append(f"link set dev {interface.name} master {_BRIDGE}")
        await self._ip(f"{end.at}:{end.interface}", lines, self._descriptor(end.at))

    def _descriptor(self, node: EquipmentName | None) -> int | None:
        return None if node is None else self._netns(node)

    async def plug(self, port: str, node: EquipmentName, interface: str) -> None:
        """Put the far end of the cable at `port` into another node, up and under another name.

        What was on it (a camera, nothing) loses the cable until `unplug`.
        """
        number, place = self._find(port)
        self._require_whole(number, port)
        await self._move(self._ends[number][1 - place], node, interface)

    async def unplug(self, port: str) -> None:
        """Bring the far end of the cable at `port` back where it belongs, as the design has it."""
        number, place = self._find(port)
        self._require_whole(number, port)
        end = self._ends[number][1 - place]
        if (end.at, end.interface) != (end.home, end.home_interface):
            await self._move(end, end.home, end.home_interface)

    def _require_whole(self, number: int, port: str) -> None:
        if number in self._down:
            msg = f"{port}: the cable is cut; mend it first"
            raise LabError(msg)

    async def _move(self, end: _End, node: EquipmentName | None, interface: str) -> None:
        target = f"/proc/{os.getpid()}/fd/{self._netns(node)}" if node is not None else str(os.getpid())
        lines = [f"link set dev {end.interface} down", f"link set dev {end.interface} netns {target} name {interface}"]
        await self._ip(f"{end.at}:{end.interface}", lines, self._descriptor(end.at))
        end.at, end.interface = node, interface
        if node is not None:
            turn_offloads_off(self._netns(node), interface)
            await self._up_again(end)
            await self.settle()

    async def darken(self, node: EquipmentName) -> None:
        """Take every interface of a dead node down: a machine without power answers nothing, and gives no carrier."""
        lines = [f"link set dev {end.interface} down" for end in self._present(node)]
        await self._ip(node, lines, self._netns(node))

    async def carry_over(self, node: EquipmentName, old_netns: int) -> None:
        """Move every cable that is plugged into the node from its network namespace of before to that of now."""
        target = f"/proc/{os.getpid()}/fd/{self._netns(node)}"
        present = self._present(node)
        await self._ip(node, [f"link set dev {end.interface} netns {target}" for end in present], old_netns)
        for end in present:
            turn_offloads_off(self._netns(node), end.interface)
            if end.home != node:
                await self._up_again(end)

    def _present(self, node: EquipmentName) -> list[_End]:
        return [end for ends in self._ends.values() for end in ends if end.at == node]

    def state(self) -> list[Mapping[str, object]]:
        """Return every cable with where its ends are and whether it is cut."""
        rows: list[Mapping[str, object]] = []
        for number, ends in self._ends.items():
            link: LinkDesign = self._design.links[number]
            at = [f"{end.at}:{end.interface}" if end.at else None for end in ends]
            far = str(link.far) if link.far else None
            rows.append({"near": str(link.near), "far": far, "at": at, "cut": number in self._down})
        return rows
