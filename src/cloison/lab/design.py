"""What a twin is made of: nodes, their interfaces, the cables between them; and how it follows from an intent. Pure."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import combinations
from typing import TYPE_CHECKING, Final

from cloison.errors import LabError
from cloison.intent.models import Kind
from cloison.intent.network import PortMode
from cloison.model import EquipmentName, InterfaceName, MacAddress, Model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.intent.network import Equipment, Intent, Segment, Site


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


# --- from the intent ----------------------------------------------------------------------------------------------

_ROLES: Final = {
    Kind.FIREWALL: NodeRole.FIREWALL,
    Kind.SWITCH: NodeRole.SWITCH,
    Kind.UNMANAGED_SWITCH: NodeRole.UNMANAGED_SWITCH,
}
LOCAL_INTERFACE: Final = InterfaceName("local0")
"""The local management port of a device."""
TECHNICIAN: Final = "technician"
WAN_ROUTER: Final = EquipmentName("wan/router")
INTERNET_HOST: Final = EquipmentName("wan/internet-host")
ROGUE_LAPTOP: Final = EquipmentName("wan/rogue-laptop")
_DOCUMENTATION: Final = (IPv4Network("203.0.113.0/24"), IPv4Network("198.51.100.0/24"), IPv4Network("192.0.2.0/24"))
"""Public addresses that nobody has (RFC 5737)."""
_WAN_INDEX: Final = 0xFFFF


def design_lab(intent: Intent) -> LabDesign:
    """Return the twin of a network: every equipment, a technician's laptop a site, and the wide-area network.

    Raises LabError when the network holds what the twin cannot have.
    """
    nodes: list[NodeDesign] = []
    links: list[LinkDesign] = []
    for site in intent.sites:
        nodes += [_equipment_node(site, number, equipment) for number, equipment in enumerate(site.equipment, 1)]
        nodes.append(_technician(site))
        links += _site_links(site)
    wide_area = _WideArea(intent.sites)
    wide_area.connect(INTERNET_HOST, NodeRole.HOST, "internet")
    wide_area.connect(ROGUE_LAPTOP, NodeRole.LAPTOP, "rogue")
    return LabDesign(
        nodes=(*nodes, wide_area.router, *wide_area.hosts),
        links=(*links, *wide_area.links),
    )


def derived_mac(site_index: int, equipment: int, port: int) -> MacAddress:
    """Return the locally administered address of a port whose address the inventory does not give."""
    return MacAddress(f"02:c1:{site_index >> 8:02x}:{site_index & 255:02x}:{equipment:02x}:{port:02x}")


def _equipment_node(site: Site, number: int, equipment: Equipment) -> NodeDesign:
    role = _ROLES.get(equipment.kind, NodeRole.HOST)
    device = role in {NodeRole.FIREWALL, NodeRole.SWITCH}
    segment = site.segment_by_name[equipment.segment] if equipment.segment is not None else None
    interfaces = [
        InterfaceDesign(
            name=port.name,
            mac=equipment.mac
            if equipment.mac and not device and place == 1
            else derived_mac(site.index, number, place),
            up=not device,
            addresses=_host_address(equipment, segment) if role is NodeRole.HOST and place == 1 else (),
        )
        for place, port in enumerate(equipment.ports, 1)
    ]
    if equipment.local_management is not None:
        interfaces.append(
            InterfaceDesign(
                name=LOCAL_INTERFACE,
                mac=derived_mac(site.index, number, len(interfaces) + 1),
                addresses=(equipment.local_management[0],),
            )
        )
    gateway = segment.gateway if segment is not None and role is NodeRole.HOST else None
    return NodeDesign(name=equipment.name, role=role, interfaces=tuple(interfaces), gateway=gateway)


def _host_address(equipment: Equipment, segment: Segment | None) -> tuple[IPv4Interface, ...]:
    if equipment.address is None or segment is None:
        return ()
    return (IPv4Interface((equipment.address, segment.prefix.prefixlen)),)


def _technician_port(number: int) -> InterfaceName:
    return InterfaceName(f"local{number}")


def _technician(site: Site) -> NodeDesign:
    name = EquipmentName(f"{site.name}/{TECHNICIAN}")
    if any(equipment.name == name for equipment in site.equipment):
        msg = f"{name}: the twin has a laptop of that name at every site; call the equipment otherwise"
        raise LabError(msg)
    number = len(site.equipment) + 1
    interfaces = tuple(
        InterfaceDesign(name=_technician_port(place), mac=derived_mac(site.index, number, place), addresses=(own,))
        for place, (_, own) in enumerate(_local_ports(site), 1)
    )
    return NodeDesign(name=name, role=NodeRole.LAPTOP, interfaces=interfaces)


def _local_ports(site: Site) -> list[tuple[EquipmentName, IPv4Interface]]:
    """Return the devices of the site, each with the technician's address on its local management port."""
    return [(e.name, e.local_management[1]) for e in site.equipment if e.local_management is not None]


