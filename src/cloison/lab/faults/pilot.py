"""The pilot's equipment by name, for the catalogue; and the ways a fault keeps and brings back what it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Script
from cloison.model import EquipmentName

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from cloison.intent.network import Intent

COMMUNE_FIREWALL = EquipmentName("roussy-le-village/firewall")
POLE_SWITCH = EquipmentName("roussy-le-village/pole-switch")
CORE_SWITCH = EquipmentName("roussy-le-village/core-switch")
CAM_CONTEXT = EquipmentName("roussy-le-village/cam-context")
CAM_NARROW = EquipmentName("roussy-le-village/cam-narrow")
RECORDER = EquipmentName("roussy-le-village/nvr")
GATEWAY = EquipmentName("roussy-le-village/live-gateway")
OPERATOR = EquipmentName("roussy-le-village/operator")
CRISIS_FIREWALL = EquipmentName("crisis-cell/firewall")
STATION = EquipmentName("crisis-cell/station-fire")
TIME_SERVER = EquipmentName("operations-centre/time-server")
LOG_COLLECTOR = EquipmentName("operations-centre/log-collector")


def address(intent: Intent, name: EquipmentName) -> IPv4Address:
    """Return the address of an equipment; KeyError when there is none of that name."""
    found = intent.equipment_by_name[name].address
    if found is None:
        raise KeyError(name)
    return found


def segment_interface(intent: Intent, name: EquipmentName) -> str:
    """Return the interface of the site's firewall in the segment of an equipment."""
    site = intent.site_by_name[name.site]
    segment = site.segment_by_name[intent.equipment_by_name[name].segment or site.management.name]
    return f"vlan{segment.vlan}"


def keep_filter(node: EquipmentName, change: str) -> Script:
    """Change the running filter of a firewall by hand, with what it ran kept beside."""
    return Script(node=node, script=f"nft -s list table inet cloison >/run/filter-before-fault\n{change}")


def bring_back_filter(node: EquipmentName) -> Script:
    """Load what the firewall ran before `keep_filter`, in one transaction."""
    return Script(node=node, script="{ echo 'delete table inet cloison'; cat /run/filter-before-fault; } | nft -f -")


def keep_flows(node: EquipmentName, change: str) -> Script:
    """Change the running OpenFlow flows of a switch by hand, with those it ran kept beside."""
    return Script(node=node, script=f"ovs-ofctl --no-stats dump-flows br0 >/run/flows-before-fault\n{change}")


def bring_back_flows(node: EquipmentName) -> Script:
    """Put back the flows that the switch ran before `keep_flows`, in one bundle."""
    return Script(node=node, script="ovs-ofctl --bundle replace-flows br0 /run/flows-before-fault")


def shows(node: EquipmentName, script: str) -> Script:
    """Return what is awaited after a fault is undone."""
    return Script(node=node, script=script)
