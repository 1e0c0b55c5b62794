"""Whatever is changed on a device behind Cloison's back shows when it is read back, and goes when it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cloison.device.connection import DRIVERS
from cloison.device.document import write_document
from cloison.device.push import changed, difference, push
from cloison.errors import DeviceError, LoadError
from cloison.model import EquipmentName, Platform
from cloison.render.config import Config, SectionName

if TYPE_CHECKING:
    from tests.contract.conftest import Bench

    from cloison.device.driver import SectionDriver

pytestmark = pytest.mark.lab


_canonical: dict[tuple[int, EquipmentName], Config] = {}


def settle(bench: Bench) -> Config:
    """Make the device run its candidate; return the candidate in the device's words."""
    reader, key = bench.device.reader, (id(bench.runner), bench.candidate.device)
    canonical = _canonical.get(key) or reader.canonical(bench.candidate)
    _canonical[key] = canonical
    running = reader.read().config
    if push(bench.device, running, bench.candidate, canonical):
        assert lines_that_differ(bench, canonical) == []
    return canonical


def lines_that_differ(bench: Bench, canonical: Config) -> list[str]:
    """Return the lines of a diff from what runs to what was declared, without heads and context."""
    running = bench.device.reader.read().config
    text = "".join(difference(running.section(section.name), section) for section in canonical.sections)
    return [line for line in text.splitlines() if line[0] in "+-" and not line.startswith(("---", "+++"))]


SPY = "ovs-vsctl -- --id=@p get port p3 -- --id=@m create mirror name=spy select-all=true output-port=@p"
LEAK = "ovs-vsctl add-port br0 leak -- set interface leak type=vxlan options:remote_ip=192.0.2.9"
NEIGHBOUR = "10.56.1.9 lladdr 02:00:00:00:00:09 dev management nud permanent"
LOAD = "swanctl --load-conns --file /run/other"
OTHER = "printf '%s\\n' 'connections {' 'other {' 'local {' 'auth = psk' '}' '}' '}'"
Change = tuple[str, str]
"""A command, and how a line of the diff begins that has to show for it."""
ON_SWITCHES: dict[str, tuple[Change, ...]] = {
    "ports": (
        ("ovs-vsctl set port p2 tag=130", "-port br0/p2 protected=true tag=130 vlan_mode=access"),
        ("ovs-vsctl set port p4 tag=0", "-port br0/p4 protected=true tag=0 vlan_mode=access"),
        ("ovs-vsctl set port p5 protected=false", "-port br0/p5 tag=150 vlan_mode=access"),
        (f"{SPY} -- set bridge br0 mirrors=@m", "-mirror br0/spy output_port=br0/p3 select_all=true"),
        (LEAK, "-interface br0/leak/leak options=remote_ip:192.0.2.9 type=vxlan"),
    ),
    "the database": (
        ("ovs-vsctl add-br br1 -- set bridge br1 datapath_type=netdev", "-bridge br1 datapath_type=netdev"),
        ("ovs-vsctl set-controller br0 tcp:192.0.2.9:6653", "-controller br0/tcp:192.0.2.9:6653"),
        ("ovs-vsctl set-manager ptcp:6640:127.0.0.1", "-manager ptcp:6640:127.0.0.1"),
        (
            "ovs-vsctl set open_vswitch . other_config:flow-limit=1",
            "-open_vswitch . manager_options=ptcp:6640:127.0.0.1 oth",
        ),
        ("ovs-vsctl set-fail-mode br0 standalone", "+bridge br0 datapath_type=netdev fail_mode=secure"),
    ),
    "flows": (
        ("ovs-ofctl -O OpenFlow14 --strict del-flows br0 table=0,priority=0", "+table=0,priority=0 actions=drop"),
        ("ovs-ofctl -O OpenFlow14 add-flow br0 cookie=0x7,priority=9,in_port=2,actions=NORMAL", "-table=0,cookie=0x7,"),
        ("ovs-ofctl -O OpenFlow14 add-group br0 group_id=7,type=all,bucket=output:1", "-group_id=7,type=all,"),
    ),
    "the fibre": (
        ("ip link set dev sfp1 down", "-port sfp1 admin=down speed=1000 duplex=full mtu=1500 vlans=110,111,150,999"),
        (
            "ovs-vsctl set port sfp1 trunks=110,111,150,999",
            "-port br0/sfp1 protected=true tag=999 trunks=110,111,150,9",
        ),
    ),
    "addresses and the kernel": (
        ("ip link set dev p6 up", "-link set dev p6 up"),
        ("ip address add 192.0.2.77/24 dev p2", "-address replace 192.0.2.77/24 dev p2"),
        ("ip route delete default", "+route replace default via 10.56.1.1 dev management"),
        ("sysctl -q -w net.ipv4.ip_forward=1", "-sysctl net.ipv4.ip_forward=1"),
        (f"ip neighbour replace {NEIGHBOUR}", f"-neighbour replace {NEIGHBOUR}"),
        ("tc qdisc add dev p2 clsact", "-qdisc clsact dev p2"),
    ),
}
ON_FIREWALLS: dict[str, tuple[Change, ...]] = {
    "rules": (
        ("nft insert rule inet cloison business tcp dport 22 accept", "-\t\ttcp dport 22 accept"),
        ("nft add element inet cloison peers '{ 192.0.2.99 }'", "-\t\telements = { 192.0.2.99,"),
    ),
    "the table": (("nft delete table inet cloison", "+table inet cloison {"),),
    "routing": (
        ("ip route add 10.0.0.0/8 via 192.0.2.1", "-route replace 10.0.0.0/8 via 192.0.2.1 dev wan0"),
        ("ip route delete blackhole 10.56.0.0/14", "+route replace blackhole 10.56.0.0/14 metric 4096"),
        (
            "ip route add 10.56.2.0/28 via 192.0.2.1 table 220",
            "-route replace 10.56.2.0/28 via 192.0.2.1 dev wan0 table 220",
        ),
        ("ip rule add priority 50 from all table 77", "-rule add priority 50 from all table 77"),
        ("ip -6 rule add priority 51 table 77", "-rule add priority 51 from ::/0 table 77"),
        ("ip address add 10.56.1.93/29 dev vlan111", "-address replace 10.56.1.93/29 dev vlan111"),
        ("sysctl -q -w net.ipv4.conf.wan0.send_redirects=1", "-sysctl net.ipv4.conf.wan0.send_redirects=1"),
    ),
    "connections that are gone": (
        (f"echo 'connections {{ }}' >/run/other; {LOAD}", "-differs: connection video: not in the daemon"),
    ),
    "connections of somebody else": (
        (
            f"{{ sed s,10.56.2.0/28,10.56.2.0/24, /etc/swanctl/swanctl.conf; {OTHER}; }} >/run/other; {LOAD}",
            "-differs: connection video: child video: remote_ts is 10.56.2.0/24, loaded as 10.56.2.0/28",
        ),
        ("true", "-differs: connection other: in the daemon, loaded by somebody else"),
        ("echo >>/etc/swanctl/swanctl.conf", "-differs: /etc/swanctl/swanctl.conf holds something else"),
    ),
}


