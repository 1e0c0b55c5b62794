"""The way of one packet: what decides at each device, for one that arrives and for one that dies at each stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.cli.configurations import rendered
from cloison.cli.explanation import document, verdict
from cloison.errors import InputError
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.prove.answer import TunnelsAre
from cloison.prove.explain import explain
from cloison.prove.judge import judge
from cloison.prove.packet import UNTAGGED

if TYPE_CHECKING:
    from cloison.intent.network import Intent
    from cloison.prove.configuration import Configurations
    from cloison.prove.explain import Explanation

ROOT = Path(__file__).parents[2]
PILOT = "roussy-le-village"
FIREWALL, SWITCH, HUB = (
    EquipmentName(name) for name in (f"{PILOT}/firewall", f"{PILOT}/core-switch", "crisis-cell/firewall")
)


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


@pytest.fixture(scope="module")
def declared(intent: Intent) -> Configurations:
    return rendered(intent, ROOT / "templates")


def spoilt(
    configurations: Configurations, device: EquipmentName, section: str, *replaced: tuple[str, str]
) -> Configurations:
    text = configurations[device][section]
    for was, becomes in replaced:
        assert was in text
        text = text.replace(was, becomes)
    return {**configurations, device: {**configurations[device], section: text}}


def asked(
    intent: Intent,
    configurations: Configurations,
    sender: str,
    receiver: str,
    service: str,
    tunnels: TunnelsAre = TunnelsAre.UP,
) -> Explanation:
    return explain(intent, configurations, (sender, receiver), service, tunnels)


def test_a_declared_flow_goes_through_every_device_and_back(intent: Intent, declared: Configurations) -> None:
    found = asked(intent, declared, "station-fire", "live-gateway", "live-relay")
    assert (found.arrives, found.conforms) == (True, True)
    assert verdict(found).endswith("gets through, as flow watch-live declares.")
    there = ["crisis-cell/station-fire", "crisis-cell/core-switch", HUB, FIREWALL, SWITCH, f"{PILOT}/live-gateway"]
    assert list(dict.fromkeys(hop.device for hop in found.there.hops)) == there
    assert found.back is not None
    assert list(dict.fromkeys(hop.device for hop in found.back.hops)) == there[::-1]
    said = [hop.what for hop in found.there.hops]
    assert 'forward: rule "watch-live" of chain business: accept' in said
    assert "goes into the tunnel video-roussy-le-village--crisis-cell" in said
    assert said[-1] == "arrives as TCP SYN from 10.56.2.2 port 40000 to 10.56.1.50 port 8322"
    assert all(hop.place is not None and hop.statement for hop in found.there.hops if hop.what.startswith("forward"))


STAGES = [
    (SWITCH, "edge", (("priority=280,in_port=2", "priority=180,in_port=2"),), "port p2: flow of priority 200: dropped"),
    (
        FIREWALL,
        "filter",
        (('iifname "vlan120" ip saddr 10.56.1.32/28', 'iifname "vlan120" ip saddr 10.56.1.32/32'),),
        'prerouting: rule "no-spoofing" of chain source: drop',
    ),
    (FIREWALL, "filter", (("tcp dport 322", "tcp dport 323"),), 'forward: rule "final" of chain final: drop'),
    (
        FIREWALL,
        "interfaces",
        (("address replace 10.56.1.81/29", "address replace 10.57.1.81/29"),),
        "no route takes it anywhere",
    ),
    (FIREWALL, "switch", (("trunks=110,111,120", "trunks=110,111"),), ""),
]


@pytest.mark.parametrize(
    ("device", "section", "replaced", "said"), STAGES, ids=["edge", "prerouting", "forward", "route", "trunk"]
)
def test_a_packet_that_dies_dies_where_it_is_stopped(
    intent: Intent,
    declared: Configurations,
    device: EquipmentName,
    section: str,
    replaced: tuple[tuple[str, str], ...],
    said: str,
) -> None:
    found = asked(intent, spoilt(declared, device, section, *replaced), "nvr", "cam-context", "rtsps")
    assert (found.arrives, found.conforms, found.back) == (False, False, None)
    assert any(hop.device == device and said in hop.what for hop in found.there.hops[-2:])
    assert verdict(found).endswith("is declared by flow record, and it does not get through.")


def test_without_selectors_no_tunnel_carries_it(intent: Intent, declared: Configurations) -> None:
    tunnels = spoilt(declared, HUB, "tunnels", ("local_ts = 10.56.2.0/28", "local_ts = 10.56.2.0/31"))
    found = asked(intent, tunnels, "station-police", "live-gateway", "live-relay")
    assert found.there.hops[-1].what == "no security association carries it"


def test_answers_that_do_not_come_back_are_told_apart(intent: Intent, declared: Configurations) -> None:
    deaf = spoilt(
        declared,
        FIREWALL,
        "filter",
        (
            'ct state established counter accept comment "established"',
            'ct state established counter drop comment "established"',
        ),
    )
    found = asked(intent, deaf, "nvr", "cam-context", "rtsps")
    assert (found.there.arrives, found.arrives, found.conforms) == (True, False, False)
    assert verdict(found).endswith("its answers do not come back.")


def test_with_the_tunnels_down_the_blackhole_takes_it(intent: Intent, declared: Configurations) -> None:
    found = asked(intent, declared, "station-fire", "live-gateway", "live-relay", TunnelsAre.DOWN)
    assert not found.there.arrives
    assert found.there.hops[-1].statement.startswith("route replace blackhole")
    assert asked(intent, declared, "nvr", "cam-context", "rtsps", TunnelsAre.DOWN).arrives


@pytest.mark.parametrize("service", ["https", "tcp/443", "udp/443", "icmp", "ssh", "tcp/65535"])
def test_what_no_flow_declares_must_not_arrive(intent: Intent, declared: Configurations, service: str) -> None:
    found = asked(intent, declared, "nvr", "cam-context", service)
    assert (found.flow, found.there.arrives, found.conforms) == (None, False, True)


def test_a_declared_port_by_its_number_is_the_flow(intent: Intent, declared: Configurations) -> None:
    assert asked(intent, declared, "nvr", "cam-context", "tcp/322").flow is not None


def test_what_arrives_and_is_not_declared_does_not_conform(intent: Intent, declared: Configurations) -> None:
    open_wide = spoilt(declared, FIREWALL, "filter", ("\t\tjump noise\n", "\t\taccept\n"))
    found = asked(intent, open_wide, "nvr", "cam-context", "icmp")
    assert (found.there.arrives, found.conforms) == (True, False)
    assert verdict(found).endswith("gets through, and no flow declares it.")
    assert document(found)["permitted"] is False


def test_what_the_network_itself_needs_conforms(intent: Intent, declared: Configurations) -> None:
    found = asked(intent, declared, f"{PILOT}/technician", str(FIREWALL), "ssh")
    assert (found.flow, found.arrives, found.permitted, found.conforms) == (None, True, True, True)
    assert not asked(intent, declared, f"{PILOT}/technician", str(FIREWALL), "https").there.arrives


@pytest.mark.parametrize(
    ("sender", "receiver", "service", "said"),
    [
        ("nope", "nvr", "ssh", "nope: no such place"),
        ("nvr", "firewall", "ssh", "firewall: more than one place ends so"),
        ("nvr", "operator", "gopher", "gopher: no such service; expected one of ssh"),
        ("nvr", "operator", "tcp/0", "tcp/0: no such service"),
        ("nvr", "operator", "tcp/65536", "tcp/65536: no such service"),
        ("nvr", "operator", "TCP/22", "no such service"),
        ("nvr", "operator", "tcp/22\n", "no such service"),
        ("nvr", "operator", "", "no such service"),
    ],
)
def test_wrong_names_are_said(
    intent: Intent, declared: Configurations, sender: str, receiver: str, service: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        asked(intent, declared, sender, receiver, service)


def test_the_wide_area_network_is_stopped_at_the_door(intent: Intent, declared: Configurations) -> None:
    for receiver in ("nvr", "wan", str(FIREWALL), "crisis-cell/tunnels"):
        found = asked(intent, declared, "wan", receiver, "tcp/80")
        assert found.there.hops[-1].what == 'prerouting: rule "no-spoofing" of chain source: drop', receiver


def test_a_witness_is_the_frame_as_it_was_sent(intent: Intent, declared: Configurations) -> None:
    """A port that is made a trunk lets its holder speak with a tag into a segment of others."""
    trunk = spoilt(
        declared,
        SWITCH,
        "switch",
        (
            "add-port br0 p2 vlan_mode=access tag=120 protected=true",
            "add-port br0 p2 vlan_mode=trunk trunks=120,140 protected=true",
        ),
    )
    no_edge = spoilt(
        trunk, SWITCH, "edge", ("in_port=2,vlan_tci=0x1000/0x1000,actions=drop", "in_port=2,actions=NORMAL")
    )
    answer = judge(intent, no_edge)
    tagged = [
        one.witness
        for one in answer.findings
        if one.witness is not None and one.witness.sender == f"{PILOT}/nvr" and one.witness.packet["tag"] == 140
    ]
    assert tagged
    assert all("tag 140" in one.text for one in tagged)
    assert all(one.packet["inner_tag"] == UNTAGGED for one in tagged)


def test_what_is_not_modelled_is_not_said_to_be_stopped(intent: Intent, declared: Configurations) -> None:
    text = ("\tchain business {\n", "\tchain business {\n\t\tmeta cpu 0 accept\n")
    found = asked(intent, spoilt(declared, FIREWALL, "filter", text), "nvr", "cam-context", "https")
    assert not found.determined
    assert "cannot be determined" in verdict(found)
    assert asked(intent, declared, "nvr", "cam-context", "https").determined
