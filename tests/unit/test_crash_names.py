"""No crash point is without a call, and none without a trial in the last run of `make crash`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.crash.catalogue import everything
from tests.crash.injuries import INJURIES
from tests.crash.trial import KILL, STOP

from cloison.change.crash import CrashPoint

ROOT = Path(__file__).parents[2]
DEVICES = ["here/core-switch", "here/firewall"]
ON_A_DEVICE = sorted(set(CrashPoint) - {"begun", "checked", "watched", "gating", "gated", "decided", "finished"})


def called() -> set[str]:
    texts = [file.read_text(encoding="utf-8") for file in (ROOT / "src" / "cloison" / "change").glob("*.py")]
    return {name for text in texts for name in re.findall(r"\(CrashPoint\.([A-Z]+)", text)}


def test_every_name_is_called() -> None:
    assert called() == {point.name for point in CrashPoint}


def test_every_name_is_in_the_page() -> None:
    page = (ROOT / "docs" / "crash.md").read_text(encoding="utf-8")
    table = page[page.index("## By the step") :].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| ([a-z-]+) \| (\d+) \|", table, flags=re.MULTILINE))
    assert set(CrashPoint) <= set(rows)
    assert all(int(rows[point]) > 0 for point in CrashPoint)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_point_that_is_passed_is_tried_on_every_device_and_every_injury_too(seed: int) -> None:
    passed = sorted({*set(CrashPoint) - set(ON_A_DEVICE), *(f"{p}@{d}" for p in ON_A_DEVICE for d in DEVICES)})
    trials = everything({"vlan": (passed, DEVICES, 10.0)}, seed)
    assert {trial.point for trial in trials if trial.fault == KILL and trial.point} == set(passed)
    assert {trial.also.partition("@")[0] for trial in trials if trial.also} == {"reverting", "reverted"}
    hurt = {(trial.fault, trial.device) for trial in trials if trial.device}
    assert hurt >= {(injury, device) for injury in INJURIES for device in DEVICES}
    assert any(trial.fault == STOP for trial in trials)
    assert len({str(trial) for trial in trials if trial.after}) > 1
    assert trials == everything({"vlan": (passed, DEVICES, 10.0)}, seed)
