"""Firewalls of the reference platform: Debian, Open vSwitch for the trunk, nftables, strongSwan in user space."""

from __future__ import annotations

from typing import ClassVar

from cloison.device.driver import SectionDriver
from cloison.model import Platform


class DebianLibipsecDriver(SectionDriver):
    """A firewall: sections switch, interfaces, filter, tunnels."""

    platform: ClassVar[Platform] = Platform.DEBIAN_LIBIPSEC
    vendor: ClassVar[str] = "Debian"
    model: ClassVar[str] = "firewall with strongSwan in user space"
