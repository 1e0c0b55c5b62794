"""A crash point kills or stops the process where the environment says so, and nowhere else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cloison.change.crash import CrashPoint

SOURCE = Path(__file__).parents[2] / "src"
PROGRAM = """
import sys
from cloison.change.crash import CrashPoint, crash_point
from cloison.errors import InputError
try:
    for device in ("here/left", "here/right", "here/left"):
        print(device, flush=True)
        crash_point(CrashPoint.ARMED, device)
    crash_point(CrashPoint.DECIDED)
except InputError as error:
    print(error)
print("end")
"""


def start(**environment: str) -> subprocess.Popen[str]:
    known = {"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"]}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=known | environment, stdout=subprocess.PIPE, encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        ("armed", ["here/left"]),
        ("armed:2", ["here/left", "here/right"]),
        ("armed@here/right", ["here/left", "here/right"]),
        ("armed@here/left:2", ["here/left", "here/right", "here/left"]),
        ("decided", ["here/left", "here/right", "here/left"]),
    ],
)
def test_process_is_killed_at_the_point_and_no_earlier(wanted: str, lines: list[str]) -> None:
    child = start(CLOISON_CRASH_AT=wanted)
    said, _ = child.communicate(timeout=30)
    assert child.returncode == -signal.SIGKILL
    assert said.splitlines() == lines


@pytest.mark.parametrize("wanted", ["armed:4", "armed@here/middle", "confirmed", ""])
def test_a_point_that_is_not_reached_does_nothing(wanted: str) -> None:
    child = start(CLOISON_CRASH_AT=wanted, CLOISON_PAUSE_AT=wanted)
    said, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    assert said.endswith("end\n")


def test_process_stands_still_at_the_point_until_it_is_let_go() -> None:
    child = start(CLOISON_PAUSE_AT="armed:2")
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert child.stdout is not None
    assert [child.stdout.readline() for _ in range(2)] == ["here/left\n", "here/right\n"]
    child.send_signal(signal.SIGCONT)
    said, _ = child.communicate(timeout=30)
    assert said.splitlines() == ["here/left", "end"]


def test_the_points_that_are_passed_are_listed(tmp_path: Path) -> None:
    child = start(CLOISON_CRASH_LIST=str(tmp_path / "list"), CLOISON_CRASH_AT="armed:3")
    child.communicate(timeout=30)
    passed = (tmp_path / "list").read_text(encoding="utf-8").splitlines()
    assert passed == ["armed@here/left", "armed@here/right", "armed@here/left"]


@pytest.mark.parametrize("wanted", ["nowhere", "armed:0", "armed@", "armed:x", "ARMED"])
def test_what_is_no_point_is_said_with_those_there_are(wanted: str) -> None:
    child = start(CLOISON_CRASH_AT=wanted)
    said, _ = child.communicate(timeout=30)
    assert f"CLOISON_CRASH_AT={wanted}: expected" in said
    assert all(point in said for point in CrashPoint)
