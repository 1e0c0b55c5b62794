"""The network that is judged: reached by SSH from the administration station, and observed at its vantage points."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from cloison.errors import LabError
from cloison.intent.models import Kind
from cloison.lab.client import LabClient
from cloison.lab.configure.video import SCENE
from cloison.lab.credentials import Credentials, kept
from cloison.lab.design import WAN_ROUTER, design_lab
from cloison.probe.question import OUTSIDE, ROGUE, segment_of, vantage_names
from cloison.probe.vantage import Attachment, CableEnd, LastHop
from cloison.testing.checks import Undetermined
from cloison.transport.ssh import SshRunner

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address
    from pathlib import Path

    from cloison.intent.network import Intent
    from cloison.model import EquipmentName, Name
    from cloison.transport.base import Runner

_SWITCH_PORT = "management"
"""The port of a switch that its own address is on."""


class JudgedNetwork(Protocol):
    """What a validator may use of a network; each raises Undetermined where this network has it not."""

    def runner_for(self, name: EquipmentName) -> Runner:
        """Return a runner over SSH from the administration station, as an administrator would come."""

    def inside(self, name: EquipmentName) -> Runner:
        """Return a runner inside a host that is only ours to enter in a twin."""

    def namespaces(self) -> Mapping[EquipmentName, int]:
        """Return a descriptor of the network namespace of every vantage point that is on."""

    def attachments(self) -> tuple[Attachment, ...]:
        """Return where every vantage point that is on is plugged in."""

    def outside(self) -> Mapping[EquipmentName, IPv4Address]:
        """Return the addresses of the vantage points outside."""

    def uplinks(self) -> Mapping[Name, CableEnd]:
        """Return, by site, the wide-area network's end of the cable to the site's firewall."""

    def show(self, camera: EquipmentName, nonce: int) -> None:
        """Put a scene with this nonce (32 bits) before a camera."""

    def close(self) -> None:
        """Close what was opened."""


class LiveNetwork:
    """The real network: no vantage points and no credentials are declared for it yet."""

    def _none(self, what: str) -> Undetermined:
        return Undetermined(f"the live network has no {what} declared; only a twin can be judged so far")

    def runner_for(self, name: EquipmentName) -> Runner:
        """Raise Undetermined."""
        what = f"credentials for {name}"
        raise self._none(what)

    inside = runner_for

    def namespaces(self) -> Mapping[EquipmentName, int]:
        """Raise Undetermined."""
        what = "vantage points"
        raise self._none(what)

    def attachments(self) -> tuple[Attachment, ...]:
        """Raise Undetermined."""
        what = "vantage points"
        raise self._none(what)

    def outside(self) -> Mapping[EquipmentName, IPv4Address]:
        """Raise Undetermined."""
        what = "vantage points outside"
        raise self._none(what)

    def uplinks(self) -> Mapping[Name, CableEnd]:
        """Raise Undetermined."""
        what = "tap on the wide-area network"
        raise self._none(what)

    def show(self, camera: EquipmentName, nonce: int) -> None:  # noqa: ARG002  nobody can
        """Raise Undetermined."""
        what = f"way to put a scene before {camera}"
        raise self._none(what)

    def close(self) -> None:
        """Do nothing."""


class LabNetwork:
    """A twin. What is opened stays open until `close`, so that a session pays for each connection once."""

    def __init__(self, intent: Intent, root: Path, lab_name: str) -> None:
        self._intent = intent
        self._client = LabClient(root, lab_name)
        self._design = design_lab(intent)
        self._credentials: Credentials | None = None
        self._runners: dict[EquipmentName, Runner] = {}
        self._inside: dict[EquipmentName, Runner] = {}
        self._namespaces: dict[EquipmentName, int] = {}

    @property
    def credentials(self) -> Credentials:
        """Every secret of the twin; LabError when it has none."""
        if self._credentials is None:
            self._credentials = kept(self._client.folder.path)
        if self._credentials is None:
            msg = f"lab {self._client.name} has no credentials; start it with `cloison lab up`"
            raise LabError(msg)
        return self._credentials

    def runner_for(self, name: EquipmentName) -> Runner:
        """Return a runner over SSH with the auditor's key, through the administration tunnel, its host key pinned."""
        if name not in self._runners:
            equipment = self._intent.equipment_by_name[name]
            self._runners[name] = SshRunner(
                name,
                str(equipment.address),
                22,
                "root",
                key_file=self._client.folder.path / "keys" / "auditor",
                host_key=self.credentials.hosts[name].ssh_fingerprint,
                dialer=self._client.dialer(self._intent.administration_station.name),
            )
        return self._runners[name]

    def inside(self, name: EquipmentName) -> Runner:
        """Return a runner inside a node of the twin."""
        if name not in self._inside:
            self._inside[name] = self._client.runner(name)
        return self._inside[name]

    def _namespace(self, name: EquipmentName) -> int:
        if name not in self._namespaces:
            opened = self._client.namespaces(name)
            for fd in opened.descriptors:
                if fd != opened.net:
                    os.close(fd)
            self._namespaces[name] = opened.net
        return self._namespaces[name]

    @cached_property
    def _powered(self) -> frozenset[EquipmentName]:
        """The nodes that are on; LabError when the twin is not up."""
        return frozenset(node.node for node in self._client.status().nodes if node.power)

    def namespaces(self) -> Mapping[EquipmentName, int]:
        """Return a descriptor of the network namespace of every vantage point that is on."""
        return {name: self._namespace(name) for name in vantage_names(self._intent) if name in self._powered}

    def outside(self) -> Mapping[EquipmentName, IPv4Address]:
        """Return the addresses of the vantage points outside."""
        return {name: self._design.node_by_name[name].interfaces[0].addresses[0].ip for name in OUTSIDE}

    def attachments(self) -> tuple[Attachment, ...]:
        """Return where each vantage point is: a host by its cable, a switch by its own port, a firewall whole."""
        return tuple(self._attachment(name) for name in vantage_names(self._intent) if name in self._powered)

    def _attachment(self, name: EquipmentName) -> Attachment:
        equipment = self._intent.equipment_by_name.get(name)
        namespace = self._namespace(name)
        if equipment is not None and equipment.is_device and equipment.address is not None:
            if equipment.kind is Kind.FIREWALL:
                return Attachment(name, namespace, None, equipment.address, None, None)
            segment = segment_of(self._intent, name)
            gateway = segment.gateway if segment is not None else None
            return Attachment(name, namespace, _SWITCH_PORT, equipment.address, gateway, None)
        node = self._design.node_by_name[name]
        interface = node.interfaces[0]
        address = interface.addresses[0].ip
        peer = self._peer(name, interface.name)
        last_hops = self._last_hops() if name == ROGUE else {}
        return Attachment(name, namespace, interface.name, address, node.gateway, peer, last_hops)

    def _last_hops(self) -> dict[Name, LastHop]:
        """Return the router's end of the cable to each site's firewall, with the addresses on it."""
        sites = self._intent.site_by_name
        return {
            site: LastHop(end, sites[site].wan_gateway, sites[site].wan_address.ip)
            for site, end in self.uplinks().items()
        }

    def _peer(self, name: EquipmentName, interface: str) -> CableEnd | None:
        link = self._design.link_by_end[f"{name}:{interface}"]
        for end in link.ends:
            if end.node != name and end.node in self._powered:
                return CableEnd(self._namespace(end.node), end.interface)
        return None

    def uplinks(self) -> Mapping[Name, CableEnd]:
        """Return, by site, the router's end of the cable to the site's firewall."""
        return {
            end.node.site: CableEnd(self._namespace(WAN_ROUTER), link.near.interface)
            for link in self._design.links
            if link.near.node == WAN_ROUTER
            for end in link.ends
            if end.node in self._intent.equipment_by_name
        }

    def show(self, camera: EquipmentName, nonce: int) -> None:
        """Put a scene with this nonce (32 bits) before a camera of the twin."""
        self._client.put_file(camera, SCENE, f"{nonce:08x}\n".encode())

    def close(self) -> None:
        """Close every connection and descriptor."""
        for runner in (*self._runners.values(), *self._inside.values()):
            runner.close()
        for fd in self._namespaces.values():
            os.close(fd)
