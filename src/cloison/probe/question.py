"""What is asked of the network: for every ordered pair of vantage points, which packets, and which of them may arrive.

Pure: it follows from the intent, and from the addresses of the places outside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations
from typing import TYPE_CHECKING

from cloison.flow import Flow, Protocol
from cloison.intent.models import Kind
from cloison.model import EquipmentName

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address

    from cloison.intent.network import Intent, Segment

ROGUE = EquipmentName("wan/rogue-laptop")
"""Has taken over the wide-area network: it puts frames on the cable of any site's firewall, in anybody's name."""
OUTSIDE = (EquipmentName("wan/internet-host"), ROGUE)
"""Vantage points that belong to nobody we know: hosts of the wide-area network."""
SOUGHT_PORTS = frozenset({22, 53, 80, 443, 445, 554, 3702, 8000, 37777})
"""Ports that an intruder tries first, those of cameras and recorders among them (RTSP, WS-Discovery, vendors' own)."""


class PacketKind(StrEnum):
    """What kind of first packet is sent."""

    TCP_SYN = "tcp-syn"
    TCP_ACK = "tcp-ack"
    """Without a connection: what a scan sends to find filters that keep no state."""
    UDP = "udp"
    ICMP_ECHO = "icmp-echo"


class Way(StrEnum):
    """How the frame leaves its sender."""

    GATEWAY = "gateway"
    """To the next hop, as a host's own stack would send it."""
    NEIGHBOUR = "neighbour"
    """Straight to the destination's MAC address, on the segment that both are in."""
    LAST_HOP = "last hop"
    """Onto the cable before the destination's firewall, as if everything on the way there had let it through."""


@dataclass(frozen=True, slots=True, order=True)
class Packet:
    """One kind of packet, to one port."""

    kind: PacketKind
    port: int | None = None
    """None for ICMP."""

    def __str__(self) -> str:
        """Return `tcp-syn/443`, or `icmp-echo`."""
        return self.kind if self.port is None else f"{self.kind}/{self.port}"


@dataclass(frozen=True, slots=True)
class Probe:
    """One packet from one vantage point to one address of another."""

    source: EquipmentName
    destination: EquipmentName
    sender: IPv4Address
    target: IPv4Address
    way: Way
    packet: Packet
    flow: Flow | None
    """The authorised flow that makes it expected to arrive; None when it must arrive nowhere."""
    pretended: EquipmentName | None = None
    """Whose address it is sent from, when it is not the source's own."""

    @property
    def how(self) -> str:
        """The way, and in whose name, as a reader of a verdict needs them."""
        return f"by {self.way}" + (f" in the name of {self.pretended}" if self.pretended else "")

    def __str__(self) -> str:
        """Return the packet, its target, and how it was sent where that is not the common way."""
        common = self.way is Way.GATEWAY and self.pretended is None
        return f"{self.packet} to {self.target}" + ("" if common else f" {self.how}")


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """An ordered pair of vantage points: what one check is about."""

    source: EquipmentName
    destination: EquipmentName

    def __str__(self) -> str:
        """Return `<source>--<destination>` with the slashes as dots."""
        return f"{self.source}--{self.destination}".replace("/", ".")


def vantage_names(intent: Intent) -> tuple[EquipmentName, ...]:
    """Return every place that packets are sent from and heard at: all equipment with an address, and the outside."""
    inside = (equipment.name for site in intent.sites for equipment in site.equipment if equipment.address is not None)
    return (*inside, *OUTSIDE)


def pairs(intent: Intent) -> tuple[Pair, ...]:
    """Return every ordered pair of vantage points, but for those that are both outside."""
    return tuple(
        Pair(source, destination)
        for source, destination in permutations(vantage_names(intent), 2)
        if not (source in OUTSIDE and destination in OUTSIDE)
    )


def packets(intent: Intent) -> tuple[Packet, ...]:
    """Return the packets that are tried between any two: the services of all flows, the sought ports, ICMP echo."""
    ports = sorted({flow.service.port for flow in intent.flows} | SOUGHT_PORTS)
    kinds = (PacketKind.TCP_SYN, PacketKind.TCP_ACK, PacketKind.UDP)
    return (*(Packet(kind, port) for kind in kinds for port in ports), Packet(PacketKind.ICMP_ECHO))


def segment_of(intent: Intent, name: EquipmentName) -> Segment | None:
    """Return the segment that a vantage point is in; None outside."""
    equipment = intent.equipment_by_name.get(name)
    if equipment is None or equipment.segment is None:
        return None
    return intent.site_by_name[name.site].segment_by_name[equipment.segment]


def probes(intent: Intent, outside: Mapping[EquipmentName, IPv4Address]) -> dict[Pair, tuple[Probe, ...]]:
    """Return every probe by its pair. `outside` gives the addresses of the vantage points outside.

    A bare ACK is never expected: a connection is opened by a SYN alone.
    """
    tried = packets(intent)
    flows = {(flow.source.name, flow.destination.address, _opening(flow)): flow for flow in intent.flows}
    addresses = {name: equipment.address for name, equipment in intent.equipment_by_name.items()} | dict(outside)

    def ask(pair: Pair) -> tuple[Probe, ...]:
        own = tuple(
            Probe(
                source=pair.source,
                destination=pair.destination,
                sender=_known(addresses, pair.source),
                target=target,
                way=way,
                packet=packet,
                flow=flows.get((pair.source, target, packet)) if way is Way.GATEWAY else None,
            )
            for target in targets(intent, pair, _known(addresses, pair.destination))
            for way in ways(intent, pair)
            for packet in tried
        )
        return own + (_pretences(intent, pair.destination) if pair.source == ROGUE else ())

    return {pair: ask(pair) for pair in pairs(intent)}


def _pretences(intent: Intent, destination: EquipmentName) -> tuple[Probe, ...]:
    """Return what the firewall would let in, came it through a tunnel: sent in clear, in the name of who may."""
    return tuple(
        Probe(
            source=ROGUE,
            destination=destination,
            sender=flow.source.address,
            target=flow.destination.address,
            way=Way.LAST_HOP,
            packet=_opening(flow),
            flow=None,
            pretended=flow.source.name,
        )
        for flow in intent.flows
        if flow.destination.name == destination and flow.source.name.site != destination.site
    )


def targets(intent: Intent, pair: Pair, address: IPv4Address) -> tuple[IPv4Address, ...]:
    """Return the addresses of the destination that this source tries.

    A firewall has several: the one it is managed at, the gateway of the source's own segment, and towards the outside.
    """
    destination = intent.equipment_by_name.get(pair.destination)
    if destination is None or destination.kind is not Kind.FIREWALL:
        return (address,)
    found = [address]
    segment = segment_of(intent, pair.source)
    if segment is None:
        found.append(intent.site_by_name[pair.destination.site].wan_address.ip)
    elif segment.site == pair.destination.site:
        found.append(segment.gateway)
    return tuple(dict.fromkeys(found))


def ways(intent: Intent, pair: Pair) -> tuple[Way, ...]:
    """Return how the frames leave: between two hosts of one segment, past the gateway too."""
    if pair.source == ROGUE:
        return (Way.LAST_HOP,)
    here, there = segment_of(intent, pair.source), segment_of(intent, pair.destination)
    firewall = any(is_firewall(intent, name) for name in (pair.source, pair.destination))
    return (Way.GATEWAY,) if here is None or here != there or firewall else (Way.GATEWAY, Way.NEIGHBOUR)


def is_firewall(intent: Intent, name: EquipmentName) -> bool:
    """Return whether a vantage point is a firewall, which hears what its own filter lets in."""
    equipment = intent.equipment_by_name.get(name)
    return equipment is not None and equipment.kind is Kind.FIREWALL


def _known(addresses: Mapping[EquipmentName, IPv4Address | None], name: EquipmentName) -> IPv4Address:
    found = addresses.get(name)
    if found is None:
        msg = f"{name} has no address; expected one of every vantage point, the ones outside included"
        raise ValueError(msg)
    return found


def _opening(flow: Flow) -> Packet:
    kind = PacketKind.TCP_SYN if flow.service.protocol is Protocol.TCP else PacketKind.UDP
    return Packet(kind, flow.service.port)
