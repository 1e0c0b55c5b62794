from ipaddress import IPv4Address, IPv4Network, ip_interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloison.device.capabilities import PLATFORMS
from cloison.device.interfaces import InterfacesReading
from cloison.device.section import Answers
from cloison.model import EquipmentName, Platform
from cloison.prove.parse.interfaces import parse_interfaces
from cloison.prove.parse.routes import KINDS
from cloison.prove.stack import Hop, Stack
from cloison.prove.statement import Parsed

RENDERED = Path(__file__).parents[1] / "golden" / "render"
DEVICES = sorted(path.parent.relative_to(RENDERED).as_posix() for path in RENDERED.glob("*/*/interfaces"))
DEVICE = EquipmentName("somewhere/router")
QUIET = "sysctl net.ipv4.conf.all.accept_redirects=0\n"


def parse(*lines: str) -> Parsed[Stack]:
    return parse_interfaces(DEVICE, QUIET + "\n".join(lines) + "\n")


def content(stack: Stack) -> tuple[object, ...]:
    """Return what a stack says, without where it says it and in which order."""
    return (
        stack.up,
        frozenset((own.interface, own.address) for own in stack.addresses),
        frozenset((r.table, r.kind, r.destination, r.hops, r.metric, r.source) for r in stack.routes),
        frozenset(
            (r.priority, r.version, r.table, r.kind, r.source, r.destination, r.interface_in, r.looks_inside)
            for r in stack.rules
        ),
        frozenset((setting.name, setting.value) for setting in stack.settings.values()),
    )


@pytest.mark.parametrize("device", DEVICES)
def test_rendered_section_is_modelled_whole(device: str) -> None:
    text = (RENDERED / device / "interfaces").read_text(encoding="utf-8")
    parsed = parse_interfaces(EquipmentName(device), text)
    assert parsed.unmodelled == ()
    assert parsed.notices == ()
    assert parsed.read == parsed.modelled == len(text.splitlines())
    assert parsed.model.addresses


@pytest.mark.parametrize("device", DEVICES)
def test_rendered_and_canonical_forms_say_the_same(device: str) -> None:
    text = (RENDERED / device / "interfaces").read_text(encoding="utf-8")
    platform = Platform.DEBIAN_LIBIPSEC if device.endswith("firewall") else Platform.OPENVSWITCH
    canonical = InterfacesReading(PLATFORMS[platform]).canonical(text, Answers(device, {}))
    assert canonical != text
    again = parse_interfaces(EquipmentName(device), canonical)
    assert (again.unmodelled, again.notices) == ((), ())
    assert content(again.model) == content(parse_interfaces(EquipmentName(device), text).model)


def test_route_says_where_it_leads() -> None:
    parsed = parse(
        "link set dev wan0 mtu 1400 up",
        "address replace 192.0.2.2/30 dev wan0",
        "route replace 10.0.0.0/8 via 192.0.2.1 dev wan0 src 192.0.2.2 metric 5 table 254",
        "route replace 10.9.0.0/16 metric 7 nexthop via 192.0.2.1 dev wan0",
    )
    assert (parsed.unmodelled, parsed.notices) == ((), ())
    first, second = parsed.model.routes
    assert (first.table, first.kind, first.metric, first.source) == ("main", "unicast", 5, IPv4Address("192.0.2.2"))
    assert first.hops == second.hops == (Hop("wan0", IPv4Address("192.0.2.1")),)
    assert parsed.model.addresses[0].address == ip_interface("192.0.2.2/30")


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"unicast"}))
def test_kind_of_a_route(kind: str) -> None:
    parsed = parse(f"route replace {kind} 10.0.0.0/8 metric 3")
    assert parsed.unmodelled == ()
    assert [route.kind for route in parsed.model.routes] == [kind]


def test_rule_says_what_it_matches() -> None:
    words = "from 10.1.0.0/16 to 10.2.0.0/16 iif vlan5 ipproto tcp sport 5-9 dport 80 table 56"
    parsed = parse(f"rule add priority 100 {words}")
    assert parsed.unmodelled == ()
    (rule,) = parsed.model.rules
    assert (rule.source, rule.destination) == (IPv4Network("10.1.0.0/16"), IPv4Network("10.2.0.0/16"))
    assert (rule.interface_in, rule.protocol, rule.source_ports, rule.destination_ports) == (
        "vlan5",
        6,
        (5, 9),
        (80, 80),
    )


def test_ports_as_the_kernel_lists_them() -> None:
    (rule,) = parse("rule add priority 9 from all ipproto udp table 7 dport_start 5 dport_end 9").model.rules
    assert rule.destination_ports == (5, 9)
    assert rule.source is None


