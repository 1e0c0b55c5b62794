"""The whole network: sites joined by tunnels and the wide-area network, in one set of packets from place to place.

Nothing is asked pair by pair. The packets carry the place they were sent from and the place they are heard at, so one
product of "what the sites let out into tunnels" with "what the sites let in from tunnels" holds every pair of places
of every pair of sites, and one difference with the question holds every leak.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from cloison.errors import InputError
from cloison.prove.answer import TunnelsAre
from cloison.prove.configuration import Reading
from cloison.prove.continued import Continued
from cloison.prove.emission import Emission
from cloison.prove.firewall import TUNNEL_INTERFACE, Firewall
from cloison.prove.lifelines import Lifelines
from cloison.prove.likeness import Exchange, Shapes, Unlike
from cloison.prove.packet import LINK_FIELDS, Frames
from cloison.prove.places import WAN, Places, out_of_tunnel, technician
from cloison.prove.port_security import PortSecurity
from cloison.prove.question import Question
from cloison.prove.routing import Routing
from cloison.prove.site import Below, SiteBelow
from cloison.prove.stack import LOOPBACK
from cloison.prove.statement import Unmodelled
from cloison.prove.tunnel import Carried, agreed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cloison.intent.network import Intent, Site
    from cloison.model import EquipmentName, Name
    from cloison.prove.configuration import Configurations, Running
    from cloison.prove.firewall import Passage
    from cloison.prove.likeness import Shape
    from cloison.prove.space import Region
    from cloison.prove.statement import Notice
    from cloison.prove.tunnel import SecurityAssociation
    from cloison.prove.tunnels import Address, Connections

_MOST_TUNNELS_ON_A_WAY = 4
"""Beyond that many the same packets come round again; a way through more is a loop."""
_OF_PAIRS = "tunnels"
"""The section that is no matter of one site: what two ends agree on is found from all of them."""
_LOOSE = "net.netfilter.nf_conntrack_tcp_loose"


@dataclass(frozen=True, slots=True)
class Reach:
    """Every packet that gets anywhere, in one state of the tunnels."""

    total: Region
    """IP packets, with sender, receiver and the state of their connection."""
    direct: Region
    """Frames that are heard without having met a router."""
    unknown: tuple[tuple[Unmodelled, Region], ...]

    def undetermined(self) -> Region:
        """Return the packets, whoever sends and hears them, that some statement which is not modelled decides about."""
        attached = ("sender", "receiver", "interface_in", "interface_out", *LINK_FIELDS)
        return self.total.space.union(region.without(*attached) for _, region in self.unknown)


@dataclass(frozen=True, slots=True)
class Through:
    """What one site does with packets, by itself."""

    delivered: Region
    """Packets with sender and receiver, both of this site, or with its tunnels' end as the sender."""
    into_tunnels: Region
    """Packets with the sender that leave into some tunnel."""
    direct: Region
    """Frames that are heard without having met the router."""
    unresolved: frozenset[str]
    """See Below."""
    notices: tuple[Notice, ...]
    """What keeps tunnels that are up from carrying anything."""
    doubts: tuple[Unmodelled, ...]
    """Selectors that two tunnels have."""
    unknown: tuple[tuple[Unmodelled, Region], ...]

    def exchanged(self, exchange: Exchange) -> Through:
        """Return what a site that is alike does. Raises Unlike."""
        if self.direct or self.notices or self.doubts or self.unknown:
            raise Unlike
        names = frozenset(map(exchange.name, self.unresolved))
        delivered, into_tunnels = exchange.region(self.delivered), exchange.region(self.into_tunnels)
        return replace(self, delivered=delivered, into_tunnels=into_tunnels, unresolved=names)


@dataclass(frozen=True, slots=True)
class _Read:
    """What the devices of one site run."""

    running: Mapping[EquipmentName, Running]
    shape: Shape | None


