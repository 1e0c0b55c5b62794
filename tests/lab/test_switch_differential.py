"""The proof's bridge against a real Open vSwitch: bridges made at random with a fixed seed, the same frames to both.

Every frame is traced by the real switch and sent through it. `CLOISON_DIFFERENTIAL=<bridges>` makes a long run of it.
"""

import json
import os
import random
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from cloison.device.edge import canonical_flows
from cloison.device.rows import canonical_rows, parse_dump
from cloison.model import EquipmentName
from cloison.prove import packet as kinds
from cloison.prove.bridge import Bridge
from cloison.prove.openflow import Flow, FlowTable
from cloison.prove.packet import UNTAGGED, Frames
from cloison.prove.parse.openflow import parse_edge
from cloison.prove.parse.switch import parse_switch
from cloison.prove.space import Packet
from cloison.prove.switch import Switch, SwitchPort, VlanMode
from cloison.transport.local import LocalRunner

pytestmark = pytest.mark.lab

DEVICE = EquipmentName("somewhere/switch")
SEED = 20_261_124
BRIDGES = int(os.environ.get("CLOISON_DIFFERENTIAL", "20"))
FRAMES = 120
RENDERED = Path(__file__).parents[1] / "golden" / "render"
CABLES = ("p1", "p2", "p3", "p4", "p5", "p6")
INTERNAL = "in1"
VLANS = (10, 20, 30, 999)
MARK = b"clsn"
MACS = ("020000000001", "020000000002", "030000000001")
TO = ("0a0000000001", "0a0000000002", "ffffffffffff", "01005e000001", "0180c200000e", "0180c2000010", "01000ccccccc")
FOUR = ("10.0.0.1", "10.0.0.2", "10.0.1.1", "192.0.2.7")
SIX = ("fe80::1", "2001:db8::1", "2001:db8::2")
PORTS = (67, 80)


@dataclass
class Made:
    """One bridge, in both languages, and frames for it."""

    switch: list[list[str]]
    """Sub-commands of ovs-vsctl, in words."""
    mirrored: bool
    flows: str | None
    up: dict[str, bool]
    numbers: dict[str, int | str]
    frames: list[tuple[str, Packet, bytes]]

    def not_flooded(self, port: str, packet: Packet) -> set[str]:
        """Return the ports that such a frame reaches only once its destination is learnt; all frames here are flooded.

        They are a tunnel that takes in some customers' VLANs alone and, from a tunnel, any access port.
        """
        found = {name for name in self.up if any("cvlans" in word for word in self.words_of(name))}
        if packet["tag"] not in {0, UNTAGGED} and any("dot1q" in word for word in self.words_of(port)):
            found |= {name for name in self.up if any(word.startswith("tag=") for word in self.words_of(name))}
        return found

    def words_of(self, port: str) -> list[str]:
        """Return the settings of a port."""
        return [word for words in self.switch if words[1:3] in (["br0", port], ["port", port]) for word in words]

    def task(self) -> str:
        """Return the task for the real switch."""
        ears = {name: f"far-{name}" if name in CABLES else name for name in self.up}
        frames = [(port, self.numbers[port], raw.hex()) for port, _, raw in self.frames]
        return json.dumps({"switch": self.switch, "flows": self.flows, "up": self.up, "ears": ears, "frames": frames})


# --- making bridges -------------------------------------------------------------------------------------------------


def vlan_words(rng: random.Random) -> list[str]:
    """Return a port's VLAN settings."""
    tag = f"tag={rng.choice(VLANS)}"
    trunks = rng.choice([[], [f"trunks={','.join(map(str, sorted(rng.sample([0, *VLANS, 5], rng.randint(1, 4)))))}"]])
    modes: list[list[str]] = [
        [tag],
        ["vlan_mode=access", tag],
        ["vlan_mode=access"],
        trunks,
        ["vlan_mode=trunk", *trunks],
        ["vlan_mode=native-tagged", tag, *trunks],
        ["vlan_mode=native-untagged", tag, *trunks],
        ["vlan_mode=native-tagged", *trunks],
        ["vlan_mode=native-untagged", *trunks],
        ["vlan_mode=dot1q-tunnel", tag, *rng.choice([[], ["cvlans=0,5,10"], ["cvlans=20"]])],
    ]
    words = rng.choices(modes, weights=[4, 3, 1, 2, 2, 4, 4, 1, 1, 1])[0]
    if rng.random() < 0.4:
        words = [*words, "protected=true"]
    if rng.random() < 0.1:
        words = [*words, f"other_config:priority-tags={rng.choice(['never', 'if-nonzero', 'always'])}"]
    return words


