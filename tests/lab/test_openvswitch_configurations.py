"""The golden configurations of switches in a real Open vSwitch: they load, and every frame goes where it should."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloison.transport.base import CommandResult
from cloison.transport.local import LocalRunner

pytestmark = pytest.mark.lab

RENDERED = Path(__file__).parents[1] / "golden" / "render"
SWITCHES = sorted(path.parent.relative_to(RENDERED).as_posix() for path in RENDERED.glob("*/*/edge"))
BRIDGES = sorted(path.parent.relative_to(RENDERED).as_posix() for path in RENDERED.glob("*/*/switch"))

START = r"""
set -euo pipefail
cd "$1"
export OVS_RUNDIR=$PWD OVS_LOGDIR=$PWD OVS_DBDIR=$PWD
ovsdb-tool create conf.db /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server conf.db --remote=punix:db.sock --pidfile=db.pid --detach --log-file=db.log 2>/dev/null
db=unix:$PWD/db.sock
ovs-vsctl --db=$db --no-wait init
ovs-vswitchd $db --pidfile=vs.pid --unixctl=$PWD/vs.ctl --detach --log-file=vs.log --disable-system 2>/dev/null
for port in $(sed -n 's/^add-port br0 \([^ ]*\).*/\1/p' switch); do
  grep -q "^set interface $port type=internal" switch || ip link add "$port" up type veth peer name "far-$port"
done
vsctl() { timeout 20 ovs-vsctl --db=$db "$@"; }
"""
TRANSACTION = r"""vsctl $(awk 'NR > 1 { printf "-- " } { print }' switch)
"""
FLOWS = r"""ovs-ofctl --bundle replace-flows unix:$PWD/br0.mgmt edge
ovs-ofctl diff-flows unix:$PWD/br0.mgmt edge
"""
APART = ("unshare", "--net", "--pid", "--mount-proc", "--fork", "--kill-child", "bash", "-c")


def run(folder: Path, device: str, script: str, **sections: str) -> CommandResult:
    """Run a script beside an Open vSwitch of its own, where a device's sections are files, or the texts given."""
    for section in ("switch", "edge"):
        golden = RENDERED / device / section
        if golden.exists():
            (folder / section).write_text(sections.get(section) or golden.read_text())
    return LocalRunner().run([*APART, START + script, "bash", str(folder)], timeout=60.0)


@pytest.mark.parametrize("device", BRIDGES)
def test_switch_rows_are_made_as_written_and_made_again(tmp_path: Path, device: str) -> None:
    show = "vsctl --format=csv --no-headings --columns=name,ofport,error list interface | sort\n"
    result = run(tmp_path, device, TRANSACTION + show + TRANSACTION + show)
    assert result.exit_status == 0, result
    asked = dict(re.findall(r"set interface (\S+) .*ofport_request=(\d+)", (tmp_path / "switch").read_text()))
    rows = [line.split(",") for line in result.text.splitlines()]
    made = {name: number for name, number, _ in rows if name != "br0"}
    assert made == asked
    assert {error for _, _, error in rows} == {"[]"}
    assert len(rows) == 2 * (len(asked) + 1)


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ("add-port br0 p99 tag=4096\n", "constraint"),
        ("add-port br0 p99 mode=access\n", "does not contain a column"),
        ("add-prot br0 p99\n", "unknown command"),
        ("set port p99 tag=1\n", "no row"),
    ],
)
def test_spoilt_switch_rows_are_refused_whole(tmp_path: Path, spoilt: str, said: str) -> None:
    golden = (RENDERED / SWITCHES[0] / "switch").read_text()
    script = TRANSACTION.rstrip() + " || { ovs-vsctl --db=$db list-br; exit 9; }\n"
    result = run(tmp_path, SWITCHES[0], script, switch=golden + spoilt)
    assert (result.exit_status, result.stdout) == (9, b"")
    assert said in result.stderr.decode()


@pytest.mark.parametrize("device", SWITCHES)
def test_flows_load_in_one_bundle_and_nothing_differs(tmp_path: Path, device: str) -> None:
    count = "ovs-ofctl dump-flows --no-stats unix:$PWD/br0.mgmt | wc -l\n"
    result = run(tmp_path, device, TRANSACTION + FLOWS + count)
    assert result.exit_status == 0, result
    written = [line for line in (tmp_path / "edge").read_text().splitlines() if not line.startswith("#")]
    assert int(result.text) == len(written) == len(set(written))


@pytest.mark.parametrize(
    "spoilt", ["table=0,in_port=1\n", "in_port=1,actions=NOMRAL\n", "arp_spa=1.2.3.4,actions=drop\n"]
)
def test_spoilt_flow_is_refused(tmp_path: Path, spoilt: str) -> None:
    golden = (RENDERED / SWITCHES[0] / "edge").read_text()
    result = run(tmp_path, SWITCHES[0], TRANSACTION + FLOWS, edge=golden + spoilt)
    assert result.exit_status != 0


