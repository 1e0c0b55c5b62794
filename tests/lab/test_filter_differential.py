"""The proof of a packet filter against the kernel: random rule sets, and for every packet the same verdict."""

import base64
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the other parts of this test stand beside it

from tests.lab.filter_model import Expected, Judge, World
from tests.lab.filter_packets import address, datagrams, is_ipv4, shown
from tests.lab.filter_rulesets import Writer

from cloison.model import EquipmentName
from cloison.prove.packet import ETHERNET_IPV4, TCP, Fragment
from cloison.prove.parse.nftables import parse_filter
from cloison.prove.space import Packet
from cloison.transport.local import LocalRunner

pytestmark = pytest.mark.lab

REAL = Path(__file__).with_name("real_filter.py")
RULE_SETS = int(os.environ.get("CLOISON_DIFFERENTIAL", "25"))
CHUNK = 25
PACKETS = 160
ROUTER = EquipmentName("lab/router")
ETHERNET = "0e000000000{0}0e000000010{0}"


@dataclass
class Asked:
    """One packet, what the proof says of it, and its number."""

    packet: Packet
    known: bool
    number: int
    expected: Expected

    def connection(self) -> str:
        """Return the words that tell the kernel of the packet's connection."""
        ipv4 = is_ipv4(self.packet)
        tcp = self.packet["protocol"] == TCP
        words = ["-I", "-p", "tcp" if tcp else "udp", "-t", "100", "-u", "SEEN_REPLY,ASSURED"]
        words += ["-s", shown(self.packet["source"], ipv4=ipv4), "-d", shown(self.packet["destination"], ipv4=ipv4)]
        words += ["--sport", str(self.packet["source_port"]), "--dport", str(self.packet["destination_port"])]
        return " ".join([*words, *(["--state", "ESTABLISHED"] if tcp else [])])


def ask(world: World, seed: int, text: str) -> tuple[Judge, list[Asked]]:
    """Return the proof of a rule set, and packets with what it says of them."""
    parsed = parse_filter(ROUTER, text)
    assert parsed.unmodelled == ()
    judge = Judge(world, parsed.model)
    packets = judge.samples(Random(seed), PACKETS)  # noqa: S311  a test that can be repeated
    return judge, [
        Asked(packet, known, number, judge.expected(packet)) for number, (packet, known) in enumerate(packets, start=1)
    ]


def task(world: World, text: str, asked: list[Asked]) -> dict[str, Any]:
    """Return what the real one is to do."""
    received, sent, arriving = [], [], 0
    for one in asked:
        ipv4 = is_ipv4(one.packet)
        for data in datagrams(one.packet, one.number):
            if one.packet["interface_in"]:
                link = world.frames.interfaces.name(one.packet["interface_in"])
                head = bytes.fromhex(ETHERNET.format(one.packet["interface_in"] - world.numbers["lan1"] + 1))
                frame = head + one.packet["ethernet_type"].to_bytes(2, "big") + data
                received.append((link, base64.b64encode(frame).decode()))
                arriving += 1
            else:
                destination = shown(one.packet["destination"], ipv4=ipv4)
                sent.append((destination, base64.b64encode(data).decode()))
    connections = [one.connection() for one in asked if one.known]
    return {"ruleset": text, "received": received, "sent": sent, "arriving": arriving, "connections": connections}


