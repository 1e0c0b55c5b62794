"""Rulesets in the real kernel, listed as text and as JSON: the two front ends of the proof make the same of them."""

import re
from pathlib import Path

import pytest

from cloison.model import EquipmentName
from cloison.prove.parse.nftables import parse_filter
from cloison.prove.parse.nftables_json import parse_filter_json
from cloison.prove.ruleset import meaning
from cloison.transport.local import LocalRunner

pytestmark = pytest.mark.lab

RENDERED = Path(__file__).parents[1] / "golden" / "render"
FILTERS = sorted(RENDERED.glob("*/firewall/filter"))
FIREWALL = EquipmentName("site/firewall")
BOTH = "nft -f -; nft -s list ruleset; echo ====; nft -j list ruleset"

RULES = """
tcp flags syn | tcp flags syn,ack | tcp flags { syn, ack } | tcp flags == syn | tcp flags != syn | tcp flags ! syn
tcp flags & (fin|syn|rst|ack) == syn | tcp flags & (fin|syn|rst|ack) != syn | tcp flags syn / fin,syn,rst,ack
tcp flags & (fin|syn) == 0 | tcp flags & fin != 0 | tcp flags & (syn|ack) == { syn, ack } | tcp flags 0x0
ct state new,established | ct state { new, established } | ct state ! new | ct state != new | ct state invalid
ct state != { new, invalid } | ct state & (new|established) == new | ct status dnat,assured | ct mark 5
ct mark & 0xff == 5 | ct helper "ftp" | ct direction original | ct original ip saddr 10.0.0.1 | ct zone 5
icmp type echo-request | icmp type { echo-request, 13 } icmp code 0 | icmpv6 type nd-neighbor-solicit
icmpv6 code no-route | iifname "eth*" | iifname != { "a", "b" } | iif "lo" oif "lo" | meta l4proto 47
meta l4proto { tcp, udp } th dport 53 | meta l4proto != { tcp, udp } | meta protocol ip | meta nfproto ipv6
ether type arp | ether saddr 02:00:00:00:00:01 | ether saddr & ff:ff:ff:00:00:00 == 02:00:00:00:00:00 | vlan id 5
ip protocol tcp | ip6 nexthdr tcp | ip frag-off & 0x1fff != 0 | ip frag-off & 16383 != 0 | exthdr frag exists
ip hdrlength != 5 | ip option lsrr exists | tcp option sack-perm missing | fib saddr . iif oif missing
fib saddr . iif oif exists | fib daddr type local | fib daddr . iif type { local, broadcast }
limit rate 5/second burst 10 packets | limit rate over 10 kbytes/second | quota over 5 mbytes | ct count over 5
meta mark set 5 | meta mark 5 | meta skuid { 0, 1000 } | meta pkttype broadcast | numgen inc mod 2 0
jhash ip saddr mod 2 1 | ip saddr 10.0.0.0/8 | ip saddr != 10.0.0.1-10.0.0.7 | ip saddr & 0.0.0.255 == 0.0.0.1
ip6 saddr & ::ffff == ::1 | ip6 saddr fe80::/10 ip6 daddr != { ::1, 2001:db8::/32 } | ip dscp cs1 | ip ttl < 5
tcp dport > 1023 | tcp dport <= 1023 | tcp dport != 22-25 | tcp sport { 1-5, 7 } | udp length 5 | ip daddr @hosts
ip saddr . tcp dport @pairs | ip saddr . tcp dport != { 10.0.0.1 . 22, 10.0.0.0/24 . 80-90 } | iifname @names
iifname . meta l4proto { "a" . tcp, "b" . udp } | tcp option maxseg size set 1400 | log prefix "a b: " group 3
log flags tcp sequence,options | counter packets 5 bytes 6 | @ll,0,8 0x1 | sctp dport 5 | udplite dport 5
add @seen { ip saddr timeout 5s } | notrack | rt ipsec exists | socket transparent 1
"""
EXPRESSIONS = [one.strip() for one in re.split(r" \| (?![a-z]+\))|\n", RULES) if one.strip()]
MAPS = [
    "ct state vmap { established : accept, invalid : drop, new : jump after }",
    "tcp flags & (syn|ack) vmap { syn : accept, syn|ack : drop }",
    "ip saddr . tcp dport vmap { 10.0.0.1 . 22 : accept, 10.0.0.0/8 . 1-5 : goto after }",
    "iifname . ip saddr vmap @ways",
    "numgen inc mod 2 vmap { 0 : accept, 1 : drop }",
    "reject with tcp reset",
    "reject with icmpx admin-prohibited",
    'counter return comment "a # b"',
]
TABLE = """
table inet t {{
  set hosts {{ type ipv4_addr; flags interval; elements = {{ 10.0.0.0/8, 11.0.0.1-11.0.0.9 }}; }}
  set pairs {{ type ipv4_addr . inet_service; flags interval; elements = {{ 10.0.0.0/8 . 80-90, 10.1.1.1 . 443 }}; }}
  set names {{ type ifname; flags interval; elements = {{ "eth*", "lo" }}; }}
  set seen {{ type ipv4_addr; flags dynamic,timeout; timeout 1m; size 100; }}
  map ways {{ type ifname . ipv4_addr : verdict; elements = {{ "eth0" . 10.0.0.1 : accept }}; }}
  chain after {{ }}
  chain c {{ type filter hook prerouting priority filter + 10; policy drop;
    {rule}
  }}
}}
"""
OTHER_FAMILIES = {
    "bridge": "vlan id 5 ip saddr 10.0.0.1 icmp type echo-request accept; "
    "ether saddr . ip saddr { 02:00:00:00:00:01 . 10.0.0.1 } accept; arp operation request arp saddr ip 10.0.0.1 drop",
    "arp": "arp operation { request, reply } arp daddr ip != 10.0.0.0/8 arp saddr ether 02:00:00:00:00:01 drop",
    "ip": "ip saddr 10.0.0.1 tcp dport 22 accept; ip protocol icmp drop; icmp code 3 reject",
    "ip6": "ip6 saddr ::1 tcp dport 22 accept; icmpv6 type { nd-router-advert, 200 } accept",
}


