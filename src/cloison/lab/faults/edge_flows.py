"""Faults of edge security, one match at a time: what a flow no longer asks for, and a frame that nobody drops."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer, Script
from cloison.lab.faults.pilot import (
    COMMUNE_FIREWALL,
    CORE_SWITCH,
    CRISIS_SWITCH,
    OPERATOR,
    OTHER_STATION,
    POLE_SWITCH,
    STATION,
    address,
    bring_back_filter,
    bring_back_flows,
    edit_filter,
    filter_is_back,
    flows_are_back,
    keep_flows,
    port_of,
    segment_of,
)
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent
    from cloison.model import EquipmentName, InterfaceName


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of this kind."""
    return (
        *_widened(intent),
        _drop_first(intent),
        _fragments_let_in(),
        _dhcp_server_let_in(intent),
        _ipv6_let_in(intent),
    )


def _must(node: EquipmentName) -> tuple[str, ...]:
    return tuple(f"{check}/{node.site}.{node.equipment}" for check in ("hosts/edge-flows", "intent/running"))


_RUNNING = ("intent/running/crisis-cell.core-switch",)
"""The switch's trace is asked about frames to the gateway's own address, and these flows are about those beyond it."""


def _at_a_station(name: str, title: str, change: str, must: tuple[str, ...] = _RUNNING) -> Fault:
    return Fault(
        name=Name(name),
        layer=Layer.EDGE,
        title=title,
        inject=(keep_flows(CRISIS_SWITCH, change),),
        heal=(bring_back_flows(CRISIS_SWITCH),),
        healed=(flows_are_back(CRISIS_SWITCH),),
        must=must,
    )


def _del(flow: str) -> str:
    return f"ovs-ofctl --strict del-flows br0 {flow}"


def _add(flow: str) -> str:
    return f"ovs-ofctl add-flow br0 {flow},actions=NORMAL"


def _widened(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults that leave one match out of what a station may send."""
    own, port = address(intent, STATION), port_of(intent, CRISIS_SWITCH, STATION).name
    mac, gateway = intent.equipment_by_name[STATION].mac, segment_of(intent, STATION).gateway
    both = IPv4Network((own, 31), strict=False)
    if address(intent, OTHER_STATION) not in both:
        raise KeyError(OTHER_STATION)
    sends = f"priority=280,in_port={port},ip"
    asks = f"priority=300,in_port={port},arp,dl_src={mac},arp_sha={mac}"
    strict = _del(f"{sends},dl_src={mac},nw_src={own}")
    other = port_of(intent, CRISIS_SWITCH, OTHER_STATION).name
    return (
        _at_a_station(
            "edge-mac-widened",
            "whatever has the address of a crisis-cell station may send at its port, whichever its MAC address",
            f"{strict}\n{_add(f'{sends},nw_src={own}')}",
        ),
        _at_a_station(
            "edge-address-widened",
            "a crisis-cell station may send in the other station's name",
            f"{strict}\n{_add(f'{sends},dl_src={mac},nw_src={both}')}",
        ),
        _at_a_station(
            "edge-arp-widened",
            "a crisis-cell station may say by ARP that any address is its own",
            f"{_del(f'{asks},arp_spa={own},arp_tpa={gateway}')}\n{_add(f'{asks},arp_tpa={gateway}')}",
        ),
        _at_a_station(
            "edge-tag-let-in",
            "a crisis-cell station may send frames with a tag of VLAN 0",
            _del(f"priority=500,in_port={port},vlan_tci=0x1000/0x1000"),
            _must(CRISIS_SWITCH),
        ),
        _at_a_station(
            "edge-catch-all",
            "the last flow of a crisis-cell station's port lets everything else through instead of dropping it",
            f"{_del(f'priority=200,in_port={other}')}\n{_add(f'priority=200,in_port={other}')}",
            _must(CRISIS_SWITCH),
        ),
    )


def _drop_first(intent: Intent) -> Fault:
    port = port_of(intent, CORE_SWITCH, OPERATOR).name
    change = f"{_del(f'priority=200,in_port={port}')}\novs-ofctl add-flow br0 priority=310,in_port={port},actions=drop"
    return Fault(
        name=Name("edge-drop-first"),
        layer=Layer.EDGE,
        title="the flow that drops the rest at the operator's port comes before those that let its frames through",
        inject=(keep_flows(CORE_SWITCH, change),),
        heal=(bring_back_flows(CORE_SWITCH),),
        healed=(flows_are_back(CORE_SWITCH),),
        must=_must(CORE_SWITCH),
        may=("*roussy-le-village.operator*",),
    )


def _fragments_let_in() -> Fault:
    change = "\n".join(_del(f"priority=470,ip,nw_frag={part}") for part in ("first", "later"))
    return Fault(
        name=Name("fragments-let-in"),
        layer=Layer.EDGE,
        title="neither the pole switch nor the firewall drops fragments",
        inject=(keep_flows(POLE_SWITCH, change), edit_filter(COMMUNE_FIREWALL, '/comment "no-fragment"/d')),
        heal=(bring_back_flows(POLE_SWITCH), bring_back_filter(COMMUNE_FIREWALL)),
        healed=(flows_are_back(POLE_SWITCH), filter_is_back(COMMUNE_FIREWALL)),
        must=(*_must(POLE_SWITCH), "intent/running/roussy-le-village.firewall"),
    )


def _towards_a_neighbour(intent: Intent, name: str, title: str, change: str) -> Fault:
    """Return a fault that lets one kind of frame through between the two stations; they are protected otherwise."""
    ports: list[InterfaceName] = [port_of(intent, CRISIS_SWITCH, host).name for host in (STATION, OTHER_STATION)]
    joined = "\n".join(f"ovs-vsctl set port {port} protected=false" for port in ports)
    apart = "\n".join(f"ovs-vsctl set port {port} protected=true" for port in ports)
    return Fault(
        name=Name(name),
        layer=Layer.EDGE,
        title=title,
        inject=(keep_flows(CRISIS_SWITCH, f"{joined}\n{change}"),),
        heal=(Script(node=CRISIS_SWITCH, script=apart), bring_back_flows(CRISIS_SWITCH)),
        healed=(flows_are_back(CRISIS_SWITCH),),
        must=("hosts/switch-rows/crisis-cell.core-switch", *_must(CRISIS_SWITCH)),
    )


def _dhcp_server_let_in(intent: Intent) -> Fault:
    port = port_of(intent, CRISIS_SWITCH, STATION).name
    return _towards_a_neighbour(
        intent,
        "dhcp-server-let-in",
        "a crisis-cell station may answer the other one as a DHCP server",
        f"{_del('priority=440,udp,tp_src=67')}\n{_add(f'priority=310,in_port={port},udp,tp_src=67')}",
    )


def _ipv6_let_in(intent: Intent) -> Fault:
    port = port_of(intent, CRISIS_SWITCH, STATION).name
    return _towards_a_neighbour(
        intent,
        "ipv6-let-in",
        "a crisis-cell station may send IPv6, which no rule of a firewall ever sees, to the other one",
        f"{_del('priority=480,ipv6')}\n{_add(f'priority=310,in_port={port},ipv6')}",
    )