# --- where frames go -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    """A frame that comes in at a port, and the ports it leaves by, sorted; a tagged copy shows its VLAN."""

    device: str
    port: int
    text: str
    leaves: tuple[str, ...] = ()


POLE, CORE, UNMANAGED = (
    "roussy-le-village/pole-switch",
    "roussy-le-village/core-switch",
    "unmanaged-village/core-switch",
)
CAMERA = "dl_src=02:00:00:00:01:11"
TO_GATEWAY = "dl_dst=0e:00:00:00:00:01"
GROUP = "dl_dst=ff:ff:ff:ff:ff:ff"
NTP = f"udp,{CAMERA},{TO_GATEWAY},nw_src=10.56.1.82,nw_dst=10.56.1.81,udp_src=40000,udp_dst=123"
RTSPS = f"tcp,{CAMERA},{TO_GATEWAY},nw_src=10.56.1.82,nw_dst=10.56.1.34,tp_src=322,tp_dst=40000"
ARP = f"arp,{CAMERA},{GROUP},arp_op=1,arp_sha=02:00:00:00:01:11,arp_spa=10.56.1.82,arp_tpa=10.56.1.81"
POLE_ARP = (
    f"arp,dl_src=02:aa:00:00:00:01,{GROUP},arp_op=1,arp_sha=02:aa:00:00:00:01,arp_spa=10.56.1.2,arp_tpa=10.56.1.1"
)
POLE_LOG = f"tcp,dl_src=02:aa:00:00:00:01,{TO_GATEWAY},nw_src=10.56.1.2,nw_dst=10.56.3.18,tp_dst=6514"
UPS = "dl_src=02:00:00:00:01:50,nw_src=10.56.1.4"

