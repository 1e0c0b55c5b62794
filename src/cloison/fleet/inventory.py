"""Nornir's inventory, derived from the intent: one host a device, groups by platform, kind, site and role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir.core.inventory import ConnectionOptions, Defaults, Group, Groups, Host, Hosts, Inventory, ParentGroups

from cloison.device.connection import CONNECTION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from ipaddress import IPv4Address

    from cloison.device.contract import Opener
    from cloison.intent.network import Equipment, Intent
    from cloison.model import EquipmentName
    from cloison.render.config import Config


class IntentInventory:
    """An inventory plugin of Nornir. Hosts follow from the sites, so there is no file of hosts that could drift."""

    def __init__(
        self,
        intent: Intent,
        opener: Opener,
        candidates: Mapping[EquipmentName, Config],
        address_of: Callable[[Equipment], IPv4Address],
    ) -> None:
        self.intent, self.opener = intent, opener
        self.candidates, self.address_of = candidates, address_of

    def load(self) -> Inventory:
        """Return one host for each device that has a candidate; its data hold `equipment` and `candidate`."""
        groups = self._groups()
        hosts = Hosts()
        for device in self.intent.devices:
            if device.name in self.candidates:
                hosts[device.name] = self._host(device, groups)
        return Inventory(hosts=hosts, groups=groups, defaults=Defaults(data={"network": str(self.intent.network)}))

    def _groups(self) -> Groups:
        groups = Groups()
        for platform, options in self.intent.connections.items():
            groups[platform] = Group(
                name=platform, username=options.username, port=options.port, platform=platform.value
            )
        for site in self.intent.sites:
            groups[site.name] = Group(name=site.name, data={"site": site})
            groups.setdefault(site.role, Group(name=site.role))
        for device in self.intent.devices:
            groups.setdefault(device.kind, Group(name=device.kind))
        return groups

    def _host(self, device: Equipment, groups: Groups) -> Host:
        site = self.intent.site_by_name[device.name.site]
        names = [str(device.platform), str(device.kind), str(site.name), str(site.role)]
        return Host(
            name=device.name,
            hostname=str(self.address_of(device)),
            groups=ParentGroups([groups[name] for name in names]),
            data={"equipment": device, "candidate": self.candidates[device.name]},
            connection_options={CONNECTION: ConnectionOptions(extras={"device": device.name, "opener": self.opener})},
        )
