"""One site below its router: which frames of which places come to the firewall, and who hears what leaves it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from cloison.intent.models import Kind
from cloison.prove.bridge import Bridge
from cloison.prove.emission import number_of
from cloison.prove.ground import Ground
from cloison.prove.packet import LINK_FIELDS, UNTAGGED
from cloison.prove.places import CABLE_NUMBERS
from cloison.prove.question import trunk_places
from cloison.prove.switch import LOCAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Address

    from cloison.intent.network import Equipment, Segment, Site
    from cloison.model import EquipmentName
    from cloison.prove.configuration import Running
    from cloison.prove.emission import Emission
    from cloison.prove.ground import Arrival
    from cloison.prove.packet import Frames
    from cloison.prove.places import Places
    from cloison.prove.space import Region
    from cloison.prove.stack import Stack
    from cloison.prove.statement import Unmodelled

_NO_TAG = frozenset({(0, 0), (UNTAGGED, UNTAGGED)})
"""What a host and a router take: untagged frames, and those with a priority tag (IEEE 802.1Q clause 6.9.1)."""


@dataclass(frozen=True, slots=True)
class Below:
    """What happens below the router of a site, whatever the router does."""

    arriving: Region
    """The IP packets that come to the firewall's own interfaces, with `sender` and `interface_in`."""
    direct: Region
    """The frames that are heard by somebody without having met a router, with `sender` and `receiver`."""
    coming: Region
    """The frames that whoever holds a cable gets to the firewall's own interfaces, before anything looks at them."""
    leaving: Mapping[str, Region]
    """By interface of the firewall: the packets that are heard when they leave by it, with `receiver`."""
    unresolved: frozenset[str]
    """Hosts that cannot find their gateway's MAC address by ARP, or whose own the gateway cannot find."""
    unknown: tuple[tuple[Unmodelled, Region], ...]


def segment_place(site: Site, segment: Segment | None, interface: str) -> str:
    """Return the name of the place where packets go that are sent into a segment, to no declared address."""
    return f"{site.name}/{segment.name}-segment" if segment is not None else f"{site.firewall.name}:{interface}"


