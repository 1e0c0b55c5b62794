"""The loaded nftables ruleset of a firewall: what its hooks let through, against the flows that cross it.

Reads `nft -j list ruleset` (libnftables-json(5)). A rule that accepts something in a form not known here is a
difference: it is not read as little, nor as nothing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

from cloison.flow import Protocol
from cloison.model import read_json
from cloison.probe.readback.routes import TUNNEL_INTERFACE

if TYPE_CHECKING:
    from cloison.intent.network import Equipment, Intent, Site
    from cloison.model import EquipmentName

COMMAND = ("nft", "-j", "list", "ruleset")
TABLE = ("inet", "cloison")
_IKE_PORTS = (500, 4500)
_SSH_PORT = 22
Permit = tuple[str, str, str, int]
"""Source and destination address, `tcp`, `udp` or `udp sport`, port."""
Json = Any
_IGNORED = ("counter", "log")
_PATH_MTU = "icmp type=destination-unreachable,icmp code=frag-needed,ct state=related"
_GENERAL = {
    "input": ("iifname=lo", "ct state=established"),
    "output": ("oifname=lo", "ct state=established", _PATH_MTU),
    "forward": ("ct state=established", f"iifname={TUNNEL_INTERFACE},{_PATH_MTU}"),
}
"""What may be let through whoever sends it: replies, and what tells a sender to send smaller packets, of the firewall
or out of a tunnel."""


@dataclass(slots=True)
class Ruleset:
    """What is loaded, reduced to what is let through."""

    tables: set[tuple[str, str]] = field(default_factory=set)
    policies: dict[str, str] = field(default_factory=dict)
    """By hook, of the base chains of the table."""
    permits: defaultdict[str, set[Permit]] = field(default_factory=lambda: defaultdict(set))
    """By hook."""
    general: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By hook: what is accepted whoever sends it, each written out."""


def read(text: str) -> Ruleset:
    """Return what the output of COMMAND lets through; ValueError or KeyError when it is something else."""
    said: Any = read_json(text)
    entries = said["nftables"]
    found = Ruleset()
    hooks: dict[tuple[str, str, str], str] = {}
    sets: dict[str, list[Json]] = {}
    for entry in entries:
        if "table" in entry:
            found.tables.add((entry["table"]["family"], entry["table"]["name"]))
        elif "chain" in entry:
            chain = entry["chain"]
            hooks[_place(chain, "name")] = chain.get("hook", f"chain {chain['name']}")
            if "hook" in chain and (chain["family"], chain["table"]) == TABLE:
                found.policies[chain["hook"]] = chain["policy"]
        elif "set" in entry:
            sets[entry["set"]["name"]] = entry["set"].get("elem", [])
    for entry in entries:
        rule = entry.get("rule")
        if rule and any("accept" in part for part in rule["expr"]):
            _read_accept(found, hooks[_place(rule, "chain")], rule["expr"], sets)
    return found


def _place(entry: Json, key: str) -> tuple[str, str, str]:
    return (entry["family"], entry["table"], entry[key])


def _read_accept(found: Ruleset, hook: str, parts: list[Json], sets: dict[str, list[Json]]) -> None:
    matches: list[tuple[str, Json]] = []
    for part in parts:
        if "match" in part:
            matches.append((_named(part["match"]), part["match"]["right"]))
        elif not any(key in part for key in (*_IGNORED, "accept")):
            matches.append((f"unknown {next(iter(part))}", ""))
    conversation = _permits(dict(matches), len(matches), sets)
    if conversation is None:
        found.general[hook].add(",".join(f"{name}={_shown(value)}" for name, value in matches))
    else:
        found.permits[hook] |= conversation


def _named(match: Json) -> str:
    """Return what a match compares, in nft's own words; an operator other than equality stands behind."""
    left = match["left"]
    if "&" in left and left["&"][0] == {"payload": {"protocol": "tcp", "field": "flags"}}:
        name = "tcp flags"
    elif "concat" in left:
        name = " . ".join(_field(part) for part in left["concat"])
    else:
        name = _field(left)
    return name if match["op"] in {"==", "in"} else f"{name} {match['op']}"


def _field(left: Json) -> str:
    match left:
        case {"payload": {"protocol": str(protocol), "field": str(name)}}:
            return f"{protocol} {name}"
        case {"meta": {"key": str(key)}}:
            return key
        case {"ct": {"key": str(key)}}:
            return f"ct {key}"
        case _:
            return json.dumps(left, sort_keys=True)


