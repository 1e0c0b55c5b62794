"""One policy rule, in the words of ip-rule(8), and those that `ip -j rule` has for the same things."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from cloison.prove.packet import DCCP, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE, WITH_PORTS
from cloison.prove.parse.routes import EVERYTHING, network
from cloison.prove.stack import TABLE_NAMES, PolicyRule
from cloison.prove.statement import Unmodelled

if TYPE_CHECKING:
    from cloison.prove.stack import Network, Version
    from cloison.prove.statement import Statement

PROTOCOLS: Final = {
    "icmp": ICMP,
    "tcp": TCP,
    "udp": UDP,
    "ipv6-icmp": ICMPV6,
    "icmpv6": ICMPV6,
    "sctp": SCTP,
    "udplite": UDPLITE,
    "dccp": DCCP,
    "gre": 47,
    "esp": 50,
    "ah": 51,
}
_Kind = Literal["lookup", "blackhole", "unreachable", "prohibit"]
_ACTIONS: Final[dict[str, _Kind]] = {
    "blackhole": "blackhole",
    "unreachable": "unreachable",
    "prohibit": "prohibit",
}
_KEYS: Final = ("priority", "from", "to", "iif", "oif", "ipproto", "sport", "dport", "table", "lookup")
_JSON_KEYS: Final = ("type", "action", "sport_start", "sport_end", "dport_start", "dport_end")
_WORDS: Final = frozenset((*_KEYS, *_JSON_KEYS))
_NOBODY_KNOWS: Final = -1
"""The priority of a rule that says none: before every other, since the kernel puts it before what is there."""


def read_rule(statement: Statement, words: list[str]) -> PolicyRule:
    """Return the rule that the words after `rule add` make; one that holds an unknown word says so.

    Raises ValueError for a value that cannot be read.
    """
    values, unknown = _pairs(words)
    if "priority" not in values:
        unknown = unknown or "a rule with no priority"
    kind: _Kind = _ACTIONS.get(values.get("action", values.get("type", "")), "lookup")
    table = values.get("table", values.get("lookup", "" if kind != "lookup" else "main"))
    ports = {name: _ports(values, name) for name in ("sport", "dport")}
    protocol = _protocol(values["ipproto"]) if "ipproto" in values else None
    if any(ports.values()) and protocol not in WITH_PORTS:
        unknown = unknown or "ports of a protocol that has none, or of any protocol"
    if "oif" in values:
        unknown = unknown or "oif"
    if unknown == "not":  # it matches what it does not say
        values = {key: value for key, value in values.items() if key in {"priority", "table"}}
        protocol, ports = None, dict.fromkeys(ports)
    if values.get("action", kind) not in {kind, "lookup"} or "type" in values:
        unknown = unknown or values.get("action") or "type"
    return PolicyRule(
        statement=statement,
        priority=int(values.get("priority", _NOBODY_KNOWS)),
        version=_version(values),
        table="" if kind != "lookup" else TABLE_NAMES.get(table, table),
        kind=kind,
        source=_network(values.get("from")),
        destination=_network(values.get("to")),
        interface_in=values.get("iif", ""),
        interface_out=values.get("oif", ""),
        protocol=protocol,
        source_ports=ports["sport"],
        destination_ports=ports["dport"],
        unmodelled=Unmodelled(statement, unknown) if unknown else None,
    )


def _pairs(words: list[str]) -> tuple[dict[str, str], str]:
    """Return the known words with their values, and the first word that is not known; `not` before any other."""
    values: dict[str, str] = {}
    unknown = ""
    rest = iter(words)
    for word in rest:
        if word in _WORDS:
            values[word] = next(rest, "")
        elif word in _ACTIONS:
            values["action"] = word
        else:  # its value, if it has one, is the next unknown word
            unknown = "not" if "not" in {unknown, word} else unknown or word
    return values, unknown


def _version(values: dict[str, str]) -> Version:
    return 6 if ":" in values.get("from", "") + values.get("to", "") else 4


def _network(text: str | None) -> Network | None:
    """Return a network; None for one that holds every address."""
    if text in {None, "all", "any", "default"}:
        return None
    found = network(str(text), strict=False)
    return None if found == EVERYTHING[found.version] else found


def _protocol(text: str) -> int:
    return PROTOCOLS[text] if text in PROTOCOLS else int(text)


def _ports(values: dict[str, str], name: str) -> tuple[int, int] | None:
    """Return the first and the last port of `sport 5`, `sport 5-9`, or the two words that JSON has for it."""
    text = values.get(name)
    if text is None and f"{name}_start" in values:
        text = f"{values[f'{name}_start']}-{values.get(f'{name}_end', '')}"
    if text is None:
        return None
    first, dash, last = text.partition("-")
    low, high = int(first), int(last if dash else first)
    if not 0 <= low <= high <= 0xFFFF:  # noqa: PLR2004  16 bits
        raise ValueError(text)
    return low, high
