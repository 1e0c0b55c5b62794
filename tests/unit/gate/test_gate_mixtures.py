"""What a plan keeps of the proof of every state that it can stop in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.change.order import Via
from cloison.change.plan import DevicePlan, Plan, candidates, intent_digest
from cloison.errors import InputError
from cloison.gate.mixtures import intermediate
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from cloison.intent.network import Intent
    from cloison.render.config import Config

ROOT = Path(__file__).parents[3]
COMMUNE = EquipmentName("roussy-le-village/firewall")
CELL = EquipmentName("crisis-cell/firewall")
POLE = EquipmentName("roussy-le-village/pole-switch")
OPEN = ("\t\tjump noise\n", '\t\tiifname "vlan140" oifname "vlan110" tcp dport 443 counter accept\n\t\tjump noise\n')
Running = dict[EquipmentName, "Config"]


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


@pytest.fixture(scope="module")
def declared(intent: Intent) -> Running:
    return dict(candidates(intent, ROOT / "templates"))


def changed(running: Running, device: EquipmentName, section: SectionName, was: str, becomes: str) -> Running:
    config = running[device]
    assert was in config.section(section).text
    sections = tuple(
        one.model_copy(update={"text": one.text.replace(was, becomes)}) if one.name is section else one
        for one in config.sections
    )
    return {**running, device: config.model_copy(update={"sections": sections})}


def plan_of(
    intent: Intent, old: Running, new: Running, phases: dict[EquipmentName, tuple[str, ...]] | None = None
) -> Plan:
    """Return the plan of the devices that differ."""
    devices = tuple(
        DevicePlan(
            device=name,
            platform=new[name].platform,
            running=old[name].sections,
            canonical=new[name].sections,
            candidate=new[name].sections,
            tunnel_phases=(phases or {}).get(name, ()),
        )
        for name in new
        if new[name] != old[name]
    )
    return Plan(network="lab", via=Via.TUNNEL, intent=intent_digest(intent), devices=devices, stages=())


def others(made: Plan, running: Running) -> Running:
    planned = {one.device for one in made.devices}
    return {name: config for name, config in running.items() if name not in planned}


def test_a_harmless_change_keeps_every_invariant_in_every_state(intent: Intent, declared: Running) -> None:
    old = changed(declared, COMMUNE, SectionName.FILTER, "# 6. Everything else.", "# 6.")
    old = changed(old, CELL, SectionName.FILTER, "# 6. Everything else.", "# 6.")
    made = plan_of(intent, old, declared)
    found = intermediate(intent, intent, made, others(made, old))
    assert (found.states, found.kept, found.refused, found.interrupted) == (4, 4, (), ())
    assert found.sentence == "4 of 4 intermediate states keep every invariant"


def test_what_opens_a_forbidden_flow_is_refused_with_the_devices_named(intent: Intent, declared: Running) -> None:
    new = changed(declared, COMMUNE, SectionName.FILTER, *OPEN)
    made = plan_of(intent, declared, new)
    found = intermediate(intent, intent, made, others(made, declared))
    assert (found.states, found.kept) == (2, 1)
    assert found.refused[0].startswith("with every device new, ")
    assert "roussy-le-village/operator" in found.refused[0]
    assert found.refused[0] in found.sentence


def test_what_repairs_a_leak_is_not_refused_for_the_leak(intent: Intent, declared: Running) -> None:
    old = changed(declared, COMMUNE, SectionName.FILTER, *OPEN)
    made = plan_of(intent, old, declared)
    found = intermediate(intent, intent, made, others(made, old))
    assert (found.states, found.kept, found.refused) == (2, 2, ())
    assert found.sentence == "2 of 2 intermediate states break nothing that was not broken before"


def test_part_of_what_was_open_before_is_nothing_new(intent: Intent, declared: Running) -> None:
    wide = (OPEN[0], OPEN[1].replace("tcp dport 443 ", ""))
    old = changed(declared, COMMUNE, SectionName.FILTER, *wide)
    narrower = changed(declared, COMMUNE, SectionName.FILTER, *OPEN)
    made = plan_of(intent, old, narrower)
    assert intermediate(intent, intent, made, others(made, old)).refused == ()
    back = plan_of(intent, narrower, old)
    assert intermediate(intent, intent, back, others(back, narrower)).refused


def test_what_is_interrupted_on_the_way_is_told_and_refuses_nothing(intent: Intent, declared: Running) -> None:
    old = changed(declared, COMMUNE, SectionName.TUNNELS, "aes256gcm16", "aes128gcm16")
    old = changed(old, CELL, SectionName.TUNNELS, "aes256gcm16", "aes128gcm16")
    made = plan_of(intent, old, declared)
    found = intermediate(intent, intent, made, others(made, old))
    assert found.refused == ()
    assert any("interrupt watch-live" in sentence for sentence in found.interrupted)


def test_what_a_device_loads_on_the_way_is_proved_too(intent: Intent, declared: Running) -> None:
    old = changed(declared, COMMUNE, SectionName.TUNNELS, "aes256gcm16", "aes128gcm16")
    both = (
        declared[COMMUNE]
        .section(SectionName.TUNNELS)
        .text.replace("esp_proposals = ", "esp_proposals = aes128gcm16-ecp384, ")
    )
    last = declared[COMMUNE].section(SectionName.TUNNELS).text
    made = plan_of(intent, old, declared, {COMMUNE: (both, both, last)})
    assert intermediate(intent, intent, made, others(made, old)).states == 3
    wide = both.replace("local_ts = 10.56.1.48/28", "local_ts = 10.56.1.0/24")
    worse = plan_of(intent, old, declared, {COMMUNE: (both, wide, last)})
    found = intermediate(intent, intent, worse, others(worse, old))
    assert found.states == 4
    same = plan_of(intent, old, declared, {COMMUNE: (last, last, last)})
    assert intermediate(intent, intent, same, others(same, old)).states == 2


def test_a_new_statement_that_is_not_modelled_is_refused_and_one_of_before_is_not(
    intent: Intent, declared: Running
) -> None:
    odd = (OPEN[0], "\t\tmeta cgroup 7 accept\n\t\tjump noise\n")
    strange = changed(declared, COMMUNE, SectionName.FILTER, *odd)
    made = plan_of(intent, declared, strange)
    (reason,) = intermediate(intent, intent, made, others(made, declared)).refused
    assert "not modelled" in reason
    back = plan_of(intent, strange, declared)
    assert intermediate(intent, intent, back, others(back, strange)).refused == ()


def test_too_many_states_are_taken_site_by_site(intent: Intent, declared: Running) -> None:
    old = changed(declared, COMMUNE, SectionName.FILTER, *OPEN)
    old = changed(old, CELL, SectionName.FILTER, "# 6. Everything else.", "# 6.")
    made = plan_of(intent, old, declared)
    found = intermediate(intent, intent, made, others(made, old), most=3)
    assert (found.states, found.refused) == (8, ())
    bad = plan_of(intent, declared, changed(old, POLE, SectionName.SWITCH, "\n", " \n"))
    found = intermediate(intent, intent, bad, others(bad, declared), most=3)
    assert any("with no device new" in reason for reason in found.refused)


def test_a_device_that_nobody_read_is_an_error(intent: Intent, declared: Running) -> None:
    made = plan_of(intent, declared, changed(declared, COMMUNE, SectionName.FILTER, *OPEN))
    with pytest.raises(InputError, match=str(POLE)):
        intermediate(intent, intent, made, {})
