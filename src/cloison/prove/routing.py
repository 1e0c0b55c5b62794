"""Where the IP stack of a device takes a packet: to itself, out by an interface, or nowhere.

What the Linux kernel does is in net/ipv4/route.c (`ip_route_input_slow`, `ip_route_output_key_hash_rcu`),
net/ipv4/fib_frontend.c (`__fib_validate_source`), net/ipv4/netfilter/nft_fib_ipv4.c and net/ipv6/ip6_input.c,
ip6_output.c. It is shown equal to the kernel's own answers by tests/lab/test_kernel_routing.py.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from cloison.prove import martian
from cloison.prove.fib import Decision, bounds, lookups, rules_of, tables
from cloison.prove.packet import ETHERNET_IPV4, ETHERNET_IPV6, Fragment
from cloison.prove.stack import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cloison.prove.fib import Lookup
    from cloison.prove.packet import Frames
    from cloison.prove.space import Interval, Packet, Region
    from cloison.prove.stack import Address, Network, PolicyRule, Stack, Version
    from cloison.prove.statement import Unmodelled

TYPES: Final[Mapping[int, int]] = {4: ETHERNET_IPV4, 6: ETHERNET_IPV6}


ZERO = {"source": 0, "destination": 0}
"""0.0.0.0 to 0.0.0.0: to the device, as BOOTP had it."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What became of packets that were looked up. The sets are disjoint, but for `unknown`."""

    out: Mapping[str, Region]
    """By the interface that they leave by; the field `interface_out` is as it was."""
    gateways: Mapping[tuple[str, Address | None], Region]
    """The same, by interface and gateway; None where the destination itself is the neighbour."""
    local: Region
    """Delivered to the device itself."""
    dropped: Region
    """No route, blackhole, unreachable, prohibit; no forwarding."""
    unknown: Region
    """What a statement decides that is not modelled, or may decide: it may go anywhere or nowhere."""
    reasons: tuple[Unmodelled, ...]


class View(NamedTuple):
    """How the kernel fills in the question that it asks its tables (`struct flowi4`)."""

    source: str
    destination: str
    source_port: str
    destination_port: str
    sent: bool
    """True where the packet counts as one that the device itself sends: every question but that of forwarding."""
    protocol: bool = True
    """False where the question names no protocol and no port."""


RECEIVED: Final = View("source", "destination", "source_port", "destination_port", sent=False)
SENT: Final = RECEIVED._replace(sent=True)
BACK: Final = View("destination", "source", "destination_port", "source_port", sent=True)
"""Source validation: as if the device itself answered."""
FIB: Final = BACK._replace(protocol=False)
"""`fib saddr` of nft: the same, with the addresses alone."""


class Outcome(NamedTuple):
    """What a lookup ends with."""

    kind: str
    """`unicast`, `local`, `broadcast`, `blackhole`…; `unknown`; `none` where nothing matches."""
    interface: str = ""
    via: Address | None = None
    reason: Unmodelled | None = None


