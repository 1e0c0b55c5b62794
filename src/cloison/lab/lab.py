"""A twin while it runs: its machines and its cabling, built from an order; what the control socket acts on."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from cloison.errors import LabError
from cloison.lab.cabling import Cabling
from cloison.lab.children import Children
from cloison.lab.machine import Machine
from cloison.lab.root import prepare_layers
from cloison.lab.service import NodeServices

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cloison.lab.order import LabOrder
    from cloison.model import EquipmentName


class Lab:
    """One twin. It lives in the daemon's process; its end is the end of everything in it."""

    def __init__(self, order: LabOrder) -> None:
        self._children = Children()
        self._tasks: set[asyncio.Task[None]] = set()
        self.design = order.design
        self.machines = {
            node.name: Machine(node, order.given.get(node.name, NodeServices()), self._children, self._on_death)
            for node in order.design.nodes
        }
        self.cabling = Cabling(order.design, lambda node: self.machines[node].netns, self._children.ip)
        self._moving: set[EquipmentName] = set()
        self._busy = {node.name: asyncio.Lock() for node in order.design.nodes}

    async def build(self, unpacked: Path, progress: Callable[[str], None]) -> None:
        """Make and boot every node, lay the cables, start the services; LabError names what did not come up."""
        started = time.monotonic()
        prepare_layers(unpacked)
        for machine in self.machines.values():
            machine.build()
            machine.boot()
            await asyncio.sleep(0)  # the one who ordered this may have gone
        progress(f"{len(self.machines)} nodes booted ({time.monotonic() - started:.1f} s)")
        await self.cabling.lay()
        await asyncio.gather(*(self.cabling.configure(machine.design) for machine in self.machines.values()))
        progress(f"{len(self.design.links)} cables laid ({time.monotonic() - started:.1f} s)")
        await self._start_everything()
        await self.cabling.settle()
        count = sum(len(machine.given.services) for machine in self.machines.values())
        progress(f"{count} services ready ({time.monotonic() - started:.1f} s)")

    async def _start_everything(self) -> None:
        starts = (machine.start_services() for machine in self.machines.values())
        results = await asyncio.gather(*starts, return_exceptions=True)
        failures = [result for result in results if result is not None]
        for failure in failures:
            if not isinstance(failure, LabError):
                raise failure
        if failures:
            raise LabError("\n".join(str(failure) for failure in failures))

    def _on_death(self, machine: Machine) -> None:
        """Darken the cables of a node that has died, unless it is about to boot again."""
        if machine.design.name not in self._moving:
            task = asyncio.get_running_loop().create_task(self.cabling.darken(machine.design.name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def machine(self, name: object) -> Machine:
        """Return a node by name; LabError names those there are."""
        for known, machine in self.machines.items():
            if known == name:
                return machine
        msg = f"{name}: no such node; expected one of: {', '.join(self.machines)}"
        raise LabError(msg)

    async def power_off(self, name: str) -> None:
        """Cut the power of a node: its processes are killed, its cables stay and carry nothing."""
        machine = self.machine(name)
        async with self._busy[machine.design.name]:
            await machine.power_off()
            await asyncio.gather(*self._tasks)

    async def power_on(self, name: str) -> None:
        """Boot a node that is off, on its cables and its disk; nothing when it has power."""
        if self.machine(name).namespaces is None:
            await self.reboot(name)

    async def start(self, name: str, service: str) -> None:
        """Start a service of a node; see `Machine.start`."""
        machine = self.machine(name)
        async with self._busy[machine.design.name]:
            await machine.start(service)

    async def stop(self, name: str, service: str) -> None:
        """Stop a service of a node; see `Machine.stop`."""
        machine = self.machine(name)
        async with self._busy[machine.design.name]:
            await machine.stop(service)

    async def reboot(self, name: str) -> None:
        """Cut the power of a node, which may be off already, and boot it on the same cables and the same disk."""
        machine = self.machine(name)
        async with self._busy[machine.design.name]:
            self._moving.add(machine.design.name)
            try:
                await machine.power_off()
            finally:
                self._moving.discard(machine.design.name)
            before = machine.boot()
            await self.cabling.carry_over(machine.design.name, before)
            os.close(before)
            await self.cabling.configure(machine.design)
            await machine.start_services()
            await self.cabling.settle()
