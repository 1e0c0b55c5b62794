"""The golden configurations in the real kernel: filters, addresses, routes, rules, settings."""

import json
import re
from pathlib import Path

import pytest

from cloison.transport.base import CommandResult
from cloison.transport.local import LocalRunner

pytestmark = pytest.mark.lab

RENDERED = Path(__file__).parents[1] / "golden" / "render"
FIREWALLS = sorted(path.parent.relative_to(RENDERED).as_posix() for path in RENDERED.glob("*/*/filter"))
DEVICES = sorted(path.parent.relative_to(RENDERED).as_posix() for path in RENDERED.glob("*/*/interfaces"))
COMMUNE = "roussy-le-village/firewall"


def apart(script: str, *arguments: str, stdin: str = "") -> CommandResult:
    """Run a script in network, mount and process namespaces of its own; nothing of it is left."""
    namespaces = ("unshare", "--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child")
    return LocalRunner().run([*namespaces, "bash", "-euc", script, "bash", *arguments], stdin=stdin.encode())


def golden(device: str, section: str) -> str:
    return (RENDERED / device / section).read_text(encoding="utf-8")


# --- filter ------------------------------------------------------------------------------------------------------

FIXPOINT = """
nft -f -
nft -s list table inet cloison >/tmp/listed
nft delete table inet cloison
nft -f /tmp/listed
nft -s list table inet cloison
"""
OWN_TMP = "mount -t tmpfs tmpfs /tmp\n"


