"""The packet sets against an independent engine: the same sets, and the same exact counts, over the real fields."""

from random import Random

import pytest
from second_engine import SecondEngine, Set

from cloison.prove.packet import FIELDS, Frames
from cloison.prove.space import Region, Space, Values

SEEDS = range(20)
NETWORKS = {32: (0x0A380100, 0x0A380120, 0x0A380200, 0xC0000202), 128: (0x20010DB8 << 96, 0xFE80 << 112, 1 << 64)}
PORTS = (22, 53, 80, 322, 443, 8322)


@pytest.fixture(scope="module")
def frames() -> Frames:
    return Frames()


@pytest.fixture(scope="module")
def second() -> SecondEngine:
    return SecondEngine(FIELDS)


def chance(seed: int) -> Random:
    return Random(seed)  # noqa: S311  the same rules every time


def interval(random: Random, bases: tuple[int, ...], bits: int, wide: tuple[int, ...]) -> tuple[int, int]:
    """Return a prefix about one of a few values, or an interval that fits no prefix, so that many overlap."""
    base, free = random.choice(bases), random.choice(wide)
    low = base >> free << free
    high = low + (1 << free) - 1
    if random.random() < 0.2:
        low, high = low + random.randrange(free + 1), high + random.randrange(40)
    return min(low, high), min(max(low, high), (1 << bits) - 1)


def rule(random: Random) -> dict[str, Values]:
    """Return the conditions of one rule, as a filter or a switch has them."""
    width = random.choice((32, 32, 128))
    free = (0, 0, 5, 8, 16) if width == 32 else (0, 16, 64, 80)
    values: dict[str, Values] = {"ethernet_type": 0x0800 if width == 32 else 0x86DD}
    for name in ("source", "destination"):
        if random.random() < 0.8:
            values[name] = interval(random, NETWORKS[width], 128, free)
    if random.random() < 0.7:
        values["protocol"] = random.choice((6, 17))
        values["destination_port"] = frozenset(
            interval(random, PORTS, 16, (0, 0, 1, 4)) for _ in range(random.randrange(1, 4))
        )
    if random.random() < 0.3:
        values["source_port"] = (1024, 65535)
    if random.random() < 0.2:
        values["mac_source"] = interval(random, (0x020000000100, 0x020000000200), 48, (0, 1, 24))
    if random.random() < 0.2:
        values["sender"] = random.randrange(4)
    return values


def regions(random: Random, frames: Frames, second: SecondEngine, count: int) -> list[tuple[Region, Set]]:
    rules = [rule(random) for _ in range(count)]
    return [(frames.box(**values), second.box(values)) for values in rules]


def agree(second: SecondEngine, region: Region, packets: Set) -> None:
    assert region.count() == second.count(packets)
    assert second.same(region) == packets
    assert bool(region) == packets.satisfiable()


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_list_of_rules_permits(frames: Frames, second: SecondEngine, seed: int) -> None:
    random = chance(seed)
    sets = regions(random, frames, second, random.choice((3, 30, 60)))
    actions = [random.random() < 0.6 for _ in sets]
    found = frames.first_match([(region, action) for (region, _), action in zip(sets, actions, strict=True)])
    permitted = second.permitted([(packets, action) for (_, packets), action in zip(sets, actions, strict=True)])
    agree(second, found.get(True, frames.nothing), permitted)


@pytest.mark.parametrize("seed", SEEDS)
def test_union_intersection_difference_complement(frames: Frames, second: SecondEngine, seed: int) -> None:
    sets = regions(chance(seed), frames, second, 24)
    one, two = frames.union(region for region, _ in sets[:12]), frames.union(region for region, _ in sets[12:])
    other, another = (
        second.union(packets for _, packets in sets[:12]),
        second.union(packets for _, packets in sets[12:]),
    )
    agree(second, one | two, other | another)
    agree(second, one & two, other & another)
    agree(second, one - two, other & ~another)
    agree(second, ~one, ~other)
    assert (one & frames.well_formed).count() == second.count(other & second.same(frames.well_formed))


@pytest.mark.parametrize("seed", SEEDS)
def test_fields_taken_away_and_exchanged(frames: Frames, second: SecondEngine, seed: int) -> None:
    sets = regions(chance(seed), frames, second, 12)
    region, packets = frames.union(region for region, _ in sets), second.union(packets for _, packets in sets)
    for names in (("source",), ("destination_port", "source_port"), ("sender", "mac_source", "protocol")):
        agree(second, region.without(*names), second.without(packets, *names))
    for pair in (("source", "destination"), ("destination_port", "source_port"), ("sender", "receiver")):
        agree(second, region.swapping(pair), second.swapping(packets, *pair))
    both = second.swapping(second.swapping(packets, "source", "destination"), "destination_port", "source_port")
    agree(second, region.swapping(("source", "destination"), ("destination_port", "source_port")), both)
    rewritten = second.without(packets, "protocol") & second.box({"protocol": 6})
    agree(second, region.setting(protocol=6), rewritten)


def test_a_wrong_set_would_be_seen(frames: Frames, second: SecondEngine) -> None:
    region, packets = regions(chance(7), frames, second, 1)[0]
    point = Space.box(frames, **region.witness())
    assert second.same(region - point) != packets
    assert (region - point).count() == second.count(packets) - 1
