"""What checks are about: for each fixture that a validator can ask for, every subject by the stable name it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.intent.models import Kind, Medium
from cloison.probe.question import pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cloison.intent.network import Equipment, Intent

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


def _logging(intent: Intent) -> dict[str, Equipment]:
    """Return the examined hosts that are to send their log to the collector."""
    senders = {flow.source.name for flow in intent.flows if flow.destination.name == intent.log_collector.name}
    senders -= {intent.administration_station.name}
    return {name: equipment for name, equipment in examined_hosts(intent).items() if equipment.name in senders}


SUBJECTS: Mapping[str, Callable[[Intent], Mapping[str, object]]] = {
    "flow": lambda intent: {flow.key: flow for flow in intent.flows},
    "pair": lambda intent: {str(pair): pair for pair in pairs(intent)},
    "tunnel": lambda intent: {str(tunnel.name): tunnel for tunnel in intent.tunnels},
    "site": lambda intent: {str(site.name): site for site in intent.sites},
    "examined": examined_hosts,
    "device": lambda intent: {n: e for n, e in examined_hosts(intent).items() if e.is_device},
    "firewall": lambda intent: _of_kind(intent, Kind.FIREWALL),
    "logging": _logging,
    "timed": lambda intent: {
        dotted(name): equipment
        for name, equipment in sorted(
            (flow.source.name, intent.equipment_by_name[flow.source.name])
            for flow in intent.flows
            if flow.service.name == "ntp"
        )
        if dotted(name) in examined_hosts(intent)
    },
    "camera": lambda intent: {
        dotted(name): equipment
        for name, equipment in sorted(intent.equipment_by_name.items())
        if equipment.kind is Kind.CAMERA
    },
    "fibre_end": lambda intent: {
        f"{dotted(end.equipment)}.{end.port}": end
        for site in intent.sites
        for cable in site.cables
        if cable.medium is Medium.FIBRE
        for end in cable.ends
        if intent.equipment_by_name[end.equipment].is_device
    },
}
