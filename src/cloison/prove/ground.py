"""The switches and cables of one site: where a frame goes before it meets a router, or without meeting one.

A frame is followed from port to port. What a bridge may flood it is taken to flood: a learnt address keeps a frame from
other ports only as long as the table is right, and an attacker can fill it. So a frame may be heard at every port of
its VLAN that the port it came in by is not kept apart from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.intent.models import Kind
from cloison.intent.network import PortReference
from cloison.model import InterfaceName
from cloison.prove.bridge import Bridge, Hub

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cloison.intent.network import Cable, Equipment, Site
    from cloison.model import EquipmentName
    from cloison.prove.configuration import Running
    from cloison.prove.packet import Frames
    from cloison.prove.space import Region
    from cloison.prove.statement import Unmodelled

Arrival = tuple["EquipmentName", str]
"""An equipment and the port, or the interface of its own, that frames come to."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Where frames came to."""

    heard: Mapping[Arrival, Region]
    """At ports of hosts, at ports with no cable, at interfaces of the switches and of the firewall themselves."""
    unknown: tuple[tuple[Unmodelled, Region], ...]
    """Frames that a statement which is not modelled decides about."""


class Ground:
    """The bridges of a site, and the cables between them."""

    def __init__(self, frames: Frames, site: Site, running: Mapping[EquipmentName, Running]) -> None:
        self.site = site
        self._frames = frames
        self._bridges: dict[EquipmentName, Bridge | Hub] = {}
        self._equipment = {equipment.name: equipment for equipment in site.equipment}
        self._cables = {end: cable for cable in site.cables for end in cable.ends}
        for equipment in site.equipment:
            if equipment.kind is Kind.UNMANAGED_SWITCH:
                self._bridges[equipment.name] = Hub(frames, tuple(str(port.name) for port in equipment.ports))
            elif equipment.name in running and (switch := running[equipment.name].switch) is not None:
                of = running[equipment.name]
                self._bridges[equipment.name] = Bridge(frames, switch, of.edge, of.stack.up.__contains__)
        self._order = self._farthest_first()

    def _farthest_first(self) -> list[EquipmentName]:
        """Return the bridges, those farthest from the firewall first, so that frames on their way up meet each once."""
        distance = {self.site.firewall.name: 0}
        frontier = [self.site.firewall.name]
        while frontier:
            here = frontier.pop(0)
            for cable in self.site.cables:
                for end in cable.ends:
                    beyond = cable.other(end).equipment
                    if end.equipment == here and beyond in self._bridges and beyond not in distance:
                        distance[beyond] = distance[here] + 1
                        frontier.append(beyond)
        return sorted(self._bridges, key=lambda name: -distance.get(name, 0))

    def is_bridge(self, name: EquipmentName) -> bool:
        """Tell whether an equipment forwards frames."""
        return name in self._bridges

    def bridge(self, name: EquipmentName) -> Bridge | Hub:
        """Return the bridge of an equipment; KeyError when it has none."""
        return self._bridges[name]

    def has(self, arrival: Arrival) -> bool:
        """Tell whether a bridge runs with a port: what is cabled to one that it lacks gets nowhere."""
        return arrival[1] in self._bridges[arrival[0]].ports

    def own_interfaces(self, name: EquipmentName) -> tuple[str, ...]:
        """Return the ports of a bridge that are interfaces of its own kernel: internal ports and the bridge's own."""
        bridge, declared = self._bridges[name], self._declared_ports(name)
        return tuple(port for port in bridge.ports if port not in declared)

    def spread(self, starting: Iterable[tuple[Arrival, Region]]) -> Spread:
        """Follow frames from the ports they come in by, until no port hears a frame that it has not heard."""
        pending: dict[Arrival, Region] = {}
        for arrival, frames in starting:
            _add(pending, arrival, frames)
        seen: dict[Arrival, Region] = {}
        heard: dict[Arrival, Region] = {}
        unknown: list[tuple[Unmodelled, Region]] = []
        while pending:
            arrival = min(pending, key=lambda one: self._order.index(one[0]))
            arriving = pending.pop(arrival)
            fresh = arriving - seen[arrival] if arrival in seen else arriving
            if not fresh:
                continue
            _add(seen, arrival, fresh)
            if not self.has(arrival):
                continue
            switched = self._bridges[arrival[0]].through(arrival[1], fresh)
            unknown += [(reason, switched.unknown) for reason in switched.reasons if switched.unknown]
            for port, leaving in switched.out.items():
                if leaving:
                    where, bridged = self.across(arrival[0], port)
                    _add(pending if bridged else heard, where, leaving)
        return Spread(heard, tuple(unknown))

    def across(self, name: EquipmentName, port: str) -> tuple[Arrival, bool]:
        """Return what is at the other end of a port's cable, and whether it is a bridge."""
        if port not in self._declared_ports(name):
            return (name, port), False
        end = PortReference(equipment=name, port=InterfaceName(port))
        cable: Cable | None = self._cables.get(end)
        if cable is None:
            return (name, port), False
        other = cable.other(end)
        return (other.equipment, str(other.port)), other.equipment in self._bridges

    def _declared_ports(self, name: EquipmentName) -> frozenset[str]:
        equipment: Equipment = self._equipment[name]
        return frozenset(str(port.name) for port in equipment.ports)


def _add(regions: dict[Arrival, Region], key: Arrival, region: Region) -> None:
    regions[key] = regions[key] | region if key in regions else region