def _shown(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


_BETWEEN = "ip saddr . ip daddr"
_PORTS = {"tcp dport": Protocol.TCP.value, "udp dport": Protocol.UDP.value, "udp sport": "udp sport"}
_HARMLESS = {"iifname", "oifname", "tcp flags", "ct state"}
"""Matches that only narrow what the addresses and the port say."""


def _permits(matches: dict[str, Json], count: int, sets: dict[str, list[Json]]) -> set[Permit] | None:
    """Return who may speak to whom, or None for a rule that does not name both addresses and a port, each exactly."""
    ports = [name for name in matches if name in _PORTS]
    rest = set(matches) - set(ports) - {"ip saddr", "ip daddr", _BETWEEN} - _HARMLESS
    if rest or len(ports) != 1 or len(matches) != count:
        return None
    if _BETWEEN in matches:
        pairs = [element["concat"] for element in _elements(matches[_BETWEEN], sets)]
    elif {"ip saddr", "ip daddr"} <= set(matches):
        pairs = [
            list(pair) for pair in product(_elements(matches["ip saddr"], sets), _elements(matches["ip daddr"], sets))
        ]
    else:
        return None
    if not all(isinstance(end, str) for pair in pairs for end in pair):
        return None  # a prefix or a range: never an endpoint
    numbers = _elements(matches[ports[0]], sets)
    if not all(isinstance(number, int) for number in numbers):
        return None
    return {(pair[0], pair[1], _PORTS[ports[0]], number) for pair in pairs for number in numbers}


def _elements(right: Json, sets: dict[str, list[Json]]) -> list[Json]:
    if isinstance(right, str) and right.startswith("@"):
        return sets[right[1:]]
    if isinstance(right, dict) and "set" in right:
        return list(right["set"])
    return [right]


def declared(intent: Intent, firewall: Equipment) -> dict[str, set[Permit]]:
    """Return what each hook has to let through: the flows to, from and across the firewall, IKE, local management."""
    site = intent.site_by_name[firewall.name.site]
    wanted: dict[str, set[Permit]] = {"input": set(), "output": set(), "forward": set()}
    for flow in intent.flows:
        ends = (flow.source.name, flow.destination.name)
        permit = (
            str(flow.source.address),
            str(flow.destination.address),
            flow.service.protocol.value,
            flow.service.port,
        )
        if flow.destination.name == firewall.name:
            wanted["input"].add(permit)
        elif flow.source.name == firewall.name:
            wanted["output"].add(permit)
        elif any(end.site == site.name for end in ends) and not _stays_in_a_segment(intent, *ends):
            wanted["forward"].add(permit)
    _add_own(intent, site, firewall, wanted)
    return wanted


def _stays_in_a_segment(intent: Intent, source: EquipmentName, destination: EquipmentName) -> bool:
    one, other = intent.equipment_by_name[source], intent.equipment_by_name[destination]
    return source.site == destination.site and one.segment == other.segment


def _add_own(intent: Intent, site: Site, firewall: Equipment, wanted: dict[str, set[Permit]]) -> None:
    own = str(site.wan_address.ip)
    for tunnel in intent.tunnels_of(firewall.name):
        peer = str(tunnel.end_of(firewall.name)[1].address)
        for port in _IKE_PORTS:
            wanted["input"].add((peer, own, "udp", port))
            wanted["output"].add((own, peer, "udp sport", port))
    if firewall.local_management is not None:
        here, technician = (str(end.ip) for end in firewall.local_management)
        wanted["input"].add((technician, here, "tcp", _SSH_PORT))


def differences(intent: Intent, firewall: Equipment, text: str) -> list[str]:
    """Return everything that is let through and not declared, and everything declared that is not let through."""
    found = read(text)
    result = [f"table {' '.join(table)} is not ours" for table in sorted(found.tables - {TABLE})]
    result += [] if TABLE in found.tables else [f"table {' '.join(TABLE)} is missing"]
    for hook, wanted in declared(intent, firewall).items():
        if found.policies.get(hook) != "drop":
            result.append(f"{hook}: policy {found.policies.get(hook, 'none')}; expected drop")
        result += [f"{hook}: lets through {_text(permit)}" for permit in sorted(found.permits[hook] - wanted)]
        result += [f"{hook}: has no rule for {_text(permit)}" for permit in sorted(wanted - found.permits[hook])]
        unknown = found.general[hook] - set(_GENERAL[hook])
        result += [f"{hook}: accepts {rule or 'everything'}" for rule in sorted(unknown)]
    elsewhere = set(found.permits) | set(found.general)
    for hook in sorted(elsewhere - {"input", "output", "forward", "prerouting", "postrouting"}):
        result.append(f"{hook}: accepts in a chain that others jump to")
    return result


def _text(permit: Permit) -> str:
    return f"{permit[0]} to {permit[1]}, {permit[2]} {permit[3]}"
