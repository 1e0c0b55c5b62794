"""Pairs of faults, and faults in the recovery from a fault: drawn at random, and the same ones in every run.

CLOISON_HISTORIES says how many (400 by default; 7,500 were played when this was written). What fails is printed as
`History.parse("…")`: paste its line into `test_history_of_the_past`.
"""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2]))  # the simulation stands in a folder of its own, for a script too

from tests.simulation.histories import KILLS, History, faults_at, undisturbed

from cloison.device.memory_world import Fault, FaultKind

HISTORIES = int(os.environ.get("CLOISON_HISTORIES", "400"))


def every_fault(*, kills: bool) -> list[Fault]:
    calls = undisturbed().calls
    return [fault for kind in FaultKind if kills or kind not in KILLS for fault in faults_at(calls, kind)]


def history() -> st.SearchStrategy[History]:
    """Return two faults, or one in the change and one in the recovery; or a death of the coordinator and one fault."""
    anywhere, not_fatal = st.sampled_from(every_fault(kills=True)), st.sampled_from(every_fault(kills=False))
    moments = st.sampled_from(undisturbed().moments)
    late = st.booleans()
    return st.one_of(
        st.builds(lambda one, other, late: History((one, other), late=late), not_fatal, anywhere, late),
        st.builds(
            lambda one, other, late: History((one,), late=late, faults_of_resume=(other,)), anywhere, anywhere, late
        ),
        st.builds(lambda moment, one, late: History((one,), killed_at=moment, late=late), moments, not_fatal, late),
        st.builds(
            lambda moment, one, other: History(killed_at=moment, faults_of_resume=(one, other)),
            moments,
            not_fatal,
            anywhere,
        ),
    )


@settings(
    max_examples=HISTORIES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(history())
def test_two_faults_end_old_or_new(history: History) -> None:
    assert History.parse(str(history)) == history
    assert history.play() == [], f'History.parse("{history}")'


@pytest.mark.parametrize(
    "line",
    [
        # The hub's firewall, which took old and new for the pole switch to catch up, could not go back to the new.
        "site/pole-switch state 4 reboot-after 0; centre/firewall state 4 revert-fails 0; late",
        # What the two ends agree on was taken from under the site: an ended run is only asked about.
        "site/firewall tracked 1 hand-edit 0; site/firewall bring-up 1 revert-fails 0; late",
    ],
)
def test_history_of_the_past(line: str) -> None:
    assert History.parse(line).play() == []
