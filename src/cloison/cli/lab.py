"""Commands about the twin."""

from __future__ import annotations

import os
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cloison.cli.app import app
from cloison.cli.declared import JsonOption, workspace_of

if TYPE_CHECKING:
    from cloison.lab.client import LabClient
    from cloison.lab.fault import Fault
    from cloison.model import EquipmentName

DEFAULT_LAB = "pilot"

lab = typer.Typer(
    name="lab",
    help="Grow, break, mend and end the twin: the declared network out of namespaces and real daemons.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(lab)


def _lab_name(text: str) -> str:
    """Return the name of a twin; InputError when it cannot be one."""
    from cloison.errors import InputError
    from cloison.model import Name

    try:
        return Name(text)
    except ValueError as error:
        msg = f"--name (or CLOISON_LAB) {text!r}: {error}"
        raise InputError(msg) from error


NameOption = Annotated[
    str,
    typer.Option(
        "--name", help="The name of the twin; several live side by side.", envvar="CLOISON_LAB", callback=_lab_name
    ),
]


@lab.command()
def up(context: typer.Context, *, name: NameOption = DEFAULT_LAB, as_json: JsonOption = False) -> None:
    """Start the twin; return once every node has booted and every service answers."""
    from cloison.cli.output import print_json, progress, say
    from cloison.intent.load import load
    from cloison.lab.equip import commission, order
    from cloison.lab.verbs import status as status_of
    from cloison.lab.verbs import up as start

    workspace = workspace_of(context)
    intent = load(workspace)
    with progress(f"lab {name}") as narrate:
        report = start(
            workspace.root,
            name,
            lambda: order(intent, workspace.root, name),
            narrate,
            lambda client: commission(intent, client),
        )
    state = status_of(workspace.root, name)
    nodes = len(state.nodes) if state else 0
    if as_json:
        print_json({"lab": name, "was_up": report.was_up, "seconds": round(report.seconds, 2), "nodes": nodes})
    elif report.was_up:
        say(f"lab {name} is up already: {nodes} nodes")
    else:
        say(f"lab {name} is up: {nodes} nodes in {report.seconds:.1f} s. Optical modules are emulated.")


@lab.command()
def down(context: typer.Context, *, name: NameOption = DEFAULT_LAB, as_json: JsonOption = False) -> None:
    """End the twin; nothing of it is left."""
    from cloison.cli.output import print_json, say
    from cloison.lab.verbs import down as end

    was_up = end(workspace_of(context).root, name)
    if as_json:
        print_json({"lab": name, "was_up": was_up})
    else:
        say(f"lab {name} is down" if was_up else f"lab {name} was not up")


@lab.command()
def status(context: typer.Context, *, name: NameOption = DEFAULT_LAB, as_json: JsonOption = False) -> None:
    """Show the nodes, their services, and the faults injected."""
    from cloison.cli.output import print_json, say
    from cloison.lab.client import LabClient
    from cloison.lab.fault import active_faults

    client = LabClient(workspace_of(context).root, name)
    state = client.status()
    faults = active_faults(client)
    if as_json:
        print_json({"lab": name, "faults": [str(fault) for fault in faults], **state.model_dump(mode="json")})
        return
    say(f"lab {name}: {len(state.nodes)} nodes, {len(state.links)} cables, up for {state.seconds:.0f} s")
    for node in state.nodes:
        services = ", ".join(f"{service} {condition}" for service, condition in node.services.items())
        say(f"  {node.node:<40} {'on ' if node.power else 'OFF'} {services}")
    for failure in state.failures:
        say(f"  not as `up` left it: {failure}", style="red")
    say(f"  faults injected: {', '.join(faults) if faults else 'none'}")


@lab.command()
def shell(
    context: typer.Context,
    node: Annotated[str, typer.Argument(help="A node, by its name or the last part of it.")],
    *,
    name: NameOption = DEFAULT_LAB,
) -> None:
    """Open a shell inside a node."""
    from cloison.lab.verbs import shell as enter

    raise typer.Exit(enter(workspace_of(context).root, name, node, os.environ.get("TERM", "dumb")))


@lab.command()
def tap(
    context: typer.Context,
    link: Annotated[str, typer.Argument(help="<site>/<equipment>:<port>")],
    *,
    name: NameOption = DEFAULT_LAB,
) -> None:
    """Write what passes a port on standard output, as pcap."""
    from cloison.lab.verbs import tap as listen

    raise typer.Exit(listen(workspace_of(context).root, name, link))


class Power(StrEnum):
    """What can be done to the power of a node."""

    ON = "on"
    OFF = "off"
    CYCLE = "cycle"


class Carrier(StrEnum):
    """What a cable can be."""

    UP = "up"
    DOWN = "down"


class Space(StrEnum):
    """What can be done to the disk of a node."""

    FILL = "fill"
    FREE = "free"


class Turn(StrEnum):
    """What can be done to a service of a node."""

    START = "start"
    STOP = "stop"
    PAUSE = "pause"
    RESUME = "resume"


NodeArgument = Annotated[str, typer.Argument(help="A node, by its name or the last part of it.")]


def _client_and_node(context: typer.Context, name: str, node: str) -> tuple[LabClient, EquipmentName]:
    from cloison.lab.client import LabClient

    client = LabClient(workspace_of(context).root, name)
    return client, client.node(node)


@lab.command()
def power(
    context: typer.Context,
    node: NodeArgument,
    to: Annotated[Power, typer.Argument(help="`cycle` cuts the power and boots the node again.")],
    *,
    name: NameOption = DEFAULT_LAB,
) -> None:
    """Cut the power of a node, or boot it on its disk and its cables and await its services."""
    from cloison.cli.output import say

    client, chosen = _client_and_node(context, name, node)
    {Power.ON: client.power_on, Power.OFF: client.power_off, Power.CYCLE: client.reboot}[to](chosen)
    say(f"{chosen} is off" if to is Power.OFF else f"{chosen} is on, its services ready")


@lab.command()
def freeze(
    context: typer.Context,
    node: NodeArgument,
    seconds: Annotated[float, typer.Argument(min=0, help="How long.")],
    *,
    name: NameOption = DEFAULT_LAB,
) -> None:
    """Stop every process of a node where it stands, wait, and let them go on. Its kernel forwards all the while."""
    from cloison.cli.output import say

    client, chosen = _client_and_node(context, name, node)
    try:
        client.freeze(chosen)
        time.sleep(seconds)
    finally:  # an interrupt thaws it too
        client.thaw(chosen)
    say(f"{chosen} stood still for {seconds:g} s")


@lab.command()
def link(
    context: typer.Context,
    port: Annotated[str, typer.Argument(help="<site>/<equipment>:<port>, either end of the cable.")],
    to: Annotated[Carrier, typer.Argument(help="`down` cuts the cable, `up` mends it.")],
    *,
    name: NameOption = DEFAULT_LAB,
) -> None:
    """Cut a cable, or mend it."""
    from cloison.cli.output import say
    from cloison.lab.client import LabClient

    client = LabClient(workspace_of(context).root, name)
    {Carrier.UP: client.mend, Carrier.DOWN: client.cut}[to](port)
    say(f"{port} is {'cut' if to is Carrier.DOWN else 'mended'}")


@lab.command()
def disk(
    context: typer.Context,
    node: NodeArgument,
    to: Annotated[Space, typer.Argument(help="`fill` leaves no byte free, `free` undoes it.")],
    *,
    name: NameOption = DEFAULT_LAB,
) -> None:
    """Fill the disk of a node, or free it."""
    from cloison.cli.output import say

    client, chosen = _client_and_node(context, name, node)
    {Space.FILL: client.fill_disk, Space.FREE: client.free_disk}[to](chosen)
    say(f"the disk of {chosen} is {'full' if to is Space.FILL else 'free'}")


@lab.command()
def service(
    context: typer.Context,
    node: NodeArgument,
    which: Annotated[str, typer.Argument(metavar="SERVICE", help="One that `cloison lab status` names.")],
    to: Annotated[Turn, typer.Argument(help="`pause` stops its process where it stands, `resume` lets it go on.")],
    *,
    name: NameOption = DEFAULT_LAB,
) -> None:
    """Stop, start, pause or resume a service of a node."""
    from cloison.cli.output import say

    client, chosen = _client_and_node(context, name, node)
    acts = {Turn.START: client.start, Turn.STOP: client.stop, Turn.PAUSE: client.pause, Turn.RESUME: client.resume}
    acts[to](chosen, which)
    done = {Turn.START: "runs", Turn.STOP: "is stopped", Turn.PAUSE: "is paused", Turn.RESUME: "goes on"}
    say(f"{chosen}: {which} {done[to]}")


@lab.command()
def faults(context: typer.Context, *, as_json: JsonOption = False) -> None:
    """List the faults that can be injected, and the checks each must turn red."""
    from cloison.cli.output import print_json, say
    from cloison.intent.load import load
    from cloison.lab.faults.catalogue import catalogue

    known = catalogue(load(workspace_of(context)))
    if as_json:
        fields = {"name", "layer", "title", "must", "may", "unproved"}
        print_json([fault.model_dump(mode="json", include=fields) for fault in known])
        return
    for fault in known:
        say(f"{fault.name:<28} {fault.layer:<14} {fault.title}")
        say(f"{'':28} turns red: {', '.join(fault.must)}", style="dim")


@lab.command()
def fault(
    context: typer.Context,
    fault_name: Annotated[str, typer.Argument(metavar="FAULT", help="One of `cloison lab faults`.")],
    *,
    name: NameOption = DEFAULT_LAB,
    as_json: JsonOption = False,
) -> None:
    """Break the twin in one way, on purpose."""
    from cloison.cli.output import print_json, say
    from cloison.lab.fault import inject

    chosen, client = _chosen(context, fault_name, name)
    inject(client, chosen)
    if as_json:
        print_json({"lab": name, "injected": chosen.name, "must": chosen.must, "may": chosen.may})
        return
    say(f"{chosen.name}: {chosen.title}")
    say(f"`cloison audit` must now turn red: {', '.join(chosen.must)}")


@lab.command()
def heal(
    context: typer.Context,
    fault_name: Annotated[str | None, typer.Argument(metavar="FAULT", help="By default, every fault injected.")] = None,
    *,
    name: NameOption = DEFAULT_LAB,
    as_json: JsonOption = False,
) -> None:
    """Undo a fault, and await the event that shows it undone."""
    from cloison.cli.output import print_json, progress, say
    from cloison.lab.client import LabClient
    from cloison.lab.fault import active_faults
    from cloison.lab.fault import heal as undo

    client = LabClient(workspace_of(context).root, name)
    active = [str(each) for each in reversed(active_faults(client))]
    if fault_name is not None:
        chosen = _chosen(context, fault_name, name)[0]
        active = [each for each in active if each == chosen.name]
    with progress(f"lab {name}") as narrate:
        for each in active:
            narrate(f"healing {each}")
            undo(client, _chosen(context, each, name)[0])
    if as_json:
        print_json({"lab": name, "healed": active})
    elif not active:
        say("no fault is injected" if fault_name is None else f"{fault_name} is not injected")
    else:
        say(f"healed: {', '.join(active)}")


def _chosen(context: typer.Context, fault_name: str, name: str) -> tuple[Fault, LabClient]:
    from cloison.intent.load import load
    from cloison.lab.client import LabClient
    from cloison.lab.faults.catalogue import find

    workspace = workspace_of(context)
    return find(load(workspace), fault_name), LabClient(workspace.root, name)
