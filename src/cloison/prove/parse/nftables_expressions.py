"""The expressions of a rule in nftables' JSON (libnftables-json(5), "STATEMENTS" and "EXPRESSIONS")."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cloison.prove.parse.nftables_conditions import (
    Bits,
    Condition,
    Selector,
    Span,
    full_key,
    understood,
    understood_map,
)
from cloison.prove.parse.nftables_operands import NotModelledError
from cloison.prove.ruleset import Inert, Limit, Opaque, SetReference, Verdict

if TYPE_CHECKING:
    from cloison.prove.parse.nftables_conditions import Part, Word
    from cloison.prove.ruleset import Expression, Family, Match

Document = dict[str, Any]
"""An object of JSON, whose form is tested where it is read."""

_VERDICTS = ("accept", "drop", "return", "continue", "reject")
_MAXSEG = {"tcp option": {"name": "maxseg", "field": "size"}}


def expressions_of(statements: list[object], family: Family) -> tuple[Expression, ...]:
    """Return the expressions of a rule; what is not known is opaque."""
    found: list[Expression] = []
    for statement in statements:
        text = json.dumps(statement, ensure_ascii=False)
        try:
            granted, expression = _expression(statement, family, text)
        except (NotModelledError, KeyError, TypeError, AttributeError, ValueError):
            granted, expression = (), Opaque(text)
        found += [match for match in granted if match not in found]
        found.append(expression)
    return tuple(found)


def _expression(statement: object, family: Family, text: str) -> tuple[tuple[Match, ...], Expression]:
    if not isinstance(statement, dict):
        raise NotModelledError(text)
    ((kind, content),) = statement.items()
    if kind == "match":
        right = content["right"]
        reference = isinstance(right, str) and right.startswith("@")
        is_set = isinstance(right, dict) and "set" in right
        elements = (
            SetReference(right[1:])
            if reference
            else tuple(parts_of(one) for one in right["set"])
            if is_set
            else (parts_of(right),)
        )
        relation = "" if content["op"] == "in" else content["op"]
        return _made(understood(Condition(_selectors(content["left"]), relation, elements, is_set=is_set), family))
    if kind == "vmap":
        data = content["data"]
        if isinstance(data, str):
            return _made(understood_map(_selectors(content["key"]), SetReference(data.removeprefix("@")), family))
        entries = tuple((parts_of(key), verdict_of(verdict)) for key, verdict in data["set"])
        return _made(understood_map(_selectors(content["key"]), entries, family))
    if kind in _VERDICTS or kind in {"jump", "goto"}:
        return (), verdict_of(statement)
    if kind in {"limit", "quota", "ct count"}:
        return (), Limit(text)
    if kind in {"counter", "log"} or (kind == "mangle" and content["key"] == _MAXSEG):
        return (), Inert(text)
    raise NotModelledError(kind)


def _made(read: tuple[tuple[Match, ...], object]) -> tuple[tuple[Match, ...], Expression]:
    """Return what was understood; no word of JSON is a hole."""
    granted, expression = read
    if callable(expression):
        raise TypeError(expression)
    return granted, expression  # type: ignore[return-value]  # it is no function


def verdict_of(statement: Document) -> Verdict:
    """Return a verdict. Raises NotModelledError for what is none."""
    ((kind, content),) = statement.items()
    if kind in {"jump", "goto"}:
        return Verdict("jump" if kind == "jump" else "goto", content["target"])
    for plain in ("accept", "drop", "return", "continue", "reject"):
        if kind == plain:
            return Verdict(plain)
    raise NotModelledError(kind)


def _selectors(left: Document) -> tuple[Selector, ...]:
    if "concat" in left:
        return tuple(_selector(one) for one in left["concat"])
    return (_selector(left),)


def _selector(left: Document) -> Selector:
    ((kind, content),) = left.items()
    if kind == "&":
        inner, mask = content
        return Selector(_selector(inner).key, _part(mask))
    if kind == "payload" and "field" in content:
        return Selector(f"{content['protocol']} {content['field']}")
    if kind in {"meta", "ct"} and "dir" not in content:
        return Selector(full_key(f"{kind} {content['key']}"))
    if kind == "fib":
        flags = content["flags"] if isinstance(content["flags"], list) else [content["flags"]]
        return Selector(f"fib {' . '.join(flags)} {content['result']}")
    if kind == "exthdr" and "field" not in content:
        return Selector(f"exthdr {content['name']}")
    raise NotModelledError(kind)


def parts_of(value: object) -> tuple[Part, ...]:
    """Return the parts of one element, one for each operand. Raises NotModelledError."""
    if isinstance(value, dict) and "elem" in value:
        inner = value["elem"]
        if {"timeout", "expires"} & set(inner):
            raise NotModelledError(str(inner))
        return parts_of(inner["val"])
    if isinstance(value, dict) and "concat" in value:
        return tuple(_part(one) for one in value["concat"])
    return (_part(value),)


def _part(value: object) -> Part:
    if isinstance(value, list):
        return Bits(tuple(_word(one) for one in value))
    if isinstance(value, dict):
        ((kind, content),) = value.items()
        if kind == "range":
            first, last = content
            return Span(_word(first), _word(last))
        if kind == "prefix":
            return f"{content['addr']}/{content['len']}"
        if kind == "|":
            return Bits(tuple(_flattened(content)))
        raise NotModelledError(kind)
    return _word(value)


def _flattened(content: list[object]) -> list[Word]:
    """Return the names of bits, which older versions of nft nest by twos."""
    names: list[Word] = []
    for one in content:
        if isinstance(one, dict) and "|" in one:
            names += _flattened(one["|"])
        else:
            names.append(_word(one))
    return names


def _word(value: object) -> Word:
    if value is True or value is False:
        return "exists" if value else "missing"
    if isinstance(value, str | int):
        return str(value)
    raise NotModelledError(str(type(value)))
