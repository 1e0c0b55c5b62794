"""The fault that everybody notices last: the video works, and goes over the wide-area network in clear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.design import WAN_ROUTER
from cloison.lab.fault import Fault, Layer, Script
from cloison.lab.faults.pilot import (
    COMMUNE_FIREWALL,
    CRISIS_FIREWALL,
    GATEWAY,
    STATION,
    bring_back_filter,
    keep_filter,
    segment_interface,
    shows,
)
from cloison.model import Name

if TYPE_CHECKING:
    from ipaddress import IPv4Network

    from cloison.intent.network import Intent, Tunnel
    from cloison.model import EquipmentName

_ENDS = (COMMUNE_FIREWALL, CRISIS_FIREWALL)
_PRIORITY = 50
"""Before the rule of the tunnels' own table."""


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the one fault of this kind."""
    video = next(tunnel for tunnel in intent.tunnels if tunnel.kind == "video")
    inject, heal = _steps(intent, video)
    names = [f"{node.site}.{node.equipment}" for node in _ENDS]
    return (
        Fault(
            name=Name("tunnel-bypassed"),
            layer=Layer.TUNNEL,
            title="the live stream goes round its tunnel, over the wide-area network in clear, and can be watched",
            inject=inject,
            heal=heal,
            healed=tuple(shows(node, f"! ip rule show priority {_PRIORITY} | grep -q .") for node in _ENDS),
            must=(
                *(f"tunnel/wan/{node.site}" for node in _ENDS),
                f"tunnel/wan-stream/{video.name}",
                f"tunnel/up/{video.name}",
                *(f"hosts/{what}/{name}" for what in ("filter", "routes") for name in names),
                *(f"intent/running/{name}" for name in names),
            ),
            may=("packets/refused/crisis-cell.*", "packets/refused/wan.*", "tunnel/spoof/*"),
        ),
    )


def _steps(intent: Intent, video: Tunnel) -> tuple[tuple[Script, ...], tuple[Script, ...]]:
    """Return the steps that open both filters and route past the tunnel, and those that undo it."""
    port = next(flow.service.port for flow in intent.flows if flow.rule == "watch-live")
    commune, crisis = video.initiator.selectors[0], video.responder.selectors[0]
    opened = (
        f"iifname wan0 oifname {segment_interface(intent, GATEWAY)} tcp dport {port}",
        f"iifname {segment_interface(intent, STATION)} oifname wan0 tcp dport {port}",
    )
    ends = tuple(zip(_ENDS, opened, (crisis, commune), strict=True))
    routes = f"{commune} via {video.initiator.address}", f"{crisis} via {video.responder.address}"
    inject = (
        *(keep_filter(node, _open(business, remote)) for node, business, remote in ends),
        *(Script(node=node, script=_route(intent, node, remote)) for node, _, remote in ends),
        Script(node=WAN_ROUTER, script="\n".join(f"ip route replace {route}" for route in routes)),
    )
    heal = (
        *(Script(node=node, script=_unroute(remote)) for node, _, remote in ends),
        *(bring_back_filter(node) for node in _ENDS),
        Script(node=WAN_ROUTER, script="\n".join(f"ip route del {route} || :" for route in routes)),
    )
    return inject, heal


def _open(business: str, remote: IPv4Network) -> str:
    return (
        f"nft insert rule inet cloison source iifname wan0 ip saddr {remote} accept comment fault\n"
        f"nft insert rule inet cloison business {business} accept comment fault\n"
        f"nft insert rule inet cloison leak oifname wan0 ip daddr {remote} accept comment fault"
    )


def _route(intent: Intent, node: EquipmentName, remote: IPv4Network) -> str:
    gateway = intent.site_by_name[node.site].wan_gateway
    return f"ip route replace {remote} via {gateway} dev wan0\nip rule add priority {_PRIORITY} to {remote} lookup main"


def _unroute(remote: IPv4Network) -> str:
    return f"ip rule del priority {_PRIORITY} || :\nip route del {remote} || :"
