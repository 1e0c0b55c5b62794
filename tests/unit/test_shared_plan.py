"""One commune's change at the firewalls that it shares: planned, carried out and gone back from beside the others'."""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.change.effects import Effects
from cloison.change.fleetwide import SeveralDevicesError
from cloison.change.fragment import Sharing, sharing_devices
from cloison.change.journal import begin
from cloison.change.order import Via
from cloison.change.outcome import Decision, Result
from cloison.change.plan import Plan, candidates, make
from cloison.change.portion import part_for, rebase
from cloison.change.rollback import refuse_dependants, rollback_plan
from cloison.change.stale import check
from cloison.change.transaction import Transaction
from cloison.device.memory import MemoryDevice
from cloison.device.memory_world import World
from cloison.errors import LoadError, RefusedError
from cloison.intent.load import load
from cloison.model import EquipmentName, Name
from cloison.render.config import Section, SectionName

if TYPE_CHECKING:
    from cloison.change.journal import Run
    from cloison.device.contract import Device
    from cloison.intent.network import Intent

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "templates"
CELL, OPERATIONS = EquipmentName("crisis-cell/firewall"), EquipmentName("operations-centre/firewall")
A, B = Name("commune-0"), Name("commune-1")
GATEWAY = "10.56.10.50"
"""The live gateway of A, which every firewall names."""


@dataclass
class Fleet:
    """Devices in memory."""

    devices: dict[EquipmentName, MemoryDevice]
    world: World = field(default_factory=World)

    def __call__(self, device: EquipmentName) -> Device:
        return self.devices[device].open()

    def text(self, device: EquipmentName, name: SectionName = SectionName.FILTER) -> str:
        return self.devices[device].running[name]


@pytest.fixture(scope="module")
def intent(tmp_path_factory: pytest.TempPathFactory) -> Intent:
    root = tmp_path_factory.mktemp("communes")
    spec = importlib.util.spec_from_file_location("growth", ROOT / "benchmarks" / "growth.py")
    assert spec is not None
    assert spec.loader is not None
    growth = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(growth)
    growth.grow(root, 2)
    return load(root)


@pytest.fixture
def fleet(intent: Intent) -> Fleet:
    """Return devices of which both communes' parts are older than what is declared, at all ends."""
    made = Fleet({})
    for name, config in candidates(intent, TEMPLATES).items():
        device = MemoryDevice(name, config.platform, config.names, world=made.world)
        declared = device.canonical(config)
        for section in declared.sections:
            older = section.text.replace("10.56.10.50", "10.56.10.51").replace("10.56.11.50", "10.56.11.51")
            device.running[section.name] = older
        device.settle()
        made.devices[name] = device
    return made


def plan_for(intent: Intent, fleet: Fleet, site: Name) -> Plan:
    shared = sharing_devices(intent, site)
    names = [device.name for device in intent.devices if device.name.site == site or device.name in shared]
    made = make(intent, TEMPLATES, fleet, network="lab", via=Via.TUNNEL, devices=names, part=part_for(intent, {site}))
    return made.model_copy(update={"deadline": 120})


def carried_out(plan: Plan, fleet: Fleet) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        return gone(begun(plan, Path(folder)), fleet)


def begun(plan: Plan, folder: Path) -> Run:
    return begin(plan, folder, lambda _: None)


def gone(run: Run, fleet: Fleet) -> Result:
    effects = Effects(fleet, lambda *_: None, fleet.world.monotonic, fleet.world.sleep, workers=1)
    return Transaction(run.plan, run, effects).go()


def test_each_commune_changes_its_own_part_and_no_other(intent: Intent, fleet: Fleet) -> None:
    before = {name: fleet.text(name) for name in (CELL, OPERATIONS)}
    plan = plan_for(intent, fleet, A)
    assert {device.device.site for device in plan.changed} == {A, CELL.site, OPERATIONS.site}
    assert {device.device: device.sites for device in plan.devices if device.sites} == {CELL: (A,), OPERATIONS: (A,)}
    check(plan, intent, TEMPLATES)  # it follows from what is declared
    assert carried_out(plan, fleet).decision is Decision.CONFIRMED
    for name in (CELL, OPERATIONS):
        sharing = Sharing(intent, name)
        was, now = (Section(name=SectionName.FILTER, text=text) for text in (before[name], fleet.text(name)))
        assert sharing.fragments(was)[B] == sharing.fragments(now)[B]
        assert sharing.fragments(was)[None] == sharing.fragments(now)[None]
        assert GATEWAY in fleet.text(name)
        assert "10.56.11.51" in fleet.text(name)
    assert carried_out(plan_for(intent, fleet, A), fleet).decision is Decision.NO_CHANGE
    assert carried_out(plan_for(intent, fleet, B), fleet).decision is Decision.CONFIRMED
    assert make(intent, TEMPLATES, fleet, network="lab", via=Via.TUNNEL).changed == ()


