"""What a switch shall be: its ports and their VLANs, who may speak on them, and its own address."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING

from cloison.desired.link import LinkState, LocalPort, links, local_port
from cloison.errors import InputError
from cloison.intent.models import Kind
from cloison.intent.network import PortMode, PortReference
from cloison.model import EquipmentName, InterfaceName, MacAddress, Model, Name, Platform

if TYPE_CHECKING:
    from cloison.intent.network import Equipment, Intent, Port, Segment, Site

BRIDGE = InterfaceName("br0")
MANAGEMENT_INTERFACE = InterfaceName("management")
FIRST_INTERNAL_PORT = 100
"""OpenFlow port number of the first internal port; the ports one can put a plug in have the lower ones."""


class Binding(Model):
    """Who may speak on a port: this MAC address with this IPv4 address, to its gateway or through it."""

    host: EquipmentName
    vlan: int
    """The VLAN of the segment: the port's own where it is an access port, the tag where it is a trunk."""
    mac: MacAddress | None
    """None beyond a trunk, for a switch whose MAC address is not declared: any, with its IPv4 address alone."""
    address: IPv4Address
    gateway: IPv4Address
    prefix: IPv4Network
    """The segment, one for every binding of a VLAN: inside it, the gateway alone is reached (ANSSI-PA-72 R16)."""


class SwitchPort(Model):
    """A port that one can put a plug in."""

    name: InterfaceName
    number: int
    """Its OpenFlow port number."""
    mode: PortMode
    vlans: tuple[int, ...]
    """One VLAN of an access or an unused port; the VLANs of a trunk, sorted."""
    isolated: bool
    """True: it exchanges frames with the uplink and with no other port."""
    bindings: tuple[Binding, ...] = ()
    """Of an access port, and of a trunk that leads away from the firewall, whose frames nobody watches on their way;
    by address, so that those of one segment stand together. Who has none is not let speak: a host whose MAC address is
    not declared."""


class ManagementPort(Model):
    """The switch's own place in the network."""

    name: InterfaceName
    number: int
    vlan: int
    address: IPv4Interface
    gateway: IPv4Address
    prefix: IPv4Network


class SwitchState(Model):
    """Everything a switch shall be."""

    device: EquipmentName
    platform: Platform
    bridge: InterfaceName
    parking_vlan: int
    """Native VLAN of trunks, VLAN of unused ports and of the bridge's own port; nothing is in it."""
    ports: tuple[SwitchPort, ...]
    management: ManagementPort
    local: LocalPort
    links: tuple[LinkState, ...]


def leads_to_firewall(site: Site, device: Equipment, port: Port) -> bool:
    """Return whether the site's firewall is on the far side of this port."""
    seen = {device.name}
    ahead = [] if port.peer is None else [port.peer.equipment]
    while ahead:
        here = ahead.pop()
        if here == site.firewall.name:
            return True
        seen.add(here)
        ahead += [
            cable.other(end).equipment
            for cable in site.cables
            for end in cable.ends
            if end.equipment == here and cable.other(end).equipment not in seen
        ]
    return False


def _segment(site: Site, name: Name | None, whose: EquipmentName) -> Segment:
    if name is None:
        msg = f"{whose}: expected an equipment with an address in a segment"
        raise InputError(msg)
    return site.segment_by_name[name]


def _bindings(intent: Intent, site: Site, port: Port) -> tuple[Binding, ...]:
    found = []
    for name in port.attached:
        host = intent.equipment_by_name[name]
        # A switch makes the MAC address of its management port up: nobody can declare it before it runs.
        if host.address is None or (host.mac is None and host.kind is not Kind.SWITCH):
            continue
        segment = _segment(site, host.segment, host.name)
        found.append(
            Binding(
                host=host.name,
                vlan=segment.vlan,
                mac=host.mac,
                address=host.address,
                gateway=segment.gateway,
                prefix=segment.prefix,
            )
        )
    return tuple(sorted(found, key=lambda binding: binding.address))


def _port(intent: Intent, site: Site, device: Equipment, port: Port) -> SwitchPort:
    if port.mode is PortMode.ROUTED or (port.mode is PortMode.ACCESS and len(port.vlans) != 1):
        reference = PortReference(equipment=device.name, port=port.name)
        msg = f"{reference}: expected an access port with one VLAN, a trunk or an unused port"
        raise InputError(msg)
    return SwitchPort(
        name=port.name,
        number=port.number,
        mode=port.mode,
        vlans=port.vlans,
        isolated=not leads_to_firewall(site, device, port),
        bindings=_bindings(intent, site, port),
    )


def switch_state(intent: Intent, device: Equipment) -> SwitchState:
    """Return what a switch shall be; InputError when `device` is no managed switch or a port of it is impossible."""
    site = intent.site_by_name[device.name.site]
    if device.kind is not Kind.SWITCH or device.platform is None or device.address is None:
        msg = f"{device.name}: expected a managed switch with an address"
        raise InputError(msg)
    segment = _segment(site, device.segment, device.name)
    return SwitchState(
        device=device.name,
        platform=device.platform,
        bridge=BRIDGE,
        parking_vlan=intent.parking_vlan,
        ports=tuple(_port(intent, site, device, port) for port in device.ports),
        management=ManagementPort(
            name=MANAGEMENT_INTERFACE,
            number=FIRST_INTERNAL_PORT,
            vlan=segment.vlan,
            address=IPv4Interface((device.address, segment.prefix.prefixlen)),
            gateway=segment.gateway,
            prefix=segment.prefix,
        ),
        local=local_port(site, device),
        links=links(device),
    )
