"""What a blueprint must say: segments that fit and equipment that has a place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cloison.intent.check_cables import check_cables
from cloison.intent.files import NETWORK, blueprint_file
from cloison.intent.hint import did_you_mean, one_of
from cloison.intent.models import Kind
from cloison.model import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cloison.errors import Problem
    from cloison.intent.files import InventoryFiles
    from cloison.intent.models import BlueprintFile, EquipmentDeclaration
    from cloison.model import Name

PLATFORMS = {Kind.FIREWALL: frozenset({Platform.DEBIAN_LIBIPSEC}), Kind.SWITCH: frozenset({Platform.OPENVSWITCH})}
"""The kinds that Cloison configures, and what each may run."""
FIREWALL_PORTS = ("trunk", "wan0")
RESERVED_EQUIPMENT = frozenset({"technician"})
_RESERVED_PORT = re.compile(r"br0|lo|local0|management|ipsec[0-9]*|vlan[0-9]*")
LOCAL_PREFIX_SIZE = 4
"""Addresses of the point-to-point prefix of one local management port."""


def check_blueprint(files: InventoryFiles, name: Name) -> Iterator[Problem]:
    """Yield every problem of one blueprint."""
    blueprint, file = files.blueprints[name], blueprint_file(name)
    if blueprint.blueprint != name:
        message = f"the blueprint is called `{blueprint.blueprint}` and its file `{file.name}`"
        yield files.problem(file, ("blueprint",), "CL201", message, expected=f"`{name}`")
    yield from _check_segments(files, file, blueprint)
    yield from _check_sizes(files, file, blueprint)
    yield from _check_firewall(files, file, blueprint)
    for short, declared in blueprint.equipment.items():
        yield from _check_equipment(files, file, blueprint, short)
        yield from _check_ports(files, file, short, declared)
    yield from check_cables(files, file, blueprint)


def _check_segments(files: InventoryFiles, file: Path, blueprint: BlueprintFile) -> Iterator[Problem]:
    vlans, parking = files.network.vlans, files.network.parking_vlan
    names: set[Name] = set()
    on_vlan: dict[Name, Name] = {}
    for number, segment in enumerate(blueprint.segments):
        here = ("segments", number, "vlan")
        if segment.name in names:
            message = f"two segments are called `{segment.name}`"
            yield files.problem(file, ("segments", number, "name"), "CL210", message, hint="give it another name")
        names.add(segment.name)
        if segment.vlan not in vlans:
            message, hint = f"there is no VLAN `{segment.vlan}` in {NETWORK}", did_you_mean(segment.vlan, vlans)
            yield files.problem(file, here, "CL204", message, expected=one_of(vlans), hint=hint)
        elif segment.vlan == parking:
            message = f"segment `{segment.name}` is on the parking VLAN, which is native on every trunk"
            yield files.problem(file, here, "CL302", message, expected="a VLAN that is tagged on trunks")
        if segment.vlan in on_vlan:
            message = f"segments `{on_vlan[segment.vlan]}` and `{segment.name}` are both on VLAN `{segment.vlan}`"
            yield files.problem(file, here, "CL303", message, expected="a VLAN of its own")
        on_vlan.setdefault(segment.vlan, segment.name)


def _check_sizes(files: InventoryFiles, file: Path, blueprint: BlueprintFile) -> Iterator[Problem]:
    plan = files.network.address_plan
    left = 1 << (32 - plan.site_prefix_length)
    for number, segment in sorted(enumerate(blueprint.segments), key=lambda item: item[1].prefix_length):
        here, size = ("segments", number, "prefix_length"), 1 << (32 - segment.prefix_length)
        left -= size
        if left < 0:
            message = f"segment `{segment.name}` does not fit: the /{plan.site_prefix_length} of a site is full"
            yield files.problem(file, here, "CL307", message, hint="make the segments smaller")
            break
        members = [e for e in blueprint.equipment.values() if e.segment == segment.name and e.kind is not Kind.FIREWALL]
        room = size - 3
        if len(members) > room:
            message = f"segment `{segment.name}` has {len(members)} equipment and room for {room} beside its gateway"
            yield files.problem(file, here, "CL308", message, hint="make the segment larger")
    devices = sum(declared.platform is not None for declared in blueprint.equipment.values())
    local = plan.local_management
    if devices * LOCAL_PREFIX_SIZE > local.num_addresses:
        message = f"{local} is too small for the local management of {devices} devices"
        where = ("address_plan", "local_management")
        yield files.problem(NETWORK, where, "CL316", message, expected=f"room for {devices} prefixes of /30")


def _check_firewall(files: InventoryFiles, file: Path, blueprint: BlueprintFile) -> Iterator[Problem]:
    firewalls = [short for short, declared in blueprint.equipment.items() if declared.kind is Kind.FIREWALL]
    if not firewalls:
        yield files.problem(file, ("equipment",), "CL405", "no firewall", expected="exactly one", at_key=True)
    for short in firewalls[1:]:
        message = f"`{short}` is a second firewall beside `{firewalls[0]}`"
        yield files.problem(file, ("equipment", short), "CL405", message, expected="exactly one", at_key=True)


def _check_equipment(files: InventoryFiles, file: Path, blueprint: BlueprintFile, short: Name) -> Iterator[Problem]:
    declared = blueprint.equipment[short]
    here = ("equipment", short)
    if short in RESERVED_EQUIPMENT:
        message = f"`{short}` is what the twin calls the laptop at the local management ports"
        yield files.problem(file, here, "CL213", message, hint="give the equipment another name", at_key=True)
    segments = [segment.name for segment in blueprint.segments]
    if declared.segment is None:
        if declared.kind is not Kind.UNMANAGED_SWITCH:
            message = f"`{short}` is a {declared.kind} and is in no segment"
            yield files.problem(file, here, "CL212", message, hint="add `segment`", at_key=True)
    elif declared.kind is Kind.UNMANAGED_SWITCH:
        message = f"`{short}` is an {declared.kind}: it has no address"
        yield files.problem(file, (*here, "segment"), "CL212", message, hint="remove `segment`")
    elif declared.segment not in segments:
        message, hint = f"there is no segment `{declared.segment}`", did_you_mean(declared.segment, segments)
        yield files.problem(file, (*here, "segment"), "CL205", message, expected=one_of(segments), hint=hint)
    allowed = PLATFORMS.get(declared.kind, frozenset())
    if declared.platform is None:
        if allowed:
            expected = f"`platform: {min(allowed)}`"
            message = f"`{short}` is a {declared.kind} and has no platform"
            yield files.problem(file, here, "CL211", message, expected=expected, at_key=True)
    elif declared.platform not in allowed:
        message = f"`{short}` is a {declared.kind} and cannot have the platform `{declared.platform}`"
        expected = f"`{min(allowed)}`" if allowed else "no platform: Cloison does not configure it"
        yield files.problem(file, (*here, "platform"), "CL211", message, expected=expected)
    elif declared.platform not in files.groups.platforms:
        message = f"inventory/groups.yaml has no connection options for `{declared.platform}`"
        yield files.problem(file, (*here, "platform"), "CL209", message)


def _check_ports(files: InventoryFiles, file: Path, short: Name, declared: EquipmentDeclaration) -> Iterator[Problem]:
    here = ("equipment", short, "ports")
    for number, port in enumerate(declared.ports):
        if port in declared.ports[:number]:
            yield files.problem(file, (*here, number), "CL412", f"`{short}` has the port `{port}` twice")
        if declared.platform and _RESERVED_PORT.fullmatch(port):
            message = f"`{port}` is the name of an interface that every device has for itself"
            yield files.problem(file, (*here, number), "CL413", message, hint="give the port another name")
    if declared.kind is Kind.FIREWALL and set(declared.ports) != set(FIREWALL_PORTS):
        message = f"the firewall `{short}` has the ports {', '.join(declared.ports)}"
        yield files.problem(file, here, "CL411", message, expected=" and ".join(FIREWALL_PORTS))
