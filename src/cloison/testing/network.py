"""The network that is judged: reached by SSH from the administration station, and observed at its vantage points."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from cloison.errors import InputError
from cloison.intent.models import Kind
from cloison.lab.configure.video import SCENE
from cloison.lab.design import WAN_ROUTER, design_lab
from cloison.probe.question import OUTSIDE, ROGUE, segment_of, vantage_names
from cloison.probe.vantage import Attachment, CableEnd, LastHop
from cloison.testing.checks import Undetermined
from cloison.testing.subjects import SSH_PORT
from cloison.transport.ssh import SshRunner

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address

    from cloison.lab.client import LabClient
    from cloison.model import EquipmentName, Name
    from cloison.session import Session
    from cloison.transport.base import Runner

_ACCOUNT = "root"
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


class _Reached:
    """What every network has: SSH from its administration station. A connection stays open until `close`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._intent = session.intent
        self._runners: dict[EquipmentName, Runner] = {}

    def runner_for(self, name: EquipmentName) -> Runner:
        """Return a runner over SSH with the auditor's key, through the administration tunnel, its host key pinned."""
        if name not in self._runners:
            session, equipment = self._session, self._intent.equipment_by_name[name]
            host_key = session.host_keys.get(name, equipment.host_key)
            if equipment.address is None or host_key is None:
                msg = f"{name} has no address or no pinned host key: it cannot be reached over SSH"
                raise InputError(msg)
            self._runners[name] = SshRunner(
                name,
                str(equipment.address),
                SSH_PORT,
                _ACCOUNT,
                key_file=session.key_file,
                host_key=host_key,
                dialer=session.dialer_at(self._intent.administration_station.name),
            )
        return self._runners[name]

    def close(self) -> None:
        """Close every connection."""
        for runner in self._runners.values():
            runner.close()


class LiveNetwork(_Reached):
    """The real network, which has no vantage points declared yet."""

    def _none(self, what: str) -> Undetermined:
        return Undetermined(f"the live network has no {what} declared; only a twin can be judged so far")

    def inside(self, name: EquipmentName) -> Runner:
        """Raise Undetermined."""
        what = f"way into {name} but SSH"
        raise self._none(what)

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


class LabNetwork(_Reached):
    """A twin. What is opened stays open until `close`, so that a session pays for each connection once."""

    def __init__(self, session: Session, client: LabClient) -> None:
        super().__init__(session)
        self._client = client
        self._design = design_lab(session.intent)
        self._inside: dict[EquipmentName, Runner] = {}
        self._namespaces: dict[EquipmentName, int] = {}

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
        super().close()
        for runner in self._inside.values():
            runner.close()
        for fd in self._namespaces.values():
            os.close(fd)


def judged_network(session: Session) -> JudgedNetwork:
    """Return the network of a session as validators reach it."""
    return LiveNetwork(session) if session.lab is None else LabNetwork(session, session.lab)