def real(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what a real kernel did."""
    words = [
        "unshare",
        "--net",
        "--mount",
        "--pid",
        "--mount-proc",
        "--fork",
        "--kill-child",
        sys.executable,
        str(REAL),
    ]
    given = "".join(json.dumps(one) + "\n" for one in tasks)
    done = LocalRunner().run(words, stdin=given.encode(), timeout=600.0)
    assert done.exit_status == 0, done.stderr.decode()[-4000:]
    return [json.loads(line) for line in done.text.splitlines()]


def observed(result: dict[str, Any]) -> dict[tuple[bool, int], set[tuple[str, int]]]:
    """Return, by family and number of a packet, where it was seen and as which part of its datagram."""
    found: dict[tuple[bool, int], set[tuple[str, int]]] = {}
    for hook, pairs in result["seen"].items():
        for number, offset in pairs:
            if offset < 0:
                part = Fragment.LATER if number & 1 else Fragment.WHOLE
                found.setdefault((False, number >> 1), set()).add((hook, int(part)))
            else:
                part = Fragment.LATER if offset & 0x1FFF else Fragment.FIRST if offset & 0x2000 else Fragment.WHOLE
                found.setdefault((True, number), set()).add((hook, int(part)))
    return found


def disagreements(asked: list[Asked], result: dict[str, Any]) -> list[str]:
    """Return every packet of which the proof says something else than the kernel did."""
    seen = observed(result)
    found = []
    for one in asked:
        if one.expected.unknown:
            continue
        ipv4 = one.packet["ethernet_type"] == ETHERNET_IPV4
        real_seen = {place for place in seen.get((ipv4, one.number), set()) if place[0] != "first"}
        proved = {(hook, part if ipv4 or part == Fragment.LATER else 0) for hook, part in one.expected.seen}
        ends = b"".join(address(one.packet[name], ipv4=ipv4) for name in ("source", "destination")).hex()
        heard = [link for link, packets in result["heard"].items() if [one.number, ends] in packets]
        if real_seen != proved or heard != ([one.expected.heard] if one.expected.heard else []):
            told = {name: value for name, value in one.packet.items() if value}
            found.append(
                f"{one.number} {told}: proved {sorted(proved)} {one.expected.heard}, was {sorted(real_seen)} {heard}"
            )
    return found


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.mark.parametrize("chunk", range((RULE_SETS + CHUNK - 1) // CHUNK))
def test_every_packet_goes_as_the_proof_says(world: World, chunk: int) -> None:
    seeds = range(chunk * CHUNK, min((chunk + 1) * CHUNK, RULE_SETS))
    texts = {seed: Writer(seed).text() for seed in seeds}
    asked = {seed: ask(world, seed, text)[1] for seed, text in texts.items()}
    results = real([task(world, texts[seed], asked[seed]) for seed in seeds])
    assert len(results) == len(seeds)
    wrong = {seed: disagreements(asked[seed], result) for seed, result in zip(seeds, results, strict=True)}
    assert {seed: lines for seed, lines in wrong.items() if lines} == {}
    packets = [one for every in asked.values() for one in every]
    assert len(packets) > 100 * len(seeds)
    assert sum(one.expected.unknown for one in packets) < len(packets) / 10
    assert any(one.known and one.expected.heard for one in packets)
    for hook in ("prerouting", "input", "forward", "output", "postrouting"):
        passing = {any(where == hook for where, _ in one.expected.seen) for one in packets}
        assert passing == {True, False}


FLIPS = {"accept": "drop", "drop": "accept"}


def test_a_wrong_proof_is_found(world: World) -> None:
    # Every rule of the text has its verdict flipped, one rule set at a time: the kernel runs what the proof does not.
    seeds = range(6)
    texts = {seed: Writer(seed).text() for seed in seeds}
    verdict = re.compile(r"\b(accept|drop)( comment .*)?$", re.MULTILINE)
    flipped = {
        seed: verdict.sub(lambda found: FLIPS[found[1]] + (found[2] or ""), text) for seed, text in texts.items()
    }
    asked = {seed: ask(world, seed, flipped[seed])[1] for seed in seeds}
    results = real([task(world, texts[seed], asked[seed]) for seed in seeds])
    assert all(disagreements(asked[seed], result) for seed, result in zip(seeds, results, strict=True))


def test_what_the_kernel_lists_is_proved_to_be_the_same(world: World) -> None:
    texts = [Writer(seed).text() for seed in range(CHUNK)]
    results = real([task(world, text, []) for text in texts])
    for text, result in zip(texts, results, strict=True):
        written, listed = (Judge(world, parse_filter(ROUTER, one).model) for one in (text, result["listed"]))
        for hook in ("prerouting", "input", "forward", "output", "postrouting"):
            one, two = (judge.filter.through(hook, world.frames.well_formed) for judge in (written, listed))
            assert (one.accepted, one.dropped, one.unknown) == (two.accepted, two.dropped, two.unknown)
