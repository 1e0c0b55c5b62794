"""From what was observed to what may be said of it: a negative is believed only with its controls in the same window.

Controls: the sender, each packet seen leaving on its own link (or refused by the sender's own filter, while others were
seen leaving); the receiver, canaries heard on its own cable before and after, or an authorised packet heard in between;
the path, an authorised packet between the same two segments, where they share any. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.flow import Outcome
from cloison.probe.question import is_firewall, segment_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cloison.flow import Flow
    from cloison.intent.network import Intent
    from cloison.model import EquipmentName
    from cloison.probe.matrix import Observation, Try
    from cloison.probe.question import Pair, Probe

Area = tuple[str, str]
"""What packets cross between: a segment of a site, a firewall itself, or the outside."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What may be said, and why."""

    outcome: Outcome
    detail: str
    numbers: tuple[int, ...] = ()
    """Of the packets that show a FAIL: their captures are the evidence."""


class Judge:
    """Answers for each authorised flow, and for each pair of vantage points."""

    def __init__(self, intent: Intent, observation: Observation) -> None:
        self._intent = intent
        self._observation = observation
        self._by_flow: defaultdict[str, list[Try]] = defaultdict(list)
        self._by_pair: defaultdict[tuple[EquipmentName, EquipmentName], list[Try]] = defaultdict(list)
        self._heard: defaultdict[tuple[EquipmentName, EquipmentName], list[Try]] = defaultdict(list)
        for window in observation.rounds:
            for attempt in window.tries:
                self._file(attempt)
        self._able = {attempt.probe.source for attempt in self._tries() if attempt.left}
        self._reached = {name for attempt in self._first() if attempt.probe.flow for name in attempt.heard_at}

    def _file(self, attempt: Try) -> None:
        probe = attempt.probe
        if probe.flow is not None:
            self._by_flow[probe.flow.key].append(attempt)
        else:
            self._by_pair[probe.source, probe.destination].append(attempt)
        for name in attempt.heard_at:
            if probe.flow is None or name != probe.destination:
                self._heard[probe.source, name].append(attempt)

    def _tries(self) -> Iterable[Try]:
        return (attempt for window in self._observation.rounds for attempt in window.tries)

    def _first(self) -> Sequence[Try]:
        return self._observation.rounds[0].tries if self._observation.rounds else ()

    def flow(self, flow: Flow) -> Finding:
        """Return whether the first packet of an authorised flow arrives; a later try is said to be one."""
        tries = self._by_flow[flow.key]
        if not tries:
            return Finding(Outcome.ERROR, "no packet of this flow was tried")
        packet = f"{tries[0].probe}"
        for count, attempt in enumerate(tries, 1):
            if attempt.delivered:
                which = "" if count == 1 else f", on try {count} only"
                return Finding(Outcome.PASS, f"{packet} arrived{which}")
        attempt = tries[-1]
        hindrance = attempt.unsent or self._deafness(flow.destination.name)
        if hindrance or not (attempt.left or attempt.refused):
            return Finding(Outcome.UNKNOWN, f"{packet}: {hindrance or 'was not seen leaving its own link'}")
        reason = f"refused by the sender itself ({attempt.refused})" if attempt.refused else "did not arrive"
        numbers = tuple(attempt.number for attempt in tries)
        return Finding(Outcome.FAIL, f"{packet} {reason}, {len(tries)} tries of {len(tries)}", numbers)

    def pair(self, pair: Pair) -> Finding:
        """Return whether nothing but what is authorised arrives from one vantage point at another."""
        tries = self._by_pair[pair.source, pair.destination]
        leaks = self._heard[pair.source, pair.destination]
        if leaks:
            return _leak(pair, leaks, tries)
        if not tries:
            return Finding(Outcome.ERROR, "no packet was tried between the two")
        sent = _named(attempt.probe for attempt in tries)
        doubts = (self._sender_doubt(tries), self._deafness(pair.destination), self._path_doubt(pair))
        found = [doubt for doubt in doubts if doubt]
        if found:
            return Finding(Outcome.UNKNOWN, f"{'; '.join(found)}; tried: {sent}")
        controls = f"{self._sent(tries)}; {self._hears(pair.destination)}; {self._path(pair)}"
        return Finding(Outcome.PASS, f"{len(tries)} packets arrived nowhere: {sent}. Controls: {controls}")

    def _sender_doubt(self, tries: Sequence[Try]) -> str:
        hindrances = sorted({attempt.unsent for attempt in tries if attempt.unsent})
        if hindrances:
            return "; ".join(hindrances)
        unseen = [attempt for attempt in tries if not attempt.left and not attempt.refused]
        if unseen:
            return f"{len(unseen)} of {len(tries)} packets were not seen leaving their own link"
        source = tries[0].probe.source
        if any(attempt.refused for attempt in tries) and source not in self._able:
            return f"{source} refused its own packets, and none was seen leaving it"
        return ""

    def _sent(self, tries: Sequence[Try]) -> str:
        refused = sum(1 for attempt in tries if attempt.refused)
        own = f", {refused} refused by the sender's own filter" if refused else ""
        return f"{len(tries) - refused} seen leaving on their own link{own}"

    def _deafness(self, name: EquipmentName) -> str:
        """Return why it is not shown that a vantage point hears; an empty text when it is."""
        closed = self._observation.closed.get(name)
        if closed:
            return closed
        first = self._observation.rounds[0]
        lost = sum(window.drops.get(name, 0) for window in self._observation.rounds)
        if lost:
            return f"the capture at {name} lost {lost} packets"
        if name in first.canaries and first.canaries[name] != (True, True):
            return f"{name} did not hear the canaries on its own cable"
        if name not in first.canaries and name not in self._reached:
            return f"{name} was not shown to hear: no authorised packet reached it"
        return ""

    def _hears(self, name: EquipmentName) -> str:
        canaries = name in self._observation.rounds[0].canaries
        how = "canaries on its own cable, before and after" if canaries else "an authorised packet, in between"
        return f"{name} heard {how}"

    def _path_doubt(self, pair: Pair) -> str:
        shared = self._shared(pair)
        if shared and not any(attempt.delivered for attempt in shared):
            return f"none of the {len(shared)} authorised packets between the two segments arrived"
        return ""

    def _path(self, pair: Pair) -> str:
        for attempt in self._shared(pair):
            if attempt.delivered:
                probe = attempt.probe
                return f"{probe.packet} from {probe.source} to {probe.destination} arrived between the same segments"
        return "the two segments share no authorised flow"

    def _shared(self, pair: Pair) -> list[Try]:
        areas = {self._area(pair.source), self._area(pair.destination)}
        return [
            attempt
            for attempt in self._first()
            if attempt.probe.flow and {self._area(attempt.probe.source), self._area(attempt.probe.destination)} == areas
        ]

    def _area(self, name: EquipmentName) -> Area:
        segment = segment_of(self._intent, name)
        if segment is None or is_firewall(self._intent, name):
            return (name.site, name if segment is not None else "")
        return (segment.site, segment.name)


