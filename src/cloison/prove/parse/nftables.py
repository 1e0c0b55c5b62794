"""The filter section: nftables' own text, as `nft -s list` prints it and as templates write it (nft(8)).

What is not known within a rule is opaque, and reported; text that is broken is an error that names its line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn, get_args

from cloison.errors import DeviceError
from cloison.model import Untrusted
from cloison.prove.parse.nftables_conditions import full_key, values_of
from cloison.prove.parse.nftables_operands import OPERANDS, SET_TYPES, NotModelledError
from cloison.prove.parse.nftables_plan import plan_of, set_plan_of
from cloison.prove.parse.nftables_shape import shape_of
from cloison.prove.ruleset import BaseChain, Chain, Family, NamedSet, Opaque, Rule, Ruleset, Table
from cloison.prove.statement import Notice, Parsed, Place, Statement, Unmodelled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cloison.model import EquipmentName
    from cloison.prove.parse.nftables_operands import Kind
    from cloison.prove.parse.nftables_plan import SetPlan
    from cloison.prove.ruleset import Element, Expression, Hook

SECTION: Final = "filter"
PRIORITIES: Final = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
BRIDGE_PRIORITIES: Final = {"dstnat": -300, "filter": -200, "out": 100, "srcnat": 300}
"""Of the family bridge; of every other `PRIORITIES` (nft(8), "Standard priority names")."""
_NAME = r"[A-Za-z_][\w./\\-]*"
_TABLE = re.compile(rf"table (?:(inet|ip6?|bridge|netdev|arp) )?({_NAME}) \{{")
_BLOCK = re.compile(rf"(chain|set|map|flowtable|counter|quota|limit|ct (?:helper|timeout|expectation)|synproxy|secmark)"
                    rf" ({_NAME}) \{{(.*)")  # fmt: skip
_BASE = re.compile(
    r"type (?P<type>filter|nat|route) hook (?P<hook>\w+)"
    r"(?: device \"(?P<device>[^\"]+)\"| devices = \{ ?(?P<devices>[^}]*)\})?"
    r" priority (?:(?P<name>[a-z]+)(?: (?P<sign>[+-]) (?P<offset>\d+))?|(?P<number>-?\d+))\s*;"
    r"(?: policy (?P<policy>accept|drop)\s*;)?"
)
_HOOKS: Final[dict[str, Hook]] = {
    "prerouting": "prerouting", "input": "input", "forward": "forward", "output": "output",
    "postrouting": "postrouting", "ingress": "ingress", "egress": "egress",
}  # fmt: skip
_FOREIGN = re.compile(r"foreign (table \S.*)")
_FAMILIES: Final[dict[str, Family]] = {name: name for name in get_args(Family)}


def parse_filter(device: EquipmentName, text: str) -> Parsed[Ruleset]:
    """Return the tables that a filter section holds. Raises DeviceError, naming the line, for text that is broken."""
    return _Section(device, text).parsed()


class _Section:
    """The text of one section, read from the top."""

    def __init__(self, device: EquipmentName, text: str) -> None:
        self._device = device
        self._lines = text.rstrip("\n").split("\n")
        self._next = 0
        self._line = 0
        self._read = 0
        self._family: Family = "ip"
        self._unmodelled: list[Unmodelled] = []
        self._notices: list[Notice] = []

    def parsed(self) -> Parsed[Ruleset]:
        """Read every table."""
        tables = []
        while (line := self._following()) is not None:
            if head := _TABLE.fullmatch(line):
                tables.append(self._table(line, _FAMILIES[head[1] or "ip"], head[2]))
            elif foreign := _FOREIGN.fullmatch(line):
                self._foreign(line, foreign[1])
            else:
                self._broken("a table", line)
        return Parsed(Ruleset(tuple(tables)), self._read, tuple(self._unmodelled), tuple(self._notices))

    def _broken(self, expected: str, found: str) -> NoReturn:
        """Say what was expected where."""
        shown = Untrusted(found).shown(80)
        msg = f"{SECTION}: line {self._line}: expected {expected}, found {shown!r}"
        raise DeviceError(self._device, msg)

    def _following(self) -> str | None:
        """Return the next line that says something; None at the end. A line that ends with a comma goes on."""
        lines = self._lines
        while self._next < len(lines):
            line = lines[self._next].strip()
            self._next += 1
            if not line or line[0] == "#":
                continue
            self._line = self._next
            while line[-1] == "," and self._next < len(lines):
                line = f"{line} {lines[self._next].strip()}"
                self._next += 1
            return line
        return None

    def _inside(self, of: str) -> str | None:
        """Return the next line of a block; None at its end."""
        line = self._following()
        if line is None:
            self._line = len(self._lines)
            self._broken(f"a closing brace of {of}", "the end of the text")
        return None if line == "}" else line

    def _statement(self, text: str, *, counted: bool = True) -> Statement:
        self._read += counted
        return Statement(Place(self._device, SECTION, self._line), Untrusted(text))

    def _foreign(self, line: str, table: str) -> None:
        statement = self._statement(line)
        shown = Untrusted(table).shown(100)
        self._notices.append(Notice(statement, f"{shown} is none of Cloison's"))
        self._unmodelled.append(Unmodelled(statement, shown))

    def _table(self, head: str, family: Family, name: str) -> Table:
        statement = self._statement(head, counted=False)
        self._family = family
        chains, sets, dormant = [], [], False
        while (line := self._inside(f"table {name}")) is not None:
            block = _BLOCK.fullmatch(line)
            if block is None:
                if line == "flags dormant":
                    dormant = True
                elif not line.startswith(("comment ", "flags ")):
                    self._broken("a chain or a set", line)
            elif block[3].strip() not in {"", "}"}:
                self._broken("a line of its own for what is in braces", line)
            elif block[1] == "chain":
                chains.append(self._chain(line, block[2], empty=bool(block[3])))
            elif block[1] in {"set", "map"}:
                sets.append(self._set(line, block[2]))
            else:
                self._object(line, block[2])
        if dormant:  # its base chains are not hooked in
            chains = [Chain(one.statement, one.name, None, one.rules) for one in chains]
        return Table(statement, family, name, tuple(chains), tuple(sets))

    def _object(self, line: str, name: str) -> None:
        """Skip an object: it does nothing but where a rule names it, and such a rule is a limit or opaque."""
        self._statement(line)
        depth = 1
        while depth:
            inner = self._following()
            if inner is None:
                self._line = len(self._lines)
                self._broken(f"a closing brace of {name}", "the end of the text")
            depth += inner.count("{") - inner.count("}")

    def _chain(self, head: str, name: str, *, empty: bool) -> Chain:
        statement = self._statement(head)
        base, rules = None, []
        while not empty and (line := self._inside(f"chain {name}")) is not None:
            if line.startswith("type "):
                base = self._base(line)
            elif not line.startswith("comment "):
                rules.append(self._rule(line))
        return Chain(statement, name, base, tuple(rules))

    def _base(self, line: str) -> BaseChain:
        found = _BASE.fullmatch(line)
        hook = _HOOKS.get(found["hook"]) if found else None
        if found is None or hook is None:
            self._broken("type, hook and priority of a chain", line)
        named = BRIDGE_PRIORITIES if self._family == "bridge" else PRIORITIES
        if found["name"] and found["name"] not in named:
            self._broken("the name of a priority", found["name"])
        base = named[found["name"]] if found["name"] else int(found["number"])
        offset = int(found["offset"] or 0) * (-1 if found["sign"] == "-" else 1)
        devices = re.findall(r"[^\s,\"]+", found["device"] or found["devices"] or "")
        kind = found["type"]
        self._read += 1  # its policy
        return BaseChain(
            "nat" if kind == "nat" else "route" if kind == "route" else "filter",
            hook,
            base + offset,
            "drop" if found["policy"] == "drop" else "accept",
            tuple(devices),
        )

    def _rule(self, line: str) -> Rule:
        shape, literals = shape_of(line)
        try:
            plan = plan_of(shape, self._family)
            expressions = plan.constant
            if expressions is None:
                expressions = tuple([step(literals) if callable(step) else step for step in plan.steps])
            what = [step(literals) if callable(step) else step for step in plan.unmodelled]
        except ValueError as error:
            self._broken(str(error).removeprefix("expected "), line)
        statement = self._statement(line)
        self._unmodelled += [Unmodelled(statement, _what(one)) for one in what]
        return Rule(statement, expressions, literals[plan.comment] if plan.comment is not None else "")

    def _set(self, head: str, name: str) -> NamedSet:
        statement = self._statement(head)
        values: dict[str, str] = {}
        where, shown = self._line, head
        while (line := self._inside(f"set {name}")) is not None:
            word, _, rest = line.partition(" ")
            values[word] = rest.removeprefix("= ")
            if word == "elements":
                where, shown = self._line, line
        kind, _, data = (values.get("type") or values.get("typeof") or "").partition(" : ")
        kinds = _kinds(kind, SET_TYPES if "type" in values else OPERANDS)
        flags = set(re.findall(r"\w+", values.get("flags", "")))
        shape, literals = shape_of(values.get("elements", ""))
        try:
            plan = set_plan_of(shape) if shape else None
            opaque = kinds is None or bool(flags & {"dynamic", "timeout"}) or bool(plan and (plan.timed or plan.data))
            opaque = opaque or (bool(data) and data != "verdict")
            elements = _elements(plan, kinds, literals) if plan and kinds and not opaque else ()
        except NotModelledError:
            opaque, elements = True, ()
        except ValueError as error:
            self._line = where
            self._broken(str(error).removeprefix("expected "), shown)
        if opaque:
            self._unmodelled.append(Unmodelled(statement, Untrusted(head.removesuffix(" {")).shown(100)))
        return NamedSet(statement, name, elements, plan.verdicts if plan and not opaque else (), opaque)


def _what(expression: Expression) -> str:
    return Untrusted(expression.text if isinstance(expression, Opaque) else "").shown(200)


def _kinds(words: str, known: Mapping[str, Kind]) -> tuple[Kind, ...] | None:
    """Return what the parts of an element hold; None where one is not known."""
    found = [known.get(full_key(name)) for name in words.split(" . ")]
    kinds = tuple(kind for kind in found if kind is not None)
    return kinds if len(kinds) == len(found) else None


def _elements(plan: SetPlan, kinds: tuple[Kind, ...], literals: Sequence[str]) -> tuple[Element, ...]:
    made = values_of(plan.elements, kinds)
    return made(literals) if callable(made) else made
