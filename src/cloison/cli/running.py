"""What commands that speak with a network share, and the command that runs a playbook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloison.cli.app import app
from cloison.cli.declared import JsonOption, workspace_of
from cloison.cli.lab import DEFAULT_LAB, NameOption
from cloison.workspace import Network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloison.change.order import Via
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
