"""Every fault of the catalogue, once: the checks that it names turn red, and green again when it is undone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.intent.load import load
from cloison.lab.fault import complaints
from cloison.lab.faults.catalogue import catalogue
from cloison.workspace import find_workspace

if TYPE_CHECKING:
    from tests.pilot.conftest import Pilot

    from cloison.lab.fault import Fault

pytestmark = pytest.mark.lab
FAULTS = catalogue(load(find_workspace(Path(__file__).parents[2])))
LAYERS = 8
AT_LEAST = 14


def test_the_catalogue_is_spread_over_every_layer() -> None:
    assert len({fault.layer for fault in FAULTS}) == LAYERS
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= AT_LEAST


@pytest.mark.parametrize("fault", FAULTS, ids=[str(fault.name) for fault in FAULTS])
def test_fault_turns_the_checks_it_names_red_and_healing_turns_them_green(applied: Pilot, fault: Fault) -> None:
    named = [argument for check in fault.must for argument in ("--only", check)]
    injected = applied.cloison("lab", "fault", fault.name)
    try:
        assert injected.exit_status == 0, injected.stderr.decode()
        outcomes = applied.outcomes(*named, status=1)
        red = {check for check, outcome in outcomes.items() if outcome != "PASS"}
        assert complaints(fault, red) == ()
    finally:
        healed = applied.cloison("lab", "heal", fault.name)
    assert healed.exit_status == 0, healed.stderr.decode()
    assert set(applied.outcomes(*named, status=0)) == set(fault.must)
