"""Faults of routes and kernel settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer, Script
from cloison.lab.faults.pilot import COMMUNE_FIREWALL, GATEWAY, shows
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of this layer."""
    blackhole = f"blackhole {intent.prefix} metric 4096"
    return (
        Fault(
            name=Name("blackhole-removed"),
            layer=Layer.ROUTES,
            title="nothing keeps inner packets in when the tunnel's interface is gone: the blackhole route is missing",
            inject=(Script(node=COMMUNE_FIREWALL, script=f"ip route del {blackhole}"),),
            heal=(Script(node=COMMUNE_FIREWALL, script=f"ip route replace {blackhole}"),),
            healed=(shows(COMMUNE_FIREWALL, "ip route show type blackhole | grep -q ."),),
            must=("hosts/routes/roussy-le-village.firewall", "intent/running/roussy-le-village.firewall"),
            unproved="no packet gets out for it: the filter lets none out of a segment but into a tunnel",
        ),
        Fault(
            name=Name("loose-conntrack"),
            layer=Layer.ROUTES,
            title="the commune's firewall takes connections up in mid-stream",
            inject=(Script(node=COMMUNE_FIREWALL, script="sysctl -qw net.netfilter.nf_conntrack_tcp_loose=1"),),
            heal=(Script(node=COMMUNE_FIREWALL, script="sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0"),),
            healed=(shows(COMMUNE_FIREWALL, '[ "$(sysctl -n net.netfilter.nf_conntrack_tcp_loose)" = 0 ]'),),
            must=("hosts/kernel/roussy-le-village.firewall", "intent/running/roussy-le-village.firewall"),
            unproved="no packet gets in for it: each rule of a new connection asks for a SYN",
        ),
        Fault(
            name=Name("gateway-forwards"),
            layer=Layer.ROUTES,
            title="the live gateway forwards packets between networks",
            inject=(Script(node=GATEWAY, script="sysctl -qw net.ipv4.ip_forward=1"),),
            heal=(Script(node=GATEWAY, script="sysctl -qw net.ipv4.ip_forward=0"),),
            healed=(shows(GATEWAY, '[ "$(sysctl -n net.ipv4.ip_forward)" = 0 ]'),),
            must=("hosts/kernel/roussy-le-village.live-gateway",),
            unproved="the live gateway is no device: nothing of its configuration is read",
        ),
    )
