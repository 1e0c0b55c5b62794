"""What a shape means: the expressions of a rule or the elements of a set, with holes for the literals of a line."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from cloison.prove.parse.nftables_conditions import (
    Bits,
    Condition,
    Hole,
    Selector,
    Span,
    full_key,
    understood,
    understood_map,
)
from cloison.prove.parse.nftables_operands import NotModelledError
from cloison.prove.parse.nftables_shape import SPELT, Unreadable, lexemes, tree_of
from cloison.prove.ruleset import Inert, Limit, Opaque, SetReference, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lark import Token, Tree

    from cloison.prove.parse.nftables_conditions import Part, Reading, Word
    from cloison.prove.parse.nftables_shape import Lexeme
    from cloison.prove.ruleset import Expression, Family, Match

    Node = Tree[Token]


class Plan(NamedTuple):
    """A rule to be filled with the literals of a line."""

    steps: tuple[Reading, ...]
    constant: tuple[Expression, ...] | None
    """The expressions, where none has a hole."""
    comment: int | None
    """The literal that is the rule's comment."""
    unmodelled: tuple[Reading, ...]
    """The opaque ones among the steps."""


class SetPlan(NamedTuple):
    """The elements of a set, before its type is known."""

    elements: tuple[tuple[Part, ...], ...]
    verdicts: tuple[Verdict, ...]
    timed: bool
    """An element has a time-out."""
    data: bool
    """It maps to data and not to verdicts."""


def children(node: Node) -> list[Node]:
    """Return the branches of a node that are no words."""
    return [child for child in node.children if not isinstance(child, str)]


def text_of(word: object) -> str:
    """Return the text of a word of the tree."""
    return str(word)


@lru_cache(maxsize=4096)
def plan_of(shape: str, family: Family) -> Plan:
    """Return the plan of a rule's shape in a table of a family; Unreadable when it is not one of nft's sentences."""
    words = lexemes(shape)
    tree = tree_of(words, "rule")
    rest: tuple[Reading, ...] = ()
    if tree is None:
        tree, rest = _known_beginning(words, shape)
    reader = _RuleReader(shape, family)
    for statement in children(tree):
        reader.take(statement)
    reader.steps.extend(rest)
    steps = tuple(reader.steps)
    constants = tuple(step for step in steps if not callable(step))
    opaque = tuple(reader.opaque) + tuple(one for one in rest if callable(one) or isinstance(one, Opaque))
    return Plan(steps, constants if len(constants) == len(steps) else None, reader.comment, opaque)


def _known_beginning(words: list[Lexeme], shape: str) -> tuple[Node, tuple[Reading, ...]]:
    """Return the longest beginning that the grammar knows, and the rest: one opaque expression and the last verdict.

    The rest never begins with a sign: it would go on with what is before it.
    """
    for end in range(len(words) - 1, -1, -1):
        balanced = sum(one.text in "{(" for one in words[:end]) == sum(one.text in "})" for one in words[:end])
        if words[end].type in _BEGINNINGS and balanced and (tree := tree_of(words[:end], "rule")) is not None:
            tail = words[end:]
            if tail[-2:] and len(tail) > 2 and tail[-2].type == "COMMENT":  # noqa: PLR2004  comment, its text, and more
                tail = tail[:-2]
            verdict, length = _last_verdict(tail)
            opaque = tail[: len(tail) - length]
            what = [_worded(Opaque, shape, opaque[0].start, opaque[-1].end)] if opaque else []
            return tree, (*what, *verdict)
    msg = f"expected an expression of nft, found {words[0].text!r}"
    raise Unreadable(msg)


_BEGINNINGS = {"KEY", "NAME", "LIMIT", "REJECT", "LOG", "COUNTER", "VMAP", "MAP", "SET", "HOLE", "COUNT", "LOG_OPTION"}


def _last_verdict(words: list[Lexeme]) -> tuple[tuple[Verdict, ...], int]:
    """Return the verdict that words end with, if they do, and how many words it has."""
    if words[-1].type in {"ACCEPT", "DROP", "RETURN", "CONTINUE", "REJECT"}:
        return (_plain(words[-1].text),), 1
    if len(words) > 1 and words[-2].type in {"JUMP", "GOTO"}:
        return (_jump(words[-2].text, words[-1].text),), 2
    return (), 0


def _worded(made: Callable[[str], Expression], shape: str, start: int, end: int) -> Reading:
    """Return an expression that is its own text, with the literals put back."""
    text, before = shape[start:end], sum(char in SPELT for char in shape[:start])
    if not any(char in SPELT for char in text):
        return made(text)

    def fill(literals: Sequence[str]) -> Expression:
        rest = iter(literals[before:])
        return made("".join(_back(SPELT[char], next(rest)) if char in SPELT else char for char in text))

    return fill


def _back(kind: str, literal: str) -> str:
    return f'"{literal}"' if kind == "string" else literal


