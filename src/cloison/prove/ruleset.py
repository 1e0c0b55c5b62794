"""A packet filter as nftables has it: tables, chains, rules, sets. Two parsers make this one model.

The words are those of nft(8). An operand names what is compared by nft's own words (`ip saddr`, `meta l4proto`,
`iifname`), always in the full form (`iifname`, not `meta iifname`; `meta l4proto`; `th dport`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from cloison.model import EquipmentName, Untrusted
from cloison.prove.space import Interval
from cloison.prove.statement import Place, Statement

Family = Literal["inet", "ip", "ip6", "bridge", "netdev", "arp"]
Hook = Literal["prerouting", "input", "forward", "output", "postrouting", "ingress", "egress"]

Value = Interval | str
"""What one operand may be: an interval of numbers, both ends within, or the name of an interface (`vlan*` for all names
that begin so). Addresses are numbers: an IPv4 address its 32 bits, an IPv6 address its 128, a MAC address its 48;
a protocol, a port, a type, a mark its number; `ct state` the numbers of packet.Connection."""
Element = tuple[Value, ...]
"""One element of a set: a value for each operand of the concatenation (RFC: none; nft(8), "concatenations")."""


@dataclass(frozen=True, slots=True)
class Operand:
    """What is looked at: `ip saddr`, `tcp flags`, `ct state`, `iifname`, `fib saddr . iif oif`."""

    key: str
    mask: int | None = None
    """The bits that are compared, where not all are (`tcp flags & (fin | syn)`)."""


@dataclass(frozen=True, slots=True)
class SetReference:
    """A named set, map or verdict map of the same table."""

    name: str


@dataclass(frozen=True, slots=True)
class Match:
    """A condition: the operands, taken together, are one of the elements; or, `negated`, none of them.

    `tcp flags syn` is a test of bits in nft: an operand with mask 2, and the elements 1 and up — parsers spell it so,
    as elements over the masked value that are not 0. `fib … oif missing` has the operand `fib saddr . iif oif` and the
    one element `((0, 0),)`; `exists` is its negation.
    """

    operands: tuple[Operand, ...]
    elements: tuple[Element, ...] | SetReference
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a packet."""

    kind: Literal["accept", "drop", "reject", "continue", "return", "jump", "goto"]
    chain: str = ""
    """Where a jump or a goto goes."""


@dataclass(frozen=True, slots=True)
class VerdictMap:
    """`ip saddr vmap { a : accept, b : jump c }`; no verdict when nothing matches."""

    operands: tuple[Operand, ...]
    entries: tuple[tuple[Element, Verdict], ...] | SetReference


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate limit, a quota or a connection count: whether it matches depends on packets before this one."""

    text: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """An expression whose effect is not modelled: it may match or not, and may change what it will."""

    text: str


@dataclass(frozen=True, slots=True)
class Inert:
    """A statement that decides nothing about where a packet goes: counter, log, comment, MSS clamping."""

    text: str


Expression = Match | Verdict | VerdictMap | Limit | Opaque | Inert


@dataclass(frozen=True, slots=True)
class Rule:
    """Expressions, taken from the left; the first match that fails ends the rule."""

    statement: Statement
    expressions: tuple[Expression, ...]
    comment: str = ""


@dataclass(frozen=True, slots=True)
class BaseChain:
    """How a chain is hooked into the way of packets."""

    type: Literal["filter", "nat", "route"]
    hook: Hook
    priority: int
    policy: Literal["accept", "drop"]
    devices: tuple[str, ...] = ()
    """Of an ingress or egress hook."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules, taken from the top."""

    statement: Statement
    name: str
    base: BaseChain | None
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class NamedSet:
    """A set or, with verdicts, a verdict map. `opaque` where its elements are not to be known (dynamic, time-outs)."""

    statement: Statement
    name: str
    elements: tuple[Element, ...]
    verdicts: tuple[Verdict, ...] = ()
    """As long as the elements, for a verdict map."""
    opaque: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table."""

    statement: Statement
    family: Family
    name: str
    chains: tuple[Chain, ...]
    sets: tuple[NamedSet, ...]


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Every table of a device."""

    tables: tuple[Table, ...]


def meaning(ruleset: Ruleset) -> Ruleset:
    """Return the ruleset without what tells two texts of one meaning apart: places, words, what decides nothing.

    Opaque expressions that stand side by side are one; elements are in order, and a rule has no comment.
    """
    return Ruleset(tuple(_table(one) for one in ruleset.tables))


def _table(table: Table) -> Table:
    chains = tuple(
        replace(one, statement=_NOWHERE, rules=tuple(Rule(_NOWHERE, _plain(rule.expressions)) for rule in one.rules))
        for one in table.chains
    )
    sets = tuple(_ordered(replace(one, statement=_NOWHERE)) for one in table.sets)
    return Table(
        _NOWHERE,
        table.family,
        table.name,
        tuple(sorted(chains, key=lambda one: one.name)),
        tuple(sorted(sets, key=lambda one: one.name)),
    )


def _ordered(named: NamedSet) -> NamedSet:
    if not named.verdicts:
        return replace(named, elements=tuple(sorted(named.elements, key=repr)))
    pairs = sorted(zip(named.elements, named.verdicts, strict=True), key=repr)
    return replace(named, elements=tuple(one for one, _ in pairs), verdicts=tuple(one for _, one in pairs))


def _plain(expressions: tuple[Expression, ...]) -> tuple[Expression, ...]:
    kept: list[Expression] = []
    for one in expressions:
        if isinstance(one, Inert) or (isinstance(one, Opaque) and kept and isinstance(kept[-1], Opaque)):
            continue
        kept.append(replace(one, text="") if isinstance(one, Limit | Opaque) else _sorted(one))
    return tuple(kept)


def _sorted(expression: Expression) -> Expression:
    if isinstance(expression, Match) and isinstance(expression.elements, tuple):
        return replace(expression, elements=tuple(sorted(expression.elements, key=repr)))
    if isinstance(expression, VerdictMap) and isinstance(expression.entries, tuple):
        return replace(expression, entries=tuple(sorted(expression.entries, key=repr)))
    return expression


_NOWHERE = Statement(Place(EquipmentName("no-site/no-device"), "", 0), Untrusted(""))
