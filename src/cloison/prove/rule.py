"""What one rule of nftables does: to which packets it surely gives which verdict, and to which it may.

A rule is a list of branches. Most have one: a product of conditions and a verdict. A verdict map makes one for each of
its verdicts. Where a rate limit or something that is not modelled stands before the verdict, it is not sure that what
matches gets it: the branch is `sure` of nothing. Where something that is not modelled could change the packet, what
becomes of it from there on is not known: the verdict is WILD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloison.prove.match import LINKS, Box, Intervals, merged, product, term
from cloison.prove.ruleset import Limit, Match, Opaque, SetReference, Verdict, VerdictMap
from cloison.prove.space import Region
from cloison.prove.statement import Unmodelled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cloison.prove.packet import Frames
    from cloison.prove.ruleset import Element, Operand, Rule, Table, Value

WILD: Final = "wild"
"""The kind of a verdict that is not known, of a packet that may have been changed."""
_ROUTE_TYPES: Final = (
    "unspec",
    "unicast",
    "local",
    "broadcast",
    "anycast",
    "multicast",
    "blackhole",
    "unreachable",
    "prohibit",
)
"""The names of `fib … type`, by their numbers (linux/rtnetlink.h)."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The packets that surely match, and those that may; the first are among the second."""

    sure: Region
    may: Region

    def __and__(self, other: Condition) -> Condition:
        """Return the condition that both hold."""
        sure = self.sure & other.sure
        return Condition(sure, sure if self.certain and other.certain else self.may & other.may)

    @property
    def certain(self) -> bool:
        """Tell whether it is known of every packet whether it matches."""
        return self.sure == self.may


@dataclass(frozen=True, slots=True)
class Branch:
    """What a rule does with the packets of one condition; no verdict when it lets them go on."""

    verdict: Verdict | None
    condition: Condition

    @property
    def kind(self) -> str:
        """Return the kind of the verdict, `continue` when there is none."""
        return self.verdict.kind if self.verdict is not None else "continue"


@dataclass(frozen=True, slots=True)
class RuleCode:
    """A rule as branches, no packet in two of them."""

    rule: Rule
    branches: tuple[Branch, ...]
    reasons: tuple[Unmodelled, ...]
    """Why it is not known of every packet what the rule does with it."""
    wild: Region
    """The packets that something which is not modelled may change."""


