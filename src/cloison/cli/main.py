"""Runs the command line: the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from cloison.cli import declared, judging, lab, running  # noqa: F401  each adds its commands to the application
from cloison.cli.app import app
from cloison.errors import CloisonError

INTERRUPTED = 130
INTERNAL_ERROR = 3


def main() -> None:
    """Run the command line; every error becomes a message and an exit code, never a traceback."""
    from cloison.cli.output import print_error

    as_json = "--json" in sys.argv[1:]
    try:
        app()
    except CloisonError as error:
        print_error(error, as_json=as_json)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("cloison: interrupted\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001  the last guard: a defect of ours is still a message and a code
        where = traceback.extract_tb(error.__traceback__)[-1]
        sys.stderr.write(
            f"cloison: defect in cloison itself: {type(error).__name__} at {Path(where.filename).name}:{where.lineno}: "
            f"{error}\nplease report it with the command you typed\n"
        )
        sys.exit(INTERNAL_ERROR)