def mirror_words(rng: random.Random, names: Sequence[str]) -> list[list[str]]:
    """Return the sub-commands that add a mirror."""
    sources, target = rng.sample(names, rng.randint(1, 2)), rng.choice(names)
    words = [["--id=@out", "get", "port", target]]
    settings = ["name=copy", "output-port=@out"]
    for at, name in enumerate(sources):
        words.append([f"--id=@m{at}", "get", "port", name])
        settings.append(f"{rng.choice(['select-src-port', 'select-dst-port'])}=@m{at}")
    if rng.random() < 0.3:
        settings.append("select-all=true")
    if rng.random() < 0.4:
        settings.append(f"select-vlan={rng.choice(VLANS)}")
    return [*words, ["--id=@copy", "create", "mirror", *settings], ["set", "bridge", "br0", "mirrors=@copy"]]


def make(rng: random.Random) -> Made:
    """Return a bridge made at random."""
    secure, forward = rng.random() < 0.6, rng.random() < 0.2
    switch = [
        ["--if-exists", "del-br", "br0"],
        ["add-br", "br0"],
        ["set", "bridge", "br0", "datapath_type=netdev", f"fail_mode={'secure' if secure else 'standalone'}"],
        ["set", "bridge", "br0", f"other_config:forward-bpdu={'true' if forward else 'false'}"],
        ["set", "port", "br0", *(vlan_words(rng) or ["protected=false"])],
    ]
    numbers: dict[str, int | str] = {"br0": "LOCAL"}
    for at, name in enumerate([*CABLES, INTERNAL]):
        numbers[name] = at + 1
        switch.append(["add-port", "br0", name, *vlan_words(rng)])
        kind = ["type=internal"] if name == INTERNAL else []
        switch.append(["set", "interface", name, *kind, f"ofport_request={at + 1}"])
    mirrored = rng.random() < 0.2
    if mirrored:
        switch += mirror_words(rng, list(numbers))
    lines = [] if rng.random() < 0.2 else flow_lines(rng)
    flows = "".join(f"{line}\n" for line in lines) if lines else None
    up = {name: rng.random() < 0.85 for name in numbers}
    frames = []
    for at in range(FRAMES):
        packet = random_packet(rng)
        frames.append((rng.choice(list(numbers)), packet, encode(packet, at, rng)))
    return Made(switch, mirrored, flows, up, numbers, frames)


def flow_lines(rng: random.Random) -> list[str]:
    """Return flows of different priorities; one forwards much, so that the others have something to take from."""
    lines = [
        f"priority={priority},{','.join([*match_words(rng), ''])}actions={action_words(rng)}"
        for priority in rng.sample(range(2, 90), rng.randint(2, 14))
    ]
    return [*lines, f"table=0,priority=1,actions={rng.choice(['NORMAL', 'NORMAL', 'drop'])}"]


def action_words(rng: random.Random) -> str:
    """Return what a flow does."""
    ports = [f"output:{number}" for number in range(1, 8)] + ["LOCAL", "IN_PORT"]
    several = ",".join(["NORMAL", *rng.sample(ports, 1)]) if rng.random() < 0.5 else ",".join(rng.sample(ports, 2))
    return rng.choices(["drop", "NORMAL", rng.choice(ports), several, "FLOOD", "ALL"], weights=[6, 8, 2, 2, 1, 1])[0]


