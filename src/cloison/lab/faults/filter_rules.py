"""Faults of the firewalls' filters: a rule too many, a rule too few, a table of somebody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer, Script
from cloison.lab.faults.pilot import (
    CAM_CONTEXT,
    COMMUNE_FIREWALL,
    CRISIS_FIREWALL,
    GATEWAY,
    OPERATOR,
    STATION,
    address,
    bring_back_filter,
    keep_filter,
    segment_interface,
    shows,
)
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of this layer."""
    return (_camera_opened(intent), _gateway_ssh_opened(intent), _live_closed(), _foreign_table())


def _insert(incoming: str, outgoing: str, match: str) -> str:
    return f"nft insert rule inet cloison business iifname {incoming} oifname {outgoing} {match} accept comment fault"


_NO_FAULT_RULE = "! nft list table inet cloison | grep -q 'comment \"fault\"'"


def _camera_opened(intent: Intent) -> Fault:
    operator, camera = address(intent, OPERATOR), address(intent, CAM_CONTEXT)
    rule = _insert(
        segment_interface(intent, OPERATOR),
        segment_interface(intent, CAM_CONTEXT),
        f"ip saddr {operator} ip daddr {camera}",
    )
    return Fault(
        name=Name("camera-opened"),
        layer=Layer.FILTER,
        title="the firewall lets the operator workstation reach a camera",
        inject=(keep_filter(COMMUNE_FIREWALL, rule),),
        heal=(bring_back_filter(COMMUNE_FIREWALL),),
        healed=(shows(COMMUNE_FIREWALL, _NO_FAULT_RULE),),
        must=(
            "packets/refused/roussy-le-village.operator--roussy-le-village.cam-context",
            "hosts/filter/roussy-le-village.firewall",
            "intent/running/roussy-le-village.firewall",
        ),
    )


def _gateway_ssh_opened(intent: Intent) -> Fault:
    station, gateway = address(intent, STATION), address(intent, GATEWAY)
    match = f"ip saddr {station} ip daddr {gateway} tcp dport 22"
    return Fault(
        name=Name("gateway-ssh-opened"),
        layer=Layer.FILTER,
        title="both firewalls let a crisis-cell station reach the live gateway's SSH",
        inject=(
            keep_filter(CRISIS_FIREWALL, _insert(segment_interface(intent, STATION), "ipsec0", match)),
            keep_filter(COMMUNE_FIREWALL, _insert("ipsec0", segment_interface(intent, GATEWAY), match)),
        ),
        heal=(bring_back_filter(CRISIS_FIREWALL), bring_back_filter(COMMUNE_FIREWALL)),
        healed=(shows(COMMUNE_FIREWALL, _NO_FAULT_RULE),),
        must=(
            "packets/refused/crisis-cell.station-fire--roussy-le-village.live-gateway",
            "hosts/filter/roussy-le-village.firewall",
            "intent/running/roussy-le-village.firewall",
            "hosts/filter/crisis-cell.firewall",
            "intent/running/crisis-cell.firewall",
        ),
    )


def _live_closed() -> Fault:
    delete = (
        "nft -a list chain inet cloison business | sed -n 's/.*comment \"watch-live\".* handle //p' | "
        'while read -r handle; do nft delete rule inet cloison business handle "$handle"; done'
    )
    return Fault(
        name=Name("live-closed"),
        layer=Layer.FILTER,
        title="the commune's firewall has lost the rule for the live stream",
        inject=(keep_filter(COMMUNE_FIREWALL, delete),),
        heal=(bring_back_filter(COMMUNE_FIREWALL),),
        healed=(shows(COMMUNE_FIREWALL, "nft list table inet cloison | grep -q 'comment \"watch-live\"'"),),
        must=(
            "reach/delivered/crisis-cell.station-fire--roussy-le-village.live-gateway--live-relay",
            "hosts/filter/roussy-le-village.firewall",
            "intent/running/roussy-le-village.firewall",
            "video/live/roussy-le-village.cam-context",
        ),
        may=(
            "reach/*--roussy-le-village.live-gateway--live-relay",
            "video/*",
            "tunnel/*",
            "packets/refused/crisis-cell.station-*",
            "packets/refused/*--crisis-cell.station-*",
        ),
    )


def _foreign_table() -> Fault:
    add = "nft 'add table ip rogue; add chain ip rogue out { type filter hook forward priority 0; policy accept; }'"
    return Fault(
        name=Name("foreign-table"),
        layer=Layer.FILTER,
        title="somebody else's nftables table is loaded on the commune's firewall",
        inject=(Script(node=COMMUNE_FIREWALL, script=add),),
        heal=(Script(node=COMMUNE_FIREWALL, script="! nft list tables | grep -q rogue || nft delete table ip rogue"),),
        healed=(shows(COMMUNE_FIREWALL, "! nft list tables | grep -q rogue"),),
        must=("hosts/filter/roussy-le-village.firewall", "intent/running/roussy-le-village.firewall"),
    )
