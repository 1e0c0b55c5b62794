"""What a tunnel shall be, seen from one of its two ends."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from cloison.model import HostName, Model, Name

if TYPE_CHECKING:
    from cloison.intent.network import Equipment, Intent


class TunnelState(Model):
    """One end of an IKEv2 connection with one CHILD_SA (RFC 7296)."""

    name: Name
    """Of the connection and of its CHILD_SA, the same at both ends."""
    initiates: bool
    """True at the end that opens it, and opens it again; the other end waits."""
    local_address: IPv4Address
    remote_address: IPv4Address
    local_identity: HostName
    """ID_FQDN, in the certificate as a DNS subject alternative name; also the name of the certificate's file."""
    remote_identity: HostName
    local_selectors: tuple[IPv4Network, ...]
    """The segment of the firewall's own management address first, where it is among them."""
    remote_selectors: tuple[IPv4Network, ...]


def tunnel_states(intent: Intent, firewall: Equipment) -> tuple[TunnelState, ...]:
    """Return this firewall's end of each of its tunnels, sorted by name."""
    states = []
    for tunnel in sorted(intent.tunnels_of(firewall.name), key=lambda tunnel: tunnel.name):
        own, other = tunnel.end_of(firewall.name)
        states.append(
            TunnelState(
                name=tunnel.name,
                initiates=own == tunnel.initiator,
                local_address=own.address,
                remote_address=other.address,
                local_identity=own.identity,
                remote_identity=other.identity,
                local_selectors=own.selectors,
                remote_selectors=other.selectors,
            )
        )
    return tuple(states)
