"""What the files of an inventory must say together: every problem at once, each with its place."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from cloison.intent.check_blueprint import check_blueprint
from cloison.intent.check_policy import check_policy
from cloison.intent.check_site import check_site, check_sites
from cloison.intent.files import INVARIANTS, NETWORK, POLICY, site_file
from cloison.intent.hint import did_you_mean, one_of
from cloison.intent.invariants import broken
from cloison.intent.models import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from cloison.errors import Problem
    from cloison.intent.files import InventoryFiles
    from cloison.intent.network import Intent
    from cloison.workspace import Network

SERVERS = {
    "time_server": Kind.TIME_SERVER,
    "log_collector": Kind.LOG_COLLECTOR,
    "administration_station": Kind.ADMINISTRATION_STATION,
}
"""The equipment that network.yaml names, and of which kind each must be."""


def check(files: InventoryFiles, network: Network) -> list[Problem]:
    """Return every problem of the inventory as a whole, for this network."""
    problems = [*_check_network(files), *_check_servers(files), *check_policy(files), *check_sites(files)]
    for name in files.blueprints:
        problems.extend(check_blueprint(files, name))
    for name in files.sites:
        problems.extend(check_site(files, name, network))
    return problems


def check_flows(files: InventoryFiles, intent: Intent) -> Iterator[Problem]:
    """Yield a problem for every derived flow that an invariant forbids.

    The declarations were judged before; this judges what was made of them, host by host, so that a mistake in the
    derivation cannot open what an invariant closes.
    """
    rules = {flow.id: number for number, flow in enumerate(files.policy.flows)}
    invariants = {declared.id: number for number, declared in enumerate(files.invariants.no_path)}
    for flow, invariant in broken(intent):
        place = files.place(INVARIANTS, ("no_path", invariants[invariant.id]))
        message = (
            f"flow `{flow.rule}` lets {flow.source.name} reach {flow.destination.name}, "
            f"which invariant `{invariant.id}` forbids ({place})"
        )
        yield files.problem(POLICY, ("flows", rules[flow.rule]), "CL503", message)


def expired_waivers(files: InventoryFiles, today: date) -> Iterator[Problem]:
    """Yield a problem for every waiver past its day. None makes an inventory wrong: audits report them."""
    for name, site in files.sites.items():
        for number, waiver in enumerate(site.waivers):
            if waiver.expires < today:
                yield files.problem(
                    site_file(name),
                    ("waivers", number, "expires"),
                    "CL608",
                    f"the waiver of `{waiver.owner}` expired on {waiver.expires}",
                    hint="renew it with its reason, or remove it",
                )


def _check_network(files: InventoryFiles) -> Iterator[Problem]:
    declared = files.network
    plan = declared.address_plan
    if declared.parking_vlan not in declared.vlans:
        yield files.problem(
            NETWORK,
            ("parking_vlan",),
            "CL203",
            f"the parking VLAN `{declared.parking_vlan}` is not in `vlans`",
            hint=did_you_mean(declared.parking_vlan, declared.vlans),
        )
    for (first, number), (second, other) in combinations(declared.vlans.items(), 2):
        if number == other:
            message = f"VLAN {number} is both `{first}` and `{second}`"
            yield files.problem(NETWORK, ("vlans", second), "CL301", message)
    for (first, service), (second, same) in combinations(declared.services.items(), 2):
        if (service.protocol, service.port) == (same.protocol, same.port):
            message = f"`{first}` and `{second}` are both {same.protocol} port {same.port}"
            yield files.problem(NETWORK, ("services", second, "port"), "CL315", message, hint="use the one for both")
    if plan.site_prefix_length < plan.prefix.prefixlen:
        yield files.problem(
            NETWORK,
            ("address_plan", "site_prefix_length"),
            "CL310",
            f"a site's /{plan.site_prefix_length} is larger than the plan's {plan.prefix}",
            expected=f"at least {plan.prefix.prefixlen}",
        )
    if plan.local_management.overlaps(plan.prefix):
        yield files.problem(
            NETWORK,
            ("address_plan", "local_management"),
            "CL310",
            f"{plan.local_management} overlaps the plan's {plan.prefix}",
            expected="a prefix that is routed nowhere",
        )
    yield from _check_tunnels(files)


def _check_tunnels(files: InventoryFiles) -> Iterator[Problem]:
    tunnels = files.network.tunnels
    for number, tunnel in enumerate(tunnels):
        if tunnel.initiator is tunnel.responder:
            message = f"tunnel `{tunnel.name}` joins two sites of the role `{tunnel.initiator}`"
            yield files.problem(NETWORK, ("tunnels", number, "responder"), "CL505", message, expected="another role")
    for (_, first), (number, second) in combinations(enumerate(tunnels), 2):
        if {first.initiator, first.responder} != {second.initiator, second.responder}:
            continue
        between = f"between `{second.initiator}` and `{second.responder}`"
        if first.name == second.name:
            message = f"two tunnels {between} are called `{second.name}`"
            yield files.problem(NETWORK, ("tunnels", number, "name"), "CL505", message, hint="give it another name")
        for purpose in sorted(set(first.purposes) & set(second.purposes)):
            message = f"`{purpose}` {between} is carried by `{first.name}` already"
            yield files.problem(NETWORK, ("tunnels", number, "purposes"), "CL505", message, hint="remove it from one")


def _check_servers(files: InventoryFiles) -> Iterator[Problem]:
    for key, kind in SERVERS.items():
        name = getattr(files.network, key)
        site = files.sites.get(name.site)
        blueprint = files.blueprint_of(site) if site is not None else None
        if blueprint is None:
            if not files.is_site(name.site):
                message, hint = f"there is no site `{name.site}`", did_you_mean(name.site, files.sites)
                yield files.problem(NETWORK, (key,), "CL207", message, hint=hint)
            continue
        known = [f"{name.site}/{short}" for short, declared in blueprint.equipment.items() if declared.kind is kind]
        if name not in known:
            message = f"`{name}` is no {kind} of site `{name.site}`"
            yield files.problem(NETWORK, (key,), "CL207", message, expected=one_of(known))
