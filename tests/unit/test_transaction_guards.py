"""Every guard of a change is needed: without it some history of the simulated site ends badly."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the guards stand in a folder of their own, for a script too

from tests.mutation.transaction_guards import GUARDS, Guard


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.number:02} {guard.name}")
def test_without_a_guard_a_change_ends_badly(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    assert guard.trial() == []
    guard.remove(monkeypatch)
    assert guard.trial() != []


def test_every_way_to_fail_has_a_guard() -> None:
    assert {guard.number for guard in GUARDS} == set(range(1, 18))