class RuleReader:
    """Makes branches of the rules of one table."""

    def __init__(self, frames: Frames, table: Table, fib: Mapping[str, Region], *, fragments: bool) -> None:
        """Take the answers of `fib`: by the text of the operand, the packets for which the answer is missing.

        With ` local` and the like behind a `fib … type`: the packets whose address is of that type. Without
        `fragments`, no rule ever sees one.
        """
        self.frames = frames
        self.fragments = fragments
        self._links: dict[object, tuple[Box, Box] | None] = {}
        self._nodes: dict[tuple[int, Intervals, int], int] = {}
        self._fib = fib
        self._sets = {one.name: one for one in table.sets}
        self.perhaps = Condition(frames.nothing, frames.everything)

    def read(self, rule: Rule) -> RuleCode:
        """Return what a rule does."""
        return _Reading(self, rule).code()

    # --- conditions -------------------------------------------------------------------------------------------------

    def product(self, match: Match) -> tuple[Box, Box] | None:
        """Return what a match surely and perhaps matches, as products; None where it is no product."""
        if match.operands[0].key not in LINKS:
            return product(match, self.frames.interfaces)
        key = (match.operands[0].key, match.elements, match.negated)
        found = self._links.get(key)
        if found is None:
            found = self._links[key] = product(match, self.frames.interfaces)
        return found

    def match(self, match: Match, unsure: list[str]) -> Condition:
        """Return a match as a condition; what is not modelled is added to `unsure`."""
        elements = match.elements
        if isinstance(elements, SetReference):
            named = self._sets.get(elements.name)
            if named is None or named.opaque or named.verdicts:
                unsure.append(f"the elements of the set {elements.name}")
                return self.perhaps
            elements = named.elements
        return self._elements(match.operands, elements, negated=match.negated, unsure=unsure)

    def entries(self, given: VerdictMap, unsure: list[str]) -> list[tuple[Condition, Verdict]] | None:
        """Return the verdicts of a map, each with its condition; None where the map is not known."""
        entries = given.entries
        if isinstance(entries, SetReference):
            named = self._sets.get(entries.name)
            if named is None or named.opaque or len(named.verdicts) != len(named.elements):
                unsure.append(f"the elements of the map {entries.name}")
                return None
            entries = tuple(zip(named.elements, named.verdicts, strict=True))
        by_verdict: dict[Verdict, list[Element]] = {}
        for element, verdict in entries:
            by_verdict.setdefault(verdict, []).append(element)
        return [
            (self._elements(given.operands, elements, negated=False, unsure=unsure), verdict)
            for verdict, elements in by_verdict.items()
        ]

    def _elements(
        self, operands: Sequence[Operand], elements: Sequence[Element], *, negated: bool, unsure: list[str]
    ) -> Condition:
        if len(operands) == 1:
            return self._single(operands[0], [value for (value,) in elements], negated=negated, unsure=unsure)
        parts = self._concatenated(operands, elements, unsure)
        frames = self.frames
        sure = frames.union(one.sure for one in parts)
        found = Condition(sure, frames.union(one.may for one in parts))
        if negated:
            guard = Condition(frames.everything, frames.everything)
            for operand in operands:
                guard &= self._single(operand, [], negated=True, unsure=unsure)
            found = Condition(guard.sure - found.may, guard.may - found.sure)
        return found

    def _concatenated(
        self, operands: Sequence[Operand], elements: Sequence[Element], unsure: list[str]
    ) -> list[Condition]:
        """Return a condition for each element of a concatenation."""
        known: dict[tuple[int, Value], Condition | tuple[Box, Box]] = {}
        parts = []
        for element in elements:
            conjunction = Conjunction(fragments=self.fragments)
            for place, (operand, value) in enumerate(zip(operands, element, strict=True)):
                one = known.get((place, value))
                if one is None:
                    one = self.product(Match((operand,), ((value,),)))
                    if one is None:
                        one = self._single(operand, [value], negated=False, unsure=unsure)
                    known[place, value] = one
                conjunction.add(one)
            parts.append(self.condition(conjunction))
        return parts

    def _single(self, operand: Operand, values: list[Value], *, negated: bool, unsure: list[str]) -> Condition:
        if operand.key.startswith("fib ") and operand.mask is None:
            return self._lookup(operand.key, values, negated=negated, unsure=unsure)
        found = term(operand, values, self.frames.interfaces)
        if found is None:
            unsure.append(operand.key)
            return self.perhaps
        found = found.negated() if negated else found
        sure = self.region(merged(found.guard, {found.field: found.sure}))
        may = sure if found.sure == found.may else self.region(merged(found.guard, {found.field: found.may}))
        for outside in (found.later if self.fragments else None, found.beyond):
            if outside is not None:
                may |= self.region(outside)
        if sure != may:
            unsure.append(f"{operand.key}, of which the fields of a packet say too little")
        return Condition(sure, may)

    def _lookup(self, key: str, values: list[Value], *, negated: bool, unsure: list[str]) -> Condition:
        """Return where the answer of a routing table is one of some values; 0 is that there is none."""
        frames = self.frames
        numbers = [value for value in values if not isinstance(value, str)]
        found: Region | None = None
        if key.endswith(" type") and all(low == high < len(_ROUTE_TYPES) for low, high in numbers):
            regions = [self._fib.get(f"{key} {_ROUTE_TYPES[low]}") for low, _ in numbers]
            known = [region for region in regions if region is not None]
            found = frames.union(known) if len(known) == len(regions) else None
        elif key in self._fib and set(numbers) <= {(0, 0), (1, 1)}:
            missing = self._fib[key]
            found = frames.union(missing if low == 0 else ~missing for low, _ in set(numbers))
        if found is None:
            unsure.append(key)
            return self.perhaps
        found = frames.ip - found if negated else found & frames.ip
        return Condition(found, found)

    def condition(self, conjunction: Conjunction) -> Condition:
        """Return the packets for which all of it holds."""
        region = may = self.region(conjunction.box)
        if conjunction.later is not conjunction.box:
            may = region | self.region(conjunction.later)
        found = Condition(region, may)
        for other in conjunction.others:
            found &= other
        return found

    def region(self, box: Box | None) -> Region:
        """Return the packets of a product."""
        frames, node = self.frames, 1
        if box is None:
            return frames.nothing
        for level, intervals in sorted(((frames.level_of(name), box[name]) for name in box), reverse=True):
            key = (level, intervals, node)
            found = self._nodes.get(key)
            if found is None:
                found = frames.test(level, [(low, high, node) for low, high in intervals]) if intervals else 0
                self._nodes[key] = found
            node = found
        return Region(frames, node)


