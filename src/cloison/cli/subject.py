"""What a command of the proof is about: what is rendered from the intent, or what the devices run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cloison.cli.declared import workspace_of
from cloison.cli.running import open_network, via_of

if TYPE_CHECKING:
    from pathlib import Path

    from cloison.intent.network import Intent
    from cloison.prove.configuration import Configurations
    from cloison.workspace import Network

RunningOption = Annotated[
    bool, typer.Option("--running", help="About what the devices run, instead of what is rendered from the intent.")
]


class Subject(NamedTuple):
    """An intent, and the configurations that are held against it."""

    intent: Intent
    configurations: Configurations
    read_from: str | None
    """The network that they were read back from; None for what is rendered."""


def subject_of(
    context: typer.Context,
    network: Network | None,
    name: str,
    key: Path | None,
    *,
    via: str | None,
    read_back: bool,
) -> Subject:
    """Return what a command is about, read back from the devices or rendered.

    Raises the errors of the intent, of rendering, and of every device that could not be read.
    """
    from cloison.cli.configurations import rendered, running
    from cloison.intent.load import load

    if read_back:
        session = open_network(context, network, name, key)
        return Subject(session.intent, running(session, via_of(session, via, None)), session.network.value)
    workspace = workspace_of(context)
    intent = load(workspace, network)
    return Subject(intent, rendered(intent, workspace.templates), None)
