"""The fewest packets that test every firewall: each permit rule once, and what is just outside each of them.

A packet from site to site is permitted by a rule of the sender's firewall and one of the receiver's; so the fewest
packets that meet every rule are a minimum edge cover (`matching`), which can be computed exactly. Rules before and
behind the routing decision are met on the way; those that are left get a packet each, greedily.

What must arrive, and what must not, follows from the declared flows: where a rule lets through something else, the
test that it must not arrive is the one that fails.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final

from cloison.flow import Outcome
from cloison.intent.invariants import addresses, members
from cloison.prove.answer import TunnelsAre
from cloison.prove.firewall import TUNNEL_INTERFACE
from cloison.prove.judge import Judge
from cloison.prove.matching import minimum_edge_cover
from cloison.prove.matrix import opened_by_switches
from cloison.prove.network import Prover
from cloison.prove.packet import SYN, TCP, UDP, UNTAGGED, Connection
from cloison.prove.words import text, wishes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cloison.intent.network import Intent, Site
    from cloison.prove.chain import Reached
    from cloison.prove.configuration import Configurations
    from cloison.prove.network import Network
    from cloison.prove.ruleset import Hook
    from cloison.prove.space import Packet, Region
    from cloison.prove.statement import Place, Unmodelled

_HOOKS: Final[tuple[Hook, ...]] = ("prerouting", "input", "forward", "output", "postrouting")
_DECIDING: Final = frozenset({"input", "forward", "output"})
"""The hooks whose rules permit flows; what is before and behind them is met on the way."""
_BOUNDED: Final = ("source", "destination", "destination_port")
_ATTACHED: Final = ("interface_in", "interface_out")


@dataclass(frozen=True, slots=True)
class RuleReference:
    """One rule of a firewall."""

    device: str
    hook: str
    chain: str
    comment: str
    """Its comment in the rule set; empty where it has none."""
    place: Place
    statement: str
    """Its text, fit for a terminal."""

    def __str__(self) -> str:
        """Return its place and its comment."""
        return f'{self.place} "{self.comment}"' if self.comment else str(self.place)


@dataclass(frozen=True, slots=True)
class PacketTest:
    """One packet to send, and what must become of it."""

    sender: str
    """`<site>/<equipment>`, or the name of another place: whoever holds its cable sends."""
    receiver: str
    text: str
    """`TCP SYN from 10.56.2.2 port 40000 to 10.56.1.50 port 8322`."""
    arrives: bool
    """Whether it must arrive, by the declared flows; else it must not."""
    rules: tuple[RuleReference, ...]
    """The rules that it exercises; of one that must not arrive, the rules that it is just outside of."""
    boundary: str
    """For one that must not arrive, in which field it is outside: `destination_port 8322 → 8323`."""
    packet: Mapping[str, int]
    """Every field, by the names of packet.FIELDS; the MAC addresses are 0: the sender's own, and its gateway's."""


@dataclass(frozen=True, slots=True)
class Unexercised:
    """A permit rule that no test packet exercises, and why."""

    rule: RuleReference
    why: str


@dataclass(frozen=True, slots=True)
class Shadowed:
    """A rule that no packet ever comes to and matches."""

    rule: RuleReference
    by: tuple[RuleReference, ...]
    """The earlier rules that take all its packets; none where it matches nothing at all, or nothing leads to it."""


@dataclass(frozen=True, slots=True)
class Cover:
    """The test packets of a network, and what they leave out."""

    packets: tuple[PacketTest, ...]
    rules: tuple[RuleReference, ...]
    """Every permit rule of every firewall that a test packet exercises."""
    unexercised: tuple[Unexercised, ...]
    shadowed: tuple[Shadowed, ...]
    undetermined: tuple[Unmodelled, ...]
    """What is not modelled: of the packets that it decides about, none is listed."""

    @property
    def outcome(self) -> Outcome:
        """FAIL when a rule is dead; UNKNOWN when a statement is not modelled, or nothing is there to be tested."""
        if self.shadowed:
            return Outcome.FAIL
        return Outcome.UNKNOWN if self.undetermined or not self.packets else Outcome.PASS


@dataclass(frozen=True, slots=True)
class _Met:
    """A permit rule with the packets, from place to place, that must arrive and are permitted by it."""

    rule: RuleReference
    condition: Region
    packets: Region
    leaves: bool
    """Whether it is at the sender's firewall."""


