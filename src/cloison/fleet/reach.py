"""How the devices of an intent are reached: through the administration tunnel, or on their local management ports."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloison.change.order import Via
from cloison.device.access import Access, ask_host_key, open_device
from cloison.device.capabilities import PLATFORMS
from cloison.errors import InputError
from cloison.model import EquipmentName, HostKeyFingerprint
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from ipaddress import IPv4Address
    from pathlib import Path

    from cloison.device.access import Dialer, HostKey
    from cloison.device.contract import Device
    from cloison.intent.network import Equipment, Intent


NO_KEY = "the live network is reached with a key of yours: name its file by --key"


def technician(device: EquipmentName) -> EquipmentName:
    """Return the technician's laptop that the local management ports of a device's site are cabled to."""
    return EquipmentName(f"{device.site}/technician")


def sections_of(equipment: Equipment) -> tuple[SectionName, ...]:
    """Return the sections that a device has: those of its platform, `fibre` only where it has an optical port."""
    if equipment.platform is None:
        return ()
    optical = any(port.name.startswith("sfp") for port in equipment.ports)
    return tuple(s for s in PLATFORMS[equipment.platform].sections if s is not SectionName.FIBRE or optical)


@dataclass(frozen=True, slots=True)
class Reach:
    """Opens devices: an `Opener` of `cloison.device.contract`, and for Nornir's inventory the address of each."""

    intent: Intent
    via: Via
    key_file: Path | None
    """The private key that the devices let in; None for who only asks for their host keys."""
    dialer_at: Callable[[EquipmentName], Dialer]
    """Opens connections from a place: the administration station, or a site's technician's laptop.

    On the live network both are the machine that this runs on; a dialer with a `close` is closed after it dialled.
    """
    host_keys: Mapping[EquipmentName, HostKeyFingerprint] = field(default_factory=dict)
    """Keys that are pinned elsewhere than in the inventory: a twin's, which are made with it."""

    def __call__(self, device: EquipmentName) -> Device:
        """Return the device over a new connection; see `open_device` for what it raises."""
        equipment = self.equipment(device)
        access = self.access(equipment)
        if equipment.platform is None:  # pragma: no cover  equipment() has seen to it
            msg = f"{device} is not a device"
            raise InputError(msg)
        with contextlib.ExitStack() as stack:
            if hasattr(access.dialer, "close"):
                stack.callback(access.dialer.close)
            return open_device(access, device, equipment.platform, sections_of(equipment))

    def equipment(self, device: EquipmentName) -> Equipment:
        """Return a device by name; InputError when there is none."""
        found = self.intent.equipment_by_name.get(device)
        if found is None or not found.is_device:
            msg = f"{device} is not a device; expected one of {', '.join(d.name for d in self.intent.devices)}"
            raise InputError(msg)
        return found

    def place(self, equipment: Equipment) -> EquipmentName:
        """Return from where a device is reached."""
        if self.via is Via.LOCAL:
            return technician(equipment.name)
        return self.intent.administration_station.name

    def address(self, equipment: Equipment) -> IPv4Address:
        """Return the address at which a device is reached; InputError when it has none."""
        address = equipment.address
        if self.via is Via.LOCAL:
            address = equipment.local_management[0].ip if equipment.local_management else None
        if address is None:
            msg = f"{equipment.name} has no address to be reached at by --via {self.via}"
            raise InputError(msg)
        return address

    def pinned(self, equipment: Equipment) -> HostKeyFingerprint | None:
        """Return the host key that is pinned for a device; None when there is none."""
        return self.host_keys.get(equipment.name, equipment.host_key)

    def shown_host_key(self, device: EquipmentName) -> HostKey:
        """Return the key that a device shows where the plan says it is; nobody logs in.

        Raises InputError when it is no device or has no address this way, TransportError when it cannot be reached.
        """
        equipment = self.equipment(device)
        if equipment.platform is None:  # pragma: no cover  equipment() has seen to it
            msg = f"{device} is not a device"
            raise InputError(msg)
        options = self.intent.connections[equipment.platform]
        dialer = self.dialer_at(self.place(equipment))
        with contextlib.ExitStack() as stack:
            if hasattr(dialer, "close"):
                stack.callback(dialer.close)
            return ask_host_key(
                device,
                str(self.address(equipment)),
                options.port,
                dialer=dialer,
                timeout=options.connect_timeout_seconds,
            )

    def access(self, equipment: Equipment) -> Access:
        """Return everything that a connection needs; InputError when no host key is pinned for the device."""
        host_key = self.pinned(equipment)
        if self.key_file is None:
            raise InputError(NO_KEY)
        if equipment.platform is None or host_key is None:
            msg = (
                f"{equipment.name} has no pinned host key; expected `host_key` in inventory/sites/"
                f"{equipment.name.site}.yaml; see `cloison trust {equipment.name}` (a twin's keys are pinned by "
                "`cloison lab up`)"
            )
            raise InputError(msg)
        options = self.intent.connections[equipment.platform]
        return Access(
            address=self.address(equipment),
            port=options.port,
            username=options.username,
            key_file=self.key_file,
            host_key=host_key,
            dialer=self.dialer_at(self.place(equipment)),
            connect_seconds=options.connect_timeout_seconds,
            command_seconds=options.command_timeout_seconds,
        )
