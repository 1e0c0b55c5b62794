"""What may come up from the ports of a site to its firewall: the declared hosts in their own names, nothing else.

A frame that the edge lets in and the firewall drops harms nobody today. But the edge is a wall of its own (ANSSI-PA-72
R19-: ports bound to the addresses of what is behind them), and a wall that stands only as long as another one stands is
no wall. So what arrives at the firewall's interfaces is held against the declared hosts, before any rule of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloison.intent.models import Kind
from cloison.prove.emission import number_of
from cloison.prove.packet import ETHERNET_ARP, ETHERNET_IPV4, UDP, UNTAGGED, Fragment
from cloison.prove.question import trunk_places

if TYPE_CHECKING:
    from ipaddress import IPv4Network

    from cloison.intent.network import Equipment, Site
    from cloison.prove.packet import Frames
    from cloison.prove.places import Places
    from cloison.prove.space import Interval, Region

_UNICAST: Final = frozenset((first << 40, (first << 40) | ((1 << 40) - 1)) for first in range(0, 256, 2))
"""MAC addresses whose group bit is 0 (IEEE 802 clause 8.2)."""
_MULTICAST: Final = (0xE0000000, 0xEFFFFFFF)
_BROADCAST: Final = (0xFFFFFFFF, 0xFFFFFFFF)
_BOOTP_SERVER: Final = 67
_NO_TAG: Final = frozenset({(0, 0), (UNTAGGED, UNTAGGED)})


class PortSecurity:
    """The frames that may come to the firewalls, by the cables that they are sent on."""

    def __init__(self, frames: Frames, places: Places) -> None:
        self._frames = frames
        self._places = places
        box = frames.box
        self._plain = frames.well_formed & box(
            ethernet_type=ETHERNET_IPV4, fragment=Fragment.WHOLE, tag=_NO_TAG, mac_destination=_UNICAST
        )
        self._plain -= box(protocol=UDP, source_port=_BOOTP_SERVER)
        self._asking = frames.well_formed & box(ethernet_type=ETHERNET_ARP, tag=_NO_TAG)

    def admitted(self, site: Site) -> Region:
        """Return the frames that may come to the firewall of a site from its cables."""
        hosts = {
            one.name: self._of(site, one) for one in site.equipment if one.address and one.kind is not Kind.FIREWALL
        }
        box, cable = self._frames.box, self._places.cable
        regions = [region & box(sender=cable(str(name))) for name, region in hosts.items()]
        for place, behind in trunk_places(site):
            beyond = self._frames.union(region for name, region in hosts.items() if name in behind)
            regions.append(beyond & box(sender=cable(place)))
        return self._frames.union(regions)

    def _of(self, site: Site, host: Equipment) -> Region:
        """Return what one host may send: ARP for its gateway, packets to its gateway or beyond its segment."""
        box = self._frames.box
        segment = next(one for one in site.segments if one.name == host.segment)
        source, gateway = int(host.address or 0), int(segment.gateway)
        packets = self._plain & box(source=source, destination=_beyond(segment.prefix, gateway))
        asking = self._asking & box(source=source, destination=gateway)
        if host.mac is None:
            return packets | asking
        mac = number_of(host.mac)
        return (packets & box(mac_source=mac)) | (asking & box(mac_source=mac, arp_sender_mac=mac))


def _beyond(prefix: IPv4Network, gateway: int) -> frozenset[Interval]:
    """Return all addresses but those of the segment, of groups and of everybody; the gateway among them."""
    taken = sorted(
        [
            (int(prefix.network_address), gateway - 1),
            (gateway + 1, int(prefix.broadcast_address)),
            _MULTICAST,
            _BROADCAST,
        ]
    )
    found, following = [], 0
    for low, high in taken:
        if low > high:
            continue
        if low > following:
            found.append((following, low - 1))
        following = high + 1
    return frozenset([*found, *([(following, 0xFFFFFFFF)] if following <= 0xFFFFFFFF else [])])  # noqa: PLR2004  IPv4
