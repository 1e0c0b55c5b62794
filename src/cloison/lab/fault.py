"""One way to break a twin, as data; how it is injected, and how it is undone by itself and not by applying."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, assert_never

from cloison.errors import LabError
from cloison.lab.equip import certify
from cloison.model import EquipmentName, Model, Name, Untrusted

if TYPE_CHECKING:
    from collections.abc import Collection

    from cloison.lab.client import LabClient

_KEEPER = EquipmentName("wan/router")
_KEPT = "/run/faults"
_POLL_SECONDS = 0.1


class Layer(StrEnum):
    """Where a fault is."""

    SWITCH = "switch"
    EDGE = "edge security"
    FILTER = "firewall"
    TUNNEL = "tunnel"
    ROUTES = "routes"
    HOSTS = "hosts"
    STREAM = "stream"
    FIBRE = "fibre"


class Script(Model):
    """Run a POSIX shell script inside a node; a non-zero exit status is an error."""

    step: Literal["script"] = "script"
    node: EquipmentName
    script: str


class Stop(Model):
    """Stop a service of a node."""

    step: Literal["stop"] = "stop"
    node: EquipmentName
    service: Name


class Start(Model):
    """Start a service of a node and await that it is ready."""

    step: Literal["start"] = "start"
    node: EquipmentName
    service: Name


class Restart(Model):
    """Stop and start a service of a node."""

    step: Literal["restart"] = "restart"
    node: EquipmentName
    service: Name


class Cut(Model):
    """Cut the cable at `<site>/<equipment>:<port>`."""

    step: Literal["cut"] = "cut"
    port: str


class Mend(Model):
    """Undo a cut."""

    step: Literal["mend"] = "mend"
    port: str


class Put(Model):
    """Write a file of a node."""

    step: Literal["put"] = "put"
    node: EquipmentName
    path: str
    content: bytes


class Certify(Model):
    """Have a firewall make another key, and certify it for so many days; its tunnels go on with what they have."""

    step: Literal["certify"] = "certify"
    node: EquipmentName
    days: int


Step = Script | Stop | Start | Restart | Cut | Mend | Put | Certify


class Fault(Model):
    """One fault of the catalogue."""

    name: Name
    layer: Layer
    title: str
    """What is wrong, in one sentence."""
    inject: tuple[Step, ...]
    heal: tuple[Step, ...]
    healed: tuple[Script, ...]
    """Each exits 0 once the events that show the fault undone have happened."""
    healed_within: float = 30.0
    """Seconds."""
    must: tuple[str, ...]
    """The checks that it turns red, by their ids."""
    may: tuple[str, ...] = ()
    """Patterns (fnmatch) of the checks that it may turn red besides: what depends on what was broken."""
    unproved: str = ""
    """Why a proof over what the devices run does not see it. Empty when it does, and then it has to turn red on it."""
    shown: tuple[str, ...] = ()
    """Patterns (fnmatch) of the identities of findings, all of which such a proof must report; see `faults.shown`."""


def complaints(fault: Fault, red: Collection[str]) -> tuple[str, ...]:
    """Return what is wrong with the checks that a fault turned red: those that had to and did not, and those beyond."""
    silent = [f"{check} stayed green" for check in fault.must if check not in red]
    permitted = (*fault.must, *fault.may)
    beyond = [
        f"{check} turned red, and the fault does not say that it may"
        for check in sorted(red)
        if not any(fnmatchcase(check, pattern) for pattern in permitted)
    ]
    return (*silent, *beyond)


def unshown(fault: Fault, found: Collection[str]) -> tuple[str, ...]:
    """Return the findings, as patterns, that a proof had to report of a fault and did not."""
    return tuple(pattern for pattern in fault.shown if not any(fnmatchcase(one, pattern) for one in found))


def inject(client: LabClient, fault: Fault) -> None:
    """Break the twin; LabError when it is broken that way already or a step fails."""
    active = active_faults(client)
    if fault.name in active:
        msg = f"{fault.name} is injected already; undo it with `cloison lab heal {fault.name}`"
        raise LabError(msg)
    _keep(client, (*active, fault.name))  # first: a fault injected half-way can still be healed
    for step in fault.inject:
        _do(client, step)


def heal(client: LabClient, fault: Fault) -> None:
    """Undo the fault and await the event that shows it; LabError when it does not come in time."""
    for step in fault.heal:
        _do(client, step)
    deadline = time.monotonic() + fault.healed_within
    while any(client.run(shown.node, ["sh", "-c", shown.script]).exit_status != 0 for shown in fault.healed):
        if time.monotonic() > deadline:
            msg = f"{fault.name}: undone, but after {fault.healed_within:g} s nothing shows it: `cloison lab status`"
            raise LabError(msg)
        time.sleep(_POLL_SECONDS)
    _keep(client, tuple(name for name in active_faults(client) if name != fault.name))


def active_faults(client: LabClient) -> tuple[Name, ...]:
    """Return the names of the faults injected and not healed, in the order of their injection."""
    kept = client.run(_KEEPER, ["cat", _KEPT])
    return tuple(Name(name) for name in json.loads(kept.stdout)) if kept.exit_status == 0 else ()


def _keep(client: LabClient, names: tuple[Name, ...]) -> None:
    client.put_file(_KEEPER, _KEPT, json.dumps(names).encode())


def _runs(client: LabClient, step: Start) -> bool:
    nodes = {node.node: node.services for node in client.status().nodes}
    return nodes[step.node].get(step.service) == "running"


def _turn(client: LabClient, step: Stop | Start | Restart) -> None:
    """Stop or start a service, or both."""
    if not isinstance(step, Start):
        client.stop(step.node, step.service)
    # One that is to be started may run, when the fault was injected half-way.
    if isinstance(step, Restart) or (isinstance(step, Start) and not _runs(client, step)):
        client.start(step.node, step.service)


def _do(client: LabClient, step: Step) -> None:
    match step:
        case Script():
            result = client.run(step.node, ["sh", "-ec", step.script])
            if result.exit_status != 0:
                said = Untrusted(result.stderr or result.stdout).shown(400).strip()
                msg = f"{step.node}: a step of the fault failed with status {result.exit_status}: {said}"
                raise LabError(msg)
        case Stop() | Start() | Restart():
            _turn(client, step)
        case Cut():
            client.cut(step.port)
        case Mend():
            client.mend(step.port)
        case Put():
            client.put_file(step.node, step.path, step.content)
        case Certify():
            certify(client, step.node, timedelta(days=step.days))
        case _:
            assert_never(step)
