"""The command-line options of the plugin, and what they say."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from cloison.workspace import Network

if TYPE_CHECKING:
    import pytest

DEFAULT_LAB = "pilot"


def add_options(parser: pytest.Parser) -> None:
    """Add the options, none of which does anything before `--network` is given."""
    group = parser.getgroup("cloison", "judging a network")
    group.addoption("--network", choices=[network.value for network in Network], help="which network to judge")
    group.addoption("--cloison-root", metavar="DIR", help="root of the workspace (default: pytest's own)")
    group.addoption("--lab-name", metavar="NAME", default=DEFAULT_LAB, help="which twin (default: %(default)s)")
    group.addoption("--key", metavar="FILE", help="private SSH key to come with (default: the twin's auditor's)")
    group.addoption(
        "--only",
        metavar="PATTERN",
        action="append",
        default=[],
        help="checks to run: a family, an id or a pattern of ids",
    )
    group.addoption("--results", metavar="FILE", help="append JSON lines to this file; fd:N is an open descriptor")
    group.addoption("--captures", metavar="DIR", help="write header-only captures into this folder")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the options say."""

    network: Network
    root: Path
    lab_name: str
    results: str | None
    key: Path | None
    captures: Path | None
    only: tuple[str, ...] = ()
    """Patterns (fnmatch) of the checks to run, or of their first parts; all of them when empty."""

    @classmethod
    def of(cls, config: pytest.Config) -> Self:
        """Return what the command line of this session says."""
        root, captures = config.getoption("--cloison-root"), config.getoption("--captures")
        key = config.getoption("--key")
        return cls(
            network=Network(config.getoption("--network")),
            root=Path(root) if root else config.rootpath,
            lab_name=str(config.getoption("--lab-name")),
            results=config.getoption("--results"),
            key=Path(key) if key else None,
            captures=Path(captures) if captures else None,
            only=tuple(config.getoption("--only")),
        )

    def chosen(self, check: str) -> bool:
        """Tell whether a check is among those to run."""
        return not self.only or any(fnmatchcase(check, p) or fnmatchcase(check, f"{p}/*") for p in self.only)

    def open_results(self) -> BinaryIO | None:
        """Return where the lines go, unbuffered, or None when nobody asked for them; OSError when it cannot be."""
        if self.results is None:
            return None
        if self.results.startswith("fd:"):
            return os.fdopen(int(self.results.removeprefix("fd:")), "wb", buffering=0)
        return Path(self.results).open("ab", buffering=0)
