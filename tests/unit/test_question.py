"""The question that probes ask, against the hand-written table of who reaches whom and a small count by hand."""

import csv
from collections import Counter
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from cloison.intent.load import load
from cloison.intent.network import Intent
from cloison.model import EquipmentName
from cloison.probe.question import (
    OUTSIDE,
    ROGUE,
    PacketKind,
    Pair,
    Probe,
    Way,
    packets,
    pairs,
    probes,
    vantage_names,
)

ROOT = Path(__file__).parents[2]
ADDRESSES = {OUTSIDE[0]: IPv4Address("203.0.113.66"), OUTSIDE[1]: IPv4Address("203.0.113.67")}


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


@pytest.fixture(scope="module")
def asked(intent: Intent) -> dict[Pair, tuple[Probe, ...]]:
    return probes(intent, ADDRESSES)


def pair(source: str, destination: str) -> Pair:
    return Pair(EquipmentName(source), EquipmentName(destination))


def test_pairs_are_all_equipment_with_an_address_and_the_outside(intent: Intent) -> None:
    names = vantage_names(intent)
    assert len(names) == len(set(names)) == 18 + 2
    assert len(pairs(intent)) == 20 * 19 - 2
    assert pair("wan/internet-host", "wan/rogue-laptop") not in pairs(intent)


def test_packets_are_those_of_all_services_and_what_an_intruder_tries_first(intent: Intent) -> None:
    ports = [22, 53, 80, 123, 322, 443, 445, 554, 3702, 6514, 8000, 8322, 37777]
    assert [packet.port for packet in packets(intent) if packet.kind is PacketKind.UDP] == ports
    assert Counter(packet.kind for packet in packets(intent)) == {
        PacketKind.TCP_SYN: 13,
        PacketKind.TCP_ACK: 13,
        PacketKind.UDP: 13,
        PacketKind.ICMP_ECHO: 1,
    }


def test_expected_probes_of_the_commune_are_the_table_written_by_hand(
    asked: dict[Pair, tuple[Probe, ...]],
) -> None:
    with (ROOT / "tests/golden/roussy-le-village.reach.csv").open(encoding="utf-8", newline="") as file:
        table = {(row["from"], row["to"], row["service"]) for row in csv.DictReader(file)}
    expected = {
        (probe.source, probe.destination, probe.flow.service.name)
        for between in asked.values()
        for probe in between
        if probe.flow and "roussy-le-village" in {probe.source.site, probe.destination.site}
    }
    assert expected == table


def test_every_authorised_flow_is_expected_once(intent: Intent, asked: dict[Pair, tuple[Probe, ...]]) -> None:
    expected = [probe.flow.key for between in asked.values() for probe in between if probe.flow]
    assert sorted(expected) == sorted(flow.key for flow in intent.flows)


def test_a_bare_ack_and_an_echo_are_never_expected(asked: dict[Pair, tuple[Probe, ...]]) -> None:
    kinds = {probe.packet.kind for between in asked.values() for probe in between if probe.flow}
    assert kinds == {PacketKind.TCP_SYN, PacketKind.UDP}


def test_neighbours_are_tried_past_the_gateway_too(asked: dict[Pair, tuple[Probe, ...]]) -> None:
    between = asked[pair("crisis-cell/station-fire", "crisis-cell/station-police")]
    assert Counter(probe.way for probe in between) == {Way.GATEWAY: 40, Way.NEIGHBOUR: 40}
    assert {probe.way for probe in asked[pair("crisis-cell/station-fire", "crisis-cell/firewall")]} == {Way.GATEWAY}


def test_the_rogue_laptop_comes_by_the_last_hop_and_in_the_name_of_who_may(
    asked: dict[Pair, tuple[Probe, ...]],
) -> None:
    probes_of_rogue = asked[pair(ROGUE, "roussy-le-village/core-switch")]
    assert {probe.way for probe in probes_of_rogue} == {Way.LAST_HOP}
    pretended = [probe for probe in probes_of_rogue if probe.pretended]
    assert [(str(probe), probe.pretended, str(probe.sender), probe.flow) for probe in pretended] == [
        (
            "tcp-syn/22 to 10.56.1.3 by last hop in the name of operations-centre/administration-station",
            "operations-centre/administration-station",
            "10.56.3.2",
            None,
        )
    ]


def test_a_firewall_is_tried_at_each_address_that_the_source_could_use(asked: dict[Pair, tuple[Probe, ...]]) -> None:
    targets = {
        source: sorted({str(probe.target) for probe in asked[pair(source, "roussy-le-village/firewall")]})
        for source in ("roussy-le-village/cam-context", "roussy-le-village/ups", "crisis-cell/station-fire", OUTSIDE[1])
    }
    assert targets == {
        "roussy-le-village/cam-context": ["10.56.1.1", "10.56.1.81"],
        "roussy-le-village/ups": ["10.56.1.1"],
        "crisis-cell/station-fire": ["10.56.1.1"],
        OUTSIDE[1]: ["10.56.1.1", "192.0.2.2"],
    }


def test_an_outside_without_address_is_refused(intent: Intent) -> None:
    with pytest.raises(ValueError, match="wan/internet-host has no address"):
        probes(intent, {})
