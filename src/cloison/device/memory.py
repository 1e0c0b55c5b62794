"""A device in memory: keeps the contract, and refuses, loses or alters what it is told to. For rehearsals and tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloison.device.contract import Device, Facts, Running
from cloison.device.section import joined, lines_of
from cloison.errors import LoadError, TransportError
from cloison.render.config import Config, Section, SectionName

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloison.model import EquipmentName, Platform

FIRST_REFUSED = "refuse"
"""A line that begins with this word is refused by every section, as a tool refuses what it does not know."""


@dataclass
class MemoryDevice:
    """What one device runs, and what befalls it. Reader and writer at once; `open` gives the two apart."""

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
    opened: int = 0
    """How many connections were opened."""

    def open(self) -> Device:
        """Return the device over a new connection; raise TransportError when it is not reachable."""
        self._reach()
        self.opened += 1
        return Device(reader=self, writer=self, close=lambda: None)

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

    def load(self, section: Section) -> None:
        """Make the running section equal to this one."""
        self._reach()
        text = self._accepted(section)
        if self.on_load is not None:
            self.on_load(self, section)
        self.running[section.name] = text
        self.loaded.append(section.name)

    def bring_up(self, section: Section) -> tuple[str, ...]:
        """Return what stays down."""
        self._reach()
        self.raised.append(section.name)
        return self.down

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
