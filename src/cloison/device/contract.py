"""What a device promises to the rest of Cloison. Whoever only reads (an audit) is given the Reader alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from ipaddress import IPv4Interface, IPv6Interface

    from cloison.device.guard import Guard
    from cloison.device.job import Load
    from cloison.device.negotiated import Negotiated
    from cloison.model import EquipmentName, Platform
    from cloison.optics import Reading
    from cloison.render.config import Config, Section, SectionName


@dataclass(frozen=True, slots=True)
class InterfaceState:
    """One network interface as the kernel has it."""

    name: str
    enabled: bool
    """Administratively up."""
    up: bool
    """Enabled, and with a carrier."""
    mac: str
    mtu: int
    """Bytes."""
    speed: int
    """Mbit/s; 0 when the device does not say."""
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a device says of itself beside its configuration. All of it is the device's word."""

    hostname: str
    system: str
    """Operating system and the versions of the daemons that sections live in."""
    uptime_seconds: float
    interfaces: tuple[InterfaceState, ...] = ()
    vlan_ports: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """The ports that carry a VLAN, tagged or not, by VLAN number."""
    optics: Mapping[str, Reading] = field(default_factory=dict)
    """What each optical module measures, by port."""
    emulated: tuple[str, ...] = ()
    """What is emulated here and no evidence about hardware, one sentence each."""
    not_read_back: tuple[str, ...] = ()
    """What a section sets and no daemon shows, one sentence each."""


@dataclass(frozen=True, slots=True)
class Running:
    """What a device runs: canonical sections as its daemons show them, and its facts."""

    config: Config
    facts: Facts


class Reader(Protocol):
    """Reads a device and changes nothing on it."""

    @property
    def device(self) -> EquipmentName:
        """Whose configuration this is."""

    @property
    def platform(self) -> Platform:
        """How it is configured."""

    def read(self) -> Running:
        """Return every section as the daemons run it, in canonical text.

        Raises DeviceError when an answer cannot be used, TransportError when the device cannot be reached.
        """

    def canonical(self, candidate: Config) -> Config:
        """Return the candidate as the device itself would show it once loaded.

        Where text can only be normalised by loading it, it is loaded into a throw-away instance of the real tool on
        the device; what runs is not touched. Raises LoadError naming the section and the tool's own words.
        """

    def loadable(self, running: Config, name: SectionName) -> Section:
        """Return a section as it runs in a text that can be loaded, without what no section could hold.

        Raises LoadError when it holds what nobody can make again.
        """

    def tracked(self) -> str:
        """Return the tracked connections as conntrack(8) lists them with `-o extended`; nothing where none are."""

    def negotiated(self) -> tuple[Negotiated, ...]:
        """Return the security associations of its tunnels as they are; nothing where the device has no IKE daemon.

        What is loaded changes none that is there. Raises DeviceError for an answer of another form.
        """

    def prepared(self, running: Config, section: Section) -> Load:
        """Return what the guard of the device is given to make what runs equal to a loadable section.

        Raises LoadError for a text that has no known form.
        """


class Writer(Protocol):
    """Changes a device, one section at a time."""

    def load(self, section: Section) -> None:
        """Make the running section equal to this one, whole, as one transaction where the platform has one.

        Raises LoadError when the device refuses it.
        """

    def bring_up(self, section: Section) -> tuple[str, ...]:
        """Start what the loaded section wants started and is not up; return the names of what stayed down.

        Only tunnels need it, and only once both ends are loaded: an initiator that was refused does not try again.
        """

    def renew(self, section: Section, connections: Collection[str]) -> tuple[str, ...]:
        """End those of these connections that this end starts, and start them with what is loaded: `section`.

        Return the names of what stayed down. It may be asked for over the very tunnel that it ends for a moment.
        """

    def terminate(self, associations: Sequence[Negotiated]) -> None:
        """End security associations; one that is gone already is no failure."""


@dataclass(frozen=True, slots=True)
class Device:
    """An open device. `close` releases what it was opened with."""

    reader: Reader
    writer: Writer
    close: Close
    guard: Guard | None = None
    """What guards a change; None where the platform has nothing that goes back by itself."""


class Close(Protocol):
    """Releases a connection."""

    def __call__(self) -> None:
        """Release it; a second call does nothing."""


class Opener(Protocol):
    """How a device is reached; the caller decides (through the tunnel, through the local port, in memory)."""

    def __call__(self, device: EquipmentName) -> Device:
        """Return the device over a new connection. Raises TransportError."""


def depends_on_switch(name: SectionName) -> bool:
    """Return True for a section that a rebuild of the switch rows may undo, and that must follow it.

    An internal port that was dropped returns down and without address; flows vanish with a change of fail mode.
    """
    return name.value in {"fibre", "interfaces", "edge"}
