"""A run whose tunnel stayed down: asked about and taken to its end through the local ports."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.change.asking import BACK_SECONDS
from cloison.change.crash import CrashPoint
from cloison.change.effects import Effects
from cloison.change.journal import Run, begin
from cloison.change.order import Via
from cloison.change.outcome import Decision, Standing
from cloison.change.plan import make
from cloison.change.transaction import Transaction
from cloison.desired import state_of
from cloison.device.memory import MemoryDevice
from cloison.device.memory_world import Killed, World
from cloison.errors import TransportError
from cloison.intent.load import load
from cloison.ledger import ended
from cloison.model import EquipmentName
from cloison.operation import Operation
from cloison.render import render
from cloison.session import Session
from cloison.workspace import Network, Workspace

if TYPE_CHECKING:
    from cloison.device.contract import Device, Opener

ROOT = Path(__file__).parents[2]
POLE = EquipmentName("roussy-le-village/pole-switch")


class Reached(Session):
    """A session whose device is in memory; only the local port leads to it."""

    pole: MemoryDevice

    def reach(self, via: Via) -> Opener:  # type: ignore[override]  # the twin's way of opening stands in the base
        def opened(device: EquipmentName) -> Device:
            if via is Via.TUNNEL:
                raise TransportError(device, "the tunnel is down")
            return Reached.pole.open()

        return opened


@pytest.fixture
def cut_off(tmp_path: Path) -> tuple[Operation, Run]:
    """A change through the tunnel, whose coordinator died when the device was armed; the tunnel is down since."""
    shutil.copytree(ROOT / "inventory", tmp_path / "inventory")
    intent = load(ROOT)
    config = render(state_of(intent, POLE), ROOT / "templates")
    world = World()
    Reached.pole = pole = MemoryDevice(POLE, config.platform, config.names, world=world)
    session = Reached(Workspace(tmp_path), Network.LIVE, intent, tmp_path / "key", None, {})
    operation = Operation(session, monotonic=world.monotonic, sleep=world.sleep)
    plan = make(
        intent, ROOT / "templates", lambda _: pole.open(), network="live", via=Via.TUNNEL, devices=[POLE]
    ).model_copy(update={"deadline": 120})
    keep = partial(operation.ledger.keep, inventory=tmp_path / "inventory", sites=[POLE.site])
    run = begin(plan, operation.ledger.folder, keep)

    def die(point: CrashPoint, device: EquipmentName | str) -> None:
        del device
        if point is CrashPoint.ARMED:
            raise Killed

    effects = Effects(lambda _: pole.open(), run.write, world.monotonic, world.sleep, workers=1, point=die)
    with pytest.raises(Killed):
        Transaction(plan, run, effects).go()
    return operation, run


def test_the_way_that_it_went_leads_nowhere(cut_off: tuple[Operation, Run]) -> None:
    operation, run = cut_off
    assert [one.standing for one in operation.status(run).devices] == [Standing.UNREACHABLE]
    assert operation.resume(run).decision is Decision.UNDETERMINED
    assert ended(run) == ""


def test_another_way_tells_where_it_stands_and_ends_it(cut_off: tuple[Operation, Run]) -> None:
    operation, run = cut_off
    assert [one.standing for one in operation.status(run, Via.LOCAL).devices] == [Standing.ARMED]
    assert operation.resume(run, Via.LOCAL).decision is Decision.REVERTED
    assert ended(run) == Decision.REVERTED
    assert Reached.pole.world.now < BACK_SECONDS
