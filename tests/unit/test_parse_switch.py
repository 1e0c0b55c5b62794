"""The sections `switch` and `edge` as models: what is read, what is not modelled, what is wrong in itself."""

import random
from pathlib import Path

import pytest

from cloison.model import EquipmentName
from cloison.prove.openflow import Flow
from cloison.prove.packet import UNTAGGED
from cloison.prove.parse.openflow import parse_edge
from cloison.prove.parse.switch import parse_switch
from cloison.prove.switch import LOCAL, PriorityTags, SwitchPort, VlanMode

DEVICE = EquipmentName("somewhere/switch")
RENDERED = Path(__file__).parents[1] / "golden" / "render"
SECTIONS = sorted(path.relative_to(RENDERED).as_posix() for path in RENDERED.glob("*/*/switch"))
EDGES = sorted(path.relative_to(RENDERED).as_posix() for path in RENDERED.glob("*/*/edge"))
READ_BACK = """\
bridge br0 datapath_type=netdev fail_mode=secure other_config=disable-in-band:true
interface br0/br0/br0 type=internal
interface br0/management/management ofport_request=100 type=internal
interface br0/p1/p1 ofport_request=1
interface br0/p2/p2 ofport_request=2
interface br0/p3/p3 ofport_request=3
interface br0/sfp1/sfp1 ofport_request=4
port br0/br0 tag=999 vlan_mode=access
port br0/management protected=true tag=150 vlan_mode=access
port br0/p1 protected=true tag=110 vlan_mode=access
port br0/p2 protected=true tag=111 vlan_mode=access
port br0/p3 protected=true tag=999 vlan_mode=access
port br0/sfp1 tag=999 trunks=110,111,150 vlan_mode=native-tagged
"""
"""What ovsdb-client says of the pole switch's rendered section (device/rows.py)."""
BARE = "bridge br0\ninterface br0/br0/br0 type=internal\nport br0/br0\n"
WITH_PORT = BARE + "interface br0/p1/p1\n"


def port_of(settings: str) -> SwitchPort:
    parsed = parse_switch(DEVICE, f"{WITH_PORT}port br0/p1 {settings}\n")
    return next(port for port in parsed.model.bridges[0].ports if port.name == "p1")


def unmodelled(text: str) -> list[str]:
    return [one.what for one in parse_switch(DEVICE, text).unmodelled]


def flow(line: str) -> Flow:
    parsed = parse_edge(DEVICE, line)
    (one,) = parsed.model.flows
    return one


def not_modelled(line: str) -> list[str]:
    return [one.what for one in parse_edge(DEVICE, line).unmodelled]


@pytest.mark.parametrize("section", SECTIONS)
def test_rendered_rows_are_modelled_whole(section: str) -> None:
    text = (RENDERED / section).read_text()
    parsed = parse_switch(DEVICE, text)
    assert parsed.read == parsed.modelled == len(text.splitlines())
    assert not parsed.notices
    assert [bridge.name for bridge in parsed.model.bridges] == ["br0"]
    assert len(parsed.model.bridges[0].ports) == text.count("add-port") + 1


@pytest.mark.parametrize("section", EDGES)
def test_rendered_flows_are_modelled_whole(section: str) -> None:
    text = (RENDERED / section).read_text()
    parsed = parse_edge(DEVICE, text)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert parsed.read == parsed.modelled == len(parsed.model.flows) == len(lines)
    assert not parsed.notices


def test_what_is_read_back_is_the_model_of_what_was_rendered() -> None:
    rendered = (RENDERED / "roussy-le-village" / "pole-switch" / "switch").read_text()
    assert parse_switch(DEVICE, READ_BACK).model == parse_switch(DEVICE, rendered).model


