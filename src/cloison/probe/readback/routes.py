"""Routes and addresses of a device: the declared ones, and a dead end for the private plan when a tunnel is gone."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network
from typing import TYPE_CHECKING, Any

from cloison.intent.models import Kind
from cloison.intent.network import PortMode
from cloison.model import read_json

if TYPE_CHECKING:
    from cloison.intent.network import Equipment, Intent

ROUTES = ("ip", "-j", "-4", "route", "show", "table", "main")
ADDRESSES = ("ip", "-j", "address")
TUNNEL_INTERFACE, LOCAL_INTERFACE, MANAGEMENT = "ipsec0", "local0", "management"
_BLACKHOLE_METRIC = 4096
_ITS_OWN = ("lo", "br0", "ovs-netdev", TUNNEL_INTERFACE)
"""Interfaces that come with the system, the switch or the IKE daemon."""
Json = Any
Route = tuple[str, str, str]
"""Destination, next hop (empty when directly attached), interface; or `blackhole` and the metric."""


def wanted_addresses(intent: Intent, device: Equipment) -> dict[str, set[IPv4Interface]]:
    """Return the addresses that every interface of a device has to have; none is a set without members."""
    site = intent.site_by_name[device.name.site]
    wanted: dict[str, set[IPv4Interface]] = {str(port.name): set() for port in device.ports}
    if device.local_management is not None:
        wanted[LOCAL_INTERFACE] = {device.local_management[0]}
    for segment in site.segments:
        if device.kind is Kind.FIREWALL:
            wanted[f"vlan{segment.vlan}"] = {IPv4Interface((segment.gateway, segment.prefix.prefixlen))}
        elif segment.name == device.segment and device.address is not None:
            wanted[MANAGEMENT] = {IPv4Interface((device.address, segment.prefix.prefixlen))}
    for port in device.ports:
        if port.mode is PortMode.ROUTED:
            wanted[str(port.name)] = {site.wan_address}
    return wanted


def wanted_routes(intent: Intent, device: Equipment) -> set[Route]:
    """Return the main routing table that a device has to have."""
    site = intent.site_by_name[device.name.site]
    routes = {
        (str(address.network), "", interface)
        for interface, addresses in wanted_addresses(intent, device).items()
        for address in addresses
    }
    if device.kind is Kind.FIREWALL:
        outside = next(str(port.name) for port in device.ports if port.mode is PortMode.ROUTED)
        routes.add(("default", str(site.wan_gateway), outside))
        routes.add((str(intent.prefix), "blackhole", str(_BLACKHOLE_METRIC)))
    else:
        segment = next(segment for segment in site.segments if segment.name == device.segment)
        routes.add(("default", str(segment.gateway), MANAGEMENT))
    return routes


def route_differences(intent: Intent, device: Equipment, text: str) -> list[str]:
    """Return what is routed and not declared, and what is declared and not routed (output of ROUTES)."""
    said: Any = read_json(text)
    found = {_route(entry) for entry in said}
    wanted = wanted_routes(intent, device)
    return [f"route {_shown(route)} is not declared" for route in sorted(found - wanted)] + [
        f"route {_shown(route)} is missing" for route in sorted(wanted - found)
    ]


def _route(entry: Json) -> Route:
    destination = entry["dst"] if entry["dst"] == "default" else str(IPv4Network(entry["dst"]))
    kind = entry.get("type", "unicast")
    if kind != "unicast":
        return (destination, kind, str(entry.get("metric", 0)))
    return (destination, entry.get("gateway", ""), entry.get("dev", ""))


def _shown(route: Route) -> str:
    destination, hop, interface = route
    if hop == "blackhole":
        return f"{destination} to nowhere, metric {interface}"
    return f"{destination} by {hop or 'cable'} on {interface}"


def interface_differences(intent: Intent, device: Equipment, text: str) -> list[str]:
    """Return what is up, down or addressed otherwise than declared (output of ADDRESSES)."""
    wanted = wanted_addresses(intent, device)
    unused = {str(port.name) for port in device.ports if port.mode is PortMode.UNUSED}
    said: Any = read_json(text)
    entries = {entry["ifname"]: entry for entry in said}
    known = {*wanted, *_ITS_OWN}
    found = [f"interface {name} is not declared" for name in sorted(entries.keys() - known)]
    found += [f"interface {name} is missing" for name in sorted(wanted.keys() - entries.keys())]
    for name in sorted(wanted.keys() & entries.keys()):
        entry = entries[name]
        is_up, should = "UP" in entry["flags"], name not in unused
        if is_up is not should:
            found.append(f"interface {name} is {'up' if is_up else 'down'}; expected {'up' if should else 'down'}")
        addresses = {f"{info['local']}/{info['prefixlen']}" for info in entry["addr_info"]}
        if addresses != {str(address) for address in wanted[name]}:
            shown = ", ".join(sorted(addresses)) or "none"
            expected = ", ".join(str(address) for address in wanted[name]) or "none"
            found.append(f"interface {name} has the addresses {shown}; expected {expected}")
    bridge = entries.get("br0")
    if bridge is not None and "UP" in bridge["flags"]:
        found.append("the bridge's own port br0 is up; it would be in every VLAN")
    return found
