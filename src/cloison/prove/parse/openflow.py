"""The section `edge` of a switch, in either form, as a flow table: the syntax of ovs-ofctl(8) and ovs-fields(7)."""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, NamedTuple

from cloison.model import Untrusted
from cloison.prove.openflow import ALL, FLOOD, IN_PORT, NORMAL, Conditions, Flow, FlowTable, Output
from cloison.prove.packet import (
    ETHERNET_ARP,
    ETHERNET_IPV4,
    ETHERNET_IPV6,
    ICMP,
    ICMPV6,
    SCTP,
    TCP,
    UDP,
    UNTAGGED,
    Fragment,
)
from cloison.prove.parse.values import (
    flag_values,
    fragment_values,
    ipv4_values,
    ipv6_values,
    mac_values,
    number_values,
    tci_values,
    vlan_values,
)
from cloison.prove.statement import Notice, Parsed, Place, Statement, Unmodelled
from cloison.prove.switch import LOCAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cloison.model import EquipmentName
    from cloison.prove.space import Values

_DEFAULT_PRIORITY: Final = 32768
_LOCAL_NUMBER: Final = 65534
_FIRST_RESERVED: Final = 65280
"""Port numbers from here on have a meaning of their own (OpenFlow 1.0 section 5.2.1)."""
_NOT_ETHERNET: Final = 0x05FF
"""`dl_type=0x05ff`: a frame with a length instead of a type (ovs-fields(7), `eth_type`)."""
_TYPES_OF_TAGS: Final = frozenset({0x8100, 0x88A8})
_IPV6_FRAGMENT: Final = 44
"""What OVS takes for the protocol of an IPv6 fragment that is not the first (measured)."""

_SHORT: Final[dict[str, tuple[int, int | None]]] = {
    "ip": (ETHERNET_IPV4, None),
    "ipv6": (ETHERNET_IPV6, None),
    "arp": (ETHERNET_ARP, None),
    "rarp": (0x8035, None),
    "mpls": (0x8847, None),
    "mplsm": (0x8848, None),
    "icmp": (ETHERNET_IPV4, ICMP),
    "icmp6": (ETHERNET_IPV6, ICMPV6),
    "tcp": (ETHERNET_IPV4, TCP),
    "tcp6": (ETHERNET_IPV6, TCP),
    "udp": (ETHERNET_IPV4, UDP),
    "udp6": (ETHERNET_IPV6, UDP),
    "sctp": (ETHERNET_IPV4, SCTP),
    "sctp6": (ETHERNET_IPV6, SCTP),
}
_ALIASES: Final = {
    "eth_src": "dl_src",
    "eth_dst": "dl_dst",
    "eth_type": "dl_type",
    "ip_proto": "nw_proto",
    "ip_frag": "nw_frag",
} | {
    f"{prefix}_{end}": f"{meant}_{end}"
    for prefix, meant, ends in (
        *((kind, "tp", ("src", "dst")) for kind in ("tcp", "udp", "sctp")),
        *((kind, "nw", ("src", "dst")) for kind in ("ip", "ipv4")),
        *((kind, "icmp", ("type", "code")) for kind in ("icmpv4", "icmpv6")),
    )
    for end in ends
}


class _Field(NamedTuple):
    """Which field of the frame a word of a flow compares, how its value is written, and what it needs beside it."""

    name: str
    values: Callable[[str], Values]
    types: frozenset[int] = frozenset()
    """The EtherTypes with which ovs-ofctl takes it; with any other it silently leaves it out."""
    protocols: frozenset[int] = frozenset()