@pytest.mark.parametrize("line", READ_BACK.splitlines()[2:])
def test_a_row_that_differs_makes_another_model(line: str) -> None:
    other = line.replace("=1", "=2").replace("=999", "=998").replace("=true", "=false").replace("=4", "=5")
    if line == other:
        other = line.replace("=3", "=6").replace("=2", "=7")
    assert (
        parse_switch(DEVICE, READ_BACK.replace(f"{line}\n", f"{other}\n")).model
        != parse_switch(DEVICE, READ_BACK).model
    )


def test_a_port_without_a_mode_is_what_its_tag_makes_it() -> None:
    assert (port_of("tag=10").mode, port_of("tag=10").tag) == (VlanMode.ACCESS, 10)
    assert (port_of("").mode, port_of("").trunks) == (VlanMode.TRUNK, frozenset())
    assert port_of("trunks=1,5").trunks == {1, 5}


def test_settings_of_a_port_are_read() -> None:
    port = port_of("cvlans=5 other_config=priority-tags:if-nonzero protected=true tag=9 vlan_mode=dot1q-tunnel")
    assert (port.mode, port.tag, sorted(port.customer_vlans)) == (VlanMode.DOT1Q_TUNNEL, 9, [5])
    assert (port.protected, port.priority_tags, port.number) == (True, PriorityTags.MAYBE, None)
    assert parse_switch(DEVICE, BARE).model.bridges[0].ports[0].number == LOCAL


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("port br0/p1 tag=5000", "tag=5000"),
        ("port br0/p1 tag=x", "tag=x"),
        ("port br0/p1 vlan_mode=other", "vlan_mode=other"),
        ("port br0/p1 protected=perhaps", "protected=perhaps"),
        ("port br0/p1 lacp=active", "lacp=active"),
        ("port br0/p1 fake_bridge=true tag=3", "fake_bridge=true"),
        ("port br0/p1 other_config=qinq-ethtype:802.1q", "other_config:qinq-ethtype=802.1q"),
        ("bridge br1 mcast_snooping_enable=true", "mcast_snooping_enable=true"),
        ("bridge br1 fail_mode=open", "fail_mode=open"),
        ("open_vswitch . other_config=vlan-limit:2", "other_config:vlan-limit=2"),
        ("interface br0/p1/p1 lldp=enable:true", "lldp:enable=true"),
        ("flow_table br0/- flow_limit=3", "flow_table"),
        ("controller br0/tcp:192.0.2.1 target=tcp:192.0.2.1", "controller"),
        ("mirror br0/m output_vlan=7", "output_vlan=7"),
        ("port br9/p9 tag=1", "port without an owner"),
        ("sprot br0/p1 tag=1", "sprot"),
        ("port", "port"),
        ("port br0/p1 tag", "port"),
        ("add-bond br0 b e1 e2", "add-bond"),
        ('set port p1 tag="1', "set"),
    ],
)
def test_what_is_not_known_is_named(row: str, what: str) -> None:
    kept = f"{BARE}port br0/p1\n" if row.startswith("interface") else WITH_PORT
    parsed = parse_switch(DEVICE, f"{kept}{row}\n")
    assert what in [one.what for one in parsed.unmodelled]
    assert next(one for one in parsed.unmodelled if one.what == what).statement.text.shown() == row
    bridges = parsed.model.bridges
    assert any(bridge.is_opaque or any(port.is_opaque for port in bridge.ports) for bridge in bridges)


@pytest.mark.parametrize("kind", ["patch", "vxlan", "gre", "geneve"])
def test_ports_to_elsewhere_are_a_notice_and_not_known(kind: str) -> None:
    parsed = parse_switch(DEVICE, f"{BARE}interface br0/p1/p1 options=peer:x type={kind}\nport br0/p1 tag=3\n")
    assert len(parsed.notices) == 1
    assert f"type={kind}" in [one.what for one in parsed.unmodelled]


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("mirror br0/copy output_port=br0/p1 select_all=true", "mirror"),
        ("controller br0/tcp:192.0.2.1 target=tcp:192.0.2.1", "controller"),
        ("manager tcp:192.0.2.1 target=tcp:192.0.2.1", "manager"),
        ("bridge br1", "second bridge"),
        ("sflow br0/- targets=192.0.2.1", "samples"),
    ],
)
def test_what_is_wrong_in_itself_is_a_notice(row: str, word: str) -> None:
    (notice,) = parse_switch(DEVICE, f"{WITH_PORT}port br0/p1 tag=1\n{row}\n").notices
    assert word in notice.what
    assert notice.statement.text.shown() == row


