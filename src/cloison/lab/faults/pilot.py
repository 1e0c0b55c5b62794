"""The pilot's equipment by name, for the catalogue; and the ways a fault keeps and brings back what it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Script
from cloison.model import EquipmentName

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from cloison.intent.network import Intent, Port, Segment

COMMUNE_FIREWALL = EquipmentName("roussy-le-village/firewall")
POLE_SWITCH = EquipmentName("roussy-le-village/pole-switch")
CORE_SWITCH = EquipmentName("roussy-le-village/core-switch")
CAM_CONTEXT = EquipmentName("roussy-le-village/cam-context")
CAM_NARROW = EquipmentName("roussy-le-village/cam-narrow")
RECORDER = EquipmentName("roussy-le-village/nvr")
GATEWAY = EquipmentName("roussy-le-village/live-gateway")
OPERATOR = EquipmentName("roussy-le-village/operator")
UPS = EquipmentName("roussy-le-village/ups")
CRISIS_FIREWALL = EquipmentName("crisis-cell/firewall")
CRISIS_SWITCH = EquipmentName("crisis-cell/core-switch")
STATION = EquipmentName("crisis-cell/station-fire")
OTHER_STATION = EquipmentName("crisis-cell/station-police")
CENTRE_FIREWALL = EquipmentName("operations-centre/firewall")
TIME_SERVER = EquipmentName("operations-centre/time-server")
LOG_COLLECTOR = EquipmentName("operations-centre/log-collector")


def address(intent: Intent, name: EquipmentName) -> IPv4Address:
    """Return the address of an equipment; KeyError when there is none of that name."""
    found = intent.equipment_by_name[name].address
    if found is None:
        raise KeyError(name)
    return found


def segment_of(intent: Intent, name: EquipmentName) -> Segment:
    """Return the segment of an equipment."""
    site = intent.site_by_name[name.site]
    return site.segment_by_name[intent.equipment_by_name[name].segment or site.management.name]


def segment_interface(intent: Intent, name: EquipmentName) -> str:
    """Return the interface of the site's firewall in the segment of an equipment."""
    return f"vlan{segment_of(intent, name).vlan}"


def port_of(intent: Intent, switch: EquipmentName, host: EquipmentName) -> Port:
    """Return the port of a switch that serves a host; KeyError when none does."""
    for port in intent.equipment_by_name[switch].ports:
        if host in port.attached:
            return port
    raise KeyError(host)


def keep_filter(node: EquipmentName, change: str) -> Script:
    """Change the running filter of a firewall by hand, with what it ran kept beside."""
    return Script(node=node, script=f"nft -s list table inet cloison >/run/filter-before-fault\n{change}")


def edit_filter(node: EquipmentName, *edits: str) -> Script:
    """Change the text of the running filter, one command of sed(1) an edit; an edit that changes nothing is an error.

    The filter is kept beside as by `keep_filter`.
    """
    lines = ["cp /run/filter-before-fault /run/filter-fault"]
    for edit in edits:
        lines += [
            f"sed '{edit}' /run/filter-fault >/run/filter-edited",
            "if cmp -s /run/filter-fault /run/filter-edited; then echo the edit changes nothing >&2; exit 1; fi",
            "mv /run/filter-edited /run/filter-fault",
        ]
    lines += ["{ echo 'delete table inet cloison'; cat /run/filter-fault; } | nft -f -", "rm /run/filter-fault"]
    return keep_filter(node, "\n".join(lines))


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


def filter_is_back(node: EquipmentName) -> Script:
    """Return the event that `bring_back_filter` is done: what was kept has been loaded."""
    return Script(node=node, script="[ ! -e /run/filter-before-fault ] && nft list table inet cloison >/dev/null")


def flows_are_back(node: EquipmentName) -> Script:
    """Return the event that `bring_back_flows` is done: the switch has taken the bundle of what was kept."""
    return Script(node=node, script="[ ! -e /run/flows-before-fault ] && ovs-ofctl dump-flows br0 >/dev/null")


def shows(node: EquipmentName, script: str) -> Script:
    """Return what is awaited after a fault is undone."""
    return Script(node=node, script=script)


def relays_again(intent: Intent, camera: EquipmentName) -> Script:
    """Return the event that the live gateway gets a camera's stream: the last word of its log on it."""
    flow = next(flow for flow in intent.flows if flow.rule == "relay" and flow.destination.name == camera)
    source = f"rtsps://{flow.destination.address}:{flow.service.port}/live:"
    return Script(node=GATEWAY, script=f"grep -F '{source}' /var/log/relay.log | tail -n 1 | grep -q ' live$'")