class Conjunction:
    """Conditions that all hold: a product, that product for later fragments, and what is none."""

    __slots__ = ("box", "fragments", "later", "others")

    def __init__(self, *, fragments: bool) -> None:
        self.fragments = fragments
        self.box: Box | None = {}
        self.later: Box | None = self.box
        """What may match: the same object as `box` as long as later fragments are nothing of their own."""
        self.others: list[Condition] = []

    def add(self, one: Condition | tuple[Box, Box]) -> None:
        """Add a condition, or a product with its like for later fragments."""
        if isinstance(one, Condition):
            self.others.append(one)
            return
        box, later = one
        if self.fragments and (later is not box or self.later is not self.box):
            self.later = merged(self.later, later) if self.later is not None else None
            self.box = merged(self.box, box) if self.box is not None else None
        else:
            self.box = self.later = merged(self.box, box) if self.box is not None else None


class _Reading:
    """Goes through the expressions of one rule, from the left."""

    def __init__(self, reader: RuleReader, rule: Rule) -> None:
        self._reader = reader
        self._rule = rule
        self._so_far = Conjunction(fragments=reader.fragments)
        self._branches: list[Branch] = []
        self._unsure: list[str] = []

    def code(self) -> RuleCode:
        nothing = self._reader.frames.nothing
        for expression in self._rule.expressions:
            if isinstance(expression, Match):
                self._match(expression)
            elif isinstance(expression, Limit):
                self._unsure.append(expression.text)
                self._so_far.add(self._reader.perhaps)
            elif isinstance(expression, Opaque):
                self._unsure.append(expression.text)
                return self._ended(wild=self._reached().may)
            elif isinstance(expression, VerdictMap):
                if not self._map(expression):
                    return self._ended(wild=self._reached().may)
            elif isinstance(expression, Verdict) and expression.kind != "continue":
                self._branches.append(Branch(expression, self._reached()))
                return self._ended(wild=nothing)
        self._branches.append(Branch(None, self._reached()))
        return self._ended(wild=nothing)

    def _ended(self, wild: Region) -> RuleCode:
        statement = self._rule.statement
        reasons = tuple(Unmodelled(statement, what) for what in dict.fromkeys(self._unsure))
        return RuleCode(self._rule, tuple(self._branches), reasons, wild)

    def _reached(self) -> Condition:
        return self._reader.condition(self._so_far)

    def _match(self, match: Match) -> None:
        found = self._reader.product(match)
        self._so_far.add(self._reader.match(match, self._unsure) if found is None else found)

    def _map(self, given: VerdictMap) -> bool:
        """Part what matched so far by a verdict map. What is not in the map ends the rule; False: anything may come."""
        entries = self._reader.entries(given, self._unsure)
        if entries is None:
            return False
        reached = self._reached()
        going_on = [condition for condition, verdict in entries if verdict.kind == "continue"]
        self._branches += [
            Branch(verdict, reached & condition) for condition, verdict in entries if verdict.kind != "continue"
        ]
        union = self._reader.frames.union
        on = Condition(union(one.sure for one in going_on), union(one.may for one in going_on))
        self._so_far = Conjunction(fragments=self._reader.fragments)
        self._so_far.add(reached & on)
        return True