_IPV4 = frozenset({ETHERNET_IPV4})
_IPV6 = frozenset({ETHERNET_IPV6})
_ARP = frozenset({ETHERNET_ARP})
_IP = _IPV4 | _IPV6
_PORTS = frozenset({TCP, UDP, SCTP})
_byte, _short = partial(number_values, bits=8), partial(number_values, bits=16)
_FIELDS: Final = {
    "dl_src": _Field("mac_source", mac_values),
    "dl_dst": _Field("mac_destination", mac_values),
    "dl_vlan": _Field("tag", vlan_values),
    "vlan_tci": _Field("tag", partial(tci_values, whole=0xFFFF)),
    "vlan_vid": _Field("tag", partial(tci_values, whole=0x1FFF)),
    "nw_src": _Field("source", ipv4_values, _IPV4 | _ARP),
    "nw_dst": _Field("destination", ipv4_values, _IPV4 | _ARP),
    "arp_spa": _Field("source", ipv4_values, _ARP),
    "arp_tpa": _Field("destination", ipv4_values, _ARP),
    "arp_sha": _Field("arp_sender_mac", mac_values, _ARP),
    "arp_tha": _Field("arp_target_mac", mac_values, _ARP),
    "arp_op": _Field("protocol", _byte, _ARP),
    "ipv6_src": _Field("source", ipv6_values, _IPV6),
    "ipv6_dst": _Field("destination", ipv6_values, _IPV6),
    "nw_proto": _Field("protocol", _byte, _IP | _ARP),
    "nw_frag": _Field("fragment", fragment_values, _IP),
    "tp_src": _Field("source_port", _short, _IP, _PORTS),
    "tp_dst": _Field("destination_port", _short, _IP, _PORTS),
    "icmp_type": _Field("destination_port", _byte, _IP, frozenset({ICMP, ICMPV6})),
    "icmp_code": _Field("source_port", _byte, _IP, frozenset({ICMP, ICMPV6})),
    "tcp_flags": _Field("tcp_flags", flag_values, _IP, frozenset({TCP})),
}
_INERT: Final = frozenset(
    {"cookie", "importance", "send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts"}
    | {"duration", "n_packets", "n_bytes", "idle_age", "hard_age"}
)
"""Words that decide about no frame: a name for the flow, whether its end is reported, counters."""
_TIMES: Final = frozenset({"idle_timeout", "hard_timeout", "idle", "hard"})
_WORDS: Final = {word.lower(): word for word in (NORMAL, FLOOD, ALL, IN_PORT, LOCAL)}
_LINE: Final = re.compile(r"(?P<words>.*?)[, ]*\bactions=(?P<actions>.*)")
_SEPARATOR: Final = re.compile(r"[,\s]+")
_ACTION: Final = re.compile(r"(?:[^,()]|\([^()]*(?:\([^()]*\)[^()]*)*\))+")


class _Flow(NamedTuple):
    """A flow but for where it stands."""

    table: int
    priority: int
    in_port: Output | None
    match: tuple[Conditions, ...]
    outputs: tuple[Output, ...]
    unmodelled: tuple[str, ...]


def parse_edge(device: EquipmentName, text: str) -> Parsed[FlowTable]:
    """Return the flow table of a section `edge`, as it is rendered or as it is read back.

    A condition, an action or a time-out that is not modelled makes the flow opaque; a line that is no flow makes the
    table so. Nothing is raised, whatever the text.
    """
    flows: list[Flow] = []
    strange: list[Unmodelled] = []
    notices: list[Notice] = []
    read = 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        read += 1
        statement = Statement(Place(device, "edge", number), Untrusted(line))
        if line.startswith(("group_id=", "meter=")):
            what = line.partition("=")[0].removesuffix("_id")
            strange.append(Unmodelled(statement, what))
            notices.append(Notice(statement, f"a {what} that nobody declared"))
            continue
        flow = _flow(line)
        if flow is None:
            strange.append(Unmodelled(statement, "a line that is no flow"))
            continue
        opaque = tuple(Unmodelled(statement, what) for what in flow.unmodelled)
        flows.append(Flow(statement, *flow[:5], opaque, bool(opaque)))
    found = (*strange, *(one for flow in flows for one in flow.opaque))
    lost = tuple(one for one in strange if not one.what.startswith(("group", "meter")))
    return Parsed(FlowTable(tuple(flows), lost, bool(lost)), read, found, tuple(notices))


@lru_cache(maxsize=4096)
def _flow(line: str) -> _Flow | None:
    """Return the flow of a line; None when it is none."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    said: dict[str, str] = {}
    unmodelled: list[str] = []
    table, priority, in_port = 0, _DEFAULT_PRIORITY, None
    try:
        for word in filter(None, _SEPARATOR.split(found["words"])):
            name, _, value = word.partition("=")
            if name == "priority":
                priority = _bounded(value, 65535)
            elif name == "table":
                table = _bounded(value, 254)
            elif name == "in_port":
                in_port = _port(value)
            elif name in _TIMES:
                unmodelled += [word] if value != "0" else []
            elif name not in _INERT and not _say(said, name, value):
                unmodelled.append(word)
    except ValueError:
        return None
    match = tuple(_match(said, unmodelled))
    outputs = tuple(_outputs(found["actions"], unmodelled))
    return _Flow(table, priority, in_port, match, outputs, tuple(unmodelled))


def _bounded(text: str, last: int) -> int:
    """Return a decimal number; ValueError when it is none or greater than `last`."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(last)) and int(text) <= last):
        raise ValueError(text)
    return int(text)


def _port(text: str) -> Output:
    """Return a port by number or name; ValueError for a number that is reserved and none of the words."""
    if text.isascii() and text.isdigit():
        number = _bounded(text, _LOCAL_NUMBER)
        if number == _LOCAL_NUMBER:
            return LOCAL
        if number >= _FIRST_RESERVED:
            raise ValueError(text)
        return number
    if not text:
        raise ValueError(text)
    return LOCAL if text.upper() == LOCAL else text.strip('"')


