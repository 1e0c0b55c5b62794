"""What a twin is made of: nodes, their interfaces and the cables between them. Values only."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface

from cloison.model import EquipmentName, InterfaceName, MacAddress, Model


class NodeRole(StrEnum):
    """How the lab treats a node."""

    FIREWALL = "firewall"
    """A device: its ports are down, and it has no address but on local0, until something is applied to it."""
    SWITCH = "switch"
    """A device too."""
    HOST = "host"
    """An equipment with one address that comes up configured."""
    UNMANAGED_SWITCH = "unmanaged-switch"
    """Joins all its ports, and cannot be configured."""
    ROUTER = "router"
    """The wide-area network in between."""
    LAPTOP = "laptop"
    """A place to plug in: a technician's laptop, the rogue one."""


class InterfaceDesign(Model):
    """One interface of a node: the end of a cable."""

    name: InterfaceName
    mac: MacAddress
    up: bool = True
    """Whether it is up when the node has booted."""
    mtu: int = 1500
    addresses: tuple[IPv4Interface, ...] = ()


class NodeDesign(Model):
    """One node: a machine of the twin, with namespaces of its own."""

    name: EquipmentName
    role: NodeRole
    interfaces: tuple[InterfaceDesign, ...]
    gateway: IPv4Address | None = None
    """Next hop of its default route."""
    forwards: bool = False
    """Whether it forwards packets (net.ipv4.ip_forward) when it has booted."""

    @property
    def host_name(self) -> str:
        """Its short host name."""
        return str(self.name.equipment)


class LinkEnd(Model):
    """One interface of one node."""

    node: EquipmentName
    interface: InterfaceName

    def __str__(self) -> str:
        """Return `<site>/<equipment>:<interface>`."""
        return f"{self.node}:{self.interface}"


class LinkDesign(Model):
    """A cable. Its second end is None when nothing is plugged in there (a spare port)."""

    near: LinkEnd
    far: LinkEnd | None

    @property
    def ends(self) -> tuple[LinkEnd, ...]:
        """The ends that are plugged in."""
        return (self.near,) if self.far is None else (self.near, self.far)


class LabDesign(Model):
    """A whole twin."""

    nodes: tuple[NodeDesign, ...]
    links: tuple[LinkDesign, ...]

    @cached_property
    def node_by_name(self) -> dict[EquipmentName, NodeDesign]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def link_by_end(self) -> dict[str, LinkDesign]:
        """The links by each of their ends, written `<site>/<equipment>:<interface>`."""
        return {str(end): link for link in self.links for end in link.ends}
