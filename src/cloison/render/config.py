"""What rendering leaves and a device driver takes: the configuration of one device, as ordered sections of text."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from cloison.model import EquipmentName, Model, Platform


class SectionName(StrEnum):
    """A part of a device's configuration. Members stand in the order in which they are made."""

    SWITCH = "switch"
    """Bridge, ports, VLANs: one ovs-vsctl sub-command a line, for one transaction."""
    FIBRE = "fibre"
    """Optical ports: `port NAME admin=up speed=1000 duplex=full mtu=1500 vlans=110,111` a line."""
    INTERFACES = "interfaces"
    """Addresses, routes, routing rules and kernel settings: an `ip -batch` line or `sysctl NAME=VALUE` a line.

    The objects are `address replace`, `link set`, `route replace` (with `table` or not) and `rule add priority`.
    """
    EDGE = "edge"
    """Edge security: an ovs-ofctl flow file."""
    FILTER = "filter"
    """The nftables table `inet cloison`."""
    TUNNELS = "tunnels"
    """One swanctl.conf."""

    @property
    def order(self) -> int:
        """Its place in the order of application, 0 first."""
        return list(SectionName).index(self)


class Section(Model):
    """One section with its text; every line ends in a newline."""

    name: SectionName
    text: str

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the text as UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class Config(Model):
    """Everything that one device is given, its sections in the order of application."""

    device: EquipmentName
    platform: Platform
    sections: tuple[Section, ...]

    def section(self, name: SectionName) -> Section:
        """Return a section by name; KeyError when the device has none of that name."""
        for section in self.sections:
            if section.name is name:
                return section
        raise KeyError(name)

    @property
    def names(self) -> tuple[SectionName, ...]:
        """The names of its sections, in order."""
        return tuple(section.name for section in self.sections)
