"""Sets of packets, exact and fast: an algebra over interval decision diagrams.

A packet is a point in a product of bounded integers, its *fields*. A `Region` is any set of such points, kept as a node
of a diagram (`diagram`, the only module that this one needs) in which a set has exactly one form. So equality of sets
is equality of two integers, emptiness is a comparison with 0, and what was computed once is not computed again.

>>> space = Space([Field("address", 8), Field("port", 16)])
>>> web = space.box(address=(10, 19), port=443)
>>> all_of_11 = space.box(address=11)
>>> (web - all_of_11).count()
9
>>> (web | all_of_11) & space.box(port=80) == space.box(address=11, port=80)
True
>>> (web - all_of_11).witness()
{'address': 10, 'port': 443}

What a list of rules lets through, the first that matches deciding; and the same said in few words:

>>> permitted = space.first_match([(space.box(address=11), "drop"), (web, "accept")])["accept"]
>>> [box.intervals for box in permitted.boxes()]
[{'address': (10, 10), 'port': (443, 443)}, {'address': (12, 19), 'port': (443, 443)}]
>>> [box.intervals for box in (permitted | all_of_11).cover()]
[{'address': (10, 19), 'port': (443, 443)}, {'address': (11, 11)}]

The size of a set is bounded by the product of the numbers of intervals of its fields, as in every exact algebra of
sets: a budget of nodes turns an explosion into an error. A space and its regions must not be shared by threads.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from cloison.prove.diagram import AND, EMPTY, FULL, MINUS, OR, BudgetError, Diagram, Interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from random import Random

__all__ = ["Box", "BudgetError", "Field", "Interval", "Packet", "Region", "Space", "Values"]

Values = int | Interval | frozenset[Interval]
"""What one field may be: one value, an interval, or several intervals."""
Packet = dict[str, int]
"""A point: a value for every field."""
Action = TypeVar("Action")


class Field(NamedTuple):
    """One dimension: values from 0 to 2^bits - 1."""

    name: str
    bits: int

    @property
    def last(self) -> int:
        """The greatest value."""
        return (1 << self.bits) - 1


class Box(NamedTuple):
    """A product of intervals, one for each field that is bounded; a field that is not named is free."""

    intervals: Mapping[str, Interval]


class Region:
    """A set of packets of one space. Operators: `|` union, `&` intersection, `-` difference, `~` complement.

    `==` is equality of the sets, `<=` inclusion, `in` membership; a region is true when it is not empty. All of them
    raise ValueError for regions of two spaces, but for `==`, which is false. A region never changes.
    """

    __slots__ = ("node", "space")

    def __init__(self, space: Space, node: int) -> None:
        """Name a node; regions are made by a space and by each other."""
        self.space: Final = space
        self.node: Final = node

    def __or__(self, other: Region) -> Region:
        """Return what is in one or the other."""
        return Region(self.space, self.space.combine(OR, self.node, self.space.own(other)))

    def __and__(self, other: Region) -> Region:
        """Return what is in both."""
        return Region(self.space, self.space.combine(AND, self.node, self.space.own(other)))

    def __sub__(self, other: Region) -> Region:
        """Return what is in this one and not in the other."""
        return Region(self.space, self.space.combine(MINUS, self.node, self.space.own(other)))

    def __invert__(self) -> Region:
        """Return every packet that is not in this one."""
        return Region(self.space, self.space.combine(MINUS, FULL, self.node))

    def __bool__(self) -> bool:
        """Tell whether there is a packet in it."""
        return self.node != EMPTY

    def __eq__(self, other: object) -> bool:
        """Two regions are equal when they hold the same packets."""
        return isinstance(other, Region) and self.space is other.space and self.node == other.node

    def __hash__(self) -> int:
        """Hash by the node, which is the set."""
        return hash(self.node)

    def __le__(self, other: Region) -> bool:
        """Tell whether every packet of this one is in the other."""
        return self.space.combine(MINUS, self.node, self.space.own(other)) == EMPTY

    def __contains__(self, packet: Mapping[str, int]) -> bool:
        """Tell whether a packet, given by every field that matters, is in the set.

        Raises ValueError for a value that its field cannot have.
        """
        nodes, fields, node = self.space.nodes, self.space.fields, self.node
        while node > FULL:
            level, ends, children = nodes[node]
            value = packet[fields[level].name]
            if not 0 <= value <= ends[-1]:
                msg = f"{fields[level].name}: {value} is not within 0–{ends[-1]}"
                raise ValueError(msg)
            node = children[bisect_left(ends, value)]
        return node == FULL

    def __repr__(self) -> str:
        """Show how many packets there are."""
        return f"Region({self.count()} packets)"

    # --- looking into it --------------------------------------------------------------------------------------------

    def count(self) -> int:
        """Return the exact number of packets."""
        return self.space.count(self.node)

    def boxes(self) -> Iterator[Box]:
        """Yield disjoint boxes whose union is the set: by rising values, the first field counting most."""
        names = [field.name for field in self.space.fields]
        for path in self.space.paths(self.node):
            yield Box({names[level]: interval for level, interval in path})

    def cover(self) -> Iterator[Box]:
        """Yield few boxes whose union is the set, for people: each as wide as it can be, so that they may overlap."""
        left = self.node
        while left:
            box = self.space.widened(self.space.first_path(left), self.node)
            yield Box({self.space.fields[level].name: box[level] for level in sorted(box)})
            left = self.space.combine(MINUS, left, self.space.product(box))

    def values(self, name: str) -> frozenset[Interval]:
        """Return the values of a field that occur in the set, as few intervals as there can be."""
        return frozenset(self.space.occurring(self.node, self.space.level_of(name)))

    def per(self, name: str) -> Iterator[tuple[Interval, Region]]:
        """Yield the set in parts, by rising values of a field: an interval of them, and the packets that have these.

        The packets of one part differ in nothing else: whatever value of the interval one takes, the rest is the same.
        """
        level = self.space.level_of(name)
        for low, high, node in self.space.split(self.node, level):
            those = self.space.between(level, (low, high), FULL)
            yield (low, high), Region(self.space, self.space.combine(AND, those, node))

    def witness(self, *wishes: Region) -> Packet:
        """Return one packet of the set; of the wishes, in their order, every one that still leaves a packet holds.

        It has the lowest values, the first field counting most. Raises ValueError for the empty set.
        """
        node = self.node
        for wish in wishes:
            node = self.space.combine(AND, node, self.space.own(wish)) or node
        packet = dict.fromkeys((field.name for field in self.space.fields), 0)
        for level, (low, _) in self.space.first_path(node).items():
            packet[self.space.fields[level].name] = low
        return packet

    def sample(self, random: Random) -> Packet:
        """Return one packet, each with the same chance. Raises ValueError for the empty set."""
        space, node = self.space, self.node
        if node == EMPTY:
            raise ValueError(NO_PACKET)
        packet = {field.name: random.getrandbits(field.bits) for field in space.fields}
        while node > FULL:
            level = space.nodes[node][0]
            edges = list(space.edges(node))
            weights = [(high - low + 1) * space.weight(child, level + 1) for low, high, child in edges]
            number = random.randrange(sum(weights))
            for (low, high, child), weight in zip(edges, weights, strict=True):
                if number < weight:
                    packet[space.fields[level].name] = random.randint(low, high)
                    node = child
                    break
                number -= weight
        return packet

    # --- changing fields --------------------------------------------------------------------------------------------

    def without(self, *names: str) -> Region:
        """Return the packets that are in the set for some value of these fields, whatever theirs is (projection)."""
        return Region(self.space, self.space.project(self.node, frozenset(map(self.space.level_of, names))))

    def setting(self, **values: Values) -> Region:
        """Return the packets of the set with these fields overwritten."""
        return self.without(*values) & self.space.box(**values)

    def swapping(self, *pairs: tuple[str, str]) -> Region:
        """Return the packets with the values of two fields exchanged, for each pair.

        Raises ValueError when the fields of a pair have not the same width, or a field is in two pairs.
        """
        return Region(self.space, self.space.permute(self.node, pairs))


NO_PACKET: Final = "the empty set holds no packet"


class Space(Diagram):
    """The fields, and every node of every region made of them."""

    def __init__(self, fields: Sequence[Field], budget: int = 4_000_000) -> None:
        """Take the fields in their order along a path, those that tell packets apart best first.

        `budget` bounds the number of nodes: beyond it, whatever is asked raises BudgetError.
        """
        super().__init__([field.bits for field in fields], budget)
        self.fields = tuple(fields)
        self._levels = {field.name: level for level, field in enumerate(self.fields)}
        self.nothing = Region(self, EMPTY)
        self.everything = Region(self, FULL)

    def level_of(self, name: str) -> int:
        """Return the place of a field in the order; KeyError for a name that is none."""
        return self._levels[name]

    def own(self, region: Region) -> int:
        """Return the node of a region; ValueError when it is of another space."""
        if region.space is not self:
            msg = "regions of two spaces cannot be combined"
            raise ValueError(msg)
        return region.node

    def box(self, **values: Values) -> Region:
        """Return the packets whose fields have these values; a field that is not named is free.

        Raises KeyError for a name that is no field, ValueError for a value that its field cannot have.
        """
        node = FULL
        for name in sorted(values, key=self._levels.__getitem__, reverse=True):
            level, allowed = self._levels[name], values[name]
            if isinstance(allowed, int):
                allowed = (allowed, allowed)
            intervals = sorted(allowed) if isinstance(allowed, frozenset) else (allowed,)
            for low, high in intervals:
                if not 0 <= low <= high <= self.lasts[level]:
                    msg = f"{name}: {low}–{high} is not within 0–{self.lasts[level]}"
                    raise ValueError(msg)
            if len(intervals) == 1:
                node = self.between(level, intervals[0], node)
            else:
                node = self.test(level, [(low, high, node) for low, high in intervals])
        return Region(self, node)

    def union(self, regions: Iterable[Region]) -> Region:
        """Return what is in any of them; much faster than one after the other."""
        return Region(self, self.any(map(self.own, regions)))

    def rows(self, names: Sequence[str], rows: Iterable[tuple[tuple[int, ...], Region]]) -> Region:
        """Return what is in any of many sets, each one value of some fields and a set that is free in them.

        The names are in the order of the fields, and the sets test only what is deeper: ValueError where it is not so.
        """
        levels = [self._levels[name] for name in names]
        found = sorted((*values, self.own(region)) for values, region in rows)
        shallowest = min((self.nodes[row[-1]][0] for row in found), default=len(self.fields))
        if levels != sorted(set(levels)) or shallowest <= levels[-1]:
            msg = f"the fields {', '.join(names)} are not in order, or a set tests one that is not deeper"
            raise ValueError(msg)

        def below(depth: int, part: Iterable[tuple[int, ...]]) -> int:
            if depth == len(levels):
                return self.any(row[-1] for row in part)
            edges = ((value, value, below(depth + 1, of)) for value, of in groupby(part, key=itemgetter(depth)))
            return self.test(levels[depth], edges)

        return Region(self, below(0, found))

    def first_match(self, rules: Sequence[tuple[Region, Action]]) -> dict[Action, Region]:
        """Return for each action the packets whose first matching rule has it, by halves.

        Lists of rules compose: what a list does is a set for each action, and the second half of a list gets what the
        first half leaves. Halving is some fifteen times faster than going rule by rule.
        """
        by_action = self._halves([(self.own(region), action) for region, action in rules])
        return {action: Region(self, node) for action, node in by_action.items()}

    def _halves(self, rules: Sequence[tuple[int, Action]]) -> dict[Action, int]:
        if len(rules) <= 1:
            return {action: node for node, action in rules}
        middle = len(rules) // 2
        found = self._halves(rules[:middle])
        first = list(found.items())
        matched = self.any(found.values()) if len(found) > 2 else EMPTY  # noqa: PLR2004  see below
        for action, node in self._halves(rules[middle:]).items():
            # Taking what other actions have is enough, and with one or two of them saves the set of all that matched.
            taken = matched or self.any(node for other, node in first if other != action)
            left = self.combine(MINUS, node, taken)
            found[action] = self.combine(OR, found.get(action, EMPTY), left)
        return found

    def permute(self, node: int, pairs: Sequence[tuple[str, str]]) -> int:
        """Return the node with the fields of each pair exchanged."""
        levels = [(self._levels[one], self._levels[two]) for one, two in pairs]
        if len({level for pair in levels for level in pair}) < 2 * len(pairs):
            msg = "a field can be exchanged with one other"
            raise ValueError(msg)
        for one, two in levels:
            if self.lasts[one] != self.lasts[two]:
                msg = f"{self.fields[one].name} and {self.fields[two].name} have not the same width"
                raise ValueError(msg)
        return self.exchange(node, levels)

    # --- boxes, by level --------------------------------------------------------------------------------------------

    def product(self, box: Mapping[int, Interval]) -> int:
        """Return the node of a box."""
        node = FULL
        for level in sorted(box, reverse=True):
            node = self.between(level, box[level], node)
        return node

    def first_path(self, node: int) -> dict[int, Interval]:
        """Return the first box of a node; ValueError when there is none."""
        if node == EMPTY:
            raise ValueError(NO_PACKET)
        path = {}
        while node > FULL:
            level = self.nodes[node][0]
            low, high, node = next(self.edges(node))
            path[level] = (low, high)
        return path

    def widened(self, box: Mapping[int, Interval], node: int) -> dict[int, Interval]:
        """Return the widest box within a node that holds a box of it: the deepest level is widened first."""
        wide = dict(box)
        for level in sorted(box, reverse=True):
            low, _ = wide.pop(level)
            outside = self.combine(MINUS, self.product(wide), node)
            others = self.occurring(outside, level)
            before = max((high for _, high in others if high < low), default=-1)
            behind = min((first for first, _ in others if first > low), default=self.lasts[level] + 1)
            if (before, behind) != (-1, self.lasts[level] + 1):
                wide[level] = (before + 1, behind - 1)
        return wide
