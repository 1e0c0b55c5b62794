"""What the cables of a blueprint must say: each joins two ports that exist, and all of them form one tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cloison.intent.hint import cut, did_you_mean, one_of
from cloison.intent.models import Kind, Medium

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cloison.errors import Problem
    from cloison.intent.files import InventoryFiles
    from cloison.intent.models import BlueprintFile
    from cloison.model import Name

_SWITCHES = frozenset({Kind.SWITCH, Kind.UNMANAGED_SWITCH})
_MANAGED = frozenset({Kind.SWITCH, Kind.FIREWALL})
_TRUNK, _WAN = "trunk", "wan0"
_SFP = "sfp"
"""The name of a port that takes an optical module starts so."""


class _Joint(NamedTuple):
    """A sound cable: its number in the file, and the equipment and the port at both ends."""

    number: int
    near: Name
    near_port: str
    far: Name
    far_port: str


def check_cables(files: InventoryFiles, file: Path, blueprint: BlueprintFile) -> Iterator[Problem]:
    """Yield every problem of the cables of one blueprint."""
    joints, problems = _joints(files, file, blueprint)
    yield from problems
    for joint in joints:
        yield from _check_kinds(files, file, blueprint, joint)
    yield from _check_fibres(files, file, blueprint, joints)
    if not problems:
        yield from _check_tree(files, file, blueprint, joints)
        yield from _check_unmanaged(files, file, blueprint, joints)


def _joints(files: InventoryFiles, file: Path, blueprint: BlueprintFile) -> tuple[list[_Joint], list[Problem]]:
    """Return the cables whose ends exist, and the problems of the others."""
    joints: list[_Joint] = []
    problems: list[Problem] = []
    used: dict[tuple[Name, str], str] = {}
    for number, cable in enumerate(blueprint.cables):
        ends: list[tuple[Name, str]] = []
        for side, text in enumerate(cable.between):
            here = ("cables", number, "between", side)
            end = _end(blueprint, text)
            if isinstance(end, str):
                expected, hint = "", end
                code = "CL402"
                if not _is_end(text):
                    code, expected, hint = "CL401", "`<equipment>:<port>`", ""
                message = f"`{cut(text)}` is no port of this blueprint"
                problems.append(files.problem(file, here, code, message, expected=expected, hint=hint))
                continue
            if end in used:
                message = f"`{text}` is the end of another cable ({used[end]})"
                problems.append(files.problem(file, here, "CL403", message, expected="one cable a port"))
            used.setdefault(end, files.place(file, here))
            ends.append(end)
        if len(ends) == len(cable.between):
            joints.append(_Joint(number, *ends[0], *ends[1]))
    return joints, problems


def _is_end(text: str) -> bool:
    equipment, colon, port = text.partition(":")
    return bool(equipment and colon and port) and ":" not in port


def _end(blueprint: BlueprintFile, text: str) -> tuple[Name, str] | str:
    """Return equipment and port of a cable's end; a hint when there is no such port."""
    equipment, _, port = text.partition(":")
    for short, declared in blueprint.equipment.items():
        if short == equipment:
            if port in declared.ports:
                return short, port
            return did_you_mean(port, declared.ports) or f"`{short}` has {one_of(declared.ports)}"
    return did_you_mean(equipment, blueprint.equipment)


def _check_kinds(files: InventoryFiles, file: Path, blueprint: BlueprintFile, joint: _Joint) -> Iterator[Problem]:
    """A host is cabled to a switch, a firewall's trunk to a managed switch, and its outside to nothing of the site."""
    for side, (short, port, other) in enumerate(
        ((joint.near, joint.near_port, joint.far), (joint.far, joint.far_port, joint.near))
    ):
        here = ("cables", joint.number, "between", side)
        kind, peer = blueprint.equipment[short].kind, blueprint.equipment[other].kind
        if kind is Kind.FIREWALL and port == _WAN:
            message = f"`{short}:{port}` is the outside of the firewall, and `{other}` is inside"
            yield files.problem(file, here, "CL411", message, expected=f"the port `{_TRUNK}`")
        elif kind is Kind.FIREWALL and peer is not Kind.SWITCH:
            message = f"`{other}` is cabled to the firewall itself, whose trunk carries every VLAN of the site"
            yield files.problem(file, here, "CL406", message, expected="a switch between them")
        elif kind not in _SWITCHES | _MANAGED and peer not in _SWITCHES | _MANAGED and side == 0:
            message = f"`{short}` is cabled to `{other}`, and neither is a switch"
            yield files.problem(file, here, "CL406", message, expected="a switch between them")


