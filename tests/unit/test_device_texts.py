"""How the words of each tool become canonical text, and what a crafted answer can do: nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloison.device import swanctl
from cloison.device.batch import SCRATCH, run_batch, shell, step
from cloison.device.capabilities import PLATFORMS
from cloison.device.daemons import DaemonReader, DaemonWriter
from cloison.device.document import read_document, write_document
from cloison.device.edge import canonical_flows
from cloison.device.fibre import FibreReading
from cloison.device.interfaces import InterfacesReading
from cloison.device.interfaces_load import make_script, removal_script
from cloison.device.rows import canonical_rows, own_rows, parse_dump, rebuilding, transaction
from cloison.device.ruleset import without_dynamic_elements
from cloison.device.section import Answers
from cloison.errors import CloisonError, DeviceError, LoadError
from cloison.model import EquipmentName, Platform
from cloison.render.config import Config, Section, SectionName
from cloison.transport.base import DEFAULT_TIMEOUT_SECONDS, CommandResult
from cloison.transport.local import LocalRunner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME = EquipmentName("site/device")
GOLDEN = Path(__file__).parents[1] / "golden" / "render"
INTERFACES = sorted(GOLDEN.glob("*/*/interfaces"))
TUNNELS = sorted(GOLDEN.glob("*/*/tunnels"))


@dataclass
class Scripted:
    """A runner that answers every command with the same bytes."""

    stdout: bytes
    exit_status: int = 0
    place: str = "site/device"

    def run(
        self, arguments: Sequence[str], *, stdin: bytes = b"", timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> CommandResult:
        del arguments, stdin, timeout
        return CommandResult(self.exit_status, self.stdout, b"words")

    def close(self) -> None:
        """Do nothing."""


def answers(**texts: str) -> Answers:
    """Return answers in which a step of that name (underscores are hyphens) printed that."""
    results = {name.replace("_", "-"): CommandResult(0, text.encode(), b"") for name, text in texts.items()}
    return Answers("site/device", results)


# --- the batch -------------------------------------------------------------------------------------------------------


def test_a_batch_brings_every_output_back_byte_for_byte() -> None:
    left = run_batch(
        LocalRunner("here"),
        [
            step("plain", "printf", "%s", "a b\r\n\x1b[2J'\"$HOME"),
            step("copy", "cat", "@/one two", files={"one two": "é\nlast"}),
            shell("fails", "echo out; echo err >&2; exit 9"),
            step("missing", "no-such-program"),
            shell("argument", 'printf "%s|" "$1" "$2"', "a b", "c'd"),
            shell("place", 'test -f "$1" && test -d "$2" && echo "${1##*/}"', "@/one two", "@/"),
        ],
    )
    assert left["plain"].stdout == b"a b\r\n\x1b[2J'\"$HOME"
    assert left["copy"].stdout == "é\nlast".encode()
    assert left["fails"] == CommandResult(9, b"out\n", b"err\n")
    assert left["missing"].exit_status == 127
    assert left["argument"].stdout == b"a b|c'd|"
    assert left["place"].stdout == b"one two\n"


def test_a_step_has_a_time_limit_and_the_next_one_runs() -> None:
    left = run_batch(LocalRunner("here"), [step("slow", "sleep", "30", seconds=1), step("next", "echo", "on")])
    assert left["slow"].exit_status == 124
    assert left["next"].stdout == b"on\n"


def test_a_batch_leaves_nothing_behind() -> None:
    left = run_batch(LocalRunner("here"), [shell("where", "dirname $1", "@/x", files={"x": "y"})])
    scratch = Path(left["where"].text.strip())
    assert scratch.parts
    assert not scratch.exists()


def test_a_step_of_one_name_runs_once() -> None:
    left = run_batch(LocalRunner("here"), [step("one", "echo", "a"), step("one", "echo", "a")])
    assert list(left) == ["one"]


@pytest.mark.parametrize(
    "stdout",
    [b"", b"one 0 5 0\nab", b"two 0 0 0\n", b"one 0 x 0\n", b"one 0 0 0\nmore", b"one 0 -4 0\n", b"\xff 0 0 0\n"],
)
def test_a_broken_frame_is_an_error(stdout: bytes) -> None:
    with pytest.raises(DeviceError, match="site/device: the answer of a batch"):
        run_batch(Scripted(stdout), [step("one", "true")])


def test_a_batch_that_could_not_run_is_an_error() -> None:
    with pytest.raises(DeviceError, match="ended with status 70: words"):
        run_batch(Scripted(b"", 70), [step("one", "true")])


@given(st.binary(max_size=300))
def test_any_answer_is_used_or_refused(stdout: bytes) -> None:
    runner = Scripted(stdout)
    for platform, capabilities in PLATFORMS.items():
        with pytest.raises(CloisonError):
            DaemonReader(runner, NAME, platform, capabilities.sections, 1.0).read()


HOSTILE = [
    "null",
    "[1]",
    '[{"ifname":[]}]',
    '[{"flags":"UP"}]',
    '[{"dst":null}]',
    "{}",
    "[" * 5000,
    '"x"',
    '{"caption":1}',
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_crafted_answer_is_refused(text: str) -> None:
    class Everywhere:
        """Answers every step with the same text."""

        place = "site/device"

        def run(
            self, arguments: Sequence[str], *, stdin: bytes = b"", timeout: float = DEFAULT_TIMEOUT_SECONDS
        ) -> CommandResult:
            del stdin, timeout
            names = [line.split()[1] for line in arguments[2].splitlines() if line.startswith("step ")]
            frames = [f"{name} 0 {len(text)} 0\n{text}" for name in names]
            return CommandResult(0, "".join(frames).encode(), b"")

        def close(self) -> None:
            """Do nothing."""

    for platform, capabilities in PLATFORMS.items():
        with pytest.raises(DeviceError):
            DaemonReader(Everywhere(), NAME, platform, capabilities.sections, 1.0).read()


def test_sections_of_another_platform_are_refused() -> None:
    writer = DaemonWriter(Scripted(b""), NAME, Platform.OPENVSWITCH)
    with pytest.raises(LoadError, match="section filter is refused"):
        writer.load(Section(name=SectionName.FILTER, text=""))


# --- rows ------------------------------------------------------------------------------------------------------------


def dump(**tables: Sequence[Mapping[str, object]]) -> str:
    """Return what ovsdb-client would dump, from rows with their columns."""
    lines = []
    for table, rows in tables.items():
        headings = sorted({column for row in rows for column in row})
        data = [[row[column] for column in headings] for row in rows]
        lines.append(json.dumps({"caption": f"{table} table", "headings": headings, "data": data}))
    return "\n".join(lines)


BRIDGE = {"_uuid": ["uuid", "b"], "name": "br0", "ports": ["uuid", "p"], "fail_mode": "secure"}
PORT = {"_uuid": ["uuid", "p"], "name": "p1", "interfaces": ["uuid", "i"], "tag": 0, "trunks": ["set", []]}
INTERFACE = {"_uuid": ["uuid", "i"], "name": "p1", "type": "", "ofport": 3, "options": ["map", [["key", "a b"]]]}


def test_rows_are_named_below_their_owners() -> None:
    rows = parse_dump("site/device", dump(Bridge=[BRIDGE], Port=[PORT], Interface=[INTERFACE]))
    assert canonical_rows(rows).splitlines() == [
        "bridge br0 fail_mode=secure",
        'interface br0/p1/p1 options=key:"a\\u0020b"',
        "port br0/p1 tag=0",
    ]


def test_the_identity_of_the_host_is_not_configuration() -> None:
    root = {
        "_uuid": ["uuid", "r"],
        "external_ids": ["map", [["hostname", "h"], ["system-id", "s"]]],
        "ovs_version": "3",
    }
    assert canonical_rows(parse_dump("site/device", dump(Open_vSwitch=[root]))) == ""
    root["external_ids"] = ["map", [["hostname", "h"], ["ovn-remote", "tcp:x"]]]
    assert canonical_rows(parse_dump("site/device", dump(Open_vSwitch=[root]))) == (
        "open_vswitch . external_ids=ovn-remote:tcp:x\n"
    )


def test_a_row_of_any_table_shows() -> None:
    rows = parse_dump("site/device", dump(QoS=[{"_uuid": ["uuid", "q"], "type": "linux-htb"}]))
    assert canonical_rows(rows) == "qos - type=linux-htb\n"


def test_a_value_cannot_pose_as_a_row() -> None:
    evil = INTERFACE | {"options": ["map", [["k", "x\nport br0/p9 tag=1"]]], "type": 'a" b'}
    text = canonical_rows(parse_dump("site/device", dump(Bridge=[BRIDGE], Port=[PORT], Interface=[evil])))
    assert len(text.splitlines()) == 3
    assert "\nport br0/p9" not in text


def test_rows_can_be_made_again_from_their_text() -> None:
    text = rebuilding(
        "bridge br0 fail_mode=secure other_config=disable-in-band:true\nport br0/br0 tag=999\nport br0/p1 tag=5\n"
    )
    assert text.splitlines() == [
        "--if-exists del-br br0",
        "add-br br0",
        "set bridge br0 fail_mode=secure 'other_config={disable-in-band=true}'",
        "set port br0 tag=999",
        "add-port br0 p1",
        "set port p1 tag=5",
    ]
    with pytest.raises(ValueError, match="a row of table mirror cannot be made again"):
        rebuilding("mirror br0/spy select_all=true\n")


def test_a_transaction_joins_its_lines() -> None:
    assert transaction("# made\nadd-br br0\n\nset port br0 tag=999\n") == [
        "add-br",
        "br0",
        "--",
        "set",
        "port",
        "br0",
        "tag=999",
    ]


# --- flows and rules -------------------------------------------------------------------------------------------------


def test_flows_are_put_in_one_form_and_order() -> None:
    printed = (
        "usable protocols: any\nchosen protocol: OXM-OpenFlow14\n"
        "OFPT_FLOW_MOD (OF1.4) (xid=0x3): ADD priority=0 actions=drop\n"
        "OFPT_FLOW_MOD (OF1.4) (xid=0x2): ADD table:1 priority=5,ip,in_port=1 cookie:0x12 idle:5 actions=NORMAL\n"
        "OFPT_FLOW_MOD (OF1.4) (xid=0x1): ADD arp,dl_src=02:00:00:00:01:11 actions=NORMAL\n"
        "OFPT_FLOW_MOD (OF1.4) (xid=0x9): ADD actions=drop\n"
        "group_id=7,type=all\n"
    )
    assert canonical_flows("site/device", printed).splitlines() == [
        "table=0 actions=drop",
        "table=0,arp,dl_src=02:00:00:00:01:11 actions=NORMAL",
        "table=0,priority=0 actions=drop",
        "table=1,cookie=0x12,idle=5,priority=5,ip,in_port=1 actions=NORMAL",
        "group_id=7,type=all",
    ]
    with pytest.raises(DeviceError, match="a flow is printed in a form that is not known: OFPT_ERROR"):
        canonical_flows("site/device", "OFPT_ERROR (OF1.4): x\n")


def test_elements_that_packets_made_are_left_out() -> None:
    listing = (
        "table inet cloison {\n\tset heard {\n\t\tflags dynamic,timeout\n\t\telements = { 10.0.0.1 timeout 1m,\n"
        "\t\t\t     10.0.0.2 timeout 1m }\n\t}\n\tset peers {\n\t\telements = { 192.0.2.1 }\n\t}\n}\n"
    )
    kept = without_dynamic_elements(listing)
    assert "10.0.0" not in kept
    assert "elements = { 192.0.2.1 }" in kept
    assert kept.count("{") == kept.count("}")


# --- interfaces ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_every_declared_setting_is_read_back_and_none_is_missing(path: Path) -> None:
    platform = Platform.DEBIAN_LIBIPSEC if path.parent.name == "firewall" else Platform.OPENVSWITCH
    capabilities = PLATFORMS[platform]
    text = path.read_text()
    canonical = InterfacesReading(capabilities).canonical(text, answers())
    declared = {line.removeprefix("sysctl ").partition("=")[0] for line in canonical.splitlines() if "sysctl " in line}
    addressed = {line.split()[-1] for line in canonical.splitlines() if line.startswith("address ")}
    of_interfaces = {f"net.ipv4.conf.{link}.{name}" for link in addressed for name in capabilities.interface_settings}
    assert declared == set(capabilities.settings) | of_interfaces


def test_lines_of_a_candidate_are_put_in_one_order() -> None:
    reading = InterfacesReading(PLATFORMS[Platform.OPENVSWITCH])
    text = (
        "# made\nroute replace 10.0.0.0/8 src 10.0.0.1 dev p1 table 9\nlink set dev p1 mtu 9000 up\n"
        "link set dev p2 down\nrule add table 9 from all priority 7\naddress replace 10.0.0.1/8 dev p1\n"
        "route replace blackhole 10.56.0.0/14 metric 4096\nsysctl net.ipv4.ip_forward=0\n"
    )
    assert reading.canonical(text, answers()).splitlines() == [
        "sysctl net.ipv4.ip_forward=0",
        "link set dev p1 mtu 9000",
        "link set dev p1 up",
        "address replace 10.0.0.1/8 dev p1",
        "route replace 10.0.0.0/8 dev p1 src 10.0.0.1 table 9",
        "route replace blackhole 10.56.0.0/14 metric 4096",
        "rule add priority 7 from all table 9",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "address add 10.0.0.1/8 dev p1",
        "link set p1 up",
        "link set dev p1 sideways",
        "sysctl kernel.panic=1",
        "route",
        "; rm x",
    ],
)
def test_a_line_of_no_known_form_is_refused(line: str) -> None:
    with pytest.raises(LoadError, match="site/device: section interfaces is refused: "):
        InterfacesReading(PLATFORMS[Platform.OPENVSWITCH]).canonical(f"{line}\n", answers())


def test_what_daemons_and_the_kernel_make_is_left_out() -> None:
    links = [
        {"ifname": "lo", "flags": ["UP"], "mtu": 65536, "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]},
        {"ifname": "ipsec0", "flags": ["UP"], "mtu": 1400, "addr_info": []},
        {"ifname": "p1", "flags": [], "mtu": 1500, "addr_info": []},
        {
            "ifname": "wan0",
            "flags": ["UP"],
            "mtu": 1500,
            "addr_info": [
                {"family": "inet", "local": "192.0.2.2", "prefixlen": 30, "scope": "global"},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
                {"family": "inet6", "local": "2001:db8::1", "prefixlen": 64, "scope": "global"},
            ],
        },
    ]
    routes = [
        {"dst": "192.0.2.0/30", "dev": "wan0", "protocol": "kernel"},
        {"dst": "10.56.2.0/28", "dev": "ipsec0", "table": "220"},
        {"dst": "10.56.2.0/28", "dev": "wan0", "table": "220"},
        {"dst": "default", "gateway": "fe80::2", "dev": "wan0", "metric": 1024},
        {
            "dst": "10.1.0.0/16",
            "nexthops": [{"gateway": "192.0.2.1", "dev": "wan0"}, {"gateway": "192.0.2.3", "dev": "x"}],
        },
    ]
    rules = [{"priority": 220, "src": "all", "table": "220"}, {"priority": 32766, "src": "all", "table": "main"}]
    rules += [{"priority": 220, "src": "10.0.0.0", "srclen": 8, "table": "220"}]
    text = InterfacesReading(PLATFORMS[Platform.DEBIAN_LIBIPSEC]).running(
        answers(
            ip_address=json.dumps(links),
            ip_route=json.dumps(routes),
            ip_rule=json.dumps(rules),
            ip_rule6="[]",
            ip_neighbour="[]",
            queues='[{"kind":"noqueue","dev":"lo"}]',
            settings="/proc/sys/net/ipv4/conf/wan0/send_redirects:1\n/proc/sys/net/ipv4/conf/lo/send_redirects:1\n",
        )
    )
    assert text.splitlines() == [
        "sysctl net.ipv4.conf.wan0.send_redirects=1",
        "link set dev wan0 up",
        "address replace 192.0.2.2/30 dev wan0",
        "address replace 2001:db8::1/64 dev wan0",
        "route replace 10.1.0.0/16 nexthop via 192.0.2.1 dev wan0 nexthop via 192.0.2.3 dev x",
        "route replace 10.56.2.0/28 dev wan0 table 220",
        "route replace ::/0 via fe80::2 dev wan0 metric 1024",
        "rule add priority 220 from 10.0.0.0/8 table 220",
    ]


def test_scripts_quote_what_they_are_given() -> None:
    script = make_script("address replace 10.0.0.1/8 dev $(reboot)\nsysctl a=b;c\nrule add priority 7 from all\n")
    assert "must ip address replace 10.0.0.1/8 dev '$(reboot)'" in script
    assert "must sysctl -q -w 'a=b;c'" in script
    assert "\nrule priority 7 from all\n" in script
    assert removal_script(["sysctl a=b"]) == ""
    assert removal_script(
        ["rule add priority 5 from ::/0 table 7", "address replace 10.0.0.1/8 dev p1"]
    ).splitlines() == [
        "ip -6 rule delete priority 5 table 7 2>/dev/null || :",
        "ip address delete 10.0.0.1/8 dev p1 2>/dev/null || :",
    ]


# --- fibre, tunnels, documents ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["port p1 admin=up", "port sfp1 admin=up speed=1000 duplex=full mtu=1500 vlans=", "x"])
def test_a_fibre_line_of_no_known_form_is_refused(line: str) -> None:
    with pytest.raises(LoadError, match="section fibre is refused"):
        FibreReading().canonical(f"{line}\n", answers())


@pytest.mark.parametrize("path", TUNNELS, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_every_rendered_tunnel_is_understood(path: Path) -> None:
    text = path.read_text()
    connections = swanctl.section(swanctl.parse(text), "connections")
    assert connections
    found = swanctl.differences(swanctl.parse(text), {})
    assert found == sorted(f"connection {name}: not in the daemon" for name in connections)
    assert set(swanctl.initiated_children(text)) <= set(connections)


LISTED = """list-conn event {
  video {
    local_addrs = [
      192.0.2.2
    ]
    version = IKEv2
    rekey_time = 14400
    local-1 {
      id = here
      class = public key
    }
    local-2 {
      id = there
    }
    children {
      video {
        mode = TRANSPORT
        close_action = none
        local-ts = [
          10.56.1.48/28
          10.56.1.64/28
        ]
      }
      more {
        mode = TUNNEL
      }
    }
  }
}
list-conns reply {
}
"""
GIVEN = """connections {
 video {
  version = 2
  local_addrs = 192.0.2.2
  rekey_time = 4h
  dpd_delay = 5s
  local {
   auth = pubkey
   id = here
  }
  children {
   video {
    local_ts = 10.56.1.48/28, 10.56.1.64/28
    close_action = clear
   }
  }
 }
}
"""


def test_what_the_daemon_shows_is_compared_with_what_it_was_given() -> None:
    shown = swanctl.listed_connections(LISTED)
    assert swanctl.differences(swanctl.parse(GIVEN), shown) == [
        "connection video: child more: not declared",
        "connection video: child video: mode is TRANSPORT, loaded as TUNNEL",
        "connection video: dpd_delay is unset, loaded as 5",
        "connection video: local-2: one more round of authentication",
    ]
    assert swanctl.listed_connections("list-conns reply {\n}\n") == {}


@pytest.mark.parametrize("text", ["a {\n", "}\n", "include x\n", "a = [\n b\n", "a {\n}}\n"])
def test_a_configuration_of_no_known_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"line \d+ has no known form|is not closed"):
        swanctl.parse(text)


def test_a_document_holds_a_configuration() -> None:
    sections = (Section(name=SectionName.SWITCH, text="add-br br0\n"), Section(name=SectionName.EDGE, text="x\n"))
    config = Config(device=NAME, platform=Platform.OPENVSWITCH, sections=sections)
    text = write_document(config)
    assert text == "#= section switch\nadd-br br0\n#= section edge\nx\n"
    assert read_document(text, NAME, Platform.OPENVSWITCH) == config


@pytest.mark.parametrize(
    "text", ["", "x\n", "#= section roof\n", "#= section edge\n#= section edge\n", "x\n#= section edge\n"]
)
def test_another_text_is_no_document(text: str) -> None:
    with pytest.raises(ValueError, match="expected sections, each once"):
        read_document(text, NAME, Platform.OPENVSWITCH)


def test_scratch_sign_is_what_steps_are_written_with() -> None:
    assert SCRATCH == "@/"


def test_foreign_rows_are_not_made_again() -> None:
    shown = "bridge br0 fail_mode=secure mirrors=br0/spy\nmirror br0/spy select_all=true\nport br0/p1 qos=q tag=120\n"
    assert rebuilding(own_rows(shown + "qos q type=linux-htb\n")) == (
        "--if-exists del-br br0\nadd-br br0\nset bridge br0 fail_mode=secure\nadd-port br0 p1\nset port p1 tag=120\n"
    )
