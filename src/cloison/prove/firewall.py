"""One firewall as a router: what becomes of packets that come to its interfaces, and of those that it sends itself.

The order is the kernel's (netfilter's diagram of hooks; ip(7)): what no interface may bring is refused, prerouting, the
routing decision, input or forward, postrouting; for its own packets the routing decision, output, postrouting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloison.prove.filter import Filter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.model import EquipmentName
    from cloison.prove.configuration import Running
    from cloison.prove.packet import Frames
    from cloison.prove.routing import Routing
    from cloison.prove.space import Region
    from cloison.prove.statement import Unmodelled
    from cloison.prove.tunnel import Carried

TUNNEL_INTERFACE: Final = "ipsec0"
"""The TUN interface of strongSwan's kernel-libipsec, as this platform names it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What became of packets at a firewall."""

    out: Mapping[str, Region]
    """What leaves, by interface; out of the tunnel interface, what some security association carries."""
    local: Region
    """What is delivered to the firewall itself."""
    unknown: tuple[tuple[Unmodelled, Region], ...]
    """Packets that a statement which is not modelled decides about."""


class Firewall:
    """The network stack of one firewall."""

    def __init__(self, frames: Frames, running: Running, routing: Routing, carried: Carried) -> None:
        self.device: EquipmentName = running.device
        self.routing = routing
        self._frames = frames
        self._refused = routing.refused()
        self._local = routing.local()
        self._outbound = frames.union(carried.outbound(running.device).values())
        self.inbound = carried.inbound(running.device)
        """The inner packets that can come out of its tunnels."""
        self.filter = Filter(frames, running.filter, {"fib saddr . iif oif": routing.unverified()})

    def receive(self, packets: Region) -> Passage:
        """Return what becomes of packets that come in, each with its `interface_in`."""
        seen = self.filter.through("prerouting", packets - self._refused)
        unknown = [(reason, seen.unknown) for reason in seen.reasons]
        local = self.filter.through("input", seen.accepted & self._local & self._frames.box(interface_out=0))
        unknown += [(reason, local.unknown) for reason in local.reasons]
        routed = self.routing.forwarded(seen.accepted - self._local)
        unknown += [(reason, routed.unknown) for reason in routed.reasons]
        through = self.filter.through("forward", self._leaving(routed.out))
        unknown += [(reason, through.unknown) for reason in through.reasons]
        out, more = self._sent(through.accepted, tuple(routed.out))
        return Passage(out, local.accepted, _affected([*unknown, *more]))

    def emit(self, packets: Region) -> Passage:
        """Return what becomes of packets that the firewall itself sends."""
        routed = self.routing.emitted(packets)
        unknown = [(reason, routed.unknown) for reason in routed.reasons]
        leaving = self._leaving(routed.out) & self._frames.box(interface_in=0)
        through = self.filter.through("output", leaving)
        unknown += [(reason, through.unknown) for reason in through.reasons]
        out, more = self._sent(through.accepted, tuple(routed.out))
        return Passage(out, self._frames.nothing, _affected([*unknown, *more]))

    def _leaving(self, out: Mapping[str, Region]) -> Region:
        """Return packets with the interface that they are to leave by."""
        number = self._frames.interfaces.number
        return self._frames.union(
            packets & self._frames.box(interface_out=number(name)) for name, packets in out.items()
        )

    def _sent(
        self, packets: Region, interfaces: tuple[str, ...]
    ) -> tuple[dict[str, Region], list[tuple[Unmodelled, Region]]]:
        """Return what passes postrouting, by interface, without what the firewall attached to it."""
        seen = self.filter.through("postrouting", packets)
        out = {}
        for name in interfaces:
            leaving = seen.accepted & self._frames.box(interface_out=self._frames.interfaces.number(name))
            if name == TUNNEL_INTERFACE:
                leaving &= self._outbound
            if leaving:
                out[name] = leaving.without("interface_in", "interface_out")
        return out, [(reason, seen.unknown) for reason in seen.reasons]


def _affected(unknown: list[tuple[Unmodelled, Region]]) -> tuple[tuple[Unmodelled, Region], ...]:
    return tuple((reason, region) for reason, region in unknown if region)
