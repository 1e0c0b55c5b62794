"""The matrix of the proof: cell by cell the table that was written by hand, and what faults make of its cells."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.cli.configurations import rendered
from cloison.flow import Outcome
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.prove.matrix import CellState, Matrix, matrix

if TYPE_CHECKING:
    from cloison.intent.network import Intent
    from cloison.prove.configuration import Configurations

ROOT = Path(__file__).parents[2]
PILOT = "roussy-le-village"
COMMUNE = EquipmentName(f"{PILOT}/firewall")
STATION, GATEWAY, RECORDER = "crisis-cell/station-fire", f"{PILOT}/live-gateway", f"{PILOT}/nvr"
RULES = "\tchain business {\n"


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


@pytest.fixture(scope="module")
def declared(intent: Intent) -> Configurations:
    return rendered(intent, ROOT / "templates")


@pytest.fixture(scope="module")
def pilot(intent: Intent, declared: Configurations) -> Matrix:
    return matrix(intent, declared)


def spoilt(intent: Intent, declared: Configurations, was: str, becomes: str) -> Matrix:
    """Return the matrix with a text in the filter of the commune's firewall in the place of another."""
    sections = declared[COMMUNE]
    assert was in sections["filter"]
    return matrix(intent, {**declared, COMMUNE: {**sections, "filter": sections["filter"].replace(was, becomes)}})


def test_every_cell_is_as_in_the_table_written_by_hand(pilot: Matrix) -> None:
    written: dict[tuple[str, str], set[str]] = {}
    with (ROOT / "tests/golden/roussy-le-village.reach.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            written.setdefault((row["from"], row["to"]), set()).add(row["service"])
    of_pilot = [
        (sender, receiver)
        for sender in pilot.equipment
        for receiver in pilot.equipment
        if sender != receiver and any(name.startswith(f"{PILOT}/") for name in (sender, receiver))
    ]
    assert set(written) <= set(of_pilot)
    for ends in of_pilot:
        cell = pilot.cell(*ends)
        assert set(cell.services) == written.get(ends, set()), ends
        assert cell.state is (CellState.DECLARED if ends in written else CellState.SILENT), ends


def test_the_shipped_network_passes(pilot: Matrix) -> None:
    assert pilot.outcome is Outcome.PASS
    assert pilot.undetermined == ()


def test_other_places_reach_only_what_the_network_itself_needs(pilot: Matrix) -> None:
    assert pilot.cell("wan", str(COMMUNE)).services == ("udp/4500", "udp/500")
    assert pilot.cell(f"{PILOT}/technician", str(COMMUNE)).services == ("ssh",)
    spare = f"{PILOT}/core-switch:p6"
    assert spare in pilot.places
    assert all(pilot.cell(spare, name).state is CellState.SILENT for name in (*pilot.equipment, *pilot.places))


def test_a_rule_that_opens_too_much_is_a_leak_in_its_cells(intent: Intent, declared: Configurations) -> None:
    found = spoilt(
        intent, declared, "10.56.2.3 . 10.56.1.50 } tcp dport 8322", "10.56.2.3 . 10.56.1.50 } tcp dport { 22, 8322 }"
    )
    cell = found.cell("roussy-le-village/tunnels", GATEWAY)
    assert (cell.state, cell.leaking) == (CellState.LEAK, ("ssh",))
    assert found.outcome is Outcome.FAIL


def test_a_rule_that_is_gone_is_an_outage_in_its_cells(intent: Intent, declared: Configurations) -> None:
    found = spoilt(intent, declared, "tcp dport 8322", "tcp dport 8323")
    cell = found.cell(STATION, GATEWAY)
    assert (cell.state, cell.declared, cell.missing, cell.services) == (
        CellState.OUTAGE,
        ("live-relay",),
        ("live-relay",),
        (),
    )
    assert found.cell(STATION, RECORDER).state is CellState.SILENT


def test_what_is_not_modelled_is_not_said_to_be_silent(intent: Intent, declared: Configurations) -> None:
    found = spoilt(intent, declared, RULES, f"{RULES}\t\tmeta cpu 0 accept\n")
    assert found.cell(RECORDER, GATEWAY).state is CellState.UNKNOWN
    assert [one.statement.place.device for one in found.undetermined] == [COMMUNE]
    assert found.outcome is Outcome.UNKNOWN


def test_one_site_keeps_what_it_has_to_do_with(pilot: Matrix) -> None:
    cell = pilot.of_site("crisis-cell")
    assert GATEWAY in cell.equipment
    assert RECORDER not in cell.equipment
    assert cell.cell(STATION, GATEWAY) == pilot.cell(STATION, GATEWAY)
    assert all("crisis-cell/" in f"{one.sender} {one.receiver}" for one in cell.cells.values())
