"""Packet sets in words: which services, which addresses, and one packet that a person would have chosen."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from cloison.prove.packet import (
    ACK,
    ETHERNET_ARP,
    ETHERNET_IPV4,
    ETHERNET_IPV6,
    FIN,
    ICMP,
    ICMPV6,
    PSH,
    RST,
    SYN,
    TCP,
    UDP,
    UNTAGGED,
    URG,
    WITH_PORTS,
    Connection,
    Fragment,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cloison.prove.packet import Frames
    from cloison.prove.space import Interval, Packet, Region

_PROTOCOLS: Final = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "icmpv6", 47: "gre", 50: "esp", 132: "sctp"}
_FLAGS: Final = ((SYN, "SYN"), (ACK, "ACK"), (FIN, "FIN"), (RST, "RST"), (PSH, "PSH"), (URG, "URG"))
_USUAL_PORTS: Final = (443, 22, 322, 8322, 554, 80, 123, 53, 6514)
_MOST_SERVICES = 4
_EPHEMERAL_PORT: Final = 40000
_LAST_PORT: Final = 65535


def address(number: int, ethernet_type: int) -> str:
    """Return an address as it is written."""
    return str(IPv6Address(number) if ethernet_type == ETHERNET_IPV6 else IPv4Address(number & 0xFFFFFFFF))


def span(interval: Interval) -> str:
    """Return `443`, `1024-65535`, or `any`."""
    low, high = interval
    if low == high:
        return str(low)
    return "any" if low == 0 and high == _LAST_PORT else f"{low}-{high}"


def services(region: Region) -> str:
    """Return the services of a set: `tcp/443`, `udp/any, icmp/8`, or `any`; what is beyond four is counted."""
    found = every_service(region)
    beyond = len(found) - _MOST_SERVICES
    return ", ".join(found[:_MOST_SERVICES] + ((f"{beyond} more",) if beyond > 0 else ()))


def every_service(region: Region) -> tuple[str, ...]:
    """Return each service of a set, as `services` spells it."""
    found: list[str] = []
    for (low, high), part in region.per("ethernet_type"):
        if low != high:
            return ("any",)
        if low in (ETHERNET_IPV4, ETHERNET_IPV6):
            everything = "any IPv6" if low == ETHERNET_IPV6 else "any IPv4"
            found += [everything] if _is_any(part) else [_family(low) + one for one in _transports(part)]
        else:
            found.append("arp" if low == ETHERNET_ARP else f"ethernet/{low:04x}")
    return tuple(dict.fromkeys(found))


def _is_any(region: Region) -> bool:
    """Tell whether a set has every protocol, every port of TCP and UDP, and every type of ICMP."""
    whole = {TCP: _LAST_PORT, UDP: _LAST_PORT, ICMP: 255}
    values = {low: part.values("destination_port") for (low, _), part in region.per("protocol") if low in whole}
    every = all(values.get(protocol) == frozenset({(0, last)}) for protocol, last in whole.items())
    return every and region.values("protocol") == frozenset({(0, 255)})


def _family(ethernet_type: int) -> str:
    return "ipv6 " if ethernet_type == ETHERNET_IPV6 else ""


def _transports(region: Region) -> Iterator[str]:
    for (low, high), part in region.per("protocol"):
        if high - low > 1:
            yield "any protocol" if low == 0 else f"protocol {low}-{high}"
        else:
            for protocol in range(low, high + 1):
                name = _PROTOCOLS.get(protocol, f"protocol {protocol}")
                if protocol in (*WITH_PORTS, ICMP, ICMPV6):
                    yield from (f"{name}/{span(ports)}" for ports in sorted(part.values("destination_port")))
                else:
                    yield name


def text(packet: Packet) -> str:
    """Return a packet in one line: `TCP SYN from 10.56.2.2 port 40000 to 10.56.1.34 port 443`."""
    kind = packet["ethernet_type"]
    tags = [tag for tag in (packet["tag"], packet["inner_tag"]) if tag != UNTAGGED]
    tagged = "".join(f", tag {tag}" for tag in tags)
    if kind == ETHERNET_ARP:
        asked, asking = address(packet["destination"], kind), address(packet["source"], kind)
        return f"ARP from {asking} about {asked}{tagged}"
    if kind not in (ETHERNET_IPV4, ETHERNET_IPV6):
        return f"frame of type {kind:04x}{tagged}"
    source, destination = address(packet["source"], kind), address(packet["destination"], kind)
    protocol = packet["protocol"]
    if protocol in WITH_PORTS and packet["fragment"] != Fragment.LATER:
        source += f" port {packet['source_port']}"
        destination += f" port {packet['destination_port']}"
    elif protocol in (ICMP, ICMPV6):
        destination += f" type {packet['destination_port']} code {packet['source_port']}"
    return f"{_title(packet)} from {source} to {destination}{tagged}"


def _title(packet: Packet) -> str:
    """Return what a packet is before its addresses."""
    protocol = packet["protocol"]
    words = [_PROTOCOLS.get(protocol, f"protocol {protocol}").upper()]
    if packet["ethernet_type"] == ETHERNET_IPV6:
        words.insert(0, "IPv6")
    if protocol == TCP:
        words.append("+".join(name for bit, name in _FLAGS if packet["tcp_flags"] & bit) or "without flags")
    if packet["fragment"] != Fragment.WHOLE:
        words.append("first fragment" if packet["fragment"] == Fragment.FIRST else "later fragment")
    if packet["header_length"] > 5:  # noqa: PLR2004  words of the header without options
        words.append("with IP options")
    if packet["connection"] not in (Connection.NEW, Connection.INVALID):
        words.append(f"({Connection(packet['connection']).name.lower()})")
    return " ".join(words)


def wishes(
    frames: Frames,
    sources: Iterable[int] = (),
    destinations: Iterable[int] = (),
    packet: Mapping[str, int] | None = None,
) -> tuple[Region, ...]:
    """Return what a person would want of a witness, in the order in which it is wished for.

    Real addresses, then a protocol that anybody can send, its first packet, ports that are known, nothing odd.
    """
    box = frames.box
    own = frozenset((one, one) for one in sources)
    meant = frozenset((one, one) for one in destinations)
    return (
        *([box(**packet)] if packet else []),
        frames.ip,
        frames.ipv4,
        *([box(destination=meant)] if meant else []),
        *([box(source=own)] if own else []),
        box(fragment=Fragment.WHOLE),
        box(header_length=5),
        box(tag=UNTAGGED),
        box(connection=Connection.NEW),
        box(protocol=frozenset({(TCP, TCP), (UDP, UDP)})),
        box(protocol=TCP),
        box(protocol=TCP, tcp_flags=SYN),
        box(source_port=_EPHEMERAL_PORT),
        *(box(destination_port=port) for port in _USUAL_PORTS),
        box(destination_port=(1, _LAST_PORT)),
    )
