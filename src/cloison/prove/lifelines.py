"""What must pass so that the network itself lives: IKE between the firewalls, the technician's port, path-MTU messages.

No flow of policy.yaml declares it. Without IKE no tunnel comes up; without ICMP "fragmentation needed" a host goes on
sending packets that do not fit into a tunnel (RFC 1191 section 4); without its local port a firewall that nobody
reaches any more is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from cloison.prove.packet import ACK, ETHERNET_IPV4, ICMP, PSH, SYN, TCP, UDP, Connection, Fragment
from cloison.prove.places import WAN, technician

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.intent.network import Intent, Site
    from cloison.prove.packet import Frames
    from cloison.prove.places import Places
    from cloison.prove.space import Region

_IKE: Final = (500, 4500)
_SSH: Final = 22
_EPHEMERAL: Final = (1024, 65535)
_OPENED: Final = (Connection.NEW, Connection.ESTABLISHED)
_OF_ANSWERS: Final = frozenset((flags, flags) for flags in (ACK, ACK | PSH, ACK | SYN))


@dataclass(frozen=True, slots=True)
class Lifeline:
    """What must pass from one place to another, with the tunnels up and down."""

    sender: str
    receiver: str
    service: str
    region: Region


class Lifelines:
    """Every lifeline of a network."""

    def __init__(self, frames: Frames, places: Places, intent: Intent) -> None:
        self._frames = frames
        self._places = places
        self._intent = intent
        self._whole = frames.packets & frames.box(ethernet_type=ETHERNET_IPV4, fragment=Fragment.WHOLE, header_length=5)

    @cached_property
    def every(self) -> tuple[Lifeline, ...]:
        """All of them."""
        return tuple(one for site in self._intent.sites for one in self._of(site))

    @cached_property
    def region(self) -> Region:
        """The packets of all of them."""
        return self._frames.union(line.region for line in self.every)

    def _of(self, site: Site) -> Iterator[Lifeline]:
        name = str(site.firewall.name)
        remote = [tunnel.end_of(site.firewall.name)[1] for tunnel in self._intent.tunnels_of(site.firewall.name)]
        peers = frozenset((int(other.address), int(other.address)) for other in remote)
        own, box = int(site.wan_address.ip), self._frames.box
        if peers:
            states = frozenset((int(state), int(state)) for state in _OPENED)
            ike = self._whole & box(protocol=UDP, connection=states)
            ike = self._frames.union(ike & box(source_port=port, destination_port=port) for port in _IKE)
            yield self._line(WAN, name, "ike", ike & box(source=peers, destination=own))
            yield self._line(name, WAN, "ike", ike & box(source=own, destination=peers))
            yield from self._about_size(site)
        if site.firewall.local_management is not None:
            device, laptop = site.firewall.local_management
            there = self._whole & box(protocol=TCP, source=int(laptop.ip), destination=int(device.ip))
            there &= box(source_port=_EPHEMERAL, destination_port=_SSH)
            first = there & box(connection=Connection.NEW, tcp_flags=SYN)
            later = there & box(connection=Connection.ESTABLISHED, tcp_flags=_OF_ANSWERS)
            back = later.swapping(("source", "destination"), ("source_port", "destination_port"))
            yield self._line(technician(site.name), name, "ssh", first | later)
            yield self._line(name, technician(site.name), "ssh", back)

    def _about_size(self, site: Site) -> Iterator[Lifeline]:
        """Yield what the firewall tells its hosts that speak through tunnels: from their gateway's address."""
        message = self._whole & self._frames.box(
            protocol=ICMP, destination_port=3, source_port=4, connection=Connection.RELATED
        )
        gateways = {segment.name: int(segment.gateway) for segment in site.segments}
        for host in site.equipment:
            if host.address is not None and host.segment in gateways and host.name in self._far - {site.firewall.name}:
                ends = self._frames.box(source=gateways[host.segment], destination=int(host.address))
                yield self._line(str(site.firewall.name), str(host.name), "path-mtu", message & ends)

    @cached_property
    def _far(self) -> frozenset[str]:
        """The names of the hosts that have a flow with another site."""
        far = [flow for flow in self._intent.flows if flow.source.name.site != flow.destination.name.site]
        return frozenset(str(end.name) for flow in far for end in (flow.source, flow.destination))

    def _line(self, sender: str, receiver: str, service: str, region: Region) -> Lifeline:
        places = self._frames.box(sender=self._places.host(sender), receiver=self._places.host(receiver))
        return Lifeline(sender, receiver, service, region & places)
