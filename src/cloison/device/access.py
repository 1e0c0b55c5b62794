"""How one device is reached, and how it is opened over SSH with its host key pinned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.device.agent import AgentGuard
from cloison.device.capabilities import PLATFORMS
from cloison.device.contract import Device
from cloison.device.daemons import DaemonReader, DaemonWriter
from cloison.transport.base import Dialer
from cloison.transport.ssh import HostKey, SshRunner, ask_host_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address
    from pathlib import Path

    from cloison.model import EquipmentName, HostKeyFingerprint, Platform
    from cloison.render.config import SectionName

__all__ = ["Access", "Dialer", "HostKey", "ask_host_key", "open_device"]


@dataclass(frozen=True, slots=True)
class Access:
    """Everything that an SSH connection to a device needs."""

    address: IPv4Address
    port: int
    username: str
    key_file: Path
    host_key: HostKeyFingerprint
    dialer: Dialer
    """From where the connection is opened."""
    connect_seconds: float
    command_seconds: float
    """Time limit of one batch of commands."""


def ssh_runner(access: Access, device: EquipmentName, connect_seconds: float) -> SshRunner:
    """Return what runs commands on the device over SSH, its host key pinned; it connects when it is first used."""
    return SshRunner(
        device,
        str(access.address),
        access.port,
        access.username,
        key_file=access.key_file,
        host_key=access.host_key,
        dialer=access.dialer,
        connect_timeout=connect_seconds,
    )


def open_device(access: Access, device: EquipmentName, platform: Platform, sections: Sequence[SectionName]) -> Device:
    """Return the device over a new SSH connection, which stands already.

    Raises HostKeyError, TransportTimeout or TransportError.
    """
    runner = ssh_runner(access, device, access.connect_seconds)
    runner.connect()
    return Device(
        reader=DaemonReader(runner, device, platform, sections, access.command_seconds),
        writer=DaemonWriter(runner, device, platform),
        guard=AgentGuard(runner, device, PLATFORMS[platform].timers),
        close=runner.close,
    )