@pytest.mark.parametrize("what", ON_SWITCHES)
def test_a_change_on_a_switch_shows_and_goes(switch: Bench, what: str) -> None:
    shows_and_goes(switch, ON_SWITCHES[what])


@pytest.mark.parametrize("what", ON_FIREWALLS)
def test_a_change_on_a_firewall_shows_and_goes(firewall: Bench, what: str) -> None:
    shows_and_goes(firewall, ON_FIREWALLS[what])


def shows_and_goes(bench: Bench, changes: tuple[Change, ...]) -> None:
    """Change the device by commands; every line has to show, and one load has to undo them all."""
    canonical = settle(bench)
    for command, _ in changes:
        bench.run("sh", "-c", command)
    shown = lines_that_differ(bench, canonical)
    assert [start for _, start in changes if not any(line.startswith(start) for line in shown)] == [], shown
    settle(bench)
    assert lines_that_differ(bench, canonical) == []


def test_only_what_differs_is_loaded(switch: Bench) -> None:
    canonical = settle(switch)
    switch.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    running = switch.device.reader.read().config
    assert changed(running, canonical) == (SectionName.INTERFACES,)
    assert push(switch.device, running, switch.candidate, canonical) == (SectionName.INTERFACES,)


def test_what_hangs_on_the_switch_rows_follows_them(switch: Bench) -> None:
    canonical = settle(switch)
    switch.run("ovs-vsctl", "del-port", "br0", "management")
    running = switch.device.reader.read().config
    assert push(switch.device, running, switch.candidate, canonical) == tuple(switch.candidate.names)
    assert switch.device.reader.read().config == canonical


def test_flows_that_are_left_alone_outlive_a_rebuild_of_the_rows(switch: Bench) -> None:
    canonical = settle(switch)
    switch.run("ovs-vsctl", "set-fail-mode", "br0", "standalone")
    switch.run("ovs-ofctl", "-O", "OpenFlow14", "add-flow", "br0", "priority=7,in_port=2,actions=drop")
    flows = switch.device.reader.read().config.section(SectionName.EDGE)
    rows = {SectionName.SWITCH, SectionName.INTERFACES}
    candidate, wanted = (
        config.model_copy(update={"sections": tuple(s for s in config.sections if s.name in rows)})
        for config in (switch.candidate, canonical)
    )
    push(switch.device, switch.device.reader.read().config, candidate, wanted)
    assert switch.device.reader.read().config.section(SectionName.EDGE) == flows


