"""What checks are about: for each fixture that a validator can ask for, every subject by the stable name it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.intent.models import Kind, Medium
from cloison.probe.carried import flows_through
from cloison.probe.question import pairs
from cloison.testing.viewing import live_flows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cloison.intent.network import Equipment, Intent, PortReference

SSH_PORT = 22


def dotted(name: str) -> str:
    """Return a name as it stands in the id of a check: the slash is a dot."""
    return name.replace("/", ".")


def examined_hosts(intent: Intent) -> dict[str, Equipment]:
    """Return every equipment that policy lets the administration station into over SSH."""
    let_in = {
        flow.destination.name
        for flow in intent.flows
        if flow.source.name == intent.administration_station.name and flow.service.port == SSH_PORT
    }
    return {dotted(name): intent.equipment_by_name[name] for name in sorted(let_in)}


def _of_kind(intent: Intent, *kinds: Kind) -> dict[str, Equipment]:
    hosts = examined_hosts(intent)
    return {name: equipment for name, equipment in hosts.items() if equipment.kind in kinds}


def logging_hosts(intent: Intent) -> dict[str, Equipment]:
    """Return the examined hosts that are to send their log to the collector."""
    senders = {flow.source.name for flow in intent.flows if flow.destination.name == intent.log_collector.name}
    senders -= {intent.administration_station.name}
    return {name: equipment for name, equipment in examined_hosts(intent).items() if equipment.name in senders}


def _fibre_ends(intent: Intent) -> dict[str, PortReference]:
    """Return the ends of every fibre that are at a device: by the device, and its port where it has several."""
    ends = [
        end
        for site in intent.sites
        for cable in site.cables
        if cable.medium is Medium.FIBRE
        for end in cable.ends
        if intent.equipment_by_name[end.equipment].is_device
    ]
    several = {end.equipment for end in ends if sum(end.equipment == other.equipment for other in ends) > 1}
    return {
        f"{dotted(end.equipment)}.{end.port}" if end.equipment in several else dotted(end.equipment): end
        for end in ends
    }


SUBJECTS: Mapping[str, Callable[[Intent], Mapping[str, object]]] = {
    "flow": lambda intent: {flow.key: flow for flow in intent.flows},
    "pair": lambda intent: {str(pair): pair for pair in pairs(intent)},
    "tunnel": lambda intent: {str(tunnel.name): tunnel for tunnel in intent.tunnels},
    "live_tunnel": lambda intent: {
        str(tunnel.name): tunnel
        for tunnel in intent.tunnels
        if any(flow in live_flows(intent) for flow in flows_through(intent, tunnel))
    },
    "gateway": lambda intent: {
        dotted(name): intent.equipment_by_name[name]
        for name in sorted({flow.destination.name for flow in live_flows(intent)})
    },
    "site": lambda intent: {str(site.name): site for site in intent.sites},
    "examined": examined_hosts,
    "device": lambda intent: {n: e for n, e in examined_hosts(intent).items() if e.is_device},
    "switch": lambda intent: _of_kind(intent, Kind.SWITCH),
    "firewall": lambda intent: _of_kind(intent, Kind.FIREWALL),
    "logging": logging_hosts,
    "camera": lambda intent: {
        dotted(name): equipment
        for name, equipment in sorted(intent.equipment_by_name.items())
        if equipment.kind is Kind.CAMERA
    },
    "fibre_end": _fibre_ends,
}
