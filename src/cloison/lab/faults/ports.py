"""Faults of a switch's ports: VLANs too many or too few, a tag that leads elsewhere, neighbours let together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer, Script
from cloison.lab.faults.pilot import (
    CAM_CONTEXT,
    CAM_NARROW,
    CORE_SWITCH,
    CRISIS_SWITCH,
    OPERATOR,
    OTHER_STATION,
    POLE_SWITCH,
    RECORDER,
    STATION,
    bring_back_flows,
    flows_are_back,
    keep_flows,
    port_of,
    segment_of,
    shows,
)
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent
    from cloison.model import EquipmentName

_SPARE, _FIBRE, _UPLINK = "p3", "sfp1", "p1"
"""The pole switch's spare port; the fibre at both its ends; the core switch's trunk to the firewall."""


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of this kind."""
    return (
        _camera_vlan_on_spare_port(intent),
        _vlan_hop(intent),
        _vlan_hop_double_tag(intent),
        _recorder_vlan_on_fibre(intent),
        _neighbours_joined(intent),
        _trunk_vlan_missing(intent),
        _fail_open(),
    )


def _rows(node: EquipmentName) -> str:
    return f"hosts/switch-rows/{node.site}.{node.equipment}"


def _edge(node: EquipmentName) -> str:
    return f"hosts/edge-flows/{node.site}.{node.equipment}"


def _interfaces(node: EquipmentName) -> str:
    return f"hosts/interfaces/{node.site}.{node.equipment}"


def _running(node: EquipmentName) -> str:
    return f"intent/running/{node.site}.{node.equipment}"


def _trunks(intent: Intent, node: EquipmentName, port: str) -> list[int]:
    return list(intent.equipment_by_name[node].port(port).vlans)


def _listed(vlans: list[int]) -> str:
    return ",".join(str(vlan) for vlan in sorted(vlans))


def _spare_port(vlan: int) -> str:
    """Return what opens the pole switch's spare port: its VLAN, its link, and the edge."""
    return (
        f"ovs-vsctl set port {_SPARE} tag={vlan} protected=false\nip link set {_SPARE} up\n"
        f"ovs-ofctl --strict del-flows br0 priority=500,in_port={_SPARE}\n"
        f"ovs-ofctl add-flow br0 priority=300,in_port={_SPARE},actions=NORMAL"
    )


def _spare_port_parked(intent: Intent) -> Script:
    parked = f"ip link set {_SPARE} down\novs-vsctl set port {_SPARE} tag={intent.parking_vlan} protected=true"
    return Script(node=POLE_SWITCH, script=parked)


def _camera_vlan_on_spare_port(intent: Intent) -> Fault:
    return Fault(
        name=Name("camera-vlan-on-spare-port"),
        layer=Layer.SWITCH,
        title="the pole switch's spare port is up, in the contextual camera's VLAN, and may send there",
        inject=(keep_flows(POLE_SWITCH, _spare_port(segment_of(intent, CAM_CONTEXT).vlan)),),
        heal=(_spare_port_parked(intent), bring_back_flows(POLE_SWITCH)),
        healed=(flows_are_back(POLE_SWITCH),),
        must=(_rows(POLE_SWITCH), _interfaces(POLE_SWITCH), _edge(POLE_SWITCH), _running(POLE_SWITCH)),
    )


def _vlan_hop(intent: Intent) -> Fault:
    context, narrow = segment_of(intent, CAM_CONTEXT).vlan, segment_of(intent, CAM_NARROW).vlan
    port = port_of(intent, POLE_SWITCH, CAM_CONTEXT).name
    opened = (
        f"ovs-vsctl set port {port} vlan_mode=native-untagged trunks={context},{narrow} protected=false\n"
        f"ovs-ofctl --strict del-flows br0 priority=500,in_port={port},vlan_tci=0x1000/0x1000"
    )
    closed = f"ovs-vsctl set port {port} vlan_mode=access protected=true -- clear port {port} trunks"
    return Fault(
        name=Name("vlan-hop"),
        layer=Layer.SWITCH,
        title="the contextual camera's port is a trunk with its own VLAN untagged: a tag leads to the other camera",
        inject=(keep_flows(POLE_SWITCH, opened),),
        heal=(Script(node=POLE_SWITCH, script=closed), bring_back_flows(POLE_SWITCH)),
        healed=(flows_are_back(POLE_SWITCH),),
        must=(_rows(POLE_SWITCH), _edge(POLE_SWITCH), _running(POLE_SWITCH)),
    )


def _vlan_hop_double_tag(intent: Intent) -> Fault:
    native = segment_of(intent, CAM_CONTEXT).vlan
    camera = port_of(intent, POLE_SWITCH, CAM_CONTEXT).name
    untagged = f"ovs-vsctl set port {_FIBRE} vlan_mode=native-untagged tag={native}"
    tagged = f"ovs-vsctl set port {_FIBRE} vlan_mode=native-tagged tag={intent.parking_vlan}"
    taken = "\n".join(
        f"ovs-ofctl add-flow br0 priority=300,in_port={_FIBRE},vlan_tci=0/0x1000,{kind},actions=NORMAL"
        for kind in ("arp", "ip")
    )
    # A tag of VLAN 0 is taken off at the camera's port; what stood behind it is the tag that the fibre then carries.
    let_in = f"ovs-ofctl add-flow br0 priority=600,in_port={camera},actions=NORMAL"
    return Fault(
        name=Name("vlan-hop-double-tag"),
        layer=Layer.SWITCH,
        title="the fibre carries the contextual camera's VLAN untagged, and its port takes frames with two tags",
        inject=(
            keep_flows(POLE_SWITCH, f"{taken}\n{let_in}"),
            keep_flows(CORE_SWITCH, taken),
            Script(node=POLE_SWITCH, script=untagged),
            Script(node=CORE_SWITCH, script=untagged),
        ),
        heal=(
            Script(node=POLE_SWITCH, script=tagged),
            Script(node=CORE_SWITCH, script=tagged),
            bring_back_flows(POLE_SWITCH),
            bring_back_flows(CORE_SWITCH),
        ),
        healed=(flows_are_back(POLE_SWITCH), flows_are_back(CORE_SWITCH)),
        must=(
            _rows(POLE_SWITCH),
            _rows(CORE_SWITCH),
            _edge(POLE_SWITCH),
            _running(POLE_SWITCH),
            _running(CORE_SWITCH),
        ),
        may=("packets/*cam-context*", "video/*"),
    )


