"""The proof as a check of the gate: only PASS passes, and it says which flow and which way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.change.plan import candidates
from cloison.flow import Outcome
from cloison.gate.proof import ProofOfTheNetwork
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.intent.network import Intent
    from cloison.render.config import Config

ROOT = Path(__file__).parents[3]
COMMUNE = EquipmentName("roussy-le-village/firewall")
CELL = EquipmentName("crisis-cell/firewall")
Running = dict[EquipmentName, "Config"]


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


@pytest.fixture(scope="module")
def declared(intent: Intent) -> Mapping[EquipmentName, Config]:
    return candidates(intent, ROOT / "templates")


def changed(running: Mapping[EquipmentName, Config], device: EquipmentName, was: str, becomes: str) -> Running:
    """Return configurations with one text of a firewall's filter in the place of another."""
    config = running[device]
    assert was in config.section(SectionName.FILTER).text
    sections = tuple(
        one.model_copy(update={"text": one.text.replace(was, becomes)}) if one.name is SectionName.FILTER else one
        for one in config.sections
    )
    return {**running, device: config.model_copy(update={"sections": sections})}


def test_what_is_declared_passes(intent: Intent, declared: Mapping[EquipmentName, Config]) -> None:
    (check,) = ProofOfTheNetwork(intent)(declared)
    assert (check.name, check.outcome) == ("proof", Outcome.PASS)
    assert f"{len(intent.flows)} flows get through" in check.detail


def test_a_forbidden_flow_fails_and_is_named(intent: Intent, declared: Mapping[EquipmentName, Config]) -> None:
    line = 'iifname "vlan140" oifname "vlan110" tcp dport 443 counter accept'
    leaking = changed(declared, COMMUNE, "\t\tjump noise\n", f"\t\t{line}\n\t\tjump noise\n")
    (check,) = ProofOfTheNetwork(intent)(leaking)
    assert check.outcome is Outcome.FAIL
    assert "roussy-le-village/operator" in check.detail
    assert "roussy-le-village/cam-context" in check.detail
    assert "tcp/443" in check.detail


def test_a_flow_that_does_not_get_through_fails(intent: Intent, declared: Mapping[EquipmentName, Config]) -> None:
    (check,) = ProofOfTheNetwork(intent)(changed(declared, CELL, "tcp dport 8322", "tcp dport 8323"))
    assert check.outcome is Outcome.FAIL
    assert "watch-live" in check.detail or "live-relay" in check.detail


def test_what_is_not_modelled_stays_unknown(intent: Intent, declared: Mapping[EquipmentName, Config]) -> None:
    strange = changed(declared, COMMUNE, "\t\tjump noise\n", "\t\tmeta cgroup 7 accept\n\t\tjump noise\n")
    (check,) = ProofOfTheNetwork(intent)(strange)
    assert check.outcome is Outcome.UNKNOWN
    assert not check.passed


def test_a_device_that_was_not_read_is_unknown(intent: Intent, declared: Mapping[EquipmentName, Config]) -> None:
    (check,) = ProofOfTheNetwork(intent)({name: one for name, one in declared.items() if name != CELL})
    assert check.outcome is Outcome.UNKNOWN
    assert str(CELL) in check.detail


def test_what_was_there_before_is_not_held_against_the_change(
    intent: Intent, declared: Mapping[EquipmentName, Config]
) -> None:
    broken = changed(declared, CELL, "tcp dport 8322", "tcp dport 8323")
    (check,) = ProofOfTheNetwork(intent, (intent, broken))(broken)
    assert check.outcome is Outcome.PASS
    assert check.detail == "nothing new; 2 old findings"
    line = 'iifname "vlan140" oifname "vlan110" tcp dport 443 counter accept'
    worse = changed(broken, COMMUNE, "\t\tjump noise\n", f"\t\t{line}\n\t\tjump noise\n")
    (check,) = ProofOfTheNetwork(intent, (intent, broken))(worse)
    assert check.outcome is Outcome.FAIL
    assert "cam-context" in check.detail
    assert "were there before" in check.detail
