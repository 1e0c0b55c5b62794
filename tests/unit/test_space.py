"""The laws of the packet sets, on spaces small enough to say every packet, and on the real one."""

import doctest
from itertools import pairwise, product
from math import prod
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloison.prove import space as module
from cloison.prove.packet import FIELDS, Frames
from cloison.prove.space import Box, BudgetError, Field, Packet, Region, Space, Values

SMALL = (Field("a", 3), Field("b", 2), Field("c", 3), Field("d", 1))
NAMES = [field.name for field in SMALL]
PACKETS = [dict(zip(NAMES, values, strict=True)) for values in product(*(range(field.last + 1) for field in SMALL))]
SPACE = Space(SMALL)

BOUNDS = {
    field.name: st.tuples(*[st.integers(0, field.last)] * 2).map(lambda ends: (min(ends), max(ends))) for field in SMALL
}
ALLOWED = {name: bounds | bounds.map(min) | st.frozensets(bounds, max_size=3) for name, bounds in BOUNDS.items()}
CONDITIONS = st.fixed_dictionaries({}, optional=ALLOWED)
REGIONS = st.lists(CONDITIONS, max_size=5).map(lambda boxes: SPACE.union(SPACE.box(**values) for values in boxes))
FIELD_SETS = st.sets(st.sampled_from(NAMES))
RULES = st.lists(st.tuples(CONDITIONS, st.sampled_from(["accept", "drop", "jump", "mark"])), max_size=12)


def holds(values: dict[str, Values], packet: Packet) -> bool:
    """Tell whether a packet meets the conditions of a box, without the space."""
    for name, allowed in values.items():
        one = (allowed, allowed) if isinstance(allowed, int) else allowed
        intervals = one if isinstance(one, frozenset) else [one]
        if not any(low <= packet[name] <= high for low, high in intervals):
            return False
    return True


def members(region: Region) -> list[Packet]:
    return [packet for packet in PACKETS if packet in region]


def within(box: Box, packet: Packet) -> bool:
    return all(low <= packet[name] <= high for name, (low, high) in box.intervals.items())


def canonical(space: Space) -> bool:
    """Tell whether every node has edges in order that go deeper, no two neighbours to one child, and is there once."""
    for level, ends, children in space.nodes[2:]:
        ordered = all(one < two for one, two in pairwise(ends)) and ends[-1] == space.fields[level].last
        deeper = all(space.nodes[child][0] > level for child in children)
        if not (ordered and deeper and all(one != two for one, two in pairwise(children)) and len(ends) > 1):
            return False
    return len(set(space.nodes[2:])) == len(space.nodes) - 2


def test_examples_of_the_module_are_so() -> None:
    assert doctest.testmod(module).attempted > 5
    assert doctest.testmod(module).failed == 0


@given(CONDITIONS)
def test_a_box_holds_what_meets_its_conditions(values: dict[str, Values]) -> None:
    assert members(SPACE.box(**values)) == [packet for packet in PACKETS if holds(values, packet)]


@given(REGIONS, REGIONS)
def test_operators_are_those_of_sets(one: Region, two: Region) -> None:
    for packet in PACKETS:
        assert (packet in one | two) == (packet in one or packet in two)
        assert (packet in one & two) == (packet in one and packet in two)
        assert (packet in one - two) == (packet in one and packet not in two)
        assert (packet in ~one) == (packet not in one)
    assert (one <= two) == all(packet in two for packet in members(one))
    assert canonical(SPACE)


@given(REGIONS, REGIONS, REGIONS)
def test_boolean_algebra(one: Region, two: Region, three: Region) -> None:
    assert one | two == two | one
    assert (one & two) & three == one & (two & three)
    assert one & (two | three) == (one & two) | (one & three)
    assert ~(one | two) == ~one & ~two
    assert one - two == one & ~two
    assert ~~one == one
    assert one | ~one == SPACE.everything
    assert one & ~one == SPACE.nothing
    assert (one - two) | (one & two) == one


@given(REGIONS, REGIONS)
def test_equal_sets_are_one_node(one: Region, two: Region) -> None:
    rebuilt = SPACE.union(SPACE.box(**packet) for packet in members(one))
    assert rebuilt.node == one.node
    assert hash(rebuilt) == hash(one)
    assert (one == two) == (members(one) == members(two))


@given(REGIONS, FIELD_SETS)
def test_projection_forgets_fields(region: Region, names: set[str]) -> None:
    kept = [name for name in NAMES if name not in names]
    left = {tuple(packet[name] for name in kept) for packet in members(region)}
    expected = [packet for packet in PACKETS if tuple(packet[name] for name in kept) in left]
    assert members(region.without(*names)) == expected


