"""One model a file of the inventory. They hold what is declared; what follows from it is in `network.py`."""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from cloison.flow import PortNumber, Protocol, Purpose
from cloison.model import (
    EquipmentName,
    HostKeyFingerprint,
    InterfaceName,
    MacAddress,
    Model,
    Name,
    Platform,
    SerialNumber,
)

VlanNumber = Annotated[int, Field(ge=1, le=4094)]
"""A VLAN identifier (IEEE 802.1Q: 0 is a priority tag, 4095 is reserved)."""
Text = Annotated[str, Field(min_length=1, max_length=300)]
"""Prose for people. It is never given to a template."""


class Role(StrEnum):
    """What a site is for."""

    COMMUNE = "commune"
    AGGREGATION = "aggregation"
    OPERATIONS = "operations"


class Kind(StrEnum):
    """What an equipment is."""

    CAMERA = "camera"
    SWITCH = "switch"
    UNMANAGED_SWITCH = "unmanaged-switch"
    FIREWALL = "firewall"
    RECORDER = "recorder"
    LIVE_GATEWAY = "live-gateway"
    WORKSTATION = "workstation"
    STATION = "station"
    ADMINISTRATION_STATION = "administration-station"
    LOG_COLLECTOR = "log-collector"
    TIME_SERVER = "time-server"
    UPS = "ups"


class Scope(StrEnum):
    """Whether a flow stays inside a site or joins two sites."""

    SAME_SITE = "same-site"
    BETWEEN_SITES = "between-sites"


def _metres(text: object) -> object:
    if isinstance(text, str) and (match := re.fullmatch(r"([1-9][0-9]{0,4}) m", text)):
        return int(match[1])
    msg = "not a length in metres, such as `820 m`"
    raise ValueError(msg)


Metres = Annotated[
    int,
    Field(ge=1, le=80_000),
    BeforeValidator(_metres),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,4} m$"}),
]


# --- network.yaml ------------------------------------------------------------------------------------------------


class AddressPlan(Model):
    """The prefix that sites are carved from, by index."""

    prefix: IPv4Network
    site_prefix_length: Annotated[int, Field(ge=8, le=30)]
    reserved_indexes: tuple[int, ...] = ()
    local_management: IPv4Network
    """Where the point-to-point prefixes of the local management ports come from; never routed."""


class ServiceDeclaration(Model):
    """A named service."""

    protocol: Protocol
    port: PortNumber
    description: Text


class TunnelDeclaration(Model):
    """A kind of tunnel: who initiates it, who responds, what it carries."""

    name: Name
    initiator: Role
    responder: Role
    purposes: Annotated[tuple[Purpose, ...], Field(min_length=1)]


class Retention(Model):
    """How long recordings may be kept."""

    ceiling_days: Annotated[int, Field(ge=1, le=30)]
    """The legal ceiling is one month (Code de la sécurité intérieure, L252-5); 30 days is its safe constant."""


class NetworkFile(Model):
    """network.yaml: the address plan, the VLAN plan, the named services."""

    network: Name
    address_plan: AddressPlan
    vlans: dict[Name, VlanNumber]
    parking_vlan: Name
    """Native VLAN of trunks and VLAN of unused ports; nothing is in it."""
    services: dict[Name, ServiceDeclaration]
    tunnels: tuple[TunnelDeclaration, ...]
    time_server: EquipmentName
    log_collector: EquipmentName
    administration_station: EquipmentName
    retention: Retention


# --- policy.yaml and invariants.yaml -----------------------------------------------------------------------------


class Selector(Model):
    """A set of equipment: those of some kinds at the sites of some roles."""

    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)]


class FlowDeclaration(Model):
    """An authorised flow between two sets of equipment."""

    id: Name
    source: Selector = Field(alias="from")
    destination: Selector = Field(alias="to")
    scope: Scope
    service: Name
    purpose: Purpose
    basis: Text
    """Why it is authorised: the law, the convention, or a recommendation."""


class PolicyFile(Model):
    """policy.yaml: everything that is authorised; the rest is refused."""

    flows: tuple[FlowDeclaration, ...]


class InvariantDeclaration(Model):
    """A pair of sets between which no flow may exist, whatever policy.yaml says."""

    id: Name
    source: Selector = Field(alias="from")
    destination: Selector = Field(alias="to")
    scope: Scope | None = None
    """None: both inside a site and between sites."""
    except_purposes: tuple[Purpose, ...] = ()
    """Purposes that the invariant does not forbid."""
    because: Text


