"""What policy.yaml and invariants.yaml must say: known services, tunnels that carry, no flow against an invariant."""

from __future__ import annotations

from itertools import combinations, product
from typing import TYPE_CHECKING, NamedTuple

from cloison.intent.files import INVARIANTS, NETWORK, POLICY
from cloison.intent.hint import did_you_mean, one_of
from cloison.intent.models import Kind, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cloison.errors import Problem
    from cloison.intent.files import InventoryFiles
    from cloison.intent.models import FlowDeclaration, InvariantDeclaration, Role, Selector

WITHOUT_ADDRESS = frozenset({Kind.UNMANAGED_SWITCH})
"""Kinds that no packet can be sent to."""


class _Pair(NamedTuple):
    """One kind at a role that may open a conversation with another."""

    source_role: Role
    source_kind: Kind
    role: Role
    kind: Kind
    scope: Scope

    def __str__(self) -> str:
        """Return who reaches whom."""
        where = "same" if self.scope is Scope.SAME_SITE else "another"
        return f"a {self.source_kind} ({self.source_role}) reach a {self.kind} ({self.role}) of {where} site".replace(
            "of same", "of the same"
        )


def check_policy(files: InventoryFiles) -> Iterator[Problem]:
    """Yield every problem of policy.yaml and of invariants.yaml."""
    flows, invariants = files.policy.flows, files.invariants.no_path
    yield from _repeated(files, POLICY, "flows", [flow.id for flow in flows])
    yield from _repeated(files, INVARIANTS, "no_path", [declared.id for declared in invariants])
    for number, invariant in enumerate(invariants):
        yield from _check_selectors(files, INVARIANTS, ("no_path", number), invariant)
    for number, flow in enumerate(flows):
        yield from _check_selectors(files, POLICY, ("flows", number), flow)
        yield from _check_flow(files, number, flow)
    yield from _check_twice(files)


def _repeated(files: InventoryFiles, file: Path, key: str, ids: Sequence[str]) -> Iterator[Problem]:
    for number, identifier in enumerate(ids):
        first = ids.index(identifier)
        if first != number:
            place = files.place(file, (key, first, "id"))
            message = f"the id `{identifier}` is taken ({place})"
            yield files.problem(file, (key, number, "id"), "CL210", message, hint="give it another id")


def _check_selectors(
    files: InventoryFiles, file: Path, path: tuple[str | int, ...], declared: FlowDeclaration | InvariantDeclaration
) -> Iterator[Problem]:
    for end, selector in (("from", declared.source), ("to", declared.destination)):
        for number, kind in enumerate(selector.kinds):
            if kind in WITHOUT_ADDRESS:
                message = f"no packet can be sent by or to an {kind}: it has no address"
                yield files.problem(file, (*path, end, "kinds", number), "CL506", message, hint="remove it")
        if not _exists(files, selector):
            message = f"`{declared.id}` selects nothing: no blueprint of these roles has equipment of these kinds"
            yield files.problem(file, (*path, end), "CL501", message)
    if declared.scope is Scope.SAME_SITE and not set(declared.source.roles) & set(declared.destination.roles):
        message = f"`{declared.id}` stays inside a site, and no role is at both ends"
        yield files.problem(file, (*path, "scope"), "CL507", message, expected=f"`{Scope.BETWEEN_SITES}`")


def _exists(files: InventoryFiles, selector: Selector) -> bool:
    """Return whether some blueprint has what the selector selects; an unsound blueprint may."""
    return bool(files.unsound) or any(
        blueprint.role in selector.roles and any(e.kind in selector.kinds for e in blueprint.equipment.values())
        for blueprint in files.blueprints.values()
    )


def _check_flow(files: InventoryFiles, number: int, flow: FlowDeclaration) -> Iterator[Problem]:
    services = files.network.services
    if flow.service not in services:
        message, hint = f"there is no service `{flow.service}`", did_you_mean(flow.service, services)
        here = ("flows", number, "service")
        yield files.problem(POLICY, here, "CL206", message, expected=one_of(services), hint=hint)
    if flow.scope is Scope.BETWEEN_SITES:
        yield from _check_carried(files, number, flow)
    pairs = _pairs(flow)
    for position, invariant in enumerate(files.invariants.no_path):
        against = sorted(pairs & _pairs(invariant))
        if against and flow.purpose not in invariant.except_purposes:
            place = files.place(INVARIANTS, ("no_path", position))
            message = f"flow `{flow.id}` lets {against[0]}, which invariant `{invariant.id}` forbids ({place})"
            yield files.problem(POLICY, ("flows", number), "CL503", message, hint=f"the reason: {invariant.because}")


def _check_carried(files: InventoryFiles, number: int, flow: FlowDeclaration) -> Iterator[Problem]:
    carried = {
        frozenset({tunnel.initiator, tunnel.responder})
        for tunnel in files.network.tunnels
        if flow.purpose in tunnel.purposes
    }
    for source, destination in product(sorted(flow.source.roles), sorted(flow.destination.roles)):
        if frozenset({source, destination}) not in carried:
            message = f"no tunnel carries `{flow.purpose}` between `{source}` and `{destination}`"
            hint = f"declare one in {NETWORK}, or split the flow"
            yield files.problem(POLICY, ("flows", number, "purpose"), "CL502", message, hint=hint)


def _check_twice(files: InventoryFiles) -> Iterator[Problem]:
    for (_, first), (number, second) in combinations(enumerate(files.policy.flows), 2):
        twice = sorted(_pairs(first) & _pairs(second))
        if twice and first.service == second.service:
            message = f"flows `{first.id}` and `{second.id}` both let {twice[0]} over `{second.service}`"
            yield files.problem(
                POLICY, ("flows", number), "CL504", message, expected="one purpose for one conversation"
            )


def _pairs(declared: FlowDeclaration | InvariantDeclaration) -> set[_Pair]:
    """Return every pair that a declaration speaks of, whether or not such a site exists today."""
    scopes = tuple(Scope) if declared.scope is None else (declared.scope,)
    return {
        _Pair(source_role, source_kind, role, kind, scope)
        for source_role, source_kind in product(declared.source.roles, declared.source.kinds)
        for role, kind in product(declared.destination.roles, declared.destination.kinds)
        for scope in scopes
        if scope is Scope.BETWEEN_SITES or source_role is role
    }
