"""`check` and its neighbours as a user types them: every form, a file, an earlier revision, what is not modelled."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = str(Path(sys.executable).with_name("cloison"))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for folder in ("inventory", "templates"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def cloison(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CLOISON_ROOT": str(root), "COLUMNS": "200"}
    done = subprocess.run(
        [COMMAND, *arguments], check=False, capture_output=True, text=True, env=environment, timeout=60
    )
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr
    return done


def unmodelled(workspace: Path) -> None:
    """Put an expression that is not modelled into the filter of every firewall."""
    template = next(file for file in (workspace / "templates").rglob("*") if file.is_file() and _has_chain(file))
    text = template.read_text(encoding="utf-8")
    template.write_text(
        text.replace("chain business {", "chain business {\n\t\tmeta cpu 0 accept", 1), encoding="utf-8"
    )


def _has_chain(file: Path) -> bool:
    return "chain business {" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["json", "sarif", "junit", "markdown", "terminal"])
def test_every_form_goes_to_a_file(workspace: Path, form: str) -> None:
    out = workspace / "result"
    done = cloison(workspace, "check", "--format", form, "--out", str(out))
    assert (done.returncode, done.stdout) == (0, "")
    text = out.read_text(encoding="utf-8")
    if form in {"json", "sarif"}:
        assert isinstance(json.loads(text), dict)
    elif form == "junit":
        assert ET.fromstring(text).tag == "testsuites"  # noqa: S314  our own output
    else:
        assert "no finding" in text


def test_an_expression_that_is_not_modelled_is_named(workspace: Path) -> None:
    unmodelled(workspace)
    done = cloison(workspace, "check")
    assert done.returncode == 3
    assert "roussy-le-village/firewall filter:" in done.stdout
    assert "not modelled: " in done.stdout


def test_no_reach_changes_since_the_same_revision(workspace: Path) -> None:
    git = ["git", "-C", str(workspace), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True, capture_output=True)
    done = cloison(workspace, "check", "--against", "HEAD", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["difference"]["changes"] == []
    assert cloison(workspace, "check", "--against", "nope").returncode == 2


def test_prove_needs_devices(workspace: Path) -> None:
    done = cloison(workspace, "prove", "--name", "nobodys")
    assert (done.returncode, done.stdout) == (3, "")
    assert "start it with" in done.stderr


def test_explain_as_a_document(workspace: Path) -> None:
    done = cloison(workspace, "explain", "nvr", "cam-context", "rtsps", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["flow"], found["arrives"], found["answered"], found["conforms"]) == (
        (0, "record", True, True, True)
    )
    assert found["there"][0]["device"] == found["sender"] == "roussy-le-village/nvr"
    assert cloison(workspace, "explain", "nvr", "cam-context", "rtsps", "--json").stdout == done.stdout
