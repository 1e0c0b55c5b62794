"""Faults of a switch's rows: VLANs, ports, mirrors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer, Script
from cloison.lab.faults.pilot import CAM_NARROW, CORE_SWITCH, POLE_SWITCH, relays_again
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent

_POLE_ROWS = "hosts/switch-rows/roussy-le-village.pole-switch"
_POLE_RUNNING = "intent/running/roussy-le-village.pole-switch"
_CORE_ROWS = "hosts/switch-rows/roussy-le-village.core-switch"


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of this layer."""
    return (_vlan_leak(intent), _mirror_port(), _spare_port_opened(intent))


def _vlan_leak(intent: Intent) -> Fault:
    narrow = intent.equipment_by_name[POLE_SWITCH].port("p2").vlans[0]
    context = intent.equipment_by_name[POLE_SWITCH].port("p1").vlans[0]
    return Fault(
        name=Name("vlan-leak"),
        layer=Layer.SWITCH,
        title="the narrow-field camera's port is in the other camera's VLAN",
        inject=(Script(node=POLE_SWITCH, script=f"ovs-vsctl set port p2 tag={context}"),),
        heal=(Script(node=POLE_SWITCH, script=f"ovs-vsctl set port p2 tag={narrow}"),),
        healed=(
            Script(node=POLE_SWITCH, script=f'[ "$(ovs-vsctl get port p2 tag)" = {narrow} ]'),
            relays_again(intent, CAM_NARROW),
        ),
        must=(_POLE_ROWS, _POLE_RUNNING, "video/live/roussy-le-village.cam-narrow"),
        may=("reach/*cam-narrow*", "packets/*cam-narrow*", "video/*"),
    )


def _mirror_port() -> Fault:
    create = (
        "ovs-vsctl -- --id=@from get port p1 -- --id=@to get port p3 -- --id=@mirror create mirror name=copy "
        "select-src-port=@from select-dst-port=@from output-port=@to -- set bridge br0 mirrors=@mirror"
    )
    return Fault(
        name=Name("mirror-port"),
        layer=Layer.SWITCH,
        title="a spare port of the pole switch gets a copy of the contextual camera's frames",
        inject=(Script(node=POLE_SWITCH, script=create),),
        heal=(Script(node=POLE_SWITCH, script="ovs-vsctl clear bridge br0 mirrors"),),
        healed=(Script(node=POLE_SWITCH, script='[ -z "$(ovs-vsctl --bare --columns=name list mirror)" ]'),),
        must=(_POLE_ROWS, _POLE_RUNNING),
    )


def _spare_port_opened(intent: Intent) -> Fault:
    recording = intent.equipment_by_name[CORE_SWITCH].port("p2").vlans[0]
    opened = f"ovs-vsctl set port p6 tag={recording} protected=false; ip link set p6 up"
    parked = f"ovs-vsctl set port p6 tag={intent.parking_vlan} protected=true; ip link set p6 down"
    return Fault(
        name=Name("spare-port-opened"),
        layer=Layer.SWITCH,
        title="a spare port of the core switch is up and in the recorder's VLAN",
        inject=(Script(node=CORE_SWITCH, script=opened),),
        heal=(Script(node=CORE_SWITCH, script=parked),),
        healed=(Script(node=CORE_SWITCH, script=f'[ "$(ovs-vsctl get port p6 tag)" = {intent.parking_vlan} ]'),),
        must=(
            _CORE_ROWS,
            "hosts/interfaces/roussy-le-village.core-switch",
            "intent/running/roussy-le-village.core-switch",
        ),
    )