def cover(intent: Intent, configurations: Configurations) -> Cover:
    """Return the test packets of a network in which the devices run these configurations.

    Raises what `judge` does.
    """
    prover = Prover(intent)
    return _Covering(prover, prover.network(configurations)).cover()


class _Covering:
    """Chooses the test packets of one network."""

    def __init__(self, prover: Prover, network: Network) -> None:
        self._prover, self._network, self._frames = prover, network, prover.frames
        self._permitted = prover.question.permitted
        self._unexercised: list[Unexercised] = []
        self._shadowed: list[Shadowed] = []
        self._addresses = {str(one.equipment.name): tuple(map(int, addresses(one))) for one in members(prover.intent)}

    def cover(self) -> Cover:
        """Return the test packets."""
        met = [one for site in self._prover.intent.sites for one in self._of_site(site)]
        positive = [self._test(chosen) for chosen in self._chosen(met)]
        negative: dict[tuple[object, ...], PacketTest] = {}
        for test in positive:
            for one in met:
                if one.rule in test.rules and one.rule.hook in _DECIDING:
                    for outside in self._outside(test, one):
                        key = (outside.sender, *outside.packet.values())
                        same = negative.get(key, outside)
                        merged = tuple(dict.fromkeys((*same.rules, *outside.rules)))
                        negative[key] = replace(same, rules=merged)
        rules = tuple(dict.fromkeys(rule for test in positive for rule in test.rules))
        unmodelled = tuple(one for device in self._network.running.values() for one in device.unmodelled)
        packets = (*positive, *negative.values())
        return Cover(packets, rules, tuple(self._unexercised), tuple(self._shadowed), unmodelled)

    # --- which rules are met by what ---------------------------------------------------------------------------------

    @cached_property
    def _arriving(self) -> Region:
        """What is declared and arrives: from cable to cable, opening a conversation."""
        judge = Judge(self._prover, self._network)
        reach = self._network.reach(TunnelsAre.UP)
        new = self._frames.box(connection=Connection.NEW)
        return (judge.opening(reach) | opened_by_switches(judge, reach)) & new & self._permitted

    def _of_site(self, site: Site) -> Iterator[_Met]:
        firewall = self._network.firewall(site, TunnelsAre.UP)
        passing = self._passing(site)
        tunnel = self._frames.interfaces.number(TUNNEL_INTERFACE)
        # Behind a rule that is not modelled, what nothing surely reaches may still be reached: it is not called dead.
        known = not self._network.running[site.firewall.name].unmodelled
        for hook in _HOOKS:
            earlier: defaultdict[str, list[tuple[RuleReference, Region]]] = defaultdict(list)
            for reached in firewall.filter.rules(hook):
                rule = _reference(str(site.firewall.name), hook, reached)
                condition = reached.branch.condition.may
                if not reached.packets and known:
                    self._shadowed.append(Shadowed(rule, _shadowing(condition, earlier[reached.chain])))
                elif reached.branch.kind == "accept":
                    own = passing[hook] & reached.packets
                    leaves = not own & self._frames.box(interface_in=tunnel)
                    packets = own.without(*_ATTACHED)
                    if packets:
                        yield _Met(rule, condition, packets, leaves)
                    else:
                        self._unexercised.append(Unexercised(rule, self._why(reached.packets)))
                if reached.branch.kind not in {"continue", "jump"}:
                    earlier[reached.chain].append((rule, condition))

    def _why(self, packets: Region) -> str:
        box, number = self._frames.box, self._frames.interfaces.number("lo")
        if not packets - box(interface_in=number) or not packets - box(interface_out=number):
            return "it permits what the device sends to itself"
        if not packets - box(connection=Connection.RELATED):
            return "it permits errors about conversations that exist"
        if not packets & box(connection=Connection.NEW):
            return "it permits what belongs to conversations that exist: the answers to the other tests meet it"
        return "nothing that is declared and arrives meets it"

    def _passing(self, site: Site) -> dict[Hook, Region]:
        """Return what is declared and passes each hook of a site's firewall, with the interfaces."""
        box, number, both = self._frames.box, self._frames.interfaces.number, self._prover.places.both
        name = str(site.firewall.name)
        firewall = self._network.firewall(site, TunnelsAre.UP)
        here, away = box(sender=both(name)), box(receiver=both(name))
        below = self._prover.below(site, self._network.running).below.arriving.without("sender")
        coming = [self._arriving & below, self._arriving & box(interface_in=number(TUNNEL_INTERFACE))]
        coming += [
            self._arriving & box(sender=both(place), interface_in=number(interface))
            for place, interface in self._network.outside(site)
        ]
        entering = self._frames.union(coming) & box(interface_out=0) - here
        entering = firewall.filter.through("prerouting", entering - firewall.routing.refused()).accepted
        local = entering & firewall.routing.local() & away
        forwarded = self._leaving(firewall.routing.forwarded(entering - firewall.routing.local()).out)
        emitted = self._leaving(firewall.routing.emitted(self._arriving & here & box(interface_in=0)).out)
        forwarded = firewall.filter.through("forward", forwarded).accepted
        emitted = firewall.filter.through("output", emitted).accepted
        return {
            "prerouting": local | (forwarded.without("interface_out") & box(interface_out=0)),
            "input": local,
            "forward": forwarded,
            "output": emitted,
            "postrouting": forwarded | emitted,
        }

    def _leaving(self, out: Mapping[str, Region]) -> Region:
        number = self._frames.interfaces.number
        return self._frames.union(
            packets.setting(interface_out=number(interface)) for interface, packets in out.items()
        )

    # --- as few packets as there can be ------------------------------------------------------------------------------

    def _chosen(self, met: list[_Met]) -> Iterator[list[_Met]]:
        """Yield lists of rules that one packet meets together, such that every rule is in one."""
        deciding = [one for one in met if one.rule.hook in _DECIDING]
        leaving, entering = ([one for one in deciding if one.leaves is side] for side in (True, False))
        edges = {
            left: [right for right, other in enumerate(entering) if leaving[left].packets & other.packets]
            for left in range(len(leaving))
        }
        pairs = minimum_edge_cover(edges)
        chosen = [[leaving[left], entering[right]] for left, right in pairs]
        alone = [one for left, one in enumerate(leaving) if left not in {left for left, _ in pairs}]
        alone += [one for right, one in enumerate(entering) if right not in {right for _, right in pairs}]
        chosen += [[one] for one in alone]
        left_over = [one for one in met if one.rule.hook not in _DECIDING]
        for group in chosen:
            left_over = self._added(group, left_over)
            yield group
        while left_over:
            group = [left_over[0]]
            left_over = self._added(group, left_over[1:])
            yield group

    def _added(self, group: list[_Met], others: list[_Met]) -> list[_Met]:
        """Add to a list of rules the others that the same packet can meet; return those that it cannot."""
        region, beyond = self._common(group), []
        for one in others:
            if both := region & one.packets:
                region = both
                group.append(one)
            else:
                beyond.append(one)
        return beyond

    def _common(self, group: Iterable[_Met]) -> Region:
        region = self._frames.everything
        for one in group:
            region &= one.packets
        return region

    def _test(self, group: list[_Met]) -> PacketTest:
        """Return the packet that a person would choose of those that meet some rules."""
        region = self._common(group)
        packet = region.witness(self._frames.box(sender=self._real), *wishes(self._frames, self._every_address))
        sender, receiver = (self._prover.places.name(packet[end]) for end in ("sender", "receiver"))
        sources, destinations = (self._addresses.get(name, ()) for name in (sender, receiver))
        ends = self._frames.box(sender=packet["sender"], receiver=packet["receiver"])
        packet = (region & ends).witness(*wishes(self._frames, sources, destinations))
        rules = tuple(one.rule for one in group)
        packet |= {"tag": UNTAGGED, "inner_tag": UNTAGGED}
        return PacketTest(sender, receiver, text(packet), arrives=True, rules=rules, boundary="", packet=packet)

    @cached_property
    def _real(self) -> frozenset[tuple[int, int]]:
        """The cables of declared equipment, from which a test can be sent as it is."""
        cable = self._prover.places.cable
        return frozenset((cable(name), cable(name)) for name in self._addresses)

    @cached_property
    def _every_address(self) -> tuple[int, ...]:
        return tuple(sorted({number for those in self._addresses.values() for number in those}))

    # --- just outside ------------------------------------------------------------------------------------------------

    def _outside(self, test: PacketTest, one: _Met) -> Iterator[PacketTest]:
        """Yield the packets that are a test packet but for one field, which is next to what the rule takes."""
        there = self._frames.box(sender=test.packet["sender"]) & self._permitted
        may_arrive = there.without("receiver")
        for field, value in self._neighbours(test.packet, one):
            packet = _altered(test.packet, field, value)
            if packet in may_arrive or packet in one.condition.without(*_ATTACHED):
                continue
            receiver = self._owner(value) if field == "destination" else test.receiver
            number = self._prover.places.cable(receiver or test.receiver)
            was, becomes = _shown(field, test.packet[field]), _shown(field, value)
            yield PacketTest(
                test.sender,
                receiver or test.receiver,
                text(packet),
                arrives=False,
                rules=(one.rule,),
                boundary=f"{field.replace('_', ' ')} {was} → {becomes}",
                packet={**packet, "receiver": number},
            )

    def _neighbours(self, packet: Packet | Mapping[str, int], one: _Met) -> Iterator[tuple[str, int]]:
        """Yield, field by field, the values just below and just above what the rule takes around a packet."""
        for field in _BOUNDED:
            if field == "destination_port" and packet["protocol"] not in {TCP, UDP}:
                continue
            others = {name: value for name, value in packet.items() if name in {*_BOUNDED, "protocol"} - {field}}
            for low, high in sorted((one.condition & self._frames.box(**others)).values(field)):
                if low <= packet[field] <= high:
                    yield from ((field, value) for value in (low - 1, high + 1) if 0 <= value <= _last(field))
        if packet["protocol"] in {TCP, UDP}:
            yield "protocol", UDP if packet["protocol"] == TCP else TCP

    def _owner(self, address: int) -> str | None:
        return next((name for name, those in self._addresses.items() if address in those), None)


def _reference(device: str, hook: str, reached: Reached) -> RuleReference:
    rule = reached.code.rule
    statement = rule.statement
    return RuleReference(device, hook, reached.chain, rule.comment, statement.place, statement.text.shown(300))


def _shadowing(condition: Region, earlier: Iterable[tuple[RuleReference, Region]]) -> tuple[RuleReference, ...]:
    """Return the earlier rules of a chain that take what a rule would match, until nothing of it is left."""
    found, left = [], condition
    for rule, taken in earlier:
        if left & taken:
            found.append(rule)
            left -= taken
    return () if left else tuple(dict.fromkeys(found))


def _altered(packet: Mapping[str, int], field: str, value: int) -> dict[str, int]:
    """Return a packet with one field changed, and what has to change with it."""
    flags = {"tcp_flags": SYN if value == TCP else 0} if field == "protocol" else {}
    return {**packet, field: value, **flags}


def _shown(field: str, value: int) -> str:
    if field in {"source", "destination"}:
        return str(IPv4Address(value))
    return {TCP: "tcp", UDP: "udp"}.get(value, str(value)) if field == "protocol" else str(value)


def _last(field: str) -> int:
    return 0xFFFF if field == "destination_port" else 0xFFFFFFFF
