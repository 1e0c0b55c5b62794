"""What hosts say of themselves against the pilot's intent: nothing to say when all is well, each fault named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cloison import optics
from cloison.intent.load import load
from cloison.intent.network import Equipment, Intent, PortReference
from cloison.lab.modules import image
from cloison.model import EquipmentName, InterfaceName
from cloison.probe.readback import clock, fibre, kernel, log, routes, sockets
from cloison.transport.local import LocalRunner

FIREWALL = "roussy-le-village/firewall"
CORE, POLE, RECORDER = "roussy-le-village/core-switch", "roussy-le-village/pole-switch", "roussy-le-village/nvr"
Equip = Callable[[str], Equipment]


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(Path(__file__).parents[3])


@pytest.fixture
def equip(intent: Intent) -> Equip:
    return lambda name: intent.equipment_by_name[EquipmentName(name)]


# --- sockets -----------------------------------------------------------------------------------------------------

RECORDER_SOCKETS = """\
tcp LISTEN 0      128    10.56.1.34:22  0.0.0.0:*
tcp LISTEN 0      511    10.56.1.34:443 0.0.0.0:*
tcp LISTEN 0      5      10.56.1.34:322 0.0.0.0:*
"""
FIREWALL_SOCKETS = """\
udp UNCONN 0      0           0.0.0.0:123  0.0.0.0:*
udp UNCONN 0      0           0.0.0.0:500  0.0.0.0:*
udp UNCONN 0      0           0.0.0.0:4500 0.0.0.0:*
tcp LISTEN 0      128       10.56.1.1:22   0.0.0.0:*
tcp LISTEN 0      128    192.168.56.9:22   0.0.0.0:*
"""


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        (RECORDER, RECORDER_SOCKETS, []),
        (FIREWALL, FIREWALL_SOCKETS, []),
        (
            RECORDER,
            RECORDER_SOCKETS + "tcp LISTEN 0 5 0.0.0.0:8000 0.0.0.0:*\n",
            ["tcp every address port 8000 listens and is not declared"],
        ),
        (
            RECORDER,
            RECORDER_SOCKETS.replace("10.56.1.34:443", "*:443"),
            [
                "tcp every address port 443 listens and is not declared",
                "tcp 10.56.1.34 port 443 is declared and does not listen",
            ],
        ),
        (
            RECORDER,
            RECORDER_SOCKETS + "udp UNCONN 0 0 127.0.0.1%lo:323 0.0.0.0:*\nudp UNCONN 0 0 [::1]:323 [::]:*\n",
            [
                "udp 127.0.0.1 port 323 listens and is not declared",
                "udp ::1 port 323 listens and is not declared",
            ],
        ),
        (RECORDER, RECORDER_SOCKETS.splitlines()[0], ["tcp 10.56.1.34 port 322", "tcp 10.56.1.34 port 443"]),
        (
            FIREWALL,
            FIREWALL_SOCKETS.replace("10.56.1.1:22", "0.0.0.0:22"),
            ["tcp every address port 22 listens", "tcp 10.56.1.1 port 22 is declared"],
        ),
        (
            FIREWALL,
            FIREWALL_SOCKETS + "udp UNCONN 0 0 0.0.0.0:68 0.0.0.0:*\n",
            ["udp every address port 68 listens and is not declared"],
        ),
    ],
)
def test_sockets(intent: Intent, equip: Equip, name: str, text: str, found: list[str]) -> None:
    said = sockets.differences(intent, equip(name), text)
    assert len(said) == len(found)
    assert all(difference.startswith(start) for difference, start in zip(said, found, strict=True))


# --- kernel ------------------------------------------------------------------------------------------------------


def settings(equipment: Equipment, **changed: str) -> str:
    """Return what `sysctl` would say of an equipment set as declared, but for these (dots written as underscores)."""
    declared = kernel.declared(equipment)
    values = {name: changed.get(name.replace(".", "_"), value) for name, value in declared.items()}
    return "".join(f"{name} = {value}\n" for name, value in values.items() if value)


@pytest.mark.parametrize("name", [FIREWALL, CORE, RECORDER])
def test_kernel_as_declared(equip: Equip, name: str) -> None:
    assert kernel.differences(equip(name), settings(equip(name))) == []


@pytest.mark.parametrize(
    ("name", "changed", "found"),
    [
        (RECORDER, {"net_ipv4_ip_forward": "1"}, ["net.ipv4.ip_forward is 1; expected 0"]),
        (FIREWALL, {"net_ipv4_ip_forward": "0"}, ["net.ipv4.ip_forward is 0; expected 1"]),
        (
            FIREWALL,
            {"net_netfilter_nf_conntrack_tcp_loose": "1"},
            ["net.netfilter.nf_conntrack_tcp_loose is 1; expected 0"],
        ),
        (CORE, {"net_ipv4_tcp_syncookies": ""}, ["net.ipv4.tcp_syncookies is not there; expected 1"]),
    ],
)
def test_kernel_setting_that_differs(equip: Equip, name: str, changed: dict[str, str], found: list[str]) -> None:
    assert kernel.differences(equip(name), settings(equip(name), **changed)) == found


# --- time --------------------------------------------------------------------------------------------------------

TRACKING = (
    "0A380101,10.56.1.1,7,1795529473.3,0.000006,-0.000007,0.000024,0.172,-0.002,0.201,0.0009,0.0001,32.6,Normal\n"
)
SOURCE = "^,*,10.56.1.1,6,4,377,55,-0.000086326,-0.000093378,0.000551095\n"


@pytest.mark.parametrize(
    ("name", "source"),
    [(CORE, "10.56.1.1"), (RECORDER, "10.56.1.33"), (FIREWALL, "10.56.3.19"), ("operations-centre/time-server", None)],
)
def test_declared_source(intent: Intent, equip: Equip, name: str, source: str | None) -> None:
    assert clock.declared_source(intent, equip(name)) == source


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (TRACKING + SOURCE, []),
        ("", ["chronyc says nothing of what it follows"]),
        ("506 Cannot talk to daemon\n", ["chronyc says nothing of what it follows"]),
        (
            TRACKING.replace("10.56.1.1", "").replace("Normal", "Not synchronised").replace(",7,", ",0,")
            + SOURCE.replace("*", "?"),
            [
                "the clock is not synchronised (Not synchronised)",
                "stratum 0",
                "it follows nothing; expected 10.56.1.1",
                "selected sources: []; expected 10.56.1.1",
            ],
        ),
        (
            TRACKING.replace("10.56.1.1", "203.0.113.9") + SOURCE.replace("10.56.1.1", "203.0.113.9"),
            [
                "it follows 203.0.113.9; expected 10.56.1.1",
                "selected sources: ['203.0.113.9']; expected 10.56.1.1",
                "203.0.113.9 is a source too; expected 10.56.1.1 alone",
            ],
        ),
        (TRACKING.replace(",0.000006,", ",-61.5,") + SOURCE, ["the clock is -61.500 s off"]),
    ],
)
def test_time(text: str, found: list[str]) -> None:
    assert clock.differences("10.56.1.1", text) == found


def test_time_server_follows_nobody() -> None:
    own = TRACKING.replace("10.56.1.1", "127.127.1.1")
    assert clock.differences(None, own) == []
    assert clock.differences(None, own + SOURCE) == ["it follows 10.56.1.1; the time server has no source"]


# --- log ---------------------------------------------------------------------------------------------------------


def test_log_is_awaited_until_the_line_is_there(tmp_path: Path) -> None:
    (tmp_path / "some.log").write_text("before\nhost cloison-audit: feed\n", encoding="utf-8")
    command = [part.replace("/var/log", str(tmp_path)) for part in log.await_command("feed", 5.0)]
    result = LocalRunner().run(command)
    assert (result.exit_status, result.text) == (0, "host cloison-audit: feed\n")


def test_log_that_does_not_come_is_not_awaited_for_ever(tmp_path: Path) -> None:
    command = [part.replace("/var/log", str(tmp_path)) for part in log.await_command("feed", 0.4)]
    assert LocalRunner().run(command, timeout=5.0).exit_status == 1


# --- routes and interfaces ---------------------------------------------------------------------------------------


def route_table(intent: Intent, device: Equipment) -> list[dict[str, object]]:
    """Return the routing table that a device has to have, as `ip -j` writes it."""
    table: list[dict[str, object]] = []
    for destination, hop, interface in sorted(routes.wanted_routes(intent, device)):
        if hop == "blackhole":
            table.append({"type": "blackhole", "dst": destination, "metric": int(interface), "flags": []})
        else:
            table.append({"dst": destination, "dev": interface, **({"gateway": hop} if hop else {})})
    return table


@pytest.mark.parametrize("name", [FIREWALL, CORE])
def test_routes_as_declared(intent: Intent, equip: Equip, name: str) -> None:
    table = route_table(intent, equip(name))
    assert routes.route_differences(intent, equip(name), json.dumps(table)) == []


def test_routes_of_a_firewall_are_its_segments_its_gateway_and_a_dead_end(intent: Intent, equip: Equip) -> None:
    wanted = routes.wanted_routes(intent, equip("crisis-cell/firewall"))
    assert wanted == {
        ("10.56.0.0/14", "blackhole", "4096"),
        ("10.56.2.0/28", "", "vlan210"),
        ("10.56.2.16/28", "", "vlan150"),
        ("192.168.56.0/30", "", "local0"),
        ("198.51.100.0/30", "", "wan0"),
        ("default", "198.51.100.1", "wan0"),
    }


def test_a_missing_dead_end_and_a_stray_route_are_named(intent: Intent, equip: Equip) -> None:
    table = [route for route in route_table(intent, equip(FIREWALL)) if route.get("type") != "blackhole"]
    table.append({"dst": "10.56.3.0/28", "gateway": "192.0.2.1", "dev": "wan0"})
    assert routes.route_differences(intent, equip(FIREWALL), json.dumps(table)) == [
        "route 10.56.3.0/28 by 192.0.2.1 on wan0 is not declared",
        "route 10.56.0.0/14 to nowhere, metric 4096 is missing",
    ]


def interface_list(intent: Intent, device: Equipment) -> list[dict[str, object]]:
    """Return the interfaces that a device has to have, as `ip -j address` writes them."""
    entries: list[dict[str, object]] = [
        {"ifname": name, "flags": [], "addr_info": []} for name in ("br0", "ovs-netdev")
    ]
    for name, addresses in routes.wanted_addresses(intent, device).items():
        info = [{"local": str(address.ip), "prefixlen": address.network.prefixlen} for address in addresses]
        flags = ["BROADCAST"] if name in {"p6", "p7", "p8"} else ["BROADCAST", "UP", "LOWER_UP"]
        entries.append({"ifname": name, "flags": flags, "addr_info": info})
    return entries


def test_interfaces_as_declared(intent: Intent, equip: Equip) -> None:
    text = json.dumps(interface_list(intent, equip(CORE)))
    assert routes.interface_differences(intent, equip(CORE), text) == []


def test_interfaces_that_differ_are_named(intent: Intent, equip: Equip) -> None:
    found = {str(entry["ifname"]): entry for entry in interface_list(intent, equip(CORE))}
    found["p6"]["flags"] = found["br0"]["flags"] = ["UP"]
    found["p2"]["flags"] = []
    found["p3"]["addr_info"] = [{"local": "10.56.1.60", "prefixlen": 28}]
    del found["p4"]
    found["eth9"] = {"ifname": "eth9", "flags": ["UP"], "addr_info": []}
    assert routes.interface_differences(intent, equip(CORE), json.dumps(list(found.values()))) == [
        "interface eth9 is not declared",
        "interface p4 is missing",
        "interface p2 is down; expected up",
        "interface p3 has the addresses 10.56.1.60/28; expected none",
        "interface p6 is up; expected down",
        "the bridge's own port br0 is up; it would be in every VLAN",
    ]


# --- fibre -------------------------------------------------------------------------------------------------------


def end(device: str) -> PortReference:
    return PortReference(equipment=EquipmentName(device), port=InterfaceName("sfp1"))


def reading(intent: Intent, *, at_pole: bool, loss: float = 0.0, module: str | None = None) -> optics.Reading:
    as_built = intent.site_by_name[EquipmentName(CORE).site].fibre
    assert as_built is not None
    return fibre.read(image(as_built, at_pole=at_pole, extra_loss=loss, module=module).hex(" "))


@pytest.mark.parametrize(("device", "at_pole", "serial"), [(POLE, True, "SFP-0001"), (CORE, False, "SFP-0002")])
def test_modules_as_built(intent: Intent, device: str, at_pole: bool, serial: str) -> None:  # noqa: FBT001
    declared, found = fibre.declared(intent, end(device)), reading(intent, at_pole=at_pole)
    assert declared.module.serial == found.module.serial == serial
    assert fibre.module_differences(declared, found) == []
    assert fibre.budget_differences(declared, found) == []


def test_modules_that_were_swapped_are_told_apart_by_serial(intent: Intent) -> None:
    found = fibre.module_differences(fibre.declared(intent, end(POLE)), reading(intent, at_pole=False))
    assert found == ["serial number SFP-0002; expected SFP-0001"]


def test_a_module_of_another_kind_is_named(intent: Intent) -> None:
    found = reading(intent, at_pole=True, module="1000BASE-BX10-D")
    assert fibre.module_differences(fibre.declared(intent, end(POLE)), found) == [
        "wavelength 1490 nm; expected 1310 nm"
    ]


@pytest.mark.parametrize(("loss", "is_enough"), [(0.0, True), (4.0, True), (6.0, False), (16.0, False), (60.0, False)])
def test_budget_is_what_the_link_as_built_promises(intent: Intent, loss: float, is_enough: bool) -> None:  # noqa: FBT001
    found = fibre.budget_differences(fibre.declared(intent, end(CORE)), reading(intent, at_pole=False, loss=loss))
    assert (found == []) is is_enough
