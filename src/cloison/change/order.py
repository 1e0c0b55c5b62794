"""In which order devices are changed, so that no change cuts off one that is still to come."""

from __future__ import annotations

from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cloison.intent.network import Intent
    from cloison.model import EquipmentName


class Via(StrEnum):
    """How devices are reached."""

    TUNNEL = "tunnel"
    """From the administration station, through the administration tunnel: the real way."""
    LOCAL = "local"
    """From a technician's laptop on each device's local management port: before there is a tunnel, or when it broke."""


def stages(intent: Intent, via: Via, devices: Collection[EquipmentName]) -> tuple[tuple[EquipmentName, ...], ...]:
    """Return the devices in groups that may be changed at the same time, the first group first.

    Through the tunnel the farthest from the administration station come first, since whatever is changed may cut off
    what lies behind it. Through the local ports no device stands before another.
    """
    if via is Via.LOCAL:
        chosen = tuple(device.name for device in intent.devices if device.name in devices)
        return (chosen,) if chosen else ()
    distance = _distances(intent)
    groups: dict[int, list[EquipmentName]] = defaultdict(list)
    for device in intent.devices:
        if device.name in devices:
            groups[distance.get(device.name, 0)].append(device.name)
    return tuple(tuple(groups[hops]) for hops in sorted(groups, reverse=True))


def _distances(intent: Intent) -> Mapping[EquipmentName, int]:
    """Return how many cables and tunnels each equipment is away from the administration station."""
    near: dict[EquipmentName, set[EquipmentName]] = defaultdict(set)
    pairs = [tuple(end.equipment for end in cable.ends) for site in intent.sites for cable in site.cables]
    pairs += [(tunnel.initiator.firewall, tunnel.responder.firewall) for tunnel in intent.tunnels]
    for one, other in pairs:
        near[one].add(other)
        near[other].add(one)
    distance = {intent.administration_station.name: 0}
    ahead = [intent.administration_station.name]
    while ahead:
        here = ahead.pop(0)
        for following in sorted(near[here] - distance.keys()):
            distance[following] = distance[here] + 1
            ahead.append(following)
    return distance