class InvariantsFile(Model):
    """invariants.yaml: what must hold whatever policy.yaml says."""

    no_path: tuple[InvariantDeclaration, ...]


# --- blueprints/*.yaml -------------------------------------------------------------------------------------------


class SegmentDeclaration(Model):
    """A VLAN of a site, with its prefix length."""

    name: Name
    vlan: Name
    prefix_length: Annotated[int, Field(ge=16, le=30)]


class EquipmentDeclaration(Model):
    """One equipment of a kind of site."""

    kind: Kind
    description: Text
    segment: Name | None = None
    """Where its address is; None for a firewall (it is the gateway of all) and an unmanaged switch."""
    platform: Platform | None = None
    """For a device that Cloison configures."""
    ports: Annotated[tuple[InterfaceName, ...], Field(min_length=1)]
    """Every port it has; a port that no cable uses is shut and parked."""


class Medium(StrEnum):
    """What a cable is made of."""

    COPPER = "copper"
    FIBRE = "fibre"


class CableDeclaration(Model):
    """A cable between two ports, each `<equipment>:<port>`."""

    between: tuple[str, str]
    medium: Medium = Medium.COPPER


class LocalManagement(StrEnum):
    """Whether the local management port of devices stays open once the network runs."""

    OPEN = "open"
    SHUT = "shut"


class BlueprintFile(Model):
    """blueprints/<name>.yaml: the equipment, ports and segments of one kind of site."""

    blueprint: Name
    role: Role
    description: Text
    local_management: LocalManagement = LocalManagement.OPEN
    segments: Annotated[tuple[SegmentDeclaration, ...], Field(min_length=1)]
    equipment: dict[Name, EquipmentDeclaration]
    cables: tuple[CableDeclaration, ...]


# --- sites/*.yaml ------------------------------------------------------------------------------------------------


class WanDeclaration(Model):
    """The public side of the site's firewall."""

    address: IPv4Interface
    gateway: IPv4Address


class EquipmentAsBuilt(Model):
    """What is known of one equipment once it is there."""

    mac: MacAddress | None = None
    serial: SerialNumber | None = None
    host_key: HostKeyFingerprint | None = None


class ModuleType(StrEnum):
    """A single-mode 1 Gbit/s optical module (IEEE 802.3 clauses 38 and 59)."""

    LX = "1000BASE-LX"
    LX10 = "1000BASE-LX10"
    BX10_D = "1000BASE-BX10-D"
    BX10_U = "1000BASE-BX10-U"


class ModuleDeclaration(Model):
    """The optical module at one end of the fibre."""

    module: ModuleType
    serial: SerialNumber | None = None


class FibreAsBuilt(Model):
    """The fibre link as built."""

    length: Metres
    """Metres of fibre, written `820 m`."""
    connectors: Annotated[int, Field(ge=2, le=20)]
    splices: Annotated[int, Field(ge=0, le=50)]
    near: ModuleDeclaration
    """At the pole."""
    far: ModuleDeclaration
    """At the town hall."""


class Waiver(Model):
    """A finding that is accepted for a time: it is reported, and never becomes a PASS."""

    check: Text
    reason: Text
    owner: Text
    expires: date


class SiteFile(Model):
    """sites/<name>.yaml: one site, as parameters over its blueprint."""

    site: Name
    blueprint: Name
    index: Annotated[int, Field(ge=0, le=65_535)]
    name: Text
    wan: WanDeclaration
    equipment: dict[Name, EquipmentAsBuilt] = Field(default_factory=dict)
    fibre: FibreAsBuilt | None = None
    retention_days: Annotated[int, Field(ge=1, le=31)] | None = None
    waivers: tuple[Waiver, ...] = ()


# --- groups.yaml and defaults.yaml (Nornir's own files) --------------------------------------------------------------


class ConnectionOptions(Model):
    """What Nornir's inventory may say of a platform's connections: an allow-list, no free options."""

    port: PortNumber = 22
    username: Name
    connect_timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 10.0
    command_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0


class GroupsFile(Model):
    """groups.yaml: connection options by platform."""

    platforms: dict[Platform, ConnectionOptions]


class DefaultsFile(Model):
    """defaults.yaml: how Nornir runs."""

    workers: Annotated[int, Field(ge=1, le=256)] = 8