def test_what_decides_about_no_frame_is_modelled() -> None:
    row = 'external_ids=x:"a\\u0020b,c=d" other_config=transient:true qos=br0/p1/- tag=1'
    text = f"{WITH_PORT}port br0/p1 {row}\nqos br0/p1/- type=linux-htb\n"
    assert not unmodelled(text)
    assert not unmodelled("add-br br0\nset bridge br0 other_config={hwaddr=02:00:00:00:00:01,mac-aging-time=5}\n")


def test_flows_are_read_in_both_forms() -> None:
    rendered = "table=0,priority=300,in_port=2,arp,dl_src=02:00:00:00:01:20,arp_spa=10.56.1.34,actions=NORMAL"
    read_back = "table=0,priority=300,arp,in_port=2,dl_src=02:00:00:00:01:20,arp_spa=10.56.1.34 actions=NORMAL"
    assert flow(rendered) == flow(read_back)
    assert flow(rendered).match == (
        (
            ("ethernet_type", 0x0806),
            ("inner_tag", UNTAGGED),
            ("mac_source", 0x020000000120),
            ("source", 0x0A380122),
        ),
    )


@pytest.mark.parametrize(
    ("words", "field", "values"),
    [
        ("dl_vlan=10", "tag", 10),
        ("dl_vlan=0xffff", "tag", UNTAGGED),
        ("vlan_tci=0", "tag", UNTAGGED),
        ("vlan_tci=0x1000/0x1000", "tag", (0, 4095)),
        ("vlan_tci=0x000a/0x0fff", "tag", 10),
        ("vlan_tci=0/0x0fff", "tag", frozenset({(0, 0), (4096, 4096)})),
        ("vlan_vid=0x1004/0x1ffe", "tag", (4, 5)),
        ("ip,nw_src=10.0.0.0/8", "source", (0x0A000000, 0x0AFFFFFF)),
        ("ip,nw_dst=10.0.0.1/255.255.255.254", "destination", (0x0A000000, 0x0A000001)),
        ("arp,nw_src=10.0.0.1", "source", 0x0A000001),
        ("ipv6,ipv6_src=fe80::/10", "source", (0xFE80 << 112, (0xFEC0 << 112) - 1)),
        ("ip,nw_frag=yes", "fragment", (1, 2)),
        ("dl_type=0x05ff", "ethernet_type", (0, 0x05FF)),
        ("tcp,tcp_flags=+syn-ack", "tcp_flags", frozenset((n, n + 1) for n in range(2, 256, 4) if not n & 16)),
    ],
)
def test_conditions_are_intervals(words: str, field: str, values: object) -> None:
    (conditions,) = flow(f"{words},actions=drop").match
    found = dict(conditions)[field]
    if field == "tcp_flags":
        assert isinstance(found, frozenset)
        numbers = {number for low, high in found for number in range(low, high + 1)}
        assert numbers == {number for number in range(256) if number & 2 and not number & 16}
    else:
        assert found == values


