"""Interval decision diagrams with hash-consing: the engine under `space`, which gives it fields and names.

A node tests one level: its edges are intervals of that level's values, in order and without a gap, and each leads to a
node of a deeper level. Two rules make the graph of a set unique: neighbouring edges with the same child are one edge,
and a node that already exists is never made twice. So sets are equal when their nodes are the same number, and an
operation on a pair of nodes is computed once.

Sources: Gouda and Liu, "Structured firewall design" (Computer Networks 51, 2007), for the diagram and its reduction;
Christensen and Fleury, "Interval decision diagram based firewall" (2005), for intervals in place of bits; Bryant,
"Graph-based algorithms for Boolean function manipulation" (1986), for the unique table and the computed table.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from cloison.errors import CloisonError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Interval = tuple[int, int]
"""The first and the last value, both within."""
Node = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Level, last value of each edge, child of each edge."""
Edge = tuple[int, int, int]
"""First value, last value, child."""

EMPTY: Final = 0
FULL: Final = 1
OR, AND, MINUS = 0, 1, 2
LAWS: Final = (
    # the constant of the operation; what absorbs and what is neutral on the left; the same on the right
    (FULL, FULL, EMPTY, FULL, EMPTY),
    (EMPTY, EMPTY, FULL, EMPTY, FULL),
    (EMPTY, EMPTY, -1, FULL, EMPTY),  # nothing is neutral on the left: FULL - x is not x
)
"""For each operation: its result is the constant when a side absorbs, and the other side when one is neutral."""


class BudgetError(CloisonError, MemoryError):
    """A diagram holds more nodes than it was given: the sets asked for are too intricate to be computed exactly."""


