"""The pilot's whole twin, grown once for all the tests of this folder, and spoken to by the command line alone."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.intent.load import load
from cloison.lab.client import LabClient
from cloison.transport.local import LocalRunner
from cloison.workspace import find_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.intent.network import Intent
    from cloison.transport.base import CommandResult

ROOT = Path(__file__).parents[2]
COMMAND = str(Path(sys.executable).with_name("cloison"))
NAME = os.environ.get("CLOISON_LAB", "test")
COMMAND_SECONDS = 600.0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests of the twin out where no twin can be; the folder's neighbour says so."""
    if sys.platform == "linux" and os.geteuid() == 0:
        return
    here = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    if here:
        config.hook.pytest_deselected(items=here)
        items[:] = [item for item in items if item not in here]


@dataclass(frozen=True)
class Pilot:
    """A workspace of the tests' own, a copy of the shipped one, and its twin."""

    root: Path
    intent: Intent

    @property
    def client(self) -> LabClient:
        """Reaches into the twin, as only a test may."""
        return LabClient(self.root, NAME)

    def cloison(self, *arguments: str) -> CommandResult:
        """Run the command line as a person would."""
        command = ["env", f"CLOISON_LAB={NAME}", COMMAND, "--root", str(self.root), *arguments]
        return LocalRunner().run(command, timeout=COMMAND_SECONDS)

    def json(self, *arguments: str, status: int = 0) -> dict[str, object]:
        """Run the command line with --json; it must end with `status`."""
        result = self.cloison(*arguments, "--json")
        assert result.exit_status == status, (result.text[-2000:], result.stderr[-2000:].decode())
        document: dict[str, object] = json.loads(result.stdout)
        return document

    def outcomes(self, *arguments: str, status: int) -> dict[str, str]:
        """Audit the twin; return the outcome of every check."""
        verdicts = self.json("audit", *arguments, status=status)["verdicts"]
        assert isinstance(verdicts, list)
        return {verdict["check"]: verdict["outcome"] for verdict in verdicts}

    def inside(self, node: str, script: str) -> str:
        """Run a script inside a node; return what it wrote."""
        result = self.client.run(node, ["sh", "-ec", script])
        assert result.exit_status == 0, result.stderr
        return result.text


@pytest.fixture(scope="session")
def pilot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pilot]:
    """The twin of a copy of the shipped workspace, in its factory state at first."""
    root = tmp_path_factory.mktemp("pilot")
    for name in ("inventory", "templates", "playbooks", "validators"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    if (ROOT / ".cloison" / "root").exists():
        (root / ".cloison").mkdir()
        (root / ".cloison" / "root").symlink_to(ROOT / ".cloison" / "root")
    made = Pilot(root, load(find_workspace(root)))
    up = made.cloison("lab", "up")
    assert up.exit_status == 0, up.stderr.decode()
    yield made
    made.cloison("lab", "down")


@pytest.fixture(scope="session")
def applied(pilot: Pilot) -> Pilot:
    """The same twin with the declared network on it."""
    result = pilot.cloison("apply", "--yes")
    assert result.exit_status == 0, (result.text[-3000:], result.stderr[-3000:].decode())
    return pilot


@pytest.fixture(scope="session")
def audited(applied: Pilot) -> dict[str, object]:
    """The document of one whole audit of the healthy twin."""
    return applied.json("audit")
