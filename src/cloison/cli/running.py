"""Commands that speak with a network: plan, apply, play."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloison.cli.app import app
from cloison.cli.declared import JsonOption, workspace_of
from cloison.cli.lab import DEFAULT_LAB, NameOption
from cloison.workspace import Network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloison.change.apply import Applied
    from cloison.change.order import Via
    from cloison.change.plan import Plan
    from cloison.fleet.record import Record
    from cloison.session import Session

NetworkOption = Annotated[
    Network | None, typer.Option(help="Which network; by default the one that the workspace names.")
]
ViaOption = Annotated[
    str | None,
    typer.Option(
        help="How devices are reached: `tunnel` (from the administration station) or `local` (each site's local "
        "management port). By default the tunnel, and the local ports while a site was not yet applied."
    ),
]
SiteOption = Annotated[list[str] | None, typer.Option("--site", help="A site; may be repeated. By default all.")]
KeyOption = Annotated[Path | None, typer.Option(help="The private SSH key to log in with.", envvar="CLOISON_KEY")]


def open_network(
    context: typer.Context, network: Network | None, name: str, key: Path | None, role: str = "engineer"
) -> Session:
    """Return the session of the command."""
    from cloison.session import open_session

    workspace = workspace_of(context)
    return open_session(workspace, network or workspace.network, name, key=key, role=role)


def via_of(session: Session, via: str | None, sites: Sequence[str] | None) -> Via:
    """Return how devices are reached; InputError for another word."""
    from cloison.change.order import Via
    from cloison.errors import InputError

    if via is None:
        return session.default_via(sites)
    if via not in set(Via):
        msg = f"--via {via}: expected one of {', '.join(Via)}"
        raise InputError(msg)
    return Via(via)


def _make_plan(session: Session, via: Via, sites: Sequence[str] | None) -> Plan:
    from cloison.change.plan import make
    from cloison.cli.output import progress

    devices = session.devices_of(sites)
    with progress("plan") as narrate:
        narrate(f"reading {len(devices)} devices, via {via}")
        return make(
            session.intent,
            session.workspace.templates,
            session.reach(via),
            network=session.network.value,
            via=via,
            devices=devices,
        )


@app.command()
def plan(
    context: typer.Context,
    *,
    site: SiteOption = None,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what would change on the devices, and save it as a plan. Nothing is changed."""
    from cloison.change.describe import describe
    from cloison.change.plan import save
    from cloison.cli.output import print_json, print_untrusted

    session = open_network(context, network, name, key)
    made = _make_plan(session, via_of(session, via, site), site)
    file = save(made, session.workspace.plans)
    if not as_json:
        print_untrusted(describe(made))
        return
    print_json({"file": str(file), **_plan_document(made)})


def _plan_document(made: Plan) -> dict[str, object]:
    from cloison.change.describe import next_command, tally

    flows = [
        {
            "flow": change.flow,
            "device": change.device,
            "change": "opened" if change.opens else "closed",
            "rule": change.rule,
        }
        for change in made.rules
    ]
    devices = [
        {"device": device.device, "sections": {n.value: device.diff(n) for n in device.changed}}
        for device in made.changed
    ]
    return {
        "plan": made.sha256,
        "network": made.network,
        "via": made.via.value,
        "changes": sum(len(device.changed) for device in made.changed),
        "tally": tally(made),
        "next": next_command(made),
        "flows": flows,
        "devices": devices,
    }


@app.command()
def apply(  # noqa: PLR0913  one argument an option
    context: typer.Context,
    *,
    plan_id: Annotated[
        str | None, typer.Option("--plan", help="A saved plan, by the digits that `cloison plan` printed.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before changing devices.")] = False,
    site: SiteOption = None,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put the declared network on the devices, and believe only what a fresh connection reads back."""
    from cloison.change.describe import describe
    from cloison.cli.output import print_untrusted

    session = open_network(context, network, name, key)
    if plan_id is None:
        made = _make_plan(session, via_of(session, via, site), site)
    else:
        made = _saved_plan(session, plan_id, via)
    if made.changed and not as_json:
        print_untrusted(describe(made))
    if made.changed and not yes:
        _ask(made)
    _report(session, made, _apply(session, made), as_json=as_json)


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


def _saved_plan(session: Session, plan_id: str, via: str | None) -> Plan:
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


def _apply(session: Session, made: Plan) -> tuple[Applied, ...]:
    from cloison.change.apply import Effects
    from cloison.change.apply import apply as put
    from cloison.cli.output import progress

    with progress("apply") as narrate:
        effects = Effects(
            opener=session.reach(made.via),
            journal=lambda device, event, detail: narrate(f"{device or 'all'}: {event} {detail}"),
            monotonic=time.monotonic,
            sleep=time.sleep,
        )
        return put(made, session.intent, session.workspace.templates, effects)


def _report(session: Session, made: Plan, outcomes: tuple[Applied, ...], *, as_json: bool) -> None:
    from cloison.change.apply import raise_failures
    from cloison.cli.output import print_json, say

    raise_failures(outcomes)
    session.confirm({outcome.device.site for outcome in outcomes})
    if as_json:
        loaded = {str(outcome.device): [n.value for n in outcome.loaded] for outcome in outcomes if outcome.loaded}
        print_json({"plan": made.sha256, "via": made.via.value, "changed": bool(loaded), "loaded": loaded})
        return
    if not made.changed:
        say(f"no change: {len(outcomes)} devices run what is declared")
        return
    for outcome in outcomes:
        if outcome.loaded:
            say(f"{outcome.device}: {', '.join(outcome.loaded)} loaded, and read back over a fresh connection")
    say(f"{len(made.changed)} devices changed; all {len(outcomes)} run what is declared. Next: cloison audit")


@app.command()
def play(  # noqa: PLR0913  one argument an option
    context: typer.Context,
    playbook: Annotated[str, typer.Argument(help="A playbook of the workspace, such as core_switch.")],
    *,
    site: SiteOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the differences and change nothing.")] = False,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run one playbook over the devices of some sites."""
    from cloison.cli.output import print_json, progress
    from cloison.fleet.play import run

    session = open_network(context, network, name, key)
    way = via_of(session, via, site)
    with progress(f"play {playbook}") as narrate:
        played = run(
            session.workspace,
            session.reach(way),
            playbook,
            sites=site,
            dry_run=dry_run,
            progress=lambda record: narrate(f"{record.device}: {record.task}"),
        )
    if as_json:
        print_json(played.model_dump(mode="json"))
    else:
        _show_play(played.records, changed=played.changed)
    if played.failed:
        raise typer.Exit(3)
    if played.differs and not played.changed and not dry_run:
        raise typer.Exit(1)


def _show_play(records: tuple[Record, ...], *, changed: bool) -> None:
    from cloison.cli.output import print_untrusted, say
    from cloison.model import Untrusted

    for record in records:
        word = "failed" if record.failed else "changed" if record.changed else "unchanged"
        print_untrusted(Untrusted(f"{record.device:<34} {record.task:<12} {word:<10} {record.summary}"))
        for line in record.emulated:
            print_untrusted(Untrusted(f"{'':34} emulated: {line}"))
        if record.diff:
            print_untrusted(Untrusted(record.diff))
    devices = {record.device for record in records}
    say(f"{len(devices)} devices: " + ("changed" if changed else "no change"))