@given(REGIONS, CONDITIONS)
def test_setting_overwrites(region: Region, values: dict[str, Values]) -> None:
    others = [name for name in NAMES if name not in values]
    left = {tuple(packet[name] for name in others) for packet in members(region)}
    expected = [p for p in PACKETS if holds(values, p) and tuple(p[name] for name in others) in left]
    assert members(region.setting(**values)) == expected


@given(REGIONS, st.sampled_from([[("a", "c")], [("c", "a")], []]))
def test_swapping_exchanges_and_undoes_itself(region: Region, pairs: list[tuple[str, str]]) -> None:
    swapped = region.swapping(*pairs)
    assert swapped.swapping(*pairs) == region
    if pairs:
        exchanged = [packet | {"a": packet["c"], "c": packet["a"]} for packet in members(region)]
        assert sorted(map(str, exchanged)) == sorted(map(str, members(swapped)))


@given(RULES)
def test_first_match_is_the_naive_one(rules: list[tuple[dict[str, Values], str]]) -> None:
    found = SPACE.first_match([(SPACE.box(**values), action) for values, action in rules])
    for packet in PACKETS:
        expected = next((action for values, action in rules if holds(values, packet)), None)
        assert [action for action, region in found.items() if packet in region] == ([expected] if expected else [])
    assert set(found) == {action for _, action in rules}


@given(RULES)
def test_what_is_left_of_each_rule(rules: list[tuple[dict[str, Values], str]]) -> None:
    found = SPACE.first_match([(SPACE.box(**values), number) for number, (values, _) in enumerate(rules)])
    before = SPACE.nothing
    for number, (values, _) in enumerate(rules):
        assert found[number] == SPACE.box(**values) - before
        before |= SPACE.box(**values)


@given(REGIONS)
def test_boxes_are_disjoint_and_stable_and_make_up_the_set(region: Region) -> None:
    boxes = list(region.boxes())
    assert boxes == list(region.boxes())
    for packet in PACKETS:
        assert sum(within(box, packet) for box in boxes) == (packet in region)
    spans = [
        prod(high - low + 1 for low, high in (box.intervals.get(f.name, (0, f.last)) for f in SMALL)) for box in boxes
    ]
    assert region.count() == sum(spans) == len(members(region))


@given(REGIONS)
def test_a_cover_is_the_set_in_fewer_boxes_none_of_which_can_be_wider(region: Region) -> None:
    cover = list(region.cover())
    assert SPACE.union(SPACE.box(**box.intervals) for box in cover) == region
    assert len(cover) <= len(list(region.boxes()))
    for box in cover:
        for name, (low, high) in box.intervals.items():
            last = SPACE.fields[SPACE.level_of(name)].last
            for wider in [(low - 1, high)] * (low > 0) + [(low, high + 1)] * (high < last):
                assert not SPACE.box(**dict(box.intervals) | {name: wider}) <= region


@given(REGIONS, st.sampled_from(NAMES))
def test_values_of_a_field(region: Region, name: str) -> None:
    intervals = sorted(region.values(name))
    occurring = {packet[name] for packet in members(region)}
    assert {value for low, high in intervals for value in range(low, high + 1)} == occurring
    assert all(one[1] + 1 < two[0] for one, two in pairwise(intervals))


@given(REGIONS, st.sampled_from(NAMES))
def test_parts_by_the_values_of_a_field(region: Region, name: str) -> None:
    parts = list(region.per(name))
    assert SPACE.union(part for _, part in parts) == region
    assert sum(part.count() for _, part in parts) == region.count()
    for interval, part in parts:
        assert part
        assert part == region & SPACE.box(**{name: interval})
        for value in range(interval[0], interval[1] + 1):
            assert (region & SPACE.box(**{name: value})).without(name) == part.without(name)
    for (one, part), (two, following) in pairwise(parts):
        assert one[1] < two[0]
        assert one[1] + 1 < two[0] or part.without(name) != following.without(name)


@given(REGIONS, st.lists(REGIONS, max_size=3))
def test_a_witness_honours_wishes_in_order(region: Region, wishes: list[Region]) -> None:
    if not region:
        with pytest.raises(ValueError, match="empty set"):
            region.witness(*wishes)
        return
    left = members(region)
    for wish in wishes:
        left = [packet for packet in left if packet in wish] or left
    assert region.witness(*wishes) == left[0]


@given(REGIONS, st.integers())
def test_a_sample_is_in_the_set(region: Region, seed: int) -> None:
    if region:
        assert region.sample(Random(seed)) in region  # noqa: S311  a test
    else:
        with pytest.raises(ValueError, match="empty set"):
            region.sample(Random(seed))  # noqa: S311  a test


