"""The journal of a change: what is on the disk after each event, what a cut-off line means, what names a run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from cloison.change.journal import Event, begin, find, runs
from cloison.change.order import Via
from cloison.change.plan import Plan
from cloison.errors import InputError, RefusedError
from cloison.model import EquipmentName

if TYPE_CHECKING:
    from pathlib import Path

FIREWALL = EquipmentName("roussy-le-village/firewall")
PLAN = Plan(network="lab", via=Via.LOCAL, intent="0" * 64, devices=(), stages=())


def keep_nothing(folder: Path) -> None:
    assert folder.is_dir()


def test_a_run_keeps_its_plan_and_its_events_in_order(tmp_path: Path) -> None:
    run = begin(PLAN, tmp_path, keep_nothing)
    run.write(Event.ARMING, FIREWALL, "step 1")
    run.write(Event.DECIDED)
    assert run.plan == PLAN
    assert [(one.event, one.device, one.detail) for one in run.entries()] == [
        (Event.BEGUN, None, PLAN.sha256),
        (Event.ARMING, FIREWALL, "step 1"),
        (Event.DECIDED, None, ""),
    ]
    assert {file.stat().st_mode & 0o077 for file in run.folder.iterdir()} == {0}


def test_a_line_that_was_cut_off_was_not_written(tmp_path: Path) -> None:
    run = begin(PLAN, tmp_path, keep_nothing)
    run.write(Event.DECIDED)
    file = run.folder / "journal.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    assert [one.event for one in run.entries()] == [Event.BEGUN]


@pytest.mark.parametrize("line", ["{}", "[]", '{"event": "decided"}', "\x00", '{"at":"","event":"won","device":null}'])
def test_a_journal_of_somebody_else_is_refused(tmp_path: Path, line: str) -> None:
    run = begin(PLAN, tmp_path, keep_nothing)
    with (run.folder / "journal.jsonl").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(InputError, match="not a journal of a change"):
        run.entries()


def test_a_journal_that_cannot_be_written_refuses_the_change(tmp_path: Path) -> None:
    (tmp_path / "changes").write_text("a file in the way")
    with pytest.raises(RefusedError, match="a change is not made without its journal"):
        begin(PLAN, tmp_path / "changes", keep_nothing)
    run = begin(PLAN, tmp_path / "runs", keep_nothing)
    (run.folder / "journal.jsonl").unlink()
    (run.folder / "journal.jsonl").symlink_to(tmp_path / "changes")
    with pytest.raises(RefusedError, match="a change is not made without its journal"):
        run.write(Event.DECIDED)


def test_runs_are_found_by_the_beginning_of_their_names(tmp_path: Path) -> None:
    first = begin(PLAN, tmp_path, keep_nothing, datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC))
    last = begin(PLAN, tmp_path, keep_nothing, datetime(2026, 11, 24, 13, 0, 0, tzinfo=UTC))
    (tmp_path / "notes").mkdir()
    assert runs(tmp_path) == (first, last)
    assert find(tmp_path, None) == last
    assert find(tmp_path, "20261124t12") == first
    for name in ("20261124", "2027"):
        with pytest.raises(InputError, match=f"no run {name}; expected one of {first.name}, {last.name}"):
            find(tmp_path, name)
    with pytest.raises(InputError, match="expected one of none yet"):
        find(tmp_path / "elsewhere", None)


def test_a_token_is_of_its_run_its_plan_and_its_attempt(tmp_path: Path) -> None:
    run = begin(PLAN, tmp_path, keep_nothing)
    tokens = [run.token(PLAN, attempt) for attempt in (1, 2)]
    assert tokens == [f"{run.name}-{PLAN.sha256[:12]}", f"{run.name}-{PLAN.sha256[:12]}-2"]
    assert all(len(token) <= 63 and set(token) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for token in tokens)


def test_a_plan_that_was_altered_in_its_run_is_no_plan(tmp_path: Path) -> None:
    run = begin(PLAN, tmp_path, keep_nothing)
    (run.folder / "plan.json").write_text(json.dumps({"version": 1}))
    with pytest.raises(InputError, match="not a plan of this version"):
        _ = run.plan