class Routing:
    """The stack of one device, with its tunnels in one state."""

    def __init__(self, frames: Frames, stack: Stack, tunnel_routes: Mapping[str, Sequence[Network]]) -> None:
        """Take the prefixes behind each tunnel interface that is up, `{"ipsec0": …}`.

        While the IKE daemon runs, the interface is there, even with no prefix; without it the mapping is empty.
        """
        self.stack = stack
        self.links = stack.up | tunnel_routes.keys()
        """The interfaces, but for the loopback, that packets can come in by."""
        self._frames = frames
        self._tunnel_routes = tunnel_routes
        self._outcomes: dict[tuple[Version, View], dict[Outcome, Region]] = {}

    # --- settings ---------------------------------------------------------------------------------------------------

    def _setting(self, version: Version, interface: str, name: str) -> int:
        later = interface in self._tunnel_routes
        return self.stack.for_interface(version, interface, name, made_later=later)

    def source_validation(self, interface: str) -> int:
        """Return rp_filter of an interface: 0 none, 1 strict, 2 loose; the higher of its own and that of `all`."""
        everywhere = self.stack.setting("net.ipv4.conf.all.rp_filter")
        return max(everywhere, self._setting(4, interface, "rp_filter"))

    def speaks(self, version: Version, interface: str) -> bool:
        """Tell whether an interface takes packets of a family."""
        if version == 4:  # noqa: PLR2004  the family
            return True
        return not self._setting(6, interface, "disable_ipv6")

    @cached_property
    def versions(self) -> tuple[Version, ...]:
        """The families that at least one interface speaks."""
        return (4, 6) if any(self.speaks(6, link) for link in self.links) else (4,)

    def forwards(self, version: Version) -> bool:
        """Tell whether the device forwards packets of a family at all."""
        return bool(self.stack.setting("net.ipv4.ip_forward" if version == 4 else "net.ipv6.conf.all.forwarding"))  # noqa: PLR2004  the family

    # --- what becomes of packets ------------------------------------------------------------------------------------

    def local(self) -> Region:
        """Return the packets that are delivered to the device itself, whatever interface they come in by.

        Its own addresses on any interface (the weak host model of RFC 1122 section 3.3.4.2), the broadcast addresses,
        multicast. What `refused` holds is not taken away.
        """
        regions = [self._to_many(version) for version in self.versions]
        for version in self.versions:
            outcomes = self.outcomes(version, RECEIVED)
            regions += [region for outcome, region in outcomes.items() if outcome.kind in {"local", "broadcast"}]
        return self._frames.union(regions)

    def _to_many(self, version: Version) -> Region:
        """Return multicast, limited broadcast, and what goes to addresses of IPv6 that every interface has itself."""
        many = self._frames.box(ethernet_type=TYPES[version], destination=martian.TO_MANY[version])
        return many | self._frames.box(ethernet_type=TYPES[version], **ZERO)

    def forwarded(self, packets: Region) -> Forwarded:
        """Return what becomes of packets that came in by `interface_in`; what `refused` holds is not taken away."""
        result = _Sorting(self._frames, packets, self.stack.opaque)
        for version in self.versions:
            result.delivered(self._to_many(version))
            forwards = self.forwards(version)
            staying = martian.never_forwarded(self._frames, version)
            for outcome, region in self.outcomes(version, RECEIVED).items():
                result.add(outcome, region - staying if outcome.kind == "unicast" else region, forwards=forwards)
        return result.result()

    def emitted(self, packets: Region) -> Forwarded:
        """Return what becomes of packets that the device itself sends, their source already chosen.

        Multicast and limited broadcast leave by the interface that has their source for its address.
        """
        result = _Sorting(self._frames, packets, self.stack.opaque)
        box = self._frames.box
        for version in self.versions:
            many = box(ethernet_type=TYPES[version], destination=martian.TO_MANY[version])
            for own in self.stack.own(version):
                if own.interface in self.links:
                    result.add(Outcome("unicast", own.interface), many & box(source=int(own.address.ip)))
            result.delivered(box(ethernet_type=TYPES[version], destination=0))
            result.left -= many
            for outcome, region in self.outcomes(version, SENT).items():
                sent = outcome._replace(kind="unicast") if outcome.kind == "broadcast" else outcome
                result.add(sent, region)
        return result.result()

    def deciding(self, packet: Packet, *, sent: bool = False) -> Decision | None:
        """Return the rule and the route that decide about one packet; None where none does and it is dropped.

        `sent` for a packet of the device itself. Multicast and limited broadcast are not looked up.
        """
        version: Version = 6 if packet["ethernet_type"] == ETHERNET_IPV6 else 4
        view = SENT if sent else RECEIVED
        for lookup in self._lookups.get(version, ()):
            selected = self._selected(lookup.rule, version, view)
            if selected is None or packet not in selected:
                continue
            if found := lookup.at(packet[view.destination]):
                return found
        return None

    # --- what the kernel refuses ------------------------------------------------------------------------------------

    def refused(self) -> Region:
        """Return the received packets that the kernel drops before any rule for forwarded or delivered ones.

        Those of an interface that is down or does not speak their family; a source or a destination that cannot be
        (RFC 1812 section 5.3.7); an address of the device itself as source; a source that fails the validation of
        rp_filter (RFC 3704). Only IP: no other frame is in it. A source whose route is not modelled is not in it.
        """
        box, ip = self._frames.box, self._frames.ip
        accepted = [ip & box(interface_in=self._frames.interfaces.number(LOOPBACK))]
        for version in self.versions:
            links = [link for link in sorted(self.links) if self.speaks(version, link)]
            by_link = [self._valid(version, link) for link in links]
            accepted.append(self._frames.union(by_link) - martian.refused(self._frames, version))
        return ip - self._frames.union(accepted)

    def _valid(self, version: Version, link: str) -> Region:
        """Return the packets that come in by a link and whose source may."""
        arriving = self._frames.box(ethernet_type=TYPES[version], interface_in=self._frames.interfaces.number(link))
        if version == 6:  # noqa: PLR2004  the family: it has no source validation
            return arriving
        mode = self.source_validation(link)
        has_address = any(own.interface == link for own in self.stack.own(4))
        allowed = []
        for outcome, region in self.outcomes(4, BACK).items():
            match outcome.kind:
                case "unicast":
                    valid = outcome.interface == link or mode == 0 or (mode > 1 and has_address)
                case "local" | "broadcast" | "multicast":
                    valid = False
                case "unknown":
                    valid = True
                case _:
                    valid = mode == 0
            allowed += [region] if valid else []
        unspecified = martian.unspecified_source(self._frames)
        return arriving & self._frames.union([*allowed, unspecified])

    def unverified(self) -> Region:
        """Return the packets for which `fib saddr . iif oif missing` of nft holds where they come in.

        That is: no route leads back to the source by the interface it came in by. A local address as source has none;
        the default route counts. nft asks with the addresses alone, so rules for a protocol or a port do not match.
        """
        box, ip = self._frames.box, self._frames.ip
        found = [ip & box(interface_in=self._frames.interfaces.number(LOOPBACK))]
        for version in self.versions:
            by_link: defaultdict[str, list[Region]] = defaultdict(list)
            for outcome, region in self.outcomes(version, FIB).items():
                if outcome.kind == "unknown":
                    found.append(region)
                elif outcome.kind in {"unicast", "broadcast"}:
                    by_link[outcome.interface].append(region)
            for link in sorted(self.links):
                by_link[link].append(martian.never_missing(self._frames, version))
                here = box(interface_in=self._frames.interfaces.number(link), ethernet_type=TYPES[version])
                found.append(self._frames.union(by_link[link]) & here)
        return ip - self._frames.union(found)

    # --- lookups ----------------------------------------------------------------------------------------------------

    @cached_property
    def _lookups(self) -> Mapping[Version, list[Lookup]]:
        found: dict[Version, list[Lookup]] = {}
        for version in self.versions:
            rules = rules_of(self.stack, version, tunnels=bool(self._tunnel_routes))
            found[version] = lookups(rules, tables(self.stack, version, self._tunnel_routes), version)
        return found

    def outcomes(self, version: Version, view: View) -> dict[Outcome, Region]:
        """Return the packets of each outcome of a lookup; every packet of the family is in one of them."""
        key = (version, view)
        if key not in self._outcomes:
            rules = [*self._rules(version, view), (self._frames.box(ethernet_type=TYPES[version]), Outcome("none"))]
            self._outcomes[key] = self._frames.first_match(rules)
        return self._outcomes[key]

    def _rules(self, version: Version, view: View) -> Iterator[tuple[Region, Outcome]]:
        of_family = self._frames.box(ethernet_type=TYPES[version])
        for lookup in self._lookups[version]:
            selected = self._selected(lookup.rule, version, view)
            if selected is None:
                continue
            intervals: defaultdict[Outcome, list[Interval]] = defaultdict(list)
            for span in lookup.spans:
                intervals[_outcome(span.decision)].append((span.first, span.last))
            for outcome, of in intervals.items():
                inside = frozenset(of)
                here = of_family & self._frames.box(**{view.destination: inside})
                yield here & selected, outcome

    def _selected(self, rule: PolicyRule, version: Version, view: View) -> Region | None:
        """Return the packets that a rule matches in a view; None where it matches none."""
        if not rule.selective:
            return self._frames.everything
        if rule.interface_in and (rule.interface_in == LOOPBACK) is not view.sent:
            return None
        if (rule.interface_out and view is not SENT) or (rule.protocol is not None and not view.protocol):
            return None
        values: dict[str, int | Interval] = {}
        if rule.interface_in and not view.sent:
            values["interface_in"] = self._frames.interfaces.number(rule.interface_in)
        if rule.protocol is not None:
            values["protocol"] = rule.protocol
        for field, ports in ((view.source_port, rule.source_ports), (view.destination_port, rule.destination_ports)):
            if ports:
                values |= {field: ports, "fragment": Fragment.WHOLE}  # of a fragment, no port is looked at
        selected = self._frames.box(**values)
        return selected & self._from(rule.source, version, view) if rule.source else selected

    def _from(self, network: Network, version: Version, view: View) -> Region:
        """Return the packets whose source, as the question has it, is in a network.

        Where the device would answer to many, the kernel asks with no source: it puts 0 there.
        """
        inside = self._frames.box(**{view.source: bounds(network)})
        if view.source == "source" or version == 6:  # noqa: PLR2004  the family: of IPv6, only `fib` asks backwards
            return inside
        as_zero = self._frames.box(destination=martian.AS_ZERO if view is FIB else martian.TO_MANY[4])
        if view is BACK:
            broadcast = (
                region for outcome, region in self.outcomes(4, RECEIVED).items() if outcome.kind == "broadcast"
            )
            as_zero |= self._frames.union(broadcast)
        return (inside - as_zero) | as_zero if bounds(network)[0] == 0 else inside - as_zero


