"""The world of devices in memory: time that only waiting moves, faults as lines, and calls that wait side by side."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloison.device.memory import MemoryDevice
from cloison.device.memory_world import Call, Fault, FaultKind, Killed, Operation, World
from cloison.errors import TransportError
from cloison.model import EquipmentName, Platform
from cloison.render.config import SectionName

NAME = EquipmentName("site/core-switch")


def device(world: World) -> MemoryDevice:
    return MemoryDevice(NAME, Platform.OPENVSWITCH, (SectionName.SWITCH,), world=world)


def test_an_hour_takes_no_time_and_what_is_due_is_done_in_order() -> None:
    world = World()
    done: list[tuple[float, str]] = []
    world.at(30.0, lambda: done.append((world.monotonic(), "later")))
    world.at(10.0, lambda: done.append((world.monotonic(), "sooner")))
    began = time.monotonic()
    world.sleep(3600.0)
    assert done == [(10.0, "sooner"), (30.0, "later")]
    assert world.monotonic() == 3600.0
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("kind", list(FaultKind))
def test_a_fault_is_a_line(kind: FaultKind) -> None:
    fault = Fault(Call(NAME, Operation.ARM, 2), kind, 1.5)
    assert Fault.parse(str(fault)) == fault


def test_a_killed_caller_calls_nobody_until_another_begins() -> None:
    world = World((Fault(Call(NAME, Operation.OPEN, 1), FaultKind.KILL_AFTER),))
    one = device(world)
    for _ in range(2):
        with pytest.raises(Killed):
            one.open()
    with pytest.raises(Killed):
        world.sleep(1.0)
    world.revive()
    assert one.open().reader.read().config.names == (SectionName.SWITCH,)


def test_a_connection_does_not_outlive_a_start_of_the_device() -> None:
    world = World()
    one = device(world)
    opened = one.open()
    one.reboot()
    world.sleep(60.0)
    with pytest.raises(TransportError, match="the connection is gone"):
        opened.reader.read()
    assert one.open().reader.read().config.device == NAME


def test_round_trips_of_real_time_pass_side_by_side() -> None:
    world = World(round_trip=0.2, real=True)
    devices = [device(world) for _ in range(8)]
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda one: one.open(), devices))
    assert len(opened) == 8
    assert 0.2 <= time.monotonic() - began < 8 * 0.2
