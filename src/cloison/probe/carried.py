"""Which authorised flows a tunnel carries: those between addresses that its selectors hold. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloison.flow import Flow
    from cloison.intent.network import Intent, Tunnel, TunnelEnd


def flows_between(intent: Intent, sender: TunnelEnd, receiver: TunnelEnd) -> tuple[Flow, ...]:
    """Return the flows that one end may send to the other, through a tunnel with their selectors."""
    return tuple(
        flow
        for flow in intent.flows
        if any(flow.source.address in prefix for prefix in sender.selectors)
        and any(flow.destination.address in prefix for prefix in receiver.selectors)
    )


def flows_through(intent: Intent, tunnel: Tunnel) -> tuple[Flow, ...]:
    """Return the flows that a tunnel carries, in either direction."""
    there = flows_between(intent, tunnel.initiator, tunnel.responder)
    return (*there, *flows_between(intent, tunnel.responder, tunnel.initiator))
