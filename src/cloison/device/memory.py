"""A device in memory: keeps the contract, and refuses, loses or alters what it is told to. For rehearsals and tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloison.device.contract import Device, Facts, Running
from cloison.device.guard import Timer
from cloison.device.job import Load
from cloison.device.memory_connection import MemoryConnection
from cloison.device.memory_guard import MemoryGuard
from cloison.device.memory_tunnels import as_declared
from cloison.device.memory_world import FaultKind, Operation, World
from cloison.device.section import joined, lines_of
from cloison.errors import DeviceError, HostKeyError, LoadError, TransportError
from cloison.render.config import Config, Section, SectionName

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from cloison.device.negotiated import Negotiated
    from cloison.model import EquipmentName, Platform

FIRST_REFUSED = "refuse"
"""A line that begins with this word is refused by every section, as a tool refuses what it does not know."""
BY_HAND = "by hand"
"""The line that somebody adds."""
BOOT_SECONDS = 20.0
"""How long a device that starts anew is away."""


@dataclass
class MemoryDevice:
    """What one device runs, and what befalls it. Reader and writer at once; `open` gives the two apart, and a guard.

    It starts with what it runs when it is made, until a change is confirmed (`settle` says otherwise).
    """

    device: EquipmentName
    platform: Platform
    sections: tuple[SectionName, ...]
    running: dict[SectionName, str] = field(default_factory=dict)
    """Canonical text by section; one that is missing is empty."""
    facts: Facts = field(default_factory=lambda: Facts("memory", "in memory", 0.0))
    reachable: bool = True
    on_load: Callable[[MemoryDevice, Section], None] | None = None
    """Called before each load: what it raises is what the load raises."""
    loaded: list[SectionName] = field(default_factory=list)
    """The sections that were loaded, in order."""
    raised: list[SectionName] = field(default_factory=list)
    """The sections that were asked to bring up what they start."""
    down: tuple[str, ...] = ()
    """What stays down when it is asked to come up."""
    left_over: list[Negotiated] = field(default_factory=list)
    """Associations of before that the daemon still has."""
    renewed: list[str] = field(default_factory=list)
    """The connections that it was asked to start anew."""
    opened: int = 0
    """How many connections were opened."""
    world: World = field(default_factory=World)
    """Where it lives; a world of its own when none is given."""
    timer: Timer = Timer.TICKER
    """What runs its dead-man; with NONE it has no guard."""
    conversations: list[str] = field(default_factory=list)
    """The connections that it tracks, as lines of `conntrack -L`."""
    boots: int = 1
    """How often it started; a connection does not outlive a start."""
    disk_full: bool = False
    timer_alive: bool = True
    revert_fails: bool = False
    host_key_changed: bool = False
    unreachable_until: float = 0.0
    """The instant of the world until which nothing arrives."""
    unheard_until: float = 0.0
    """The instant of the world until which no reply comes through."""
    befalls: set[FaultKind] = field(default_factory=set)
    """What befalls the call that is under way."""

    def __post_init__(self) -> None:
        """Make the guard, which boots with what runs now."""
        self.guard = MemoryGuard(self)

    def open(self) -> Device:
        """Return the device over a new connection; raise TransportError when it is not reachable."""
        return self.world.exchange(self, Operation.OPEN, self._open)

    def settle(self) -> None:
        """Make what runs now what the device starts with."""
        self.guard.settle()

    def reboot(self) -> None:
        """Start anew: connections die, what was confirmed last is loaded, what was pending is dropped."""
        self.boots += 1
        self.left_over = []
        self.unreachable_until = max(self.unreachable_until, self.world.now + BOOT_SECONDS)
        self.guard.boot()

    # --- what it is asked ------------------------------------------------------------------------------------------

    def read(self) -> Running:
        """Return what runs."""
        self._reach()
        return Running(self._config({name: self.running.get(name, "") for name in self.sections}), self.facts)

    def canonical(self, candidate: Config) -> Config:
        """Return the candidate without comments, empty lines and blanks at the ends."""
        self._reach()
        return self._config({section.name: self._accepted(section) for section in candidate.sections})

    def loadable(self, running: Config, name: SectionName) -> Section:
        """Return the section as it runs: text here is the same read and loaded."""
        return running.section(name)

    def prepared(self, running: Config, section: Section) -> Load:
        """Return the section as its guard loads it: text here is the same rendered and loaded."""
        del running
        return Load(section.name, section.text)

    def tracked(self) -> str:
        """Return the connections that it tracks."""
        self._reach()
        return joined(self.conversations)

    def load(self, section: Section) -> None:
        """Make the running section equal to this one."""
        self._reach()
        self._make(section)

    def bring_up(self, section: Section) -> tuple[str, ...]:
        """Return what stays down."""
        self._reach()
        self.raised.append(section.name)
        return self.down

    def negotiated(self) -> tuple[Negotiated, ...]:
        """Return the associations of its tunnels: those of before that nobody ended, and those that came up since."""
        self._reach()
        up = as_declared(self.running.get(SectionName.TUNNELS, ""))
        return (*self.left_over, *(one for one in up if one.child not in self.down))

    def renew(self, section: Section, connections: Collection[str]) -> tuple[str, ...]:
        """Return what stays down of these connections."""
        self._reach()
        self.renewed += connections
        declared = {one.child for one in as_declared(section.text) if one.connection in connections}
        return tuple(child for child in self.down if child in declared)

    def terminate(self, associations: Sequence[Negotiated]) -> None:
        """End associations."""
        self._reach()
        self.left_over = [one for one in self.left_over if one not in associations]

    # --- what befalls it -------------------------------------------------------------------------------------------

    def keep(self, load: Load) -> None:
        """Make a section equal to what its guard was given."""
        self._make(Section(name=load.section, text=load.text))

    def interrupted(self, loaded: int) -> None:
        """Lose power, or the process that loads, where the call that is under way is to be interrupted."""
        if FaultKind.REBOOT_WITHIN in self.befalls:
            self.reboot()
            raise TransportError(self.device, "the connection is gone")
        if (FaultKind.HALF_DONE if loaded else FaultKind.NOT_BEGUN) in self.befalls:
            raise DeviceError(self.device, "what loads the section was killed (signal 9)")

    def edit_by_hand(self) -> None:
        """Add a line to the first section, as somebody does who asks nobody."""
        name = self.sections[0]
        self.running[name] = f"{self.running.get(name, '')}{BY_HAND}\n"

    def befall(self, kind: FaultKind) -> None:
        """Suffer something at once, or keep it for the call that is under way."""
        match kind:
            case FaultKind.REBOOT_BEFORE:
                self.reboot()
            case FaultKind.HAND_EDIT:
                self.edit_by_hand()
            case FaultKind.DISK_FULL:
                self.disk_full = True
            case FaultKind.TIMER_KILLED:
                self.timer_alive = False
            case FaultKind.REVERT_FAILS:
                self.revert_fails = True
            case FaultKind.HOST_KEY:
                self.host_key_changed = True
            case _:
                self.befalls.add(kind)

    def _open(self) -> Device:
        if self.host_key_changed:
            raise HostKeyError(self.device, "shows another host key than the pinned one")
        self.opened += 1
        connection = MemoryConnection(self)
        guard = None if self.timer is Timer.NONE else connection
        return Device(reader=connection, writer=connection, close=connection.close, guard=guard)

    def _make(self, section: Section) -> None:
        text = self._accepted(section)
        if self.on_load is not None:
            self.on_load(self, section)
        if FaultKind.REFUSE in self.befalls:
            self.befalls.remove(FaultKind.REFUSE)
            raise LoadError(self.device, f"section {section.name} is refused: by the daemon")
        self.running[section.name] = text
        self.loaded.append(section.name)
        if FaultKind.WRITE_OTHERWISE in self.befalls:
            self.befalls.remove(FaultKind.WRITE_OTHERWISE)
            self.running[section.name] = f"{text}otherwise\n"

    def _reach(self) -> None:
        if not self.reachable:
            raise TransportError(self.device, "not reachable")

    def _accepted(self, section: Section) -> str:
        lines = lines_of(section.text)
        for line in lines:
            if line.split()[0] == FIRST_REFUSED:
                raise LoadError(self.device, f"section {section.name} is refused: {line[:200]}")
        if section.name not in self.sections:
            raise LoadError(self.device, f"section {section.name} is refused: the device has none")
        return joined(lines)

    def _config(self, texts: dict[SectionName, str]) -> Config:
        sections = tuple(Section(name=name, text=texts[name]) for name in self.sections if name in texts)
        return Config(device=self.device, platform=self.platform, sections=sections)
