"""What a firewall shall be: the gateway of every segment, the end of the tunnels, and what it lets pass."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING

from cloison.desired.link import LocalPort, local_port
from cloison.desired.permit import OUTSIDE_INTERFACE, TUNNEL_INTERFACE, Permit, permits, segment_interface
from cloison.desired.switch import BRIDGE, FIRST_INTERNAL_PORT
from cloison.desired.tunnel import TunnelState, tunnel_states
from cloison.errors import InputError
from cloison.flow import Protocol
from cloison.intent.models import Kind
from cloison.intent.network import PortMode
from cloison.model import EquipmentName, InterfaceName, Model, Platform

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloison.flow import Flow
    from cloison.intent.network import Equipment, Intent, Site


class TrunkPort(Model):
    """The port towards the core switch: every segment of the site, tagged."""

    name: InterfaceName
    number: int
    """Its OpenFlow port number."""
    vlans: tuple[int, ...]


class Gateway(Model):
    """The firewall in one segment, as its gateway."""

    interface: InterfaceName
    number: int
    """OpenFlow port number of the internal port: of its VLAN, so that no other segment's change renumbers it."""
    vlan: int
    address: IPv4Interface
    prefix: IPv4Network


class Outside(Model):
    """The firewall on the WAN."""

    interface: InterfaceName
    address: IPv4Interface
    gateway: IPv4Address
    peers: tuple[IPv4Address, ...]
    """The other ends of its tunnels, sorted: the only addresses of the WAN that it speaks with."""


class Conversation(Model):
    """What the firewall itself opens, whoever permits it."""

    number: int
    """0 for the first."""
    destination: IPv4Address
    protocol: Protocol
    port: int


class FirewallState(Model):
    """Everything a firewall shall be."""

    device: EquipmentName
    platform: Platform
    bridge: InterfaceName
    parking_vlan: int
    trunk: TrunkPort
    gateways: tuple[Gateway, ...]
    """One a segment, sorted by VLAN."""
    management: Gateway
    """The one of them whose address every conversation that the firewall itself opens comes from."""
    conversations: tuple[Conversation, ...]
    """Every conversation that the firewall itself opens inside the address plan."""
    outside: Outside
    local: LocalPort
    tunnel_interface: InterfaceName
    tunnels: tuple[TunnelState, ...]
    remote_prefixes: tuple[IPv4Network, ...]
    """Every source that may come out of a tunnel, sorted, none twice."""
    plan: IPv4Network
    """The whole address plan: what is in it and has no better route goes nowhere."""
    to_firewall: tuple[Permit, ...]
    from_firewall: tuple[Permit, ...]
    business: tuple[Permit, ...]
    """What passes through the firewall."""


def _trunk(device: Equipment) -> TrunkPort:
    trunks = [port for port in device.ports if port.mode is PortMode.TRUNK]
    if len(trunks) != 1:
        msg = f"{device.name}: {len(trunks)} trunks; expected one, to the core switch"
        raise InputError(msg)
    return TrunkPort(name=trunks[0].name, number=trunks[0].number, vlans=trunks[0].vlans)


def _gateways(site: Site) -> tuple[Gateway, ...]:
    return tuple(
        Gateway(
            interface=segment_interface(segment),
            number=FIRST_INTERNAL_PORT + segment.vlan,
            vlan=segment.vlan,
            address=IPv4Interface((segment.gateway, segment.prefix.prefixlen)),
            prefix=segment.prefix,
        )
        for segment in sorted(site.segments, key=lambda s: s.vlan)
    )


def _management(device: Equipment, gateways: Iterable[Gateway]) -> Gateway:
    for gateway in gateways:
        if gateway.address.ip == device.address:
            return gateway
    msg = f"{device.name}: expected the address of one of its gateways as its own, got {device.address}"
    raise InputError(msg)


def _conversations(opened: Iterable[Permit]) -> tuple[Conversation, ...]:
    found = sorted({(pair.destination, permit.protocol, permit.port) for permit in opened for pair in permit.pairs})
    return tuple(
        Conversation(number=number, destination=destination, protocol=protocol, port=port)
        for number, (destination, protocol, port) in enumerate(found)
    )


def firewall_state(intent: Intent, device: Equipment, flows: Iterable[Flow]) -> FirewallState:
    """Return what a firewall shall be, out of the flows of its site.

    Raises InputError when `device` is no firewall, or a flow can not go through it.
    """
    site = intent.site_by_name[device.name.site]
    if device.kind is not Kind.FIREWALL or device.platform is None:
        msg = f"{device.name}: expected a firewall with a platform"
        raise InputError(msg)
    tunnels = tunnel_states(intent, device)
    allowed = permits(site, flows, tunnels)
    from_firewall = tuple(permit for permit in allowed if permit.incoming is None)
    gateways = _gateways(site)
    return FirewallState(
        device=device.name,
        platform=device.platform,
        bridge=BRIDGE,
        parking_vlan=intent.parking_vlan,
        trunk=_trunk(device),
        gateways=gateways,
        management=_management(device, gateways),
        conversations=_conversations(from_firewall),
        outside=Outside(
            interface=OUTSIDE_INTERFACE,
            address=site.wan_address,
            gateway=site.wan_gateway,
            peers=tuple(sorted({tunnel.remote_address for tunnel in tunnels})),
        ),
        local=local_port(site, device),
        tunnel_interface=TUNNEL_INTERFACE,
        tunnels=tunnels,
        remote_prefixes=tuple(sorted({prefix for tunnel in tunnels for prefix in tunnel.remote_selectors})),
        plan=intent.prefix,
        to_firewall=tuple(permit for permit in allowed if permit.outgoing is None),
        from_firewall=from_firewall,
        business=tuple(permit for permit in allowed if permit.incoming and permit.outgoing),
    )