def _plain(word: str) -> Verdict:
    for kind in ("accept", "drop", "return", "continue", "reject"):
        if kind == word:
            return Verdict(kind)
    raise Unreadable(word)


def _jump(word: str, chain: str) -> Verdict:
    return Verdict("jump" if word == "jump" else "goto", chain)


class _RuleReader:
    """Takes the statements of a rule, one after the other."""

    def __init__(self, shape: str, family: Family) -> None:
        self._shape, self._family = shape, family
        self.steps: list[Reading] = []
        self.opaque: list[Reading] = []
        self.comment: int | None = None

    def take(self, node: Node) -> None:
        """Add the expressions of one statement."""
        kind = node.data
        if kind in {"match", "verdict_map"}:
            try:
                granted, step = self._condition(node)
            except NotModelledError:
                self._opaque(node)
                return
            self._grant(granted)
            self.steps.append(step)
        elif kind == "verdict":
            self.steps.append(verdict_of(node))
        elif kind == "comment":
            (hole,) = node.children
            self.comment = int(getattr(hole, "line", 0))
        elif kind in {"counter", "log"}:
            self._word(Inert, node)
        elif kind == "limit":
            self._word(Limit, node)
        elif kind == "change" and str(node.children[0]) == "tcp option maxseg size":
            self._word(Inert, node)
        else:
            self._opaque(node)

    def _grant(self, granted: tuple[Match, ...]) -> None:
        self.steps.extend(match for match in granted if match not in self.steps)

    def _word(self, made: Callable[[str], Expression], node: Node) -> None:
        self.steps.append(_worded(made, self._shape, node.meta.start_pos, node.meta.end_pos))

    def _opaque(self, node: Node) -> None:
        self._word(Opaque, node)
        self.opaque.append(self.steps[-1])

    def _condition(self, node: Node) -> tuple[tuple[Match, ...], Reading]:
        branches = children(node)
        selectors = tuple(_selector(one) for one in children(branches[0]))
        side = branches[-1]
        if node.data == "verdict_map":
            if side.data == "reference":
                return understood_map(selectors, _reference(side), self._family)
            entries = tuple((_element(pair), verdict_of(children(pair)[-1])) for pair in children(side))
            return understood_map(selectors, entries, self._family)
        relation = text_of(branches[1].children[0]) if len(branches) == 3 else ""  # noqa: PLR2004  one is written
        if side.data == "flag_side":
            value, mask = (_part(one) for one in children(side))
            selectors = (selectors[0]._replace(mask=mask), *selectors[1:])
            return understood(Condition(selectors, relation or "==", ((value,),)), self._family)
        if side.data == "reference":
            return understood(Condition(selectors, relation, _reference(side)), self._family)
        if side.data == "set":
            elements = tuple(_element(one) for one in children(side))
            return understood(Condition(selectors, relation, elements, is_set=True), self._family)
        return understood(Condition(selectors, relation, (_concatenated(side),)), self._family)


def verdict_of(node: Node) -> Verdict:
    """Return the verdict of a branch of the tree."""
    (inner,) = children(node)
    words = [text_of(word) for word in inner.children]
    if inner.data == "jump":
        return _jump(words[0], words[1])
    return _plain(words[0])


def _reference(node: Node) -> SetReference:
    return SetReference(text_of(node.children[0]).removeprefix("@"))


def _selector(node: Node) -> Selector:
    masks = children(node)
    return Selector(full_key(text_of(node.children[0])), _part(masks[0]) if masks else None)


def _concatenated(node: Node) -> tuple[Part, ...]:
    return tuple(_part(one) for one in children(node)) if node.data == "concatenation" else (_part(node),)


def _element(node: Node) -> tuple[Part, ...]:
    return _concatenated(children(node)[0])


def _part(node: Node) -> Part:
    if node.data == "range":
        first, last = (_word(one) for one in children(node))
        return Span(first, last)
    if node.data in {"bits", "listed"}:
        names = tuple(_word(one) for one in children(node))
        return names[0] if len(names) == 1 else Bits(names)
    return _word(node)


def _word(node: Node) -> Word:
    (token,) = node.children
    if text_of(token) in SPELT:
        return Hole(int(getattr(token, "line", 0)), SPELT[text_of(token)])
    return text_of(token)


@lru_cache(maxsize=4096)
def set_plan_of(shape: str) -> SetPlan:
    """Return the elements of a set's shape, `{ … }`; Unreadable when they are none."""
    tree = tree_of(lexemes(shape), "elements")
    if tree is None:
        msg = "expected the elements of a set, { ELEMENT, … }"
        raise Unreadable(msg)
    (body,) = children(tree)
    entries = children(body)
    verdicts = tuple(verdict_of(children(one)[-1]) for one in entries) if body.data == "map" else ()
    remarks = [remark for one in entries for remark in children(one) if remark.data == "remark"]
    timed = any(text_of(remark.children[0]) in {"timeout", "expires"} for remark in remarks if remark.children)
    return SetPlan(tuple(_element(one) for one in entries), verdicts, timed, data=body.data == "data")
