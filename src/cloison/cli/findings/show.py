"""Where the document of a proof goes: standard output or a file, in the format that was asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cloison.cli.findings.form import Format
from cloison.cli.findings.junit import junit
from cloison.cli.findings.markdown import markdown
from cloison.cli.findings.sarif import TOP, sarif
from cloison.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path, PurePosixPath

    from cloison.cli.findings.document import ProofDocument

_FILE_WIDTH = 160


def format_of(given: Format | None, *, as_json: bool) -> Format:
    """Return the format that two options ask for; InputError when they ask for different ones."""
    if as_json and given not in {None, Format.JSON}:
        msg = f"--json and --format {given}: expected one of them"
        raise InputError(msg)
    return Format.JSON if as_json else given or Format.TERMINAL


def show(document: ProofDocument, form: Format, *, out: Path | None = None, folder: PurePosixPath = TOP) -> None:
    """Write the document to standard output, or to the file `out`; OSError when it cannot be written.

    `folder` is the workspace's own in its repository, which SARIF names files from.
    """
    if form is Format.TERMINAL:
        _show_on_terminal(document, out)
        return
    content = _content(document, form, folder)
    if out is None:
        sys.stdout.write(content.decode())
    else:
        out.write_bytes(content)


def _content(document: ProofDocument, form: Format, folder: PurePosixPath) -> bytes:
    if form is Format.SARIF:
        return sarif(document, folder)
    if form is Format.JUNIT:
        return junit(document)
    return markdown(document) if form is Format.MARKDOWN else document.to_json()


def _show_on_terminal(document: ProofDocument, out: Path | None) -> None:
    from rich.console import Console

    from cloison.cli.findings.terminal import sheet
    from cloison.cli.output import console

    if out is None:
        console().print(sheet(document))
        return
    with out.open("w", encoding="utf-8") as file:
        Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=True, width=_FILE_WIDTH).print(
            sheet(document)
        )
