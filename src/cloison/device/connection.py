"""Nornir's connection `cloison`: from a platform to its NAPALM driver, by a table and never by guessing a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nornir.core.plugins.connections import ConnectionPluginRegister

from cloison.device.debian import DebianLibipsecDriver
from cloison.device.openvswitch import OpenVswitchDriver
from cloison.errors import InputError, TransportError
from cloison.model import Platform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nornir.core.configuration import Config

    from cloison.device.driver import SectionDriver

CONNECTION = "cloison"
DRIVERS: Mapping[Platform, type[SectionDriver]] = {
    Platform.DEBIAN_LIBIPSEC: DebianLibipsecDriver,
    Platform.OPENVSWITCH: OpenVswitchDriver,
}


class CloisonConnection:
    """A connection of Nornir that holds an open driver."""

    def __init__(self) -> None:
        self._driver: SectionDriver | None = None

    def open(
        self,
        hostname: str | None,
        username: str | None,
        password: str | None,
        port: int | None,
        platform: str | None,
        extras: dict[str, Any] | None = None,
        configuration: Config | None = None,
    ) -> None:
        """Open the driver of the platform; `extras` are its `optional_args`: the device and who opens it."""
        del password, port, configuration
        driver = DRIVERS.get(Platform(platform)) if platform in set(Platform) else None
        if driver is None:
            msg = f"{hostname}: no driver for platform {platform}; expected one of {', '.join(Platform)}"
            raise InputError(msg)
        opened = driver(hostname or "", username or "", "", optional_args=extras)
        opened.open()
        self._driver = opened

    def close(self) -> None:
        """Close the driver."""
        if self._driver is not None:
            self._driver.close()
            self._driver = None

    @property
    def connection(self) -> SectionDriver:
        """The open driver; TransportError when it is not open."""
        if self._driver is None:
            msg = "nornir"
            raise TransportError(msg, "the connection is not open")
        return self._driver


def register() -> None:
    """Make the connection known to Nornir; a second call does nothing."""
    if CONNECTION not in ConnectionPluginRegister.available:
        ConnectionPluginRegister.register(CONNECTION, CloisonConnection)