FRAMES = [
    # A camera speaks to its gateway and through it, and its frames leave by the fibre alone, in its own VLAN.
    Frame(POLE, 1, ARP, ("sfp1 in 110",)),
    Frame(POLE, 1, NTP, ("sfp1 in 110",)),
    Frame(POLE, 1, RTSPS, ("sfp1 in 110",)),
    # With the address of somebody else it does not speak (IP, MAC, ARP by each of its fields).
    Frame(POLE, 1, RTSPS.replace("nw_src=10.56.1.82", "nw_src=10.56.1.34")),
    Frame(POLE, 1, RTSPS.replace("nw_src=10.56.1.82", "nw_src=10.56.1.83")),
    Frame(POLE, 1, RTSPS.replace("01:11", "01:12")),
    Frame(POLE, 1, RTSPS.replace(CAMERA, "dl_src=03:00:00:00:01:11")),
    Frame(POLE, 1, ARP.replace("arp_spa=10.56.1.82", "arp_spa=10.56.1.81")),
    Frame(POLE, 1, ARP.replace("arp_sha=02:00:00:00:01:11", "arp_sha=02:00:00:00:01:12")),
    Frame(POLE, 1, ARP.replace(CAMERA, "dl_src=02:00:00:00:01:12")),
    Frame(POLE, 1, ARP.replace("arp_tpa=10.56.1.81", "arp_tpa=10.56.1.82")),
    # To a neighbour in its segment it does not speak.
    Frame(POLE, 1, ARP.replace("arp_tpa=10.56.1.81", "arp_tpa=10.56.1.83")),
    Frame(POLE, 1, RTSPS.replace("nw_dst=10.56.1.34", "nw_dst=10.56.1.83")),
    # Tags: its own VLAN, another one, the priority tag that starts a double-tag hop, the parking VLAN.
    *(Frame(POLE, 1, f"{RTSPS},{tag}") for tag in ("dl_vlan=110", "dl_vlan=150", "vlan_tci=0x1000", "dl_vlan=999")),
    # What no camera sends: IPv6, fragments, groups, broadcasts, a DHCP server, link-layer protocols.
    Frame(POLE, 1, f"icmp6,{CAMERA},dl_dst=33:33:00:00:00:01,ipv6_src=fe80::1,ipv6_dst=ff02::1"),
    Frame(POLE, 1, f"tcp6,{CAMERA},{TO_GATEWAY},ipv6_src=2001:db8::1,ipv6_dst=2001:db8::2"),
    Frame(POLE, 1, f"{RTSPS.split(',tp_src', maxsplit=1)[0]},nw_frag=first"),
    Frame(POLE, 1, f"{RTSPS.split(',tp_src', maxsplit=1)[0]},nw_frag=later"),
    Frame(POLE, 1, f"udp,{CAMERA},dl_dst=01:00:5e:7f:ff:fa,nw_src=10.56.1.82,nw_dst=239.255.255.250,udp_dst=3702"),
    Frame(POLE, 1, f"udp,{CAMERA},{TO_GATEWAY},nw_src=10.56.1.82,nw_dst=239.255.255.250,udp_dst=3702"),
    Frame(POLE, 1, f"udp,{CAMERA},{GROUP},nw_src=10.56.1.82,nw_dst=10.56.1.87,udp_dst=137"),
    Frame(POLE, 1, f"udp,{CAMERA},{TO_GATEWAY},nw_src=10.56.1.82,nw_dst=255.255.255.255,udp_dst=9"),
    Frame(POLE, 1, f"udp,{CAMERA},{GROUP},nw_src=0.0.0.0,nw_dst=255.255.255.255,udp_src=68,udp_dst=67"),
    Frame(POLE, 1, NTP.replace("udp_src=40000,udp_dst=123", "udp_src=67,udp_dst=68")),
    Frame(POLE, 1, f"{CAMERA},dl_dst=01:80:c2:00:00:0e,dl_type=0x88cc"),
    Frame(POLE, 1, f"{CAMERA},dl_dst=01:80:c2:00:00:00,dl_type=0x05ff"),
    Frame(POLE, 1, f"{CAMERA},{TO_GATEWAY},dl_type=0x88e5"),
    # The other camera's port takes nothing of this one.
    Frame(POLE, 2, RTSPS),
    # Spare ports and the bridge's own take nothing.
    Frame(POLE, 3, ARP),
    Frame(POLE, 65534, ARP),
    Frame(CORE, 6, ARP),
    # The fibre: who lives at the pole, tagged, each in its own VLAN; it goes to the firewall and to nobody else.
    Frame(CORE, 9, f"{RTSPS},dl_vlan=110", ("p1 in 110",)),
    Frame(CORE, 9, f"{NTP},dl_vlan=110", ("p1 in 110",)),
    Frame(CORE, 9, f"{ARP},dl_vlan=110", ("p1 in 110",)),
    Frame(CORE, 9, f"{POLE_LOG},dl_vlan=150", ("p1 in 150",)),
    Frame(CORE, 9, f"{POLE_ARP},dl_vlan=150", ("p1 in 150",)),
    # Whoever cuts it speaks neither as the town hall nor as the firewall, nor as one camera in the VLAN of the other.
    Frame(CORE, 9, f"{RTSPS},dl_vlan=111"),
    Frame(CORE, 9, f"{RTSPS},dl_vlan=150"),
    Frame(CORE, 9, f"{RTSPS.replace('01:11', '01:12')},dl_vlan=110"),
    Frame(CORE, 9, f"{RTSPS.replace('nw_src=10.56.1.82', 'nw_src=10.56.1.83')},dl_vlan=110"),
    Frame(CORE, 9, f"{RTSPS.replace('nw_dst=10.56.1.34', 'nw_dst=10.56.1.83')},dl_vlan=110"),
    *(
        Frame(CORE, 9, f"{text.replace('10.56.1.2,', f'10.56.1.{host},')},dl_vlan=150")
        for text in (POLE_LOG, POLE_ARP)
        for host in (1, 3, 4, 9)
    ),
    *(
        Frame(CORE, 9, f"{POLE_LOG.replace('nw_dst=10.56.3.18', f'nw_dst=10.56.1.{host}')},dl_vlan=150")
        for host in (3, 4)
    ),
    Frame(CORE, 9, f"{POLE_ARP.replace('arp_tpa=10.56.1.1', 'arp_tpa=10.56.1.3')},dl_vlan=150"),
    Frame(CORE, 9, f"{ARP.replace('01:11,arp_spa', '01:12,arp_spa')},dl_vlan=110"),
    Frame(CORE, 9, f"{ARP.replace('arp_spa=10.56.1.82', 'arp_spa=10.56.1.83')},dl_vlan=110"),
    Frame(CORE, 9, RTSPS),
    Frame(CORE, 9, f"{RTSPS},dl_vlan=120"),
    Frame(CORE, 9, f"{RTSPS},dl_vlan=999"),
    Frame(CORE, 9, f"{RTSPS},vlan_tci=0x1000"),
    Frame(CORE, 9, f"icmp6,{CAMERA},dl_dst=33:33:00:00:00:01,ipv6_src=fe80::1,ipv6_dst=ff02::1,dl_vlan=110"),
    Frame(CORE, 9, f"{CAMERA},dl_dst=01:80:c2:00:00:0e,dl_type=0x88cc,dl_vlan=110"),
    # From the firewall a frame reaches whoever is in its VLAN.
    Frame(CORE, 1, f"{RTSPS},dl_vlan=110", ("sfp1 in 110",)),
    Frame(CORE, 1, f"{RTSPS},dl_vlan=120", ("p2",)),
    Frame(CORE, 1, f"{RTSPS},dl_vlan=150", ("management", "p5", "sfp1 in 150")),
    Frame(CORE, 1, f"{RTSPS},dl_vlan=310"),
    # Between the hosts of the management segment there is no way, nor from the switch itself to one of them.
    Frame(CORE, 5, f"udp,{UPS},{TO_GATEWAY},nw_dst=10.56.1.1,udp_dst=123", ("p1 in 150",)),
    Frame(CORE, 5, f"tcp,{UPS},{TO_GATEWAY},nw_dst=10.56.1.3,tp_dst=22"),
    Frame(CORE, 5, f"tcp,{UPS},{TO_GATEWAY},nw_dst=10.56.1.2,tp_dst=22"),
    Frame(CORE, 100, f"tcp,{TO_GATEWAY},nw_src=10.56.1.3,nw_dst=10.56.3.18,tp_dst=6514", ("p1 in 150",)),
    Frame(CORE, 100, f"tcp,{TO_GATEWAY},nw_src=10.56.1.3,nw_dst=10.56.1.4,tp_dst=443"),
    Frame(CORE, 100, f"tcp,{TO_GATEWAY},nw_src=10.56.1.1,nw_dst=10.56.3.18,tp_dst=6514"),
    # Behind an unmanaged converter two cameras share a port: each is bound to its own address, not to the other's.
    Frame(UNMANAGED, 9, "tcp,dl_src=02:00:00:00:04:11,nw_src=10.56.4.82,nw_dst=10.56.4.34,tp_src=322", ("p1 in 112",)),
    Frame(UNMANAGED, 9, "tcp,dl_src=02:00:00:00:04:12,nw_src=10.56.4.83,nw_dst=10.56.4.34,tp_src=322", ("p1 in 112",)),
    Frame(UNMANAGED, 9, "tcp,dl_src=02:00:00:00:04:11,nw_src=10.56.4.83,nw_dst=10.56.4.34,tp_src=322"),
    Frame(UNMANAGED, 9, "tcp,dl_src=02:00:00:00:04:11,nw_src=10.56.4.82,nw_dst=10.56.4.83,tp_src=322"),
]


