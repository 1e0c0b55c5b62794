"""A bridge as a function on sets of frames: what has to be unknown, what is shut, what an explanation says."""

from pathlib import Path

import pytest

from cloison.model import EquipmentName
from cloison.prove.bridge import Bridge, Hub
from cloison.prove.packet import UNTAGGED, Frames
from cloison.prove.parse.openflow import parse_edge
from cloison.prove.parse.switch import parse_switch

DEVICE = EquipmentName("somewhere/switch")
POLE = Path(__file__).parents[1] / "golden" / "render" / "roussy-le-village" / "pole-switch"
ROWS = """\
add-br br0
add-port br0 p1 tag=10
set interface p1 ofport_request=1
add-port br0 p2 vlan_mode=native-untagged tag=10 trunks=10,20
set interface p2 ofport_request=2
add-port br0 p3 tag=20
set interface p3 ofport_request=3
"""


def bridge(frames: Frames, rows: str = ROWS, flows: str | None = None, shut: str = "") -> Bridge:
    table = None if flows is None else parse_edge(DEVICE, flows).model
    return Bridge(frames, parse_switch(DEVICE, rows).model, table, lambda port: port != shut)


@pytest.fixture
def frames() -> Frames:
    return Frames()


def test_frames_go_to_every_port_of_their_vlan_and_never_back(frames: Frames) -> None:
    arriving = frames.box(tag=UNTAGGED) & frames.well_formed
    out = bridge(frames).through("p1", arriving).out
    assert set(out) == {"p2", "br0"}
    assert out["p2"] <= arriving
    assert out["br0"] <= frames.box(tag=10)


def test_a_priority_tag_hops_through_the_native_vlan(frames: Frames) -> None:
    hopping = frames.box(tag=0, inner_tag=20, ethernet_type=0x0800) & frames.well_formed
    assert bridge(frames).through("p1", hopping).out["p2"] <= frames.box(tag=20, inner_tag=UNTAGGED)
    held = bridge(frames, ROWS.replace("native-untagged", "native-tagged")).through("p1", hopping)
    assert held.out["p2"] <= frames.box(tag=10, inner_tag=20)


def test_a_shut_port_neither_hears_nor_speaks(frames: Frames) -> None:
    assert not bridge(frames, shut="p1").through("p1", frames.well_formed).out
    assert "p1" not in bridge(frames, shut="p1").through("p2", frames.well_formed).out


def test_a_secure_bridge_without_flows_passes_nothing(frames: Frames) -> None:
    secure = ROWS + "set bridge br0 fail_mode=secure\n"
    assert not bridge(frames, secure).through("p1", frames.well_formed).out
    assert not bridge(frames, flows="").through("p1", frames.well_formed).out


@pytest.mark.parametrize(
    ("rows", "flows"),
    [
        (ROWS + "set port p1 lacp=active\n", None),
        (ROWS + "set bridge br0 mcast_snooping_enable=true\n", None),
        (ROWS + "emer-reset\n", None),
        (ROWS, "actions=resubmit(,1)"),
        (ROWS, "nonsense"),
        (ROWS, "priority=5,actions=drop\npriority=5,in_port=1,actions=NORMAL"),
        (ROWS.replace("ofport_request=1", "ofport_request=2"), "in_port=2,actions=NORMAL"),
    ],
)
def test_what_is_not_known_is_unknown_with_its_reason(frames: Frames, rows: str, flows: str | None) -> None:
    switched = bridge(frames, rows, flows).through("p1", frames.well_formed)
    assert switched.unknown
    assert switched.reasons


def test_an_unknown_flow_takes_no_frames_from_those_above_it(frames: Frames) -> None:
    flows = "priority=9,arp,actions=drop\npriority=8,dl_vlan_pcp=1,actions=drop\npriority=1,actions=NORMAL"
    switched = bridge(frames, flows=flows).through("p1", frames.well_formed)
    assert not switched.unknown & frames.arp & frames.box(inner_tag=UNTAGGED)
    assert frames.ipv4 & frames.well_formed & frames.box(inner_tag=UNTAGGED) <= switched.unknown


def test_the_pole_switch_lets_a_camera_to_its_gateway_alone(frames: Frames) -> None:
    pole = bridge(frames, (POLE / "switch").read_text(), (POLE / "edge").read_text())
    switched = pole.through("p1", frames.well_formed)
    assert set(switched.out) == {"sfp1"}
    assert not switched.unknown
    assert switched.out["sfp1"] <= frames.box(tag=110, inner_tag=UNTAGGED, mac_source=0x020000000111)
    assert not pole.through("p3", frames.well_formed).out


def test_the_deciding_flow_is_named(frames: Frames) -> None:
    pole = bridge(frames, (POLE / "switch").read_text(), (POLE / "edge").read_text())
    packet = frames.box(tag=UNTAGGED, ethernet_type=0x86DD).witness() | {"inner_tag": UNTAGGED}
    steps = pole.deciding("p1", packet)
    assert steps[0].what == "flow of priority 480: dropped"
    assert steps[0].statement is not None
    assert "ipv6" in steps[0].statement.text.shown()
    passing = pole.through("p1", frames.well_formed).out["sfp1"].setting(tag=UNTAGGED).witness()
    words = [step.what for step in pole.deciding("p1", passing)]
    assert words[1:] == ["in VLAN 110 by port p1 (access)", "leaves by sfp1 with tag 110"]


def test_a_hub_repeats_everything_as_it_is(frames: Frames) -> None:
    hub = Hub(frames, ("a", "b", "c"), lambda port: port != "c")
    switched = hub.through("a", frames.well_formed)
    assert switched.out == {"b": frames.well_formed}
    assert not switched.unknown
