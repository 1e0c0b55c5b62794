"""The tunnels of a device as its configuration has them, in the words of swanctl.conf(5)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloison.model import EquipmentName
    from cloison.prove.statement import Statement

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Peer:
    """How one end shows who it is."""

    statement: Statement
    method: str
    """`pubkey`, `psk`…"""
    identity: str
    """The name in its certificate; `%any` for whoever has one."""


@dataclass(frozen=True, slots=True)
class Child:
    """What one pair of security associations would carry."""

    statement: Statement
    name: str
    local: tuple[Network, ...]
    """Empty where no selector could be read: then nothing is carried."""
    remote: tuple[Network, ...]
    proposals: tuple[str, ...]
    starts: bool
    """True when this end brings it up by itself, at once or with the first packet."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How one device reaches one peer."""

    statement: Statement
    name: str
    version: str
    local: tuple[Address, ...] | None
    """None where any address will do."""
    remote: tuple[Address, ...] | None
    proposals: tuple[str, ...]
    childless: str
    own: Peer
    peer: Peer
    children: tuple[Child, ...]


@dataclass(frozen=True, slots=True)
class Connections:
    """All connections of one device."""

    device: EquipmentName
    connections: tuple[Connection, ...]
