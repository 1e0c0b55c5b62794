"""Every mixture of old and new: what a network lets through while a change is under way, or where it stopped.

Between the first and the last device of a change, and after a crash for good, some devices run the new configuration
and others still the old one: n devices that change make 2^n states. Each of them is judged by the same sets as a whole
network is. They cost little, for they have nearly all in common: a site that is the same is computed once (`Prover`),
and a set of packets that was judged once is not judged again.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Final

from cloison.errors import InputError
from cloison.flow import Outcome, Purpose
from cloison.intent.invariants import forbids, members
from cloison.prove.answer import Finding, FindingKind, TunnelsAre
from cloison.prove.judge import Judge
from cloison.prove.network import Prover
from cloison.prove.places import CABLE_NUMBERS, HOST_NUMBERS
from cloison.prove.question import Question
from cloison.prove.words import services

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cloison.flow import Flow
    from cloison.intent.network import Intent
    from cloison.model import EquipmentName
    from cloison.prove.configuration import Configurations
    from cloison.prove.network import Network, Reach
    from cloison.prove.space import Region
    from cloison.prove.statement import Notice, Unmodelled

MOST_DEVICES: Final = 12
"""4096 states; some seconds."""
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Mixture:
    """One state: some devices run the new configuration, all others the old one."""

    new: frozenset[EquipmentName]
    """The devices that run the new one."""
    breaks_isolation: tuple[Finding, ...]
    """Leaks, with tunnels up or down, broken invariants, and notices of single devices; without witnesses."""
    interrupted: tuple[Flow, ...]
    """Flows that get through before the change and are declared before and after it, and do not get through here."""
    disagreements: tuple[Notice, ...]
    """What keeps the two ends of a tunnel from agreeing: it interrupts and lets nothing out."""
    undetermined: tuple[Unmodelled, ...]
    """Statements that decide here and are not modelled."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """Every mixture of a change."""

    devices: tuple[EquipmentName, ...]
    """Those whose configuration changes, in the order of the intent."""
    mixtures: tuple[Mixture, ...]
    """By the number of devices that run the new one; the first is the network before the change, the last after it."""
    seconds: float

    def of(self, new: frozenset[EquipmentName]) -> Mixture:
        """Return the state in which just these devices run the new configuration; KeyError when it is none."""
        for mixture in self.mixtures:
            if mixture.new == new:
                return mixture
        raise KeyError(new)

    @property
    def breaking(self) -> tuple[Mixture, ...]:
        """The states in which isolation does not hold."""
        return tuple(mixture for mixture in self.mixtures if mixture.breaks_isolation)

    @property
    def introducing(self) -> tuple[Mixture, ...]:
        """The states in which something breaks isolation that did not before the change."""
        known = {finding.identity for finding in self.mixtures[0].breaks_isolation}
        return tuple(
            mixture
            for mixture in self.mixtures
            if any(finding.identity not in known for finding in mixture.breaks_isolation)
        )

    @property
    def outcome(self) -> Outcome:
        """FAIL when a state breaks isolation, UNKNOWN when one is not determined; what is interrupted fails nothing."""
        if self.breaking:
            return Outcome.FAIL
        return Outcome.UNKNOWN if any(mixture.undetermined for mixture in self.mixtures) else Outcome.PASS

    @property
    def summary(self) -> str:
        """Return one sentence: how many states keep every invariant, and what the others cost."""
        count = len(self.mixtures)
        kept = count - len(self.breaking)
        parts = [f"{kept} of {count} intermediate states keep every invariant"]
        if worst := next(iter(self.breaking), None):
            parts.append(f"with {self._named(worst)}, {worst.breaks_isolation[0].what}")
        states = Counter(rule for mixture in self.mixtures for rule in {_rule(flow) for flow in mixture.interrupted})
        # What serves people first: the order in which purposes are declared.
        worst_first = sorted(states, key=lambda one: (list(Purpose).index(one[0]), -states[one], one[1]))
        for rule in worst_first[:_MOST_NAMED]:
            first = next(one for one in self.mixtures if rule in map(_rule, one.interrupted))
            parts.append(f"{states[rule]} interrupt {rule[1]} (such as with {self._named(first)})")
        if len(states) > _MOST_NAMED:
            parts.append(f"{len(states) - _MOST_NAMED} more flows of policy.yaml are interrupted in some state")
        if unknown := sum(1 for mixture in self.mixtures if mixture.undetermined):
            parts.append(f"{unknown} could not be determined")
        return "; ".join(parts)

    def _named(self, mixture: Mixture) -> str:
        if not mixture.new:
            return "no device new"
        names = ", ".join(str(name) for name in self.devices if name in mixture.new)
        return f"{names} new" if len(mixture.new) < len(self.devices) else "every device new"


def mixtures(before: Intent, after: Intent, old: Configurations, new: Configurations) -> Mixed:
    """Return every mixture of a change from one intent to another, which may be the same.

    The cables are those of the later intent; a flow that either declares is no leak in between. A device that is in
    just one of the two counts as what it is given with there, and so needs a configuration in both, empty where it has
    none yet. Raises InputError when one is missing or more than twelve devices change, and what `judge` raises.
    """
    started = time.perf_counter()
    changing = _changing(after, old, new)
    mixing = _Mixing(before, after)
    chosen = [frozenset(some) for count in range(len(changing) + 1) for some in combinations(changing, count)]
    found = [mixing.mixture(some, {**old, **{name: new[name] for name in some}}) for some in chosen]
    return Mixed(changing, tuple(found), time.perf_counter() - started)


def _changing(after: Intent, old: Configurations, new: Configurations) -> tuple[EquipmentName, ...]:
    """Return the devices whose configuration changes."""
    names = [device.name for device in after.devices]
    missing = sorted(str(name) for name in names if name not in old or name not in new)
    if missing:
        msg = f"no configuration of {', '.join(missing)}; expected one of every device, before and after the change"
        raise InputError(msg)
    changing = tuple(name for name in names if dict(old[name]) != dict(new[name]))
    if len(changing) > MOST_DEVICES:
        msg = (
            f"{len(changing)} devices change at once, which makes 2^{len(changing)} intermediate states; expected at "
            f"most {MOST_DEVICES}: apply the change site by site (`cloison plan --site SITE`), or in two plans"
        )
        raise InputError(msg)
    return changing


class _Mixing:
    """Judges states of one change, and keeps what it found about each set of packets."""

    def __init__(self, before: Intent, after: Intent) -> None:
        self._before = before
        self._prover = prover = Prover(after)
        self._frames = frames = prover.frames
        questions = [prover.question]
        if before is not after:
            questions.append(Question(frames, prover.places, before))
        self._permitted = frames.union(question.permitted for question in questions)
        self._between_cables = frames.box(sender=CABLE_NUMBERS, receiver=CABLE_NUMBERS)
        self._between_hosts = frames.box(sender=HOST_NUMBERS, receiver=HOST_NUMBERS)
        declared = set(before.flows)
        self._demands = [one for one in prover.question.demands if one.flow in declared]
        self._demanded = frames.union(one.region for one in self._demands)
        self._flows = {*before.flows, *after.flows}
        self._members = {str(member.equipment.name): member for member in members(after)}
        self._invariants = {**dict.fromkeys(before.invariants), **dict.fromkeys(after.invariants)}
        self._leaks: dict[tuple[int, TunnelsAre], tuple[Finding, ...]] = {}
        self._broken: dict[tuple[int, TunnelsAre], tuple[Finding, ...]] = {}
        self._pairs: dict[tuple[str, str, int], tuple[Finding, ...]] = {}
        self._lost: dict[int, frozenset[Flow]] = {}
        self._at_first: frozenset[Flow] | None = None

    def mixture(self, new: frozenset[EquipmentName], configurations: Configurations) -> Mixture:
        """Return what holds in one state; the first that is asked for is the network before the change."""
        network = self._prover.network(configurations)
        judge = Judge(self._prover, network)
        up, down = (network.reach(state) for state in (TunnelsAre.UP, TunnelsAre.DOWN))
        findings = [*self._isolation(judge, up, TunnelsAre.UP), *self._isolation(judge, down, TunnelsAre.DOWN)]
        findings += self._let_in(network)
        doubts, unsure = network.tunnel_doubts
        notices = [notice for device in network.running.values() for notice in device.notices] + list(doubts)
        findings += [_of_notice(notice) for notice in notices]
        lost = self._missing(network, up)
        if self._at_first is None:
            self._at_first = lost
        unknown = [one for device in network.running.values() for one in device.unmodelled]
        unknown += [*unsure, *(reason for reach in (up, down) for reason, _ in reach.unknown)]
        return Mixture(
            new,
            tuple({finding.identity: finding for finding in reversed(findings)}.values())[::-1],
            tuple(sorted(lost - self._at_first, key=lambda flow: flow.key)),
            tuple(network.tunnel_notices),
            tuple(dict.fromkeys(unknown)),
        )

    # --- isolation --------------------------------------------------------------------------------------------------

    def _isolation(self, judge: Judge, reach: Reach, tunnels: TunnelsAre) -> Iterator[Finding]:
        direct = reach.direct & self._between_cables
        for packets in ((reach.total & self._between_cables) - self._permitted, direct):
            key = (packets.node, tunnels)
            if key not in self._leaks:
                self._leaks[key] = tuple(_leak(*pair, tunnels) for pair in judge.pairs(packets))
            yield from self._leaks[key]
        strange = self._prover.continued.strange(reach.total)
        yield from (_injected(*pair, tunnels) for pair in judge.pairs(strange))
        opening = judge.opening(reach)
        key = (opening.node, tunnels)
        if key not in self._broken:
            pairs = judge.pairs(opening)
            self._broken[key] = tuple(finding for pair in pairs for finding in self._breaking(*pair))
        yield from self._broken[key]

    def _let_in(self, network: Network) -> Iterator[Finding]:
        """Yield the switches that let in what no host sends that either intent declares there."""
        for site in self._prover.intent.sites:
            admitted = self._prover.port_security.admitted(site)
            if (earlier := self._before.site_by_name.get(site.name)) is not None and earlier != site:
                admitted |= self._prover.port_security.admitted(earlier)
            for switch, let_in in self._prover.below(site, network.running).let_in:
                for (number, _), frames in (let_in - admitted).per("sender"):
                    sender = self._prover.places.name(number)
                    what = f"{switch} lets in {services(frames)} from {sender} that no declared host there sends"
                    yield Finding(FindingKind.NOTICE, sender, str(switch), "port security", what)

    def _breaking(self, sender: str, receiver: str, packets: Region) -> tuple[Finding, ...]:
        """Return the invariants that packets between two places break, those of either intent."""
        key = (sender, receiver, packets.node)
        if key not in self._pairs:
            self._pairs[key] = tuple(self._against(sender, receiver, packets))
        return self._pairs[key]

    def _against(self, sender: str, receiver: str, packets: Region) -> Iterator[Finding]:
        source, destination = self._members.get(sender), self._members.get(receiver)
        if source is None or destination is None:
            return
        for invariant in self._invariants:
            if not forbids(invariant, source, destination):
                continue
            excepted = [
                self._frames.box(destination_port=flow.service.port)
                for flow in self._of_pair.get((sender, receiver), ())
                if flow.purpose in invariant.except_purposes
            ]
            if left := packets - self._frames.union(excepted):
                service = services(left)
                what = f"{service} gets from {sender} to {receiver}; the invariant {invariant.id} forbids it"
                against, rule = f"{service} against {invariant.id}", str(invariant.id)
                yield Finding(FindingKind.LEAK, sender, receiver, against, what, rule=rule, packets=left.count())

    @cached_property
    def _of_pair(self) -> Mapping[tuple[str, str], list[Flow]]:
        found: dict[tuple[str, str], list[Flow]] = {}
        for flow in self._flows:
            found.setdefault((str(flow.source.name), str(flow.destination.name)), []).append(flow)
        return found

    # --- what must get through --------------------------------------------------------------------------------------

    def _missing(self, network: Network, reach: Reach) -> frozenset[Flow]:
        """Return the flows of both intents that do not get through whole, or whose answers do not."""
        unresolved: set[str] = set()
        for site in self._prover.intent.sites:
            unresolved |= self._prover.below(site, network.running).below.unresolved
        missing = self._demanded - (reach.total & self._between_hosts) - reach.undetermined()
        if missing.node not in self._lost:
            self._lost[missing.node] = frozenset(one.flow for one in self._demands if one.region & missing)
        lost = self._lost[missing.node]
        if unresolved:
            ends = {one.flow: {str(one.flow.source.name), str(one.flow.destination.name)} for one in self._demands}
            lost |= {flow for flow, names in ends.items() if names & unresolved}
        return lost


def _rule(flow: Flow) -> tuple[Purpose, str]:
    return flow.purpose, str(flow.rule)


def _leak(sender: str, receiver: str, packets: Region, tunnels: TunnelsAre) -> Finding:
    service = services(packets)
    what = f"{service} gets from {sender} to {receiver}, and no flow declares it"
    return Finding(FindingKind.LEAK, sender, receiver, service, what, tunnels=tunnels, packets=packets.count())


def _injected(sender: str, receiver: str, packets: Region, tunnels: TunnelsAre) -> Finding:
    service = f"{services(packets)} of conversations that exist"
    what = f"{service} can be put in from {sender} to {receiver}, in the name of others"
    return Finding(FindingKind.LEAK, sender, receiver, service, what, tunnels=tunnels, packets=packets.count())


def _of_notice(notice: Notice) -> Finding:
    place = notice.statement.place
    return Finding(FindingKind.NOTICE, "", str(place.device), place.section, str(notice))
