"""The command line: parse, call, print, exit code. The only room that prints."""

from __future__ import annotations

from cloison.cli.main import main

__all__ = ["main"]
