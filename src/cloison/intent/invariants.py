"""The invariants, expanded to literal addresses by plain loops over every pair of equipment.

Nothing here is shared with `derive`, which expands the flows of policy.yaml: were they one piece of code, one mistake
would open a path and hide it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cloison.intent.models import Kind, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from cloison.flow import Purpose
    from cloison.intent.models import Selector
    from cloison.intent.network import Equipment, Intent, Site
    from cloison.model import EquipmentName, Name


class ForbiddenPath(NamedTuple):
    """Nothing may be let through from one address to another, but for the excepted purposes."""

    invariant: Name
    source_name: EquipmentName
    source: IPv4Address
    destination_name: EquipmentName
    destination: IPv4Address
    except_purposes: tuple[Purpose, ...]


def forbidden_paths(intent: Intent) -> tuple[ForbiddenPath, ...]:
    """Return every pair of addresses between which an invariant forbids a path, in the order of invariants.yaml."""
    paths: list[ForbiddenPath] = []
    for invariant in intent.invariants:
        for source_site, source in _members(intent, invariant.source):
            for site, destination in _members(intent, invariant.destination):
                same_site = site.name == source_site.name
                if source.name == destination.name:
                    continue
                if invariant.scope is Scope.SAME_SITE and not same_site:
                    continue
                if invariant.scope is Scope.BETWEEN_SITES and same_site:
                    continue
                for source_address in _addresses(source_site, source):
                    for address in _addresses(site, destination):
                        ends = source.name, source_address, destination.name, address
                        paths.append(ForbiddenPath(invariant.id, *ends, invariant.except_purposes))
    return tuple(paths)


def _members(intent: Intent, selector: Selector) -> Iterator[tuple[Site, Equipment]]:
    for site in intent.sites:
        if site.role in selector.roles:
            for equipment in site.equipment:
                if equipment.kind in selector.kinds:
                    yield site, equipment


def _addresses(site: Site, equipment: Equipment) -> Iterator[IPv4Address]:
    """Yield every address of an equipment: a firewall is the gateway of each segment."""
    if equipment.kind is Kind.FIREWALL:
        for segment in site.segments:
            yield segment.gateway
    elif equipment.address is not None:
        yield equipment.address