def _recorder_vlan_on_fibre(intent: Intent) -> Fault:
    vlan = segment_of(intent, RECORDER).vlan
    taken = "\n".join(
        f"ovs-ofctl add-flow br0 priority=300,in_port={_FIBRE},dl_vlan={vlan},{kind},actions=NORMAL"
        for kind in ("arp", "ip")
    )
    inject, heal = [], []
    for node, opened in ((POLE_SWITCH, f"{taken}\n{_spare_port(vlan)}"), (CORE_SWITCH, taken)):
        carried = _trunks(intent, node, _FIBRE)
        inject.append(keep_flows(node, f"{opened}\novs-vsctl set port {_FIBRE} trunks={_listed([*carried, vlan])}"))
        heal.append(Script(node=node, script=f"ovs-vsctl set port {_FIBRE} trunks={_listed(carried)}"))
        heal.append(bring_back_flows(node))
    return Fault(
        name=Name("recorder-vlan-on-fibre"),
        layer=Layer.SWITCH,
        title="the recorder's VLAN goes over the fibre to a spare port of the pole switch",
        inject=tuple(inject),
        heal=(_spare_port_parked(intent), *heal),
        healed=(flows_are_back(POLE_SWITCH), flows_are_back(CORE_SWITCH)),
        must=(
            _rows(POLE_SWITCH),
            _rows(CORE_SWITCH),
            _interfaces(POLE_SWITCH),
            _edge(POLE_SWITCH),
            _edge(CORE_SWITCH),
            _running(POLE_SWITCH),
            _running(CORE_SWITCH),
        ),
    )


def _neighbours_joined(intent: Intent) -> Fault:
    prefix = segment_of(intent, STATION).prefix
    ports = [port_of(intent, CRISIS_SWITCH, host).name for host in (STATION, OTHER_STATION)]
    joined = "\n".join(
        f"ovs-vsctl set port {port} protected=false\n"
        f"ovs-ofctl --strict del-flows br0 priority=290,in_port={port},ip,nw_dst={prefix}"
        for port in ports
    )
    apart = "\n".join(f"ovs-vsctl set port {port} protected=true" for port in ports)
    return Fault(
        name=Name("neighbours-joined"),
        layer=Layer.SWITCH,
        title="the crisis cell's two stations may speak to each other past the firewall",
        inject=(keep_flows(CRISIS_SWITCH, joined),),
        heal=(Script(node=CRISIS_SWITCH, script=apart), bring_back_flows(CRISIS_SWITCH)),
        healed=(flows_are_back(CRISIS_SWITCH),),
        must=(_rows(CRISIS_SWITCH), _edge(CRISIS_SWITCH), _running(CRISIS_SWITCH)),
        may=("packets/refused/crisis-cell.station-*--crisis-cell.station-*",),
    )


def _trunk_vlan_missing(intent: Intent) -> Fault:
    carried = _trunks(intent, CORE_SWITCH, _UPLINK)
    fewer = [vlan for vlan in carried if vlan != segment_of(intent, OPERATOR).vlan]
    return Fault(
        name=Name("trunk-vlan-missing"),
        layer=Layer.SWITCH,
        title="the core switch's trunk to the firewall does not carry the operator's VLAN",
        inject=(Script(node=CORE_SWITCH, script=f"ovs-vsctl set port {_UPLINK} trunks={_listed(fewer)}"),),
        heal=(Script(node=CORE_SWITCH, script=f"ovs-vsctl set port {_UPLINK} trunks={_listed(carried)}"),),
        healed=(
            shows(CORE_SWITCH, f'[ "$(ovs-vsctl get port {_UPLINK} trunks)" = "[{", ".join(map(str, carried))}]" ]'),
        ),
        must=(_rows(CORE_SWITCH), _edge(CORE_SWITCH), _running(CORE_SWITCH)),
        may=("*roussy-le-village.operator*",),
    )


def _fail_open() -> Fault:
    return Fault(
        name=Name("fail-open"),
        layer=Layer.SWITCH,
        title="the pole switch has lost its edge flows and fails open: it forwards whatever comes",
        inject=(
            keep_flows(
                POLE_SWITCH,
                "ovs-vsctl set bridge br0 fail_mode=standalone\novs-ofctl del-flows br0\n"
                "ovs-ofctl add-flow br0 priority=0,actions=NORMAL",
            ),
        ),
        heal=(
            Script(node=POLE_SWITCH, script="ovs-vsctl set bridge br0 fail_mode=secure"),
            bring_back_flows(POLE_SWITCH),
        ),
        healed=(flows_are_back(POLE_SWITCH),),
        must=(_rows(POLE_SWITCH), _edge(POLE_SWITCH), _running(POLE_SWITCH)),
        may=("packets/*cam-*",),
    )
