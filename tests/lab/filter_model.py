"""What the proof says of packets at a router of the lab, and which packets are worth asking about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloison.prove.conntrack import first_packet_states
from cloison.prove.defrag import tracked
from cloison.prove.filter import Filter
from cloison.prove.packet import DCCP, SCTP, TCP, UDP, UDPLITE, Connection, Fragment, Frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from random import Random

    from cloison.prove.ruleset import Hook, Ruleset
    from cloison.prove.space import Packet, Region

LINKS = ("lan1", "lan2", "wan0")
PROTOCOLS = (1, 6, 6, 6, 17, 17, 17, 47, 58, 99, 132, 136)
MAY_BE_FORGED = ("source", "destination", "protocol", "destination_port", "source_port", "tcp_flags", "header_length")
ESTABLISHED_FLAGS = (0x10, 0x18)


@dataclass(slots=True)
class Expected:
    """Where a packet is seen, by what is remembered there: hook and fragment."""

    seen: set[tuple[str, int]] = field(default_factory=set)
    heard: str = ""
    unknown: bool = False


class World:
    """The router's addresses and routes as sets of packets."""

    def __init__(self) -> None:
        self.frames = frames = Frames()
        box = frames.box
        self.numbers = {link: frames.interfaces.number(link) for link in LINKS}
        both = list(enumerate(LINKS, start=1))
        self.net4 = {link: (10 << 24) + (index << 16) for index, link in both}
        self.net6 = {link: (0x20010DB8 << 96) + (index << 80) for index, link in both}
        self.nets = {
            link: (frames.ipv4 & box(destination=(self.net4[link] + 4, self.net4[link] + 0xFFFE)))
            | (frames.ipv6 & box(destination=(self.net6[link] + 4, self.net6[link] + (1 << 80) - 1)))
            for link in LINKS
        }
        self.own = frames.union(
            (frames.ipv4 & box(destination=self.net4[link] + 1)) | (frames.ipv6 & box(destination=self.net6[link] + 1))
            for link in LINKS
        )
        beyond = {link: region.swapping(("source", "destination")) for link, region in self.nets.items()}
        sources = frames.union(beyond.values())
        good = frames.well_formed & box(
            sender=0,
            receiver=0,
            tag=4096,
            inner_tag=4096,
            mac_source=0,
            mac_destination=0,
            protocol=frozenset((p, p) for p in PROTOCOLS),
        )
        self.received = good & sources & (self.own | frames.union(self.nets.values()))
        self.received &= box(interface_in=(min(self.numbers.values()), max(self.numbers.values())))
        self.sent = good & sources & frames.union(self.nets.values()) & box(interface_in=0)
        there = frames.union(beyond[link] & box(interface_in=self.numbers[link]) for link in LINKS)
        self.fib = {"fib saddr . iif oif": sources - there, "fib daddr type local": self.own}
        self.first = first_packet_states(frames, tcp_loose=True)

    def leaving(self, packets: Region) -> Region:
        """Return packets with the interface that they leave by."""
        parts = (packets & self.nets[link] & self.frames.box(interface_out=self.numbers[link]) for link in LINKS)
        return self.frames.union(parts)

    def consistent(self, hook: Hook) -> Region:
        """Return the packets that a hook can see."""
        if hook == "output":
            return self.leaving(self.sent)
        if hook == "postrouting":
            return self.leaving(self.sent | self.received)
        if hook == "forward":
            return self.leaving(self.received)
        return self.received & self.own if hook == "input" else self.received