def _say(said: dict[str, str], name: str, value: str) -> bool:
    """Note what a word compares, shorthands spelt out; False for a word that is not known or contradicts another."""
    if name in _SHORT and not value:
        kind, protocol = _SHORT[name]
        one = _note(said, "dl_type", str(kind))
        return one and (protocol is None or _note(said, "nw_proto", str(protocol)))
    name = _ALIASES.get(name, name)
    if name not in _FIELDS and name != "dl_type":
        return False
    return _note(said, name, value)


def _note(said: dict[str, str], name: str, value: str) -> bool:
    return said.setdefault(name, value) == value


def _match(said: dict[str, str], unmodelled: list[str]) -> Iterator[Conditions]:
    """Yield the conditions of a flow, each of which holds for a part of its frames."""
    conditions: dict[str, Values] = {}
    kind = _kind(said, conditions, unmodelled)
    protocol: Values | None = None
    for name, text in sorted(said.items(), key=lambda pair: pair[0] != "nw_proto"):
        if name == "dl_type":
            continue
        field = _FIELDS[name]
        try:
            values = field.values(text)
        except ValueError:
            unmodelled.append(f"{name}={text}")
            continue
        if name == "nw_proto":
            protocol = values
        lacks = (field.types and kind not in field.types) or (field.protocols and protocol not in field.protocols)
        if lacks or field.name in conditions:
            unmodelled.append(f"{name}={text}")
        else:
            conditions[field.name] = values
    yield from _by_fragment(conditions, ipv6=kind == ETHERNET_IPV6)


def _kind(said: dict[str, str], conditions: dict[str, Values], unmodelled: list[str]) -> int | None:
    """Take the EtherType that is asked for.

    With a second tag, OVS reads no further than that tag (`vlan-limit` is 1): the EtherType it compares is the tag's,
    so no condition on another one holds. Which of the two types a tag has, the proof does not keep.
    """
    if "dl_type" not in said:
        return None
    try:
        kind = number_values(said["dl_type"], 16)
    except ValueError:
        kind = frozenset()
    if not isinstance(kind, int) or kind in _TYPES_OF_TAGS:
        unmodelled.append(f"dl_type={said['dl_type']}")
        return None
    conditions["ethernet_type"] = (0, _NOT_ETHERNET) if kind == _NOT_ETHERNET else kind
    conditions["inner_tag"] = UNTAGGED
    return kind


def _by_fragment(conditions: dict[str, Values], *, ipv6: bool) -> Iterator[Conditions]:
    """Split conditions by what OVS sees of a fragment (measured; ovs-ofctl(8), `set-frags`, normal).

    Of any fragment, the ports, or the type and code, are 0 to it; of an IPv6 fragment that is not the first, the
    protocol is 44.
    """
    ports = {name: conditions[name] for name in ("source_port", "destination_port") if name in conditions}
    protocol = conditions.get("protocol")
    if not ports and not (ipv6 and protocol is not None):
        yield tuple(sorted(conditions.items()))
        return
    wanted = conditions.get("fragment", (0, 2))
    others = {name: values for name, values in conditions.items() if name not in ports and name != "fragment"}
    zero = all(_holds(values, 0) for values in ports.values())
    for part in Fragment:
        if not _holds(wanted, part) or (ports and part and not zero):
            continue
        seen = {**others, "fragment": int(part)} | ({} if part else ports)
        if ipv6 and part is Fragment.LATER and protocol is not None:
            if not _holds(protocol, _IPV6_FRAGMENT):
                continue
            del seen["protocol"]
        yield tuple(sorted(seen.items()))


def _holds(values: Values, number: int) -> bool:
    if isinstance(values, int):
        return values == number
    pairs = (values,) if isinstance(values, tuple) else values
    return any(low <= number <= high for low, high in pairs)


def _outputs(text: str, unmodelled: list[str]) -> Iterator[Output]:
    """Yield where the frames go, as they came in."""
    if text.strip() == "drop":
        return
    for action in _ACTION.findall(text):
        word = action.strip()
        name, colon, port = word.partition(":")
        try:
            if word.lower() in _WORDS:
                yield _WORDS[word.lower()]
            elif word.isdigit():
                yield _port(word)
            elif name == "output" and colon and port.lower() in _WORDS:
                yield _WORDS[port.lower()]
            elif name == "output" and colon and (port.isdigit() or port.startswith('"')):
                yield _port(port)
            else:
                unmodelled.append(word)
        except ValueError:
            unmodelled.append(word)
