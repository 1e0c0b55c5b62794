"""What a device's packet filter does with sets of packets, hook by hook.

The base chains of a hook are passed in the order of their priorities. To drop is final; to accept ends one base chain
only, the next ones still see the packet (nft(8), "CHAINS"). A filter without a chain at a hook lets everything pass.

Each base chain is compiled once, over every packet; what a set of packets meets is then a few intersections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from cloison.prove.chain import ACCEPT, DROP, Reached, TableCode
from cloison.prove.decide import Step, decided
from cloison.prove.defrag import CONNTRACK_PRIORITY, DEFRAG_PRIORITY, reassembled, sees_fragments, tracked
from cloison.prove.match import LINKS
from cloison.prove.packet import Connection, Fragment
from cloison.prove.rule import WILD
from cloison.prove.ruleset import Match, SetReference, VerdictMap
from cloison.prove.statement import Unmodelled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cloison.prove.packet import Frames
    from cloison.prove.ruleset import BaseChain, Chain, Family, Hook, Ruleset
    from cloison.prove.space import Packet, Region

Layer = Literal["network", "bridge"]
"""Which of the kernel's ways packets take: that of a router or a host, or that of a bridge."""
_HIDDEN: Final[Mapping[str, str]] = {
    "prerouting": "interface_out",
    "input": "interface_out",
    "ingress": "interface_out",
    "output": "interface_in",
}
"""The interface that is not known yet, or that there is none of: the kernel then compares an empty name."""
_FAMILIES: Final[Mapping[Layer, frozenset[Family]]] = {
    "network": frozenset({"inet", "ip", "ip6", "arp", "netdev"}),
    "bridge": frozenset({"bridge"}),
}


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of packets at a hook: no packet is in two of the sets."""

    accepted: Region
    """As they leave the hook: where fragments are put together there, the datagrams they make."""
    dropped: Region
    unknown: Region
    """Packets that something which is not modelled decides about, or may change."""
    reasons: tuple[Unmodelled, ...]
    """What is not modelled, where `unknown` is not empty."""


@dataclass(frozen=True, slots=True)
class Station:
    """One base chain."""

    code: TableCode
    chain: Chain
    base: BaseChain


@dataclass(frozen=True, slots=True)
class Stage:
    """What some base chains, one after the other, do with every packet."""

    accepted: Region
    unknown: Region
    """The rest is dropped."""


class Filter:
    """The rule set of one device, as functions on sets of packets."""

    def __init__(
        self, frames: Frames, ruleset: Ruleset, fib: Mapping[str, Region], interfaces: Iterable[str] = ()
    ) -> None:
        """Take the answers of the routing tables, and the names of the device's interfaces.

        `fib` holds, by the text of an operand such as `fib saddr . iif oif`, the packets for which the answer is
        missing; by such as `fib daddr type local`, those whose address is of that type. An operand that is not there
        is not modelled. Names are needed where a rule has a wildcard: `vlan*` stands for every name known by then.
        """
        self.frames = frames
        self._ruleset = ruleset
        self._fib = fib
        frames.interfaces.numbers(interfaces)
        self._loopback = frames.interfaces.number("lo")
        self._tracked = tracked(ruleset)
        self._gathered = frames.union(
            region for family, region in (("ip", frames.ipv4), ("ip6", frames.ipv6)) if family in self._tracked
        )
        """The packets whose fragments are put together for their connections to be tracked."""
        self._domains = {
            "inet": frames.ip,
            "ip": frames.ipv4,
            "ip6": frames.ipv6,
            "arp": frames.arp,
            "bridge": frames.everything,
            "netdev": frames.everything,
        }
        self._wildcards = any(isinstance(text, str) and text.endswith("*") for text in _names(ruleset))
        self._compiled()

    def _compiled(self) -> None:
        """Forget what was compiled with fewer names of interfaces."""
        self._codes: dict[tuple[int, bool], TableCode] = {}
        self._stages: dict[tuple[Hook, Layer, bool], Stage] = {}
        self._known = len(self.frames.interfaces)

    def through(self, hook: Hook, packets: Region, layer: Layer = "network") -> Judged:
        """Return what becomes of packets at a hook; they carry their interfaces and the state of their connection."""
        if self._wildcards and len(self.frames.interfaces) != self._known:
            self._compiled()
        if hook == "input" and layer == "network":
            packets = reassembled(self.frames, packets, self.frames.ipv4)
        early, late = self._stage(hook, layer, early=True), self._stage(hook, layer, early=False)
        going = packets & early.accepted
        if layer == "network" and hook in {"prerouting", "output"}:
            going = reassembled(self.frames, going, self._gathered)
        accepted = going & late.accepted
        dropped = going - late.accepted
        if early.accepted != self.frames.everything:
            dropped |= packets - early.accepted
        unknown = (packets & early.unknown) | (going & late.unknown)
        if not unknown:
            return Judged(accepted, dropped, unknown, ())
        return Judged(accepted, dropped - unknown, unknown, self._reasons(hook, layer, unknown))

    def rules(self, hook: Hook, layer: Layer = "network") -> Iterator[Reached]:
        """Yield, for each rule that a base chain of the hook leads to, the packets that reach it and match it.

        A rule that nothing reaches is yielded with the empty set; a rule of a chain that is jumped to, once for each
        jump that packets take.
        """
        for station in self.stations(hook, layer):
            for one in station.code.walk(station.chain, self._arriving(station, layer)):
                yield Reached(one.table, one.chain, one.code, one.branch, self._specialised(station, one.packets))

    def steps(self, hook: Hook, packet: Packet, layer: Layer = "network") -> tuple[Step, ...]:
        """Return what decides about one packet, given by every field, in each base chain that it passes at a hook.

        The last is the one that drops it; of a fragment, which is put together before the later chains, the steps end.
        """
        found: list[Step] = []
        for station in self.stations(hook, layer):
            if packet["fragment"] and packet not in self._arriving(station, layer):
                break
            if packet not in self._domain(station):
                continue
            step = decided(station.code, station.chain, self._as_seen(station, packet))
            found.append(step)
            if step.verdict != ACCEPT:
                break
        return tuple(found)

    def _as_seen(self, station: Station, packet: Packet) -> Packet:
        """Return a packet as the rules of a chain see it."""
        hook, priority = station.base.hook, station.base.priority
        seen = dict(packet)
        if hook in _HIDDEN:
            seen[_HIDDEN[hook]] = 0
        untracked = hook == "ingress" or (hook in {"prerouting", "output"} and priority < CONNTRACK_PRIORITY)
        if untracked and not (hook == "prerouting" and packet["interface_in"] == self._loopback):
            seen["connection"] = Connection.INVALID
        return seen

    # --- base chains ------------------------------------------------------------------------------------------------

    def stations(self, hook: Hook, layer: Layer = "network") -> list[Station]:
        """Return the base chains of a hook, in the order in which packets pass them."""
        stations = [
            Station(self._code(number, hook, chain.base.priority), chain, chain.base)
            for number, table in enumerate(self._ruleset.tables)
            if table.family in _FAMILIES[layer]
            for chain in table.chains
            if chain.base is not None and chain.base.hook == hook
        ]
        return sorted(stations, key=lambda station: station.base.priority)

    def _code(self, number: int, hook: Hook, priority: int) -> TableCode:
        """Return a table as its rules are at a hook: where later fragments come to them, or where none does."""
        table = self._ruleset.tables[number]
        whole = {"inet": {"ip", "ip6"}, "ip": {"ip"}, "ip6": {"ip6"}}.get(table.family)
        gathered = self._tracked | ({"ip"} if hook == "input" else set())
        fragments = whole is None or sees_fragments(hook, priority) or not whole <= gathered
        found = self._codes.get((number, fragments))
        if found is None:
            found = TableCode(self.frames, table, self._fib, fragments=fragments)
            self._codes[number, fragments] = found
        return found

    def _stage(self, hook: Hook, layer: Layer, *, early: bool) -> Stage:
        """Return what the chains before, or behind, the place where fragments are put together do."""
        key = (hook, layer, early)
        found = self._stages.get(key)
        if found is None:
            stations = [one for one in self.stations(hook, layer) if early is sees_fragments(hook, one.base.priority)]
            gathering = [
                one
                for one in self.stations(hook, layer)
                if early and one.base.priority == DEFRAG_PRIORITY and hook in {"prerouting", "output"}
            ]
            found = self._sure(stations) if not gathering else None
            if found is None:
                found = self._perhaps(stations, gathering)
            self._stages[key] = found
        return found

    def _sure(self, stations: list[Station]) -> Stage | None:
        """Return what chains do of which all is known; None for others."""
        alive = self.frames.everything
        for station in stations:
            accepting = station.code.accepting(station.chain)
            if accepting is None or station.base.type == "nat" or station.base.priority == CONNTRACK_PRIORITY:
                return None
            alive &= self._specialised(station, accepting) | ~self._domain(station)
        return Stage(alive, self.frames.nothing)

    def _perhaps(self, stations: list[Station], gathering: list[Station]) -> Stage:
        """Return what chains do of which not all is known."""
        alive, dropped, wild = self.frames.everything, self.frames.nothing, self.frames.nothing
        for station in gathering:
            wild |= self._perhaps_gathered(station)
        for station in stations:
            outcome = self._outcome(station)
            wild |= alive & outcome[WILD]
            dropped |= alive & outcome[DROP]
            alive &= outcome[ACCEPT]
        return Stage(alive - dropped - wild, (alive & dropped) | wild)

    def _perhaps_gathered(self, station: Station) -> Region:
        """Return the fragments that a chain sees, or not: it has the priority at which they are put together."""
        outcome = self._outcome(station)
        fragments = self.frames.box(fragment=(Fragment.FIRST, Fragment.LATER)) & self._gathered
        return fragments & self._domain(station) if outcome[DROP] or outcome[WILD] else self.frames.nothing

    def _domain(self, station: Station) -> Region:
        """Return the packets that pass a base chain at all."""
        domain = self._domains[station.code.table.family]
        base = station.base
        if base.devices:
            numbers = self.frames.interfaces.numbers(base.devices)
            field = "interface_out" if base.hook == "egress" else "interface_in"
            domain &= self.frames.box(**{field: numbers})
        if base.type == "nat":
            domain &= self.frames.box(connection=frozenset({(Connection.NEW, Connection.NEW), (2, 2)}))
        return domain

    def _outcome(self, station: Station) -> dict[str, Region]:
        """Return the packets that a base chain may accept, may drop, and those of which it is not known."""
        domain = self._domain(station)
        found = {
            kind: self._specialised(station, region) & domain
            for kind, region in station.code.outcome(station.chain).items()
        }
        found[ACCEPT] |= ~domain
        if station.base.type == "nat":  # of related packets, the first alone is looked at
            found[ACCEPT] |= self.frames.box(connection=Connection.RELATED)
        return found

    def _specialised(self, station: Station, region: Region) -> Region:
        """Return a set of packets as the chain's rules see them: what is not known there is not told apart."""
        hook, priority = station.base.hook, station.base.priority
        hidden = _HIDDEN.get(hook)
        if hidden is not None:
            region = (region & self.frames.box(**{hidden: 0})).without(hidden)
        if hook == "ingress" or (hook in {"prerouting", "output"} and priority <= CONNTRACK_PRIORITY):
            blind = (region & self.frames.box(connection=Connection.INVALID)).without("connection")
            if priority == CONNTRACK_PRIORITY and hook != "ingress":
                return region | blind  # before or behind, as the chains were loaded
            known = self.frames.box(interface_in=self._loopback)
            return (region & known) | (blind - known) if hook == "prerouting" else blind
        return region

    def _arriving(self, station: Station, layer: Layer) -> Region:
        """Return the packets that come to a base chain: those that the chains before it do not surely drop."""
        hook, arriving = station.base.hook, self.frames.everything
        whole = self._gathered | self.frames.ipv4 if hook == "input" else self._gathered
        for other in self.stations(hook, layer):
            if other.chain is station.chain:
                break
            outcome = self._outcome(other)
            arriving &= outcome[ACCEPT] | outcome[WILD]
        if layer == "network" and not sees_fragments(hook, station.base.priority):
            arriving = reassembled(self.frames, arriving, whole)
        return arriving & self._domain(station)

    def _reasons(self, hook: Hook, layer: Layer, unknown: Region) -> tuple[Unmodelled, ...]:
        """Return what is not modelled that some packets meet."""
        found: dict[Unmodelled, None] = {}
        for reached in self.rules(hook, layer):
            if reached.code.reasons and reached.packets & unknown:
                found.update(dict.fromkeys(reached.code.reasons))
        for station in self.stations(hook, layer):
            found.update(dict.fromkeys(station.code.broken))
            if station.base.priority in {DEFRAG_PRIORITY, CONNTRACK_PRIORITY}:
                what = f"priority {station.base.priority}, before or behind the kernel's own"
                found[Unmodelled(station.chain.statement, what)] = None
        return tuple(found)


def _names(ruleset: Ruleset) -> Iterator[object]:
    """Yield every value of a rule set that may be the name of an interface."""
    for table in ruleset.tables:
        for one in table.sets:
            for element in one.elements:
                yield from element
        for chain in table.chains:
            for rule in chain.rules:
                for expression in rule.expressions:
                    if isinstance(expression, Match | VerdictMap) and not LINKS.isdisjoint(
                        [operand.key for operand in expression.operands]
                    ):
                        yield from _values(expression)


def _values(expression: Match | VerdictMap) -> Iterator[object]:
    if isinstance(expression, Match):
        for element in expression.elements if not isinstance(expression.elements, SetReference) else ():
            yield from element
    else:
        for element, _ in expression.entries if not isinstance(expression.entries, SetReference) else ():
            yield from element
