"""One run of the whole matrix, with all that is watched while it lasts: what every packet check is judged from."""

from __future__ import annotations

from contextlib import ExitStack
from random import SystemRandom
from typing import TYPE_CHECKING

from cloison.flow import Outcome
from cloison.probe.capture import Capture, everything
from cloison.probe.exchange import use_flows
from cloison.probe.judge import Finding, Judge
from cloison.probe.matrix import Matrix
from cloison.probe.question import probes
from cloison.probe.wide_area import Emissions
from cloison.transport.local import LocalRunner

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cloison.flow import Flow
    from cloison.intent.network import Intent, Tunnel
    from cloison.model import Name
    from cloison.probe.capture import Captured
    from cloison.probe.matrix import Observation
    from cloison.probe.question import Pair
    from cloison.probe.vantage import CableEnd
    from cloison.probe.wide_area import Ends
    from cloison.testing.network import JudgedNetwork

_TAPPED_PACKETS = 60_000
_FRAMES_A_FINDING = 200


class WideAreaTap:
    """Hears what each site's firewall puts on the wide-area network, from the moment it is made."""

    def __init__(self, uplinks: Mapping[Name, CableEnd]) -> None:
        self._captures: dict[Name, Capture] = {}
        with ExitStack() as opened:
            for site, end in uplinks.items():
                capture = Capture.on_link(end.namespace, end.interface, everything(), _TAPPED_PACKETS)
                opened.callback(capture.close)
                self._captures[site] = capture
            self._opened = opened.pop_all()
        self.packets: dict[Name, list[Captured]] = {site: [] for site in uplinks}
        self.lost_packets = 0

    def drain(self) -> None:
        """Take in what came."""
        for site, capture in self._captures.items():
            self.packets[site] += [packet for packet in capture.drain() if not packet.outgoing]

    def close(self) -> None:
        """Take in the rest and stop hearing."""
        self.drain()
        self.lost_packets = sum(capture.drops() for capture in self._captures.values())
        self._opened.close()


class Survey:
    """What was observed, and what may be said of it."""

    def __init__(self, intent: Intent, network: JudgedNetwork) -> None:
        asked = [probe for between in probes(intent, network.outside()).values() for probe in between]
        self._intent = intent
        tap = WideAreaTap(network.uplinks())
        try:
            with Matrix(network.attachments(), SystemRandom(), 2 * len(asked)) as matrix:
                self.observation: Observation = matrix.run(asked, LocalRunner())
            self._used = use_flows(intent.flows, network.namespaces())
        finally:
            tap.close()
        self.wide_area, self.wide_area_lost = tap.packets, tap.lost_packets
        self._judge = Judge(intent, self.observation)

    def flow(self, flow: Flow) -> Finding:
        """Return whether an authorised flow arrives, and can be used by its source."""
        heard, unusable = self._judge.flow(flow), self._used[flow.key]
        if unusable:
            return Finding(Outcome.FAIL, f"{flow.source.name} cannot use it: {unusable}. {heard.detail}", heard.numbers)
        if heard.outcome is Outcome.FAIL:
            detail = f"{flow.source.name} can use it, and yet: {heard.detail}"
            return Finding(Outcome.UNKNOWN, detail, heard.numbers)
        used = "a connection was made" if flow.service.protocol == "tcp" else "the time server answered"
        return Finding(heard.outcome, f"{heard.detail}; {used}")

    def pair(self, pair: Pair) -> Finding:
        """Return whether nothing but what is authorised arrives from one vantage point at another."""
        return self._judge.pair(pair)

    def frames(self, numbers: Iterable[int]) -> list[Captured]:
        """Return where some packets were captured, each capture as a packet, the first _FRAMES_A_FINDING of them."""
        found = [packet for number in numbers for _, packet in self.observation.frames.get(number, ())]
        return found[:_FRAMES_A_FINDING]

    def emissions(self, site: Name) -> Emissions:
        """Return what the firewall of a site put on the wide-area network meanwhile."""
        return emissions_in(self._intent, self.wide_area[site])


def emissions_in(intent: Intent, packets: Iterable[Captured]) -> Emissions:
    """Return what packets from a firewall's outside are, against the tunnels that there are."""
    emissions = Emissions()
    emissions.add(packets, intent.prefix, ends_of(intent.tunnels))
    return emissions


def ends_of(tunnels: Iterable[Tunnel]) -> frozenset[Ends]:
    """Return who may speak to whom on the wide-area network: the two ends of each tunnel."""
    return frozenset(
        pair
        for tunnel in tunnels
        for pair in (
            (tunnel.initiator.address, tunnel.responder.address),
            (tunnel.responder.address, tunnel.initiator.address),
        )
    )