class Prover:
    """Computes reach, and shares what networks have in common: a site that is the same is computed once."""

    def __init__(self, intent: Intent, frames: Frames | None = None, *, alike: bool = True) -> None:
        """Take the intent. Without `alike`, sites that are alike are computed each for itself, to the same result."""
        self.intent = intent
        self._shapes = Shapes() if alike else None
        self.frames = frames or Frames()
        self.places = Places(self.frames)
        self.question = Question(self.frames, self.places, intent)
        self.port_security = PortSecurity(self.frames, self.places)
        self.continued = Continued(self.frames, self.places, intent)
        self.lifelines = Lifelines(self.frames, self.places, intent)
        self.reading = Reading()
        self._emissions: dict[bool, Emission] = {}
        self._below: dict[object, SiteBelow] = {}
        self._through: dict[object, Through] = {}
        self._routers: dict[object, Firewall] = {}
        self._sites: dict[object, _Read] = {}
        self._parsed: dict[str, tuple[Running, ...]] = {}
        """By the shape of a site: its devices, where everything is modelled and nothing is noted."""
        self.sound: set[str] = set()
        """The shapes of the sites whose switches let nothing in that they should not."""
        self._agreements: dict[object, tuple[tuple[SecurityAssociation, ...], tuple[Notice, ...]]] = {}

    def network(self, configurations: Configurations) -> Network:
        """Return the network in which the devices run these configurations.

        Raises InputError when a device of the intent is missing, DeviceError for a text that is no configuration.
        """
        missing = sorted(str(device.name) for device in self.intent.devices if device.name not in configurations)
        if missing:
            msg = f"no configuration of {', '.join(missing)}; expected one of every device"
            raise InputError(msg)
        return Network(self, {site.name: self._read(site, configurations) for site in self.intent.sites})

    def _read(self, site: Site, configurations: Configurations) -> _Read:
        """Return what the devices of a site run, parsed anew only where no site that is alike was parsed."""
        names = [device.name for device in site.devices]
        texts = tuple(tuple(configurations[name].items()) for name in names)
        if (site.name, texts) in self._sites:
            return self._sites[site.name, texts]
        sections = (f"{name}\n{text}" for of in texts for name, text in of if name != _OF_PAIRS)
        shape = self._shapes.of(site, sections) if self._shapes is not None else None
        like = self._parsed.get(shape.text) if shape is not None else None
        read = self.reading.read
        if like is not None:
            pairs = zip(names, like, strict=True)
            running = {name: read(name, configurations[name], one) for name, one in pairs}
        else:
            running = {name: read(name, configurations[name]) for name in names}
            if shape is not None and not any(one.unmodelled or one.notices for one in running.values()):
                self._parsed[shape.text] = tuple(running.values())
        found = self._sites[site.name, texts] = _Read(running, shape)
        return found

    def emission(self, firewall: Running) -> Emission:
        """Return what places send, as that firewall's connection tracking classes it."""
        loose = firewall.stack.setting(_LOOSE, 1) != 0
        if loose not in self._emissions:
            self._emissions[loose] = Emission(self.frames, self.places, tcp_loose=loose)
        return self._emissions[loose]

    def below(self, site: Site, running: Mapping[EquipmentName, Running]) -> SiteBelow:
        """Return what happens below a site's router, from memory where nothing of it changed."""
        own = {device.name: running[device.name] for device in site.devices}
        loose = self.emission(own[site.firewall.name])
        key = (site.name, id(loose), *(tuple(sorted(one.sections.items())) for one in own.values()))
        if key not in self._below:
            self._below[key] = SiteBelow(self.frames, self.places, loose, site, own)
        return self._below[key]

    def agreed(
        self, connections: Mapping[EquipmentName, Connections]
    ) -> tuple[tuple[SecurityAssociation, ...], tuple[Notice, ...]]:
        """Return the tunnels that come up, and what keeps others from it, from memory where nothing of it changed."""
        key = tuple((name, id(one)) for name, one in connections.items())
        if key not in self._agreements:
            self._agreements[key] = agreed(connections, lambda _: True)
        return self._agreements[key]

    def router(self, key: object, build: Callable[[], Firewall]) -> Firewall:
        """Return a router, from memory where one with the same sections and tunnels was built."""
        if key not in self._routers:
            self._routers[key] = build()
        return self._routers[key]

    def remembered(self, key: object, compute: Callable[[], Through]) -> Through:
        """Return what one site does with packets, from memory where nothing of it changed."""
        if key not in self._through:
            self._through[key] = compute()
        return self._through[key]


