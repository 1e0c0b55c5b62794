"""The invariants, judged host by host and address by address with plain loops.

Nothing here is shared with `derive`, which expands the flows of policy.yaml: were they one piece of code, one mistake
would open a path and hide it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cloison.intent.models import Kind, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from cloison.flow import Endpoint, Flow, Purpose
    from cloison.intent.models import InvariantDeclaration
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


class Member(NamedTuple):
    """An equipment with its site."""

    site: Site
    equipment: Equipment


def members(intent: Intent) -> list[Member]:
    """Return every equipment of every site."""
    return [Member(site, equipment) for site in intent.sites for equipment in site.equipment]


def addresses(member: Member) -> tuple[IPv4Address, ...]:
    """Return every address of an equipment: a firewall is the gateway of each segment."""
    if member.equipment.kind is Kind.FIREWALL:
        return tuple(segment.gateway for segment in member.site.segments)
    return () if member.equipment.address is None else (member.equipment.address,)


def forbids(invariant: InvariantDeclaration, source: Member, destination: Member) -> bool:
    """Return whether an invariant forbids a path from one equipment to another, but for its excepted purposes."""
    if source.site.role not in invariant.source.roles or source.equipment.kind not in invariant.source.kinds:
        return False
    if destination.site.role not in invariant.destination.roles:
        return False
    if destination.equipment.kind not in invariant.destination.kinds:
        return False
    if source.equipment.name == destination.equipment.name:
        return False
    same_site = source.site.name == destination.site.name
    if invariant.scope is Scope.SAME_SITE:
        return same_site
    return invariant.scope is None or not same_site


def forbidden_paths(intent: Intent) -> Iterator[ForbiddenPath]:
    """Yield every pair of addresses between which an invariant forbids a path, in the order of invariants.yaml.

    They grow with the square of the number of sites.
    """
    everyone = members(intent)
    for invariant in intent.invariants:
        for source in everyone:
            for destination in everyone:
                if forbids(invariant, source, destination):
                    for from_address in addresses(source):
                        for address in addresses(destination):
                            yield ForbiddenPath(
                                invariant.id,
                                source.equipment.name,
                                from_address,
                                destination.equipment.name,
                                address,
                                invariant.except_purposes,
                            )


def broken(intent: Intent) -> Iterator[tuple[Flow, InvariantDeclaration]]:
    """Yield every flow that an invariant forbids, by the names of its ends or by their addresses."""
    by_name = {member.equipment.name: member for member in members(intent)}
    by_address = {address: member for member in by_name.values() for address in addresses(member)}

    def ends(endpoint: Endpoint) -> list[Member]:
        found = (by_name.get(endpoint.name), by_address.get(endpoint.address))
        return [member for member in found if member is not None]

    for flow in intent.flows:
        for invariant in intent.invariants:
            if flow.purpose not in invariant.except_purposes and any(
                forbids(invariant, source, destination)
                for source in ends(flow.source)
                for destination in ends(flow.destination)
            ):
                yield flow, invariant
