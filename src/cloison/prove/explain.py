"""One question about one packet: does it get from here to there, and what decides on the way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.errors import InputError
from cloison.flow import Protocol
from cloison.intent.invariants import addresses, members
from cloison.prove.network import Prover
from cloison.prove.packet import (
    ACK,
    ETHERNET_IPV4,
    ICMP,
    SYN,
    TCP,
    UDP,
    UNTAGGED,
    Connection,
)
from cloison.prove.place_names import place_named
from cloison.prove.places import WAN, technician
from cloison.prove.way import Tracing

if TYPE_CHECKING:
    from cloison.flow import Flow
    from cloison.intent.network import Intent
    from cloison.prove.answer import TunnelsAre
    from cloison.prove.configuration import Configurations
    from cloison.prove.space import Packet
    from cloison.prove.way import Way

_SOURCE_PORT = 40000
_ECHO_REQUEST, _ECHO_REPLY = 8, 0
_PORT = re.compile(r"(tcp|udp)/([1-9][0-9]{0,4})")


@dataclass(frozen=True, slots=True)
class Asked:
    """A protocol and a destination port; of ICMP, the type."""

    name: str
    protocol: int
    port: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """The way of a first packet, and of its answer where it arrives."""

    sender: str
    receiver: str
    service: str
    tunnels: TunnelsAre
    flow: Flow | None
    """The flow that declares it; None where it must not arrive."""
    there: Way
    back: Way | None
    permitted: bool = False
    """True where no flow declares it, and the network itself needs it, such as the local management of a firewall."""

    @property
    def arrives(self) -> bool:
        """True when the packet arrives, and its answer too."""
        return self.there.arrives and self.back is not None and self.back.arrives

    @property
    def determined(self) -> bool:
        """False when a statement on the way is not modelled: nobody can say whether the packet gets past it."""
        hops = (*self.there.hops, *(self.back.hops if self.back is not None else ()))
        return not any(hop.what.endswith(": unknown") or "not modelled: " in hop.what for hop in hops)

    @property
    def conforms(self) -> bool:
        """True when what happens is what is declared: with no flow, the first packet must not arrive.

        What the network itself needs may arrive, and is not asked for.
        """
        return self.arrives if self.flow is not None else self.permitted or not self.there.arrives


def explain(
    intent: Intent, configurations: Configurations, ends: tuple[str, str], service: str, tunnels: TunnelsAre
) -> Explanation:
    """Return the way of the first packet of a service between two places, and of its answer.

    The ends are names, or unique tails of names. Raises InputError for a name or a service that is none, and what
    `Prover.network` does.
    """
    sender, receiver = (place_named(intent, name) for name in ends)
    asked = _asked(intent, service)
    flow = _declared(intent, sender, receiver, asked)
    source, destination = _addresses(intent, sender, receiver)
    if flow is not None:
        source, destination = int(flow.source.address), int(flow.destination.address)
    prover = Prover(intent)
    tracing = Tracing(prover.network(configurations), tunnels)
    first = _packet(asked, source, destination)
    there = tracing.way(sender, receiver, first)
    back = tracing.way(receiver, sender, _answer(first)) if there.arrives else None
    cables = {"sender": prover.places.cable(sender), "receiver": prover.places.cable(receiver)}
    permitted = flow is None and {**first, **cables} in prover.question.permitted
    return Explanation(sender, receiver, asked.name, tunnels, flow, there, back, permitted)


def _asked(intent: Intent, service: str) -> Asked:
    for declared in intent.services:
        if declared.name == service:
            return Asked(service, TCP if declared.protocol is Protocol.TCP else UDP, declared.port)
    if service == "icmp":
        return Asked(service, ICMP, _ECHO_REQUEST)
    found = _PORT.fullmatch(service)
    if found is None or int(found[2]) > 65535:  # noqa: PLR2004  the last port
        known = ", ".join(str(one.name) for one in intent.services)
        msg = f"{service}: no such service; expected one of {known}, or tcp/PORT, udp/PORT, icmp"
        raise InputError(msg)
    return Asked(service, TCP if found[1] == "tcp" else UDP, int(found[2]))


def _declared(intent: Intent, sender: str, receiver: str, asked: Asked) -> Flow | None:
    for flow in intent.flows:
        protocol = TCP if flow.service.protocol is Protocol.TCP else UDP
        ends = (str(flow.source.name), str(flow.destination.name))
        if (*ends, protocol, flow.service.port) == (sender, receiver, asked.protocol, asked.port):
            return flow
    return None


def _addresses(intent: Intent, sender: str, receiver: str) -> tuple[int, int]:
    """Return the addresses that two places speak from and to: of a firewall, the one on the network they share."""
    for site in intent.sites:
        firewall, local = str(site.firewall.name), site.firewall.local_management
        shared = {WAN: (int(site.wan_address.ip), _NOBODY)}
        if local is not None:
            shared[technician(site.name)] = (int(local[0].ip), int(local[1].ip))
        for place, (own, other) in shared.items():
            if (sender, receiver) == (place, firewall):
                return other, own
            if (sender, receiver) == (firewall, place):
                return own, other
            if sender == place and place != WAN:
                return other, _address(intent, receiver)
    return _address(intent, sender), _address(intent, receiver)


def _address(intent: Intent, place: str) -> int:
    """Return the first address of a place; of one that has none of its own, an address that is nobody's here."""
    for member in members(intent):
        if member.equipment.name == place and (found := addresses(member)):
            return int(member.equipment.address or found[0])
    return _NOBODY


_NOBODY = 0xCB007163
"""203.0.113.99 (RFC 5737)."""


def _packet(asked: Asked, source: int, destination: int) -> Packet:
    icmp = asked.protocol == ICMP
    return dict.fromkeys(("mac_source", "mac_destination", "arp_sender_mac", "arp_target_mac"), 0) | {
        "sender": 0,
        "receiver": 0,
        "tag": UNTAGGED,
        "inner_tag": UNTAGGED,
        "ethernet_type": ETHERNET_IPV4,
        "interface_in": 0,
        "interface_out": 0,
        "source": source,
        "destination": destination,
        "protocol": asked.protocol,
        "destination_port": asked.port,
        "source_port": 0 if icmp else _SOURCE_PORT,
        "tcp_flags": SYN if asked.protocol == TCP else 0,
        "fragment": 0,
        "header_length": 5,
        "connection": Connection.NEW,
    }


def _answer(first: Packet) -> Packet:
    """Return the answer to a first packet: SYN+ACK, a datagram back, an echo reply."""
    back = first | {
        "source": first["destination"],
        "destination": first["source"],
        "tcp_flags": SYN | ACK if first["protocol"] == TCP else 0,
        "connection": Connection.ESTABLISHED,
    }
    if first["protocol"] == ICMP:
        return back | {"destination_port": _ECHO_REPLY}
    return back | {"source_port": first["destination_port"], "destination_port": first["source_port"]}
