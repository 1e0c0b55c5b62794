"""From what gets anywhere and what may or must, to findings: leaks, outages, and what could not be determined."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from cloison.flow import Protocol
from cloison.intent.invariants import addresses, forbids, members
from cloison.prove.answer import Answer, Finding, FindingKind, TunnelsAre, Witness
from cloison.prove.network import Prover
from cloison.prove.packet import LINK_FIELDS, TCP, UDP, Connection
from cloison.prove.places import CABLE_NUMBERS
from cloison.prove.statement import Notice
from cloison.prove.way import Tracing
from cloison.prove.words import services, text, wishes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.flow import Flow
    from cloison.intent.invariants import Member
    from cloison.intent.models import InvariantDeclaration
    from cloison.intent.network import Intent, Site
    from cloison.model import Name
    from cloison.prove.configuration import Configurations
    from cloison.prove.network import Network, Reach
    from cloison.prove.question import Demand
    from cloison.prove.space import Packet, Region
    from cloison.prove.statement import Unmodelled


_FORWARDING = re.compile(r"net\.ipv4\.ip_forward|net\.ipv[46]\.conf\..+\.(mc_)?forwarding")
_MOST_SENDERS = 6
"""As many places are named in a sentence; the others are counted."""


def judge(intent: Intent, configurations: Configurations) -> Answer:
    """Return the whole answer about a network in which the devices run these configurations.

    Raises InputError when a device is missing, DeviceError for a text that is no configuration, BudgetError when the
    sets are too intricate to be computed exactly.
    """
    prover = Prover(intent)
    started = time.perf_counter()
    network = prover.network(configurations)
    parsed = time.perf_counter()
    return Judge(prover, network).answer(parsed - started)


class Judge:
    """Holds one network against the question."""

    def __init__(self, prover: Prover, network: Network) -> None:
        self.prover = prover
        self.network = network
        self.frames = prover.frames
        self._between_cables = self.frames.box(sender=CABLE_NUMBERS, receiver=CABLE_NUMBERS)
        self._members = {str(member.equipment.name): member for member in members(prover.intent)}
        self._flows: defaultdict[tuple[str, str], list[Flow]] = defaultdict(list)
        for flow in prover.intent.flows:
            self._flows[str(flow.source.name), str(flow.destination.name)].append(flow)
        self._tracing: dict[TunnelsAre, Tracing] = {}
        self._held = 0

    def answer(self, parse_seconds: float = 0.0) -> Answer:
        """Return the whole answer."""
        started = time.perf_counter()
        up, down = (self.network.reach(state) for state in (TunnelsAre.UP, TunnelsAre.DOWN))
        leaking = self.leaking(up)
        findings = [*self._leaks(leaking), *self._direct(up), *self._outages(up, TunnelsAre.UP)]
        later = self.leaking(down) - leaking
        findings += [*self._leaks(later, TunnelsAre.DOWN), *self._outages(down, TunnelsAre.DOWN)]
        strange, then = self.prover.continued.strange(up.total), self.prover.continued.strange(down.total)
        findings += [*self._injected(strange), *self._injected(then - strange, TunnelsAre.DOWN)]
        findings += [*self._cut(up, TunnelsAre.UP), *self._cut(down, TunnelsAre.DOWN)]
        findings += [
            *self._broken_invariants(up),
            *self._let_in(),
            *self._unresolved(),
            *self._notices(),
            *self._undetermined(up, down),
        ]
        running = self.network.running.values()
        unique = {finding.identity: finding for finding in reversed(findings)}
        return Answer(
            tuple(self._explained(finding) for finding in list(unique.values())[::-1]),
            tuple(one for device in running for one in device.coverage),
            senders=len(self._values(up, "sender")),
            receivers=len(self._values(up, "receiver")),
            flows=len(self.prover.intent.flows),
            invariants=self._held,
            seconds={"parse": parse_seconds, "prove": time.perf_counter() - started},
        )

    def _values(self, reach: Reach, name: str) -> frozenset[str]:
        """Return the names of the places that send, or that hear."""
        places = self.prover.places
        return places.named(reach.total.values(name) | reach.direct.values(name))

    # --- leaks ------------------------------------------------------------------------------------------------------

    def leaking(self, reach: Reach) -> Region:
        """Return the packets that get from a cable to a cable and may not."""
        return reach.total - self.prover.question.unasked

    def opening(self, reach: Reach) -> Region:
        """Return the packets between cables that open something: all but errors of conversations that exist."""
        related = self.frames.box(connection=Connection.RELATED)
        return ((reach.total | reach.direct.without(*LINK_FIELDS)) & self._between_cables) - related

    def _leaks(self, leaking: Region, tunnels: TunnelsAre = TunnelsAre.UP) -> Iterator[Finding]:
        for sender, receiver, packets in self.pairs(leaking):
            service = services(packets)
            broken = self._forbidding(sender, receiver)
            what = f"{service} gets from {sender} to {receiver}, and no flow declares it"
            if broken is not None:
                what += f"; the invariant {broken} forbids it"
            if tunnels is TunnelsAre.DOWN:
                what += "; only while the tunnels are down"
            yield Finding(
                FindingKind.LEAK,
                sender,
                receiver,
                service,
                what,
                tunnels=tunnels,
                rule=str(broken or ""),
                packets=packets.count(),
                witness=self.witness(sender, receiver, packets),
            )

    def _direct(self, reach: Reach) -> Iterator[Finding]:
        """Yield what is heard without having met a router: nothing may be."""
        for sender, receiver, frames in self.pairs(reach.direct & self._between_cables):
            yield Finding(
                FindingKind.LEAK,
                sender,
                receiver,
                "frames",
                f"frames get from {sender} to {receiver} without meeting the firewall",
                rule=str(self._forbidding(sender, receiver) or ""),
                packets=frames.count(),
                witness=self.witness(sender, receiver, frames),
            )

    def _let_in(self) -> Iterator[Finding]:
        """Yield what is wrong with a site by itself: its switches let in what no declared host sends, or route.

        Of sites that are alike one is looked at, and the others where something is found.
        """
        for site in self.prover.intent.sites:
            shape = self.network.shape(site)
            if shape is None or shape not in self.prover.sound:
                found = [*self._let_up(site), *self._walls(site), *self._forwarding(site)]
                yield from found
                if shape is not None and not found:
                    self.prover.sound.add(shape)

    def _let_up(self, site: Site) -> Iterator[Finding]:
        firewall = str(site.firewall.name)
        coming = self.prover.below(site, self.network.running).below.coming
        frames = coming - self.prover.port_security.admitted(site)
        for sender, _, part in self.pairs(frames & self.frames.box(receiver=self.prover.places.cable(firewall))):
            what = f"{services(part)} that no declared host there sends comes from {sender} up to {firewall}"
            witness = self.witness(sender, firewall, part)
            yield Finding(FindingKind.LEAK, sender, firewall, "frames", what, packets=part.count(), witness=witness)

    def _walls(self, site: Site) -> Iterator[Finding]:
        """Yield the switches that let in what they should not, whether or not a wall behind them stops it."""
        admitted = self.prover.port_security.admitted(site)
        for switch, let_in in self.prover.below(site, self.network.running).let_in:
            for (number, _), frames in (let_in - admitted).per("sender"):
                sender, name = self.prover.places.name(number), str(switch)
                what = f"{name} lets in {services(frames)} from {sender} that no declared host there sends"
                such = self.witness(sender, name, frames).text
                yield Finding(
                    FindingKind.NOTICE, sender, name, "port security", f"{what}, such as {such}", packets=frames.count()
                )

        for switch, sent in self.prover.below(site, self.network.running).let_in_tagged:
            for (number, _), _ in sent.per("sender"):
                sender = self.prover.places.name(number)
                what = f"{switch} lets in tagged frames from {sender}, by a port that is no trunk"
                yield Finding(FindingKind.NOTICE, sender, str(switch), "tagged frames", what)

    def _injected(self, strange: Region, tunnels: TunnelsAre = TunnelsAre.UP) -> Iterator[Finding]:
        """Yield who can put packets into a conversation of others."""
        for sender, receiver, packets in self.pairs(strange):
            service = f"{services(packets)} of conversations that exist"
            yield Finding(
                FindingKind.LEAK,
                sender,
                receiver,
                service,
                f"{service} can be put in from {sender} to {receiver}, in the name of others",
                tunnels=tunnels,
                packets=packets.count(),
                witness=self.witness(sender, receiver, packets),
            )

    def pairs(self, region: Region) -> Iterator[tuple[str, str, Region]]:
        """Yield a set of packets between places, pair by pair: sender, receiver, packets."""
        name = self.prover.places.name
        for (first, last), of_sender in region.per("sender"):
            for (low, high), part in of_sender.per("receiver"):
                for sender in range(first, last + 1):
                    for receiver in range(low, high + 1):
                        yield name(sender), name(receiver), part

    def witness(self, sender: str, receiver: str, packets: Region) -> Witness:
        """Return the packet that a person would choose, from real addresses where there are such."""
        sources, destinations = (self._addresses(name) for name in (sender, receiver))
        packet: Packet = packets.witness(*wishes(self.frames, sources, destinations))
        return Witness(sender, receiver, text(packet), packet)

    def _addresses(self, name: str) -> tuple[int, ...]:
        member = self._members.get(name)
        return tuple(map(int, addresses(member))) if member is not None else ()

    def _explained(self, finding: Finding) -> Finding:
        """Return a finding with the way of its witness, and the witness as the frame that was sent."""
        witness = finding.witness
        if witness is None:
            return finding
        way = self.tracing(finding.tunnels).way(witness.sender, witness.receiver, witness.packet)
        return replace(finding, hops=way.hops, witness=replace(witness, text=text(way.sent), packet=way.sent))

    def tracing(self, tunnels: TunnelsAre) -> Tracing:
        """Return what follows single packets through the network."""
        if tunnels not in self._tracing:
            self._tracing[tunnels] = Tracing(self.network, tunnels)
        return self._tracing[tunnels]

    def declaring(self, sender: str, receiver: str, packets: Region) -> str:
        """Return the id of the first flow in policy.yaml that declares some of the packets; empty for none."""
        flows = self._flows.get((sender, receiver), ())
        return next((str(flow.rule) for flow in flows if packets & self._served(flow)), "")

    def service(self, sender: str, receiver: str, packets: Region) -> str:
        """Return the services of packets between two places, by the name of a declared one where it is exactly that."""
        for flow in self._flows.get((sender, receiver), ()):
            if packets <= self._served(flow):
                return str(flow.service.name)
        return services(packets)

    def _served(self, flow: Flow) -> Region:
        protocol = TCP if flow.service.protocol is Protocol.TCP else UDP
        return self.frames.box(protocol=protocol, destination_port=flow.service.port)

    # --- outages ----------------------------------------------------------------------------------------------------

    def _outages(self, reach: Reach, tunnels: TunnelsAre) -> Iterator[Finding]:
        question = self.prover.question
        missing = question.demanded(tunnels) - reach.total - reach.undetermined()  # every demand is between hosts
        if not missing:
            return
        for demand in question.demands:
            if (tunnels is TunnelsAre.UP or question.same_site(demand.flow)) and (lost := demand.region & missing):
                yield self._outage(demand, lost, tunnels)

    def _outage(self, demand: Demand, lost: Region, tunnels: TunnelsAre) -> Finding:
        flow = demand.flow
        ends = (str(flow.source.name), str(flow.destination.name))
        sender, receiver = reversed(ends) if demand.reply else ends
        part = "" if lost == demand.region else "some of "
        which = f"{part}the answers of" if demand.reply else f"{part}the packets of"
        return Finding(
            FindingKind.OUTAGE,
            ends[0],
            ends[1],
            str(flow.service.name),
            f"{which} {flow.service.name} from {ends[0]} to {ends[1]} do not get through",
            tunnels=tunnels,
            reply=demand.reply,
            rule=str(flow.rule),
            packets=lost.count(),
            witness=self.witness(sender, receiver, lost),
        )

    def _cut(self, reach: Reach, tunnels: TunnelsAre) -> Iterator[Finding]:
        """Yield what the network itself needs and does not get."""
        lost = self.prover.lifelines.region - reach.total - reach.undetermined()
        for line in self.prover.lifelines.every if lost else ():
            if packets := line.region & lost:
                what = f"{line.service} from {line.sender} to {line.receiver} does not get through"
                ends, witness = (line.sender, line.receiver), self.witness(line.sender, line.receiver, packets)
                yield Finding(
                    FindingKind.OUTAGE, *ends, line.service, what, tunnels, packets=packets.count(), witness=witness
                )

    def _unresolved(self) -> Iterator[Finding]:
        """Yield the hosts that cannot find their gateway: whatever the filter says, none of their packets gets out."""
        for site in self.prover.intent.sites:
            for name in sorted(self.network.unresolved(site)):
                what = f"{name} and its gateway cannot find each other by ARP: nothing gets to it or from it"
                yield Finding(FindingKind.OUTAGE, name, str(site.firewall.name), "arp", what)

    # --- invariants -------------------------------------------------------------------------------------------------

    def _broken_invariants(self, reach: Reach) -> Iterator[Finding]:
        """Hold every pair of places with packets between them against every invariant, by the invariants' own code.

        Errors of ICMP that belong to a conversation open nothing, and are left out. What policy.yaml declares is held
        against them too: a leak that is declared is a leak.
        """
        for sender, receiver, packets in self._held_against(reach):
            source, destination = self._members[sender], self._members[receiver]
            for invariant in self.prover.intent.invariants:
                if not forbids(invariant, source, destination):
                    continue
                if left := self._beyond(packets, (source, destination), invariant):
                    what = f"{services(left)} gets from {sender} to {receiver}; the invariant {invariant.id} forbids it"
                    yield Finding(
                        FindingKind.LEAK,
                        sender,
                        receiver,
                        f"{services(left)} against {invariant.id}",
                        f"{what}: {invariant.because}",
                        rule=str(invariant.id),
                        packets=left.count(),
                        witness=self.witness(sender, receiver, left),
                    )

    def _held_against(self, reach: Reach) -> Iterator[tuple[str, str, Region]]:
        """Yield the pairs of cables that some invariant forbids, with what opens something, of all that are looked at.

        What opens something is computed for those pairs alone; see `opening`.
        """
        places, box = self.prover.places, self.frames.box
        passing = reach.total | reach.direct.without(*LINK_FIELDS)
        first_cable, last_cable = CABLE_NUMBERS
        related = box(connection=Connection.RELATED)
        for (first, last), of_sender in (passing & box(sender=CABLE_NUMBERS)).per("sender"):
            heard = ((max(low, first_cable), min(high, last_cable)) for low, high in of_sender.values("receiver"))
            receivers = [number for low, high in heard for number in range(low, high + 1)]
            for sender in map(places.name, range(first, last + 1)):
                self._held += len(receivers) * len(self.prover.intent.invariants)
                for number in receivers:
                    if self._forbidding(sender, places.name(number)) is not None:
                        yield sender, places.name(number), (of_sender & box(receiver=number)) - related

    def _beyond(self, packets: Region, ends: tuple[Member, Member], invariant: InvariantDeclaration) -> Region:
        """Return the packets that are not of a flow with a purpose that the invariant excepts."""
        source, destination = (str(member.equipment.name) for member in ends)
        for flow in self._flows.get((source, destination), ()):
            if flow.purpose in invariant.except_purposes:
                packets -= self.frames.box(destination_port=flow.service.port)
        return packets

    def _forbidding(self, sender: str, receiver: str) -> Name | None:
        """Return the first invariant that forbids a path from one place to another."""
        source, destination = self._members.get(sender), self._members.get(receiver)
        if source is None or destination is None:
            return None
        found = (one.id for one in self.prover.intent.invariants if forbids(one, source, destination))
        return next(found, None)

    # --- what is wrong in itself, and what is not known --------------------------------------------------------------

    def _notices(self) -> Iterator[Finding]:
        notices = [notice for device in self.network.running.values() for notice in device.notices]
        doubts, _ = self.network.tunnel_doubts
        for notice in (*notices, *self.network.tunnel_notices, *doubts):
            place = notice.statement.place
            yield Finding(FindingKind.NOTICE, "", str(place.device), place.section, str(notice))

    def _forwarding(self, site: Site) -> Iterator[Finding]:
        """Yield the devices beside the firewall that forward packets: what they would pass on is not looked at."""
        for device in site.devices:
            stack = self.network.running[device.name].stack
            for setting in stack.settings.values() if device.name != site.firewall.name else ():
                if _FORWARDING.fullmatch(setting.name) and setting.value != "0":
                    notice = Notice(setting.statement, "a device that is no firewall forwards packets")
                    section = setting.statement.place.section
                    yield Finding(FindingKind.NOTICE, "", str(device.name), section, str(notice))

    def _undetermined(self, *reaches: Reach) -> Iterator[Finding]:
        """Yield every statement that is not modelled, with the places whose packets it decides about."""
        affected: dict[Unmodelled, set[str]] = {
            one: set() for device in self.network.running.values() for one in device.unmodelled
        }
        affected |= {one: set() for one in self.network.tunnel_doubts[1]}
        for reach in reaches:
            for reason, region in reach.unknown:
                senders = region.values("sender")
                some = (n for low, high in senders for n in range(low, min(high, low + 99) + 1))
                affected.setdefault(reason, set()).update(self.prover.places.names(some))
        for reason, who in affected.items():
            place = reason.statement.place
            shown = [
                *sorted(who)[:_MOST_SENDERS],
                *([f"{len(who) - _MOST_SENDERS} more"] if len(who) > _MOST_SENDERS else []),
            ]
            about = f"; it decides about packets from {', '.join(shown)}" if who else ""
            what = f"{reason}{about}"
            yield Finding(FindingKind.UNDETERMINED, "", str(place.device), f"{place.section} {reason.what}", what)
