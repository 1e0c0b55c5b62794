"""A lease that a long look at the network outlasts: renewed, and what happened meanwhile is not overlooked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.change.effects import Effects
from cloison.change.journal import begin
from cloison.change.order import Via
from cloison.change.plan import make
from cloison.change.transaction import LEASE_SECONDS, Transaction
from cloison.desired import state_of
from cloison.device.memory import MemoryDevice
from cloison.device.memory_world import World
from cloison.errors import RefusedError
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.render import render
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloison.change.gate import GateCheck
    from cloison.change.outcome import Result

ROOT = Path(__file__).parents[2]
POLE = EquipmentName("roussy-le-village/pole-switch")


@dataclass
class Looking:
    """Looks at the network for a while before a change; something may happen meanwhile."""

    look: Callable[[], None]

    def before(self) -> None:
        self.look()

    def after(self) -> tuple[GateCheck, ...]:
        return ()

    def close(self) -> None:
        pass


def applied(device: MemoryDevice, folder: Path, meanwhile: Callable[[], None]) -> Result:
    """Apply the first configuration of a device, with something that happens while the network is looked at."""
    plan = make(
        load(ROOT), ROOT / "templates", lambda _: device.open(), network="lab", via=Via.LOCAL, devices=[POLE]
    ).model_copy(update={"deadline": 120})
    run, world = begin(plan, folder, lambda _: None), device.world
    effects = Effects(
        lambda _: device.open(), run.write, world.monotonic, world.sleep, watch=Looking(meanwhile), workers=1
    )  # fmt: skip
    return Transaction(plan, run, effects).go()


@pytest.fixture
def pole() -> MemoryDevice:
    config = render(state_of(load(ROOT), POLE), ROOT / "templates")
    return MemoryDevice(POLE, config.platform, config.names, world=World())


@pytest.mark.parametrize("seconds", [1.0, LEASE_SECONDS * 0.9, LEASE_SECONDS * 3])
def test_a_long_look_does_not_lose_the_lease(pole: MemoryDevice, tmp_path: Path, seconds: float) -> None:
    assert applied(pole, tmp_path, lambda: pole.world.sleep(seconds)).exit_code == 0


def test_what_somebody_changed_after_the_lease_ran_out_is_seen(pole: MemoryDevice, tmp_path: Path) -> None:
    def meanwhile() -> None:
        pole.world.sleep(LEASE_SECONDS * 2)
        pole.running[SectionName.EDGE] = "table=0,priority=7,actions=drop\n"

    with pytest.raises(RefusedError, match=f"the plan is stale: section edge of {POLE} changed since"):
        applied(pole, tmp_path, meanwhile)
    assert pole.guard.state().lease is None
    assert pole.loaded == []
