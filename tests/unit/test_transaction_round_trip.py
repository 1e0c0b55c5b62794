"""Applied and taken back gives the start again, byte for byte, whatever the two configurations are."""

import sys
from functools import cache
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2]))  # the simulation stands in a folder of its own, for a script too

from tests.simulation.histories import undisturbed
from tests.simulation.scene import EDGE, FILTER, INTERFACES, LIVE, STAGES, SWITCH, TUNNELS, Scene, Texts, new, old

from cloison.change.outcome import Decision
from cloison.change.rollback import rollback_plan
from cloison.intent.load import load
from cloison.intent.network import Intent
from cloison.model import EquipmentName

LINES = st.lists(st.from_regex(r"[a-z]{1,6}( [a-z0-9./=:]{1,8}){0,3}", fullmatch=True), max_size=4)
TEXT = LINES.filter(lambda lines: not any(line.startswith(("refuse", "cut")) for line in lines)).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)


@st.composite
def configurations(draw: st.DrawFn) -> dict[EquipmentName, Texts]:
    """Return random texts of every section, with either tunnel and with the rule that the live stream needs."""
    made = (old if draw(st.booleans()) else new)()
    for (name,) in STAGES:
        for section in (SWITCH, INTERFACES, EDGE, FILTER):
            if section in made[name] and draw(st.booleans()):
                made[name][section] = (f"{LIVE}\n" if section is FILTER else "") + draw(TEXT)
    return made


@cache
def declared() -> Intent:
    """Return an intent: nothing of it but its hash and its number of workers goes into a plan that takes back."""
    return load(Path(__file__).parents[2]).model_copy(update={"workers": 1})


def running(scene: Scene) -> dict[EquipmentName, Texts]:
    return {name: dict(device.running) for name, device in scene.devices.items()}


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(configurations(), configurations())
def test_applied_and_taken_back_gives_the_start(
    before: dict[EquipmentName, Texts], after: dict[EquipmentName, Texts]
) -> None:
    scene = Scene(before=before, after=after)
    start = running(scene)
    ending = scene.go()
    assert ending.code == 0, ending
    assert running(scene) == after
    if not scene.plan.changed:
        assert ending.result is not None
        assert ending.result.decision is Decision.NO_CHANGE
        return
    scene.plan = rollback_plan(scene.run, scene.opened, declared())
    scene.run = scene.begun(scene.plan)
    assert scene.go().code == 0
    assert running(scene) == start
    scene.rest()
    scene.before, scene.after = before, before
    assert scene.left_over() == []


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(configurations(), configurations())
def test_refused_by_the_gate_gives_the_start(
    before: dict[EquipmentName, Texts], after: dict[EquipmentName, Texts]
) -> None:
    for (name,) in STAGES:  # a rule that the proof finds a leak in, on the firewalls
        if FILTER in after[name]:
            after[name][FILTER] += "accept everything\n"
    scene = Scene(before=before, after=after)
    start = running(scene)
    assert scene.go().code == 1
    assert running(scene) == start
    assert scene.left_over() == []


def test_the_same_world_gives_the_same_history() -> None:
    one, other = undisturbed(), Scene()
    assert other.go().code == 0
    assert (other.calls, other.points, other.run.lines) == (one.calls, one.points, one.run.lines)
    assert TUNNELS in other.plan.changed[-1].changed
