"""Every mixture of old and new sections: what each lets through, against judging that very network by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.cli.configurations import rendered
from cloison.errors import InputError
from cloison.flow import Outcome
from cloison.intent.load import load
from cloison.model import EquipmentName, Name
from cloison.prove.answer import FindingKind
from cloison.prove.judge import judge
from cloison.prove.mixture import MOST_DEVICES, mixtures

if TYPE_CHECKING:
    from cloison.intent.network import Intent
    from cloison.prove.configuration import Configurations

ROOT = Path(__file__).parents[2]
COMMUNE = EquipmentName("roussy-le-village/firewall")
CELL = EquipmentName("crisis-cell/firewall")
SWITCH = EquipmentName("roussy-le-village/core-switch")
OPEN = '\t\tcounter accept comment "open"\n'


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


@pytest.fixture(scope="module")
def declared(intent: Intent) -> Configurations:
    return rendered(intent, ROOT / "templates")


def changed(configurations: Configurations, *changes: tuple[EquipmentName, str, str, str]) -> Configurations:
    """Return the configurations with, in a section of a device, one text in the place of another."""
    made = {name: dict(sections) for name, sections in configurations.items()}
    for device, section, was, becomes in changes:
        assert was in made[device][section]
        made[device][section] = made[device][section].replace(was, becomes)
    return made


def leak(device: EquipmentName) -> tuple[EquipmentName, str, str, str]:
    return (device, "filter", "\tchain business {\n", f"\tchain business {{\n{OPEN}")


def without(intent: Intent, rule: str) -> Intent:
    return intent.model_copy(update={"flows": tuple(flow for flow in intent.flows if flow.rule != rule)})


def test_nothing_that_changes_makes_one_state(intent: Intent, declared: Configurations) -> None:
    mixed = mixtures(intent, intent, declared, changed(declared))
    assert (mixed.devices, len(mixed.mixtures), mixed.outcome) == ((), 1, Outcome.PASS)
    assert mixed.summary == "1 of 1 intermediate states keep every invariant"


def test_a_flow_that_is_opened_is_no_leak_in_any_state(intent: Intent, declared: Configurations) -> None:
    before = without(intent, "watch-live")
    mixed = mixtures(before, intent, rendered(before, ROOT / "templates"), declared)
    assert {COMMUNE, CELL} <= set(mixed.devices)
    assert len(mixed.mixtures) == 2 ** len(mixed.devices)
    assert mixed.outcome is Outcome.PASS
    assert all(not mixture.interrupted for mixture in mixed.mixtures)
    assert mixed.summary == f"{len(mixed.mixtures)} of {len(mixed.mixtures)} intermediate states keep every invariant"


def test_a_flow_that_neither_intent_declares_is_a_leak_where_all_let_it_through(
    intent: Intent, declared: Configurations
) -> None:
    neither = without(intent, "watch-live")
    closed = rendered(neither, ROOT / "templates")
    mixed = mixtures(neither, neither, closed, declared)
    breaking = {mixture.new for mixture in mixed.breaking}
    assert frozenset() not in breaking
    assert frozenset(mixed.devices) in breaking
    assert frozenset({CELL}) not in breaking


def test_each_state_is_as_if_it_were_judged_by_itself(intent: Intent, declared: Configurations) -> None:
    new = changed(declared, leak(COMMUNE), leak(CELL), (SWITCH, "switch", "access tag=140", "access tag=120"))
    mixed = mixtures(intent, intent, declared, new)
    assert set(mixed.devices) == {COMMUNE, CELL, SWITCH}
    assert len({mixture.breaks_isolation for mixture in mixed.mixtures}) > 2
    assert len({mixture.interrupted for mixture in mixed.mixtures}) > 1
    for mixture in mixed.mixtures:
        answer = judge(intent, {name: (new if name in mixture.new else declared)[name] for name in declared})
        alone = {(one.sender, one.receiver) for one in answer.findings if one.kind is FindingKind.LEAK}
        assert {(one.sender, one.receiver) for one in mixture.breaks_isolation} == alone
        lost = {
            (one.sender, one.receiver, one.service)
            for one in answer.findings
            if one.kind is FindingKind.OUTAGE and one.rule
        }
        ends = {(flow.source.name, flow.destination.name, flow.service.name) for flow in mixture.interrupted}
        flows = {(flow.source.name, flow.destination.name, flow.service.name) for flow in intent.flows}
        assert ends >= lost & flows
        assert bool(ends) is bool(lost)


def test_only_states_with_the_device_that_opens_break_isolation(intent: Intent, declared: Configurations) -> None:
    quiet = (CELL, "filter", "table", "# changed\ntable")
    mixed = mixtures(intent, intent, declared, changed(declared, leak(COMMUNE), quiet))
    assert {mixture.new for mixture in mixed.breaking} == {frozenset({COMMUNE}), frozenset({COMMUNE, CELL})}
    assert mixed.introducing == mixed.breaking
    assert mixed.outcome is Outcome.FAIL
    assert mixed.summary.startswith("2 of 4 intermediate states keep every invariant; with roussy-le-village/firewall")


def test_a_change_that_closes_a_leak_introduces_none(intent: Intent, declared: Configurations) -> None:
    mixed = mixtures(intent, intent, changed(declared, leak(COMMUNE)), declared)
    assert [mixture.new for mixture in mixed.breaking] == [frozenset()]
    assert mixed.introducing == ()


def test_one_end_of_a_tunnel_alone_interrupts_and_leaks_nothing(intent: Intent, declared: Configurations) -> None:
    ends = [
        (
            device,
            "tunnels",
            declared[device]["tunnels"],
            declared[device]["tunnels"].replace("aes256gcm16", "aes128gcm16"),
        )
        for device in (COMMUNE, CELL)
    ]
    mixed = mixtures(intent, intent, declared, changed(declared, *ends))
    assert mixed.outcome is Outcome.PASS
    one, both = mixed.of(frozenset({COMMUNE})), mixed.of(frozenset({COMMUNE, CELL}))
    assert "watch-live" in {flow.rule for flow in one.interrupted}
    assert one.disagreements
    assert "watch-live" not in {flow.rule for flow in both.interrupted}
    assert "interrupt watch-live (such as with roussy-le-village/firewall new)" in mixed.summary


def test_what_is_not_modelled_in_a_state_leaves_it_undetermined(intent: Intent, declared: Configurations) -> None:
    odd = (COMMUNE, "filter", "\tchain business {\n", "\tchain business {\n\t\tmeta cpu 0 accept\n")
    mixed = mixtures(intent, intent, declared, changed(declared, odd))
    assert [bool(mixture.undetermined) for mixture in mixed.mixtures] == [False, True]
    assert mixed.outcome is Outcome.UNKNOWN
    assert "1 could not be determined" in mixed.summary


def test_a_device_without_configuration_is_refused(intent: Intent, declared: Configurations) -> None:
    some = {name: sections for name, sections in declared.items() if name != SWITCH}
    with pytest.raises(InputError, match="no configuration of roussy-le-village/core-switch"):
        mixtures(intent, intent, some, declared)


def test_more_devices_than_can_be_mixed_are_refused_with_what_to_do(intent: Intent, declared: Configurations) -> None:
    def copy(name: EquipmentName) -> EquipmentName:
        return EquipmentName(f"{name.site}-two/{name.equipment}")

    copies = tuple(
        site.model_copy(
            update={
                "name": Name(f"{site.name}-two"),
                "equipment": tuple(one.model_copy(update={"name": copy(one.name)}) for one in site.equipment),
            }
        )
        for site in intent.sites
    )
    twice = intent.model_copy(update={"sites": intent.sites + copies})
    old = {**declared, **{copy(name): sections for name, sections in declared.items()}}
    new = {name: {**sections, "filter": "# new"} for name, sections in old.items()}
    assert len(new) > MOST_DEVICES
    with pytest.raises(InputError, match=f"{len(new)} devices change at once.*--site"):
        mixtures(twice, twice, old, new)
