"""The network that follows from the inventory: sites, segments, equipment, cables, tunnels, flows. All frozen."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING, Any, Self

from cloison.flow import Endpoint, Flow, Service
from cloison.intent.models import (
    ConnectionOptions,
    FibreAsBuilt,
    InvariantDeclaration,
    Kind,
    LocalManagement,
    Medium,
    Role,
    VlanNumber,
    Waiver,
)
from cloison.model import (
    EquipmentName,
    HostKeyFingerprint,
    HostName,
    InterfaceName,
    MacAddress,
    Model,
    Name,
    Platform,
    SerialNumber,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class PortReference(Model):
    """One port of one equipment."""

    equipment: EquipmentName
    port: InterfaceName

    def __str__(self) -> str:
        """Return `<site>/<equipment>:<port>`."""
        return f"{self.equipment}:{self.port}"


class Cable(Model):
    """A cable between two ports of a site."""

    ends: tuple[PortReference, PortReference]
    medium: Medium

    def other(self, end: PortReference) -> PortReference:
        """Return the end that is not `end`."""
        return self.ends[1] if self.ends[0] == end else self.ends[0]


class Segment(Model):
    """A VLAN of a site with its prefix; its gateway is the site's firewall and nothing else."""

    site: Name
    name: Name
    vlan: VlanNumber
    prefix: IPv4Network
    gateway: IPv4Address


class PortMode(StrEnum):
    """What a port carries."""

    ACCESS = "access"
    """One VLAN, untagged."""
    TRUNK = "trunk"
    """Several VLANs, all tagged (the native one too)."""
    UNUSED = "unused"
    """Nothing: shut, and parked."""
    ROUTED = "routed"
    """No VLAN: a firewall's outside."""


class Port(Model):
    """A port of an equipment, with what follows for it from the cables."""

    name: InterfaceName
    number: int
    """1 for the first port declared: its OpenFlow port number."""
    mode: PortMode
    vlans: tuple[VlanNumber, ...]
    """The one VLAN of an access port; the VLANs of a trunk, sorted; the parking VLAN of an unused port."""
    peer: PortReference | None
    medium: Medium
    attached: tuple[EquipmentName, ...] = ()
    """Who speaks through a port of a managed switch, on the side away from the firewall: the host that an access port
    serves, or several behind an unmanaged switch; beyond a trunk, every host and every switch with an address."""


class Equipment(Model):
    """One equipment of one site."""

    name: EquipmentName
    kind: Kind
    description: str
    segment: Name | None
    """None for an unmanaged switch; a firewall's is its management segment."""
    address: IPv4Address | None
    """Its address in its segment; for a firewall, the gateway address of the management segment."""
    platform: Platform | None
    mac: MacAddress | None
    serial: SerialNumber | None
    host_key: HostKeyFingerprint | None
    ports: tuple[Port, ...]
    local_management: tuple[IPv4Interface, IPv4Interface] | None = None
    """Of a device: the address of its local0, and the technician's address on the other end."""

    @property
    def is_device(self) -> bool:
        """True for what Cloison configures."""
        return self.platform is not None

    def port(self, name: str) -> Port:
        """Return a port by name; KeyError when there is none."""
        for port in self.ports:
            if port.name == name:
                return port
        raise KeyError(name)


class Site(Model):
    """One site with all that follows for it."""

    name: Name
    title: str
    blueprint: Name
    role: Role
    index: int
    prefix: IPv4Network
    wan_address: IPv4Interface
    wan_gateway: IPv4Address
    local_management: LocalManagement
    segments: tuple[Segment, ...]
    equipment: tuple[Equipment, ...]
    cables: tuple[Cable, ...]
    fibre: FibreAsBuilt | None
    retention_days: int | None
    waivers: tuple[Waiver, ...]

    @cached_property
    def segment_by_name(self) -> dict[Name, Segment]:
        """The segments by name."""
        return {segment.name: segment for segment in self.segments}

    @cached_property
    def firewall(self) -> Equipment:
        """The one firewall of the site."""
        return next(equipment for equipment in self.equipment if equipment.kind is Kind.FIREWALL)

    @cached_property
    def management(self) -> Segment:
        """The segment that the firewall's management address is in."""
        return self.segment_by_name[Name(str(self.firewall.segment))]

    @property
    def devices(self) -> tuple[Equipment, ...]:
        """What Cloison configures at this site."""
        return tuple(equipment for equipment in self.equipment if equipment.is_device)


class TunnelEnd(Model):
    """One end of a tunnel."""

    firewall: EquipmentName
    address: IPv4Address
    identity: HostName
    """IKE identity (an ID_FQDN, RFC 7296 section 3.5), also the DNS subject alternative name of its certificate."""
    selectors: tuple[IPv4Network, ...]
    """Its own segments that the tunnel carries, the management segment first where it is among them."""


class Tunnel(Model):
    """An IKEv2 connection with one CHILD_SA between two firewalls."""

    name: Name
    """`<declaration>-<initiating site>--<responding site>`."""
    kind: Name
    initiator: TunnelEnd
    responder: TunnelEnd

    def end_of(self, firewall: EquipmentName) -> tuple[TunnelEnd, TunnelEnd]:
        """Return this firewall's end and the other; KeyError when the tunnel is not its own."""
        if firewall == self.initiator.firewall:
            return self.initiator, self.responder
        if firewall == self.responder.firewall:
            return self.responder, self.initiator
        raise KeyError(firewall)


class Intent(Model):
    """Everything declared and all that follows from it."""

    network: Name
    prefix: IPv4Network
    """The whole address plan."""
    parking_vlan: VlanNumber
    services: tuple[Service, ...]
    sites: tuple[Site, ...]
    tunnels: tuple[Tunnel, ...]
    flows: tuple[Flow, ...]
    """Every authorised conversation, expanded to endpoints, sorted by key."""
    invariants: tuple[InvariantDeclaration, ...]
    time_server: Endpoint
    log_collector: Endpoint
    administration_station: Endpoint
    retention_ceiling_days: int
    connections: dict[Platform, ConnectionOptions]
    workers: int

    @cached_property
    def site_by_name(self) -> dict[Name, Site]:
        """The sites by name."""
        return {site.name: site for site in self.sites}

    @cached_property
    def equipment_by_name(self) -> dict[EquipmentName, Equipment]:
        """Every equipment of every site by its full name."""
        return {equipment.name: equipment for site in self.sites for equipment in site.equipment}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy that computes anew what follows from its fields: pydantic copies what was computed, too."""
        copied = super().model_copy(update=update, deep=deep)
        for name in [name for name in copied.__dict__ if name not in type(self).model_fields]:
            del copied.__dict__[name]
        return copied

    @cached_property
    def flows_of_site(self) -> dict[Name, tuple[Flow, ...]]:
        """The flows that begin or end at each site, in their order."""
        found: dict[Name, list[Flow]] = {}
        for flow in self.flows:
            for site in {flow.source.name.site, flow.destination.name.site}:
                found.setdefault(site, []).append(flow)
        return {site: tuple(of_site) for site, of_site in found.items()}

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of everything declared and derived, in hexadecimal."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def devices(self) -> tuple[Equipment, ...]:
        """What Cloison configures, over all sites."""
        return tuple(device for site in self.sites for device in site.devices)

    def tunnels_of(self, firewall: EquipmentName) -> tuple[Tunnel, ...]:
        """Return the tunnels that end at this firewall."""
        return tuple(t for t in self.tunnels if firewall in (t.initiator.firewall, t.responder.firewall))
