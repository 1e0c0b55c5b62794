"""The question, as packet sets: what may arrive, and what must. It follows from the declared flows alone.

What *may* arrive is as wide as the flow: every source port, every spelling of a first packet that opens the
conversation. What *must* arrive is what real hosts send: source ports from 1024 on (RFC 6056) and the service's own,
the flags of a first packet (RFC 9293, and RFC 3168 for ECN), then packets with ACK.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from cloison.flow import Protocol
from cloison.prove.answer import TunnelsAre
from cloison.prove.packet import ACK, CWR, ECE, ETHERNET_IPV4, FIN, ICMP, PSH, RST, SYN, TCP, UDP, Connection, Fragment
from cloison.prove.places import CABLE_NUMBERS, WAN, out_of_tunnel, technician

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cloison.flow import Flow
    from cloison.intent.network import Intent, Site
    from cloison.prove.packet import Frames
    from cloison.prove.places import Places
    from cloison.prove.space import Interval, Region

IKE_PORTS: Final = frozenset({(500, 500), (4500, 4500)})
"""IKE, and IKE and ESP in UDP (RFC 7296 section 2.23, RFC 3948)."""
_FIRST_MUST: Final = frozenset({(SYN, SYN), (SYN | ECE | CWR, SYN | ECE | CWR)})
_LATER_MUST: Final = frozenset((flags, flags) for flags in (ACK, ACK | PSH, ACK | FIN, ACK | FIN | PSH, ACK | RST))
_ANSWER_MUST: Final = _LATER_MUST | {(SYN | ACK, SYN | ACK)}
_FIRST_MAY: Final = frozenset((flags, flags) for flags in range(256) if flags & (FIN | SYN | RST | ACK) == SYN)
_EPHEMERAL: Final = (1024, 65535)
_SSH: Final = 22
_FRAGMENTATION_NEEDED: Final = {"destination_port": 3, "source_port": 4}


_ENDS: Final = ("sender", "source", "destination", "receiver")
"""What tells flows of one service apart, in the order of the fields."""
_Row = tuple[tuple[int, ...], "Region"]


@dataclass(frozen=True, slots=True)
class Demand:
    """What must pass for one direction of one flow."""

    flow: Flow
    reply: bool
    region: Region


@dataclass(frozen=True, slots=True)
class _Service:
    """The packets of one service, whatever their addresses."""

    opening: Region
    """Every first packet that opens a conversation."""
    onwards: Region
    """What real hosts send to the service: first packets and later ones."""
    back: Region
    """What it answers."""


class Question:
    """What is asked of one network."""

    def __init__(self, frames: Frames, places: Places, intent: Intent) -> None:
        self._frames = frames
        self._places = places
        self._intent = intent
        self._demanded: dict[TunnelsAre, Region] = {}
        self._known: dict[tuple[Protocol, int], _Service] = {}
        self._from: defaultdict[str, list[Flow]] = defaultdict(list)
        for flow in intent.flows:
            self._from[str(flow.source.name)].append(flow)

    @cached_property
    def permitted(self) -> Region:
        """The packets that may get from one cable to another."""
        rows = [row for flow in self._intent.flows for row in self._first(flow)]
        rows += [row for site in self._intent.sites for row in self._behind_trunks(site)]
        regions = [region for site in self._intent.sites for region in self._infrastructure(site)]
        return self._frames.union([self._together(rows), *regions])

    @cached_property
    def unasked(self) -> Region:
        """What may get anywhere: the packets that are permitted, and whatever is not from a cable to a cable."""
        return self.permitted | ~self._frames.box(sender=CABLE_NUMBERS, receiver=CABLE_NUMBERS)

    @cached_property
    def demands(self) -> tuple[Demand, ...]:
        """What must get from one host to another: the first packets of every flow, the later ones, the answers."""
        return tuple(
            Demand(flow, reply, self._together([row]))
            for flow in self._intent.flows
            for reply, row in ((False, self._onwards(flow)), (True, self._back(flow)))
        )

    def demanded(self, tunnels: TunnelsAre) -> Region:
        """Return what all demands together are: with the tunnels down, those within one site."""
        if tunnels not in self._demanded:
            flows = [flow for flow in self._intent.flows if tunnels is TunnelsAre.UP or self.same_site(flow)]
            rows = [row for flow in flows for row in (self._onwards(flow), self._back(flow))]
            self._demanded[tunnels] = self._together(rows)
        return self._demanded[tunnels]

    def same_site(self, flow: Flow) -> bool:
        """Tell whether a flow needs no tunnel."""
        return flow.source.name.site == flow.destination.name.site

    def _together(self, rows: Iterable[_Row]) -> Region:
        return self._frames.rows(_ENDS, rows) & self._frames.ipv4

    def _first(self, flow: Flow) -> Iterator[_Row]:
        """Yield every first packet that the flow allows, from the source's cable or out of the tunnel."""
        opening, receiver = self._services(flow).opening, self._places.cable(str(flow.destination.name))
        addresses = (int(flow.source.address), int(flow.destination.address))
        yield (self._places.cable(str(flow.source.name)), *addresses, receiver), opening
        if not self.same_site(flow):
            tunnel = self._places.cable(out_of_tunnel(flow.destination.name.site))
            yield (tunnel, *addresses, receiver), opening

    def _onwards(self, flow: Flow) -> _Row:
        sender, receiver = self._hosts(flow)
        ends = (sender, int(flow.source.address), int(flow.destination.address), receiver)
        return ends, self._services(flow).onwards

    def _back(self, flow: Flow) -> _Row:
        sender, receiver = self._hosts(flow)
        ends = (receiver, int(flow.destination.address), int(flow.source.address), sender)
        return ends, self._services(flow).back

    def _hosts(self, flow: Flow) -> tuple[int, int]:
        return self._places.host(str(flow.source.name)), self._places.host(str(flow.destination.name))

    def _services(self, flow: Flow) -> _Service:
        """Return the packets of a flow's service, whoever sends them; every service is looked at once."""
        key = (flow.service.protocol, flow.service.port)
        if key not in self._known:
            self._known[key] = self._service(flow)
        return self._known[key]

    def _service(self, flow: Flow) -> _Service:
        tcp, port = flow.service.protocol is Protocol.TCP, flow.service.port
        box = self._frames.box
        plain = box(protocol=TCP if tcp else UDP, fragment=Fragment.WHOLE, header_length=5)
        to, back = plain & box(destination_port=port), plain & box(source_port=port)
        ephemeral = frozenset({_EPHEMERAL, (port, port)})
        new, established = box(connection=Connection.NEW), box(connection=Connection.ESTABLISHED)
        none: frozenset[Interval] = frozenset({(0, 0)})
        first, later, answer = (
            box(tcp_flags=flags if tcp else none) for flags in (_FIRST_MUST, _LATER_MUST, _ANSWER_MUST)
        )
        return _Service(
            to & new & box(tcp_flags=_FIRST_MAY if tcp else none),
            to & box(source_port=ephemeral) & ((new & first) | (established & later)),
            back & box(destination_port=ephemeral) & established & answer,
        )

    def _infrastructure(self, site: Site) -> Iterator[Region]:
        """Yield what the network itself needs: IKE with the peers, the technician's port, messages about path MTU."""
        box, firewall = self._frames.box, site.firewall
        whole = self._frames.packets & box(ethernet_type=ETHERNET_IPV4, fragment=Fragment.WHOLE, header_length=5)
        opening = whole & box(connection=Connection.NEW)
        here = self._places.cable(str(firewall.name))
        yield from self._ike(site, opening & box(protocol=UDP))
        if firewall.local_management is not None:
            device, laptop = firewall.local_management
            yield opening & box(
                source=int(laptop.ip),
                destination=int(device.ip),
                protocol=TCP,
                destination_port=_SSH,
                tcp_flags=_FIRST_MAY,
                sender=self._places.cable(technician(site.name)),
                receiver=here,
            )
        told = whole & box(protocol=ICMP, connection=Connection.RELATED, **_FRAGMENTATION_NEEDED)
        tunnels = self._places.cable(out_of_tunnel(site.name))
        yield told & box(sender=frozenset({(here, here), (tunnels, tunnels)}), receiver=CABLE_NUMBERS)

    def _ike(self, site: Site, datagrams: Region) -> Iterator[Region]:
        """Yield IKE, and ESP in UDP, between a firewall and its peers across the WAN."""
        box, firewall = self._frames.box, site.firewall
        here, wan = self._places.cable(str(firewall.name)), self._places.cable(WAN)
        peers = frozenset(
            (int(other.address), int(other.address))
            for tunnel in self._intent.tunnels_of(firewall.name)
            for _, other in [tunnel.end_of(firewall.name)]
        )
        own = int(site.wan_address.ip)
        yield datagrams & box(source=peers, destination=own, destination_port=IKE_PORTS, sender=wan, receiver=here)
        yield datagrams & box(source=own, destination=peers, source_port=IKE_PORTS, sender=here, receiver=wan)

    def _behind_trunks(self, site: Site) -> Iterator[_Row]:
        """Yield what whoever holds a trunk may send: what the equipment behind it may."""
        for place, behind in trunk_places(site):
            sender = self._places.cable(place)
            for flow in (flow for name in behind for flow in self._from.get(name, ())):
                yield from (((sender, *ends[1:]), region) for ends, region in self._first(flow))


def trunk_places(site: Site) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each place on a cable between two switches, `<site>/<switch>:<port>`, with the equipment beyond it.

    The place is the port that is nearer to the firewall: whoever cuts the cable there speaks into it.
    """
    ends = {end: cable.other(end) for cable in site.cables for end in cable.ends}
    for end, other in ends.items():
        beyond, frontier = {other.equipment}, [other.equipment]
        while frontier:
            here = frontier.pop()
            for one, two in ends.items():
                if one.equipment == here and one != other and two.equipment not in beyond:
                    beyond.add(two.equipment)
                    frontier.append(two.equipment)
        if site.firewall.name not in beyond and len(beyond) > 1 and end.equipment != site.firewall.name:
            yield str(end), frozenset(str(name) for name in beyond)
