"""Where the places of the proof are in a twin: which interface of which node sends for them, and which hears."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self

from cloison.errors import ProbeError
from cloison.intent.models import Kind
from cloison.lab.design import LOCAL_INTERFACE, ROGUE_LAPTOP, TECHNICIAN, WAN_ROUTER, design_lab
from cloison.model import EquipmentName
from cloison.probe.vantage import CableEnd, hardware_address
from cloison.probe.witness import Ear, Outlet
from cloison.prove.places import WAN
from cloison.transport.namespace import network_namespace, open_socket_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloison.intent.network import Equipment, Intent, Site
    from cloison.lab.client import LabClient
    from cloison.lab.design import LinkEnd

_OF_NO_NETWORK: Final = frozenset({"lo", "ovs-netdev"})
_SWITCH_PORT: Final = "management"
"""The port of a switch that its own address is on."""


class Unreachable(ProbeError):  # noqa: N818  it says what is so, not that something broke
    """A place that nothing can be sent from, or heard at, in a twin; the message says why."""


class TwinPlaces:
    """The places of one twin. What is opened or plugged in stays so until `close`."""

    def __init__(self, intent: Intent, client: LabClient) -> None:
        self._intent = intent
        self._client = client
        self._design = design_lab(intent)
        self._namespaces: dict[EquipmentName, int] = {}
        self._plugged: dict[str, str] = {}
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        """Return the places, to be closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Pull out what was plugged in, and close every descriptor."""
        self._opened.close()

    def namespace(self, node: EquipmentName) -> int:
        """Return an open descriptor of the network namespace of a node; LabError when it is off."""
        if node not in self._namespaces:
            opened = self._client.namespaces(node)
            for descriptor in opened.descriptors:
                if descriptor != opened.net:
                    os.close(descriptor)
            self._opened.callback(os.close, opened.net)
            self._namespaces[node] = opened.net
        return self._namespaces[node]

    def outlets(self, place: str, receiver: str, *, routed: bool) -> tuple[Outlet, ...]:
        """Return where a place sends; `routed` when it is for a router. Raises Unreachable.

        A router's own MAC addresses are not in its configuration: it gets a copy for each that it has.
        """
        if place == WAN:
            site = self._site_of(receiver)
            near, far = self._uplink(site)
            macs = self._macs(far.node, [far.interface])
            return (Outlet(self.namespace(near.node), near.interface, macs, in_its_own_name=True),)
        site = self._site_of(place)
        if place == f"{site.name}/{TECHNICIAN}":
            near, far = self._local(site)
            macs = self._macs(far.node, [far.interface])
            return (Outlet(self.namespace(near.node), near.interface, macs, in_its_own_name=True),)
        if place == site.firewall.name:
            return (Outlet(self.namespace(site.firewall.name), None),)
        end = self._cable_into(place) if ":" in place else self._own(place)
        macs = self._macs(site.firewall.name, self._inner(site.firewall.name)) if routed else ()
        return (Outlet(end.namespace, end.interface, macs),)

    def ears(self, place: str, *, routed: bool) -> tuple[Ear, ...]:
        """Return where a place hears; Unreachable when it hears nowhere.

        A firewall hears what its filter lets in; of frames that are not `routed`, all that comes to its interfaces.
        """
        if place == WAN:
            return tuple(self._ear_between(*self._uplink(site)) for site in self._intent.sites)
        site = self._site_of(place)
        if place == f"{site.name}/{TECHNICIAN}":
            return (self._ear_between(*self._local(site)),)
        if place == site.firewall.name and routed:
            return (Ear(self.namespace(site.firewall.name), None),)
        if ":" in place:
            end, switch = self._cable_into(place), place.partition(":")
            peer = CableEnd(self.namespace(EquipmentName(switch[0])), switch[2])
            return (Ear(end.namespace, end.interface, peer),)
        equipment = self._equipment(place)
        if equipment.is_device:
            namespace = self.namespace(equipment.name)
            tags = equipment.kind is not Kind.FIREWALL
            return tuple(Ear(namespace, name, takes_tags=tags) for name in self._inner(equipment.name))
        own = self._own(place)
        return (Ear(own.namespace, own.interface, self._peer(equipment.name, own.interface)),)

    # --- finding places ---------------------------------------------------------------------------------------------

    def _site_of(self, place: str) -> Site:
        for site in self._intent.sites:
            if place.partition("/")[0] == site.name:
                return site
        msg = f"{place} is at no site"
        raise Unreachable(msg)

    def _equipment(self, place: str) -> Equipment:
        for name, equipment in self._intent.equipment_by_name.items():
            if name == place and equipment.address is not None:
                return equipment
        if place.endswith("/tunnels"):
            msg = "a packet out of a tunnel cannot be made without the keys of its other end"
        elif place.endswith("-segment"):
            msg = f"no declared equipment has the address: whoever took it would be {place}"
        else:
            msg = f"{place} is no place that packets can be sent from or heard at"
        raise Unreachable(msg)

    def _own(self, place: str) -> CableEnd:
        """Return the interface by which an equipment is in its segment."""
        equipment = self._equipment(place)
        interface = _SWITCH_PORT
        if equipment.kind is not Kind.SWITCH:
            interface = self._design.node_by_name[equipment.name].interfaces[0].name
        return CableEnd(self.namespace(equipment.name), interface)

    def _cable_into(self, port: str) -> CableEnd:
        """Return the far end of the cable into the port of a switch; into a spare one the rogue laptop is plugged."""
        link = self._design.link_by_end.get(port)
        if link is None:
            msg = f"{port} has no cable in the twin"
            raise Unreachable(msg)
        if link.far is not None:
            far = next(end for end in link.ends if str(end) != port)
            return CableEnd(self.namespace(far.node), far.interface)
        if port not in self._plugged:
            interface = f"spare{len(self._plugged)}"
            self._opened.callback(self._client.unplug, port)
            self._client.plug(port, ROGUE_LAPTOP, interface)
            self._plugged[port] = interface
        return CableEnd(self.namespace(ROGUE_LAPTOP), self._plugged[port])

    def _peer(self, node: EquipmentName, interface: str) -> CableEnd | None:
        link = self._design.link_by_end[f"{node}:{interface}"]
        for end in link.ends:
            if end.node != node:
                return CableEnd(self.namespace(end.node), end.interface)
        return None

    def _uplink(self, site: Site) -> tuple[LinkEnd, LinkEnd]:
        """Return the ends of the cable between the wide-area network and a site: the router's, the firewall's."""
        for link in self._design.links:
            if link.far is not None and link.near.node == WAN_ROUTER and link.far.node == site.firewall.name:
                return link.near, link.far
        msg = f"{site.name} has no cable to the wide-area network"
        raise Unreachable(msg)

    def _local(self, site: Site) -> tuple[LinkEnd, LinkEnd]:
        """Return the ends of the cable on the local port of a site's firewall: the technician's, the firewall's."""
        link = self._design.link_by_end.get(f"{site.firewall.name}:{LOCAL_INTERFACE}")
        if link is None or link.far is None:
            msg = f"{site.firewall.name} has no local port"
            raise Unreachable(msg)
        return link.far, link.near

    def _ear_between(self, near: LinkEnd, far: LinkEnd) -> Ear:
        peer = CableEnd(self.namespace(far.node), far.interface)
        return Ear(self.namespace(near.node), near.interface, peer)

    def _inner(self, node: EquipmentName) -> list[str]:
        """Return the interfaces of a device that no cable is on: those that its own kernel speaks by."""
        with network_namespace(self.namespace(node)):
            names = [name for _, name in socket.if_nameindex()]
        cabled = {str(one.name) for one in self._design.node_by_name[node].interfaces}
        return [name for name in names if name not in cabled | _OF_NO_NETWORK]

    def _macs(self, node: EquipmentName, interfaces: Iterable[str]) -> tuple[int, ...]:
        """Return the MAC addresses of some interfaces, each once; a tunnel's has none."""
        with open_socket_in(self.namespace(node), socket.AF_INET, socket.SOCK_DGRAM) as sock:
            macs = [int(hardware_address(sock, one).replace(":", ""), 16) for one in interfaces]
        return tuple(dict.fromkeys(mac for mac in macs if mac))