class SiteBelow:
    """Computes what happens below the router of one site."""

    def __init__(
        self,
        frames: Frames,
        places: Places,
        emission: Emission,
        site: Site,
        running: Mapping[EquipmentName, Running],
    ) -> None:
        self._frames, self._places, self._emission = frames, places, emission
        self._site = site
        self._running = running
        self.ground = Ground(frames, site, running)
        self._equipment = {equipment.name: equipment for equipment in site.equipment}
        self._unknown: list[tuple[Unmodelled, Region]] = []

    @cached_property
    def below(self) -> Below:
        """All of it."""
        frames, firewall = self._frames, self._site.firewall.name
        spread = self.ground.spread(self._sending())
        self._unknown += spread.unknown
        arriving, coming, direct, asking = frames.nothing, frames.nothing, [], set[str]()
        up = self._links(firewall)
        for (name, port), heard in spread.heard.items():
            if name == firewall:
                taken = heard & frames.box(tag=_NO_TAG) if port in up else frames.nothing
                number = frames.interfaces.number(port)
                packets = (taken & frames.ip).without(*LINK_FIELDS) & self._emission.possible
                arriving |= packets & frames.box(interface_in=number)
                asking |= self._hosts_in(taken & frames.arp)
                coming |= taken
            if (name, port) in self._outlets:
                direct.append(heard & frames.box(receiver=self._places.both(self._place(name, port))))
            elif name == firewall:
                continue
            elif name not in self._running or port in self._links(name) or not self.ground.is_bridge(name):
                direct.append(heard & frames.box(receiver=self._places.both(self._place(name, port))))
        leaving, answered = self._leaving()
        hosts = {str(one.name) for one in self._site.equipment if one.address and one.name != firewall}
        coming &= frames.box(sender=CABLE_NUMBERS)
        unresolved = frozenset(hosts - (asking & answered))
        return Below(arriving, frames.union(direct), coming, leaving, unresolved, tuple(self._unknown))

    def starts(self, place: str) -> Iterator[tuple[Arrival, Region]]:
        """Yield where what a place sends comes in, and the frames."""
        sent = self._frames.box(sender=self._places.both(place))
        return ((arrival, region & sent) for arrival, region in self._sent() if region & sent)

    @cached_property
    def let_in(self) -> tuple[tuple[EquipmentName, Region], ...]:
        """What each managed switch lets in by the ports of its cables, whatever becomes of it, its tags taken off."""
        cables = self._frames.box(sender=CABLE_NUMBERS)
        found = []
        for (name, port), region in self._sending():
            bridge = self.ground.bridge(name)
            if isinstance(bridge, Bridge) and (sent := region & cables):
                left = self._frames.union(bridge.through(port, sent).out.values())
                found.append((name, left.setting(tag=UNTAGGED, inner_tag=UNTAGGED)))
        return tuple(found)

    @cached_property
    def let_in_tagged(self) -> tuple[tuple[EquipmentName, Region], ...]:
        """What each managed switch lets in with a tag, by ports that are no trunks: a tag with VLAN 0 is a tag too."""
        tagged = self._frames.box(sender=CABLE_NUMBERS, tag=(0, UNTAGGED - 1))
        trunks = {place for place, _ in trunk_places(self._site)}
        found = []
        for (name, port), region in self._sending():
            bridge, sent = self.ground.bridge(name), region & tagged
            if isinstance(bridge, Bridge) and f"{name}:{port}" not in trunks:
                found += [(name, sent)] if sent and any(bridge.through(port, sent).out.values()) else []
        return tuple(found)

    # --- up ---------------------------------------------------------------------------------------------------------

    def _sending(self) -> Iterator[tuple[Arrival, Region]]:
        """Yield what places send into ports that the bridges have."""
        return ((arrival, region) for arrival, region in self._sent() if self.ground.has(arrival))

    def _sent(self) -> Iterator[tuple[Arrival, Region]]:
        """Yield what every place of the site sends, with the port of a bridge that it is cabled to."""
        for outlet in sorted(self._outlets):
            yield outlet, self._emission.cable(self._place(*outlet))
        for equipment in self._site.equipment:
            if equipment.kind is Kind.FIREWALL:
                continue
            if equipment.kind is Kind.SWITCH:
                yield from self._of_switch(equipment)
            elif equipment.address is not None:
                gateway = self._gateway(equipment)
                for port in (port for port in equipment.ports if port.peer is not None):
                    assert port.peer is not None  # noqa: S101  the line above chose it
                    if self.ground.is_bridge(port.peer.equipment):
                        name, mac = str(equipment.name), equipment.mac
                        own = self._emission.host(name, equipment.address, mac, gateway)
                        yield (port.peer.equipment, str(port.peer.port)), own | self._emission.cable(name)
        for place, _ in trunk_places(self._site):
            switch, port_name = place.split(":")
            bridge = next(name for name in self._equipment if name == switch)
            yield (bridge, port_name), self._emission.cable(place)

    def _of_switch(self, switch: Equipment) -> Iterator[tuple[Arrival, Region]]:
        """Yield what a switch's own host sends, and what can be sent into its ports that nothing is declared on."""
        if switch.address is not None and (interface := self._interface_of(switch)) is not None:
            own = self._emission.host(str(switch.name), switch.address, None, self._gateway(switch))
            yield (switch.name, interface), own | self._emission.cable(str(switch.name))
        for port in (port for port in switch.ports if port.peer is None):
            yield (switch.name, str(port.name)), self._emission.cable(f"{switch.name}:{port.name}")

    @cached_property
    def _outlets(self) -> frozenset[Arrival]:
        """The ports of bridges that anything may be on: those of a firewall with no cable, and those no inventory has.

        A port with an address of the device is one of its own, which nothing can be plugged into.
        """
        found: set[Arrival] = set()
        for device in self._site.devices:
            switch, stack = self._running[device.name].switch, self._running[device.name].stack
            declared = {str(port.name): port.peer for port in device.ports}
            own = {one.interface for one in stack.addresses}
            for port in (port for bridge in (switch.bridges if switch else ()) for port in bridge.ports):
                strange = port.name not in declared and port.name not in own and port.number != LOCAL
                spare = port.name in declared and declared[port.name] is None and device.kind is Kind.FIREWALL
                if strange or spare:
                    found.add((device.name, port.name))
        return frozenset(found)

    def _gateway(self, equipment: Equipment) -> IPv4Address:
        return next(one.gateway for one in self._site.segments if one.name == equipment.segment)

    def _hosts_in(self, region: Region) -> set[str]:
        """Return the names of the places that send something of a region as the hosts that they are."""
        heard = region.values("sender")
        return {self._places.name(low) for low, high in heard for low in range(low, high + 1) if low < CABLE_NUMBERS[0]}

    # --- down -------------------------------------------------------------------------------------------------------

    def _leaving(self) -> tuple[dict[str, Region], set[str]]:
        """Return who hears what leaves by each interface of the firewall, and which hosts hear the gateway's ARP."""
        firewall, frames = self._site.firewall.name, self._frames
        stack = self._stack(firewall)
        leaving: dict[str, Region] = {}
        answered: set[str] = set()
        if stack is None or not self.ground.is_bridge(firewall):
            return leaving, answered
        sent = frames.well_formed & (frames.ip | frames.arp) & frames.box(tag=UNTAGGED)
        for interface in self.ground.own_interfaces(firewall):
            if interface not in stack.up:
                continue
            spread = self.ground.spread([((firewall, interface), sent)])
            self._unknown += spread.unknown
            networks = [own.address.network for own in stack.own(4) if own.interface == interface]
            declared = {
                name: one
                for name, one in self._equipment.items()
                if one.address is not None and any(one.address in network for network in networks)
            }
            heard = [self._heard(declared, arrival, region, answered) for arrival, region in spread.heard.items()]
            leaving[interface] = frames.union([*heard, self._undeclared(declared, interface)])
        return leaving, answered

    def _heard(
        self, declared: Mapping[EquipmentName, Equipment], arrival: Arrival, region: Region, answered: set[str]
    ) -> Region:
        """Return the packets that one place hears, as its host and as its cable."""
        name, port = arrival
        frames, place = self._frames, self._place(name, port)
        if self.ground.is_bridge(name) and name in self._running and port not in self._links(name):
            return frames.nothing
        cable = frames.box(receiver=self._places.cable(place))
        equipment = declared.get(name)
        if equipment is None or equipment.address is None or place != name:
            return (region & frames.ip).without(*LINK_FIELDS) & cable
        meant = region & frames.box(destination=int(equipment.address))
        proper = meant & frames.box(tag=_NO_TAG)
        if equipment.mac is not None:
            proper &= frames.box(mac_destination=number_of(equipment.mac))
        elif port != self._interface_of(equipment):
            proper = frames.nothing
        if proper & frames.arp:
            answered.add(place)
        host = frames.box(receiver=self._places.host(place))
        return ((meant & frames.ip).without(*LINK_FIELDS) & cable) | ((proper & frames.ip).without(*LINK_FIELDS) & host)

    def _undeclared(self, declared: Mapping[EquipmentName, Equipment], interface: str) -> Region:
        """Return the packets to addresses of a segment that nothing declared has: anybody there may take them."""
        frames = self._frames
        taken = [int(one.address) for one in declared.values() if one.address is not None]
        known = frames.ipv4 & frames.box(destination=frozenset((address, address) for address in taken))
        segments = {one.segment for one in declared.values()}
        segment = next((one for one in self._site.segments if one.name in segments), None)
        place = segment_place(self._site, segment, interface)
        packets = frames.packets - known
        return packets & frames.box(receiver=self._places.cable(place))

    # --- names ------------------------------------------------------------------------------------------------------

    def _place(self, name: EquipmentName, port: str) -> str:
        """Return the name of the place where something is heard: an equipment, or a port that nothing is on."""
        equipment = self._equipment[name]
        spare = any(port == one.name and one.peer is None for one in equipment.ports)
        spare &= equipment.kind in {Kind.SWITCH, Kind.UNMANAGED_SWITCH}
        return f"{name}:{port}" if spare or (name, port) in self._outlets else str(name)

    def _interface_of(self, equipment: Equipment) -> str | None:
        """Return the interface of a device that has its declared address."""
        stack = self._stack(equipment.name)
        owned = stack.own(4) if stack is not None else ()
        return next((own.interface for own in owned if own.address.ip == equipment.address), None)

    def _stack(self, name: EquipmentName) -> Stack | None:
        return self._running[name].stack if name in self._running else None

    def _links(self, name: EquipmentName) -> frozenset[str]:
        """Return the links of a device that are up."""
        stack = self._stack(name)
        return stack.up if stack is not None else frozenset()