def outputs(frame: Frame, actions: str) -> tuple[str, ...]:
    """Return the ports of datapath actions, each with the VLAN that its copy is tagged with."""
    tagged = re.search(r"dl_vlan=(\d+)", frame.text)
    vlan = f" in {tagged[1]}" if tagged else ""
    found = []
    for action in re.findall(r"push_vlan\([^)]*\)|[^,]+", actions):
        if pushed := re.match(r"push_vlan\(vid=(\d+)", action):
            vlan = f" in {pushed[1]}"
        elif action == "pop_vlan":
            vlan = ""
        elif action != "drop":
            found.append(action + vlan)
    return tuple(sorted(found))


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> dict[Frame, str]:
    """Return what each switch, loaded with its golden configuration, would do with each frame."""
    found: dict[Frame, str] = {}
    for device in {frame.device for frame in FRAMES}:
        frames = [frame for frame in FRAMES if frame.device == device]
        traces = "".join(
            f"ovs-appctl -t $PWD/vs.ctl ofproto/trace --names br0 in_port={frame.port},{frame.text} | tail -n 1\n"
            for frame in frames
        )
        result = run(tmp_path_factory.mktemp("ovs"), device, TRANSACTION + FLOWS + traces)
        assert result.exit_status == 0, result
        found |= dict(zip(frames, result.text.splitlines(), strict=True))
    return found


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: f"{frame.device}:{frame.port} {frame.text}")
def test_frame_leaves_by_the_ports_it_should(traced: dict[Frame, str], frame: Frame) -> None:
    heading, _, actions = traced[frame].partition(": ")
    assert heading == "Datapath actions"
    assert outputs(frame, actions) == frame.leaves


def test_without_the_flows_the_spoofed_frame_passes(tmp_path: Path) -> None:
    """The table above would notice: with plain switching in place of the flows, the same frame leaves by the fibre."""
    spoofed = next(frame for frame in FRAMES if frame.device == POLE and "nw_src=10.56.1.34" in frame.text)
    trace = f"ovs-appctl -t $PWD/vs.ctl ofproto/trace --names br0 in_port=1,{spoofed.text} | tail -n 1\n"
    result = run(tmp_path, POLE, TRANSACTION + FLOWS + trace, edge="table=0,priority=0,actions=NORMAL\n")
    assert result.exit_status == 0, result
    assert outputs(spoofed, result.text.strip().partition(": ")[2]) == ("sfp1 in 110",)
