"""The command `plan`, and what it shares with `apply`: how a plan is made, found again and shown."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from cloison.cli.app import app
from cloison.cli.declared import JsonOption  # noqa: TC001  Typer reads it at run time
from cloison.cli.lab import DEFAULT_LAB, NameOption
from cloison.cli.running import KeyOption, NetworkOption, SiteOption, ViaOption, open_network, via_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloison.change.order import Via
    from cloison.change.plan import DevicePlan, Plan
    from cloison.operation import Operation
    from cloison.session import Session

DeadlineOption = Annotated[
    int | None,
    typer.Option(
        metavar="SECONDS",
        min=5,
        help="How long a device waits for its confirmation before it goes back; by default three times what everything "
        "before it may take, and 120 at least.",
    ),
]
GateOption = Annotated[
    str,
    typer.Option(
        help="How much is asked before the change is decided: `proof` (management, dead-man, read-back, proof), "
        "`flows` (also sessions opened before and after), `audit` (also every validator, before and after)."
    ),
]
DEFAULT_GATE = "flows"


def operation_of(session: Session, gate: str, unguarded: Sequence[str] = ()) -> Operation:
    """Return what changes the network of a session; InputError for a gate or a device that there is not."""
    from cloison.errors import InputError
    from cloison.operation import GateKind, Operation

    if gate not in set(GateKind):
        msg = f"--gate {gate}: expected one of {', '.join(GateKind)}"
        raise InputError(msg)
    known = {str(device.name): device.name for device in session.intent.devices}
    if unknown := sorted(set(unguarded) - known.keys()):
        msg = f"--unguarded {unknown[0]}: not a device; expected one of {', '.join(sorted(known))}"
        raise InputError(msg)
    return Operation(session, GateKind(gate), unguarded=frozenset(known[name] for name in unguarded))


def made_plan(operation: Operation, via: Via, sites: Sequence[str] | None, deadline: int | None) -> Plan:
    """Return the plan of a command, with a word on what is done meanwhile."""
    from cloison.cli.output import progress
    from cloison.cli.revision import revision_now

    with progress("plan") as narrate:
        revision = revision_now(operation.session.workspace)
        return operation.told(narrate).plan(via, sites, deadline=deadline, revision=revision)


def saved_plan(session: Session, plan_id: str, via: str | None) -> Plan:
    """Return a plan that was saved; InputError when there is none, or it is for another network or way."""
    from cloison.change.plan import load
    from cloison.errors import InputError

    found = sorted(session.workspace.plans.glob(f"{plan_id[:12]}*.json")) if plan_id.isalnum() else []
    if len(found) != 1:
        msg = f"no saved plan {plan_id}; make one with `cloison plan`"
        raise InputError(msg)
    made = load(found[0])
    if made.network != session.network.value:
        msg = f"plan {plan_id} is for the network `{made.network}`, not `{session.network.value}`"
        raise InputError(msg)
    if via is not None and via != made.via.value:
        msg = f"plan {plan_id} goes by the way `{made.via.value}`; make another one with --via {via}"
        raise InputError(msg)
    return made


@app.command()
def plan(  # noqa: PLR0913  one argument an option
    context: typer.Context,
    *,
    site: SiteOption = None,
    deadline: DeadlineOption = None,
    gate: GateOption = DEFAULT_GATE,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what would change on the devices and prove every state in between; save it as a plan, change nothing."""
    from cloison.change.describe import describe
    from cloison.change.plan import save
    from cloison.cli.output import print_json, print_untrusted

    session = open_network(context, network, name, key)
    with closing(operation_of(session, gate)) as operation:
        made = made_plan(operation, via_of(session, via, site), site, deadline)
    file = save(made, session.workspace.plans)
    if not as_json:
        print_untrusted(describe(made))
        return
    print_json({"file": str(file), **plan_document(made)})


def plan_document(made: Plan) -> dict[str, object]:
    """Return a plan as a document for programs."""
    from cloison.change.describe import next_command, tally

    rules = [
        {"flow": one.flow, "device": one.device, "change": "opened" if one.opens else "closed", "rule": one.rule}
        for one in made.rules
    ]
    return {
        "plan": made.sha256,
        "intent": made.intent,
        "revision": made.revision,
        "network": made.network,
        "via": made.via.value,
        "changes": sum(len(device.changed) for device in made.changed),
        "tally": tally(made),
        "next": next_command(made),
        "deadline": made.deadline,
        "stages": [list(stage) for stage in made.stages],
        "under_way": {device.device: device.under_way for device in made.devices if device.under_way},
        "opens": list(made.opens),
        "closes": list(made.closes),
        "intermediate": made.intermediate.model_dump(mode="json") if made.intermediate else None,
        "flows": rules,
        "devices": [_device_document(device) for device in made.changed],
    }


def _device_document(device: DevicePlan) -> dict[str, object]:
    sections = {
        name.value: {
            "running": device.config("running").section(name).sha256,
            "candidate": device.config("candidate").section(name).sha256,
            "diff": device.diff(name),
        }
        for name in device.changed
    }
    return {"device": device.device, "guard": device.guard.value, "script": device.script, "sections": sections}