@pytest.mark.parametrize("device", FIREWALLS)
def test_filter_loads_and_its_listing_loads_as_itself(device: str) -> None:
    result = apart(OWN_TMP + FIXPOINT + "cat /tmp/listed\n", stdin=golden(device, "filter"))
    assert result.exit_status == 0, result
    again, listed = result.text[: len(result.text) // 2], result.text[len(result.text) // 2 :]
    assert again == listed
    comments = re.compile(r'comment "([^"]+)"')
    assert comments.findall(listed) == comments.findall(golden(device, "filter"))


@pytest.mark.parametrize(
    ("good", "spoilt"),
    [
        (" counter accept", " counter acept"),
        ("tcp dport 22", "tcp dport 70000"),
        ("ip saddr @peers", "ip saddr @pears"),
        ("jump protection", "jump nowhere"),
        ("flags interval\n", "\n"),
        ("\n}\n", "\n"),
    ],
)
def test_spoilt_filter_is_refused_and_what_ran_goes_on(good: str, spoilt: str) -> None:
    text = golden(COMMUNE, "filter")
    assert good in text
    old = "table inet cloison { chain old { counter drop; }; }"
    script = f"nft '{old}'\nnft -f - && exit 9\nnft list table inet cloison\n"
    result = apart(script, stdin=text.replace(good, spoilt))
    assert result.exit_status == 0, result
    assert b"Error" in result.stderr
    assert "chain old" in result.text
    assert "business" not in result.text


# A host behind a segment of the commune, the firewall, and a peer behind its tunnel, which here is a plain cable.
SMALL = """
mount -t tmpfs tmpfs /run
mkdir /run/netns
for node in host far; do ip netns add $node; ip -n $node link set lo up; done
ip link set lo up
ip link add vlan130 up address 0e:00:00:00:00:01 type veth peer name eth0 netns host
ip link add ipsec0 up type veth peer name eth0 netns far
ip link add vlan120 up type veth peer name vlan120-far
ip address add 10.56.1.49/28 dev vlan130
ip address add 10.56.1.33/28 dev vlan120
ip -n host address add 10.56.1.50/28 dev eth0
ip -n host link set eth0 up
ip -n host route add default via 10.56.1.49
ip -n far address add 10.56.2.2/28 dev eth0
ip -n far link set eth0 up
ip -n far route add 10.56.1.0/24 dev eth0
ip route add 10.56.2.0/28 dev ipsec0
ip route add 10.56.3.0/24 dev ipsec0
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.ipsec0.proxy_arp=1 net.ipv4.conf.all.rp_filter=0
ip netns exec far sysctl -qw net.ipv4.conf.all.rp_filter=0
nft -f -
send() { node=$1; shift; ip netns exec $node /usr/bin/python3 -c "$SENDER" "$@"; }
drops() {
  nft list chain inet cloison $1 | grep "comment \\"$2\\"" | sed 's/.*packets \\([0-9]*\\).*/\\1/' | paste -sd' '
}
"""
SENDER = """
import socket, sys
kind, source, target = sys.argv[1:4]
if kind == "raw":
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    s.sendto(bytes.fromhex(sys.argv[4]), (target, 0))
else:
    s = socket.socket()
    s.settimeout(1.0)
    s.bind((source, 0))
    try:
        s.connect((target, int(kind)))
        print("open")
    except OSError:
        print("closed")
"""
LISTEN = """
for port in 8322 22; do
  ip netns exec host /usr/bin/python3 -c "
import socket
s = socket.create_server(('10.56.1.50', $port))
while True: s.accept()
" &
done
for port in 8322 22; do until ip netns exec host ss -Htln "sport = :$port" | grep -q .; do :; done; done
"""


def ip_header(source: str, target: str, *, fragment: int = 0, options: bytes = b"", payload: bytes = b"") -> str:
    """Return an IPv4 packet of UDP in hexadecimal; the kernel fills in lengths and sums of a raw socket."""
    octets = [bytes(int(part) for part in address.split(".")) for address in (source, target)]
    first = bytes([0x45 + len(options) // 4, 0, 0, 0, 0, 7])
    return (
        first + fragment.to_bytes(2, "big") + bytes([64, 17, 0, 0]) + octets[0] + octets[1] + options + payload
    ).hex()


def small(script: str) -> list[str]:
    """Run a script in the small network with the commune's own filter; return the lines it prints."""
    result = apart(f"SENDER='{SENDER}'\n" + SMALL + script, stdin=golden(COMMUNE, "filter"))
    assert result.exit_status == 0, result
    return result.text.splitlines()


def test_station_reaches_the_live_port_of_the_gateway_and_no_other() -> None:
    ask = "for port in 8322 22; do send far $port 10.56.2.2 10.56.1.50; done\n"
    answers = small(LISTEN + ask + "drops business watch-live\ndrops final final\n")
    assert answers[:3] == ["open", "closed", "1"]
    assert int(answers[3]) >= 1


def test_fragment_is_dropped_before_it_can_be_put_together() -> None:
    packets = [
        ip_header("10.56.1.50", "10.56.1.49", fragment=0x2000, payload=bytes(8)),
        ip_header("10.56.1.50", "10.56.1.49", fragment=0x0001, payload=bytes(8)),
    ]
    script = "".join(f"send host raw - 10.56.1.49 {packet}\n" for packet in packets)
    assert small(script + "drops source no-fragment\ndrops source no-option\n") == ["2", "0"]


def test_option_is_dropped() -> None:
    record_route = bytes([7, 7, 4, 0, 0, 0, 0, 0])
    packet = ip_header("10.56.1.50", "10.56.1.49", options=record_route, payload=bytes(8))
    assert small(f"send host raw - 10.56.1.49 {packet}\ndrops source no-option\n") == ["1"]


@pytest.mark.parametrize(
    ("node", "source", "found"),
    [
        ("host", "10.56.1.50", "0 0"),
        ("host", "10.56.1.34", "1 0"),
        ("host", "10.56.2.2", "1 0"),
        ("host", "192.0.2.77", "1 0"),
        ("host", "10.56.1.49", "1 0"),
        ("far", "10.56.3.40", "0 1"),
        ("far", "10.56.1.50", "1 0"),
    ],
)
def test_source_is_believed_only_where_it_lives(node: str, source: str, found: str) -> None:
    """Counted by the two rules that drop a spoofed source: the way back, then the prefixes of each interface."""
    target = "10.56.1.33"
    packet = ip_header(source, target, payload=bytes.fromhex("0000007b00080000"))
    assert small(f"send {node} raw - {target} {packet}\ndrops source no-spoofing\n") == [found]


def test_lone_acknowledgement_opens_nothing() -> None:
    ack = bytes.fromhex("9c40208200000001000000015010200000000000")
    packet = bytearray.fromhex(ip_header("10.56.2.2", "10.56.1.50", payload=ack))
    packet[9] = 6
    script = f"send far raw - 10.56.1.50 {packet.hex()}\ndrops business watch-live\n"
    assert small(f"sysctl -qw net.netfilter.nf_conntrack_tcp_loose=1\n{script}") == ["0"]


# --- interfaces --------------------------------------------------------------------------------------------------

LINKS = r"""
cp /dev/stdin /run/lines
ip link set lo up
for link in $(sed -n 's/^link set dev \([^ ]*\).*/\1/p' /run/lines); do
  ip link add "$link" type veth peer name "far-$link"
  ip link set "far-$link" up
done
apply() {
  grep -v ^sysctl /run/lines | ip -batch -
  sed -n 's/^sysctl //p' /run/lines | xargs -n1 sysctl -qw
}
apply
"""
OWN_RUN = "mount -t tmpfs tmpfs /run\n"
SHOW = """
ip -j address show | tr -d '\\n'; echo
ip -j route show table all | tr -d '\\n'; echo
ip -j rule show | tr -d '\\n'; echo
sed -n 's/^sysctl //p' /run/lines | cut -d= -f1 | xargs sysctl
"""


@pytest.mark.parametrize("device", DEVICES)
def test_interfaces_are_made_as_written(device: str) -> None:
    text = golden(device, "interfaces")
    result = apart(OWN_RUN + LINKS + SHOW, stdin=text)
    assert result.exit_status == 0, result
    addresses, routes, rules, *settings = result.text.splitlines()
    lines = text.splitlines()
    made = {
        f"address replace {entry['local']}/{entry['prefixlen']} dev {link['ifname']}"
        for link in json.loads(addresses)
        for entry in link["addr_info"]
        if link["ifname"] != "lo"
    }
    assert made == {line for line in lines if line.startswith("address ")}
    up = {link["ifname"] for link in json.loads(addresses) if "UP" in link["flags"]} - {"lo"}
    assert {name for name in up if not name.startswith("far-")} == set(
        re.findall(r"^link set dev (\S+) up$", text, re.MULTILINE)
    )
    static = [route for route in json.loads(routes) if route.get("protocol") != "kernel"]
    assert len(static) == sum(line.startswith("route ") for line in lines)
    assert len(json.loads(rules)) - 3 == sum(line.startswith("rule ") for line in lines)
    assert [line.replace(" = ", "=") for line in settings] == [
        line.removeprefix("sysctl ") for line in lines if line.startswith("sysctl ")
    ]


@pytest.mark.parametrize(
    ("good", "spoilt"),
    [
        ("address replace 10.56.1.1/27", "address replace 10.56.1.256/27"),
        ("dev vlan110 up", "dev vlan110 upp"),
        ("route replace blackhole", "route replace blackhoel"),
        ("net.ipv4.ip_forward=1", "net.ipv4.ip_forwarding=1"),
        (" iif lo ", " iff lo "),
    ],
)
def test_spoilt_interfaces_are_refused(good: str, spoilt: str) -> None:
    text = golden(COMMUNE, "interfaces")
    assert good in text
    result = apart(OWN_RUN + "set -o pipefail\n" + LINKS, stdin=text.replace(good, spoilt, 1))
    assert result.exit_status != 0


def test_firewall_speaks_from_its_management_address_whatever_the_route_says() -> None:
    """The routes that the IKE daemon makes name another own address; what names its source itself is left alone."""
    tunnel = """
    ip link add ipsec0 up type veth peer name far-ipsec0
    ip route add 10.56.3.16/28 dev ipsec0 src 10.56.1.89 table 220
    ip rule add priority 220 table 220
    ask() { /usr/bin/python3 -c '
import socket, sys
s = socket.socket(type=socket.SOCK_DGRAM if sys.argv[1] == "udp" else socket.SOCK_STREAM)
s.setblocking(False)
s.connect_ex((sys.argv[2], int(sys.argv[3])))
print(s.getsockname()[0])
' "$@"; }
    ask tcp 10.56.3.18 6514
    ask udp 10.56.3.19 123
    ask tcp 10.56.3.18 6515
    ip -j route get 10.56.3.18 from 10.56.1.1 | grep -o '"dev":"[^"]*"'
    """
    result = apart(OWN_RUN + LINKS + tunnel, stdin=golden(COMMUNE, "interfaces"))
    assert result.exit_status == 0, result
    assert result.text.split() == ["10.56.1.1", "10.56.1.1", "10.56.1.89", '"dev":"ipsec0"']
