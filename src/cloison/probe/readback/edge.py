"""Edge security of a switch: what its own flow tables do with frames that its ports may, and may not, send.

Frames are traced by the switch (`ovs-appctl ofproto/trace`), which sends none: the tables are judged by what they do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.intent.models import Kind
from cloison.intent.network import PortMode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from cloison.intent.network import Equipment, Intent, Port, Segment
    from cloison.model import MacAddress

_SOMEBODY = "02:00:00:00:fe:fe"
"""A MAC address that nobody has."""
_BROADCAST, _GROUP = "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:fb"
_MARK = "case "
_ACTIONS = "Datapath actions: "


@dataclass(frozen=True, slots=True)
class Case:
    """One frame at one port, and whether it has to go on; in which VLAN is a matter of the switch's rows."""

    name: str
    port: str
    frame: str
    """The fields besides in_port, as ovs-fields(7) writes them."""
    passes: bool


def cases(intent: Intent, switch: Equipment) -> list[Case]:
    """Return what is traced: each declared host's own frames and ways to be somebody else, then what leads nowhere."""
    found: list[Case] = []
    site = intent.site_by_name[switch.name.site]
    for port in switch.ports:
        if port.mode is PortMode.UNUSED:
            found.append(
                Case("any frame at a spare port", port.name, f"{_frame(_SOMEBODY)},ip,nw_src=10.0.0.1", passes=False)
            )
        elif port.mode is PortMode.TRUNK:
            strays = [intent.parking_vlan, *_vlans_elsewhere(intent, port)]
            found += [
                Case(f"VLAN {vlan} at a trunk", port.name, f"{_frame(_SOMEBODY)},dl_vlan={vlan},ip", passes=False)
                for vlan in strays
            ]
        attached = [intent.equipment_by_name[name] for name in port.attached]
        beyond = {host.address for host in attached}
        for host in attached:
            segment = next(segment for segment in site.segments if segment.name == host.segment)
            if host.address is None or (host.mac is None and host.kind is not Kind.SWITCH):
                continue
            if port.mode is PortMode.TRUNK:
                stranger = next(one for one in segment.prefix.hosts() if one not in {segment.gateway, *beyond})
                found += _cases_beyond_trunk(port, segment, host.mac, host.address, stranger)
            elif host.mac is not None:
                found += _cases_of_host(port, segment, str(host.mac), host.address)
    return found


def _vlans_elsewhere(intent: Intent, port: Port) -> list[int]:
    known = {segment.vlan for site in intent.sites for segment in site.segments}
    return sorted(known - set(port.vlans))[:2]


def _frame(source: str, destination: str = _SOMEBODY) -> str:
    return f"dl_src={source},dl_dst={destination}"


def _arp(operation: int, mac: str, sender: IPv4Address, target: IPv4Address) -> str:
    return f"arp,arp_op={operation},arp_sha={mac},arp_spa={sender},arp_tpa={target}"


def _cases_of_host(port: Port, segment: Segment, mac: str, address: IPv4Address) -> Iterator[Case]:
    gateway, name, vlan = segment.gateway, str(port.name), segment.vlan
    other = next(host for host in segment.prefix.hosts() if host not in {gateway, address})
    own, to_all = f"nw_src={address}", _frame(mac, _BROADCAST)
    good = {
        "its own frame to the gateway": f"{_frame(mac)},ip,{own},nw_dst={gateway}",
        "its own frame out of the segment": f"{_frame(mac)},ip,{own},nw_dst=10.255.0.1",
        "its own ARP for the gateway": f"{to_all},{_arp(1, mac, address, gateway)}",
    }
    bad = {
        "another MAC address": f"{_frame(_SOMEBODY)},ip,{own},nw_dst={gateway}",
        "another IP address": f"{_frame(mac)},ip,nw_src={other},nw_dst={gateway}",
        "the gateway's IP address": f"{_frame(mac)},ip,nw_src={gateway},nw_dst=10.255.0.1",
        "ARP in the gateway's name": f"{to_all},{_arp(2, mac, gateway, other)}",
        "ARP with another MAC address": f"{to_all},{_arp(1, _SOMEBODY, address, gateway)}",
        "ARP for a neighbour": f"{to_all},{_arp(1, mac, address, other)}",
        "a neighbour of the segment": f"{_frame(mac)},ip,{own},nw_dst={other}",
        "a tag of its own VLAN": f"{_frame(mac)},dl_vlan={vlan},ip,{own},nw_dst={gateway}",
        "a tag of VLAN 0": f"{_frame(mac)},vlan_tci=0x1000,ip,{own},nw_dst={gateway}",
        "IPv6": f"{_frame(mac)},ipv6",
        "a later fragment": f"{_frame(mac)},ip,{own},nw_dst={gateway},nw_frag=later",
        "a broadcast": f"{to_all},ip,{own},nw_dst=255.255.255.255",
        "a multicast": f"{_frame(mac, _GROUP)},ip,{own},nw_dst=224.0.0.251",
        "an answer of a DHCP server": f"{_frame(mac)},udp,{own},nw_dst={gateway},udp_src=67",
        "another protocol": f"{_frame(mac)},dl_type=0x88cc",
    }
    for what, frame in good.items():
        yield Case(f"{what} at {name}", name, frame, passes=True)
    for what, frame in bad.items():
        yield Case(f"{what} at {name}", name, frame, passes=False)


