"""Which flows a firewall lets pass, as permits: one a flow id, a pair of interfaces and a service."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from cloison.errors import InputError
from cloison.flow import Protocol
from cloison.model import InterfaceName, Model, Name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloison.desired.tunnel import TunnelState
    from cloison.flow import Endpoint, Flow
    from cloison.intent.network import Segment, Site

OUTSIDE_INTERFACE = InterfaceName("wan0")
TUNNEL_INTERFACE = InterfaceName("ipsec0")
"""One TUN device for all tunnels: kernel-libipsec of strongSwan makes it."""


class Pair(Model):
    """Who opens, and to whom."""

    source: IPv4Address
    destination: IPv4Address


class Permit(Model):
    """Conversations that a firewall lets begin: those of these pairs, in at one interface and out at another."""

    flow: Name
    """The id of the flow in policy.yaml that it serves."""
    incoming: InterfaceName | None
    """None for what the firewall itself opens."""
    outgoing: InterfaceName | None
    """None for what ends at the firewall itself."""
    protocol: Protocol
    port: int
    """Destination port."""
    pairs: tuple[Pair, ...]
    """At least one, sorted. They are pairs, not two lists: no source reaches another one's destination."""


def segment_interface(segment: Segment) -> InterfaceName:
    """Return the firewall's interface in a segment."""
    return InterfaceName(f"vlan{segment.vlan}")


class _Sight:
    """Where one firewall sees each end of a flow."""

    def __init__(self, site: Site, tunnels: Iterable[TunnelState]) -> None:
        self.site = site
        self.far: dict[int, set[int]] = defaultdict(set)
        """Network addresses of what lies beyond the tunnels, by network mask: one look a mask, however many peers."""
        for tunnel in tunnels:
            for selector in tunnel.remote_selectors:
                self.far[int(selector.netmask)].add(int(selector.network_address))

    def interface(self, flow: Flow, end: Endpoint) -> InterfaceName | None:
        """Return the interface that leads to an end of a flow; None when it is the firewall itself."""
        if end.name == self.site.firewall.name:
            return None
        if end.name.site == self.site.name:
            for segment in self.site.segments:
                if end.address in segment.prefix:
                    return segment_interface(segment)
        elif any(int(end.address) & mask in networks for mask, networks in self.far.items()):
            return TUNNEL_INTERFACE
        msg = f"{self.site.firewall.name}: flow {flow.rule}: neither a segment nor a tunnel leads to {end.name}"
        raise InputError(msg)


def permits(site: Site, flows: Iterable[Flow], tunnels: Iterable[TunnelState]) -> tuple[Permit, ...]:
    """Return what the firewall of a site lets begin, out of the site's flows, by flow id, interfaces and port.

    Raises InputError when a flow can not go through the firewall: no tunnel carries it, or both of its ends are in one
    segment, where the ports are kept apart from each other.
    """
    sight = _Sight(site, tunnels)
    pairs: dict[tuple[Name, InterfaceName | None, InterfaceName | None, Protocol, int], set[Pair]] = defaultdict(set)
    for flow in flows:
        incoming, outgoing = sight.interface(flow, flow.source), sight.interface(flow, flow.destination)
        if incoming == outgoing:
            msg = (
                f"{site.firewall.name}: flow {flow.rule} from {flow.source.name} to {flow.destination.name} comes in "
                f"and goes out at {incoming or 'itself'}; expected two ends in two segments"
            )
            raise InputError(msg)
        pair = Pair(source=flow.source.address, destination=flow.destination.address)
        pairs[flow.rule, incoming, outgoing, flow.service.protocol, flow.service.port].add(pair)
    return tuple(
        Permit(
            flow=rule,
            incoming=incoming,
            outgoing=outgoing,
            protocol=protocol,
            port=port,
            pairs=tuple(sorted(found, key=lambda pair: (pair.source, pair.destination))),
        )
        for (rule, incoming, outgoing, protocol, port), found in sorted(
            pairs.items(), key=lambda item: tuple(str(part or "") for part in item[0])
        )
    )
