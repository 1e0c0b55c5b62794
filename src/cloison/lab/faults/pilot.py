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
    """Load what the firewall ran before `keep_filter`, in one transaction; nothing when it was not kept."""
    load = "{ echo 'delete table inet cloison'; cat /run/filter-before-fault; } | nft -f -"
    return Script(node=node, script=f"[ -e /run/filter-before-fault ] || exit 0\n{load}\nrm /run/filter-before-fault")


def keep_flows(node: EquipmentName, change: str) -> Script:
    """Change the running OpenFlow flows of a switch by hand, with those it ran kept beside."""
    return Script(node=node, script=f"ovs-ofctl --no-stats dump-flows br0 >/run/flows-before-fault\n{change}")


def bring_back_flows(node: EquipmentName) -> Script:
    """Put back the flows that the switch ran before `keep_flows`, in one bundle; nothing when they were not kept."""
    load = "ovs-ofctl --bundle replace-flows br0 /run/flows-before-fault"
    return Script(node=node, script=f"[ -e /run/flows-before-fault ] || exit 0\n{load}\nrm /run/flows-before-fault")


def shows(node: EquipmentName, script: str) -> Script:
    """Return what is awaited after a fault is undone."""
    return Script(node=node, script=script)


def relays_again(intent: Intent, camera: EquipmentName) -> Script:
    """Return the event that the live gateway gets a camera's stream: the last word of its log on it."""
    flow = next(flow for flow in intent.flows if flow.rule == "relay" and flow.destination.name == camera)
    source = f"rtsps://{flow.destination.address}:{flow.service.port}/live:"
    return Script(node=GATEWAY, script=f"grep -F '{source}' /var/log/relay.log | tail -n 1 | grep -q ' live$'")
