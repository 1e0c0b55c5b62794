"""What is wrong with a stack whatever packets pass, and what of it is ambiguous."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from cloison.model import Untrusted
from cloison.prove.stack import LOOPBACK
from cloison.prove.statement import Notice, Place, Statement, Unmodelled

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from cloison.prove.stack import PolicyRule, Route, Stack

ALL_REDIRECTS = "net.ipv4.conf.all.accept_redirects"


def complaints(stack: Stack, section: str) -> Iterator[Notice]:
    """Yield what is wrong in itself: redirects that are taken, routes that the kernel refuses."""
    yield from _redirects(stack, section)
    own = {own.address.ip for own in stack.addresses}
    links = stack.up | {LOOPBACK}
    for route in stack.routes:
        if route.statement is None:
            continue
        for hop in route.hops:
            if hop.interface and hop.interface not in links:
                yield Notice(route.statement, f"the kernel refuses the route: the link {hop.interface} is not up")
            if hop.via and not any(hop.via in one.address.network for one in stack.addresses):
                yield Notice(route.statement, f"the kernel refuses the route: {hop.via} is in no network of its own")
        if route.source and route.source not in own:
            yield Notice(route.statement, f"the kernel refuses the route: {route.source} is no address of its own")


def _redirects(stack: Stack, section: str) -> Iterator[Notice]:
    """Yield that a stranger can change the routes by ICMP redirects.

    A router needs the word of both `all` and the interface to take them, a host of either; 1 is the kernel's default.
    """
    if ALL_REDIRECTS not in stack.settings and any(stack.own(4)):
        silent = Statement(Place(stack.device, section, 0), Untrusted(ALL_REDIRECTS))
        yield Notice(silent, f"{ALL_REDIRECTS} is not set: the kernel takes redirects unless it is told not to")
    if stack.setting("net.ipv4.ip_forward") and not stack.setting(ALL_REDIRECTS):
        return
    for name, setting in stack.settings.items():
        if name.endswith(".accept_redirects") and stack.setting(name):
            yield Notice(setting.statement, "ICMP redirects are taken: a stranger can change the routes")


def ambiguous_routes(routes: Iterable[Route]) -> Iterator[tuple[Route, Unmodelled]]:
    """Yield the routes of one table to one destination with one metric that do not say the same."""
    groups: defaultdict[Hashable, list[Route]] = defaultdict(list)
    for route in routes:
        groups[route.table, route.destination, route.metric].append(route)
    for group in groups.values():
        if len({(route.kind, route.hops) for route in group}) > 1:
            for route in group:
                if route.statement and not route.unmodelled:
                    yield route, Unmodelled(route.statement, "which of two routes with one metric counts")


def ambiguous_rules(rules: Iterable[PolicyRule]) -> Iterator[tuple[PolicyRule, Unmodelled]]:
    """Yield the rules of one family with one priority: only the order in which they were made decides."""
    groups: defaultdict[tuple[int, int], list[PolicyRule]] = defaultdict(list)
    for rule in rules:
        groups[rule.version, rule.priority].append(rule)
    for group in groups.values():
        if len({(rule.table, rule.kind) for rule in group}) > 1:
            for rule in group:
                if rule.statement and not rule.unmodelled:
                    yield rule, Unmodelled(rule.statement, "which of two rules with one priority counts")
