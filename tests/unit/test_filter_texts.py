"""The filter's text into its model: the golden sections, every construct, and whatever a device may answer instead."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloison.errors import DeviceError
from cloison.model import EquipmentName
from cloison.prove.parse.nftables import parse_filter
from cloison.prove.parse.nftables_json import parse_filter_json
from cloison.prove.ruleset import (
    Expression,
    Inert,
    Limit,
    Match,
    Opaque,
    Operand,
    Rule,
    SetReference,
    Verdict,
    VerdictMap,
    meaning,
)

FIREWALL = EquipmentName("site/firewall")
RENDERED = Path(__file__).parents[1] / "golden" / "render"
FILTERS = sorted(RENDERED.glob("*/firewall/filter"))
COMMUNE = (RENDERED / "roussy-le-village/firewall/filter").read_text(encoding="utf-8")
ACCEPT = Verdict("accept")
IPV4, IPV6 = (Match((Operand("meta nfproto"),), (((number, number),),)) for number in (2, 10))


def protocol(number: int) -> Match:
    return Match((Operand("meta l4proto"),), (((number, number),),))


def one_of(key: str, *values: int | tuple[int, int] | str, mask: int | None = None, negated: bool = False) -> Match:
    elements = tuple(((value, value) if isinstance(value, int) else value,) for value in values)
    return Match((Operand(key, mask),), elements, negated)


def rule(text: str, family: str = "inet") -> Rule:
    section = f"table {family} t {{\n\tchain c {{\n\t\t{text}\n\t}}\n}}\n"
    (table,) = parse_filter(FIREWALL, section).model.tables
    return table.chains[0].rules[0]


def deciding(text: str, family: str = "inet") -> tuple[Expression, ...]:
    return tuple(one for one in rule(text, family).expressions if not isinstance(one, Inert))


@pytest.mark.parametrize("path", FILTERS, ids=lambda path: path.parts[-3])
def test_rendered_filter_is_modelled_whole(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    parsed = parse_filter(FIREWALL, text)
    assert not parsed.unmodelled
    (table,) = parsed.model.tables
    lines = [line.strip() for line in text.splitlines()]
    rules = [one for chain in table.chains for one in chain.rules]
    hooked = [chain for chain in table.chains if chain.base]
    assert parsed.read == parsed.modelled == len(rules) + len(table.chains) + len(hooked) + len(table.sets)
    assert [one.statement.text.shown(1000) for one in rules] == [lines[one.statement.place.line - 1] for one in rules]
    assert [one.comment for one in rules if one.comment] == [
        line.split('comment "')[1][:-1] for line in lines if 'comment "' in line
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp dport 22", (protocol(6), one_of("tcp dport", 22))),
        ("tcp dport != 22-25", (protocol(6), one_of("tcp dport", (22, 25), negated=True))),
        ("udp sport { 1-5, 7 }", (protocol(17), one_of("udp sport", (1, 5), 7))),
        ("tcp dport > 1023", (protocol(6), one_of("tcp dport", (1024, 65535)))),
        ("tcp dport < 0", (protocol(6), one_of("tcp dport"))),
        ("meta l4proto tcp tcp dport 22", (protocol(6), one_of("tcp dport", 22))),
        ("th dport 53", (one_of("th dport", 53),)),
        ("ip saddr 10.0.0.0/8", (IPV4, one_of("ip saddr", (10 << 24, (11 << 24) - 1)))),
        ("ip6 daddr ::1", (IPV6, one_of("ip6 daddr", 1))),
        ("ip saddr & 0.0.0.255 == 0.0.0.1", (IPV4, one_of("ip saddr", 1, mask=255))),
        ("ip frag-off & 0x3fff != 0", (IPV4, one_of("ip frag-off", 0, mask=0x3FFF, negated=True))),
        ("exthdr frag exists", (IPV6, one_of("exthdr frag", 0, negated=True))),
        ("ip hdrlength != 5", (IPV4, one_of("ip hdrlength", 5, negated=True))),
        ("fib saddr . iif oif missing", (one_of("fib saddr . iif oif", 0),)),
        ("fib saddr . iif oif exists", (one_of("fib saddr . iif oif", 0, negated=True),)),
        ("fib daddr type { local, broadcast }", (one_of("fib daddr type", 2, 3),)),
        ("tcp flags syn", (protocol(6), one_of("tcp flags", (1, 255), mask=2))),
        ("tcp flags & syn != 0", (protocol(6), one_of("tcp flags", (1, 255), mask=2))),
        ("tcp flags ! syn", (protocol(6), one_of("tcp flags", 0, mask=2))),
        ("tcp flags == syn", (protocol(6), one_of("tcp flags", 2))),
        ("tcp flags & (fin | syn | rst | ack) == syn", (protocol(6), one_of("tcp flags", 2, mask=23))),
        ("tcp flags & (fin|syn|rst|ack) == syn", (protocol(6), one_of("tcp flags", 2, mask=23))),
        ("tcp flags syn / fin,syn,rst,ack", (protocol(6), one_of("tcp flags", 2, mask=23))),
        ("tcp flags != syn / fin,syn,rst,ack", (protocol(6), one_of("tcp flags", 2, mask=23, negated=True))),
        ("tcp flags { syn, syn | ack }", (protocol(6), one_of("tcp flags", 2, 18))),
        ("icmp type echo-request", (IPV4, protocol(1), one_of("icmp type", 8))),
        ("icmp code frag-needed", (IPV4, protocol(1), one_of("icmp code", 4))),
        ("icmpv6 type { nd-redirect, 200 }", (IPV6, protocol(58), one_of("icmpv6 type", 137, 200))),
        ("ct state established,new", (one_of("ct state", 0, 1),)),
        ("ct state { established, new }", (one_of("ct state", 0, 1),)),
        ("ct state != invalid", (one_of("ct state", 0, 1, 2, 4),)),
        ('iifname "vlan*"', (one_of("iifname", "vlan*"),)),
        ('meta iifname != { "a", "b" }', (one_of("iifname", "a", "b", negated=True),)),
        ('iif "lo" oif "lo"', (one_of("iif", "lo"), one_of("oif", "lo"))),
        ("ether saddr 02:00:00:00:00:01", (one_of("ether saddr", 0x020000000001),)),
        ("meta nfproto ipv4 ip saddr 0.0.0.1", (IPV4, one_of("ip saddr", 1))),
        ("ip saddr != @peers", (IPV4, Match((Operand("ip saddr"),), SetReference("peers"), negated=True))),
        ("limit rate 5/second burst 10 packets", (Limit("limit rate 5/second burst 10 packets"),)),
        ("quota over 5 mbytes", (Limit("quota over 5 mbytes"),)),
        ("ct count over 5", (Limit("ct count over 5"),)),
        ("tcp option maxseg size set rt mtu", ()),
        ('log prefix "a # b" group 3 counter packets 5 bytes 6', ()),
    ],
)
def test_expression_means(text: str, expected: tuple[Expression, ...]) -> None:
    assert deciding(text + " accept") == (*expected, ACCEPT)


def test_family_of_a_table_is_not_tested_again() -> None:
    assert deciding("ip saddr 0.0.0.1 accept", "ip") == (one_of("ip saddr", 1), ACCEPT)
    assert deciding("ip saddr 0.0.0.1", "bridge") == (one_of("meta protocol", 0x800), one_of("ip saddr", 1))


def test_verdict_map_and_concatenation() -> None:
    (only,) = deciding("ct state vmap { established : accept, invalid : jump dead }")
    assert only == VerdictMap((Operand("ct state"),), ((((1, 1),), ACCEPT), (((3, 3),), Verdict("jump", "dead"))))
    *_, match = deciding("ip saddr . tcp dport { 0.0.0.1 . 22, 0.0.0.0/30 . 80-90 }")
    assert match == Match((Operand("ip saddr"), Operand("tcp dport")), (((1, 1), (22, 22)), ((0, 3), (80, 90))))


@pytest.mark.parametrize(
    "text",
    [
        "meta mark 5", "meta mark set 5", "ct mark & 0xff == 5", "ct status dnat", 'ct helper "ftp"', "ip dscp cs1",
        "ip option lsrr exists", "ip6 nexthdr tcp", "add @dynamic { ip saddr limit rate 5/second }", "notrack",
        "numgen inc mod 2 0", "jhash ip saddr mod 2 1", "meta skuid 0", 'meta hour "10:00"-"12:00"', "vlan pcp 3",
        "@ll,0,8 0x1", "dnat ip to tcp dport map { 80 : 10.0.0.1 }", "ct original ip saddr 10.0.0.1",
        "what 5 is . this",
    ],
)  # fmt: skip
def test_what_is_not_known_is_opaque_and_reported_with_its_line(text: str) -> None:
    section = f"table inet t {{\n\tchain c {{\n\t\ttcp dport 22 {text} accept\n\t}}\n}}\n"
    parsed = parse_filter(FIREWALL, section)
    (table,) = parsed.model.tables
    expressions = table.chains[0].rules[0].expressions
    assert expressions[:2] == (protocol(6), one_of("tcp dport", 22))
    assert expressions[-1] == ACCEPT
    assert expressions[2:-1]
    assert all(isinstance(one, Opaque) for one in expressions[2:-1])
    assert " ".join(one.text for one in expressions[2:-1] if isinstance(one, Opaque)) == text
    assert {one.statement.place.line for one in parsed.unmodelled} == {3}
    assert parsed.modelled == parsed.read - 1


def test_foreign_table_is_a_notice_and_is_not_modelled() -> None:
    parsed = parse_filter(FIREWALL, COMMUNE + "foreign table ip nat\n")
    (notice,), (unknown,) = parsed.notices, parsed.unmodelled
    assert "table ip nat" in str(notice)
    assert unknown.statement.place.line == len(COMMUNE.splitlines()) + 1


@pytest.mark.parametrize(
    ("family", "priority", "number"),
    [("inet", "filter + 10", 10), ("inet", "dstnat", -100), ("inet", "-450", -450), ("bridge", "filter", -200)],
)
def test_priority_is_a_number(family: str, priority: str, number: int) -> None:
    text = f"table {family} t {{\nchain c {{\ntype filter hook input priority {priority}; policy drop;\n}}\n}}\n"
    base = parse_filter(FIREWALL, text).model.tables[0].chains[0].base
    assert base is not None
    assert (base.priority, base.policy) == (number, "drop")


def test_set_with_elements_on_several_lines() -> None:
    text = "table inet t {\nset s {\ntype ipv4_addr . inet_service\nflags interval\n"
    text += "elements = { 0.0.0.1 . 22,\n\t     0.0.0.0/30 . 1-2 }\n}\n}\n"
    (only,) = parse_filter(FIREWALL, text).model.tables[0].sets
    assert only.elements == (((1, 1), (22, 22)), ((0, 3), (1, 2)))


@pytest.mark.parametrize(
    ("good", "spoilt"),
    [
        ("ip daddr 192.0.2.2 udp", "ip daddr 192.0.2.256 udp"),
        ("udp dport 123", "udp dport 70000"),
        ('comment "ike"', 'comment "ike'),
        ("dport { 500, 4500 }", "dport { 500, 4500"),
        ("priority -450", "priority early"),
        ("10.56.2.0/28", "10.56.2.0/33"),
        ("table inet cloison {", "tabel inet cloison {"),
        ("\n}\n", "\n"),
    ],
)
def test_broken_text_names_its_line(good: str, spoilt: str) -> None:
    lines = COMMUNE.splitlines()
    line = next((number for number, text in enumerate(lines, 1) if good in text), len(lines) - 1)
    assert good in COMMUNE
    with pytest.raises(DeviceError, match=rf"^site/firewall: filter: line {line}: expected "):
        parse_filter(FIREWALL, COMMUNE.replace(good, spoilt, 1))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_text_breaks_the_parser(data: st.DataObject) -> None:
    """A piece of a filter is cut out, and another put in; the answer is a model or the one error."""
    start = data.draw(st.integers(0, len(COMMUNE)))
    end = data.draw(st.integers(start, min(len(COMMUNE), start + 200)))
    put = data.draw(
        st.text(st.sampled_from('{}()"#;,.:-|&/!=@ \n\\x01\x01\x05abip0123') | st.characters(), max_size=12)
    )
    said = ""
    try:
        parsed = parse_filter(FIREWALL, COMMUNE[:start] + put + COMMUNE[end:])
    except DeviceError as error:
        said = str(error)
    else:
        assert meaning(meaning(parsed.model)) == meaning(parsed.model)
    assert not said or said.startswith("site/firewall: filter: line ")


@given(st.text() | st.recursive(st.none() | st.text(), st.lists).map(str))
def test_no_json_breaks_the_parser(text: str) -> None:
    with pytest.raises(DeviceError, match="nft -j list ruleset"):
        parse_filter_json(FIREWALL, text)
