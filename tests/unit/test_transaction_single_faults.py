"""Every single fault at every call of a change, on every device: each device ends old or new, the site wholly so.

The change is played over a simulated site (tests/simulation), undisturbed first: that tells every call that can be
hit. 1,074 histories when this was written, those that have to be taken up both at once and late. A history that
ends badly is printed as a line, which `History.parse` reads: paste it into `test_history_of_the_past`.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the simulation stands in a folder of its own, for a script too

from tests.simulation.histories import KILLS, History, faults_at, undisturbed
from tests.simulation.scene import STAGES

from cloison.device.memory_world import FaultKind, Operation


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind not in KILLS])
def test_every_fault_of_a_kind_ends_old_or_new(kind: FaultKind) -> None:
    histories = [History((fault,)) for fault in faults_at(undisturbed().calls, kind)]
    assert histories
    assert [line for history in histories for line in history.play_both()] == []


def test_every_device_meets_every_operation_of_a_change() -> None:
    met = {(call.device, call.operation) for call in undisturbed().calls}
    always = {Operation.OPEN, Operation.READ, Operation.STATE, Operation.LEASE, Operation.ARM, Operation.CONFIRM}
    assert {(name, operation) for (name,) in STAGES for operation in always} <= met
    assert {operation for _, operation in met} >= always | {Operation.STEP, Operation.BRING_UP, Operation.TRACKED}


@pytest.mark.parametrize(
    "line",
    [
        "site/firewall confirm 1 pause 130; late",  # the far end of the tunnel went back, and was out of reach
    ],
)
def test_history_of_the_past(line: str) -> None:
    assert str(History.parse(line)) == line
    assert History.parse(line).play() == []