class Diagram:
    """Every node that was ever made over some levels. Nodes are numbers; 0 is the empty set and 1 everything.

    Nodes are never freed before their diagram is. A diagram must not be shared by threads.
    """

    def __init__(self, widths: Sequence[int], budget: int) -> None:
        """Take the bits of each level. More than `budget` nodes raise BudgetError."""
        self.lasts = tuple((1 << bits) - 1 for bits in widths)
        """The greatest value of each level."""
        self.budget = budget
        self.nodes: list[Node] = [(len(self.lasts), (), ())] * 2
        self._below = [sum(widths[level:]) for level in range(len(widths) + 1)]
        """Bits of a level and of all that are deeper."""
        self._unique: dict[Node, int] = {}
        self.forget()

    def forget(self) -> None:
        """Drop the tables of what was computed; the nodes stay. For long work, when memory matters."""
        self._computed: tuple[dict[int, int], ...] = ({}, {}, {})
        self._projected: dict[frozenset[int], dict[int, int]] = {}
        self._exchanged: dict[tuple[tuple[int, int], ...], dict[int, int]] = {}
        self._counted: dict[int, int] = {}

    # --- making nodes -----------------------------------------------------------------------------------------------

    def between(self, level: int, interval: Interval, child: int) -> int:
        """Return the node that goes on to `child` for one interval of a level, and is empty for the other values."""
        (low, high), last = interval, self.lasts[level]
        if child == EMPTY or (low == 0 and high == last):
            return child
        if low == 0:
            return self._intern((level, (high, last), (child, EMPTY)))
        if high == last:
            return self._intern((level, (low - 1, last), (EMPTY, child)))
        return self._intern((level, (low - 1, high, last), (EMPTY, child, EMPTY)))

    def test(self, level: int, edges: Iterable[Edge]) -> int:
        """Return the node of a level with these edges, and empty for every value that no edge has.

        The edges are in order and within the level; they may overlap where they have the same child.
        """
        ends: list[int] = []
        children: list[int] = []
        following, last = 0, self.lasts[level]
        for low, high, child in edges:
            if low > following:
                ends.append(low - 1)
                children.append(EMPTY)
            if high >= following:
                ends.append(high)
                children.append(child)
                following = high + 1
        if following <= last:
            ends.append(last)
            children.append(EMPTY)
        return self.node(level, ends, children)

    def node(self, level: int, ends: Sequence[int], children: Sequence[int]) -> int:
        """Return the one node with these edges, neighbours with the same child made one."""
        kept_ends: list[int] = []
        kept: list[int] = []
        previous = -1
        for end, child in zip(ends, children, strict=True):
            if child == previous:
                kept_ends[-1] = end
            else:
                kept_ends.append(end)
                kept.append(child)
                previous = child
        return kept[0] if len(kept) == 1 else self._intern((level, tuple(kept_ends), tuple(kept)))

    def _intern(self, key: Node) -> int:
        node = self._unique.get(key)
        if node is None:
            node = len(self.nodes)
            if node >= self.budget:
                msg = f"more than {self.budget} nodes: the sets are too intricate to be computed exactly"
                raise BudgetError(msg)
            self.nodes.append(key)
            self._unique[key] = node
        return node

    # --- the algebra ------------------------------------------------------------------------------------------------

    def combine(self, operation: int, one: int, two: int) -> int:
        """Return the union (OR), the intersection (AND) or the difference (MINUS) of two nodes."""
        constant, absorbs_one, neutral_one, absorbs_two, neutral_two = LAWS[operation]
        if one == absorbs_one or two == absorbs_two:
            return constant
        if one == neutral_one:
            return two
        if two == neutral_two:
            return one
        if one == two:
            return EMPTY if operation == MINUS else one
        if one > two and operation != MINUS:
            one, two = two, one
        computed = self._computed[operation]
        key = one << 32 | two
        found = computed.get(key)
        if found is None:
            found = computed[key] = self._combined(operation, one, two)
        return found

    def _combined(self, operation: int, one: int, two: int) -> int:
        """Go one level down: on one side where the other does not test that level, else on both."""
        combine = self.combine
        level_one, ends, children = self.nodes[one]
        level_two = self.nodes[two][0]
        if level_one == level_two:
            return self._merged(operation, one, two)
        if level_one < level_two:
            empty = combine(operation, EMPTY, two)
            return self.node(level_one, ends, [combine(operation, kid, two) if kid else empty for kid in children])
        _, ends, children = self.nodes[two]
        empty = combine(operation, one, EMPTY)
        return self.node(level_two, ends, [combine(operation, one, kid) if kid else empty for kid in children])

    def _merged(self, operation: int, one: int, two: int) -> int:
        """Walk the edges of two nodes of one level side by side.

        Where one side decides, the edges of the other, perhaps thousands, are leapt over or copied in one stroke.
        """
        constant, absorbs_one, neutral_one, absorbs_two, neutral_two = LAWS[operation]
        level, ends_one, children_one = self.nodes[one]
        _, ends_two, children_two = self.nodes[two]
        made: tuple[list[int], list[int]] = ([], [])
        ends, children = made
        i, j, previous = 0, 0, -1
        count, combine = len(ends_one), self.combine
        while i < count:
            end_one, end_two = ends_one[i], ends_two[j]
            child_one, child_two, end = children_one[i], children_two[j], end_one
            if end_two < end_one and child_one in (absorbs_one, neutral_one):
                start, j = j, bisect_left(ends_two, end_one, j)
                end_two, child = ends_two[j], constant
                if child_one == neutral_one:
                    previous, child = _copy(ends_two, children_two, slice(start, j), made), children_two[j]
            elif end_one < end_two and child_two in (absorbs_two, neutral_two):
                start, i, end = i, bisect_left(ends_one, end_two, i), end_two
                end_one, child = ends_one[i], constant
                if child_two == neutral_two:
                    previous, child = _copy(ends_one, children_one, slice(start, i), made), children_one[i]
            else:
                child = combine(operation, child_one, child_two)
                if end_two < end_one:
                    end = end_two
            if child == previous:
                ends[-1] = end
            else:
                ends.append(end)
                children.append(child)
                previous = child
            if end_one == end:
                i += 1
            if end_two == end:
                j += 1
        return children[0] if len(children) == 1 else self._intern((level, tuple(ends), tuple(children)))

    def any(self, nodes: Iterable[int]) -> int:
        """Return the union of nodes, in pairs, and pairs of pairs.

        Sorted first, so that sets with neighbouring values meet early, and whole runs of edges are copied.
        """
        left = sorted(set(nodes), key=self.nodes.__getitem__)
        while len(left) > 1:
            odd = left[len(left) & ~1 :]
            left = [self.combine(OR, one, two) for one, two in zip(left[::2], left[1::2], strict=False)] + odd
        return left[0] if left else EMPTY

    def edges(self, node: int) -> Iterator[Edge]:
        """Yield the edges of a node that lead somewhere."""
        _, ends, children = self.nodes[node]
        first = 0
        for end, child in zip(ends, children, strict=True):
            if child:
                yield first, end, child
            first = end + 1

    # --- levels -----------------------------------------------------------------------------------------------------

    def project(self, node: int, levels: frozenset[int]) -> int:
        """Return the node with these levels quantified away: there is a value for which it holds."""
        deepest = max(levels, default=-1)
        done = self._projected.setdefault(levels, {})

        def of(node: int) -> int:
            level, ends, children = self.nodes[node]
            if level > deepest:
                return node
            found = done.get(node)
            if found is None:
                below = [of(child) if child else EMPTY for child in children]
                found = done[node] = self.any(below) if level in levels else self.node(level, ends, below)
            return found

        return of(node)

    def exchange(self, node: int, pairs: Sequence[tuple[int, int]]) -> int:
        """Return the node with the levels of each pair exchanged."""
        target = {level: other for pair in pairs for level, other in (pair, pair[::-1])}
        deepest = max(target, default=-1)
        done = self._exchanged.setdefault(tuple(pairs), {})

        def of(node: int) -> int:
            level = self.nodes[node][0]
            if level > deepest:
                return node
            found = done.get(node)
            if found is None:
                new = target.get(level, level)
                edges = [(low, high, of(child)) for low, high, child in self.edges(node)]
                if all(self.nodes[child][0] > new for _, _, child in edges):
                    found = self.test(new, edges)
                else:
                    found = self.any(self.combine(AND, self.between(new, e[:2], FULL), e[2]) for e in edges)
                done[node] = found
            return found

        return of(node)

    def split(self, node: int, level: int) -> list[Edge]:
        """Return what a node is for each value of a level: edges to nodes that do not test it, none of them empty.

        Costs what it returns, not the product of the numbers of edges: of one level, most values meet few others.
        """
        done: dict[int, list[Edge]] = {}

        def of(node: int) -> list[Edge]:
            at = self.nodes[node][0]
            if at > level:
                return [(0, self.lasts[level], node)]
            if at == level:
                return list(self.edges(node))
            if node not in done:
                done[node] = self._raised(at, [(low, high, of(child)) for low, high, child in self.edges(node)])
            return done[node]

        return of(node) if node else []

    def _raised(self, at: int, parts: Sequence[tuple[int, int, list[Edge]]]) -> list[Edge]:
        """Return the edges of a deeper level, given those below each edge of the level `at`."""
        starts: dict[int, list[Edge]] = {}
        for low, high, below in parts:
            for first, last, child in below:
                starts.setdefault(first, []).append((low, high, child))
                starts.setdefault(last + 1, []).append((low, high, EMPTY))
        raised: list[Edge] = []
        active: dict[int, Edge] = {}
        for first, following in pairwise(sorted(starts)):
            # An edge that ends here may begin anew with another child: ends come first.
            for low, high, child in sorted(starts[first], key=lambda edge: edge[2] != EMPTY):
                if child:
                    active[low] = (low, high, child)
                else:
                    del active[low]
            if active:
                node = self.test(at, sorted(active.values()))
                same = bool(raised) and raised[-1][2] == node and raised[-1][1] + 1 == first
                raised.append((raised.pop()[0] if same else first, following - 1, node))
        return raised

    def occurring(self, node: int, level: int) -> list[Interval]:
        """Return the values of a level that occur in a node, as few intervals in order."""
        intervals: set[Interval] = set()
        seen: set[int] = set()
        waiting = [node] if node else []
        while waiting:
            node = waiting.pop()
            at = self.nodes[node][0]
            if at > level:
                return [(0, self.lasts[level])]
            if at == level:
                intervals.update((low, high) for low, high, _ in self.edges(node))
                continue
            below = {child for child in self.nodes[node][2] if child} - seen
            seen |= below
            waiting += below
        return joined(intervals)

    # --- packets ----------------------------------------------------------------------------------------------------

    def count(self, node: int) -> int:
        """Return the exact number of points of a node."""
        return self.weight(node, 0) if node else 0

    def weight(self, node: int, level: int) -> int:
        """Return the number of points of a node over a level and all that are deeper."""
        below, counted = self._below, self._counted

        def of(node: int) -> int:
            """Return the number over the node's own level and all that are deeper."""
            if node <= FULL:
                return node
            found = counted.get(node)
            if found is None:
                after = below[self.nodes[node][0] + 1]
                found = counted[node] = sum(
                    (high - low + 1) * of(child) << after - below[self.nodes[child][0]]
                    for low, high, child in self.edges(node)
                )
            return found

        return of(node) << below[level] - below[self.nodes[node][0]]

    def paths(self, node: int) -> Iterator[list[tuple[int, Interval]]]:
        """Yield the paths to FULL, always in the same order: of each level that is tested, the interval taken.

        The list is one and the same each time: copy it to keep it.
        """
        path: list[tuple[int, Interval]] = []

        def of(node: int) -> Iterator[list[tuple[int, Interval]]]:
            if node == FULL:
                yield path
                return
            level = self.nodes[node][0]
            for low, high, child in self.edges(node):
                path.append((level, (low, high)))
                yield from of(child)
                path.pop()

        return of(node)


def joined(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the same values as few intervals, in order."""
    found: list[Interval] = []
    for low, high in sorted(intervals):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return found


def _copy(ends: tuple[int, ...], children: tuple[int, ...], which: slice, into: tuple[list[int], list[int]]) -> int:
    """Append a run of the edges of one node to the edges of another in the making; return its last child."""
    into_ends, into_children = into
    if into_children and into_children[-1] == children[which.start]:
        into_ends.pop()
        into_children.pop()
    into_ends += ends[which]
    into_children += children[which]
    return into_children[-1]
