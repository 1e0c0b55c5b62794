"""Whole changes of the pilot over devices in memory: what is refused before one begins, and what one leaves behind."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.change.drift import find
from cloison.change.journal import Event, begin
from cloison.change.order import Via
from cloison.change.outcome import Decision
from cloison.desired import state_of
from cloison.device.guard import Timer
from cloison.device.memory import MemoryDevice
from cloison.device.memory_world import World
from cloison.errors import RefusedError
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.operation import GateKind, Operation
from cloison.render import render
from cloison.session import Session
from cloison.workspace import Network, Workspace

if TYPE_CHECKING:
    from cloison.device.contract import Device, Opener

ROOT = Path(__file__).parents[2]
CORE = EquipmentName("roussy-le-village/core-switch")


class InMemory(Session):
    """A session whose devices are in memory, whichever way they are reached."""

    devices: dict[EquipmentName, MemoryDevice]

    def reach(self, via: Via) -> Opener:  # type: ignore[override]  # the twin's way of opening stands in the base
        del via

        def opened(device: EquipmentName) -> Device:
            return InMemory.devices[device].open()

        return opened


@pytest.fixture
def operation(tmp_path: Path) -> Operation:
    """The pilot's network in its factory state, and a workspace of its own."""
    for name in ("inventory", "templates"):
        shutil.copytree(ROOT / name, tmp_path / name)
    workspace, world = Workspace(tmp_path), World()
    intent = load(workspace, Network.LAB).model_copy(update={"workers": 1})
    InMemory.devices = {}
    for device in intent.devices:
        config = render(state_of(intent, device.name), workspace.templates)
        InMemory.devices[device.name] = MemoryDevice(device.name, config.platform, config.names, world=world)
    session = InMemory(workspace, Network.LAB, intent, tmp_path / "key", None, {})
    return Operation(session, GateKind.PROOF, monotonic=world.monotonic, sleep=world.sleep)


def changed(operation: Operation) -> Operation:
    """Return the operation after a camera's VLAN was declared to be another."""
    network = operation.session.workspace.inventory / "network.yaml"
    network.write_text(network.read_text().replace("cam-context: 110", "cam-context: 109"))
    intent = load(operation.session.workspace, Network.LAB).model_copy(update={"workers": 1})
    return replace(operation, session=replace(operation.session, intent=intent))


def test_a_change_and_its_way_back_are_judged_each_by_what_was_declared(operation: Operation) -> None:
    assert operation.apply(operation.plan(Via.LOCAL)).decision is Decision.CONFIRMED
    later = changed(operation)
    made = later.plan(Via.LOCAL)
    assert len(made.changed) == 3
    assert made.intermediate is not None
    assert (made.intermediate.states, made.intermediate.refused) == (8, ())
    assert later.apply(made).decision is Decision.CONFIRMED
    then, back = later.rollback(later.ledger.find(None))
    assert then.apply(back).decision is Decision.CONFIRMED
    session = operation.session
    drift = find(
        session.intent,
        session.workspace.templates,
        session.reach(Via.LOCAL),
        network="lab",
        via=Via.LOCAL,
        devices=None,
    )
    assert not drift.departures


def test_the_first_change_cannot_be_taken_back(operation: Operation) -> None:
    operation.apply(operation.plan(Via.LOCAL))
    with pytest.raises(RefusedError, match="nothing was declared before it that could be held to"):
        operation.rollback(operation.ledger.find(None))


def test_a_change_is_refused_while_an_earlier_one_is_unfinished(operation: Operation) -> None:
    made = operation.plan(Via.LOCAL)
    keep = partial(operation.ledger.keep, inventory=operation.session.workspace.inventory, sites=[CORE.site])
    run = begin(made, operation.ledger.folder, keep)
    with pytest.raises(
        RefusedError, match=f"run {run.name} was cut off and is unfinished; `cloison resume {run.name}`"
    ):
        operation.apply(made)
    with operation.ledger.holding(run), pytest.raises(RefusedError, match="is being carried out by another process"):
        operation.resume(run)
    operation.resume(run)
    assert operation.apply(made).decision is Decision.CONFIRMED


def test_what_runs_for_the_moment_is_not_called_well(operation: Operation) -> None:
    operation.apply(operation.plan(Via.LOCAL))
    made = operation.plan(Via.LOCAL)
    assert not made.changed
    keep = partial(operation.ledger.keep, inventory=operation.session.workspace.inventory, sites=[CORE.site])
    run = begin(made, operation.ledger.folder, keep)
    with pytest.raises(RefusedError, match="was cut off and is unfinished"):
        operation.apply(made)
    with operation.ledger.holding(run), pytest.raises(RefusedError, match="what runs now may not stay"):
        operation.apply(made)


def test_a_device_that_nothing_guards_is_refused_unless_it_is_named(operation: Operation) -> None:
    InMemory.devices[CORE].timer = Timer.NONE
    made = operation.plan(Via.LOCAL)
    with pytest.raises(RefusedError, match=f"{CORE}: guard: none;.*`--unguarded {CORE}`"):
        operation.apply(made)
    assert all(not device.loaded for device in InMemory.devices.values())
    assert replace(operation, unguarded=frozenset({CORE})).apply(made).decision is Decision.CONFIRMED


def test_a_plan_that_opens_something_on_the_way_is_refused(operation: Operation) -> None:
    operation.apply(operation.plan(Via.LOCAL))
    rules = operation.session.workspace.templates / "firewall" / "debian-libipsec" / "filter.j2"
    rules.write_text(rules.read_text().replace("\t\tjump noise\n", "\t\ttcp dport 8080 accept\n\t\tjump noise\n"))
    made = operation.plan(Via.LOCAL, ["roussy-le-village"])
    with pytest.raises(RefusedError, match=r"the plan is refused: .*8080"):
        operation.apply(made)
    assert [event.event for event in operation.ledger.find(None).entries()][-1] is Event.ENDED
