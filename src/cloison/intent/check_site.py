"""What the files of sites must say: by themselves, of their blueprint, and beside the other sites."""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING

from cloison.intent.files import blueprint_file, site_file
from cloison.intent.hint import did_you_mean, one_of
from cloison.intent.models import Kind, Medium, ModuleType
from cloison.workspace import Network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address, IPv4Network

    from cloison.errors import Problem
    from cloison.intent.files import InventoryFiles
    from cloison.intent.models import BlueprintFile, SiteFile
    from cloison.model import Name

UNBOUND = frozenset({Kind.FIREWALL, Kind.SWITCH, Kind.UNMANAGED_SWITCH})
"""Kinds whose MAC address no switch port is bound to."""
RESERVED_SITES = frozenset({"wan"})
NAME_LENGTH = 63
"""Characters of a Name."""
_BIDIRECTIONAL = {ModuleType.BX10_D, ModuleType.BX10_U}
_POINT_TO_POINT = 31
"""A prefix this long has neither a network nor a broadcast address (RFC 3021)."""


def check_sites(files: InventoryFiles) -> Iterator[Problem]:
    """Yield every problem of two sites with each other."""
    indexes: dict[int, Name] = {}
    for name, site in files.sites.items():
        if site.index in indexes:
            message = f"index {site.index} is that of site `{indexes[site.index]}`"
            yield files.problem(site_file(name), ("index",), "CL304", message, expected="an index of its own")
        indexes.setdefault(site.index, name)
    public = sorted((site.wan.address.network, name) for name, site in files.sites.items())
    for (before, other), (prefix, name) in pairwise(public):
        # Sorted by address and then by length, two prefixes that overlap anywhere bring a pair of neighbours that do.
        if before.overlaps(prefix):
            message = f"{prefix} overlaps {before} of site `{other}`"
            yield files.problem(site_file(name), ("wan", "address"), "CL309", message)
    yield from _check_tunnel_names(files)
    yield from _check_repeated(files)


def _check_tunnel_names(files: InventoryFiles) -> Iterator[Problem]:
    """A tunnel is called after both sites, and its name is one that a device must take."""
    sites = [(name, b.role) for name, site in files.sites.items() if (b := files.blueprint_of(site)) is not None]
    for tunnel in files.network.tunnels:
        initiators = [name for name, role in sites if role is tunnel.initiator]
        responders = [name for name, role in sites if role is tunnel.responder]
        for initiator, responder in product(initiators, responders):
            length = len(f"{tunnel.name}-{initiator}--{responder}")
            if length > NAME_LENGTH:
                longer = max(initiator, responder, key=len)
                message = (
                    f"tunnel `{tunnel.name}` from `{initiator}` to `{responder}` has a name of {length} characters"
                )
                expected, hint = f"at most {NAME_LENGTH}", "shorten the name of the site"
                yield files.problem(site_file(longer), ("site",), "CL214", message, expected=expected, hint=hint)


def _check_repeated(files: InventoryFiles) -> Iterator[Problem]:
    for key, code, called in (
        ("mac", "CL312", "the MAC address"),
        ("serial", "CL313", "the serial number"),
        ("host_key", "CL314", "the host key"),
    ):
        first: dict[str, str] = {}
        for name, site in files.sites.items():
            for path, value in _as_built(site, key):
                if value in first:
                    message = f"{called} `{value}` is given twice (first at {first[value]})"
                    yield files.problem(site_file(name), path, code, message)
                first.setdefault(value, files.place(site_file(name), path))


