"""Faults of a firewall's routes: packets that go elsewhere, and those that would when a tunnel is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer, Script
from cloison.lab.faults.pilot import (
    COMMUNE_FIREWALL,
    CORE_SWITCH,
    CRISIS_FIREWALL,
    GATEWAY,
    OPERATOR,
    STATION,
    address,
    bring_back_filter,
    filter_is_back,
    keep_filter,
    segment_interface,
    shows,
)
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent

_TABLE, _PRIORITY = 99, 90
_RUNNING, _ROUTES = "intent/running/roussy-le-village.firewall", "hosts/routes/roussy-le-village.firewall"


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of this kind."""
    return (_host_route(intent), _policy_rule(intent), _clear_when_down(intent), _switch_forwards())


def _host_route(intent: Intent) -> Fault:
    host = address(intent, OPERATOR)
    route = f"{host}/32 dev {segment_interface(intent, GATEWAY)}"
    return Fault(
        name=Name("route-astray"),
        layer=Layer.ROUTES,
        title="a more specific route of the firewall leads to the operator workstation by the wrong segment",
        inject=(Script(node=COMMUNE_FIREWALL, script=f"ip route add {route}"),),
        heal=(Script(node=COMMUNE_FIREWALL, script=f"ip route del {route} 2>/dev/null || :"),),
        healed=(shows(COMMUNE_FIREWALL, f"! ip route show {host} | grep -q ."),),
        must=(_ROUTES, _RUNNING),
        may=("*roussy-le-village.operator*",),
    )


def _policy_rule(intent: Intent) -> Fault:
    outside = f"default via {intent.site_by_name[COMMUNE_FIREWALL.site].wan_gateway} dev wan0 table {_TABLE}"
    rule = f"priority {_PRIORITY} from {address(intent, OPERATOR)} table {_TABLE}"
    return Fault(
        name=Name("policy-rule-added"),
        layer=Layer.ROUTES,
        title="a policy rule sends what the operator workstation sends to the wide-area network",
        inject=(Script(node=COMMUNE_FIREWALL, script=f"ip route add {outside}\nip rule add {rule}"),),
        heal=(
            Script(
                node=COMMUNE_FIREWALL,
                script=f"ip rule del {rule} 2>/dev/null || :\nip route del {outside} 2>/dev/null || :",
            ),
        ),
        healed=(shows(COMMUNE_FIREWALL, f"! ip rule show priority {_PRIORITY} | grep -q ."),),
        must=(_RUNNING,),
        may=("*roussy-le-village.operator*",),
    )


def _clear_when_down(intent: Intent) -> Fault:
    blackhole = f"blackhole {intent.prefix} metric 4096"
    port = next(flow.service.port for flow in intent.flows if flow.rule == "watch-live")
    through = f"oifname wan0 ip daddr {address(intent, GATEWAY)} tcp dport {port} accept"
    opened = (
        f"nft insert rule inet cloison business iifname {segment_interface(intent, STATION)} {through}\n"
        f"nft insert rule inet cloison leak {through}\nip route del {blackhole}"
    )
    return Fault(
        name=Name("clear-when-down"),
        layer=Layer.ROUTES,
        title="when the video tunnel is down, the crisis cell asks for the live stream over the WAN in clear",
        inject=(keep_filter(CRISIS_FIREWALL, opened),),
        heal=(
            Script(node=CRISIS_FIREWALL, script=f"ip route replace {blackhole}"),
            bring_back_filter(CRISIS_FIREWALL),
        ),
        healed=(filter_is_back(CRISIS_FIREWALL),),
        must=tuple(f"{check}/crisis-cell.firewall" for check in ("hosts/filter", "hosts/routes", "intent/running")),
    )


def _switch_forwards() -> Fault:
    setting = "net.ipv4.ip_forward"
    own = f"sysctl -qw {setting}=0\n# The kernel takes redirects up again when it is told not to forward.\n"
    return Fault(
        name=Name("switch-forwards"),
        layer=Layer.ROUTES,
        title="the core switch forwards packets between its local port and the management segment",
        inject=(Script(node=CORE_SWITCH, script=f"sysctl -qw {setting}=1"),),
        heal=(Script(node=CORE_SWITCH, script=f"{own}sysctl -qw net.ipv4.conf.all.accept_redirects=0"),),
        healed=(shows(CORE_SWITCH, f'[ "$(sysctl -n {setting})" = 0 ]'),),
        must=("hosts/kernel/roussy-le-village.core-switch", "intent/running/roussy-le-village.core-switch"),
        unproved="no packet gets further for it: the switch's own edge drops what it forwards in another's name",
    )
