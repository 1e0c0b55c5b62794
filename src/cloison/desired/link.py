"""The ports that a device is reached by apart from its network: optical links, and the technician's port."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface
from typing import TYPE_CHECKING

from cloison.errors import InputError
from cloison.intent.models import LocalManagement, Medium
from cloison.model import InterfaceName, Model

if TYPE_CHECKING:
    from cloison.intent.network import Equipment, Site

LOCAL_INTERFACE = InterfaceName("local0")
_SPEED_MEGABITS = 1000
_MTU_BYTES = 1500


class AdminState(StrEnum):
    """Whether a port is switched on."""

    UP = "up"
    DOWN = "down"


class Duplex(StrEnum):
    """How a link shares its two directions."""

    FULL = "full"


class LinkState(Model):
    """An optical port: 1 Gbit/s over single-mode fibre, full duplex (IEEE 802.3 clauses 38 and 59)."""

    port: InterfaceName
    admin: AdminState
    speed: int
    """Megabits a second."""
    duplex: Duplex
    mtu: int
    """Bytes of payload of a frame, its VLAN tag left out."""
    vlans: tuple[int, ...]
    """The VLANs that may cross it, sorted."""


class LocalPort(Model):
    """The local management port: a point-to-point link to a technician's laptop, never routed."""

    name: InterfaceName
    address: IPv4Interface
    technician: IPv4Address
    admin: AdminState


def links(device: Equipment) -> tuple[LinkState, ...]:
    """Return the optical ports of a device that a fibre is cabled to, in the order of its ports."""
    return tuple(
        LinkState(
            port=port.name,
            admin=AdminState.UP,
            speed=_SPEED_MEGABITS,
            duplex=Duplex.FULL,
            mtu=_MTU_BYTES,
            vlans=port.vlans,
        )
        for port in device.ports
        if port.medium is Medium.FIBRE
    )


def local_port(site: Site, device: Equipment) -> LocalPort:
    """Return the local management port of a device, shut where the blueprint shuts it."""
    if device.local_management is None:
        msg = f"{device.name}: expected a device, which has a local management port"
        raise InputError(msg)
    own, technician = device.local_management
    is_open = site.local_management is LocalManagement.OPEN
    return LocalPort(
        name=LOCAL_INTERFACE,
        address=own,
        technician=technician.ip,
        admin=AdminState.UP if is_open else AdminState.DOWN,
    )
