"""The proof's routing against the kernel's: the same question to both, for stacks made at random with a fixed seed."""

import json
import os
import random
import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from cloison.device.interfaces_load import make_script
from cloison.model import EquipmentName
from cloison.prove.packet import ETHERNET_IPV4, TCP, UDP, UNTAGGED, Frames
from cloison.prove.parse.interfaces import parse_interfaces
from cloison.prove.routing import Routing
from cloison.prove.space import Packet, Region
from cloison.prove.stack import Stack
from cloison.transport.local import LocalRunner

pytestmark = pytest.mark.lab

RENDERED = Path(__file__).parents[1] / "golden" / "render"
DEVICES = sorted(path.parent.relative_to(RENDERED).as_posix() for path in RENDERED.glob("*/*/interfaces"))
DEVICE = EquipmentName("somewhere/router")
STACKS = int(os.environ.get("CLOISON_DIFFERENTIAL", "25"))
SPECIAL = ("0.0.0.1", "127.0.0.1", "127.255.255.255", "224.0.0.1", "239.1.1.1", "240.0.0.1", "8.8.8.8")
SOURCES = ("all", "10.0.0.0/16", "10.0.4.0/22", "192.168.0.0/20", str(IPv4Address(0)))
NOBODY, EVERYBODY = IPv4Address(0), IPv4Address("255.255.255.255")
LINKS = ("d0", "d1", "d2", "d3")

INSIDE = r"""
import json, re, socket, subprocess, sys

def run(*command, text=""):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr

task = json.load(sys.stdin)
lines = ["link set lo up"]
for link in task["links"]:
    lines += [f"link add {link} address 02:00:00:00:00:01 type veth peer name {link}p", f"link set {link}p up"]
assert run("ip", "-batch", "-", text="\n".join(lines)) == (0, "", "")
made = run("bash", "-euc", task["make"])
assert made[0] == 0, made
answers = [None] * len(task["queries"])
_, said, failed = run("ip", "-force", "-j", "-batch", "-", text="\n".join(task["queries"]))
numbers = {int(number) - 1 for number in re.findall(r"Command failed -:(\d+)", failed)}
good = [number for number in range(len(answers)) if number not in numbers]
for number, line in zip(good, said.splitlines(), strict=True):
    answers[number] = json.loads(line)[0]
sets = "".join(f"set {name} {{ type ifname . ipv4_addr . ipv4_addr; flags dynamic; size 65535; }}\n"
               for name in ("seen", "unverified"))
key = "{ iifname . ip saddr . ip daddr }"
rules = f'''table ip probe {{ {sets} chain here {{ type filter hook prerouting priority -300; policy accept;
    meta protocol ip udp dport 9 add @seen {key}
    udp dport 9 fib saddr . iif oif missing add @unverified {key}
}}
}}
'''
made = run("nft", "-f", "-", text=rules)
assert made == (0, "", ""), made
sockets = {link: socket.socket(socket.AF_PACKET, socket.SOCK_RAW) for link in task["links"]}
for link, out in sockets.items():
    out.bind((link + "p", 0))
for link, frame in task["frames"]:
    sockets[link].send(bytes.fromhex(frame))
found = {}
for name in ("seen", "unverified"):
    listed = json.loads(run("nft", "-j", "list", "set", "ip", "probe", name)[1])
    found[name] = [one["concat"] for one in listed["nftables"][1]["set"].get("elem", [])]
json.dump({"answers": answers, **found}, sys.stdout)
"""