def test_rule_of_ipv6_for_every_source() -> None:
    (rule,) = parse("rule add priority 9 from ::/0 table 7").model.rules
    assert (rule.version, rule.source) == (6, None)


@pytest.mark.parametrize(
    "line",
    [
        "tunnel add gre1 mode gre",
        "link set dev wan0 master br1",
        "link add dev wan0 type dummy",
        "address replace 10.0.0.1/24 dev a peer 10.0.0.2",
        "address replace 10.0.0.300/24 dev a",
        "address",
        "route replace 10.0.0.0/8 encap mpls 5 via 10.0.0.1",
        "route replace nowhere dev a",
        "route replace 10.0.0.0/8 dev",
        "route add 10.0.0.0/8 dev a",
        "rule add priority 5 from all fwmark 0x1 table 7",
        "rule add priority 5 not from 10.0.0.0/8 table 7",
        "rule add from all table 7",
        "rule add priority 5 from all oif a table 7",
        "rule add priority 5 from all dport 80 table 7",
        "rule add priority 5 from all dport 70000 ipproto tcp table 7",
        "sysctl net.ipv4.conf.all.route_localnet=1",
        "sysctl net.ipv4.conf.all.accept_source_route=1",
        "sysctl net.ipv4.tcp_unheard_of=0",
        "sysctl net.ipv4.ip_forward=yes",
        "sysctl",
        "qdisc clsact dev wan0",
        "neighbour replace 10.0.0.9 lladdr 02:00 dev a nud permanent",
    ],
)
def test_what_is_not_known_is_said(line: str) -> None:
    parsed = parse(line)
    assert len({one.statement for one in parsed.unmodelled}) == 1
    assert parsed.unmodelled[0].statement.place.line == 2
    assert parsed.modelled == parsed.read - 1


def test_two_routes_and_two_rules_of_which_either_may_count() -> None:
    parsed = parse(
        "link set dev a up",
        "link set dev b up",
        "route replace 10.0.0.0/8 dev a",
        "route replace 10.0.0.0/8 dev b",
        "rule add priority 5 from all table 7",
        "rule add priority 5 from all table 8",
    )
    assert len(parsed.unmodelled) == 4


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["route replace 10.0.0.0/8 dev a"], "not up"),
        (["link set dev a up", "route replace 10.0.0.0/8 via 10.9.9.9 dev a"], "in no network"),
        (["link set dev a up", "route replace 10.0.0.0/8 dev a src 10.9.9.9"], "no address of its own"),
        (["neighbour replace 10.0.0.9 lladdr 02:00:00:00:00:01 dev a nud permanent"], "fixed"),
        (["qdisc ingress dev a"], "redirected"),
        (["sysctl net.ipv4.conf.a.accept_redirects=1"], "redirects"),
    ],
)
def test_what_is_wrong_in_itself_is_a_notice(lines: list[str], said: str) -> None:
    assert any(said in notice.what for notice in parse(*lines).notices)


def test_silence_about_redirects_is_a_notice() -> None:
    parsed = parse_interfaces(DEVICE, "address replace 10.0.0.1/24 dev a\n")
    assert "not set" in parsed.notices[0].what


LINE = "route replace rule add address link set dev sysctl up via src table metric nexthop priority from to iif lo"
WORDS = [
    *LINE.split(" "),
    "ipproto",
    "tcp",
    "dport",
    "10.0.0.0/8",
    "10.0.0.1",
    "::/0",
    "default",
    "5",
    "-1",
    "\x1b[2J",
    "=",
]


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join), max_size=6).map("\n".join) | st.text())
def test_whatever_is_read_every_line_is_modelled_or_said_not_to_be(text: str) -> None:
    parsed = parse_interfaces(DEVICE, text)
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert parsed.read == len(lines)
    stack = parsed.model
    said = {one.statement.place.line for one in parsed.unmodelled}
    made = {own.statement.place.line for own in stack.addresses}
    made |= {setting.statement.place.line for setting in stack.settings.values()}
    made |= {route.statement.place.line for route in stack.routes if route.statement}
    made |= {rule.statement.place.line for rule in stack.rules if rule.statement}
    links = {number for number, line in enumerate(text.splitlines(), 1) if line.split()[:1] == ["link"]}
    again = {
        number for number, line in enumerate(text.splitlines(), 1) if line.split()[:1] in (["sysctl"], ["address"])
    }
    every = {number for number, line in enumerate(text.splitlines(), 1) if line.strip() and line.strip()[0] != "#"}
    assert every == said | made | (links | again) & every
