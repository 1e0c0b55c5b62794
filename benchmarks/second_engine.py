"""A second engine for the same sets: binary decision diagrams of oxidd, one variable a bit; no code of ours in it.

Its pitfalls, all met here: the truth value of a function is always true (ask `satisfiable`), functions of two managers
abort the process (so there is one for each process), more threads are slower, and its table cannot grow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from oxidd.bcdd import BCDDFunction, BCDDManager

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cloison.prove.space import Field, Interval, Region, Values

Set: TypeAlias = BCDDFunction


class SecondEngine:
    """Fields as runs of bits, the most significant first, in the order given."""

    def __init__(self, fields: Sequence[Field], nodes: int = 1 << 21, cache: int = 1 << 18) -> None:
        self._manager = BCDDManager(nodes, cache, 1)
        self._bits = {}
        self.width = 0
        for field in fields:
            self._bits[field.name] = range(self.width, self.width + field.bits)
            self.width += field.bits
        self._manager.add_vars(self.width)
        self._ones = [self._manager.var(bit) for bit in range(self.width)]
        self._zeros = [self._manager.not_var(bit) for bit in range(self.width)]
        self.nothing = self._manager.false()
        self.everything = self._manager.true()
        self._between: dict[tuple[str, Interval], Set] = {}

    def between(self, name: str, interval: Interval) -> Set:
        """Return the packets with a value of one field in an interval: not below the first, not above the last."""
        found = self._between.get((name, interval))
        if found is None:
            low, high = interval
            above = below = self.everything
            for place, bit in enumerate(reversed(self._bits[name])):
                one, zero = self._ones[bit], self._zeros[bit]
                above = one & above if low >> place & 1 else one | above
                below = zero | below if high >> place & 1 else zero & below
            found = self._between[name, interval] = above & below
        return found

    def box(self, values: Mapping[str, Values]) -> Set:
        """Return what `Space.box` returns."""
        found = self.everything
        for name in sorted(values, key=lambda name: self._bits[name].start, reverse=True):
            allowed = values[name]
            if isinstance(allowed, int):
                allowed = (allowed, allowed)
            intervals = allowed if isinstance(allowed, frozenset) else (allowed,)
            found = self.union(self.between(name, interval) for interval in intervals) & found
        return found

    def union(self, sets: Iterable[Set]) -> Set:
        """Return what is in any of them."""
        left = list(sets) or [self.nothing]
        while len(left) > 1:
            odd = left[len(left) & ~1 :]
            left = [one | two for one, two in zip(left[::2], left[1::2], strict=False)] + odd
        return left[0]

    def permitted(self, rules: Sequence[tuple[Set, bool]]) -> Set:
        """Return what a list of rules permits, from its end, rule by rule: the plainest way."""
        found = self.nothing
        for packets, permit in reversed(rules):
            found = found | packets if permit else found & ~packets
        return found

    def same(self, region: Region) -> Set:
        """Return the set of a region, read off the nodes of its diagram."""
        made = {0: self.nothing, 1: self.everything}

        def of(node: int) -> Set:
            if node not in made:
                level, ends, children = region.space.nodes[node]
                name, firsts = region.space.fields[level].name, (0, *(end + 1 for end in ends))
                edges = zip(firsts, ends, children, strict=False)
                made[node] = self.union(self.between(name, (low, high)) & of(child) for low, high, child in edges)
            return made[node]

        return of(region.node)

    def without(self, packets: Set, *names: str) -> Set:
        """Return what `Region.without` returns."""
        bits = self.everything
        for name in names:
            for bit in self._bits[name]:
                bits = bits & self._ones[bit]
        return packets.exists(bits)

    def swapping(self, packets: Set, one: str, two: str) -> Set:
        """Return what `Region.swapping` returns for one pair."""
        pairs = []
        for bit, other in zip(self._bits[one], self._bits[two], strict=True):
            pairs += [(bit, self._ones[other]), (other, self._ones[bit])]
        return packets.substitute(BCDDFunction.make_substitution(pairs))

    def count(self, packets: Set) -> int:
        """Return the exact number of packets."""
        return int(packets.sat_count(self.width))
