"""Commands that show what the exhaustive judge computes as a whole: matrix, packets."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  Typer reads the annotations at run time
from typing import Annotated

import typer

from cloison.cli.app import app
from cloison.cli.declared import JsonOption  # noqa: TC001  Typer reads it at run time
from cloison.cli.lab import DEFAULT_LAB, NameOption
from cloison.cli.running import KeyOption, NetworkOption, ViaOption  # noqa: TC001  Typer reads it at run time
from cloison.cli.subject import RunningOption, subject_of


@app.command()
def matrix(  # noqa: PLR0913  one argument an option
    context: typer.Context,
    *,
    site: Annotated[str | None, typer.Option(help="Only what this site has to do with.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a page to this file.")] = None,
    read_back: RunningOption = False,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who reaches whom over which services, and how that compares with what is declared."""
    from cloison.cli.matrix_page import matrix_page
    from cloison.cli.output import print_json, require_writable, say
    from cloison.cli.proving_tables import matrix_document, show_matrix
    from cloison.errors import InputError
    from cloison.flow import exit_code
    from cloison.prove.matrix import matrix as computed

    require_writable(html, "--html")
    intent, configurations, read_from = subject_of(context, network, name, key, via=via, read_back=read_back)
    if site is not None and site not in intent.site_by_name:
        msg = f"--site {site}: no such site; expected one of {', '.join(sorted(intent.site_by_name))}"
        raise InputError(msg)
    found = computed(intent, configurations)
    found = found if site is None else found.of_site(site)
    if html is not None:
        html.write_text(matrix_page(found, read_from), encoding="utf-8")
    if as_json:
        print_json(matrix_document(found))
    else:
        show_matrix(found)
        if html is not None:
            say(f"page: {html}")
    raise typer.Exit(exit_code([found.outcome]))


@app.command()
def packets(
    context: typer.Context,
    *,
    read_back: RunningOption = False,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the fewest packets that test every permit rule and what is just outside it; name rules that are dead."""
    from cloison.cli.output import print_json
    from cloison.cli.proving_tables import packets_document, show_packets
    from cloison.flow import exit_code
    from cloison.prove.cover import cover

    intent, configurations, _ = subject_of(context, network, name, key, via=via, read_back=read_back)
    found = cover(intent, configurations)
    if as_json:
        print_json(packets_document(found))
    else:
        show_packets(found)
    raise typer.Exit(exit_code([found.outcome]))
