"""Faults of a switch as such: its own port on the network, another bridge behind it, a tunnel out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer, Script
from cloison.lab.faults.pilot import (
    CAM_CONTEXT,
    COMMUNE_FIREWALL,
    POLE_SWITCH,
    RECORDER,
    bring_back_flows,
    flows_are_back,
    keep_flows,
    segment_of,
    shows,
)
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent

_BRIDGE, _HERE, _THERE = "workshop", "to-workshop", "from-workshop"
_PATCH_NUMBER = 200
_SPARE = "p3"


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of this kind."""
    return (_bridge_port_up(intent), _patch_port(intent), _vxlan_port(intent))


def _bridge_port_up(intent: Intent) -> Fault:
    up = (
        "ovs-vsctl clear port br0 tag -- clear port br0 vlan_mode\nip link set br0 up\n"
        "ovs-ofctl --strict del-flows br0 priority=500,in_port=LOCAL\n"
        "ovs-ofctl add-flow br0 priority=300,in_port=LOCAL,actions=NORMAL"
    )
    down = f"ip link set br0 down\novs-vsctl set port br0 vlan_mode=access tag={intent.parking_vlan}"
    return Fault(
        name=Name("bridge-port-up"),
        layer=Layer.SWITCH,
        title="the pole switch's own port is up, in every VLAN at once, and may send",
        inject=(keep_flows(POLE_SWITCH, up),),
        heal=(Script(node=POLE_SWITCH, script=down), bring_back_flows(POLE_SWITCH)),
        healed=(flows_are_back(POLE_SWITCH),),
        must=(
            "hosts/switch-rows/roussy-le-village.pole-switch",
            "hosts/interfaces/roussy-le-village.pole-switch",
            "intent/running/roussy-le-village.pole-switch",
        ),
    )


def _patch_port(intent: Intent) -> Fault:
    vlan = segment_of(intent, CAM_CONTEXT).vlan
    patched = (
        f"ovs-vsctl del-port br0 {_SPARE} -- add-br {_BRIDGE} -- set bridge {_BRIDGE} datapath_type=netdev "
        f"-- add-port {_BRIDGE} {_SPARE} -- add-port {_BRIDGE} {_THERE} "
        f"-- set interface {_THERE} type=patch options:peer={_HERE} "
        f"-- add-port br0 {_HERE} vlan_mode=access tag={vlan} "
        f"-- set interface {_HERE} type=patch options:peer={_THERE} ofport_request={_PATCH_NUMBER}\n"
        f"ip link set {_SPARE} up\n"
        f"ovs-ofctl add-flow br0 priority=300,in_port={_PATCH_NUMBER},actions=NORMAL"
    )
    parked = (
        f"ovs-vsctl --if-exists del-br {_BRIDGE} -- --if-exists del-port br0 {_HERE} "
        f"-- --may-exist add-port br0 {_SPARE} vlan_mode=access tag={intent.parking_vlan} protected=true "
        f"-- set interface {_SPARE} ofport_request={intent.equipment_by_name[POLE_SWITCH].port(_SPARE).number}\n"
        f"ip link set {_SPARE} down"
    )
    return Fault(
        name=Name("patch-port"),
        layer=Layer.SWITCH,
        title="the pole switch's spare port is on a second bridge, patched into the contextual camera's VLAN",
        inject=(keep_flows(POLE_SWITCH, patched),),
        heal=(Script(node=POLE_SWITCH, script=parked), bring_back_flows(POLE_SWITCH)),
        healed=(flows_are_back(POLE_SWITCH),),
        must=(
            "hosts/switch-rows/roussy-le-village.pole-switch",
            "hosts/interfaces/roussy-le-village.pole-switch",
            "hosts/edge-flows/roussy-le-village.pole-switch",
            "intent/running/roussy-le-village.pole-switch",
        ),
    )


def _vxlan_port(intent: Intent) -> Fault:
    vlan = segment_of(intent, RECORDER).vlan
    far = intent.site_by_name[COMMUNE_FIREWALL.site].wan_gateway
    add = (
        f"ovs-vsctl add-port br0 vxlan1 vlan_mode=access tag={vlan} "
        f"-- set interface vxlan1 type=vxlan options:remote_ip={far}"
    )
    return Fault(
        name=Name("vxlan-port"),
        layer=Layer.SWITCH,
        title="a VXLAN tunnel port of the commune's firewall takes the recorder's VLAN elsewhere",
        inject=(Script(node=COMMUNE_FIREWALL, script=add),),
        heal=(Script(node=COMMUNE_FIREWALL, script="ovs-vsctl --if-exists del-port br0 vxlan1"),),
        healed=(shows(COMMUNE_FIREWALL, "! ovs-vsctl list-ports br0 | grep -q vxlan1"),),
        must=("hosts/switch-rows/roussy-le-village.firewall", "intent/running/roussy-le-village.firewall"),
    )
