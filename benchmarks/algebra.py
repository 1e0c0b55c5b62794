"""What the packet sets cost as a list of rules grows, beside an engine in Rust and beside trying packets.

    .venv/bin/python benchmarks/algebra.py [RULES …]

The work is that of a change: what a list of rules permits, what it permits with one rule left out, and both
differences, counted exactly. Three ways in one run: ours; oxidd's binary decision diagrams, given the same order of
fields and the same composition by halves, in a process of its own; and first-match simulation of sampled packets, given
the most that can be given: it draws only values that the rules name, and has to find one combination of them that is
wrong, 95 times in 100. Counts that differ between the two engines end the run.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import log, log1p
from random import Random
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from second_engine import SecondEngine

from cloison.prove.space import Field, Interval, Space

if TYPE_CHECKING:
    from collections.abc import Sequence

    from second_engine import Set

SIZES = (10, 100, 1000, 5000)
FIELDS = (
    Field("destination", 32),
    Field("source", 32),
    Field("protocol", 8),
    Field("destination_port", 16),
    Field("source_port", 16),
)
SERVICES = ((6, 322), (6, 443), (6, 8322), (6, 22), (17, 123), (6, 6514), (17, 53), (17, 161))
MEBIBYTE = 1024  # of the kibibytes that the kernel counts
YEAR = 365.25 * 24 * 3600

Rule = tuple[dict[str, Interval], bool]


@dataclass(frozen=True)
class Cost:
    """What one engine needed."""

    seconds: float
    """Of the processor."""
    mebibytes: float
    nodes: int
    counts: tuple[int, int, int]
    """Packets permitted, newly cut, newly let through by leaving a rule out."""


def block(address: int, length: int) -> Interval:
    """Return the first and the last address of a prefix."""
    size = 1 << 32 - length
    return address // size * size, address // size * size + size - 1


def realistic(count: int) -> list[Rule]:
    """Return a list as a firewall of many sites has it: hosts and subnets, exact ports, one rule in ten a denial."""
    chance = Random(count)  # noqa: S311  the same lists every time
    sites = [(10 << 24) + (56 << 16) + (number << 8) for number in range(max(4, count // 20))]
    rules: list[Rule] = []
    for _ in range(count):
        source, destination = chance.choice(sites), chance.choice(sites)
        protocol, port = chance.choice(SERVICES)
        conditions = {
            "source": block(source + chance.randrange(1, 11), 32 if chance.random() < 0.7 else 24),
            "destination": block(destination + chance.randrange(1, 11), 32 if chance.random() < 0.8 else 24),
            "protocol": (protocol, protocol),
            "destination_port": (port, port),
        }
        if chance.random() < 0.4:
            conditions["source_port"] = (1024, 65535)
        rules.append((conditions, chance.random() > 0.1))
    return rules


def overlapping(count: int) -> list[Rule]:
    """Return a list as nobody should have it: prefixes and ranges of every width anywhere, half of them denials."""
    chance = Random(count)  # noqa: S311  the same lists every time
    rules: list[Rule] = []
    for _ in range(count):
        conditions = {
            name: block(chance.getrandbits(32), chance.choice((8, 12, 16, 16, 20, 24, 32)))
            for name in ("source", "destination")
        }
        protocol = chance.choice((6, 17))
        ports = sorted((chance.randrange(65536), chance.randrange(65536)))
        conditions |= {"protocol": (protocol, protocol), "destination_port": (ports[0], ports[1])}
        rules.append((conditions, chance.random() < 0.5))
    return rules


LISTS = {"realistic": realistic, "overlapping": overlapping}


def peak() -> float:
    """Return the most memory that this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEBIBYTE


def with_ours(kind: str, count: int) -> Cost:
    """Compute the change with our packet sets."""
    rules, before, started = LISTS[kind](count), peak(), time.process_time()
    space = Space(FIELDS)
    boxes = [(space.box(**conditions), permit) for conditions, permit in rules]
    old = space.first_match(boxes).get(True, space.nothing)
    del boxes[count // 2]
    new = space.first_match(boxes).get(True, space.nothing)
    counts = old.count(), (old - new).count(), (new - old).count()
    return Cost(time.process_time() - started, peak() - before, len(space.nodes), counts)


def with_oxidd(kind: str, count: int) -> Cost:
    """Compute the change with binary decision diagrams."""
    rules, before, started = LISTS[kind](count), peak(), time.process_time()
    engine = SecondEngine(FIELDS, nodes=1 << 23, cache=1 << 20)
    boxes = [(engine.box(conditions), permit) for conditions, permit in rules]
    old = halves(engine, boxes)[0]
    del boxes[count // 2]
    new = halves(engine, boxes)[0]
    counts = engine.count(old), engine.count(old & ~new), engine.count(new & ~old)
    return Cost(time.process_time() - started, peak() - before, old.node_count(), counts)


def halves(engine: SecondEngine, rules: Sequence[tuple[Set, bool]]) -> tuple[Set, Set]:
    """Return what a list permits and what it denies, composed as ours."""
    if len(rules) == 1:
        packets, permit = rules[0]
        return (packets, engine.nothing) if permit else (engine.nothing, packets)
    middle = len(rules) // 2
    permits, denies = halves(engine, rules[:middle])
    more, fewer = halves(engine, rules[middle:])
    return permits | (more & ~denies), denies | (fewer & ~permits)


def trying(kind: str, count: int) -> tuple[float, float]:
    """Return how many packets a second can be tried, and how many it takes to meet one wrong combination."""
    rules, chance = LISTS[kind](count), Random(1)  # noqa: S311  the same packets every time
    named = [sorted({c[f.name][0] for c, _ in rules if f.name in c}) or [0] for f in FIELDS]
    ready = [([c.get(f.name, (0, f.last)) for f in FIELDS], permit) for c, permit in rules]
    tried, permitted, started = 0, 0, time.process_time()
    while (passed := time.process_time() - started) < 0.25:
        packet = [chance.choice(values) for values in named]
        for bounds, permit in ready:
            if all(low <= value <= high for (low, high), value in zip(bounds, packet, strict=True)):
                permitted += permit
                break
        tried += 1
    combinations = 1
    for values in named[:4]:
        combinations *= len(values)
    needed = 1.0 if combinations == 1 else log(0.05) / log1p(-1 / combinations)
    return tried / passed, needed


def spelt(seconds: float) -> str:
    """Return a duration in the unit that fits it."""
    for name, unit in (("years", YEAR), ("days", 86400.0), ("h", 3600.0), ("s", 1.0)):
        if seconds >= unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:.2g} s"


def main() -> None:
    """Measure each size and print the table."""
    sizes = [int(word) for word in sys.argv[1:]] or list(SIZES)
    table = Table(title="A change to a list of rules: what it permits before and after, and both differences")
    for heading in ("rules", "ours s", "oxidd s", "÷ ours", "ours MiB", "oxidd MiB", "ours nodes", "oxidd nodes"):
        table.add_column(heading, justify="right")
    for heading in ("tried/s", "to try", "that takes", "÷ ours"):
        table.add_column(heading, justify="right")
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=fresh, max_tasks_per_child=1) as processes:
        for kind in LISTS:
            for count in sizes:
                ours = processes.submit(with_ours, kind, count).result()
                oxidd = processes.submit(with_oxidd, kind, count).result()
                if ours.counts != oxidd.counts:
                    sys.exit(f"{kind}, {count} rules: {ours.counts} packets, and {oxidd.counts} with oxidd")
                rate, needed = trying(kind, count)
                table.add_row(
                    f"{count} {kind}",
                    f"{ours.seconds:.4f}",
                    f"{oxidd.seconds:.4f}",
                    f"{oxidd.seconds / ours.seconds:.1f}",
                    f"{ours.mebibytes:.0f}",
                    f"{oxidd.mebibytes:.0f}",
                    f"{ours.nodes:,}",
                    f"{oxidd.nodes:,}",
                    f"{rate:,.0f}",
                    f"{needed:.1e}",
                    spelt(needed / rate),
                    f"{needed / rate / ours.seconds:.0e}",
                )
    Console(width=160).print(
        table,
        "One run on this machine, each engine and size in a fresh process; seconds of the processor, making the space "
        "included. Another run differs by some tens of per cent.\n"
        "Nodes: ours, all that were made; oxidd's, those of the result before the change. Its memory is mostly its "
        "table, whose size is chosen beforehand.\n"
        "To try: packets drawn among the addresses, protocols and ports that the rules name, to meet one wrong "
        "combination of them in 95 of 100 runs.",
        sep="\n",
    )


if __name__ == "__main__":
    main()
