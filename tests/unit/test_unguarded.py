"""A device without a guard: refused unless it is named, and then taken back by this process, as far as that goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.change.effects import Effects
from cloison.change.journal import begin
from cloison.change.order import Via
from cloison.change.outcome import Decision, Standing
from cloison.change.plan import Plan, make
from cloison.change.transaction import Transaction
from cloison.change.unguarded import guarded_here
from cloison.desired import state_of
from cloison.device.guard import Timer
from cloison.device.memory import MemoryDevice
from cloison.device.memory_world import World
from cloison.errors import LoadError, RefusedError
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.render import render
from cloison.render.config import Section, SectionName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.change.outcome import Result
    from cloison.device.contract import Device

ROOT = Path(__file__).parents[2]
CORE = EquipmentName("roussy-le-village/core-switch")
POLE = EquipmentName("roussy-le-village/pole-switch")

Bare = tuple[Plan, dict[EquipmentName, MemoryDevice], World]


@pytest.fixture
def bare() -> Bare:
    """Two switches of which one has no guard, and the plan of their first configuration."""
    intent, world = load(ROOT), World()
    devices = {}
    for name in (CORE, POLE):
        config = render(state_of(intent, name), ROOT / "templates")
        timer = Timer.NONE if name == CORE else Timer.TICKER
        devices[name] = MemoryDevice(name, config.platform, config.names, world=world, timer=timer)
    plan = make(
        intent, ROOT / "templates", lambda device: devices[device].open(), network="lab", via=Via.LOCAL, devices=devices
    )
    return plan.model_copy(update={"deadline": 120}), devices, world


def carried_out(bare: Bare, folder: Path, *names: EquipmentName) -> Result:
    plan, devices, world = bare
    reach = Reach(devices)
    run = begin(plan, folder, lambda _: None)
    effects = Effects(guarded_here(plan, reach, names), run.write, world.monotonic, world.sleep, workers=1)
    return Transaction(plan, run, effects).go()


class Reach:
    """Opens devices in memory."""

    def __init__(self, devices: Mapping[EquipmentName, MemoryDevice]) -> None:
        self._devices = devices

    def __call__(self, device: EquipmentName) -> Device:
        return self._devices[device].open()


def test_the_plan_says_that_nothing_guards_the_device(bare: Bare) -> None:
    plan, _, _ = bare
    assert {device.device: device.guard for device in plan.devices} == {POLE: Timer.TICKER, CORE: Timer.NONE}


def test_without_its_name_it_is_refused_and_nothing_is_changed(bare: Bare, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=f"{CORE}: nothing goes back by itself there"):
        carried_out(bare, tmp_path)
    assert [device.loaded for device in bare[1].values()] == [[], []]
    assert bare[1][POLE].guard.state().lease is None


def test_by_its_name_it_is_changed_with_the_others(bare: Bare, tmp_path: Path) -> None:
    result = carried_out(bare, tmp_path, CORE)
    assert [one.standing for one in result.devices] == [Standing.CONFIRMED] * 2
    assert make_again(bare).changed == ()


def make_again(bare: Bare) -> Plan:
    plan, devices, _ = bare
    return make(load(ROOT), ROOT / "templates", Reach(devices), network="lab", via=plan.via, devices=devices)


def test_it_goes_back_when_it_refuses_a_section(bare: Bare, tmp_path: Path) -> None:
    def refuse(device: MemoryDevice, section: Section) -> None:
        if section.name is SectionName.EDGE and section.text:
            raise LoadError(device.device, "section edge is refused: no such table")

    bare[1][CORE].on_load = refuse
    result = carried_out(bare, tmp_path, CORE)
    assert result.decision is Decision.REFUSED
    assert "no such table" in result.explanation
    assert set(bare[1][CORE].running.values()) <= {""}


def test_it_goes_back_when_another_device_does(bare: Bare, tmp_path: Path) -> None:
    def refuse(device: MemoryDevice, section: Section) -> None:
        if section.name is SectionName.EDGE and section.text:
            raise LoadError(device.device, "section edge is refused: no such table")

    bare[1][POLE].on_load = refuse
    result = carried_out(bare, tmp_path, CORE)
    assert {one.device: one.standing for one in result.devices} == {CORE: Standing.REVERTED, POLE: Standing.REVERTED}
    assert bare[1][CORE].loaded, "it was changed before it went back"
    assert set(bare[1][CORE].running.values()) <= {""}
