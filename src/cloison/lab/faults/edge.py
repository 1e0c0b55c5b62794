"""Faults of edge security: the OpenFlow flows at the camera's port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer
from cloison.lab.faults.pilot import (
    CAM_CONTEXT,
    POLE_SWITCH,
    address,
    bring_back_flows,
    keep_flows,
    relays_again,
    shows,
)
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of this layer."""
    camera = address(intent, CAM_CONTEXT)
    return (
        Fault(
            name=Name("edge-opened"),
            layer=Layer.EDGE,
            title="whatever is plugged into the contextual camera's port may send anything",
            inject=(keep_flows(POLE_SWITCH, "ovs-ofctl add-flow br0 priority=600,in_port=1,actions=NORMAL"),),
            heal=(bring_back_flows(POLE_SWITCH),),
            healed=(shows(POLE_SWITCH, "! ovs-ofctl dump-flows br0 | grep -q priority=600"),),
            must=("hosts/edge-flows/roussy-le-village.pole-switch", "intent/running/roussy-le-village.pole-switch"),
            may=("packets/*cam-context*",),
        ),
        Fault(
            name=Name("edge-flow-missing"),
            layer=Layer.EDGE,
            title="the flow that lets the contextual camera answer is gone",
            inject=(keep_flows(POLE_SWITCH, f"ovs-ofctl del-flows br0 in_port=1,ip,nw_src={camera}"),),
            heal=(bring_back_flows(POLE_SWITCH),),
            healed=(
                shows(POLE_SWITCH, f"ovs-ofctl dump-flows br0 | grep -q nw_src={camera}"),
                relays_again(intent, CAM_CONTEXT),
            ),
            must=(
                "hosts/edge-flows/roussy-le-village.pole-switch",
                "intent/running/roussy-le-village.pole-switch",
                "video/live/roussy-le-village.cam-context",
            ),
            may=("reach/*cam-context*", "packets/*cam-context*", "video/*"),
        ),
    )
