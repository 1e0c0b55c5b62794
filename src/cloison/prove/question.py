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
from cloison.prove.packet import ACK, CWR, ECE, ETHERNET_IPV4, FIN, ICMP, PSH, RST, SYN, TCP, UDP, Connection, Fragment
from cloison.prove.places import CABLE_NUMBERS, WAN, out_of_tunnel, technician

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.flow import Flow
    from cloison.intent.network import Intent, Site
    from cloison.prove.packet import Frames
    from cloison.prove.places import Places
    from cloison.prove.space import Region

IKE_PORTS: Final = frozenset({(500, 500), (4500, 4500)})
"""IKE, and IKE and ESP in UDP (RFC 7296 section 2.23, RFC 3948)."""
_FIRST_MUST: Final = frozenset({(SYN, SYN), (SYN | ECE | CWR, SYN | ECE | CWR)})
_LATER_MUST: Final = frozenset((flags, flags) for flags in (ACK, ACK | PSH, ACK | FIN, ACK | FIN | PSH, ACK | RST))
_ANSWER_MUST: Final = _LATER_MUST | {(SYN | ACK, SYN | ACK)}
_FIRST_MAY: Final = frozenset((flags, flags) for flags in range(256) if flags & (FIN | SYN | RST | ACK) == SYN)
_EPHEMERAL: Final = (1024, 65535)
_SSH: Final = 22
_FRAGMENTATION_NEEDED: Final = {"destination_port": 3, "source_port": 4}


@dataclass(frozen=True, slots=True)
class Demand:
    """What must pass for one direction of one flow."""

    flow: Flow
    reply: bool
    region: Region


class Question:
    """What is asked of one network."""

    def __init__(self, frames: Frames, places: Places, intent: Intent) -> None:
        self._frames = frames
        self._places = places
        self._intent = intent
        self._from: defaultdict[str, list[Flow]] = defaultdict(list)
        for flow in intent.flows:
            self._from[str(flow.source.name)].append(flow)

    @cached_property
    def permitted(self) -> Region:
        """The packets that may get from one cable to another."""
        regions = [self._first(flow) for flow in self._intent.flows]
        for site in self._intent.sites:
            regions += [*self._infrastructure(site), *self._behind_trunks(site)]
        return self._frames.union(regions)

    @cached_property
    def demands(self) -> tuple[Demand, ...]:
        """What must get from one host to another: the first packets of every flow, the later ones, the answers."""
        return tuple(demand for flow in self._intent.flows for demand in self._demands(flow))

    def same_site(self, flow: Flow) -> bool:
        """Tell whether a flow needs no tunnel."""
        return flow.source.name.site == flow.destination.name.site

    def _ends(self, flow: Flow) -> Region:
        """Return the packets of the flow's addresses, protocol and port, whoever sends them."""
        destination = str(flow.destination.name)
        return self._frames.packets & self._frames.box(
            ethernet_type=ETHERNET_IPV4,
            source=int(flow.source.address),
            destination=int(flow.destination.address),
            protocol=TCP if flow.service.protocol is Protocol.TCP else UDP,
            destination_port=flow.service.port,
            fragment=Fragment.WHOLE,
            header_length=5,
            receiver=self._places.both(destination),
        )

    def _first(self, flow: Flow) -> Region:
        """Return every first packet that the flow allows, from the source's cable or out of the tunnel."""
        senders = {self._places.cable(str(flow.source.name))}
        if not self.same_site(flow):
            senders.add(self._places.cable(out_of_tunnel(flow.destination.name.site)))
        region = self._ends(flow) & self._frames.box(
            sender=frozenset((number, number) for number in senders),
            connection=Connection.NEW,
            receiver=self._places.cable(str(flow.destination.name)),
        )
        return region & self._frames.box(tcp_flags=_FIRST_MAY) if flow.service.protocol is Protocol.TCP else region

    def _demands(self, flow: Flow) -> Iterator[Demand]:
        box = self._frames.box
        ports = frozenset({_EPHEMERAL, (flow.service.port, flow.service.port)})
        tcp = flow.service.protocol is Protocol.TCP
        region = self._ends(flow) & box(
            source_port=ports,
            sender=self._places.host(str(flow.source.name)),
            receiver=self._places.host(str(flow.destination.name)),
        )
        first = region & box(connection=Connection.NEW)
        later = region & box(connection=Connection.ESTABLISHED)
        back = later.swapping(("source", "destination"), ("source_port", "destination_port"), ("sender", "receiver"))
        if tcp:
            first &= box(tcp_flags=_FIRST_MUST)
            later &= box(tcp_flags=_LATER_MUST)
            back &= box(tcp_flags=_ANSWER_MUST)
        yield Demand(flow, reply=False, region=first | later)
        yield Demand(flow, reply=True, region=back)

    def _infrastructure(self, site: Site) -> Iterator[Region]:
        """Yield what the network itself needs: IKE with the peers, the technician's port, messages about path MTU."""
        box, firewall = self._frames.box, site.firewall
        whole = (
            self._frames.packets
            & self._frames.ipv4
            & box(fragment=Fragment.WHOLE, header_length=5, connection=Connection.NEW)
        )
        here = self._places.cable(str(firewall.name))
        wan = self._places.cable(WAN)
        peers = frozenset(
            (int(other.address), int(other.address))
            for tunnel in self._intent.tunnels_of(firewall.name)
            for _, other in [tunnel.end_of(firewall.name)]
        )
        own = int(site.wan_address.ip)
        ike = whole & box(protocol=UDP)
        yield ike & box(source=peers, destination=own, destination_port=IKE_PORTS, sender=wan, receiver=here)
        yield ike & box(source=own, destination=peers, source_port=IKE_PORTS, sender=here, receiver=wan)
        if firewall.local_management is not None:
            device, laptop = firewall.local_management
            yield whole & box(
                source=int(laptop.ip),
                destination=int(device.ip),
                protocol=TCP,
                destination_port=_SSH,
                tcp_flags=_FIRST_MAY,
                sender=self._places.cable(technician(site.name)),
                receiver=here,
            )
        told = (
            self._frames.packets
            & self._frames.ipv4
            & box(
                protocol=ICMP,
                connection=Connection.RELATED,
                fragment=Fragment.WHOLE,
                header_length=5,
                **_FRAGMENTATION_NEEDED,
            )
        )
        tunnels = self._places.cable(out_of_tunnel(site.name))
        yield told & box(sender=frozenset({(here, here), (tunnels, tunnels)}), receiver=CABLE_NUMBERS)

    def _behind_trunks(self, site: Site) -> Iterator[Region]:
        """Yield what whoever holds a trunk may send: what the equipment behind it may."""
        for place, behind in trunk_places(site):
            sender = self._places.cable(place)
            yield from (
                self._first(flow).setting(sender=sender) for name in behind for flow in self._from.get(name, ())
            )


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
