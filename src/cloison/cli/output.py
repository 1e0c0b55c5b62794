"""Where results, progress and errors go: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rich.console import Console

    from cloison.errors import CloisonError
    from cloison.model import Untrusted


UNTRUSTED_LIMIT = 4_000_000
_HIDDEN = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
"""Controls, marks of text direction, marks that nobody sees, halves of pairs; JSON itself escapes the first 32."""
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


class Narrator(Protocol):
    """Says what is being done."""

    def __call__(self, step: str) -> None:
        """Show the step under way."""


def console(*, error: bool = False) -> Console:
    """Return a Rich console that interprets nothing in the text it is given."""
    from rich.console import Console

    return Console(stderr=error, highlight=False, markup=False, emoji=False, soft_wrap=True)


def print_json(document: object) -> None:
    """Write one JSON document to standard output, keys sorted; what a terminal would obey or hide is escaped."""
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
    sys.stdout.write(_HIDDEN.sub(lambda found: json.dumps(found[0])[1:-1], text) + "\n")


def say(text: str = "", *, style: str | None = None) -> None:
    """Write a line of result to standard output; whatever is in it, no terminal obeys it."""
    console().print(_plain(text), style=style)


def note(text: str, *, style: str | None = None) -> None:
    """Write a line that is not a result to standard error."""
    console(error=True).print(_plain(text), style=style)


def _plain(text: str) -> str:
    from cloison.model import Untrusted

    return Untrusted(text).shown(UNTRUSTED_LIMIT)


def print_untrusted(text: Untrusted) -> None:
    """Write text that a device had a part in to standard output, its controls escaped; a diff is coloured."""
    from rich.text import Text

    terminal = console()
    for line in text.shown(UNTRUSTED_LIMIT).splitlines():
        terminal.print(Text(line, style=_DIFF_STYLES.get(line[:1], "")))


@contextmanager
def progress(title: str) -> Iterator[Narrator]:
    """Show a spinner with the step under way where a person looks on; plain lines are written elsewhere."""
    terminal = console(error=True)
    quiet = not terminal.is_terminal or os.environ.get("CI") or os.environ.get("TERM") == "dumb"
    if quiet:
        yield lambda step: terminal.print(_plain(f"{title}: {step}"))
        return
    from rich.markup import escape

    with terminal.status(escape(title), spinner="line") as status:
        yield lambda step: status.update(escape(_plain(f"{title}: {step}")))


def require_writable(file: Path | None, option: str = "--out") -> None:
    """Raise InputError, before anything is done, for a file that could not be written once it is."""
    from cloison.errors import InputError

    if file is None:
        return
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        msg = f"{option} {file}: cannot be written; expected a file in a folder that is there"
        raise InputError(msg)


def print_error(error: CloisonError, *, as_json: bool) -> None:
    """Show an error: one line a problem on standard error, or one JSON document on standard output."""
    from cloison.errors import IntentError
    from cloison.model import Untrusted

    if as_json:
        document: Mapping[str, object] = {"error": {"kind": type(error).__name__, "message": str(error)}}
        if isinstance(error, IntentError):
            problems = [
                {
                    "file": str(problem.file),
                    "line": problem.line,
                    "column": problem.column,
                    "code": problem.code,
                    "message": problem.message,
                    "expected": problem.expected,
                    "hint": problem.hint,
                }
                for problem in error.problems
            ]
            document = {"error": {"kind": "IntentError", "problems": problems}}
        print_json(document)
        return
    if isinstance(error, IntentError):
        for problem in error.problems:
            sys.stderr.write(f"{problem}\n")
        count = len(error.problems)
        sys.stderr.write(f"{count} problem{'s' if count > 1 else ''}. `cloison rule CODE` explains a code.\n")
        return
    sys.stderr.write(f"cloison: {Untrusted(str(error)).shown(20_000)}\n")
