"""The Typer application, and the options that every command shares."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  Typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

import cloison
from cloison.errors import StoppedError

if TYPE_CHECKING:
    from typer._click import Context


class Commands(TyperGroup):
    """The commands; an interruption is an error like any other, not an exit code of Typer's."""

    def invoke(self, ctx: Context) -> object:
        """Run the command; StoppedError when the user interrupts it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            msg = "interrupted"
            raise StoppedError(msg) from error


app = typer.Typer(
    name="cloison",
    help="Put a declared network on real devices, and show that it isolates what it must.",
    no_args_is_help=True,
    cls=Commands,
    pretty_exceptions_enable=False,
    add_completion=True,
    epilog="Exit codes: 0 conforms; 1 findings; 2 the input or the command is wrong; 3 could not be determined.",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the command works."""

    root: Path | None
    """The workspace given with --root; None to look for the nearest one."""


def _version(value: bool) -> None:  # noqa: FBT001  Typer calls it with the flag's value
    if value:
        sys.stdout.write(f"cloison {cloison.__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    root: Annotated[
        Path | None,
        typer.Option(help="The workspace; by default the nearest folder that declares one.", envvar="CLOISON_ROOT"),
    ] = None,
    *,
    version: Annotated[  # noqa: ARG001  acted on by its callback
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Put a declared network on real devices, and show that it isolates what it must."""
    context.obj = Place(root=root)
