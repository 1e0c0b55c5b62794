"""Commands about what is declared: they read files alone, need no device, no root and no Linux."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloison.cli.app import Place, app
from cloison.cli.findings.form import Format
from cloison.workspace import Network

if TYPE_CHECKING:
    from cloison.intent.network import Intent
    from cloison.prove.configuration import Configurations
    from cloison.prove.difference import Difference
    from cloison.workspace import Workspace

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

FormatOption = Annotated[Format | None, typer.Option("--format", help="The form of the result.")]
OutOption = Annotated[Path | None, typer.Option(help="Write the result to this file.")]
CheckedNetworkOption = Annotated[
    Network | None, typer.Option(help="For which network; the live one needs every host key pinned.")
]


def workspace_of(context: typer.Context) -> Workspace:
    """Return the workspace the command is about."""
    from cloison.workspace import find_workspace

    place: Place = context.obj
    return find_workspace(place.root)


@app.command()
def check(
    context: typer.Context,
    *,
    network: CheckedNetworkOption = None,
    against: Annotated[
        str | None, typer.Option(metavar="REV", help="Show also what changes in reach since a git revision.")
    ] = None,
    form: FormatOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the intent, render it, read that back and compute every packet that could pass: no device is needed."""
    from cloison.cli.configurations import rendered
    from cloison.cli.findings.entries import proof_document
    from cloison.cli.findings.origins import Origins
    from cloison.cli.findings.show import format_of, show
    from cloison.cli.output import require_writable
    from cloison.cli.revision import folder_in_repository, workspace_at
    from cloison.intent.load import load
    from cloison.prove.judge import judge

    chosen = format_of(form, as_json=as_json)
    require_writable(out)
    workspace = workspace_of(context)
    intent = load(workspace, network)
    configurations = rendered(intent, workspace.templates)
    answer = judge(intent, configurations)
    folder = folder_in_repository(workspace)
    with contextlib.ExitStack() as stack:  # the earlier revision's files are there until the result is shown
        documented = functools.partial(
            proof_document, answer, intent, subject="what is rendered from the intent", origins=Origins(workspace)
        )
        if against is None:
            document = documented()
        else:
            earlier = stack.enter_context(workspace_at(workspace, against))
            difference = _difference(earlier, network, against, (intent, configurations))
            document = documented(difference=difference, origins_before=Origins(earlier))
        show(document, chosen, out=out, folder=folder)
    raise typer.Exit(document.exit_code)


def _difference(
    earlier: Workspace, network: Network | None, against: str, after: tuple[Intent, Configurations]
) -> Difference:
    """Return what differs in reach from an earlier workspace."""
    from cloison.cli.configurations import rendered
    from cloison.intent.load import load
    from cloison.prove.compare import compare

    intent = load(earlier, network)
    return compare((intent, rendered(intent, earlier.templates)), after, names=(against, "this workspace"))


@app.command()
def render(
    context: typer.Context,
    *,
    out: Annotated[Path, typer.Option(help="The folder to write <site>/<device>/<section> to.")],
    as_json: JsonOption = False,
) -> None:
    """Write every device's configuration, byte for byte the same each time."""
    from cloison.cli.output import print_json, say
    from cloison.desired import state_of
    from cloison.errors import InputError
    from cloison.intent.load import load
    from cloison.render import render_all

    if out == Path():  # an empty name, as of a variable that is not set
        msg = f"--out {out}: expected a folder of its own, such as `rendered`"
        raise InputError(msg)

    workspace = workspace_of(context)
    intent = load(workspace)
    states = (state_of(intent, device.name) for device in intent.devices)
    written = render_all(states, workspace.templates, out)
    if as_json:
        print_json({"out": str(out), "files": [str(path) for path in written]})
        return
    say(f"{len(written)} sections written below {out}")


@app.command()
def rule(code: Annotated[str, typer.Argument(help="A code such as CL104.")], *, as_json: JsonOption = False) -> None:
    """Explain a code that `cloison check` prints."""
    from cloison.cli.output import print_json, say
    from cloison.errors import InputError
    from cloison.intent.rules import RULES

    found = RULES.get(code.upper())
    if found is None:
        msg = f"{code}: no such code; expected one of {', '.join(sorted(RULES))}"
        raise InputError(msg)
    if as_json:
        print_json({"code": found.code, "title": found.title, "explanation": found.explanation})
        return
    say(f"{found.code}: {found.title}\n\n{found.explanation}")


@app.command()
def schema(
    context: typer.Context,
    *,
    write: Annotated[bool, typer.Option("--write", help="Write them to inventory/.schema/ for editors.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the JSON Schema of every inventory file, or write them where the files' modelines point."""
    from cloison.cli.output import print_json, say
    from cloison.intent.schema import schemas, write_schemas

    if not write:
        print_json(schemas())
        return
    written = write_schemas(workspace_of(context))
    if as_json:
        print_json({"files": [str(path) for path in written]})
        return
    say(f"{len(written)} schemas written")


@app.command()
def doctor(
    *,
    purpose: Annotated[
        str, typer.Option("--for", help="What the machine is wanted for: lab, audit, apply or report.")
    ] = "lab",
    as_json: JsonOption = False,
) -> None:
    """Name what this machine lacks, and the command that repairs it."""
    from cloison.cli.output import print_json, say
    from cloison.doctor import Profile, State, diagnose
    from cloison.errors import InputError
    from cloison.transport.local import LocalRunner

    if purpose not in set(Profile):
        msg = f"--for {purpose}: expected one of {', '.join(Profile)}"
        raise InputError(msg)
    diagnoses = diagnose(Profile(purpose), runner=LocalRunner())
    if as_json:
        print_json([diagnosis.model_dump(mode="json") for diagnosis in diagnoses])
    else:
        for diagnosis in diagnoses:
            style = {State.OK: "green", State.WARN: "yellow", State.FAIL: "red"}[diagnosis.state]
            say(
                f"{diagnosis.state.value:<5} {diagnosis.name}"
                + (f": {diagnosis.missing}" if diagnosis.missing else ""),
                style=style,
            )
            if diagnosis.repair:
                say(f"      repair: {diagnosis.repair}")
            if diagnosis.verbs and diagnosis.state is not State.OK:
                say(f"      without it: {', '.join(diagnosis.verbs)} cannot be used")
    if any(diagnosis.state is State.FAIL for diagnosis in diagnoses):
        raise typer.Exit(1)