@dataclass(frozen=True)
class Question:
    """A packet that came in by a link, or, with no link, one that the device sends."""

    link: str
    source: IPv4Address
    destination: IPv4Address
    protocol: int
    source_port: int
    destination_port: int

    def command(self) -> str:
        came = f" iif {self.link}" if self.link else ""
        ports = f"ipproto {'tcp' if self.protocol == TCP else 'udp'} sport {self.source_port}"
        return f"route get {self.destination} from {self.source}{came} {ports} dport {self.destination_port}"

    def packet(self, frames: Frames) -> Packet:
        return dict.fromkeys((field.name for field in frames.fields), 0) | {
            "tag": UNTAGGED,
            "inner_tag": UNTAGGED,
            "ethernet_type": ETHERNET_IPV4,
            "interface_in": frames.interfaces.number(self.link) if self.link else 0,
            "source": int(self.source),
            "destination": int(self.destination),
            "protocol": self.protocol,
            "source_port": self.source_port,
            "destination_port": self.destination_port,
            "header_length": 5,
        }

    def frame(self) -> str:
        datagram = bytes([0, 9, 0, 9, 0, 8, 0, 0])
        head = bytes([0x45, 0, 0, 28, 0, 0, 0, 0, 64, UDP, 0, 0]) + self.source.packed + self.destination.packed
        total = sum(int.from_bytes(head[at : at + 2], "big") for at in range(0, 20, 2))
        total = (total & 0xFFFF) + (total >> 16)
        checksum = (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
        head = head[:10] + checksum + head[12:]
        return (bytes.fromhex("020000000001020000000002") + b"\x08\x00" + head + datagram).hex()


# --- stacks ----------------------------------------------------------------------------------------------------------


def generated(number: int) -> str:
    """Return a section that a kernel loads: links, addresses, every kind of route, rules that look at everything."""
    chance = random.Random(f"stack {number}")  # noqa: S311  the same stacks every time
    up = [link for link in LINKS if chance.random() < 0.85] or ["d0"]
    lines = [
        f"sysctl net.ipv4.ip_forward={int(chance.random() < 0.85)}",
        f"sysctl net.ipv4.conf.all.rp_filter={chance.choice((0, 1, 1, 2))}",
        *(f"sysctl net.ipv4.conf.{link}.rp_filter={chance.randrange(3)}" for link in LINKS if chance.random() < 0.3),
        *(f"link set dev {link} up" for link in up),
    ]
    subnets = chance.sample([IPv4Network((0x0A000000 + (at << 8), 24)) for at in range(16)], 8)
    connected: list[tuple[str, IPv4Interface]] = []
    for subnet in subnets[: chance.randrange(2, 7)]:
        length = chance.choice((24, 25, 28, 30, 31, 32))
        inside = next(subnet.subnets(new_prefix=length))
        own = chance.choice(list(inside.hosts()) or [inside.network_address])
        connected.append((chance.choice(LINKS), IPv4Interface(f"{own}/{length}")))
    lines += [f"address replace {address} dev {link}" for link, address in connected]
    used: set[tuple[str, str]] = set()
    for _ in range(chance.randrange(3, 12)):
        lines += _route(chance, up, connected, used)
    for priority in chance.sample(range(1, 400), chance.randrange(5)):
        lines.append(f"rule add priority {priority} {_rule(chance)} table {chance.choice(('56', '77', 'main'))}")
    return "".join(f"{line}\n" for line in lines)


def _route(
    chance: random.Random, up: list[str], connected: list[tuple[str, IPv4Interface]], used: set[tuple[str, str]]
) -> list[str]:
    length = chance.choice((0, 8, 14, 16, 20, 22, 24, 26, 29, 32))
    base = chance.choice((0x0A000000, 0x0A000000, 0x0A000500, 0xC0A80000)) + chance.randrange(16) * 256
    network = IPv4Network((base & (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF, length))
    table = chance.choice(("main", "main", "56", "77"))
    metric = chance.choice((10, 100))
    if (f"{network} {metric}", table) in used:
        return []
    used.add((f"{network} {metric}", table))
    tail = f" metric {metric}" + ("" if table == "main" else f" table {table}")
    kind = chance.choice(("dev", "dev", "via", "blackhole", "unreachable", "prohibit", "throw", "nexthop"))
    neighbours = [
        (link, host)
        for link, address in connected
        for host in list(address.network.hosts())[:3]
        if link in up and host != address.ip and address.network.prefixlen < 31
    ]
    if kind in {"via", "nexthop"}:
        if not neighbours:
            return []
        link, host = chance.choice(neighbours)
        if kind == "nexthop":
            return [f"route replace {network}{tail} nexthop via {host} dev {link}"]
        return [f"route replace {network} via {host} dev {link}{tail}"]
    if kind == "dev":
        return [f"route replace {network} dev {chance.choice(up)}{tail}"]
    return [f"route replace {kind} {network}{tail}"]


def _rule(chance: random.Random) -> str:
    words = [f"from {chance.choice(SOURCES)}"]
    if chance.random() < 0.5:
        words.append(f"to {chance.choice(('10.0.0.0/18', '10.0.8.0/21', '192.168.1.0/24', '8.8.8.8'))}")
    if chance.random() < 0.4:
        words.append(f"iif {chance.choice(('lo', *LINKS))}")
    if chance.random() < 0.4:
        words.append(f"ipproto {chance.choice(('tcp', 'udp'))}")
        words.append(chance.choice(("", "dport 80", "sport 1000-2000", "dport 80 sport 1000-2000")))
    return " ".join(word for word in words if word)


def boundaries(stack: Stack, chance: random.Random) -> list[IPv4Address]:
    """Return the first and the last address of every network, their neighbours, and addresses that mean something."""
    networks = {network for route in stack.routes if isinstance(network := route.destination, IPv4Network)}
    networks |= {own.address.network for own in stack.addresses if isinstance(own.address, IPv4Interface)}
    for rule in stack.rules:
        networks |= {one for one in (rule.source, rule.destination) if isinstance(one, IPv4Network)}
    edges = {int(network[at]) + step for network in networks for at in (0, -1) for step in (-1, 0, 1)}
    edges |= {int(own.address.ip) for own in stack.addresses}
    edges |= {int(IPv4Address(text)) for text in SPECIAL}
    edges |= {int(NOBODY), int(EVERYBODY)}
    edges |= {chance.randrange(1 << 32) for _ in range(3)}
    return [IPv4Address(edge) for edge in sorted(edges) if 0 <= edge < 1 << 32]


def questions(stack: Stack, links: tuple[str, ...], chance: random.Random, often: int) -> list[Question]:
    """Return questions with every boundary as destination and as source, several times each."""
    addresses = boundaries(stack, chance)
    own = [IPv4Address(int(own.address.ip)) for own in stack.addresses]
    found = []
    for address in addresses * often:
        ports = (chance.choice((TCP, UDP)), chance.choice((80, 999, 1000, 2000, 2001)), chance.choice((79, 80, 1000)))
        link = chance.choice(links)
        found.append(Question(link, chance.choice(addresses), address, *ports))
        found.append(Question(link, address, chance.choice(addresses), *ports))
        if own and address != NOBODY:
            found.append(Question("", chance.choice(own), address, *ports))
    return found


# --- the comparison --------------------------------------------------------------------------------------------------


def modelled(frames: Frames, routing: Routing, refused: Region, question: Question) -> str:
    packet = question.packet(frames)
    one = frames.box(**packet)
    if question.link and packet in refused:
        return "nothing"
    result = routing.forwarded(one) if question.link else routing.emitted(one)
    decision = routing.deciding(packet, sent=not question.link)
    if not question.destination.is_multicast and question.destination not in {NOBODY, EVERYBODY} and not result.dropped:
        assert decision is not None  # what explains a packet agrees with what is computed of all
        assert (decision.kind in {"local", "broadcast"}) or not result.local
    if result.local:
        assert not question.link or packet in routing.local()
        return "local"
    for (interface, via), region in result.gateways.items():
        if region:
            return f"{interface} via {via or '-'}"
    return "unknown" if result.unknown else "nothing"


def answered(answer: dict[str, object] | None, alive: tuple[str, ...]) -> str:
    """Return what the kernel says; it routes multicast to a link that is down, where nothing leaves."""
    if answer is None or answer["dev"] not in {"lo", *alive}:
        return "nothing"
    if answer["dev"] == "lo":
        return "local"
    return f"{answer['dev']} via {answer.get('gateway', '-')}"


def compared(text: str, links: tuple[str, ...], seed: str, often: int) -> dict[str, int]:
    """Ask both; return how often each answer was given."""
    chance = random.Random(seed)  # noqa: S311  the same questions every time
    parsed = parse_interfaces(DEVICE, text)
    assert parsed.unmodelled == ()
    frames = Frames()
    routing = Routing(frames, parsed.model, {})
    alive = tuple(link for link in links if link in parsed.model.up)
    asked = questions(parsed.model, alive, chance, often)
    sent = [one for one in asked if one.link]
    task = {
        "links": links,
        "make": make_script(text),
        "queries": [one.command() for one in asked],
        "frames": [(one.link, one.frame()) for one in sent],
    }
    result = LocalRunner().run(
        ["unshare", "--net", "--mount", sys.executable, "-c", INSIDE], stdin=json.dumps(task).encode(), timeout=60
    )
    assert result.exit_status == 0, result.text + str(result.stderr)
    said = json.loads(result.text)
    refused, unverified = routing.refused(), routing.unverified()
    counts: dict[str, int] = {}
    for question, answer in zip(asked, said["answers"], strict=True):
        expected = answered(answer, alive)
        if question.link and question.destination.is_multicast and expected == "nothing":
            continue  # to a group that nobody here has joined: the proof takes it that somebody may
        assert modelled(frames, routing, refused, question) == expected, (question, answer, text)
        counts[expected.split(" ")[0]] = counts.get(expected.split(" ")[0], 0) + 1
    missing = {tuple(one) for one in said["unverified"]}
    seen = {tuple(one) for one in said["seen"]}
    for question in sent:
        key = (question.link, str(question.source), str(question.destination))
        if key in seen:
            udp = Question(question.link, question.source, question.destination, UDP, 9, 9)
            assert (udp.packet(frames) in unverified) is (key in missing), (question, text)
    counts["seen"], counts["missing"] = len(seen), len(missing)
    return counts


def test_generated_stacks_route_as_the_kernel_does() -> None:
    total: dict[str, int] = {}
    for number in range(STACKS):
        for answer, count in compared(generated(number), LINKS, f"questions {number}", often=2).items():
            total[answer] = total.get(answer, 0) + count
    assert all(total[answer] > 100 for answer in ("nothing", "local", *LINKS, "missing", "seen")), total


@pytest.mark.parametrize("device", DEVICES)
def test_rendered_stacks_route_as_the_kernel_does(device: str) -> None:
    text = (RENDERED / device / "interfaces").read_text(encoding="utf-8")
    links = tuple(dict.fromkeys(line.split()[3] for line in text.splitlines() if line.startswith("link set dev")))
    counts = compared(text, links, device, often=3)
    assert counts["nothing"]
    assert counts["local"]
    assert counts["missing"] < counts["seen"]
