"""What a condition of nftables means, whichever front end read it: operands, elements, and what they take for granted.

A front end hands over words. A word is a text, or a `Hole`: a literal that is put in later, so that one condition is
understood once and filled for every line of the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cloison.prove.parse.nftables_operands import (
    INTERFACE,
    OPERANDS,
    PRESENCE,
    STATE,
    STATE_BITS,
    TCP_FLAGS,
    Kind,
    NotModelledError,
    implied,
    spelt,
)
from cloison.prove.ruleset import Match, Operand, SetReference, Verdict, VerdictMap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cloison.prove.ruleset import Element, Expression, Family, Value

    Elements = tuple[tuple["Part", ...], ...]
    Reading = Expression | Callable[[Sequence[str]], Expression]
    """An expression, or how to make it of the literals of a line."""


class Hole(NamedTuple):
    """A literal, by its number in the line, and how it is spelt."""

    number: int
    spelt: str
    """`ipv4`, `ipv6`, `ether`, `number` or `string`."""


Word = str | Hole


class Span(NamedTuple):
    """From one word to another (`80-90`)."""

    first: Word
    last: Word


class Bits(NamedTuple):
    """Several names of bits (`syn,ack`, `syn | ack`)."""

    names: tuple[Word, ...]


Part = Word | Span | Bits


class Selector(NamedTuple):
    """An operand as written."""

    key: str
    mask: Part | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """Operands, a relation, and what they are compared with."""

    selectors: tuple[Selector, ...]
    relation: str
    """Empty where none is written."""
    elements: Elements | SetReference
    """Each has a part for each operand."""
    is_set: bool = False
    """Written with braces."""


def understood(
    condition: Condition, family: Family
) -> tuple[tuple[Match, ...], Expression | Callable[[Sequence[str]], Expression]]:
    """Return the matches that a condition takes for granted, and the match, to be filled where it has holes.

    Raises NotModelledError.
    """
    if [one.key for one in condition.selectors] == ["ct state"] and not isinstance(condition.elements, SetReference):
        return (), _states(condition, condition.elements, condition.selectors[0].mask)
    kinds = kinds_of(condition.selectors)
    operands = tuple(Operand(one.key, _mask(one, kind)) for one, kind in zip(condition.selectors, kinds, strict=True))
    granted = granted_by(condition.selectors, family)
    if isinstance(condition.elements, SetReference):
        if condition.relation not in {"", "==", "!="} or any(one.mask is not None for one in operands):
            raise NotModelledError(condition.relation or "&")
        return granted, Match(operands, condition.elements, condition.relation == "!=")
    if kinds == (TCP_FLAGS,) and not condition.is_set:
        return granted, _flags(condition, condition.elements, operands[0])
    if condition.relation in {"<", ">", "<=", ">="}:
        return granted, _ordered(condition, condition.elements, operands, kinds)
    if condition.relation == "!":
        raise NotModelledError(condition.relation)
    negated = condition.relation == "!="
    if kinds == (PRESENCE,):
        return granted, _presence(condition.elements, operands, negated=negated)
    return granted, filled(condition.elements, kinds, lambda elements: Match(operands, elements, negated))


def understood_map(
    selectors: tuple[Selector, ...],
    entries: tuple[tuple[tuple[Part, ...], Verdict], ...] | SetReference,
    family: Family,
) -> tuple[tuple[Match, ...], Expression | Callable[[Sequence[str]], Expression]]:
    """Return the matches that a verdict map takes for granted, and the map. Raises NotModelledError."""
    kinds = kinds_of(selectors)
    operands = tuple(Operand(one.key, _mask(one, kind)) for one, kind in zip(selectors, kinds, strict=True))
    granted = granted_by(selectors, family)
    if isinstance(entries, SetReference):
        return granted, VerdictMap(operands, entries)
    verdicts = tuple(verdict for _, verdict in entries)

    def made(elements: tuple[Element, ...]) -> Expression:
        return VerdictMap(operands, tuple(zip(elements, verdicts, strict=True)))

    return granted, filled(tuple(element for element, _ in entries), kinds, made)


def full_key(words: str) -> str:
    """Return the one spelling that an operand has in the model."""
    bare = words.removeprefix("meta ")
    return bare if bare in {"iifname", "oifname", "iif", "oif"} else words


def kinds_of(selectors: Sequence[Selector]) -> tuple[Kind, ...]:
    """Return what operands hold; NotModelledError for one that is not modelled."""
    for one in selectors:
        if one.key not in OPERANDS:
            raise NotModelledError(one.key)
    kinds = tuple(OPERANDS[one.key] for one in selectors)
    if STATE in kinds and (len(kinds) > 1 or selectors[0].mask is not None):
        what = "a mask or a concatenation of ct state"
        raise NotModelledError(what)
    return kinds


def granted_by(selectors: Sequence[Selector], family: Family) -> tuple[Match, ...]:
    """Return the matches that operands take for granted, each once."""
    wanted = dict.fromkeys(pair for one in selectors for pair in implied(one.key, family))
    return tuple(Match((Operand(key),), (((number, number),),)) for key, number in wanted)


def filled(elements: Elements, kinds: tuple[Kind, ...], made: Callable[[tuple[Element, ...]], Expression]) -> Reading:
    """Return what is made of the elements: at once where they have no hole, otherwise when it is filled."""
    values = values_of(elements, kinds)
    if isinstance(values, tuple):
        return made(values)
    fill = values
    return lambda literals: made(fill(literals))


def values_of(
    elements: Elements, kinds: tuple[Kind, ...]
) -> tuple[Element, ...] | Callable[[Sequence[str]], tuple[Element, ...]]:
    """Return the elements as values, or how to make them of the literals. Raises NotModelledError."""
    readers: list[tuple[Value | Callable[[Sequence[str]], Value], ...]] = []
    for element in elements:
        if len(element) != len(kinds):
            what = f"{len(element)} values for {len(kinds)} operands"
            raise NotModelledError(what)
        readers.append(tuple(_value(part, kind) for part, kind in zip(element, kinds, strict=True)))
    if not any(callable(reader) for element in readers for reader in element):
        return tuple(tuple(reader for reader in element if not callable(reader)) for element in readers)
    if len(readers) == 1 and len(readers[0]) == 1 and callable(only := readers[0][0]):
        return lambda literals: ((only(literals),),)
    return lambda literals: tuple(
        tuple(reader(literals) if callable(reader) else reader for reader in element) for element in readers
    )


def _value(part: Part, kind: Kind) -> Value | Callable[[Sequence[str]], Value]:
    """Return the value of one part, or how to read it."""
    if isinstance(part, Span):
        return _span(part, kind)
    if isinstance(part, Bits):
        number = bits(part, kind)
        return number, number
    if isinstance(part, str):
        return _named(part, kind)
    wanted = "string" if kind.spelt == "name" else kind.spelt
    if part.spelt != wanted:
        what = f"a {part.spelt} for a {wanted}"
        raise NotModelledError(what)
    number = part.number
    return lambda literals: spelt(kind, literals[number])


def _span(part: Span, kind: Kind) -> Value | Callable[[Sequence[str]], Value]:
    if kind is INTERFACE:
        raise NotModelledError(str(part))
    first, last = _value(part.first, kind), _value(part.last, kind)

    def between(low: Value, high: Value) -> Value:
        if isinstance(low, str) or isinstance(high, str) or low[0] > high[1]:
            msg = "a range from the lesser to the greater"
            raise ValueError(msg)
        return low[0], high[1]

    if not callable(first) and not callable(last):
        return between(first, last)
    return lambda literals: between(
        first(literals) if callable(first) else first, last(literals) if callable(last) else last
    )


def _named(word: str, kind: Kind) -> Value:
    """Return the value of a word that a constant text spells: a name of the kind, or as a literal."""
    if word in kind.names:
        return kind.names[word], kind.names[word]
    try:
        return spelt(kind, word)
    except ValueError as error:
        raise NotModelledError(word) from error


def bits(part: Part, kind: Kind) -> int:
    """Return the number of some bits. Raises NotModelledError."""
    number = 0
    for word in part.names if isinstance(part, Bits) else (part,):
        if not isinstance(word, str) or kind.spelt == "name":
            raise NotModelledError(str(word))
        value = _named(word, kind)
        number |= value[0] if isinstance(value, tuple) else 0
    return number


def _mask(selector: Selector, kind: Kind) -> int | None:
    return None if selector.mask is None else bits(selector.mask, kind)


def state_bits(part: Part) -> int:
    """Return the kernel's bits of some states of a connection. Raises NotModelledError."""
    number = 0
    of = {int(state): bit for bit, state in STATE_BITS.items()}
    for word in part.names if isinstance(part, Bits) else (part,):
        if not isinstance(word, str) or not (word in STATE.names or word.isdecimal()):
            raise NotModelledError(str(word))
        number |= of[STATE.names[word]] if word in STATE.names else int(word)
    return number