def test_a_plan_outlives_the_change_of_another_commune(intent: Intent, fleet: Fleet) -> None:
    of_a, of_b = plan_for(intent, fleet, A), plan_for(intent, fleet, B)
    assert rebase(of_b, fleet, intent) == of_b
    assert carried_out(of_a, fleet).decision is Decision.CONFIRMED
    with pytest.raises(RefusedError, match="stale"):
        carried_out(of_b, fleet)  # as it is it would take back what A did
    now = rebase(of_b, fleet, intent)
    check(now, intent, TEMPLATES)
    assert carried_out(now, fleet).decision is Decision.CONFIRMED
    assert make(intent, TEMPLATES, fleet, network="lab", via=Via.TUNNEL).changed == ()


@pytest.mark.parametrize(
    ("was", "becomes", "whose"),
    [
        ("10.56.10.51", "10.56.10.52", "the part of commune-0 in section"),
        ("jump noise", "counter\njump noise", "section"),
    ],
)
def test_a_plan_does_not_outlive_a_change_of_its_own_part(
    intent: Intent, fleet: Fleet, was: str, becomes: str, whose: str
) -> None:
    plan = plan_for(intent, fleet, A)
    text = fleet.text(CELL)
    assert was in text
    fleet.devices[CELL].running[SectionName.FILTER] = text.replace(was, becomes)
    with pytest.raises(RefusedError, match=f"the plan is stale: {whose} filter of crisis-cell/firewall"):
        rebase(plan, fleet, intent)


def test_going_back_leaves_the_other_commune_as_it_is(intent: Intent, fleet: Fleet) -> None:
    assert carried_out(plan_for(intent, fleet, B), fleet).decision is Decision.CONFIRMED
    before = {name: dict(device.running) for name, device in fleet.devices.items()}

    def refuse(device: MemoryDevice, section: Section) -> None:
        if device.device == OPERATIONS and GATEWAY in section.text:
            raise LoadError(device.device, "refused")

    plan = plan_for(intent, fleet, A)
    fleet.devices[OPERATIONS].on_load = refuse
    assert carried_out(plan, fleet).decision is Decision.REFUSED
    assert {name: dict(device.running) for name, device in fleet.devices.items()} == before


def test_a_commune_is_taken_back_beside_a_later_change_of_another(intent: Intent, fleet: Fleet, tmp_path: Path) -> None:
    before = {name: dict(device.running) for name, device in fleet.devices.items()}
    first = begun(plan_for(intent, fleet, A), tmp_path / "a")
    assert gone(first, fleet).decision is Decision.CONFIRMED
    second = begun(plan_for(intent, fleet, B), tmp_path / "b")
    assert gone(second, fleet).decision is Decision.CONFIRMED
    refuse_dependants(first, [second])  # it does not depend on it
    back = rollback_plan(first, fleet, intent)
    assert carried_out(back, fleet).decision is Decision.CONFIRMED
    sharing = Sharing(intent, CELL)
    then, now = (
        Section(name=SectionName.FILTER, text=text[SectionName.FILTER])
        for text in (before[CELL], fleet.devices[CELL].running)
    )
    assert sharing.fragments(now)[A] == sharing.fragments(then)[A]
    assert "10.56.11.50" in sharing.fragments(now)[B]
    with pytest.raises(SeveralDevicesError, match=f"run {first.name} cannot be taken back"):
        rollback_plan(first, fleet, intent)
    third = begun(plan_for(intent, fleet, A), tmp_path / "c")
    with pytest.raises(RefusedError, match=f"run {third.name} changed section"):
        refuse_dependants(first, [second, third])


def test_templates_that_give_another_text_make_it_stale(intent: Intent, fleet: Fleet) -> None:
    plan = plan_for(intent, fleet, A)
    devices = tuple(
        device.model_copy(update={"declared": "0" * 64}) if device.device == CELL else device for device in plan.devices
    )
    with pytest.raises(RefusedError, match="the templates now give crisis-cell/firewall another text"):
        check(plan.model_copy(update={"devices": devices}), intent, TEMPLATES)


def test_a_shared_firewall_in_its_factory_state_is_to_be_brought_up_first(intent: Intent, fleet: Fleet) -> None:
    fleet.devices[CELL].running.clear()
    with pytest.raises(RefusedError, match="cloison plan --site crisis-cell"):
        plan_for(intent, fleet, A)
