"""Where the IP stack of a device takes a packet: to itself, out by an interface, or nowhere.

What the Linux kernel does is in net/ipv4/route.c (`ip_route_input_slow`, `ip_route_output_key_hash_rcu`),
net/ipv4/fib_frontend.c (`__fib_validate_source`), net/ipv4/netfilter/nft_fib_ipv4.c and net/ipv6/ip6_input.c,
ip6_output.c. It is shown equal to the kernel's own answers by tests/lab/test_kernel_routing.py.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from cloison.prove import martian
from cloison.prove.fib import bounds, chained, lookup_of, rules_of, tables
from cloison.prove.forwarded import NO_ROUTE, Forwarded, Outcome, Sorting, intervals
from cloison.prove.packet import ETHERNET_IPV4, ETHERNET_IPV6, Fragment
from cloison.prove.stack import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cloison.prove.fib import Decision, Lookup
    from cloison.prove.packet import Frames
    from cloison.prove.space import Interval, Packet, Region
    from cloison.prove.stack import Network, PolicyRule, Stack, Version

TYPES: Final[Mapping[int, int]] = {4: ETHERNET_IPV4, 6: ETHERNET_IPV6}


ZERO = {"source": 0, "destination": 0}
"""0.0.0.0 to 0.0.0.0: to the device, as BOOTP had it."""

ONLY: Final[Mapping[int, frozenset[Interval]]] = {version: frozenset({(of, of)}) for version, of in TYPES.items()}


class View(NamedTuple):
    """How the kernel fills in the question that it asks its tables (`struct flowi4`)."""

    source: str
    destination: str
    source_port: str
    destination_port: str
    way: Literal["received", "sent", "back", "fib"]
    protocol: bool = True
    """False where the question names no protocol and no port."""


RECEIVED: Final = View("source", "destination", "source_port", "destination_port", "received")
SENT: Final = RECEIVED._replace(way="sent")
BACK: Final = View("destination", "source", "destination_port", "source_port", "back")
"""Source validation: the way back."""
FIB: Final = BACK._replace(way="fib", protocol=False)
"""`fib saddr` of nft: the same, with the addresses alone, and as if the device itself answered."""


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
        self._chains: dict[tuple[int, ...], tuple[Lookup, ...]] = {}
        self._intervals: dict[tuple[int, bool], dict[Outcome, frozenset[Interval]]] = {}
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
        result = Sorting(self._frames, packets, self.stack.opaque)
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
        result = Sorting(self._frames, packets, self.stack.opaque)
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
            selected = self._selected(lookup.rule, version, view) if _asked(lookup.rule, view) else self._frames.nothing
            if selected is not None and packet not in selected:
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

    def _back(self) -> View:
        """Return how sources are validated: protocol and ports count as soon as a rule for received packets has any.

        Only then does the kernel look into the packet (`fib_rule_requires_fldissect` of include/net/fib_rules.h).
        """
        received = (rule for rule in self.stack.rules if rule.version == 4 and rule.interface_in != LOOPBACK)  # noqa: PLR2004  the family
        return BACK._replace(protocol=any(rule.looks_inside for rule in received))

    def _valid(self, version: Version, link: str) -> Region:
        """Return the packets that come in by a link and whose source may."""
        arriving = self._frames.box(ethernet_type=TYPES[version], interface_in=self._frames.interfaces.number(link))
        if version == 6:  # noqa: PLR2004  the family: it has no source validation
            return arriving
        mode = self.source_validation(link)
        has_address = any(own.interface == link for own in self.stack.own(4))
        allowed = []
        for outcome, region in self.outcomes(4, self._back()).items():
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
        looked_up = self._frames.union([*allowed, self._frames.box(source=martian.NOBODY)])
        return arriving & (looked_up if mode else looked_up | self._unchecked(link))

    def _unchecked(self, link: str) -> Region:
        """Return the packets of IPv4 that are valid without a lookup, where there is no rp_filter.

        While nobody has made a rule, only the addresses of the device are looked for; but a packet that leaves by the
        link it came in by is validated in full wherever the device sends redirects.
        """
        if self._tunnel_routes or any(rule.version == 4 for rule in self.stack.rules):  # noqa: PLR2004  the family
            return self._frames.nothing
        own = {(address, address) for address in (int(own.address.ip) for own in self.stack.own(4))}
        unchecked = ~self._frames.box(source=frozenset({martian.LOCALHOST, *own}))
        names = (f"net.ipv4.conf.{scope}.send_redirects" for scope in ("all", link))
        redirects = any(self.stack.setting(name, default=1) for name in names)
        return unchecked - self._leaving(link, 4) if redirects else unchecked

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
            by_table = tables(self.stack, version, self._tunnel_routes)
            rules = rules_of(self.stack, version, tunnels=bool(self._tunnel_routes))
            found[version] = [lookup_of(rule, by_table) for rule in rules]
        return found

    def _chain(self, version: Version, view: View) -> tuple[Lookup, ...]:
        """Return what the rules that can match in a view decide, in order. Most views have the same: it is kept."""
        asked = [lookup for lookup in self._lookups[version] if _asked(lookup.rule, view)]
        key = (version, *(id(lookup) for lookup in asked))
        if key not in self._chains:
            self._chains[key] = chained(asked)
        return self._chains[key]

    def outcomes(self, version: Version, view: View) -> dict[Outcome, Region]:
        """Return the packets of each outcome of a lookup; every packet of the family is in one of them."""
        key = (version, view)
        if key not in self._outcomes:
            rules = list(self._rules(version, view))
            disjoint = len(self._chain(version, view)) <= 1  # as the spans of one lookup are
            if disjoint:
                self._outcomes[key] = {outcome: region for region, outcome in rules}
            else:
                self._outcomes[key] = self._frames.first_match(rules)
        return self._outcomes[key]

    def _rules(self, version: Version, view: View) -> Iterator[tuple[Region, Outcome]]:
        """Yield the packets of each outcome, where it was not another one before; what is left, last."""
        chain = self._chain(version, view)
        for lookup in chain:
            selected = self._selected(lookup.rule, version, view)
            key = (id(lookup), len(chain) == 1)
            if key not in self._intervals:
                self._intervals[key] = intervals(lookup, version, gaps=len(chain) == 1)
            for outcome, inside in self._intervals[key].items():
                here = self._frames.box(**{view.destination: inside, "ethernet_type": ONLY[version]})
                yield (here if selected is None else here & selected), outcome
        if len(chain) != 1:
            yield self._frames.box(ethernet_type=TYPES[version]), NO_ROUTE

    def _selected(self, rule: PolicyRule, version: Version, view: View) -> Region | None:
        """Return the packets that a rule matches in a view in which it is asked; None for all of them."""
        if not rule.selective:
            return None
        values: dict[str, int | Interval] = {}
        if rule.interface_in and view.way == "received":
            values["interface_in"] = self._frames.interfaces.number(rule.interface_in)
        if rule.destination:
            values[view.destination] = bounds(rule.destination)
        if rule.protocol is not None:
            values["protocol"] = rule.protocol
        for field, ports in ((view.source_port, rule.source_ports), (view.destination_port, rule.destination_ports)):
            if ports:
                values |= {field: ports, "fragment": Fragment.WHOLE}  # of a fragment, no port is looked at
        selected = self._frames.box(**values)
        if rule.interface_in and view.way == "back":
            selected &= self._leaving(rule.interface_in, version)
        return selected & self._from(rule.source, version, view) if rule.source else selected

    def _leaving(self, interface: str, version: Version) -> Region:
        """Return the received packets that leave by an interface; with the loopback, those that leave by none.

        Source validation asks as if the answer came in by where the packet leaves, or were the device's own.
        """
        received = self.outcomes(version, RECEIVED).items()
        if interface == LOOPBACK:
            return self._frames.union(region for outcome, region in received if outcome.kind != "unicast")
        leaving = (region for outcome, region in received if outcome[:2] == ("unicast", interface))
        return self._frames.union(leaving)

    def _from(self, network: Network, version: Version, view: View) -> Region:
        """Return the packets whose source, as the question has it, is in a network.

        Where the device would answer to many, the kernel asks with no source: it puts 0 there.
        """
        inside = self._frames.box(**{view.source: bounds(network)})
        if view.source == "source" or version == 6:  # noqa: PLR2004  the family: of IPv6, only `fib` asks backwards
            return inside
        as_zero = self._frames.box(destination=martian.AS_ZERO if view.way == "fib" else martian.TO_MANY[4])
        if view.way == "back":
            broadcast = (
                region for outcome, region in self.outcomes(4, RECEIVED).items() if outcome.kind == "broadcast"
            )
            as_zero |= self._frames.union(broadcast)
        return (inside - as_zero) | as_zero if bounds(network)[0] == 0 else inside - as_zero


def _asked(rule: PolicyRule, view: View) -> bool:
    """Tell whether there are packets that a rule matches in a view."""
    if rule.interface_in and view.way != "back" and (rule.interface_in == LOOPBACK) is (view.way == "received"):
        return False
    return (not rule.interface_out or view.way == "sent") and (view.protocol or not rule.looks_inside)