def test_ports_of_fragments_are_zero_to_a_switch() -> None:
    whole = [dict(one) for one in flow("udp,tp_src=67,actions=drop").match]
    assert [(one["fragment"], one.get("source_port")) for one in whole] == [(0, 67)]
    zero = [dict(one) for one in flow("udp,tp_src=0,actions=drop").match]
    assert [(one["fragment"], one.get("source_port")) for one in zero] == [(0, 0), (1, None), (2, None)]
    later = [dict(one) for one in flow("ipv6,nw_proto=44,actions=drop").match]
    assert [(one["fragment"], one.get("protocol")) for one in later] == [(0, 44), (1, 44), (2, None)]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("dl_vlan_pcp=3,actions=drop", "dl_vlan_pcp=3"),
        ("nw_src=10.0.0.1,actions=drop", "nw_src=10.0.0.1"),
        ("ip,tp_src=5,actions=drop", "tp_src=5"),
        ("ip,nw_src=1.2.3.4.5,actions=drop", "nw_src=1.2.3.4.5"),
        ("dl_src=2:0:0,actions=drop", "dl_src=2:0:0"),
        ("dl_type=0x8100,actions=drop", "dl_type=0x8100"),
        ("ip,arp,actions=drop", "arp"),
        ("vlan_tci=0x3005/0xffff,actions=drop", "vlan_tci=0x3005/0xffff"),
        ("tcp,tcp_flags=0x2,actions=drop", "tcp_flags=0x2"),
        ("ip,nw_tos=16,actions=NORMAL", "nw_tos=16"),
        ("ct_state=+trk,actions=NORMAL", "ct_state=+trk"),
        ("idle_timeout=5,actions=NORMAL", "idle_timeout=5"),
        ("table=0,hard=7,ip actions=NORMAL", "hard=7"),
        ("actions=resubmit(,1)", "resubmit(,1)"),
        ("actions=goto_table:1", "goto_table:1"),
        ("actions=NORMAL,set_field:02:00:00:00:00:01->eth_src", "set_field:02:00:00:00:00:01->eth_src"),
        ("actions=ct(commit,exec(load:0->NXM_NX_CT_MARK[])),NORMAL", "ct(commit,exec(load:0->NXM_NX_CT_MARK[]))"),
        ("actions=group:1", "group:1"),
        ("actions=CONTROLLER:65535", "CONTROLLER:65535"),
        ("actions=output:NXM_NX_REG0[]", "output:NXM_NX_REG0[]"),
    ],
)
def test_what_a_flow_asks_for_and_is_not_modelled_is_named(line: str, what: str) -> None:
    assert what in not_modelled(line)
    assert flow(line).is_opaque


@pytest.mark.parametrize(
    "line", ["priority=x,actions=drop", "in_port=65300,actions=drop", "in_port=1", "wrong", "table=999,actions="]
)
def test_a_line_that_is_no_flow_makes_the_table_unknown(line: str) -> None:
    parsed = parse_edge(DEVICE, line)
    assert parsed.model.is_opaque
    assert len(parsed.unmodelled) == 1


@pytest.mark.parametrize("line", ["group_id=1,type=all,bucket=actions=output:1", "meter=1 kbps bands="])
def test_groups_and_meters_are_a_notice(line: str) -> None:
    parsed = parse_edge(DEVICE, line)
    assert len(parsed.notices) == len(parsed.unmodelled) == 1


def test_outputs_are_read() -> None:
    actions = "actions=NORMAL,output:3,4,LOCAL,IN_PORT,FLOOD,ALL,output:65534"
    assert flow(actions).outputs == ("NORMAL", 3, 4, "LOCAL", "IN_PORT", "FLOOD", "ALL", "LOCAL")
    assert flow("actions=drop").outputs == ()


@pytest.mark.parametrize("seed", range(40))
def test_spoilt_text_raises_nothing_and_is_never_read_as_modelled(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  it makes test cases
    for section, parse in (("switch", parse_switch), ("edge", parse_edge)):
        text = (
            READ_BACK
            if section == "switch" and seed % 2
            else (RENDERED / "roussy-le-village/core-switch" / section).read_text()
        )
        at = rng.randrange(len(text))
        cut = (
            text[:at]
            + rng.choice(["", "\x00", '"', "\u202e", "=", ",", "999999999999999999999", "\\", "'"])
            + text[at + rng.randint(0, 3) :]
        )
        parsed = parse(DEVICE, cut)
        assert 0 <= parsed.modelled <= parsed.read
        assert not parse(DEVICE, text).unmodelled