def _cases_beyond_trunk(
    port: Port, segment: Segment, mac: MacAddress | None, address: IPv4Address, other: IPv4Address
) -> Iterator[Case]:
    """Yield what whoever cuts the cable of a trunk may say in the name of a host beyond it, and in others' names.

    A `mac` that is not declared may be any; `other` is an address of the segment that nobody beyond the trunk has.
    """
    gateway, source, other_vlans = segment.gateway, mac or _SOMEBODY, sorted({*port.vlans} - {segment.vlan})
    tag, own, away = f"dl_vlan={segment.vlan}", f"ip,nw_src={address}", "nw_dst=10.255.0.1"
    to_one, to_all = f"{_frame(source)},{tag}", f"{_frame(source, _BROADCAST)},{tag}"
    good = {
        "to the gateway": f"{to_one},{own},nw_dst={gateway}",
        "out of the segment": f"{to_one},{own},{away}",
        "ARP for the gateway": f"{to_all},{_arp(1, source, address, gateway)}",
    }
    bad = {
        "to the gateway from another IP address": f"{to_one},ip,nw_src={other},nw_dst={gateway}",
        "out of the segment from another IP address": f"{to_one},ip,nw_src={other},{away}",
        "out of the segment from the gateway's IP address": f"{to_one},ip,nw_src={gateway},{away}",
        "ARP for the gateway in a neighbour's name": f"{to_all},{_arp(1, source, other, gateway)}",
        "ARP in the gateway's name": f"{to_all},{_arp(2, source, gateway, other)}",
        "ARP for a neighbour": f"{to_all},{_arp(1, source, address, other)}",
        "to a neighbour of the segment": f"{to_one},{own},nw_dst={other}",
    }
    for vlan in other_vlans:
        bad[f"out of the segment in VLAN {vlan}"] = f"{_frame(source)},dl_vlan={vlan},{own},{away}"
    if mac is not None:
        bad["out of the segment from another MAC address"] = f"{_frame(_SOMEBODY)},{tag},{own},{away}"
        bad["ARP with another MAC address"] = f"{to_all},{_arp(1, _SOMEBODY, address, gateway)}"
    for frames, passes in ((good, True), (bad, False)):
        for what, frame in frames.items():
            yield Case(f"{what} as {address} in VLAN {segment.vlan} at {port.name}", port.name, frame, passes=passes)


def command(traced: list[Case]) -> tuple[str, ...]:
    """Return one command that traces every case; each case begins a line of its own in the output."""
    lines = [
        f"echo '{_MARK}{number}'; ovs-appctl ofproto/trace br0 'in_port={case.port},{case.frame}' 2>&1"
        for number, case in enumerate(traced)
    ]
    return ("sh", "-c", "\n".join(lines))


def differences(traced: list[Case], text: str) -> list[str]:
    """Return every case that the tables decide otherwise than they have to."""
    found: list[str] = []
    blocks = dict(_blocks(text))
    for number, case in enumerate(traced):
        block = blocks.get(number, "")
        actions = [line.removeprefix(_ACTIONS) for line in block.splitlines() if line.startswith(_ACTIONS)]
        if len(actions) != 1:
            reason = block.strip().splitlines()[-1:] or ["nothing"]
            found.append(f"{case.name}: the switch could not trace it, it said: {reason[0]}")
        elif (actions[0] != "drop") is not case.passes:
            found.append(f"{case.name} is {'dropped' if case.passes else f'forwarded ({actions[0]})'}")
    return found


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    for part in re.split(rf"(?m)^{_MARK}", text)[1:]:
        number, _, rest = part.partition("\n")
        yield int(number), rest