class Network:
    """One network: the intent's cables, and what every device runs."""

    def __init__(self, prover: Prover, sites: Mapping[Name, _Read]) -> None:
        self.prover = prover
        self.running = {name: one for site in sites.values() for name, one in site.running.items()}
        self.frames = prover.frames
        self.associations, self.tunnel_notices = self._agreed()
        self._sites = sites
        self._associations: defaultdict[EquipmentName, list[SecurityAssociation]] = defaultdict(list)
        for one in self.associations:
            for device in dict.fromkeys((one.one.device, one.other.device)):
                self._associations[device].append(one)
        self._alike: dict[object, tuple[Shape, Through]] = {}
        self._firewalls: dict[tuple[object, TunnelsAre], Firewall] = {}

    def _agreed(self) -> tuple[tuple[SecurityAssociation, ...], tuple[Notice, ...]]:
        connections = {name: one.tunnels for name, one in self.running.items() if one.tunnels is not None}
        return self.prover.agreed(connections)

    def reach(self, tunnels: TunnelsAre) -> Reach:
        """Return every packet that gets anywhere."""
        through = [self.through(site, tunnels) for site in self.prover.intent.sites]
        unknown = tuple(one for part in through for one in part.unknown)
        total = self.frames.union(part.delivered for part in through)
        total |= self._between(through)
        return Reach(total, self.frames.union(part.direct for part in through), unknown)

    def unresolved(self, site: Site) -> frozenset[str]:
        """Return the hosts of a site that cannot find their gateway, or that it cannot find, by ARP."""
        return self.through(site, TunnelsAre.UP).unresolved

    def shape(self, site: Site) -> str | None:
        """Return what a site and its texts are but for its own words: the same for all that are alike."""
        shape = self._sites[site.name].shape
        return shape.text if shape is not None else None

    def _between(self, through: Iterable[Through]) -> Region:
        """Return what gets from site to site, through as many tunnels as there are on the way."""
        frames, through = self.frames, tuple(through)
        inside = frames.box(
            sender=frozenset(
                (number, number)
                for site in self.prover.intent.sites
                for number in [self.prover.places.host(out_of_tunnel(site.name))]
            )
        )
        entering = frames.union((part.delivered & inside).without("sender") for part in through)
        onwards = frames.union((part.into_tunnels & inside).without("sender") for part in through)
        tunnels = frames.box(
            sender=frozenset(
                pair for site in self.prover.intent.sites for pair in self.prover.places.both(out_of_tunnel(site.name))
            )
        )
        wire = frames.union(part.into_tunnels for part in through) - tunnels
        arrived, seen = frames.nothing, wire
        for _ in range(_MOST_TUNNELS_ON_A_WAY):
            arrived |= wire & entering
            wire = (wire & onwards) - seen if onwards else frames.nothing
            if not wire:
                break
            seen |= wire
        return arrived

    @cached_property
    def tunnel_doubts(self) -> tuple[tuple[Notice, ...], tuple[Unmodelled, ...]]:
        """Return what keeps tunnels that are up from carrying anything, and the selectors that two of them have."""
        through = [self.through(site, TunnelsAre.UP) for site in self.prover.intent.sites]
        notices = tuple(notice for part in through for notice in part.notices)
        return notices, tuple(doubt for part in through for doubt in part.doubts)

    def _doubts(self, site: Site, own: Iterable[SecurityAssociation]) -> Iterator[Unmodelled]:
        device, carried = site.firewall.name, Carried(self.frames, own)
        if contested := carried.contested(device):
            for association, region in carried.outbound(device).items():
                if region & contested:
                    statement = association.ends(device)[0].statement
                    yield Unmodelled(statement, f"selectors of {association.name} that another tunnel has")

    def firewall(self, site: Site, tunnels: TunnelsAre) -> Firewall:
        """Return the router of a site, with its tunnels up or down."""
        key = (site.name, tunnels)
        if key not in self._firewalls:
            own = tuple(self._associations[site.firewall.name]) if tunnels is TunnelsAre.UP else ()
            sections = tuple(sorted(self.running[site.firewall.name].sections.items()))
            known = (site.name, sections, tuple((one.one, one.other) for one in own))
            self._firewalls[key] = self.prover.router(known, lambda: self._build(site, own))
        return self._firewalls[key]

    def _build(self, site: Site, own: tuple[SecurityAssociation, ...]) -> Firewall:
        running = self.running[site.firewall.name]
        carried = Carried(self.frames, own)
        routes, _ = carried.routes(running.device, running.stack)
        # The interface is there as long as the IKE daemon runs, with tunnels that are up or without.
        routing = Routing(self.frames, running.stack, {TUNNEL_INTERFACE: routes} if running.tunnels else {})
        return Firewall(self.frames, running, routing, carried)

    def through(self, site: Site, tunnels: TunnelsAre) -> Through:
        """Return what a site does with packets by itself: from memory, from a site that is alike, or computed."""
        own = tuple(self._associations[site.firewall.name]) if tunnels is TunnelsAre.UP else ()
        read = self._sites[site.name]
        carried = tuple((one.one, one.other) for one in own)
        return self.prover.remembered(
            (site.name, id(read), carried), lambda: self._alike_or_computed(site, read.shape, own)
        )

    def _alike_or_computed(self, site: Site, shape: Shape | None, own: tuple[SecurityAssociation, ...]) -> Through:
        tunnels = TunnelsAre.UP if own else TunnelsAre.DOWN
        if shape is None:
            return self._compute_through(site, tunnels)
        device = site.firewall.name
        ends = [
            (*(f"{end.address} {end.selectors}" for end in one.ends(device)), one.one.device == device) for one in own
        ]
        key = (shape.text, self.running[device].tunnels is None, shape.of(str(ends)))
        if key in self._alike:
            other, through = self._alike[key]
            with suppress(Unlike):
                return through.exchanged(Exchange(self.frames, self.prover.places, other, shape))
        through = self._compute_through(site, tunnels)
        self._alike.setdefault(key, (shape, through))
        return through

    def _compute_through(self, site: Site, tunnels: TunnelsAre) -> Through:
        places, frames = self.prover.places, self.frames
        below = self.prover.below(site, self.running).below
        name, firewall = str(site.firewall.name), self.firewall(site, tunnels)
        emission = self.prover.emission(self.running[site.firewall.name])
        coming = below.arriving | self._from_outside(site, firewall)
        passages = [firewall.receive(coming), firewall.emit(emission.router(name) & frames.box(interface_in=0))]
        delivered = [passage.local.without("interface_in", "interface_out") for passage in passages]
        delivered = [region & frames.box(receiver=places.both(name)) for region in delivered if region]
        into_tunnels = frames.nothing
        for passage in passages:
            delivered += self._heard(site, below, passage)
            into_tunnels |= passage.out.get(TUNNEL_INTERFACE, frames.nothing)
        unknown = (*below.unknown, *(one for passage in passages for one in passage.unknown))
        own = self._associations[site.firewall.name] if tunnels is TunnelsAre.UP else []
        _, notices = Carried(frames, own).routes(site.firewall.name, self.running[site.firewall.name].stack)
        doubts = tuple(self._doubts(site, own))
        total = frames.union(delivered)
        return Through(total, into_tunnels, below.direct, below.unresolved, notices, doubts, unknown)

    def _heard(self, site: Site, below: Below, passage: Passage) -> list[Region]:
        """Return who hears what leaves a firewall otherwise than into a tunnel."""
        places, heard = self.prover.places, []
        outside = {interface: place for place, interface in self.outside(site)}
        for interface, leaving in passage.out.items():
            if interface in below.leaving:
                heard.append(leaving & below.leaving[interface])
            elif interface != TUNNEL_INTERFACE:
                place = outside.get(interface, f"{site.firewall.name}:{interface}")
                heard.append(leaving & self.frames.box(receiver=places.both(place)))
        return heard

    def outside(self, site: Site) -> list[tuple[str, str]]:
        """Return the places beyond the firewall's other interfaces, with the interfaces, which their addresses tell.

        Whoever is at an interface that no declared address tells is a place of its own, named as a port is.
        """
        running, local = self.running[site.firewall.name], site.firewall.local_management
        stack, switch = running.stack, running.switch
        known: dict[Address, str] = {site.wan_address.ip: WAN}
        known |= {local[0].ip: technician(site.name)} if local is not None else {}
        found = [(known[own.address.ip], own.interface) for own in stack.own(4) if own.address.ip in known]
        bridged = {port.name for bridge in (switch.bridges if switch else ()) for port in bridge.ports}
        others = stack.up - bridged - {interface for _, interface in found} - {LOOPBACK, TUNNEL_INTERFACE}
        return found + [(f"{site.firewall.name}:{interface}", interface) for interface in sorted(others)]

    def _from_outside(self, site: Site, firewall: Firewall) -> Region:
        """Return what comes in from the WAN, from the technician's port, by links unforeseen and out of the tunnels."""
        frames = self.frames
        emission = self.prover.emission(self.running[site.firewall.name])
        up = self.running[site.firewall.name].stack.up
        number = frames.interfaces.number
        coming = [
            emission.packets(place) & frames.box(interface_in=number(interface))
            for place, interface in self.outside(site)
            if interface in up
        ]
        inner = emission.packets(out_of_tunnel(site.name)) & firewall.inbound
        return frames.union([*coming, inner & frames.box(interface_in=number(TUNNEL_INTERFACE))])