def match_words(rng: random.Random) -> list[str]:
    """Return the conditions of a flow."""
    words = [f"in_port={rng.choice([*range(1, 8), 'LOCAL'])}"] if rng.random() < 0.6 else []
    if rng.random() < 0.25:
        words.append(f"dl_src={rng.choice(['02:00:00:00:00:01', '01:00:00:00:00:00/01:00:00:00:00:00'])}")
    if rng.random() < 0.25:
        other = ["ff:ff:ff:ff:ff:ff", "01:00:00:00:00:00/01:00:00:00:00:00", "0a:00:00:00:00:00/ff:ff:ff:ff:ff:0e"]
        words.append(f"dl_dst={rng.choice(other)}")
    if rng.random() < 0.4:
        tags = ["dl_vlan=0", "dl_vlan=10", "dl_vlan=0xffff", "vlan_tci=0x1000/0x1000", "vlan_tci=0x0000/0x1fff"]
        tags += ["vlan_tci=0x100a/0x1fff", "vlan_tci=0x000a/0x0fff", "vlan_vid=0x1004/0x1006", "vlan_tci=0x0/0xfff"]
        words.append(rng.choice(tags))
    layers: list[Callable[[random.Random], list[str]]] = [lambda _: [], four_words, six_words, arp_words, type_words]
    return words + rng.choices(layers, weights=[3, 5, 3, 3, 1])[0](rng)


def type_words(rng: random.Random) -> list[str]:
    return [rng.choice(["dl_type=0x88cc", "dl_type=0x05ff", "rarp", "mpls", "dl_type=0x88b5"])]


def transport_words(rng: random.Random, kind: str) -> list[str]:
    """Return conditions on what a transport protocol has."""
    if kind.startswith("icmp"):
        return [[], ["icmp_type=8"], ["icmp_type=8", "icmp_code=0"], ["icmp_type=128"]][rng.randrange(4)]
    if kind.startswith(("tcp", "udp", "sctp")):
        ends = [f"tp_src={rng.choice(PORTS)}", f"tp_dst={rng.choice(PORTS)}", "tp_dst=0x40/0xffc0", "tp_src=0"]
        words = rng.sample(ends[:2], rng.randint(0, 2)) or [rng.choice(ends[2:])]
        flags = ["tcp_flags=+syn-ack", "tcp_flags=0x2/0x2"] if kind.startswith("tcp") and rng.random() < 0.5 else []
        return [*words, *flags[:1]]
    return [f"nw_proto={rng.choice([1, 6, 17, 44, 47, 58])}"] if rng.random() < 0.3 else []


def four_words(rng: random.Random) -> list[str]:
    kind = rng.choice(["ip", "ip", "tcp", "udp", "icmp", "sctp"])
    words = [kind, *transport_words(rng, kind)]
    places = [*FOUR, "10.0.0.0/24", "10.0.0.0/255.0.255.0"]
    if rng.random() < 0.3:
        parts = ["no", "yes", "first", "not_later"] + ["later"] * (len(words) == 1)  # which has no ports: OVS refuses
        words.append(f"nw_frag={rng.choice(parts)}")
    return words + [f"{end}={rng.choice(places)}" for end in ("nw_src", "nw_dst") if rng.random() < 0.4]


def six_words(rng: random.Random) -> list[str]:
    kind = rng.choice(["ipv6", "ipv6", "tcp6", "udp6", "icmp6"])
    words = [kind, *transport_words(rng, kind)]
    places = [*SIX, "2001:db8::/32", "2001:db8::1/ffff:ffff:ffff:ffff:ffff:ffff:fff0:ffff"]
    if rng.random() < 0.3:
        words.append(f"nw_frag={rng.choice(['no', 'yes', 'first'] + ['later'] * (len(words) == 1))}")
    return words + [f"{end}={rng.choice(places)}" for end in ("ipv6_src", "ipv6_dst") if rng.random() < 0.4]


def arp_words(rng: random.Random) -> list[str]:
    choices = [f"arp_spa={rng.choice(FOUR)}", "arp_tpa=10.0.0.0/24", f"arp_op={rng.randint(1, 2)}"]
    choices += ["arp_sha=02:00:00:00:00:01", "arp_tha=00:00:00:00:00:00"]
    return ["arp", *rng.sample(choices, rng.randint(0, 3))]


# --- making frames --------------------------------------------------------------------------------------------------


