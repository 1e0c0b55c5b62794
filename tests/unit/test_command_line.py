"""The installed command as a user meets it: exit codes, one JSON document whatever happens, and never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cloison.transport.base import CommandResult

ROOT = Path(__file__).parents[2]
COMMAND = str(Path(sys.executable).with_name("cloison"))
RUN = "20260101-000000-abcdef"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return a copy of the shipped workspace, of which no twin is up."""
    for folder in ("inventory", "templates", "playbooks", "validators"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def cloison(root: Path, *arguments: str, stdout: int = subprocess.PIPE) -> CommandResult:
    environment = {**os.environ, "CLOISON_ROOT": str(root), "COLUMNS": "200"}
    done = subprocess.run(
        [COMMAND, *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment,
        timeout=60,
    )
    assert b"Traceback" not in done.stderr
    assert b"defect" not in done.stderr
    return CommandResult(done.returncode, done.stdout or b"", done.stderr)


WRONG = [
    (("nonsense",), 2, "No such command"),
    (("--nope",), 2, "No such option"),
    (("rule",), 2, "Missing argument"),
    (("rule", "XX1"), 2, "XX1: no such code"),
    (("render",), 2, "Missing option"),
    (("render", "--out", ""), 2, "expected a folder of its own"),
    (("render", "--out", "/proc/nothing"), 2, "expected a folder that can be written to"),
    (("audit", "--network", "moon"), 2, "moon"),
    (("doctor", "--for", "nothing"), 2, "expected one of lab"),
    (("lab", "status", "--name", "A/b"), 2, "not a name"),
    (("lab", "status", "--name", "nobodys"), 3, "lab nobodys is not up; start it with"),
    (("lab", "fault", "nope", "--name", "nobodys"), 2, "nope: no such fault"),
    (("prove", "--try-witnesses", "--network", "live"), 2, "expected --network lab, never the live network"),
    (("plan", "--name", "nobodys"), 3, "lab nobodys is not up; start it with"),
    (("report",), 3, "no run yet"),
    (("report", "nope"), 2, "no such run"),
    (("report", "../.."), 2, "no such run"),
    (("report", "--junit", "/proc/nothing/x"), 2, "--junit /proc/nothing/x: cannot be written"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), WRONG, ids=[" ".join(wrong[0]) for wrong in WRONG])
def test_what_is_wrong_is_said_with_its_exit_code(
    workspace: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = cloison(workspace, *arguments)
    assert (done.exit_status, done.stdout) == (code, b"")
    assert said in " ".join(done.stderr.decode().split())


@pytest.mark.parametrize(("arguments", "code", "said"), WRONG, ids=[" ".join(wrong[0]) for wrong in WRONG])
def test_what_is_wrong_is_one_json_document(workspace: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = cloison(workspace, *arguments, "--json")
    assert done.exit_status == code
    error = json.loads(done.stdout)["error"]
    assert said in error["message"]
    assert done.stderr == b""


@pytest.mark.parametrize("asked", [("--format", "json"), ("--format=json",)], ids=" ".join)
def test_what_is_wrong_is_json_however_json_is_asked_for(workspace: Path, asked: tuple[str, ...]) -> None:
    done = cloison(workspace, "check", "--nonsense", *asked)
    assert (done.exit_status, done.stderr) == (2, b"")
    assert "message" in json.loads(done.stdout)["error"]


@pytest.mark.parametrize("arguments", [("check",), ("schema",), ("rule", "CL605"), ("lab", "faults")], ids=" ".join)
def test_json_is_one_document(workspace: Path, arguments: tuple[str, ...]) -> None:
    done = cloison(workspace, *arguments, "--json")
    assert done.exit_status == 0
    assert json.loads(done.stdout)


@pytest.mark.parametrize("arguments", [("check",), ("schema",), ("--help",)], ids=" ".join)
def test_a_reader_who_left_is_no_finding(workspace: Path, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = cloison(workspace, *arguments, stdout=writing)
    finally:
        os.close(writing)
    assert (done.exit_status, done.stderr) == (130, b"")


def test_an_audit_cut_short_is_not_passed_over(workspace: Path) -> None:
    (workspace / "runs" / RUN).mkdir(parents=True)
    done = cloison(workspace, "report")
    assert done.exit_status == 3
    assert b"did not come to its end; run `cloison audit` again" in done.stderr


@pytest.mark.parametrize("arguments", [("check",), ("schema",), ("--help",)], ids=" ".join)
def test_a_result_that_cannot_be_written_is_an_error(workspace: Path, arguments: tuple[str, ...]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = cloison(workspace, *arguments, stdout=full)
    finally:
        os.close(full)
    assert done.exit_status == 3
    assert b"No space left on device" in done.stderr
