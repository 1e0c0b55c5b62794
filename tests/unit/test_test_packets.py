"""The test packets: every permit rule once, everything just outside refused, what shadows a rule named."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloison.cli.configurations import rendered
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.prove.answer import TunnelsAre
from cloison.prove.cover import Cover, PacketTest, cover
from cloison.prove.matching import maximum_matching, minimum_edge_cover
from cloison.prove.network import Prover
from cloison.prove.way import Tracing

if TYPE_CHECKING:
    from cloison.intent.network import Intent
    from cloison.prove.configuration import Configurations

ROOT = Path(__file__).parents[2]
COMMUNE = EquipmentName("roussy-le-village/firewall")
RULES = "\tchain business {\n"


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


@pytest.fixture(scope="module")
def declared(intent: Intent) -> Configurations:
    return rendered(intent, ROOT / "templates")


@pytest.fixture(scope="module")
def pilot(intent: Intent, declared: Configurations) -> Cover:
    return cover(intent, declared)


def with_rules(declared: Configurations, more: str, behind: str = RULES) -> Configurations:
    sections = declared[COMMUNE]
    assert behind in sections["filter"]
    return {**declared, COMMUNE: {**sections, "filter": sections["filter"].replace(behind, f"{behind}{more}")}}


def arriving(found: Cover, *, arrives: bool) -> list[PacketTest]:
    return [test for test in found.packets if test.arrives is arrives]


def test_every_permit_rule_is_exercised_or_said_why_not(pilot: Cover, declared: Configurations) -> None:
    written = sum(
        line.split(" comment ")[0].endswith("accept")
        for device in declared
        for line in declared[device].get("filter", "").splitlines()
    )
    assert len(pilot.rules) + len(pilot.unexercised) == written
    assert {one.why for one in pilot.unexercised} == {
        "it permits what the device sends to itself",
        "it permits errors about conversations that exist",
        "it permits what belongs to conversations that exist: the answers to the other tests meet it",
    }
    assert pilot.shadowed == ()


def test_no_packet_can_be_left_out(pilot: Cover) -> None:
    tests = arriving(pilot, arrives=True)
    for test in tests:
        others = {rule for other in tests if other is not test for rule in other.rules}
        assert set(test.rules) - others, test.text


def test_what_is_to_arrive_arrives_and_what_is_outside_does_not(
    intent: Intent, declared: Configurations, pilot: Cover
) -> None:
    tracing = Tracing(Prover(intent).network(declared), TunnelsAre.UP)
    for test in pilot.packets:
        packet = {name: value for name, value in test.packet.items() if name not in {"sender", "receiver"}}
        way = tracing.way(test.sender, test.receiver, {**test.packet, **packet})
        assert way.arrives is test.arrives, (test.text, [hop.what for hop in way.hops])


def test_the_rules_on_the_way_are_those_that_are_named(intent: Intent, declared: Configurations, pilot: Cover) -> None:
    tracing = Tracing(Prover(intent).network(declared), TunnelsAre.UP)
    for test in arriving(pilot, arrives=True):
        met = {hop.place for hop in tracing.way(test.sender, test.receiver, test.packet).hops}
        assert {rule.place for rule in test.rules if rule.hook != "prerouting"} <= met, test.text


def test_boundaries_of_a_rule_are_next_to_it(pilot: Cover) -> None:
    outside = {
        test.boundary
        for test in arriving(pilot, arrives=False)
        if test.sender == "crisis-cell/station-fire" and COMMUNE in {rule.device for rule in test.rules}
    }
    assert outside == {
        "source 10.56.2.2 → 10.56.2.1",
        "source 10.56.2.2 → 10.56.2.4",
        "destination 10.56.1.50 → 10.56.1.49",
        "destination 10.56.1.50 → 10.56.1.51",
        "destination port 8322 → 8321",
        "destination port 8322 → 8323",
        "protocol tcp → udp",
    }


def test_packets_are_in_human_form(pilot: Cover) -> None:
    test = next(one for one in pilot.packets if one.sender == "crisis-cell/station-fire")
    assert test.text == "TCP SYN from 10.56.2.2 port 40000 to 10.56.1.50 port 8322"
    assert test.receiver == "roussy-le-village/live-gateway"


def test_a_rule_behind_one_that_takes_all_of_it_is_shadowed_by_it(intent: Intent, declared: Configurations) -> None:
    first, late = 'tcp dport 8322 drop comment "first"', 'tcp dport 8322 ip daddr 10.56.1.50 accept comment "late"'
    changed = with_rules(declared, f"\t\t{first}\n\t\t{late}\n")
    found = {one.rule.comment: one for one in cover(intent, changed).shadowed}
    assert [rule.comment for rule in found["late"].by][-1] == "first"
    assert "watch-live" in found


def test_a_rule_that_matches_nothing_is_dead(intent: Intent, declared: Configurations) -> None:
    dead = '\t\ttcp dport 80 udp dport 80 accept comment "never"\n'
    (found,) = cover(intent, with_rules(declared, dead)).shadowed
    assert (found.rule.comment, found.by) == ("never", ())


def test_a_rule_for_nothing_that_is_declared_has_no_test(intent: Intent, declared: Configurations) -> None:
    wide = '\t\tiifname "vlan120" tcp dport 9 counter accept comment "discard"\n'
    found = cover(intent, with_rules(declared, wide))
    assert [one.why for one in found.unexercised if one.rule.comment == "discard"] == [
        "nothing that is declared and arrives meets it"
    ]


GRAPHS = st.dictionaries(st.integers(0, 4), st.lists(st.integers(0, 4), unique=True, max_size=4), max_size=5)


@given(GRAPHS)
def test_matching_is_as_large_as_trying_everything(edges: dict[int, list[int]]) -> None:
    found = maximum_matching(edges)
    assert all(right in edges[left] for left, right in found.items())
    assert len(set(found.values())) == len(found)
    best = max(
        sum(right in edges[left] for left, right in zip(edges, order, strict=False)) for order in permutations(range(5))
    )
    assert len(found) == best


@given(GRAPHS)
def test_edge_cover_leaves_nobody_out_and_is_least(edges: dict[int, list[int]]) -> None:
    found = minimum_edge_cover(edges)
    assert {left for left, _ in found} == {left for left, rights in edges.items() if rights}
    assert {right for _, right in found} == {right for rights in edges.values() for right in rights}
    nodes = len({left for left, _ in found}) + len({right for _, right in found})
    assert len(found) == nodes - len(maximum_matching(edges))