def random_packet(rng: random.Random) -> Packet:
    """Return a frame as the proof has it."""
    packet = dict.fromkeys((field.name for field in kinds.FIELDS), 0)
    tags = [UNTAGGED, UNTAGGED, 0, *VLANS, 5, 4095, 10]
    packet["tag"] = rng.choice(tags)
    packet["inner_tag"] = UNTAGGED if packet["tag"] == UNTAGGED or rng.random() < 0.6 else rng.choice(tags[2:])
    packet["mac_source"], packet["mac_destination"] = int(rng.choice(MACS), 16), int(rng.choice(TO), 16)
    kind = rng.choice(["four", "four", "six", "arp", "other"])
    if packet["inner_tag"] != UNTAGGED and rng.random() < 0.15:
        packet["ethernet_type"] = 0x8100
    elif kind == "arp":
        packet["ethernet_type"] = kinds.ETHERNET_ARP
        packet["source"], packet["destination"] = (int(IPv4Address(rng.choice(FOUR))) for _ in range(2))
        packet["arp_sender_mac"], packet["arp_target_mac"] = packet["mac_source"], rng.choice([0, 0x0A0000000001])
        packet["protocol"] = rng.randint(1, 2)
    elif kind == "other":
        packet["ethernet_type"] = rng.choice([0x88CC, 0x88B5, 0x8847, 44, 0x8899])
    else:
        packet |= ip_fields(rng, four=kind == "four")
    return packet


def ip_fields(rng: random.Random, *, four: bool) -> Packet:
    """Return the fields of an IP packet."""
    own = {"ethernet_type": kinds.ETHERNET_IPV4 if four else kinds.ETHERNET_IPV6}
    message = kinds.ICMP if four else kinds.ICMPV6
    own["protocol"] = rng.choice([kinds.TCP, kinds.TCP, kinds.UDP, kinds.UDP, message, kinds.SCTP, 47])
    ends = [int(IPv4Address(rng.choice(FOUR))) if four else int(IPv6Address(rng.choice(SIX))) for _ in range(2)]
    own["source"], own["destination"] = ends
    own["fragment"] = rng.choice([0, 0, 1, 1, 2])
    own["header_length"] = rng.choice([5, 5, 6]) if four else 0
    if own["fragment"] == kinds.Fragment.LATER or own["protocol"] == 47:
        return own
    if own["protocol"] == message:
        return own | {"destination_port": rng.choice([8, 0, 128]), "source_port": rng.choice([0, 1])}
    own |= {"source_port": rng.choice(PORTS), "destination_port": rng.choice([*PORTS, 0])}
    return own | ({"tcp_flags": rng.choice([2, 0x12, 0x10, 0xFF, 0])} if own["protocol"] == kinds.TCP else {})


def encode(packet: Packet, number: int, rng: random.Random) -> bytes:
    """Return the bytes of a frame. What the proof does not keep is random: priorities and types of tags."""
    head = packet["mac_destination"].to_bytes(6) + packet["mac_source"].to_bytes(6)
    for tag in (packet["tag"], packet["inner_tag"]):
        if tag != UNTAGGED:
            head += struct.pack("!HH", rng.choice([0x8100, 0x8100, 0x88A8]), tag | rng.choice([0, 0, 3]) << 13)
    kind = packet["ethernet_type"]
    if kind == 0x8100:
        body = struct.pack("!HH", rng.choice([0, 10, 20]), 0x88B5) + bytes(32)
    elif kind == kinds.ETHERNET_ARP:
        body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, packet["protocol"]) + packet["arp_sender_mac"].to_bytes(6)
        body += packet["source"].to_bytes(4) + packet["arp_target_mac"].to_bytes(6) + packet["destination"].to_bytes(4)
    elif kind in {kinds.ETHERNET_IPV4, kinds.ETHERNET_IPV6}:
        body = encode_ip(packet)
    else:
        body = b"\x42\x42\x03" + bytes(33)
    return head + struct.pack("!H", kind) + body + MARK + number.to_bytes(4)


def encode_ip(packet: Packet) -> bytes:
    protocol, fragment = packet["protocol"], packet["fragment"]
    if fragment == kinds.Fragment.LATER:
        body = bytes(24)
    elif protocol == kinds.TCP:
        ends = packet["source_port"], packet["destination_port"]
        body = struct.pack("!HHIIBBHHH", *ends, 1, 1, 5 << 4, packet["tcp_flags"], 1000, 0, 0)
    elif protocol in {kinds.ICMP, kinds.ICMPV6}:
        body = struct.pack("!BBHI", packet["destination_port"], packet["source_port"], 0, 0)
    else:
        body = struct.pack("!HHHHI", packet["source_port"], packet["destination_port"], 12, 0, 0)
    if packet["ethernet_type"] == kinds.ETHERNET_IPV4:
        offset = {0: 0, 1: 0x2000, 2: 0x0010}[fragment]
        words = packet["header_length"]
        head = struct.pack("!BBHHHBBH", 4 << 4 | words, 0, words * 4 + len(body), 1, offset, 64, protocol, 0)
        ends4 = packet["source"].to_bytes(4) + packet["destination"].to_bytes(4)
        return head + ends4 + b"\x01" * (words * 4 - 20) + body
    following = protocol
    if fragment:
        body = struct.pack("!BBHI", protocol, 0, {1: 1, 2: 0x0010}[fragment], 7) + body
        following = 44
    head = struct.pack("!IHBB", 6 << 28, len(body), following, 64)
    return head + packet["source"].to_bytes(16) + packet["destination"].to_bytes(16) + body


