"""The filter as `nft -j list ruleset` shows it (libnftables-json(5)): the second front end of one model.

It shares with the first one what a condition means, and nothing of how it is read.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NoReturn, get_args

from cloison.errors import DeviceError
from cloison.model import Untrusted, read_json
from cloison.prove.parse.nftables_conditions import values_of
from cloison.prove.parse.nftables_expressions import expressions_of, parts_of, verdict_of
from cloison.prove.parse.nftables_operands import SET_TYPES, NotModelledError
from cloison.prove.ruleset import BaseChain, Chain, Family, Hook, NamedSet, Opaque, Rule, Ruleset, Table
from cloison.prove.statement import Parsed, Place, Statement, Unmodelled

if TYPE_CHECKING:
    from cloison.model import EquipmentName
    from cloison.prove.parse.nftables_expressions import Document
    from cloison.prove.ruleset import Element, Verdict

SECTION: Final = "filter"
_FAMILIES: Final[dict[str, Family]] = {name: name for name in get_args(Family)}
_HOOKS: Final[dict[str, Hook]] = {name: name for name in get_args(Hook)}


def parse_filter_json(device: EquipmentName, text: str) -> Parsed[Ruleset]:
    """Return the tables of a ruleset in JSON. Raises DeviceError for a text that is not one.

    Some versions of nft do not show the devices of an ingress chain, nor that a set is dynamic: a chain of a netdev
    table without a device is reported as not modelled, and a set that a rule adds to is opaque.
    """
    try:
        document: object = read_json(text)
        return _Listing(device).parsed(document)
    except (ValueError, RecursionError) as error:
        msg = f"{SECTION}: expected the JSON of nft -j list ruleset: {Untrusted(str(error)).shown(200)}"
        raise DeviceError(device, msg) from error
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        msg = f"{SECTION}: expected the JSON of nft -j list ruleset: a part is missing or of another form"
        raise DeviceError(device, msg) from error


class _Listing:
    """The objects of one listing, put where they belong."""

    def __init__(self, device: EquipmentName) -> None:
        self._device = device
        self._read = 0
        self._unmodelled: list[Unmodelled] = []
        self._tables: dict[tuple[str, str], Table] = {}
        self._chains: dict[tuple[str, str], dict[str, Chain]] = {}
        self._rules: dict[tuple[str, str, str], list[Rule]] = {}
        self._sets: dict[tuple[str, str], list[NamedSet]] = {}
        self._filled: set[tuple[str, str, str]] = set()

    def parsed(self, document: object) -> Parsed[Ruleset]:
        """Read every object."""
        entries = document["nftables"] if isinstance(document, dict) else None
        if not isinstance(entries, list):
            self._broken("a list nftables")
        for entry in entries:
            ((kind, content),) = entry.items()
            self._take(kind, content)
        tables = []
        for key, table in self._tables.items():
            chains = tuple(
                replace(one, rules=tuple(self._rules.get((*key, one.name), ()))) for one in self._chains[key].values()
            )
            sets = tuple(self._emptied(key, one) for one in self._sets[key])
            tables.append(replace(table, chains=chains, sets=sets))
        return Parsed(Ruleset(tuple(tables)), self._read, tuple(self._unmodelled))

    def _broken(self, expected: str) -> NoReturn:
        msg = f"expected {expected}"
        raise ValueError(msg)

    def _take(self, kind: str, content: Document) -> None:
        if kind == "metainfo":
            return
        statement = Statement(
            Place(self._device, SECTION, 0), Untrusted(json.dumps({kind: content}, ensure_ascii=False))
        )
        key = (content["family"], content["name" if kind == "table" else "table"])
        self._read += kind != "table"
        if kind != "table" and key not in self._tables:
            self._broken("a table before what it holds")
        if kind == "table":
            if key[0] not in _FAMILIES:
                self._broken("a family of tables")
            self._tables[key] = Table(statement, _FAMILIES[key[0]], key[1], (), ())
            self._chains[key], self._sets[key] = {}, []
        elif kind == "chain":
            base = self._base(statement, content) if "hook" in content else None
            self._chains[key][content["name"]] = Chain(statement, content["name"], base, ())
        elif kind == "rule":
            if content["chain"] not in self._chains[key]:
                self._broken("a chain before its rules")
            self._rule(statement, key, content)
        elif kind in {"set", "map"}:
            self._sets[key].append(self._set(statement, kind, content))

    def _base(self, statement: Statement, content: Document) -> BaseChain:
        kind, hook, policy = content["type"], _HOOKS.get(content["hook"]), content.get("policy", "accept")
        if hook is None or kind not in {"filter", "nat", "route"} or not isinstance(content["prio"], int):
            self._broken("the type, the hook and the priority of a chain")
        devices = content.get("dev", [])
        if hook in {"ingress", "egress"} and not devices:
            self._unmodelled.append(Unmodelled(statement, f"{hook} of devices that are not shown"))
        self._read += 1  # its policy
        return BaseChain(
            "nat" if kind == "nat" else "route" if kind == "route" else "filter",
            hook,
            content["prio"],
            "drop" if policy == "drop" else "accept",
            (devices,) if isinstance(devices, str) else tuple(devices),
        )

    def _rule(self, statement: Statement, key: tuple[str, str], content: Document) -> None:
        expressions = expressions_of(content["expr"], _FAMILIES[key[0]])
        self._filled |= {
            (*key, one["set"]["set"].removeprefix("@"))
            for one in content["expr"]
            if isinstance(one, dict) and isinstance(one.get("set"), dict)
        }
        self._unmodelled += [Unmodelled(statement, one.text) for one in expressions if isinstance(one, Opaque)]
        rule = Rule(statement, expressions, content.get("comment", ""))
        self._rules.setdefault((*key, content["chain"]), []).append(rule)

    def _set(self, statement: Statement, kind: str, content: Document) -> NamedSet:
        types = content["type"] if isinstance(content["type"], list) else [content["type"]]
        elements: tuple[Element, ...] = ()
        verdicts: tuple[Verdict, ...] = ()
        opaque = bool({"timeout", "dynamic"} & set(content.get("flags", ())))
        opaque = opaque or (kind == "map" and content["map"] != "verdict")
        try:
            if not opaque:
                kinds = tuple(SET_TYPES[one] for one in types)
                entries = content.get("elem", [])
                keys = [entry[0] for entry in entries] if kind == "map" else entries
                made = values_of(tuple(parts_of(one) for one in keys), kinds)
                elements = () if callable(made) else made
                verdicts = tuple(verdict_of(entry[1]) for entry in entries) if kind == "map" else ()
        except (NotModelledError, KeyError):
            opaque, elements, verdicts = True, (), ()
        if opaque:
            self._unmodelled.append(Unmodelled(statement, Untrusted(f"{kind} {content['name']}").shown(100)))
        return NamedSet(statement, content["name"], elements, verdicts, opaque)

    def _emptied(self, key: tuple[str, str], named: NamedSet) -> NamedSet:
        """Return a set as opaque when a rule adds to it."""
        if named.opaque or (*key, named.name) not in self._filled:
            return named
        self._unmodelled.append(Unmodelled(named.statement, Untrusted(f"set {named.name}").shown(100)))
        return replace(named, elements=(), verdicts=(), opaque=True)
