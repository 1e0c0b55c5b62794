"""Gives every probe of a run its frame: the MAC addresses of its way, a number, and ports that no other probe has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.probe.craft import NOBODY, Template, build, finish
from cloison.probe.question import Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from random import Random

    from cloison.model import EquipmentName
    from cloison.probe.question import Probe
    from cloison.probe.vantage import NextHops, Station
    from cloison.transport.base import Runner

# Below the kernel's own ephemeral ports. Probes that should arrive and probes that should not have ranges of their own:
# a connection that a past run left in a firewall's table then never lets a packet through that ought to be refused.
_EXPECTED_PORTS = (20_000, 26_000)
_REFUSED_PORTS = (26_000, 32_000)


class FrameMaker:
    """Makes frames for the probes it was built for."""

    def __init__(
        self,
        stations: Mapping[EquipmentName, Station],
        next_hops: NextHops,
        nonce: bytes,
        random: Random,
    ) -> None:
        self._stations = stations
        self._next_hops = next_hops
        self._nonce = nonce
        self._ports = {True: random.randrange(*_EXPECTED_PORTS), False: random.randrange(*_REFUSED_PORTS)}
        self._templates: dict[Template, bytes] = {}

    def prepare(self, probes: Iterable[Probe], runner: Runner) -> None:
        """Have the Scapy process build what the probes need; ProbeError when it fails."""
        wanted = (self._template(probe) for probe in probes if not self.hindrance(probe))
        self._templates = build(wanted, runner)

    def hindrance(self, probe: Probe) -> str:
        """Return why the probe cannot be sent; an empty text when it can."""
        station = self._stations.get(probe.source)
        if station is None:
            return f"{probe.source} is not open"
        if probe.way is Way.NEIGHBOUR and probe.destination not in self._stations:
            return f"the MAC address of {probe.destination} is not known"
        if probe.way is Way.GATEWAY and station.mac != NOBODY and probe.source not in self._next_hops.gateways:
            return f"the gateway of {probe.source} does not answer ARP"
        if probe.way is Way.LAST_HOP and probe.destination.site not in self._next_hops.last:
            return f"the firewall of {probe.destination.site} does not answer ARP on the wide-area network"
        return ""

    def frame(self, probe: Probe, number: int) -> bytes:
        """Return the frame of a probe that nothing hinders."""
        low, high = _EXPECTED_PORTS if probe.flow else _REFUSED_PORTS
        port = self._ports[probe.flow is not None]
        self._ports[probe.flow is not None] = port + 1 if port + 1 < high else low
        return finish(self._templates[self._template(probe)], (port, probe.packet.port or 0), number, self._nonce)

    def _template(self, probe: Probe) -> Template:
        station = self._stations[probe.source]
        if probe.way is Way.LAST_HOP:
            own, firewall = self._next_hops.last[probe.destination.site]
            return Template(own, firewall, probe.sender, probe.target, probe.packet.kind)
        if station.mac == NOBODY:
            next_hop = NOBODY
        elif probe.way is Way.NEIGHBOUR:
            next_hop = self._stations[probe.destination].mac
        else:
            next_hop = self._next_hops.gateways[probe.source]
        return Template(station.mac, next_hop, probe.sender, probe.target, probe.packet.kind)
