"""Switches of the reference platform: Open vSwitch with its own daemons on Linux."""

from __future__ import annotations

from typing import ClassVar

from cloison.device.driver import SectionDriver
from cloison.model import Platform


class OpenVswitchDriver(SectionDriver):
    """A switch: sections switch, fibre where it has an optical port, interfaces, edge."""

    platform: ClassVar[Platform] = Platform.OPENVSWITCH
    vendor: ClassVar[str] = "Open vSwitch"
    model: ClassVar[str] = "switch with a datapath in user space"