@pytest.mark.parametrize("seed", range(60))
def test_scattered_packets_are_kept_apart(seed: int) -> None:
    chance = Random(seed)  # noqa: S311  the same packets every time
    packets = [packet for packet in PACKETS if chance.random() < (0.02, 0.1, 0.5)[seed % 3]]
    region = SPACE.union(SPACE.box(**packet) for packet in packets)
    assert members(region) == packets
    for name in NAMES:
        taken = {packet[name] for packet in packets}
        assert {v for low, high in region.values(name) for v in range(low, high + 1)} == taken
        for interval, part in region.per(name):
            assert part == region & SPACE.box(**{name: interval})
            assert part.values(name) == {interval}
    kept = {(packet["b"], packet["d"]) for packet in packets}
    assert members(region.without("a", "c")) == [packet for packet in PACKETS if (packet["b"], packet["d"]) in kept]
    swapped = [packet | {"a": packet["c"], "c": packet["a"]} for packet in packets]
    assert region.swapping(("a", "c")) == SPACE.union(SPACE.box(**packet) for packet in swapped)
    assert region.swapping() == region


def test_samples_are_even() -> None:
    region = SPACE.box(a=0, b=0, c=0) | SPACE.box(a=(6, 7), b=(1, 3), d=1)
    chance = Random(5)  # noqa: S311  the same draws every time
    drawn = [str(region.sample(chance)) for _ in range(5000)]
    assert set(drawn) == set(map(str, members(region)))
    assert all(40 < drawn.count(packet) < 170 for packet in set(drawn))  # 96 expected, of a deviation of 10


@settings(max_examples=20)
@given(REGIONS, REGIONS)
def test_forgetting_changes_no_set(one: Region, two: Region) -> None:
    before = (one | two, one - two, one.without("a"), one.swapping(("a", "c")), one.count())
    SPACE.forget()
    assert before == (one | two, one - two, one.without("a"), one.swapping(("a", "c")), one.count())


def test_too_many_nodes_are_said() -> None:
    space = Space([Field("a", 16), Field("b", 16), Field("c", 16)], budget=200)
    with pytest.raises(BudgetError, match="more than 200 nodes"):
        space.union(space.box(a=(n, 2 * n), b=(3 * n, 5 * n), c=(n, 7 * n)) for n in range(1, 200))
    assert len(space.nodes) == 200
    assert issubclass(BudgetError, MemoryError)


def test_regions_of_two_spaces_are_not_combined() -> None:
    other = Space(SMALL).box(a=1)
    here = SPACE.box(a=1)
    assert here != other
    for operation in (Region.__or__, Region.__and__, Region.__sub__, Region.__le__, Region.witness):
        with pytest.raises(ValueError, match="two spaces"):
            operation(here, other)
    with pytest.raises(ValueError, match="two spaces"):
        SPACE.union([here, other])
    with pytest.raises(ValueError, match="two spaces"):
        SPACE.first_match([(here, True), (other, False)])


@pytest.mark.parametrize("values", [8, -1, (3, 9), (5, 4), frozenset({(0, 1), (7, 8)})])
def test_what_a_field_cannot_be_is_refused(values: Values) -> None:
    with pytest.raises(ValueError, match="is not within 0–7"):
        SPACE.box(a=values)


def test_a_packet_outside_its_fields_is_refused() -> None:
    with pytest.raises(ValueError, match="a: 8 is not within 0–7"):
        assert {"a": 8, "b": 0, "c": 0, "d": 0} not in SPACE.box(a=1)


def test_unknown_fields_and_unlike_pairs_are_refused() -> None:
    with pytest.raises(KeyError):
        SPACE.box(e=1)
    with pytest.raises(KeyError):
        SPACE.everything.without("e")
    with pytest.raises(ValueError, match="not the same width"):
        SPACE.everything.swapping(("a", "b"))
    with pytest.raises(ValueError, match="one other"):
        SPACE.everything.swapping(("a", "c"), ("c", "a"))


def test_counts_are_exact_over_the_real_fields() -> None:
    frames = Frames()
    bits = sum(field.bits for field in FIELDS)
    assert frames.everything.count() == 1 << bits
    assert (~frames.box(source=1, receiver=3)).count() == (1 << bits) - (1 << bits - 144)
    assert frames.well_formed.witness(frames.ipv6)["ethernet_type"] == 0x86DD


def test_thousands_of_edges_cost_no_recursion() -> None:
    space = Space([Field("a", 32), Field("b", 32)])
    every = space.union(space.box(a=10 * n, b=(n, n + 5)) for n in range(20_000))
    holes = space.union(space.box(a=10 * n, b=n) for n in range(0, 20_000, 2))
    assert every.count() == 120_000
    assert (every - holes).count() == 110_000
    assert ((every - holes) | holes) == every
    assert len(every.values("a")) == 20_000
    assert sum(1 for _ in every.per("b")) == 20_005
