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

    from cloison.flow import Endpoint, Flow
    from cloison.intent.network import Intent, Segment, Site

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


def _interface(intent: Intent, site: Site, flow: Flow, end: Endpoint) -> InterfaceName | None:
    """Return where the site's firewall sees this end of a flow; None when it is the firewall itself."""
    if end.name == site.firewall.name:
        return None
    if end.name.site == site.name:
        for segment in site.segments:
            if end.address in segment.prefix:
                return segment_interface(segment)
    elif any(
        any(end.address in selector for selector in tunnel.end_of(site.firewall.name)[1].selectors)
        for tunnel in intent.tunnels_of(site.firewall.name)
    ):
        return TUNNEL_INTERFACE
    msg = f"{site.firewall.name}: flow {flow.rule}: no segment and no tunnel leads to {end.name} ({end.address})"
    raise InputError(msg)


def permits(intent: Intent, site: Site) -> tuple[Permit, ...]:
    """Return what the firewall of a site lets begin, sorted by flow id, interfaces and port.

    Raises InputError when a flow can not go through the firewall: no tunnel carries it, or both of its ends are in one
    segment, where the ports are kept apart from each other.
    """
    pairs: dict[tuple[Name, InterfaceName | None, InterfaceName | None, Protocol, int], set[tuple[int, int]]]
    pairs = defaultdict(set)
    for flow in _of_site(intent.flows, site):
        incoming = _interface(intent, site, flow, flow.source)
        outgoing = _interface(intent, site, flow, flow.destination)
        if incoming == outgoing:
            msg = (
                f"{site.firewall.name}: flow {flow.rule} from {flow.source.name} to {flow.destination.name} comes in "
                f"and goes out at {incoming or 'itself'}; expected two ends in two segments"
            )
            raise InputError(msg)
        key = (flow.rule, incoming, outgoing, flow.service.protocol, flow.service.port)
        pairs[key].add((int(flow.source.address), int(flow.destination.address)))
    return tuple(
        Permit(
            flow=rule,
            incoming=incoming,
            outgoing=outgoing,
            protocol=protocol,
            port=port,
            pairs=tuple(
                Pair(source=IPv4Address(source), destination=IPv4Address(destination))
                for source, destination in sorted(pairs[rule, incoming, outgoing, protocol, port])
            ),
        )
        for rule, incoming, outgoing, protocol, port in sorted(
            pairs, key=lambda key: (key[0], key[1] or "", key[2] or "", key[3], key[4])
        )
    )


def _of_site(flows: Iterable[Flow], site: Site) -> Iterable[Flow]:
    return (flow for flow in flows if site.name in {flow.source.name.site, flow.destination.name.site})