def _outcome(decision: Decision) -> Outcome:
    if decision.unmodelled:
        return Outcome("unknown", reason=decision.unmodelled)
    hops = decision.route.hops if decision.route else ()
    if not hops or decision.kind not in {"unicast", "broadcast"}:
        return Outcome(decision.kind)
    return Outcome(decision.kind, hops[0].interface, hops[0].via if len(hops) == 1 else None)


class _Sorting:
    """Sorts packets by what becomes of them."""

    def __init__(self, frames: Frames, packets: Region, opaque: tuple[Unmodelled, ...]) -> None:
        self.left = packets
        """What was not yet sorted before the lookups, which are disjoint."""
        self._frames = frames
        self._packets = packets
        self._out: defaultdict[tuple[str, Address | None], Region] = defaultdict(lambda: frames.nothing)
        self._local = frames.nothing
        self._unknown = packets if opaque else frames.nothing
        self._reasons = list(opaque)

    def delivered(self, region: Region) -> None:
        """Take packets that are the device's before anything is looked up."""
        self._local |= self.left & region
        self.left -= region

    def add(self, outcome: Outcome, region: Region, *, forwards: bool = True) -> None:
        """Take the packets of one outcome of a lookup."""
        here = self.left & region
        if not here:
            return
        if outcome.reason:
            self._unknown |= here
            self._reasons.append(outcome.reason)
        elif outcome.kind in {"local", "broadcast"}:
            self._local |= here
        elif outcome.kind == "unicast" and forwards:
            self._out[outcome.interface, outcome.via] |= here

    def result(self) -> Forwarded:
        """Return the packets sorted; what is nowhere else is dropped."""
        out: defaultdict[str, Region] = defaultdict(lambda: self._frames.nothing)
        for (interface, _), region in self._out.items():
            out[interface] |= region
        passed = self._frames.union([*out.values(), self._local, self._unknown])
        reasons = tuple(dict.fromkeys(self._reasons))
        return Forwarded(dict(out), dict(self._out), self._local, self._packets - passed, self._unknown, reasons)