def _as_built(site: SiteFile, key: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for short, equipment in site.equipment.items():
        value = getattr(equipment, key)
        if value is not None:
            yield ("equipment", short, key), value
    if key == "serial" and site.fibre is not None:
        for end, module in (("near", site.fibre.near), ("far", site.fibre.far)):
            if module.serial is not None:
                yield ("fibre", end, key), module.serial


def check_site(files: InventoryFiles, name: Name, network: Network) -> Iterator[Problem]:
    """Yield every problem of one site, for this network."""
    site, file = files.sites[name], site_file(name)
    if site.site != name:
        message = f"the site is called `{site.site}` and its file `{file.name}`"
        yield files.problem(file, ("site",), "CL201", message, expected=f"`{name}`")
    if name in RESERVED_SITES:
        message = f"`{name}` is what the twin calls the network between the sites"
        yield files.problem(file, ("site",), "CL213", message, hint="give the site another name")
    yield from _check_index(files, name)
    yield from _check_wan(files, name)
    ceiling = files.network.retention.ceiling_days
    if site.retention_days is not None and site.retention_days > ceiling:
        message = f"recordings are kept {site.retention_days} days"
        yield files.problem(file, ("retention_days",), "CL604", message, expected=f"at most {ceiling} (network.yaml)")
    blueprint = files.blueprint_of(site)
    if blueprint is not None:
        yield from _check_as_built(files, name, blueprint, network)
        yield from _check_fibre(files, name, blueprint)
    elif not files.is_blueprint(site.blueprint):
        message, hint = f"there is no blueprint `{site.blueprint}`", did_you_mean(site.blueprint, files.blueprints)
        yield files.problem(file, ("blueprint",), "CL202", message, expected=one_of(files.blueprints), hint=hint)


def _check_index(files: InventoryFiles, name: Name) -> Iterator[Problem]:
    index, plan, file = files.sites[name].index, files.network.address_plan, site_file(name)
    if index in plan.reserved_indexes:
        yield files.problem(file, ("index",), "CL305", f"index {index} is reserved (network.yaml)")
    sites = 1 << max(0, plan.site_prefix_length - plan.prefix.prefixlen)
    if index >= sites and plan.site_prefix_length >= plan.prefix.prefixlen:
        message = (
            f"index {index} is outside the plan: {plan.prefix} holds {sites} prefixes of /{plan.site_prefix_length}"
        )
        yield files.problem(file, ("index",), "CL306", message, expected=f"at most {sites - 1}")


def _check_wan(files: InventoryFiles, name: Name) -> Iterator[Problem]:
    wan, plan, file = files.sites[name].wan, files.network.address_plan, site_file(name)
    prefix = wan.address.network
    for taken, called in ((plan.prefix, "the address plan"), (plan.local_management, "the local management ports")):
        if prefix.overlaps(taken):
            message = f"{prefix} overlaps {taken} of {called}"
            yield files.problem(file, ("wan", "address"), "CL309", message, expected="a public prefix")
    if not _is_host(wan.address.ip, prefix):
        message = f"{wan.address.ip} is no host address of {prefix}"
        yield files.problem(file, ("wan", "address"), "CL311", message)
    if not _is_host(wan.gateway, prefix) or wan.gateway == wan.address.ip:
        message = f"the gateway {wan.gateway} is no other host of {prefix}"
        yield files.problem(file, ("wan", "gateway"), "CL311", message, expected=f"an address of {prefix}")


def _is_host(address: IPv4Address, prefix: IPv4Network) -> bool:
    ends = () if prefix.prefixlen >= _POINT_TO_POINT else (prefix.network_address, prefix.broadcast_address)
    return address in prefix and address not in ends


def _check_as_built(files: InventoryFiles, name: Name, blueprint: BlueprintFile, network: Network) -> Iterator[Problem]:
    site, file = files.sites[name], site_file(name)
    for short in site.equipment:
        if short not in blueprint.equipment:
            message = f"blueprint `{site.blueprint}` has no equipment `{short}`"
            hint = did_you_mean(short, blueprint.equipment)
            here, expected = ("equipment", short), one_of(blueprint.equipment)
            yield files.problem(file, here, "CL208", message, expected=expected, hint=hint, at_key=True)
    for short, declared in blueprint.equipment.items():
        known = site.equipment.get(short)
        if declared.kind not in UNBOUND and (known is None or known.mac is None):
            message = f"`{short}` has no MAC address: its switch port cannot be bound to it"
            yield files.problem(file, ("equipment", short), "CL606", message, hint="add `mac`", at_key=True)
        if network is Network.LIVE and declared.platform and (known is None or known.host_key is None):
            message = f"`{short}` has no host key: no connection to it could be trusted"
            hint = "add `host_key`, as `ssh-keygen -l -f KEY.pub` prints it on the device"
            yield files.problem(file, ("equipment", short), "CL605", message, hint=hint, at_key=True)
    records = any(declared.kind is Kind.RECORDER for declared in blueprint.equipment.values())
    if records and site.retention_days is None:
        message = "the site has a recorder and does not say how long recordings are kept"
        yield files.problem(file, (), "CL607", message, hint="add `retention_days`")


def _check_fibre(files: InventoryFiles, name: Name, blueprint: BlueprintFile) -> Iterator[Problem]:
    site, file = files.sites[name], site_file(name)
    has_fibre = any(cable.medium is Medium.FIBRE for cable in blueprint.cables)
    if site.fibre is None:
        if has_fibre:
            message = f"{blueprint_file(site.blueprint)} has a fibre cable and the site does not say how it was built"
            yield files.problem(file, (), "CL602", message, hint="add `fibre`")
        return
    if not has_fibre:
        message = f"the site has a fibre and {blueprint_file(site.blueprint)} has no fibre cable"
        yield files.problem(file, ("fibre",), "CL601", message, at_key=True)
    near, far = site.fibre.near.module, site.fibre.far.module
    ends = {near, far}
    if ends & _BIDIRECTIONAL and ends != _BIDIRECTIONAL:
        message = f"{near} and {far} do not hear each other"
        expected = "a 1000BASE-BX10-D at one end and a 1000BASE-BX10-U at the other"
        yield files.problem(file, ("fibre", "far", "module"), "CL603", message, expected=expected)
