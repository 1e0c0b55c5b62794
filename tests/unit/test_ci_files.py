"""The files for continuous integration are what the forges expect, and every command in them does what it should."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / "docs" / "ci" / "github-workflow.yml"
GITLAB = ROOT / "docs" / "ci" / "gitlab-job.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
FILES = (GITHUB, GITLAB, HOOKS)
MARKS = {GITHUB: "workflow-syntax-for-github-actions", GITLAB: "https://gitlab.com/.gitlab-ci.yml"}


def read(path: Path) -> object:
    return yaml.safe_load(path.read_text(encoding="utf-8").replace("\non:\n", '\n"on":\n'))


def texts(value: object) -> Iterator[str]:
    """Yield every string of a document."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def commands(path: Path) -> list[str]:
    """Return every line of a file that runs cloison."""
    lines = dict.fromkeys(line.strip() for text in texts(read(path)) for line in text.splitlines())
    return [line for line in lines if re.match(r"cloison\s+\w+ *(-|$)", line)]


@pytest.mark.parametrize("path", [GITHUB, GITLAB], ids=lambda path: path.name)
def test_the_file_fits_the_schema_of_its_forge(
    path: Path, published_schema: Callable[[str], dict[str, object]]
) -> None:
    validator = jsonschema.Draft7Validator(published_schema(MARKS[path]))
    document = read(path)
    if path is GITHUB:  # the published list of runners is older than the runner
        assert isinstance(document, dict)
        document["jobs"]["check"]["runs-on"] = "ubuntu-latest"
    assert [error.message for error in validator.iter_errors(document)] == []
    assert not validator.is_valid({"jobs": 1, "cloison": 1})


def test_the_hook_has_what_pre_commit_needs() -> None:
    (hook,) = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))
    assert {"id", "name", "entry", "language"} <= hook.keys()
    assert hook["id"] == "cloison-check"
    assert re.match(hook["files"], "inventory/sites/roussy-le-village.yaml")
    assert not re.match(hook["files"], "docs/inventory.md")


def test_every_action_is_pinned_and_says_its_version() -> None:
    uses = re.findall(r"^\s*-?\s*uses:\s*(.+)$", GITHUB.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(uses) == 3
    for action in uses:
        assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


def test_nothing_names_a_host_or_has_more_rights_than_it_says() -> None:
    for path in FILES:
        assert "://" not in path.read_text(encoding="utf-8")
    workflow = read(GITHUB)
    assert isinstance(workflow, dict)
    assert workflow["permissions"] == {}


def test_no_expression_of_a_stranger_is_pasted_into_a_command() -> None:
    workflow = read(GITHUB)
    assert isinstance(workflow, dict)
    for step in workflow["jobs"]["check"]["steps"]:
        assert "${{" not in step.get("run", "")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace in a repository of two commits, the second of which changes a comment."""
    root = tmp_path_factory.mktemp("workspace")
    for folder in ("inventory", "templates"):
        shutil.copytree(ROOT / folder, root / folder)
    (root / "pyproject.toml").write_text("[tool.cloison]\n")
    policy = root / "inventory" / "policy.yaml"
    run(root, "git init --quiet && git add --all && git commit --quiet --message first")
    policy.write_text(policy.read_text(encoding="utf-8") + "# nothing more\n", encoding="utf-8")
    run(root, "git commit --quiet --all --message second")
    return root


def run(folder: Path, line: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "CLOISON_"))}
    who = {f"GIT_{role}_{part}": "a@b" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment = kept | who | path | {"GIT_CONFIG_GLOBAL": "/dev/null", "BASE": "HEAD~1"}
    shell = ["bash", "-eo", "pipefail", "-c", line]
    done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, b""), line


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_very_commands_of_the_file_run(path: Path, repository: Path) -> None:
    lines = commands(path)
    assert len(lines) == {GITHUB: 3, GITLAB: 3, HOOKS: 1}[path]
    for line in lines:
        run(repository, line.partition(" || true")[0])
        out = re.search(r"--out (\S+)", line)
        assert out is None or (repository / out[1]).stat().st_size > 0
    if path is GITLAB:
        cases = list(ET.parse(repository / "cloison.xml").iter("testcase"))  # noqa: S314  what we wrote ourselves
        assert len(cases) > 10
        assert "the same packets get through" in (repository / "cloison.md").read_text(encoding="utf-8")