def _check_fibres(
    files: InventoryFiles, file: Path, blueprint: BlueprintFile, joints: Sequence[_Joint]
) -> Iterator[Problem]:
    fibres: list[int] = []
    for joint in joints:
        fibre = blueprint.cables[joint.number].medium is Medium.FIBRE
        for side, port in enumerate((joint.near_port, joint.far_port)):
            here = ("cables", joint.number, "between", side)
            if fibre is not port.startswith(_SFP):
                message = f"a cable of {blueprint.cables[joint.number].medium} is in the port `{port}`"
                expected = f"a port `{_SFP}…` for fibre, another for copper"
                yield files.problem(file, here, "CL409", message, expected=expected)
        if fibre:
            fibres.append(joint.number)
    for number in fibres[1:]:
        message = "a second fibre cable"
        hint = "a site file says how one fibre was built"
        yield files.problem(file, ("cables", number), "CL410", message, expected="one at most", hint=hint)


def _check_tree(
    files: InventoryFiles, file: Path, blueprint: BlueprintFile, joints: Sequence[_Joint]
) -> Iterator[Problem]:
    """Yield loops, and what no chain of cables joins to the firewall."""
    group: dict[Name, Name] = {short: short for short in blueprint.equipment}
    for joint in joints:
        near, far = group[joint.near], group[joint.far]
        if near == far:
            message = f"this cable closes a loop between `{joint.near}` and `{joint.far}`"
            yield files.problem(file, ("cables", joint.number), "CL407", message, hint="remove a cable of the loop")
        group = {short: near if of == far else of for short, of in group.items()}
    cabled = {short for joint in joints for short in (joint.near, joint.far)}
    firewall = next((short for short, declared in blueprint.equipment.items() if declared.kind is Kind.FIREWALL), None)
    for short in blueprint.equipment:
        if short not in cabled:
            yield files.problem(file, ("equipment", short), "CL404", f"no cable is in `{short}`", at_key=True)
        elif firewall is not None and firewall in cabled and group[short] != group[firewall]:
            message = f"no chain of cables joins `{short}` to the firewall"
            yield files.problem(file, ("equipment", short), "CL408", message, at_key=True)


def _check_unmanaged(
    files: InventoryFiles, file: Path, blueprint: BlueprintFile, joints: Sequence[_Joint]
) -> Iterator[Problem]:
    """Yield unmanaged switches that join two managed devices or two segments: they cannot keep VLANs apart."""
    beside = _neighbours(joints)
    for short, declared in blueprint.equipment.items():
        if declared.kind is not Kind.UNMANAGED_SWITCH:
            continue
        reached, edge = {short}, [short]
        while edge:
            for other in beside.get(edge.pop(), ()):
                if other not in reached:
                    reached.add(other)
                    if blueprint.equipment[other].kind is Kind.UNMANAGED_SWITCH:
                        edge.append(other)
        kinds = [blueprint.equipment[other].kind for other in reached]
        hosts = [other for other in reached if blueprint.equipment[other].kind not in _SWITCHES | _MANAGED]
        segments = sorted({str(blueprint.equipment[other].segment) for other in hosts})
        if len(segments) > 1 or sum(kind in _MANAGED for kind in kinds) > 1:
            message = f"the unmanaged switch `{short}` joins " + (
                f"the segments {', '.join(segments)}" if len(segments) > 1 else "two managed devices"
            )
            expected = "hosts of one segment and one managed switch"
            hint = "an unmanaged switch cannot keep VLANs apart"
            yield files.problem(file, ("equipment", short), "CL414", message, expected=expected, hint=hint, at_key=True)


def _neighbours(joints: Sequence[_Joint]) -> Mapping[Name, set[Name]]:
    beside: dict[Name, set[Name]] = {}
    for joint in joints:
        beside.setdefault(joint.near, set()).add(joint.far)
        beside.setdefault(joint.far, set()).add(joint.near)
    return beside
