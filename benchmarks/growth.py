"""How the cost of a network grows with its communes: load, states, rendering; time, memory, ratio to parsing alone.

    .venv/bin/python benchmarks/growth.py [COMMUNES …]

The alternative measured beside is PyYAML's own C loader over the same files: what no tool that reads them can beat.
"""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import time
from ipaddress import IPv4Address
from itertools import pairwise
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from cloison.desired import states_of
from cloison.intent.load import load
from cloison.render import render_all
from cloison.workspace import find_workspace

ROOT = Path(__file__).resolve().parent.parent
COMMUNES = (10, 50, 200, 725)
FIRST_INDEX = 10
FIRST_WAN = int(IPv4Address("100.64.0.0"))


def grow(root: Path, communes: int) -> None:
    """Write a workspace with that many communes like the pilot, beside its two other sites."""
    shutil.copytree(ROOT / "inventory", root / "inventory")
    pilot = root / "inventory" / "sites" / "roussy-le-village.yaml"
    text = pilot.read_text(encoding="utf-8")
    pilot.unlink()
    for number in range(communes):
        wan = FIRST_WAN + 4 * number
        site = (
            text.replace("roussy-le-village", f"commune-{number}")
            .replace("index: 1 ", f"index: {FIRST_INDEX + number} ")
            .replace("index: 1\n", f"index: {FIRST_INDEX + number}\n")
            .replace("192.0.2.2/30", f"{IPv4Address(wan + 2)}/30")
            .replace("192.0.2.1", str(IPv4Address(wan + 1)))
            .replace("02:00:00:00:01:", f"02:00:01:{number >> 8:02x}:{number & 255:02x}:")
            .replace("-0001", f"-{number}a")
            .replace("-0002", f"-{number}b")
        )
        pilot.with_name(f"commune-{number}.yaml").write_text(site, encoding="utf-8")


def timed_parse(root: Path) -> float:
    """Return the seconds that PyYAML's C loader takes for every file of the inventory."""
    started = time.perf_counter()
    for file in sorted((root / "inventory").rglob("*.yaml")):
        yaml.load(file.read_bytes(), Loader=yaml.CSafeLoader)
    return time.perf_counter() - started


def main() -> None:
    """Measure each size and print the table."""
    sizes = [int(word) for word in sys.argv[1:]] or list(COMMUNES)
    table = Table("communes", "parse s", "load s", "load ÷ parse", "states s", "render s", "ms a commune", "MB")
    for communes in sizes:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            grow(root, communes)
            parse = timed_parse(root)
            marks = [time.perf_counter()]
            intent = load(find_workspace(root))
            marks.append(time.perf_counter())
            states = states_of(intent)
            marks.append(time.perf_counter())
            render_all(states, ROOT / "templates", root / "out")
            marks.append(time.perf_counter())
        steps = [after - before for before, after in pairwise(marks)]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        table.add_row(
            str(communes),
            f"{parse:.2f}",
            f"{steps[0]:.2f}",
            f"{steps[0] / parse:.1f}",
            f"{steps[1]:.2f}",
            f"{steps[2]:.2f}",
            f"{1000 * sum(steps) / communes:.1f}",
            f"{peak:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
