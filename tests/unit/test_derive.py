"""What follows from the pilot's inventory: addresses, VLAN membership, tunnels, flows."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from cloison.intent.derive import segment_prefixes, site_prefix
from cloison.intent.load import load, read
from cloison.intent.network import Intent, PortMode
from cloison.model import EquipmentName, Name
from cloison.workspace import find_workspace

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(find_workspace(ROOT))


def test_segments_are_carved_largest_first_and_never_overlap(intent: Intent) -> None:
    site = intent.site_by_name[Name("roussy-le-village")]
    prefixes = [segment.prefix for segment in site.segments]
    assert site.prefix == IPv4Network("10.56.1.0/24")
    assert prefixes[0] == IPv4Network("10.56.1.0/27")
    assert all(prefix.subnet_of(site.prefix) for prefix in prefixes)
    assert not any(a.overlaps(b) for n, a in enumerate(prefixes) for b in prefixes[n + 1 :])


def test_addresses_follow_blueprint_order_after_the_gateway(intent: Intent) -> None:
    addresses = {str(name): equipment.address for name, equipment in intent.equipment_by_name.items()}
    assert addresses["roussy-le-village/firewall"] == IPv4Address("10.56.1.1")
    assert addresses["roussy-le-village/pole-switch"] == IPv4Address("10.56.1.2")
    assert addresses["roussy-le-village/core-switch"] == IPv4Address("10.56.1.3")
    assert addresses["roussy-le-village/ups"] == IPv4Address("10.56.1.4")
    assert addresses["crisis-cell/station-police"] == IPv4Address("10.56.2.3")


@pytest.mark.parametrize(
    ("equipment", "port", "mode", "vlans"),
    [
        ("roussy-le-village/pole-switch", "p1", PortMode.ACCESS, (110,)),
        ("roussy-le-village/pole-switch", "p3", PortMode.UNUSED, (999,)),
        ("roussy-le-village/pole-switch", "sfp1", PortMode.TRUNK, (110, 111, 150)),
        ("roussy-le-village/core-switch", "sfp1", PortMode.TRUNK, (110, 111, 150)),
        ("roussy-le-village/core-switch", "p1", PortMode.TRUNK, (110, 111, 120, 130, 140, 150)),
        ("roussy-le-village/firewall", "trunk", PortMode.TRUNK, (110, 111, 120, 130, 140, 150)),
        ("roussy-le-village/firewall", "wan0", PortMode.ROUTED, ()),
        ("crisis-cell/core-switch", "p2", PortMode.ACCESS, (210,)),
    ],
)
def test_port_membership_follows_from_the_cables(
    intent: Intent, equipment: str, port: str, mode: PortMode, vlans: tuple[int, ...]
) -> None:
    found = intent.equipment_by_name[EquipmentName(equipment)].port(port)
    assert (found.mode, found.vlans) == (mode, vlans)


@pytest.mark.parametrize(
    ("equipment", "port", "attached"),
    [
        ("core-switch", "sfp1", {"pole-switch", "cam-context", "cam-narrow"}),
        ("core-switch", "p1", set()),
        ("core-switch", "p2", {"nvr"}),
        ("pole-switch", "sfp1", set()),
        ("pole-switch", "p1", {"cam-context"}),
        ("firewall", "trunk", set()),
    ],
)
def test_who_is_attached_lives_on_the_side_away_from_the_firewall(
    intent: Intent, equipment: str, port: str, attached: set[str]
) -> None:
    found = intent.equipment_by_name[EquipmentName(f"roussy-le-village/{equipment}")].port(port).attached
    assert {str(name.equipment) for name in found} == attached


def test_no_vlan_of_a_camera_reaches_the_other_camera_s_port(intent: Intent) -> None:
    switch = intent.equipment_by_name[EquipmentName("roussy-le-village/pole-switch")]
    assert set(switch.port("p1").vlans).isdisjoint(switch.port("p2").vlans)


def test_tunnel_selectors_are_the_segments_of_the_flows_carried(intent: Intent) -> None:
    selectors = {
        str(t.name): ([str(p) for p in t.initiator.selectors], [str(p) for p in t.responder.selectors])
        for t in intent.tunnels
    }
    assert selectors["video-roussy-le-village--crisis-cell"] == (["10.56.1.48/28"], ["10.56.2.0/28"])
    commune, centre = selectors["administration-roussy-le-village--operations-centre"]
    assert commune[0] == "10.56.1.0/27", "management comes first: its address is the source of the firewall's own"
    assert len(commune) == 6
    assert centre == ["10.56.3.0/28", "10.56.3.16/28"]
    assert len(selectors) == 3


def test_a_firewall_is_asked_for_the_time_at_the_gateway_of_who_asks(intent: Intent) -> None:
    asked = {
        str(flow.source.name): flow.destination.address
        for flow in intent.flows
        if flow.rule == "time" and flow.source.name.site == "roussy-le-village"
    }
    for name, address in asked.items():
        source = intent.equipment_by_name[EquipmentName(name)]
        segment = intent.site_by_name[Name("roussy-le-village")].segment_by_name[Name(str(source.segment))]
        assert address == segment.gateway
    assert len(asked) == 8


def test_an_index_outside_the_plan_is_refused() -> None:
    files = read(find_workspace(ROOT))
    assert site_prefix(files.network, 1023) == IPv4Network("10.59.255.0/24")
    with pytest.raises(ValueError, match="outside"):
        site_prefix(files.network, 1024)


def test_segments_that_do_not_fit_are_refused() -> None:
    files = read(find_workspace(ROOT))
    with pytest.raises(ValueError, match="does not fit"):
        segment_prefixes(IPv4Network("10.56.1.0/27"), files.blueprints[Name("compact-site")])