def _leak(pair: Pair, leaks: Sequence[Try], tries: Sequence[Try]) -> Finding:
    """Return the FAIL that names every packet that arrived, how often of how many tries, and what strayed."""
    arrived: defaultdict[Probe, list[int]] = defaultdict(list)
    strayed: defaultdict[Probe, list[int]] = defaultdict(list)
    for attempt in leaks:
        (arrived if attempt.probe.destination == pair.destination else strayed)[attempt.probe].append(attempt.number)
    asked: defaultdict[Probe, int] = defaultdict(int)
    for attempt in tries:
        asked[attempt.probe] += 1
    by_count: defaultdict[str, list[Probe]] = defaultdict(list)
    for probe, numbers in arrived.items():
        by_count[f"arrived in {len(numbers)} of {asked[probe]} tries"].append(probe)
    for probe in strayed:
        by_count[f"sent to {probe.destination}, was heard here"].append(probe)
    parts = [f"{_named(probes)} {what}" for what, probes in sorted(by_count.items())]
    detail = f"{len(arrived) + len(strayed)} packets that policy does not authorise here: {'. '.join(parts)}"
    return Finding(Outcome.FAIL, detail, tuple(attempt.number for attempt in leaks))


def _named(probes: Iterable[Probe]) -> str:
    """Return every packet by name, those with the same target, way and ports together."""
    ports: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for probe in sorted(dict.fromkeys(probes), key=lambda probe: probe.packet.port or 0):
        listed = ports[f"to {probe.target} {probe.how}", probe.packet.kind]
        listed += [] if probe.packet.port is None else [str(probe.packet.port)]
    kinds: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for (place, kind), numbers in sorted(ports.items()):
        kinds[place, ",".join(numbers)].append(kind)
    places: defaultdict[str, list[str]] = defaultdict(list)
    for (place, joined), alike in kinds.items():
        places[place].append("/".join(alike) + (f" {joined}" if joined else ""))
    return "; ".join(f"{place}: {' + '.join(parts)}" for place, parts in places.items())
