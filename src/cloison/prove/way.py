"""The way of one packet, hop by hop, in words: what decides at each device, to where it arrives or dies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloison.prove.answer import Hop
from cloison.prove.bridge import Bridge, Step
from cloison.prove.emission import number_of
from cloison.prove.fib import bounds
from cloison.prove.firewall import TUNNEL_INTERFACE
from cloison.prove.packet import ETHERNET_IPV6, LINK_FIELDS, UNTAGGED
from cloison.prove.places import WAN, out_of_tunnel
from cloison.prove.words import text

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from cloison.intent.network import Site
    from cloison.prove.answer import TunnelsAre
    from cloison.prove.bridge import Hub
    from cloison.prove.filter import Filter
    from cloison.prove.ground import Arrival, Ground
    from cloison.prove.network import Network
    from cloison.prove.ruleset import Hook
    from cloison.prove.space import Packet, Region
    from cloison.prove.statement import Statement
    from cloison.prove.tunnel import End

_ARRIVED: Final = "arrives"
_ATTACHED: Final = ("interface_in", "interface_out", "connection")
_STATION: Final = 0x020000000001
"""Some unicast address: what the firewall's own is, no configuration says."""
_PLACES: Final = ("sender", "receiver")


@dataclass(frozen=True, slots=True)
class Way:
    """The hops, and the frame that was sent."""

    hops: tuple[Hop, ...]
    sent: Packet
    """The packet with the fields of its frame, as it leaves its sender."""
    arrives: bool


def hop(device: str, what: str, statement: Statement | None = None) -> Hop:
    """Return a hop with the statement that decides there."""
    if statement is None:
        return Hop(device, what)
    return Hop(device, what, statement.place, statement.text.shown(300))