def both(ruleset: str) -> tuple[str, str]:
    result = LocalRunner().run(["unshare", "--net", "sh", "-euc", BOTH], stdin=ruleset.encode())
    assert result.exit_status == 0, result
    text, _, document = result.text.partition("====\n")
    return text, document


def assert_same(ruleset: str) -> None:
    text, document = both(ruleset)
    listed, shown = parse_filter(FIREWALL, text), parse_filter_json(FIREWALL, document)
    assert listed.model.tables
    assert meaning(listed.model) == meaning(shown.model)
    assert (listed.read, listed.modelled) == (shown.read, shown.modelled)


@pytest.mark.parametrize("path", FILTERS, ids=lambda path: path.parts[-3])
def test_rendered_filter_means_the_same_as_written_as_listed_and_in_json(path: Path) -> None:
    written = path.read_text(encoding="utf-8")
    assert_same(written)
    assert meaning(parse_filter(FIREWALL, written).model) == meaning(parse_filter(FIREWALL, both(written)[0]).model)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression_means_the_same_in_both(expression: str) -> None:
    assert_same(TABLE.format(rule=f"{expression} accept"))


@pytest.mark.parametrize("rule", MAPS)
def test_rule_means_the_same_in_both(rule: str) -> None:
    assert_same(TABLE.format(rule=rule))


@pytest.mark.parametrize("family", OTHER_FAMILIES)
def test_table_of_another_family_means_the_same_in_both(family: str) -> None:
    chain = f"type filter hook input priority 5; policy accept; {OTHER_FAMILIES[family]};"
    assert_same(f"table {family} t {{ chain c {{ {chain} }}; }}")