def test_a_table_of_somebody_else_shows_and_stays(firewall: Bench) -> None:
    canonical = settle(firewall)
    firewall.run("nft", "add table ip stranger")
    try:
        assert lines_that_differ(firewall, canonical) == ["-foreign table ip stranger"]
        firewall.device.writer.load(firewall.candidate.section(SectionName.FILTER))
        assert lines_that_differ(firewall, canonical) == ["-foreign table ip stranger"]
    finally:
        firewall.run("nft", "delete table ip stranger")


def test_a_filter_is_replaced_in_one_transaction(firewall: Bench) -> None:
    canonical = settle(firewall)
    section = firewall.candidate.section(SectionName.FILTER)
    spoilt = section.model_copy(update={"text": section.text + "add rule inet cloison nowhere accept\n"})
    with pytest.raises(LoadError, match="section filter is refused: "):
        firewall.device.writer.load(spoilt)
    assert firewall.device.reader.read().config == canonical


def test_a_daemon_that_is_gone_is_said_to_be(firewall: Bench) -> None:
    settle(firewall)
    firewall.run("sh", "-c", "mv /run/openvswitch/db.sock /run/openvswitch/away")
    try:
        with pytest.raises(DeviceError, match=r"roussy-le-village/firewall: the switch database cannot be read back: "):
            firewall.device.reader.read()
    finally:
        firewall.run("sh", "-c", "mv /run/openvswitch/away /run/openvswitch/db.sock")


def test_a_setting_that_is_not_read_back_cannot_be_set(switch: Bench) -> None:
    section = switch.candidate.section(SectionName.INTERFACES)
    more = section.model_copy(update={"text": section.text + "sysctl net.ipv4.tcp_timestamps=0\n"})
    with pytest.raises(LoadError, match=r"net\.ipv4\.tcp_timestamps is no setting that is read back"):
        switch.device.reader.canonical(switch.candidate.model_copy(update={"sections": (more,)}))


# --- through NAPALM ------------------------------------------------------------------------------------------------


def driver_of(bench: Bench) -> SectionDriver:
    """Return the open NAPALM driver of a bench."""
    driver = DRIVERS[bench.candidate.platform](
        "", "", "", optional_args={"device": bench.candidate.device, "opener": lambda _: bench.device}
    )
    driver.open()
    return driver


def test_napalm_replaces_compares_and_rolls_back(switch: Bench) -> None:
    settle(switch)
    driver = driver_of(switch)
    switch.run("ovs-vsctl", "set", "port", "p2", "tag=130")
    switch.run("ip", "link", "set", "dev", "p6", "up")
    before = driver.get_config("running")["running"]
    driver.load_replace_candidate(config=write_document(switch.candidate))
    diff = driver.compare_config()
    assert "+port br0/p2 protected=true tag=120 vlan_mode=access\n" in diff
    assert "-link set dev p6 up\n" in diff
    driver.commit_config()
    driver.load_replace_candidate(config=write_document(switch.candidate))
    assert driver.compare_config() == ""
    driver.discard_config()
    driver.rollback()
    assert driver.get_config("running")["running"] == before


def test_napalm_getters_tell_what_the_daemons_run(switch: Bench) -> None:
    settle(switch)
    driver = driver_of(switch)
    assert switch.candidate.platform is Platform.OPENVSWITCH
    interfaces = driver.get_interfaces()
    assert interfaces["p1"]["is_enabled"] is True  # type: ignore[index]  # NAPALM ships no types
    assert interfaces["p6"]["is_enabled"] is False  # type: ignore[index]
    assert driver.get_interfaces_ip()["management"] == {"ipv4": {"10.56.1.3": {"prefix_length": 27}}}
    assert driver.get_vlans()["130"] == {"name": "", "interfaces": ["p1", "p3"]}
    channel = driver.get_optics()["sfp1"]["physical_channels"]["channel"][0]  # type: ignore[index]
    assert channel["state"]["input_power"]["instant"] == pytest.approx(-8.63, abs=0.01)
    assert channel["state"]["output_power"]["instant"] == pytest.approx(-6.0, abs=0.01)
    facts = driver.get_facts()
    assert facts["fqdn"] == "core-switch.roussy-le-village"
    assert "sfp1" in facts["interface_list"]  # type: ignore[operator]