def decode(raw: bytes, sent: Packet) -> Packet:
    """Return the frame of some bytes that are `sent` with other tags."""
    tags: list[int] = []
    at = 12
    while int.from_bytes(raw[at : at + 2]) in {0x8100, 0x88A8} and len(tags) < 2:
        tags.append(int.from_bytes(raw[at + 2 : at + 4]) & 0xFFF)
        at += 4
    kind = int.from_bytes(raw[at : at + 2])
    kind = 0x8100 if kind == 0x88A8 else kind
    tag, inner = [*tags, UNTAGGED, UNTAGGED][:2]
    same = dict(sent) if kind == sent["ethernet_type"] else dict.fromkeys(sent, 0)
    ends = {name: sent[name] for name in ("mac_source", "mac_destination")}
    return same | ends | {"tag": tag, "inner_tag": inner, "ethernet_type": kind}


# --- asking both ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> list[Made]:
    rng = random.Random(SEED)  # noqa: S311  it makes test cases
    return [make(rng) for _ in range(BRIDGES)]


@pytest.fixture(scope="module")
def real(made: list[Made], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what the real switch did with each bridge."""
    return ask(made, tmp_path_factory.mktemp("switch"))


def ask(made: Iterable[Made], folder: Path, cables: Sequence[str] = CABLES) -> list[dict[str, Any]]:
    apart = ("unshare", "--net", "--pid", "--mount-proc", "--fork", "--kill-child")
    script = Path(__file__).with_name("real_switch.py")
    tasks = "\n".join([json.dumps({"cables": cables}), *(one.task() for one in made)])
    done = LocalRunner().run(
        [*apart, sys.executable, str(script), str(folder)], stdin=tasks.encode(), timeout=30.0 + 3 * BRIDGES
    )
    assert done.exit_status == 0, done.stderr.decode()
    return [json.loads(line) for line in (folder / "answers").read_text().splitlines()]


def rows_of(answer: dict[str, Any]) -> str:
    """Return the section `switch` as it is read back, the sentinel's bridge left out."""
    rows = canonical_rows(parse_dump("switch", answer["rows"]))
    return "".join(f"{line}\n" for line in rows.splitlines() if "sentinel" not in line)


def rendered(switch: Sequence[Sequence[str]]) -> str:
    return "".join(f"{' '.join(words)}\n" for words in switch)


Mutant = Callable[[Switch, FlowTable], tuple[Switch, FlowTable]]


def model_of(one: Made, answer: dict[str, Any], frames: Frames, mutant: Mutant = lambda *same: same) -> Bridge:
    """Return the proof's bridge, from what the real one says it runs."""
    switch = parse_switch(DEVICE, rows_of(answer))
    edge = parse_edge(DEVICE, canonical_flows("switch", answer["flows"]))
    assert not switch.unmodelled, list(map(str, switch.unmodelled))
    assert not edge.unmodelled, list(map(str, edge.unmodelled))
    return Bridge(frames, *mutant(switch.model, edge.model), one.up.__getitem__)


def shown(packet: Packet) -> str:
    """Return the fields that are not 0, addresses in hexadecimal."""
    return " ".join(f"{name}={value:x}" for name, value in packet.items() if value)


def differences(one: Made, answer: dict[str, Any], bridge: Bridge, frames: Frames) -> list[str]:
    """Return every frame that the real switch treats otherwise than the proof says."""
    found = []
    for (port, packet, raw), trace in zip(one.frames, answer["traces"], strict=True):
        if isinstance(trace, str):
            return [trace]
        switched = bridge.through(port, frames.box(**packet))
        assert not switched.unknown, list(map(str, switched.reasons))
        really: dict[str, list[Packet]] = {}
        for name, out in trace if one.up[port] else ():
            if one.up[name]:
                really.setdefault(name, []).append(decode(bytes.fromhex(out), packet))
        spared = one.not_flooded(port, packet) - really.keys()
        same = really.keys() == switched.out.keys() - spared
        same = same and all(frame in switched.out[name] for name, all_ in really.items() for frame in all_)
        # More than the real frames are those with a VLAN 0 tag or without, and copies of mirrors, which copy once.
        few = one.mirrored or packet["ethernet_type"] == 0x8100
        few = few or all(switched.out[name].count() <= 2 * len(all_) for name, all_ in really.items() if same)
        if not same or not few:
            ours = {name: [shown(region.witness())] for name, region in sorted(switched.out.items())}
            theirs = {name: list(map(shown, all_)) for name, all_ in sorted(really.items())}
            found.append(f"at {port}: {raw.hex()} {shown(packet)}\n real {theirs}\n said {ours}")
    return found


def test_both_forms_of_the_rows_and_of_the_flows_are_one_model(made: list[Made], real: list[dict[str, Any]]) -> None:
    for one, answer in zip(made, real, strict=True):
        if not one.mirrored:
            written, read = parse_switch(DEVICE, rendered(one.switch)), parse_switch(DEVICE, rows_of(answer))
            assert written.model == read.model
        if one.flows is not None:
            flows, back = parse_edge(DEVICE, one.flows), parse_edge(DEVICE, canonical_flows("", answer["flows"]))
            assert set(flows.model.flows) == set(back.model.flows)


def test_the_proof_says_of_every_frame_what_the_switch_does(made: list[Made], real: list[dict[str, Any]]) -> None:
    frames = Frames()
    bridges = [model_of(one, answer, frames) for one, answer in zip(made, real, strict=True)]
    wrong = [
        f"bridge {at} {difference}\n{rendered(one.switch)}{answer['flows']}"
        for at, (one, answer, bridge) in enumerate(zip(made, real, bridges, strict=True))
        for difference in differences(one, answer, bridge, frames)
    ]
    assert not wrong, f"{len(wrong)} of {BRIDGES * FRAMES}\n" + "\n".join(wrong[:3])
    passed = sum(bool(trace) for answer in real for trace in answer["traces"])
    assert BRIDGES * FRAMES // 5 < passed < BRIDGES * FRAMES, "the bridges let nearly nothing or everything through"


def test_frames_are_heard_where_the_trace_says(made: list[Made], real: list[dict[str, Any]]) -> None:
    for one, answer in zip(made, real, strict=True):
        for (port, _, raw), trace, heard in zip(one.frames, answer["traces"], answer["heard"], strict=True):
            out = sorted([name, out] for name, out in trace if one.up[name] and one.up[port])
            assert heard == out, (port, raw.hex(), rendered(one.switch), one.flows)


def ports_as(change: Callable[[SwitchPort], SwitchPort]) -> Mutant:
    """Return a model whose ports are wrong."""

    def mutant(switch: Switch, flows: FlowTable) -> tuple[Switch, FlowTable]:
        bridges = (replace(bridge, ports=tuple(map(change, bridge.ports))) for bridge in switch.bridges)
        return replace(switch, bridges=tuple(bridges)), flows

    return mutant


def flows_as(change: Callable[[Flow], Flow]) -> Mutant:
    """Return a model whose flows are wrong."""
    return lambda switch, flows: (switch, replace(flows, flows=tuple(map(change, flows.flows))))


def without(field: str) -> Callable[[Flow], Flow]:
    """Return what forgets one condition of a flow."""
    return lambda flow: replace(
        flow, match=tuple(tuple(pair for pair in one if pair[0] != field) for one in flow.match)
    )


def in_mode(mode: VlanMode, other: VlanMode) -> Callable[[SwitchPort], SwitchPort]:
    return lambda port: replace(port, mode=other if port.mode is mode else port.mode)


MUTANTS: dict[str, Mutant] = {
    "no port is protected": ports_as(lambda port: replace(port, protected=False)),
    "the native VLAN leaves tagged": ports_as(in_mode(VlanMode.NATIVE_UNTAGGED, VlanMode.NATIVE_TAGGED)),
    "an access port is a trunk": ports_as(in_mode(VlanMode.ACCESS, VlanMode.TRUNK)),
    "a tunnel is an access port": ports_as(in_mode(VlanMode.DOT1Q_TUNNEL, VlanMode.ACCESS)),
    "trunks carry everything": ports_as(lambda port: replace(port, trunks=frozenset())),
    "no mirror copies": lambda switch, flows: (
        replace(switch, bridges=tuple(replace(bridge, mirrors=()) for bridge in switch.bridges)),
        flows,
    ),
    "reserved groups are forwarded": lambda switch, flows: (
        replace(switch, bridges=tuple(replace(bridge, forward_bpdu=True) for bridge in switch.bridges)),
        flows,
    ),
    "the lowest priority counts": flows_as(lambda flow: replace(flow, priority=-flow.priority)),
    "fragments have ports": flows_as(without("fragment")),
    "a second tag is looked behind": flows_as(without("inner_tag")),
    "flows hold for every port": flows_as(lambda flow: replace(flow, in_port=None)),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_model_is_caught(made: list[Made], real: list[dict[str, Any]], name: str) -> None:
    frames = Frames()
    assert any(
        differences(one, answer, model_of(one, answer, frames, MUTANTS[name]), frames)
        for one, answer in zip(made, real, strict=True)
    )


def test_the_rendered_sections_are_one_model_with_what_is_read_back(tmp_path: Path) -> None:
    folders = sorted(path.parent for path in RENDERED.glob("*/*/switch"))
    texts = [(folder / "switch").read_text() for folder in folders]
    edges = [(folder / "edge").read_text() if (folder / "edge").exists() else None for folder in folders]
    made = [
        Made([line.split() for line in text.splitlines()], mirrored=False, flows=edge, up={}, numbers={}, frames=[])
        for text, edge in zip(texts, edges, strict=True)
    ]
    cables = sorted({words[2] for one in made for words in one.switch if words[0] == "add-port"} - {"management"})
    answers = ask(made, tmp_path, [name for name in cables if not name.startswith("vlan")])
    for text, edge, answer in zip(texts, edges, answers, strict=True):
        assert parse_switch(DEVICE, text).model == parse_switch(DEVICE, rows_of(answer)).model
        if edge is not None:
            back = parse_edge(DEVICE, canonical_flows("", answer["flows"]))
            assert set(parse_edge(DEVICE, edge).model.flows) == set(back.model.flows)
            assert not back.unmodelled


@pytest.mark.parametrize(("native", "hops"), [("native-untagged", True), ("native-tagged", False)])
def test_a_priority_tag_in_front_hops_into_another_vlan(tmp_path: Path, native: str, hops: bool) -> None:  # noqa: FBT001
    switch = [
        ["--if-exists", "del-br", "br0"],
        ["add-br", "br0"],
        ["set", "bridge", "br0", "datapath_type=netdev", "fail_mode=standalone"],
        ["add-port", "br0", "p1", "vlan_mode=access", "tag=10"],
        ["set", "interface", "p1", "ofport_request=1"],
        ["add-port", "br0", "p2", f"vlan_mode={native}", "tag=10", "trunks=10,20"],
        ["set", "interface", "p2", "ofport_request=2"],
    ]
    packet = dict.fromkeys((field.name for field in kinds.FIELDS), 0) | {"tag": 0, "inner_tag": 20}
    packet |= {"ethernet_type": 0x88B5, "mac_source": int(MACS[0], 16), "mac_destination": int(TO[0], 16)}
    raw = encode(packet, 0, random.Random(SEED))  # noqa: S311  it makes test cases
    one = Made(switch, mirrored=False, flows=None, up={"p1": True, "p2": True}, numbers={"p1": 1}, frames=[])
    one.frames.append(("p1", packet, raw))
    (answer,) = ask([one], tmp_path)
    frames = Frames()
    bridge = model_of(replace(one, up={**one.up, "br0": False}), answer, frames)
    everything = frames.box(tag=0, inner_tag=20, ethernet_type=0x88B5) & frames.well_formed
    said = bridge.through("p1", everything).out["p2"]
    ((name, heard),) = answer["heard"][0]
    assert name == "p2"
    assert decode(bytes.fromhex(heard), packet) in said
    expected = {"tag": 20, "inner_tag": UNTAGGED} if hops else {"tag": 10, "inner_tag": 20}
    assert said <= frames.box(**expected)
