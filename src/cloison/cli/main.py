"""Runs the command line: the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from itertools import pairwise
from pathlib import Path

import typer

from cloison.cli import (  # noqa: F401  each adds its commands
    certificates,
    changing,
    declared,
    drift,
    judging,
    lab,
    planning,
    proof,
    proving,
    running,
    trust,
    wave,
)
from cloison.cli.app import app
from cloison.errors import CloisonError, InputError, OutputError, StoppedError


class _DefectError(CloisonError):
    """A defect of Cloison itself."""


def main() -> None:
    """Run the command line; every error becomes a message and an exit code, never a traceback."""
    from cloison.cli.output import print_error

    as_json = _asks_for_json(sys.argv[1:])
    try:
        sys.exit(_run(as_json=as_json))
    except CloisonError as error:
        try:
            if not isinstance(error.__cause__, BrokenPipeError):
                print_error(error, as_json=as_json)
            sys.stdout.flush()
        except OSError:  # there is nobody to tell
            _discard_output()
        sys.exit(error.exit_code)


def _asks_for_json(arguments: list[str]) -> bool:
    """Return whether the result is to be JSON, and so what is wrong too."""
    return not {"--json", "--format=json"}.isdisjoint(arguments) or ("--format", "json") in pairwise(arguments)


def _run(*, as_json: bool) -> int:
    """Run the command and return its exit code; every error is a CloisonError."""
    try:
        # Typer draws a box around what is wrong with the command; in JSON mode that is a document like any other.
        code = _flushed(app(standalone_mode=not as_json))
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # for which Typer and Rich have 1, which is a finding here
            raise _of_the_system(end.__context__) from end.__context__
        return _flushed(end.code)
    except typer.TyperException as error:
        raise InputError(error.format_message()) from error
    except (KeyboardInterrupt, typer.Abort) as error:
        msg = "interrupted"
        raise StoppedError(msg) from error
    except CloisonError:
        raise
    except OSError as error:
        raise _of_the_system(error) from error
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        msg = (
            f"defect in cloison itself: {type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {error}\n"
            "please report it with the command you typed"
        )
        raise _DefectError(msg) from error
    return code


def _flushed(code: object) -> int:
    """Return the exit code once the result is written; what cannot be written now would be lost without a word."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _of_the_system(error) from error
    return code if isinstance(code, int) else 0


def _of_the_system(error: OSError) -> CloisonError:
    """Return what an error of the operating system that nobody foresaw means to the user."""
    if isinstance(error, BrokenPipeError):
        return StoppedError("nobody reads the output any more")
    place = error.filename if error.filename is not None else "standard output"
    return OutputError(f"{place}: {error.strerror or error}; expected a place that can be read and written")


def _discard_output() -> None:
    """Let nothing fail again when Python writes out what is left at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