class Tracing:
    """Follows one packet through a network, with its tunnels in one state."""

    def __init__(self, network: Network, tunnels: TunnelsAre) -> None:
        self.network = network
        self.frames = network.frames
        self.tunnels = tunnels
        self._sites = network.prover.intent.sites

    def way(self, sender: str, receiver: str, packet: Mapping[str, int]) -> Way:
        """Return the way of a packet, whose link fields may be any, from one place towards another."""
        packet = dict(packet)
        if sender == WAN:
            return self._from_wide_area(receiver, packet)
        for site in self._sites:
            outside = dict(self.network.outside(site))
            outside[out_of_tunnel(site.name)] = TUNNEL_INTERFACE
            if sender in outside and sender != WAN:
                return self._from_router(site, receiver, packet, outside[sender])
            if sender == str(site.firewall.name):
                return self._from_router(site, receiver, packet, None)
            starts = list(self.network.prover.below(site, self.network.running).starts(sender))
            if starts:
                return self._from_port(site, starts, sender, receiver, packet)
        return Way((Hop(sender, "is no place that packets are sent from"),), packet, arrives=False)

    def _from_wide_area(self, receiver: str, packet: Packet) -> Way:
        """Follow a packet from the WAN by the receiver's own site, or by whichever lets it through to the receiver."""
        near = receiver.partition("/")[0]
        ways = (
            self._from_router(site, receiver, packet, interface)
            for site in sorted(self._sites, key=lambda one: one.name != near)
            for place, interface in self.network.outside(site)
            if place == WAN
        )
        first = next(ways, Way((Hop(WAN, "no firewall has its address on this network"),), packet, arrives=False))
        return first if first.arrives else next((way for way in ways if way.arrives), first)

    def _from_router(self, site: Site, receiver: str, packet: Packet, interface: str | None) -> Way:
        hops = tuple(self._routed(site, receiver, packet, interface))
        return Way(hops, packet, arrives=bool(hops) and hops[-1].what.startswith(_ARRIVED))

    # --- between switches -------------------------------------------------------------------------------------------

    def _from_port(
        self, site: Site, starts: list[tuple[Arrival, Region]], sender: str, receiver: str, packet: Packet
    ) -> Way:
        """Follow a packet from the port of a switch, as the frame that gets farthest."""
        ground = self.network.prover.below(site, self.network.running).ground
        fixed = {name: value for name, value in packet.items() if name not in (*LINK_FIELDS, *_PLACES, *_ATTACHED)}
        best: Way | None = None
        state = self.frames.box(connection=packet["connection"])
        for arrival, region in starts:
            carrying = region & self.frames.box(**fixed)
            for sent in self._candidates(site, sender, carrying & state or carrying):
                hops = tuple(self._switched(site, ground, arrival, receiver, sent))
                way = Way((Hop(sender, f"sends {text(sent)}"), *hops), sent, hops[-1].what.startswith(_ARRIVED))
                if way.arrives:
                    return way
                best = way if best is None or len(way.hops) > len(best.hops) else best
        return best or Way((Hop(sender, "cannot send such a packet"),), packet, arrives=False)

    def _candidates(self, site: Site, sender: str, region: Region) -> Iterator[Packet]:
        """Yield frames that carry a packet, the plainest first: by tags, then by the MAC addresses it may claim."""
        sources = region.values("source")
        speaking = [one for one in site.equipment if one.name == sender]
        speaking += [one for one in site.equipment if one.address and (int(one.address), int(one.address)) in sources]
        macs = [self.frames.box(mac_source=number_of(one.mac)) for one in speaking if one.mac is not None]
        station = self.frames.box(mac_destination=_STATION)
        vlans = sorted({segment.vlan for segment in site.segments})
        tags = [(UNTAGGED, UNTAGGED), (0, UNTAGGED), *((vlan, UNTAGGED) for vlan in vlans)]
        tags += [(one, two) for one in (0, *vlans) for two in (0, *vlans)]
        for tag, inner in tags:
            if these := region & self.frames.box(tag=tag, inner_tag=inner):
                yield from (these.witness(mac, station) for mac in macs or [self.frames.everything])

    def _switched(self, site: Site, ground: Ground, arrival: Arrival, receiver: str, packet: Packet) -> Iterator[Hop]:
        """Follow a frame from bridge to bridge, to the receiver or a router; or the branch that got farthest."""
        branches: list[tuple[Arrival, Packet, tuple[Hop, ...]]] = [(arrival, packet, ())]
        seen: set[Arrival] = set()
        dead: tuple[Hop, ...] = ()
        while branches:
            (name, port), frame, hops = branches.pop(0)
            if (name, port) in seen:
                continue
            seen.add((name, port))
            if not ground.has((name, port)):
                dead = max(dead, (*hops, Hop(str(name), f"it has no port {port}")), key=len)
                continue
            bridge = ground.bridge(name)
            said = [
                hop(str(name), f"port {port}: {one.what}", one.statement) for one in self._said(bridge, port, frame)
            ]
            for leaving, region in bridge.through(port, self.frames.box(**frame)).out.items():
                where, bridged = ground.across(name, leaving)
                onward = (*hops, *said)
                if bridged:
                    branches.append((where, region.witness(), onward))
                elif where[0] == site.firewall.name and receiver != f"{where[0]}:{where[1]}":
                    yield from (*onward, *self._routed(site, receiver, region.witness(), where[1]))
                    return
                elif receiver in (str(where[0]), f"{where[0]}:{where[1]}"):
                    yield from (*onward, Hop(receiver, f"{_ARRIVED} as {text(region.witness())}"))
                    return
            dead = max(dead, (*hops, *said), key=len)
        yield from dead or (Hop(str(arrival[0]), "goes nowhere"),)

    @staticmethod
    def _said(bridge: Bridge | Hub, port: str, frame: Packet) -> tuple[Step, ...]:
        if isinstance(bridge, Bridge):
            return bridge.deciding(port, frame)
        return (Step("an unmanaged switch sends it to every other port"),)

    # --- through routers --------------------------------------------------------------------------------------------

    def _routed(self, site: Site, receiver: str, packet: Packet, interface: str | None) -> Iterator[Hop]:
        """Follow a packet through the router of a site, and on."""
        firewall = self.network.firewall(site, self.tunnels)
        name, number = str(site.firewall.name), self.frames.interfaces.number
        packet = packet | {"interface_in": number(interface) if interface else 0, "interface_out": 0}
        if interface is not None:
            if packet in firewall.routing.refused():
                yield Hop(name, f"the kernel refuses it on {interface}: its source is not where it should come from")
                return
            if not (yield from self._hook(name, firewall.filter, "prerouting", packet)):
                return
            if packet in firewall.routing.local():
                if (yield from self._hook(name, firewall.filter, "input", packet)):
                    yield Hop(name, f"{_ARRIVED}: it is for the firewall itself")
                return
        yield from self._onwards(site, receiver, packet, interface)

    def _onwards(self, site: Site, receiver: str, packet: Packet, interface: str | None) -> Iterator[Hop]:
        firewall = self.network.firewall(site, self.tunnels)
        name, number = str(site.firewall.name), self.frames.interfaces.number
        decided = firewall.routing.deciding(packet, sent=interface is None)
        one = self.frames.box(**{key: value for key, value in packet.items() if key not in _ATTACHED[1:]})
        routed = firewall.routing.forwarded(one) if interface is not None else firewall.routing.emitted(one)
        leaving = next((out for out, region in routed.out.items() if region), None)
        statement = decided.route.statement if decided is not None and decided.route is not None else None
        if leaving is None:
            yield hop(name, "no route takes it anywhere", statement)
            return
        yield hop(name, f"is routed out by {leaving}", statement)
        packet = packet | {"interface_out": number(leaving)}
        if not (yield from self._hook(name, firewall.filter, "output" if interface is None else "forward", packet)):
            return
        if (yield from self._hook(name, firewall.filter, "postrouting", packet)):
            yield from self._left(site, receiver, packet, leaving)

    def _hook(self, name: str, rules: Filter, at: Hook, packet: Packet) -> Generator[Hop, None, bool]:
        """Yield what the base chains of a hook decide; return whether the packet passes them."""
        passes = True
        for step in rules.steps(at, packet):
            rule = f'rule "{step.comment}"' if step.comment else "a rule"
            by = f"the policy of chain {step.chain}" if step.policy else f"{rule} of chain {step.inside}"
            yield hop(name, f"{at}: {by}: {step.verdict}", step.statement)
            passes = step.verdict == "accept"
        return passes

    def _left(self, site: Site, receiver: str, packet: Packet, interface: str) -> Iterator[Hop]:
        """Follow a packet that has left a router."""
        outside = {leaving: place for place, leaving in self.network.outside(site)}
        if interface == TUNNEL_INTERFACE:
            yield from self._carried(site, receiver, packet)
        elif interface in outside:
            yield Hop(outside[interface], f"{_ARRIVED} in clear, by {interface} of {site.firewall.name}")
        else:
            ground = self.network.prover.below(site, self.network.running).ground
            target = next((one for one in site.equipment if str(one.name) == receiver), None)
            frame = packet | dict.fromkeys(LINK_FIELDS, 0) | {"tag": UNTAGGED, "inner_tag": UNTAGGED}
            if target is not None and target.mac is not None:
                frame["mac_destination"] = int(target.mac.replace(":", ""), 16)
            yield from self._switched(site, ground, (site.firewall.name, interface), receiver, frame)

    def _carried(self, site: Site, receiver: str, packet: Packet) -> Iterator[Hop]:
        """Follow a packet through a tunnel to the router at its other end."""
        name = site.firewall.name
        for association in self.network.associations:
            ends = {association.one.device: association.one, association.other.device: association.other}
            if name not in ends:
                continue
            own = ends.pop(name)
            (other,) = ends.values()
            if _within(packet, "source", own) and _within(packet, "destination", other):
                yield hop(str(name), f"goes into the tunnel {association.name}", own.statement)
                there = next(one for one in self._sites if one.firewall.name == other.device)
                yield from self._routed(there, receiver, packet, TUNNEL_INTERFACE)
                return
        yield Hop(str(name), "no security association carries it")


def _within(packet: Packet, field: str, end: End) -> bool:
    """Tell whether an address of a packet is in the selectors of an end."""
    version = 6 if packet["ethernet_type"] == ETHERNET_IPV6 else 4
    selectors = (bounds(network) for network in end.selectors if network.version == version)
    return any(low <= packet[field] <= high for low, high in selectors)
