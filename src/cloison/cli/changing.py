"""Commands that change a network, or say how far a change came: apply, rollback, status, resume."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from cloison.cli.app import app
from cloison.cli.declared import JsonOption  # noqa: TC001  Typer reads it at run time
from cloison.cli.lab import DEFAULT_LAB, NameOption
from cloison.cli.planning import (
    DEFAULT_GATE,
    DeadlineOption,
    GateOption,
    made_plan,
    operation_of,
    plan_document,
    saved_plan,
)
from cloison.cli.running import KeyOption, NetworkOption, SiteOption, ViaOption, open_network, via_of

if TYPE_CHECKING:
    from cloison.change.order import Via
    from cloison.change.outcome import DeviceOutcome, Result
    from cloison.change.plan import Plan
    from cloison.operation import Operation
    from cloison.session import Session

WayOption = Annotated[
    str | None,
    typer.Option("--via", help="How devices are reached: `tunnel` or `local`. By default the way that the run went."),
]
RunArgument = Annotated[
    str | None, typer.Argument(metavar="RUN", help="A run, by its name or the beginning of it; by default the last.")
]
UnguardedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--unguarded", metavar="DEVICE", help="Change this device although nothing there goes back by itself."
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before changing devices.")]


@app.command()
def apply(  # noqa: PLR0913  one argument an option
    context: typer.Context,
    *,
    plan_id: Annotated[
        str | None, typer.Option("--plan", help="A saved plan, by the digits that `cloison plan` printed.")
    ] = None,
    yes: YesOption = False,
    site: SiteOption = None,
    deadline: DeadlineOption = None,
    gate: GateOption = DEFAULT_GATE,
    unguarded: UnguardedOption = None,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put the declared network on the devices as one transaction: all of them, or none."""
    session = open_network(context, network, name, key)
    with closing(operation_of(session, gate, unguarded or ())) as operation:
        if plan_id is None:
            made = made_plan(operation, via_of(session, via, site), site, deadline)
        else:
            made = saved_plan(session, plan_id, via)
        _carry_out(operation, made, yes=yes, as_json=as_json)


def _carry_out(operation: Operation, made: Plan, *, yes: bool, as_json: bool) -> None:
    """Show a plan, ask, carry it out and show what became of it."""
    from cloison.change.describe import describe
    from cloison.cli.output import print_untrusted, progress

    if made.changed and not as_json:
        print_untrusted(describe(made))
    if made.changed and not yes:
        _ask(made)
    with progress("apply") as narrate:
        result = operation.told(narrate).apply(made)
    show_result(result, made, as_json=as_json)


@app.command()
def rollback(  # noqa: PLR0913  one argument an option
    context: typer.Context,
    run: RunArgument = None,
    *,
    yes: YesOption = False,
    gate: GateOption = DEFAULT_GATE,
    network: NetworkOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a confirmed change back, as a transaction with the same gate."""
    from cloison.cli.output import progress

    session = open_network(context, network, name, key)
    with closing(operation_of(session, gate)) as operation:
        with progress("plan") as narrate:
            then, made = operation.told(narrate).rollback(operation.ledger.find(run))
        _carry_out(then, made, yes=yes, as_json=as_json)


def _ask(made: Plan) -> None:
    """Return when a person at the terminal says yes; RefusedError otherwise."""
    from cloison.change.describe import tally
    from cloison.errors import RefusedError

    sys.stderr.write(f"{tally(made)}. Apply this? [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    if answer.strip().lower() not in {"y", "yes"}:
        msg = "nothing was changed: nobody said yes; where nobody can be asked, give --yes"
        raise RefusedError(msg)


def show_result(result: Result, made: Plan, *, as_json: bool) -> None:
    """Print what became of a change, and end with its exit code."""
    from cloison.change.describe import tally
    from cloison.change.outcome import Decision
    from cloison.cli.output import print_json, print_untrusted, say
    from cloison.model import Untrusted

    if as_json:
        document = result.model_dump(mode="json") | {"explanation": result.explanation}
        print_json({**plan_document(made), **document, "changed": result.decision is Decision.CONFIRMED})
    elif result.decision is Decision.NO_CHANGE:
        say(tally(made) if not made.changed else "no change: the devices run what the plan gives them already")
    else:
        show_devices(result.devices)
        passed = sum(check.passed for check in result.checks)
        if result.checks:
            say(f"gate: {passed} of {len(result.checks)} checks passed")
        print_untrusted(Untrusted(f"run {result.run} ({result.seconds:.1f} s): {result.explanation}\n"))
    raise typer.Exit(result.exit_code)


def show_devices(devices: tuple[DeviceOutcome, ...]) -> None:
    """Print where each device stands."""
    from cloison.cli.output import print_untrusted
    from cloison.model import Untrusted

    for one in devices:
        left = f"goes back in {one.remaining:.0f} s " if one.remaining else ""
        words = f"{one.device:<34} {one.standing:<17} {', '.join(one.sections)} {left}{one.detail}"
        print_untrusted(Untrusted(words.rstrip() + "\n"))


def _way(session: Session, via: str | None) -> Via | None:
    """Return how devices are reached; None for the way that the run went."""
    return None if via is None else via_of(session, via, None)


@app.command()
def status(
    context: typer.Context,
    run: RunArgument = None,
    *,
    network: NetworkOption = None,
    via: WayOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where a change stands, by asking every device of it."""
    from cloison.cli.output import print_json, progress, say

    session = open_network(context, network, name, key)
    with progress("status") as narrate:
        operation = operation_of(session, DEFAULT_GATE).told(narrate)
        found = operation.status(operation.ledger.find(run), _way(session, via))
    if as_json:
        document = found.model_dump(mode="json") | {"sentence": found.sentence, "next": found.next_step}
        print_json(document | {"settled": found.settled})
    else:
        show_devices(found.devices)
        decided = "decided" if found.decided else "not decided"
        say(f"run {found.run} of {found.begun}: {decided}, {found.ended or 'not ended'}; {found.sentence}")
        if found.next_step:
            say(f"next: {found.next_step}")
    raise typer.Exit(0 if found.settled else 3)


@app.command()
def resume(
    context: typer.Context,
    run: RunArgument = None,
    *,
    network: NetworkOption = None,
    via: WayOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a change that was cut off to its end: back where nothing was decided, forward where something was."""
    from cloison.cli.output import progress

    session = open_network(context, network, name, key)
    with progress("resume") as narrate:
        operation = operation_of(session, DEFAULT_GATE).told(narrate)
        found = operation.ledger.find(run)
        result = operation.resume(found, _way(session, via))
    show_result(result, found.plan, as_json=as_json)
