"""Listening sockets: every declared one is there, and no other (ANSSI-BP-028 R80)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING

from cloison.flow import Protocol
from cloison.intent.models import Kind

if TYPE_CHECKING:
    from ipaddress import IPv6Address

    from cloison.intent.network import Equipment, Intent

COMMAND = ("ss", "-Hlntu")
ANY = IPv4Address(0)
_SSH_PORT = 22
_IKE_PORTS = (500, 4500)
_LOCAL_COLUMN = 4


@dataclass(frozen=True, slots=True, order=True)
class ListeningSocket:
    """One socket that takes in what nobody asked for."""

    protocol: str
    address: IPv4Address | IPv6Address
    """ANY when it listens at all of them."""
    port: int

    def __str__(self) -> str:
        """Return `tcp 10.0.0.1 port 22`."""
        where = "every address" if self.address == ANY else str(self.address)
        return f"{self.protocol} {where} port {self.port}"


def declared(intent: Intent, equipment: Equipment) -> set[ListeningSocket]:
    """Return what has to listen: the services of the flows to it, the local management port, IKE on a firewall."""
    wanted = {
        ListeningSocket(flow.service.protocol, flow.destination.address, flow.service.port)
        for flow in intent.flows
        if flow.destination.name == equipment.name
    }
    if equipment.local_management is not None:
        wanted.add(ListeningSocket(Protocol.TCP, equipment.local_management[0].ip, _SSH_PORT))
    if equipment.kind is Kind.FIREWALL:
        wanted |= {ListeningSocket(Protocol.UDP, ANY, port) for port in _IKE_PORTS}
    return wanted


def read(text: str) -> set[ListeningSocket]:
    """Return the sockets in the output of COMMAND; ValueError when a line is none."""
    found = set()
    for line in text.splitlines():
        columns = line.split()
        host, _, port = columns[_LOCAL_COLUMN].rpartition(":")
        address = host.partition("%")[0].strip("[]")
        found.add(ListeningSocket(columns[0], ANY if address in {"*", "::"} else ip_address(address), int(port)))
    return found


def differences(intent: Intent, equipment: Equipment, text: str) -> list[str]:
    """Return what listens and is not declared, and what is declared and does not listen.

    A firewall's UDP sockets may be at every address: a daemon that answers in several segments has one socket, and the
    filter, which is judged by itself, says from where it can be reached.
    """
    wanted, found = declared(intent, equipment), read(text)
    if equipment.kind is Kind.FIREWALL:
        anywhere = {socket.port for socket in found if socket.protocol == Protocol.UDP and socket.address == ANY}
        wanted = {
            ListeningSocket(socket.protocol, ANY, socket.port)
            if socket.protocol == Protocol.UDP and socket.port in anywhere
            else socket
            for socket in wanted
        }
    return [f"{socket} listens and is not declared" for socket in sorted(found - wanted, key=str)] + [
        f"{socket} is declared and does not listen" for socket in sorted(wanted - found, key=str)
    ]
