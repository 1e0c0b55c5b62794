"""From declared files to the network that follows from them. Pure; expects files that `check` found sound."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import product
from typing import TYPE_CHECKING

from cloison.flow import Endpoint, Flow, Purpose, Service
from cloison.intent.models import Kind, Medium, Role, Scope
from cloison.intent.network import (
    Cable,
    Equipment,
    Intent,
    Port,
    PortMode,
    PortReference,
    Segment,
    Site,
    Tunnel,
    TunnelEnd,
)
from cloison.model import EquipmentName, InterfaceName, Name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cloison.intent.models import (
        BlueprintFile,
        DefaultsFile,
        FlowDeclaration,
        GroupsFile,
        InvariantsFile,
        NetworkFile,
        PolicyFile,
        Selector,
        SiteFile,
        TunnelDeclaration,
    )

LOCAL_PREFIX_LENGTH = 30
SWITCHING = frozenset({Kind.SWITCH, Kind.FIREWALL, Kind.UNMANAGED_SWITCH})


def site_prefix(network: NetworkFile, index: int) -> IPv4Network:
    """Return the prefix of the site with this index; ValueError when the plan has no such index."""
    plan = network.address_plan
    size = 1 << (32 - plan.site_prefix_length)
    first = int(plan.prefix.network_address) + index * size
    prefix = IPv4Network((first, plan.site_prefix_length))
    if not prefix.subnet_of(plan.prefix):
        msg = f"index {index} is outside {plan.prefix}"
        raise ValueError(msg)
    return prefix


def segment_prefixes(prefix: IPv4Network, blueprint: BlueprintFile) -> dict[Name, IPv4Network]:
    """Carve the segments out of the site's prefix, largest first, in blueprint order among equals.

    Raises ValueError when they do not fit.
    """
    carved: dict[Name, IPv4Network] = {}
    following = int(prefix.network_address)
    for segment in sorted(blueprint.segments, key=lambda segment: segment.prefix_length):
        network = IPv4Network((following, segment.prefix_length))
        if not network.subnet_of(prefix):
            msg = f"segment {segment.name} does not fit in {prefix}"
            raise ValueError(msg)
        carved[segment.name] = network
        following += network.num_addresses
    return carved


def _segments(network: NetworkFile, site: SiteFile, blueprint: BlueprintFile) -> tuple[Segment, ...]:
    prefixes = segment_prefixes(site_prefix(network, site.index), blueprint)
    return tuple(
        Segment(
            site=site.site,
            name=declared.name,
            vlan=network.vlans[declared.vlan],
            prefix=prefixes[declared.name],
            gateway=prefixes[declared.name].network_address + 1,
        )
        for declared in blueprint.segments
    )


def _addresses(blueprint: BlueprintFile, segments: Sequence[Segment]) -> dict[Name, IPv4Address]:
    """Give the gateway to the firewall, then one address after the other in blueprint order."""
    free = {segment.name: segment.gateway + 1 for segment in segments}
    gateways = {segment.name: segment.gateway for segment in segments}
    addresses: dict[Name, IPv4Address] = {}
    for name, declared in blueprint.equipment.items():
        if declared.segment is None:
            continue
        if declared.kind is Kind.FIREWALL:
            addresses[name] = gateways[declared.segment]
        else:
            addresses[name] = free[declared.segment]
            free[declared.segment] += 1
    return addresses


class _Cabling:
    """Follows the cables of one site to find what each port carries."""

    def __init__(self, site: SiteFile, blueprint: BlueprintFile, vlan_of: Mapping[Name, int], parking: int) -> None:
        self.blueprint, self.vlan_of, self.parking = blueprint, vlan_of, parking
        self.cables = tuple(
            Cable(
                ends=(
                    self._reference(site.site, declared.between[0]),
                    self._reference(site.site, declared.between[1]),
                ),
                medium=declared.medium,
            )
            for declared in blueprint.cables
        )
        self.cable_at = {end: cable for cable in self.cables for end in cable.ends}

    @staticmethod
    def _reference(site: Name, text: str) -> PortReference:
        equipment, port = text.split(":")
        return PortReference(equipment=EquipmentName(f"{site}/{equipment}"), port=InterfaceName(port))

    def _kind(self, name: EquipmentName) -> Kind:
        return self.blueprint.equipment[name.equipment].kind

    def beyond(self, end: PortReference) -> tuple[EquipmentName, ...]:
        """Return every equipment on the far side of the cable at this port, nearest first."""
        found: list[EquipmentName] = []
        edge = [self.cable_at[end].other(end)]
        while edge:
            here = edge.pop(0)
            found.append(here.equipment)
            for cable in self.cables:
                edge += [
                    cable.other(leaving)
                    for leaving in cable.ends
                    if leaving.equipment == here.equipment and leaving != here
                ]
        return tuple(found)

    def port(self, equipment: EquipmentName, name: InterfaceName, number: int) -> Port:
        """Return the port with the mode and the VLANs that follow from what is cabled to it."""
        end = PortReference(equipment=equipment, port=name)
        if end not in self.cable_at:
            outside = self._kind(equipment) is Kind.FIREWALL
            return Port(
                name=name,
                number=number,
                mode=PortMode.ROUTED if outside else PortMode.UNUSED,
                vlans=() if outside else (self.parking,),
                peer=None,
                medium=Medium.COPPER,
            )
        peer = self.cable_at[end].other(end)
        mode, vlans, attached = self._carried(end, peer)
        return Port(
            name=name,
            number=number,
            mode=mode,
            vlans=vlans,
            peer=peer,
            medium=self.cable_at[end].medium,
            attached=attached,
        )

    def _carried(
        self, end: PortReference, peer: PortReference
    ) -> tuple[PortMode, tuple[int, ...], tuple[EquipmentName, ...]]:
        """Return the mode, the VLANs and who is attached of a cabled port."""
        kind, beyond = self._kind(end.equipment), self.beyond(end)
        if kind not in SWITCHING:
            return PortMode.ACCESS, (self.vlan_of[end.equipment.equipment],), ()
        if kind is Kind.UNMANAGED_SWITCH or self._kind(peer.equipment) not in {Kind.SWITCH, Kind.FIREWALL}:
            hosts = tuple(name for name in beyond if self._kind(name) not in SWITCHING)
            side = hosts or tuple(name for name in self.beyond(peer) if self._kind(name) not in SWITCHING)
            return PortMode.ACCESS, self._vlans(side), hosts if kind is Kind.SWITCH else ()
        # A trunk carries what lives on the side away from the firewall: every VLAN's gateway is on the other side.
        towards_firewall = Kind.FIREWALL in map(self._kind, beyond)
        if towards_firewall:
            return PortMode.TRUNK, self._vlans(self.beyond(peer)), ()
        addressed = tuple(name for name in beyond if name.equipment in self.vlan_of)
        return PortMode.TRUNK, self._vlans(beyond), addressed if kind is Kind.SWITCH else ()

    def _vlans(self, names: Iterable[EquipmentName]) -> tuple[int, ...]:
        return tuple(sorted({self.vlan_of[name.equipment] for name in names if name.equipment in self.vlan_of}))


def _equipment(
    network: NetworkFile,
    site: SiteFile,
    blueprint: BlueprintFile,
    segments: Sequence[Segment],
    cabling: _Cabling,
) -> tuple[Equipment, ...]:
    addresses = _addresses(blueprint, segments)
    local = network.address_plan.local_management.subnets(new_prefix=LOCAL_PREFIX_LENGTH)
    equipment: list[Equipment] = []
    for short, declared in blueprint.equipment.items():
        name = EquipmentName(f"{site.site}/{short}")
        as_built = site.equipment.get(short)
        ends = None
        if declared.platform is not None:
            point_to_point = next(local)
            ends = (
                IPv4Interface((point_to_point.network_address + 1, LOCAL_PREFIX_LENGTH)),
                IPv4Interface((point_to_point.network_address + 2, LOCAL_PREFIX_LENGTH)),
            )
        equipment.append(
            Equipment(
                name=name,
                kind=declared.kind,
                description=declared.description,
                segment=declared.segment,
                address=addresses.get(short),
                platform=declared.platform,
                mac=as_built.mac if as_built else None,
                serial=as_built.serial if as_built else None,
                host_key=as_built.host_key if as_built else None,
                ports=tuple(cabling.port(name, port, n) for n, port in enumerate(declared.ports, 1)),
                local_management=ends,
            )
        )
    return tuple(equipment)


def derive_site(network: NetworkFile, site: SiteFile, blueprint: BlueprintFile) -> Site:
    """Return the site that follows from its file and its blueprint."""
    segments = _segments(network, site, blueprint)
    vlan_by_segment = {segment.name: segment.vlan for segment in segments}
    vlan_of = {
        name: vlan_by_segment[declared.segment]
        for name, declared in blueprint.equipment.items()
        if declared.segment is not None
    }
    cabling = _Cabling(site, blueprint, vlan_of, network.vlans[network.parking_vlan])
    return Site(
        name=site.site,
        title=site.name,
        blueprint=site.blueprint,
        role=blueprint.role,
        index=site.index,
        prefix=site_prefix(network, site.index),
        wan_address=site.wan.address,
        wan_gateway=site.wan.gateway,
        local_management=blueprint.local_management,
        segments=segments,
        equipment=_equipment(network, site, blueprint, segments, cabling),
        cables=cabling.cables,
        fibre=site.fibre,
        retention_days=site.retention_days,
        waivers=site.waivers,
    )


# --- flows and tunnels ---------------------------------------------------------------------------------------------


Placed = tuple[Site, Equipment]


def _selected(sites: Sequence[Site], selector: Selector) -> list[Placed]:
    return [
        (site, equipment)
        for site in sites
        if site.role in selector.roles
        for equipment in site.equipment
        if equipment.kind in selector.kinds
    ]


def _joined(declared: FlowDeclaration, sites: Sequence[Site]) -> Iterator[tuple[Placed, Placed]]:
    """Yield every source with every destination of a declaration, in one site or in two as its scope says."""
    if declared.scope is Scope.SAME_SITE:
        for site in sites:
            yield from product(_selected([site], declared.source), _selected([site], declared.destination))
        return
    for source, destination in product(_selected(sites, declared.source), _selected(sites, declared.destination)):
        if source[0].name != destination[0].name:
            yield source, destination


def _endpoint(equipment: Equipment) -> Endpoint:
    if equipment.address is None:
        msg = f"{equipment.name} has no address"
        raise ValueError(msg)
    return Endpoint(name=equipment.name, address=equipment.address)


def expand(declared: FlowDeclaration, sites: Sequence[Site], services: Mapping[Name, Service]) -> list[Flow]:
    """Return the flows between endpoints that one declaration authorises.

    A firewall is reached at its management address, and for the time at the gateway address of who asks.
    """
    flows: list[Flow] = []
    for (_, source), (site, destination) in _joined(declared, sites):
        if source.name == destination.name:
            continue
        target = _endpoint(destination)
        asked_at_gateway = declared.scope is Scope.SAME_SITE and declared.purpose is Purpose.INFRASTRUCTURE
        if destination.kind is Kind.FIREWALL and asked_at_gateway:
            gateway = site.segment_by_name[Name(str(source.segment))].gateway
            target = Endpoint(name=destination.name, address=gateway)
        flows.append(
            Flow(
                rule=declared.id,
                source=_endpoint(source),
                destination=target,
                service=services[declared.service],
                purpose=declared.purpose,
            )
        )
    return flows


def _tunnel(declared: TunnelDeclaration, initiator: Site, responder: Site, flows: Sequence[Flow]) -> Tunnel | None:
    carried = [flow for flow in flows if flow.purpose in declared.purposes]
    if not carried:
        return None
    ends = [end for flow in carried for end in (flow.source, flow.destination)]

    def end(site: Site) -> TunnelEnd:
        own = {e.address for e in ends if e.name.site == site.name}
        segments = [s for s in site.segments if any(address in s.prefix for address in own)]
        segments.sort(key=lambda s: (s.name != site.management.name, s.prefix))
        return TunnelEnd(
            firewall=site.firewall.name,
            address=site.wan_address.ip,
            identity=site.firewall.name.host_name,
            selectors=tuple(segment.prefix for segment in segments),
        )

    return Tunnel(
        name=Name(f"{declared.name}-{initiator.name}--{responder.name}"),
        kind=declared.name,
        initiator=end(initiator),
        responder=end(responder),
    )


def _tunnels(network: NetworkFile, sites: Sequence[Site], flows: Sequence[Flow]) -> tuple[Tunnel, ...]:
    by_role: dict[Role, list[Site]] = {role: [site for site in sites if site.role is role] for role in Role}
    between: defaultdict[frozenset[Name], list[Flow]] = defaultdict(list)
    for flow in flows:
        between[frozenset((flow.source.name.site, flow.destination.name.site))].append(flow)
    made = (
        _tunnel(declared, initiator, responder, between.get(frozenset((initiator.name, responder.name)), ()))
        for declared in network.tunnels
        for initiator, responder in product(by_role[declared.initiator], by_role[declared.responder])
    )
    return tuple(tunnel for tunnel in made if tunnel is not None)


def derive(
    network: NetworkFile,
    policy: PolicyFile,
    invariants: InvariantsFile,
    blueprints: Mapping[Name, BlueprintFile],
    sites: Sequence[SiteFile],
    groups: GroupsFile,
    defaults: DefaultsFile,
) -> Intent:
    """Return everything that follows from the inventory."""
    derived = tuple(
        derive_site(network, site, blueprints[site.blueprint]) for site in sorted(sites, key=lambda s: s.index)
    )
    services = {
        name: Service(name=name, protocol=declared.protocol, port=declared.port)
        for name, declared in network.services.items()
    }
    flows = [flow for declared in policy.flows for flow in expand(declared, derived, services)]
    flows.sort(key=lambda flow: flow.key)
    equipment = {equipment.name: equipment for site in derived for equipment in site.equipment}
    return Intent(
        network=network.network,
        prefix=network.address_plan.prefix,
        parking_vlan=network.vlans[network.parking_vlan],
        services=tuple(services.values()),
        sites=derived,
        tunnels=_tunnels(network, derived, flows),
        flows=tuple(flows),
        invariants=invariants.no_path,
        time_server=_endpoint(equipment[network.time_server]),
        log_collector=_endpoint(equipment[network.log_collector]),
        administration_station=_endpoint(equipment[network.administration_station]),
        retention_ceiling_days=network.retention.ceiling_days,
        connections=groups.platforms,
        workers=defaults.workers,
    )
