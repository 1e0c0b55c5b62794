"""What the devices run: rows and flows of their switch, interfaces, routes, filter, connections."""

from collections.abc import Callable, Sequence

import pytest
from testinfra.host import Host

from cloison.intent.network import Equipment, Intent
from cloison.model import EquipmentName
from cloison.probe.hosts import said_by
from cloison.probe.readback import edge, routes, rows, ruleset, tunnels

HostFor = Callable[[EquipmentName], Host]
AsDeclared = Callable[[Sequence[str], str], None]


@pytest.mark.check(
    "hosts/switch-rows",
    title="the switch has the declared ports in their VLANs, and copies nothing",
    controls=("ANSSI-PA-72 R16",),
)
def test_switch_rows(device: Equipment, intent: Intent, host_for: HostFor, as_declared: AsDeclared) -> None:
    """Every port is in its VLANs; there is no other port, no mirror, no controller."""
    found = rows.differences(intent, device, said_by(host_for(device.name), rows.COMMAND))
    as_declared(found, f"{len(rows.declared(intent, device))} ports as declared; no mirror, no controller")


@pytest.mark.check(
    "hosts/interfaces", title="interfaces are up, down and addressed as declared", controls=("ANSSI-PA-72 R18",)
)
def test_interfaces(device: Equipment, intent: Intent, host_for: HostFor, as_declared: AsDeclared) -> None:
    """Unused ports are down, all others up; every interface has its declared addresses."""
    found = routes.interface_differences(intent, device, said_by(host_for(device.name), routes.ADDRESSES))
    as_declared(found, f"interfaces: {', '.join(routes.wanted_addresses(intent, device))}")


@pytest.mark.check(
    "hosts/routes", title="routes are the declared ones; the private plan ends here", controls=("ANSSI DAT-NT-003 R10",)
)
def test_routes(device: Equipment, intent: Intent, host_for: HostFor, as_declared: AsDeclared) -> None:
    """The routing table is the declared one, with the dead end that keeps packets in when a tunnel is gone."""
    found = routes.route_differences(intent, device, said_by(host_for(device.name), routes.ROUTES))
    as_declared(found, f"{len(routes.wanted_routes(intent, device))} routes as declared")


@pytest.mark.check(
    "hosts/edge-flows", title="an edge port lets its declared host in, and nobody else", controls=("ANSSI-PA-72 R19",)
)
def test_edge_flows(switch: Equipment, intent: Intent, host_for: HostFor, as_declared: AsDeclared) -> None:
    """The switch's own trace of each kind of frame ends as it has to."""
    traced = edge.cases(intent, switch)
    found = edge.differences(traced, said_by(host_for(switch.name), edge.command(traced)))
    as_declared(found, f"{len(traced)} kinds of frame traced")


@pytest.mark.check(
    "hosts/filter",
    title="the filter lets through the authorised flows, and no other",
    controls=(
        "ANSSI-PA-72 R23",
        "ANSSI-PA-72 R24",
    ),
)
def test_filter(firewall: Equipment, intent: Intent, host_for: HostFor, as_declared: AsDeclared) -> None:
    """What the loaded rules accept is what is declared; there is no table of anybody else."""
    found = ruleset.differences(intent, firewall, said_by(host_for(firewall.name), ruleset.COMMAND))
    permits = sum(len(wanted) for wanted in ruleset.declared(intent, firewall).values())
    as_declared(found, f"{permits} permits as declared, everything else dropped; no foreign table")


@pytest.mark.check(
    "hosts/tunnels", title="the IKE daemon has the declared connections", controls=("ANSSI DAT-NT-003 R9",)
)
def test_tunnels(firewall: Equipment, intent: Intent, host_for: HostFor, as_declared: AsDeclared) -> None:
    """Connections, addresses, identities and selectors as loaded are the declared ones."""
    own = intent.tunnels_of(firewall.name)
    text = said_by(host_for(firewall.name), tunnels.CONNECTIONS)
    names = ", ".join(tunnel.name for tunnel in own)
    as_declared(
        tunnels.connection_differences(firewall.name, own, text),
        f"connections: {names}. Proposals are shown by no command: see tunnel/algorithms",
    )
