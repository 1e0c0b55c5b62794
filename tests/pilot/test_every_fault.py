"""Every fault of the catalogue, once: the checks that it names turn red, and undone, the twin is as declared."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.change.fleetwide import on_each
from cloison.change.order import Via
from cloison.change.plan import candidates, plan_device
from cloison.intent.load import load
from cloison.lab.fault import active_faults, complaints, heal, inject
from cloison.lab.faults.catalogue import catalogue
from cloison.session import AUDITOR, open_session
from cloison.workspace import Network, find_workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pilot.conftest import Pilot

    from cloison.lab.fault import Fault
    from cloison.model import EquipmentName

pytestmark = pytest.mark.lab
INTENT = load(find_workspace(Path(__file__).parents[2]))
FAULTS = catalogue(INTENT)
LAYERS = 8
AT_LEAST = 46
PROVED_AT_LEAST = 40
OF_WHAT_IS_READ_BACK = tuple(
    f"{check}/{device.name.site}.{device.name.equipment}"
    for check in (
        "hosts/switch-rows",
        "hosts/interfaces",
        "hosts/routes",
        "hosts/edge-flows",
        "hosts/filter",
        "hosts/tunnels",
        "hosts/kernel",
        "intent/running",
    )
    for device in INTENT.devices
)
"""Checks that judge nothing but what a device's daemons show, which is what reading the device back shows."""


@pytest.fixture(scope="session")
def unlike_declared(applied: Pilot) -> Callable[[], dict[EquipmentName, tuple[str, ...]]]:
    """Return what tells, now, which sections of which devices are not the declared ones."""
    workspace = find_workspace(applied.root)
    session = open_session(workspace, Network.LAB, applied.client.name, key=None, role=AUDITOR)
    reach, rendered = session.reach(Via.TUNNEL), candidates(session.intent, workspace.templates)

    def differing(name: EquipmentName) -> tuple[str, ...]:
        with closing(reach(name)) as opened:
            return tuple(str(section) for section in plan_device(opened.reader, rendered[name]).changed)

    def read() -> dict[EquipmentName, tuple[str, ...]]:
        found = on_each(list(rendered), differing, session.intent.workers)
        return {name: sections for name, sections in found.items() if sections}

    return read


def test_the_catalogue_is_spread_over_every_layer() -> None:
    assert len({fault.layer for fault in FAULTS}) == LAYERS
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= AT_LEAST


def test_a_proof_sees_most_faults() -> None:
    assert sum(not fault.unproved for fault in FAULTS) >= PROVED_AT_LEAST


def test_the_command_line_injects_a_fault_once_and_undoes_it(applied: Pilot) -> None:
    name = str(next(fault.name for fault in FAULTS if len(fault.must) == 1))
    assert applied.cloison("lab", "fault", name).exit_status == 0
    assert active_faults(applied.client) == (name,)
    assert "injected already" in applied.cloison("lab", "fault", name).stderr.decode()
    assert applied.cloison("lab", "heal", name).exit_status == 0
    assert active_faults(applied.client) == ()


@pytest.mark.parametrize("fault", FAULTS, ids=[str(fault.name) for fault in FAULTS])
def test_fault_turns_the_checks_it_names_red_and_is_undone(
    applied: Pilot, fault: Fault, unlike_declared: Callable[[], dict[EquipmentName, tuple[str, ...]]]
) -> None:
    try:
        inject(applied.client, fault)
        outcomes = applied.outcomes(*_only(fault.must), status=1)
        red = {check for check, outcome in outcomes.items() if outcome != "PASS"}
        assert complaints(fault, red) == ()
    finally:
        heal(applied.client, fault)
    assert unlike_declared() == {}
    others = [check for check in fault.must if check not in OF_WHAT_IS_READ_BACK]
    if others:
        assert set(applied.outcomes(*_only(others), status=0)) == set(others)


def test_in_the_end_every_check_of_what_is_read_back_is_green(applied: Pilot) -> None:
    named = {check for fault in FAULTS for check in fault.must if check in OF_WHAT_IS_READ_BACK}
    assert set(applied.outcomes(*_only(sorted(named)), status=0)) == named


def _only(checks: tuple[str, ...] | list[str]) -> list[str]:
    return [argument for check in checks for argument in ("--only", check)]
