"""Every mixture of old and new: what a network lets through while a change is under way, or where it stopped.

Between the first and the last device of a change, and after a crash for good, some devices run the new configuration
and others still the old one: n devices that change make 2^n states, and more where some load one thing on the way to
another. Each of them is judged by the same sets as a whole network is. They cost little, for they have nearly all in
common: a site that is the same is computed once (`Prover`), and a set of packets that was judged once is not judged
again.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
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
    from collections.abc import Iterator, Mapping, Sequence

    from cloison.flow import Flow
    from cloison.intent.network import Intent
    from cloison.model import EquipmentName
    from cloison.prove.configuration import Configuration, Configurations
    from cloison.prove.network import Network, Reach
    from cloison.prove.space import Region
    from cloison.prove.statement import Notice, Unmodelled

MOST_DEVICES: Final = 12
MOST_STATES: Final = 2**MOST_DEVICES
"""Some seconds."""
_MOST_NAMED = 3
_WHAT_TO_DO = "apply the change site by site (`cloison plan --site SITE`), or in two plans"


@dataclass(frozen=True, slots=True)
class Mixture:
    """One state: some devices run the new configuration, some may be on the way to it, all others run the old one."""

    new: frozenset[EquipmentName]
    """The devices that run the new one."""
    between: frozenset[EquipmentName]
    """The devices that run what they load on the way to it."""
    breaks_isolation: tuple[Finding, ...]
    """Leaks, with tunnels up or down, broken invariants, and notices of single devices; without witnesses."""
    introduces: tuple[Finding, ...]
    """The same, of what was not there before the change: no packet that passed then is counted."""
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
    """By how far the devices are; the first is the network before the change, the last after it."""
    seconds: float

    def of(self, new: frozenset[EquipmentName]) -> Mixture:
        """Return the state in which just these devices run the new configuration; KeyError when it is none."""
        for mixture in self.mixtures:
            if mixture.new == new and not mixture.between:
                return mixture
        raise KeyError(new)

    @property
    def breaking(self) -> tuple[Mixture, ...]:
        """The states in which isolation does not hold."""
        return tuple(mixture for mixture in self.mixtures if mixture.breaks_isolation)

    @property
    def introducing(self) -> tuple[Mixture, ...]:
        """The states in which something breaks isolation that did not before the change."""
        return tuple(mixture for mixture in self.mixtures if mixture.introduces)

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
            parts.append(f"with {self.named(worst)}, {worst.breaks_isolation[0].what}")
        parts += self.interruptions
        if unknown := sum(1 for mixture in self.mixtures if mixture.undetermined):
            parts.append(f"{unknown} could not be determined")
        return "; ".join(parts)

    @property
    def interruptions(self) -> tuple[str, ...]:
        """Return what states interrupt, one sentence for a flow of policy.yaml, what serves people first."""
        states = Counter(rule for mixture in self.mixtures for rule in {_rule(flow) for flow in mixture.interrupted})
        worst_first = sorted(states, key=lambda one: (list(Purpose).index(one[0]), -states[one], one[1]))
        parts = []
        for rule in worst_first[:_MOST_NAMED]:
            first = next(one for one in self.mixtures if rule in map(_rule, one.interrupted))
            parts.append(f"{states[rule]} interrupt {rule[1]} (such as with {self.named(first)})")
        if len(states) > _MOST_NAMED:
            parts.append(f"{len(states) - _MOST_NAMED} more flows of policy.yaml are interrupted in some state")
        return tuple(parts)

    def named(self, mixture: Mixture) -> str:
        """Return which devices are new in a state, in words."""
        between = ", ".join(str(name) for name in self.devices if name in mixture.between)
        if not mixture.new:
            return f"{between} on the way" if between else "no device new"
        names = ", ".join(str(name) for name in self.devices if name in mixture.new)
        said = f"{names} new" if len(mixture.new) < len(self.devices) else "every device new"
        return f"{said}, {between} on the way" if between else said


def mixtures(
    before: Intent,
    after: Intent,
    old: Configurations,
    new: Configurations,
    between: Mapping[EquipmentName, Sequence[Configuration]] | None = None,
) -> Mixed:
    """Return every mixture of a change from one intent to another, which may be the same.

    The cables are those of the later intent; a flow that either declares is no leak in between. A device that is in
    just one of the two counts as what it is given with there, and so needs a configuration in both, empty where it has
    none yet. `between` holds what a device loads on the way from old to new, in order. Raises InputError when a
    configuration is missing or there are more than 4096 states, and what `judge` raises.
    """
    started = time.perf_counter()
    on_the_way = between or {}
    changing = _changing(after, old, new)
    mixing = _Mixing(before, after)
    steps = [(old[name], *on_the_way.get(name, ()), new[name]) for name in changing]
    if (count := prod(map(len, steps))) > MOST_STATES:
        msg = f"{count} intermediate states; expected at most {MOST_STATES}: {_WHAT_TO_DO}"
        raise InputError(msg)
    found = []
    states = product(*(range(len(of)) for of in steps))
    for positions in sorted(states, key=lambda at: (sum(at), [-one for one in at])):
        at = list(zip(changing, steps, positions, strict=True))
        running = {**old, **{name: of[position] for name, of, position in at}}
        arrived = frozenset(name for name, of, position in at if position == len(of) - 1)
        going = frozenset(name for name, of, position in at if 0 < position < len(of) - 1)
        found.append(mixing.mixture(arrived, going, running))
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
            f"most {MOST_DEVICES}: {_WHAT_TO_DO}"
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
        self._judged: dict[tuple[str, int, TunnelsAre], tuple[Finding, ...]] = {}
        self._pairs: dict[tuple[str, str, int], tuple[Finding, ...]] = {}
        self._lost: dict[int, frozenset[Flow]] = {}
        self._at_first: frozenset[Flow] | None = None
        self._passed: dict[tuple[str, TunnelsAre], Region] = {}
        """What broke isolation before the change."""
        self._known: frozenset[tuple[str, str]] | None = None

    def mixture(
        self, new: frozenset[EquipmentName], between: frozenset[EquipmentName], configurations: Configurations
    ) -> Mixture:
        """Return what holds in one state; the first that is asked for is the network before the change."""
        network = self._prover.network(configurations)
        judge = Judge(self._prover, network)
        up, down = (network.reach(state) for state in (TunnelsAre.UP, TunnelsAre.DOWN))
        every: list[Finding] = []
        fresh: list[Finding] = []
        for reach, tunnels in ((up, TunnelsAre.UP), (down, TunnelsAre.DOWN)):
            for kind, packets in self._isolation(judge, reach):
                every += self._found(judge, kind, packets, tunnels)
                passed = self._passed.setdefault((kind, tunnels), packets)
                fresh += self._found(judge, kind, packets - passed, tunnels)
        doubts, unsure = network.tunnel_doubts
        notices = [notice for device in network.running.values() for notice in device.notices] + list(doubts)
        alone = [*self._let_in(network), *map(_of_notice, notices)]
        if self._known is None:
            self._known = frozenset((one.identity, one.what) for one in alone)
        every += alone
        fresh += [one for one in alone if (one.identity, one.what) not in self._known]
        lost = self._missing(network, up)
        if self._at_first is None:
            self._at_first = lost
        unknown = [one for device in network.running.values() for one in device.unmodelled]
        unknown += [*unsure, *(reason for reach in (up, down) for reason, _ in reach.unknown)]
        return Mixture(
            new,
            between,
            _each_once(every),
            _each_once(fresh),
            tuple(sorted(lost - self._at_first, key=lambda flow: flow.key)),
            tuple(network.tunnel_notices),
            tuple(dict.fromkeys(unknown)),
        )

    # --- isolation --------------------------------------------------------------------------------------------------

    def _isolation(self, judge: Judge, reach: Reach) -> Iterator[tuple[str, Region]]:
        """Yield the packets that break isolation in one state of the tunnels, by how they do."""
        yield "leak", (reach.total & self._between_cables) - self._permitted
        yield "direct", reach.direct & self._between_cables
        yield "injected", self._prover.continued.strange(reach.total)
        yield "opening", judge.opening(reach)

    def _found(self, judge: Judge, kind: str, packets: Region, tunnels: TunnelsAre) -> tuple[Finding, ...]:
        """Return what packets are found guilty of, from memory where the same ones were judged."""
        key = (kind, packets.node, tunnels)
        if key not in self._judged:
            pairs = judge.pairs(packets) if packets else ()
            match kind:
                case "opening":
                    found = [finding for pair in pairs for finding in self._breaking(*pair)]
                case "injected":
                    found = [_injected(*pair, tunnels) for pair in pairs]
                case _:
                    found = [_leak(*pair, tunnels) for pair in pairs]
            self._judged[key] = tuple(found)
        return self._judged[key]

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


def _each_once(findings: list[Finding]) -> tuple[Finding, ...]:
    """Return findings without those of which an earlier one has the identity."""
    return tuple({finding.identity: finding for finding in reversed(findings)}.values())[::-1]


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
