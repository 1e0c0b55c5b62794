"""Routing tables as intervals of addresses: the longest prefix, the order of the rules, what the kernel adds itself.

The kernel's own routes are those of `fib_add_ifaddr` (net/ipv4/fib_frontend.c) and `addrconf_prefix_route`
(net/ipv6/addrconf.c); its own rules are those of ip-rule(8).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final, NamedTuple

from cloison.prove.stack import DEFAULT, LOCAL, LOOPBACK, MAIN, Hop, PolicyRule, Route
from cloison.prove.statement import Unmodelled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cloison.prove.stack import Network, OwnAddress, Stack, Version

TUNNEL_TABLE, TUNNEL_PRIORITY = "220", 220
"""Where strongSwan installs the routes of its tunnels, and the priority of the rule that looks there."""
IPV6_METRIC: Final = 1024
"""The metric of a route of IPv6 that says none (ip-route(8))."""
_POINT_TO_POINT: Final = 31
"""A network with no more than two addresses has no broadcast address (RFC 3021)."""


class Decision(NamedTuple):
    """What decides about a packet."""

    rule: PolicyRule
    route: Route | None
    """None where the rule itself decides."""

    @property
    def unmodelled(self) -> Unmodelled | None:
        """What keeps the proof from saying where the packet goes."""
        return self.rule.unmodelled or (self.route.unmodelled if self.route else None)

    @property
    def kind(self) -> str:
        """`unicast`, `local`, `blackhole`…: the kind of the route, or of the rule where that decides."""
        return self.route.kind if self.route else self.rule.kind


class Span(NamedTuple):
    """What is decided for an interval of addresses, both ends within."""

    first: int
    last: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class Lookup:
    """One rule, or several in a row that match every packet: disjoint spans in order, gaps where it goes on."""

    rule: PolicyRule
    spans: tuple[Span, ...]

    def at(self, address: int) -> Decision | None:
        """Return what is decided for an address; None where the next rule is asked."""
        index = bisect_right(self.spans, address, key=lambda span: span.first) - 1
        return self.spans[index].decision if index >= 0 and self.spans[index].last >= address else None


def bounds(network: Network) -> tuple[int, int]:
    """Return the first and the last address of a network."""
    first = int(network.network_address)
    return first, first + network.num_addresses - 1


def kernel_routes(stack: Stack, version: Version, links: Iterable[str]) -> Iterator[Route]:
    """Yield the routes that the kernel makes of the addresses; those to a network only where its link is up."""
    if version == 4:  # noqa: PLR2004  the family
        yield Route(None, LOCAL, "local", IPv4Network("127.0.0.0/8"), (Hop(LOOPBACK),))
        yield Route(None, LOCAL, "broadcast", IPv4Network("127.255.255.255/32"), (Hop(LOOPBACK),))
    up = frozenset(links)
    for own in stack.own(version):
        hops, network = (Hop(own.interface),), own.address.network
        yield Route(own.statement, LOCAL, "local", ip_network(own.address.ip), hops)
        if own.interface == LOOPBACK:
            yield Route(own.statement, LOCAL, "local", network, hops)
        elif own.interface in up:
            yield from _network_routes(own, hops)


def _network_routes(own: OwnAddress, hops: tuple[Hop, ...]) -> Iterator[Route]:
    network = own.address.network
    if network.prefixlen < network.max_prefixlen and int(network.network_address) >> (network.max_prefixlen - 8):
        metric = 0 if isinstance(network, IPv4Network) else 256
        yield Route(own.statement, MAIN, "unicast", network, hops, metric)
        if isinstance(network, IPv4Network) and network.prefixlen < _POINT_TO_POINT:
            yield Route(own.statement, LOCAL, "broadcast", IPv4Network(network.broadcast_address), hops)


def tables(stack: Stack, version: Version, tunnel_routes: Mapping[str, Sequence[Network]]) -> dict[str, list[Route]]:
    """Return every routing table of one family, by its name: of the configuration, the kernel, the IKE daemon."""
    links = stack.up | {LOOPBACK} | tunnel_routes.keys()
    found: defaultdict[str, list[Route]] = defaultdict(list)
    for route in _unambiguous(kernel_routes(stack, version, links)):
        found[route.table].append(route)
    for route in stack.routes:
        if route.destination.version == version:
            resolved = _resolved(stack, route)
            if all(hop.interface in links for hop in resolved.hops) or resolved.unmodelled:
                found[route.table].append(resolved)
    for interface, networks in tunnel_routes.items():
        of = [network for network in networks if network.version == version]
        found[TUNNEL_TABLE] += [Route(None, TUNNEL_TABLE, "unicast", network, (Hop(interface),)) for network in of]
    return found


def _resolved(stack: Stack, route: Route) -> Route:
    """Return a route whose hops name their interface: the kernel takes the one whose network the gateway is in."""
    hops = []
    for hop in route.hops:
        interface = hop.interface
        if not interface and hop.via:
            interface = next((own.interface for own in stack.addresses if hop.via in own.address.network), "")
        hops.append(replace(hop, interface=interface))
    six = route.destination.version == 6  # noqa: PLR2004  the family
    route = replace(route, hops=tuple(hops), metric=route.metric or (IPV6_METRIC if six else 0))
    if route.statement and not route.unmodelled:
        if len({hop.interface for hop in hops}) > 1:
            return replace(route, unmodelled=Unmodelled(route.statement, "which of several interfaces is taken"))
        if route.kind == "unicast" and not hops:
            return replace(route, unmodelled=Unmodelled(route.statement, "a route that leads nowhere"))
    return route


def _unambiguous(routes: Iterable[Route]) -> Iterator[Route]:
    """Yield routes; of two to one network by two interfaces, it is not known which was made first."""
    seen: dict[tuple[str, Network], Route] = {}
    for route in routes:
        before = seen.setdefault((route.table, route.destination), route)
        if before.hops == route.hops or route.kind != "unicast" or route.statement is None:
            yield route
        else:
            yield replace(route, unmodelled=Unmodelled(route.statement, "one network on two interfaces"))


def rules_of(stack: Stack, version: Version, *, tunnels: bool) -> list[PolicyRule]:
    """Return the rules of one family, those of the kernel and of the IKE daemon too, in the order of a lookup."""
    usual = [PolicyRule(None, 0, version, LOCAL), PolicyRule(None, 32766, version, MAIN)]
    usual.append(PolicyRule(None, 32767, version, DEFAULT))
    if tunnels:
        usual.append(PolicyRule(None, TUNNEL_PRIORITY, version, TUNNEL_TABLE))
    return sorted((*usual, *(rule for rule in stack.rules if rule.version == version)), key=lambda rule: rule.priority)


def lookup_of(rule: PolicyRule, by_table: Mapping[str, Sequence[Route]]) -> Lookup:
    """Return what one rule decides."""
    whole = rule.unmodelled or not rule.table
    return Lookup(rule, tuple(_whole(rule) if whole else _spans(rule, by_table.get(rule.table, ()))))


def chained(lookups: Iterable[Lookup]) -> tuple[Lookup, ...]:
    """Return lookups in order, neighbours that match every packet made one."""
    found: list[Lookup] = []
    for lookup in lookups:
        if found and not lookup.rule.selective and not found[-1].rule.selective:
            found[-1] = Lookup(lookup.rule, tuple(_overlaid(found[-1].spans, lookup.spans)))
        elif lookup.spans:
            found.append(lookup)
    return tuple(found)


def _whole(rule: PolicyRule) -> list[Span]:
    return [Span(*bounds(IPv4Network("0.0.0.0/0") if rule.version == 4 else IPv6Network("::/0")), Decision(rule, None))]  # noqa: PLR2004  the family


def _spans(rule: PolicyRule, routes: Iterable[Route]) -> list[Span]:
    """Return what a table decides: of routes to one network the lowest metric, of networks the longest prefix.

    Where a `throw` decides, there is a gap: the next rule is asked.
    """
    best: dict[tuple[int, int], Route] = {}
    for route in routes:
        key = bounds(route.destination)
        if (
            key not in best
            or route.metric < best[key].metric
            or (route.metric == best[key].metric and route.unmodelled)
        ):
            best[key] = route
    spans: list[Span] = []
    around: list[tuple[int, Route]] = []  # the networks that hold where the sweep is, the widest first
    at = 0

    def until(end: int) -> None:
        nonlocal at
        while around and at <= end:
            last, route = around[-1]
            stop = min(last, end)
            if at <= stop and route.kind != "throw":
                spans.append(Span(at, stop, Decision(rule, route)))
            at = max(at, stop + 1)
            if last > end:
                break
            around.pop()

    for (first, last), route in sorted(best.items(), key=lambda item: (item[0][0], -item[0][1])):
        until(first - 1)
        at = first
        around.append((last, route))
    until(max((last for last, _ in around), default=-1))
    return spans


def _overlaid(above: Sequence[Span], below: Sequence[Span]) -> Iterator[Span]:
    """Yield spans, in order, of the first list, and of the second where the first has a gap."""
    lower = iter(below)
    under = next(lower, None)
    for over in (*above, None):
        while under and (over is None or under.first < over.first):
            if over is None or under.last < over.first:
                yield under
                under = next(lower, None)
            else:
                yield Span(under.first, over.first - 1, under.decision)
                under = under._replace(first=over.first)
        while over and under and under.first <= over.last:
            under = under._replace(first=over.last + 1) if under.last > over.last else next(lower, None)
        if over:
            yield over