class Judge:
    """The proof of one rule set."""

    def __init__(self, world: World, ruleset: Ruleset) -> None:
        self.world = world
        self.filter = Filter(world.frames, ruleset, world.fib, LINKS)
        self.tracked = tracked(ruleset)
        self.ruleset = ruleset

    def is_tracked(self, packet: Packet) -> bool:
        return ("ip" if packet["ethernet_type"] == 0x0800 else "ip6") in self.tracked

    def expected(self, packet: Packet) -> Expected:
        """Return where a packet, or both fragments of its datagram, should be seen."""
        found = Expected()
        packets = self.parts(packet)
        if packet["interface_in"]:
            packets = self.through("prerouting", packets.setting(interface_out=0), found)
            self.through("input", packets & self.world.own, found)
            packets = self.through("forward", self.world.leaving(packets.without("interface_out")), found)
        else:
            packets = self.through("output", self.world.leaving(packets.without("interface_out")), found)
        packets = self.through("postrouting", packets, found)
        if packets:
            (low, _), *_ = packets.values("interface_out")
            found.heard = self.world.frames.interfaces.name(low)
        return found

    def parts(self, packet: Packet) -> Region:
        frames = self.world.frames
        if packet["fragment"] == Fragment.WHOLE:
            return frames.box(**packet)
        first = frames.box(**{**packet, "fragment": Fragment.FIRST})
        bare = {"destination_port": 0, "source_port": 0, "tcp_flags": 0, "fragment": Fragment.LATER}
        return first | frames.box(**{**packet, **bare})

    def through(self, hook: Hook, packets: Region, found: Expected) -> Region:
        if not packets:
            return packets
        judged = self.filter.through(hook, packets)
        found.unknown |= bool(judged.unknown)
        found.seen |= {
            (hook, part) for low, high in judged.accepted.values("fragment") for part in range(low, high + 1)
        }
        return judged.accepted

    # --- packets to ask about -----------------------------------------------------------------------------------------

    def samples(self, random: Random, wanted: int) -> Iterator[tuple[Packet, bool]]:
        """Yield packets, corners of what rules get and random; and whether each is of a connection that is known."""
        world, taken = self.world, set[object]()
        targets = [world.received, world.received, world.sent]
        for hook in ("prerouting", "input", "forward", "output", "postrouting"):
            for reached in self.filter.rules(hook):
                region = reached.packets & world.consistent(hook)
                if region:
                    targets.append(region)
        for _ in range(wanted * 4):
            packet = self._corner(random, random.choice(targets))
            if not self._fits(packet):
                continue
            known = self._known(random, packet)
            packet["connection"] = Connection.ESTABLISHED if known else self._state(packet)
            if wanted and self._usable(packet, taken):
                wanted -= 1
                yield packet, known

    def _corner(self, random: Random, region: Region) -> Packet:
        """Return a packet of a set: at the edge of one of its boxes, just beyond it, or anywhere."""
        packet = region.sample(random)
        boxes = region.boxes()
        box = next(boxes).intervals
        for _, other in zip(range(random.randint(0, 20)), boxes, strict=False):
            box = other.intervals
        for name, (low, high) in box.items():
            packet[name] = random.choice((low, high, random.randint(low, high)))
        if random.random() < 0.5:
            name = random.choice(MAY_BE_FORGED)
            low, high = box.get(name, (packet[name], packet[name]))
            packet[name] = random.choice((max(low - 1, 0), high + 1))
        if random.random() < 0.3:  # let it be one that is likely to be on its way
            packet["protocol"] = random.choice((TCP, UDP))
        return packet

    def _known(self, random: Random, packet: Packet) -> bool:
        """Decide whether the packet is to belong to a connection that is known, and make it fit."""
        known = self.is_tracked(packet) and packet["protocol"] in {TCP, UDP} and random.random() < 0.25
        if known and packet["protocol"] == TCP:
            packet["tcp_flags"] = random.choice(ESTABLISHED_FLAGS)
        if known:
            packet["fragment"] = Fragment.WHOLE
        return known

    def _state(self, packet: Packet) -> int:
        """Return the state that a packet of no known connection gets."""
        whole = {**packet, "fragment": Fragment.WHOLE}
        states = [state for state in Connection if {**whole, "connection": state} in self.world.first]
        return int(states[0]) if states else int(Connection.INVALID)

    def _usable(self, packet: Packet, taken: set[object]) -> bool:
        """Tell whether the lab can send it, and it is of no connection of which another packet was sent."""
        whole = {**packet, "interface_out": 0}
        if packet["fragment"]:
            whole["fragment"] = Fragment.FIRST
        sendable = self.world.received if packet["interface_in"] else self.world.sent
        if whole not in sendable:
            return False
        if packet["source"] == packet["destination"] or (packet["fragment"] and packet["protocol"] not in {TCP, UDP}):
            return False
        if self.is_tracked(packet) and packet["protocol"] in {SCTP, DCCP, UDPLITE}:
            return False
        ends = frozenset(
            {(packet["source"], packet["source_port"]), (packet["destination"], packet["destination_port"])}
        )
        key = (ends, packet["protocol"])
        if self.is_tracked(packet) and packet["protocol"] not in {1, 58}:
            if key in taken:
                return False
            taken.add(key)
        return True

    def _fits(self, packet: Mapping[str, int]) -> bool:
        return all(packet[one.name] <= one.last for one in self.world.frames.fields)
