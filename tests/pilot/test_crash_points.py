"""Some of the trials of `make crash`, on the twin that the other tests use: killed before and after the decision."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from tests.crash.ground import BASE, CHANGES, Ground
from tests.crash.trial import KILL, Found, Trial, Trying
from tests.pilot.conftest import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.pilot.conftest import Pilot

pytestmark = pytest.mark.lab
CORE, FIREWALL = "roussy-le-village/core-switch", "roussy-le-village/firewall"


@pytest.fixture(scope="module")
def trying(applied: Pilot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trying]:
    """Two intents around the twin that is up."""
    folder: Path = tmp_path_factory.mktemp("crash")
    (folder / "state").symlink_to(applied.root / ".cloison")
    for intent in (BASE, "vlan"):
        shutil.copytree(applied.root, folder / intent, ignore=shutil.ignore_patterns(".cloison", "runs"))
        (folder / intent / ".cloison").symlink_to(folder / "state")
    CHANGES["vlan"](folder / "vlan")
    ground = Ground(NAME, folder)
    trying = Trying(ground, folder / "record.jsonl")
    trying.learn("vlan")
    yield trying
    if trying.intent != BASE:
        trying.run(Trial("vlan", ""))
    ground.forked.close()


def test_killed_before_the_decision_is_old_and_after_it_new_everywhere(trying: Trying) -> None:
    killed = trying.run(Trial("vlan", KILL, point=f"armed@{CORE}", deadline=30, soon=True))
    assert killed.reached
    assert not killed.decided
    assert killed.wrong == []
    assert set(killed.end.values()) == {Found.OLD}

    killed = trying.run(Trial("vlan", KILL, point=f"confirmed@{FIREWALL}", deadline=60, soon=True))
    assert killed.reached
    assert killed.decided
    assert killed.wrong == []
    assert set(killed.end.values()) == {Found.NEW}
    assert killed.resumed == 0