def _site_links(site: Site) -> Iterator[LinkDesign]:
    for cable in site.cables:
        near, far = (LinkEnd(node=end.equipment, interface=end.port) for end in cable.ends)
        yield LinkDesign(near=near, far=far)
    for equipment in site.equipment:
        for port in equipment.ports:
            if port.mode is PortMode.UNUSED:
                yield LinkDesign(near=LinkEnd(node=equipment.name, interface=port.name), far=None)
    technician = EquipmentName(f"{site.name}/{TECHNICIAN}")
    for place, (device, _) in enumerate(_local_ports(site), 1):
        yield LinkDesign(
            near=LinkEnd(node=device, interface=LOCAL_INTERFACE),
            far=LinkEnd(node=technician, interface=_technician_port(place)),
        )


class _WideArea:
    """The router between the sites, with what is cabled to it."""

    def __init__(self, sites: tuple[Site, ...]) -> None:
        for one, other in combinations(sites, 2):
            if one.wan_address.network.overlaps(other.wan_address.network):
                msg = f"{one.name} and {other.name} share a public network; in the twin every site has one of its own"
                raise LabError(msg)
        self._taken = [site.wan_address.network for site in sites]
        self._ports: list[InterfaceDesign] = []
        self.hosts: list[NodeDesign] = []
        self.links: list[LinkDesign] = []
        for site in sites:
            outside = next(port.name for port in site.firewall.ports if port.mode is PortMode.ROUTED)
            address = IPv4Interface((site.wan_gateway, site.wan_address.network.prefixlen))
            self._port(f"site{site.index}", address, LinkEnd(node=site.firewall.name, interface=outside))

    @property
    def router(self) -> NodeDesign:
        """The router with the ports it has so far."""
        return NodeDesign(name=WAN_ROUTER, role=NodeRole.ROUTER, interfaces=tuple(self._ports), forwards=True)

    def _port(self, name: str, address: IPv4Interface, far: LinkEnd) -> None:
        mac = derived_mac(_WAN_INDEX, 1, len(self._ports) + 1)
        near = LinkEnd(node=WAN_ROUTER, interface=InterfaceName(name))
        self._ports.append(InterfaceDesign(name=near.interface, mac=mac, addresses=(address,)))
        self.links.append(LinkDesign(near=near, far=far))

    def connect(self, host: EquipmentName, role: NodeRole, port: str) -> None:
        """Cable a host to a port of the router, in a documentation network that no site uses."""
        network = next(
            subnet
            for documentation in _DOCUMENTATION
            for subnet in reversed(list(documentation.subnets(new_prefix=30)))
            if not any(subnet.overlaps(other) for other in self._taken)
        )
        self._taken.append(network)
        gateway, own = network.hosts()
        eth0 = InterfaceDesign(
            name=InterfaceName("eth0"),
            mac=derived_mac(_WAN_INDEX, len(self.hosts) + 2, 1),
            addresses=(IPv4Interface((own, network.prefixlen)),),
        )
        self.hosts.append(NodeDesign(name=host, role=role, interfaces=(eth0,), gateway=gateway))
        self._port(port, IPv4Interface((gateway, network.prefixlen)), LinkEnd(node=host, interface=eth0.name))
