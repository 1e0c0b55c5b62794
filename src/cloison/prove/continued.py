"""What may come from outside as part of a conversation that exists: from the other end of a tunnel, or IKE of a peer.

Connection tracking looks at addresses and ports and not at interfaces (nf_conntrack_core.c), so a packet with those of
a conversation that exists belongs to it wherever it comes from, and a filter passes what is established. Only what was
looked at before, which addresses may speak on which interface, keeps a stranger from putting packets into it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from cloison.flow import Protocol
from cloison.prove.packet import ETHERNET_IPV4, TCP, UDP, Connection, Fragment
from cloison.prove.places import WAN, out_of_tunnel, technician

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.intent.network import Intent, Site
    from cloison.prove.packet import Frames
    from cloison.prove.places import Places
    from cloison.prove.space import Interval, Region


class Continued:
    """The packets of conversations that exist, by the places outside that they may come from."""

    def __init__(self, frames: Frames, places: Places, intent: Intent) -> None:
        self._frames = frames
        self._places = places
        self._intent = intent

    def strange(self, arriving: Region) -> Region:
        """Return what of packets that arrive somewhere is put into a conversation by somebody who is no part of it."""
        left = (arriving & self._outside) - self._allowed
        return left & (self._conversations | self._known) if left else left

    @cached_property
    def _outside(self) -> Region:
        sites = [site.name for site in self._intent.sites]
        names = [WAN, *map(out_of_tunnel, sites), *map(technician, sites)]
        numbers = frozenset((number, number) for number in map(self._places.host, names))
        return self._frames.box(sender=numbers, connection=Connection.ESTABLISHED)

    @cached_property
    def _allowed(self) -> Region:
        plain = self._frames.box(fragment=Fragment.WHOLE, header_length=5)
        return self._known & plain

    @cached_property
    def _known(self) -> Region:
        return self._frames.union(region for site in self._intent.sites for region in self._of(site))

    def _of(self, site: Site) -> Iterator[Region]:
        """Yield what may come to one site: from the other ends what is not this site's, from the WAN its peers' IKE."""
        box, host = self._frames.box, self._places.host
        yield box(
            sender=host(out_of_tunnel(site.name)),
            ethernet_type=ETHERNET_IPV4,
            source=_but([(int(s.prefix.network_address), int(s.prefix.broadcast_address)) for s in site.segments]),
        )
        firewall = site.firewall
        peers = frozenset(
            (int(other.address), int(other.address))
            for tunnel in self._intent.tunnels_of(firewall.name)
            for _, other in [tunnel.end_of(firewall.name)]
        )
        own = int(site.wan_address.ip)
        yield box(sender=host(WAN), protocol=UDP, source=peers, destination=own, ethernet_type=ETHERNET_IPV4)
        if firewall.local_management is not None:
            device, laptop = firewall.local_management
            yield box(sender=host(technician(site.name)), source=int(laptop.ip), destination=int(device.ip))

    @cached_property
    def _conversations(self) -> Region:
        """The packets of every conversation that a flow declares, in both directions, whoever sends them."""
        opened = self._frames.union(
            self._frames.box(
                ethernet_type=ETHERNET_IPV4,
                source=int(flow.source.address),
                destination=int(flow.destination.address),
                protocol=TCP if flow.service.protocol is Protocol.TCP else UDP,
                destination_port=flow.service.port,
            )
            for flow in self._intent.flows
        )
        return opened | opened.swapping(("source", "destination"), ("source_port", "destination_port"))


def _but(taken: list[Interval]) -> frozenset[Interval]:
    """Return all IPv4 addresses but some, which do not overlap."""
    found, following = [], 0
    for low, high in sorted(taken):
        if low > following:
            found.append((following, low - 1))
        following = high + 1
    return frozenset([*found, (following, 0xFFFFFFFF)])
