"""What hands did to real daemons is named for what it is, and none of it is there once it is undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cloison.change.departure import Departure, How, departures
from cloison.device.push import push
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from tests.contract.conftest import Bench

pytestmark = pytest.mark.lab

MIRROR = (
    "ovs-vsctl -- --id=@p get port p3 -- --id=@m create mirror name=spy select-all=true output-port=@p "
    "-- set bridge br0 mirrors=@m"
)
ON_A_SWITCH = f"""
set -e
{MIRROR}
ovs-vsctl add-port br0 out -- set interface out type=vxlan options:remote_ip=192.0.2.9
ovs-vsctl set-manager ptcp:6640:127.0.0.1 -- set port p2 tag=130
ovs-ofctl -O OpenFlow14 add-flow br0 table=0,priority=60000,in_port=1,actions=NORMAL
ip address add 192.0.2.77/32 dev management
ip neighbour replace 10.56.1.9 lladdr 02:00:00:00:00:09 dev management nud permanent
"""
NAMED_ON_A_SWITCH = {
    ("switch", "mirror", How.FOREIGN),
    ("switch", "tunnel-port", How.FOREIGN),
    ("switch", "port", How.FOREIGN),
    ("switch", "manager", How.FOREIGN),
    ("switch", "port", How.CHANGED),
    ("edge", "flow", How.FOREIGN),
    ("interfaces", "address", How.FOREIGN),
    ("interfaces", "neighbour", How.FOREIGN),
}
ON_A_FIREWALL = """
set -e
nft add table ip nat
nft insert rule inet cloison to_firewall tcp dport 23 counter accept
nft add element inet cloison peers '{ 192.0.2.99 }'
ip route add 10.99.0.0/16 via 192.0.2.1 dev wan0
ip rule add priority 9 from 10.99.0.0/16 lookup 7
sysctl -q -w net.ipv4.conf.all.rp_filter=0
printf '# by hand\\n' >>/etc/swanctl/swanctl.conf
printf '%s\\n' 'connections {' 'other {' 'local {' 'auth = psk' '}' '}' '}' >/run/other
swanctl --load-conns --file /run/other
"""
NAMED_ON_A_FIREWALL = {
    ("filter", "table", How.FOREIGN),
    ("filter", "rule", How.FOREIGN),
    ("filter", "element", How.FOREIGN),
    ("interfaces", "route", How.FOREIGN),
    ("interfaces", "routing-rule", How.FOREIGN),
    ("interfaces", "setting", How.CHANGED),
    ("tunnels", "file", How.CHANGED),
    ("tunnels", "connection", How.FOREIGN),
}


def drift_of(bench: Bench) -> tuple[Departure, ...]:
    reader = bench.device.reader
    return departures(reader.read().config, reader.canonical(bench.candidate))


def settle(bench: Bench) -> None:
    reader = bench.device.reader
    push(bench.device, reader.read().config, bench.candidate, reader.canonical(bench.candidate))
    assert drift_of(bench) == ()


def named(found: tuple[Departure, ...]) -> set[tuple[str, str, How]]:
    return {(one.section.value, one.kind, one.how) for one in found}


def test_hands_on_a_switch_are_named(switch: Bench) -> None:
    settle(switch)
    switch.run("sh", "-c", ON_A_SWITCH)
    found = drift_of(switch)
    assert named(found) >= NAMED_ON_A_SWITCH
    assert all(one.running for one in found)
    settle(switch)


def test_hands_on_a_firewall_are_named(firewall: Bench) -> None:
    settle(firewall)
    firewall.run("sh", "-c", ON_A_FIREWALL)
    found = drift_of(firewall)
    assert named(found) >= NAMED_ON_A_FIREWALL
    (rule,) = (one for one in found if one.kind == "rule")
    assert rule.running == "chain to_firewall: tcp dport 23 counter accept"
    (element,) = (one for one in found if one.kind == "element")
    assert element.running == "set peers: 192.0.2.99"
    firewall.run("nft", "delete", "table", "ip", "nat")  # no section is made equal by touching another's table
    settle(firewall)


def test_another_order_and_other_comments_are_no_drift(firewall: Bench) -> None:
    settle(firewall)
    (section,) = (one for one in firewall.candidate.sections if one.name is SectionName.FILTER)
    head, elements, rest = section.text.partition("elements = { 198.51.100.2, 203.0.113.2 }")
    assert elements
    turned = section.model_copy(update={"text": f"# by hand\n{head}elements = {{ 203.0.113.2,\n198.51.100.2 }}{rest}"})
    firewall.device.writer.load(turned)
    assert drift_of(firewall) == ()
