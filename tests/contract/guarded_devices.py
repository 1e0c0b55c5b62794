"""Guards to hold to the contract of `cloison.device.guard`: each with the device behind it and its time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cloison.device.memory import BOOT_SECONDS, MemoryDevice
from cloison.device.memory_world import World
from cloison.model import EquipmentName, Platform
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.device.guard import Guard

DEVICE = EquipmentName("site/device")
SECTIONS = (SectionName.SWITCH, SectionName.INTERFACES)


class GuardedDevice(Protocol):
    """A device whose guard is held to the contract."""

    @property
    def guard(self) -> Guard:
        """Its guard, over a connection that stands."""

    def running(self) -> Mapping[SectionName, str]:
        """Return what runs, by section."""

    def wait(self, seconds: float) -> None:
        """Let so much of the device's time pass."""

    def reboot(self) -> None:
        """Start it anew, and return once it can be asked again."""

    def edit(self, section: SectionName, text: str) -> None:
        """Change what runs behind the guard's back."""

    def fill_disk(self) -> None:
        """Leave no space on its disk."""

    def kill_timer(self) -> None:
        """Kill what runs the dead-man, for good."""


@dataclass
class InMemory:
    """A device in memory, with virtual time."""

    device: MemoryDevice
    _guard: Guard | None = None

    @property
    def guard(self) -> Guard:
        """Its guard, over a connection that stands."""
        if self._guard is None:
            self._guard = self.device.open().guard
        assert self._guard is not None
        return self._guard

    def running(self) -> Mapping[SectionName, str]:
        return self.device.running

    def wait(self, seconds: float) -> None:
        self.device.world.sleep(seconds)

    def reboot(self) -> None:
        self.device.reboot()
        self._guard = None
        self.device.world.sleep(BOOT_SECONDS)

    def edit(self, section: SectionName, text: str) -> None:
        self.device.running[section] = text

    def fill_disk(self) -> None:
        self.device.disk_full = True

    def kill_timer(self) -> None:
        self.device.timer_alive = False


def in_memory(running: Mapping[SectionName, str]) -> InMemory:
    """Return a device in memory that runs these sections, and boots with them."""
    return InMemory(MemoryDevice(DEVICE, Platform.OPENVSWITCH, SECTIONS, dict(running), world=World()))