def _states(condition: Condition, elements: Elements, written: Part | None) -> Match:
    """Return a test of `ct state` as the states that it lets through: a packet has exactly one bit."""
    mask = None if written is None else state_bits(written)
    wanted = [state_bits(element[0]) for element in elements]
    relation = condition.relation
    if relation in {"<", ">", "<=", ">="}:
        raise NotModelledError(relation)

    def passes(bit: int) -> bool:
        if condition.is_set or mask is not None or relation in {"==", "!="}:
            return ((bit if mask is None else bit & mask) in wanted) is (relation != "!=")
        return bool(bit & wanted[0]) is (relation != "!")

    passing = sorted(int(state) for bit, state in STATE_BITS.items() if passes(bit))
    return Match((Operand("ct state"),), tuple(((state, state),) for state in passing))


def _presence(elements: Elements, operands: tuple[Operand, ...], *, negated: bool) -> Match:
    """Return a test of what is missing (0) or exists, as one of 0."""
    (value,) = {bits(element[0], PRESENCE) for element in elements}
    return Match(operands, (((0, 0),),), negated=negated is (value == 0))


def _flags(condition: Condition, elements: Elements, operand: Operand) -> Match:
    """Return a test of TCP flags: of bits, where no relation and no mask is written, and otherwise of the value."""
    number = bits(elements[0][0], TCP_FLAGS)
    relation, mask = condition.relation, operand.mask
    some, none = (((1, TCP_FLAGS.last),),), (((0, 0),),)
    if relation in {"<", ">", "<=", ">="}:
        raise NotModelledError(relation)
    if mask is None and relation in {"", "!"}:
        if not number:
            return Match((operand,), () if not relation else none)
        return Match((Operand(operand.key, number),), none if relation else some)
    if mask is not None and number == 0:
        return Match((operand,), some if relation == "!=" else none)
    return Match((operand,), (((number, number),),), relation == "!=")


def _ordered(
    condition: Condition, elements: Elements, operands: tuple[Operand, ...], kinds: tuple[Kind, ...]
) -> Reading:
    """Return a test of order as one of an interval."""
    relation, last = condition.relation, kinds[0].last
    if len(kinds) != 1 or condition.is_set or kinds[0] is INTERFACE:
        raise NotModelledError(relation)

    def made(values: tuple[Element, ...]) -> Expression:
        value = values[0][0]
        if isinstance(value, str):  # no operand of order holds a name
            raise TypeError(value)
        low, high = {
            "<": (0, value[0] - 1), ">": (value[1] + 1, last), "<=": (0, value[1]), ">=": (value[0], last),
        }[relation]  # fmt: skip
        return Match(operands, (((low, high),),) if low <= high else ())

    return filled(elements, kinds, made)
