"""The least number of pairs that leave nobody out: minimum edge cover of a graph in two parts.

It has as many edges as there are nodes less a maximum matching (Gallai 1959), whose edges it holds; every node that is
not matched takes any of its own. Two dozen lines of augmenting paths (Berge 1957, Kuhn 1955) are all it takes; the
libraries that have it (networkx, scipy) weigh more than the rest of the proof.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Left = TypeVar("Left")
Right = TypeVar("Right")


def maximum_matching(edges: Mapping[Left, Sequence[Right]]) -> dict[Left, Right]:
    """Return as many edges as there can be without two that meet.

    >>> maximum_matching({"a": [1, 2], "b": [1]})
    {'a': 2, 'b': 1}
    """
    matched: dict[Right, Left] = {}
    found: dict[Left, Right] = {}
    for start in edges:
        # Breadth first from a free node to the nearest free one: by every other edge of the matching so far.
        came: dict[Right, Left] = {}
        free = _free_end(start, edges, matched, came)
        while free is not None:
            left = came[free]
            before = found.get(left)
            matched[free], found[left] = left, free
            free = before
    return found


def _free_end(
    start: Left, edges: Mapping[Left, Sequence[Right]], matched: Mapping[Right, Left], came: dict[Right, Left]
) -> Right | None:
    """Return the nearest node that is not matched yet; `came` is filled with how each node was come to."""
    frontier = deque([start])
    while frontier:
        left = frontier.popleft()
        for right in edges[left]:
            if right in came:
                continue
            came[right] = left
            if right not in matched:
                return right
            frontier.append(matched[right])
    return None


def minimum_edge_cover(edges: Mapping[Left, Sequence[Right]]) -> list[tuple[Left, Right]]:
    """Return as few edges as there can be such that every node that has one is in one.

    >>> minimum_edge_cover({"a": [1, 2], "b": [2], "c": [2]})
    [('a', 1), ('b', 2), ('c', 2)]
    """
    cover = list(maximum_matching(edges).items())
    lefts, rights = {left for left, _ in cover}, {right for _, right in cover}
    for left, those in edges.items():
        if left not in lefts and those:
            cover.append((left, those[0]))
            rights.add(those[0])
    for left, those in edges.items():
        for right in those:
            if right not in rights:
                cover.append((left, right))
                rights.add(right)
    return cover
