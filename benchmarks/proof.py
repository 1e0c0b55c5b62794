"""What the proof of a whole network costs, phase by phase, and how it grows with the communes.

    .venv/bin/python benchmarks/proof.py [COMMUNES …]

Each size is measured in a process of its own, in seconds of its processor. What is not counted: loading the inventory,
rendering. The alternative beside it judges the same sets pair by pair of sites, as one does who asks for each pair
whether it is as declared: a sample of pairs, the rest extrapolated.
"""

from __future__ import annotations

import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from math import log
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from growth import ROOT, grow
from rich.console import Console
from rich.table import Table

from cloison.cli.configurations import rendered
from cloison.intent.load import load
from cloison.prove.answer import TunnelsAre
from cloison.prove.judge import Judge
from cloison.prove.network import Prover
from cloison.prove.places import out_of_tunnel
from cloison.workspace import find_workspace

if TYPE_CHECKING:
    from cloison.intent.network import Intent
    from cloison.prove.configuration import Configurations
    from cloison.prove.network import Network

COMMUNES = (50, 200, 725, 2000)
SAMPLE = 2000
"""Pairs of sites that the alternative is measured on."""
PHASES = ("parse", "sites", "between", "question", "difference")


def megabytes() -> float:
    """Return the most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(intent: Intent, configurations: Configurations) -> dict[str, float]:
    """Return the seconds of each phase, the memory, and how long it takes when one site has changed."""
    found = {"before": megabytes()}
    clock = time.process_time
    marks = [clock()]
    prover = Prover(intent)
    network = prover.network(configurations)
    marks.append(clock())
    for tunnels in TunnelsAre:
        for site in intent.sites:
            network.through(site, tunnels)
    marks.append(clock())
    up = network.reach(TunnelsAre.UP)
    network.reach(TunnelsAre.DOWN)
    marks.append(clock())
    wanted = prover.question.permitted
    marks.append(clock())
    answer = Judge(prover, network).answer()
    marks.append(clock())
    if answer.findings or not up.total & wanted:
        msg = f"{len(answer.findings)} findings, where the declared network has none: {answer.findings[0].what}"
        raise SystemExit(msg)
    found |= dict(zip(PHASES, (after - before for before, after in pairwise(marks)), strict=True))
    found["memory"] = megabytes()
    found["nodes"] = len(prover.frames.nodes)
    found["pairs"] = pair_by_pair(network)
    found |= changed(prover, configurations)
    return found


def changed(prover: Prover, configurations: Configurations) -> dict[str, float]:
    """Return how long it takes to judge again when a rule of one firewall, or a flow of one switch, is another."""
    site = prover.intent.sites[len(prover.intent.sites) // 2]
    switch = next(device for device in site.devices if "edge" in configurations[device.name])
    edits = (
        ("rule", site.firewall.name, "filter", "udp dport 123", "udp dport 124"),
        ("flow", switch.name, "edge", "nw_frag=first,actions=drop", "nw_frag=first,actions=NORMAL"),
    )
    found = {}
    for name, device, section, was, becomes in edits:
        text = configurations[device][section].replace(was, becomes, 1)
        other = {**configurations, device: {**configurations[device], section: text}}
        started = time.process_time()
        network = prover.network(other)
        judge = Judge(prover, network)
        missing = 0
        for tunnels in TunnelsAre:
            reach = network.reach(tunnels)
            missing += bool(judge.leaking(reach)) + bool(prover.question.demanded(tunnels) - reach.total)
        found[name] = time.process_time() - started
        if (name == "rule") != bool(missing):
            msg = f"{missing} sets are not as they should be after the change of a {name}"
            raise SystemExit(msg)
    return found


def pair_by_pair(network: Network) -> float:
    """Return the seconds that every ordered pair of sites would take, from a sample of them."""
    prover, sites = network.prover, network.prover.intent.sites
    through = {site.name: network.through(site, TunnelsAre.UP) for site in sites}
    random = Random(20261124)  # noqa: S311  which pairs are measured is no secret
    pairs = [random.sample(sites, 2) for _ in range(min(SAMPLE, len(sites) ** 2))]
    started = time.process_time()
    for one, other in pairs:
        tunnel = prover.frames.box(sender=prover.places.host(out_of_tunnel(other.name)))
        entering = (through[other.name].delivered & tunnel).without("sender")
        _ = (through[one.name].into_tunnels & entering) - prover.question.permitted
    return (time.process_time() - started) / len(pairs) * len(sites) * (len(sites) - 1)


def grown(communes: int) -> dict[str, float]:
    """Grow and render a network, and return what a process of its own measures of it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        grow(root, communes)
        intent = load(find_workspace(root))
        texts = {name: dict(of) for name, of in rendered(intent, ROOT / "templates").items()}
        kept = root / "network.pickle"
        kept.write_bytes(pickle.dumps((intent, texts)))
        command = [sys.executable, __file__, "--measure", str(kept)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def shown(sizes: list[int]) -> Table:
    """Measure each size and return the table, with the exponents of the growth in the last row."""
    columns = (*PHASES, "algebra", "all", "ms a commune")
    table = Table("communes", *columns, "MB", "of it network", "nodes", "one rule ms", "one flow ms", "pair by pair s")
    totals: list[tuple[int, float, float]] = []
    for communes in sizes:
        found = grown(communes)
        algebra = sum(found[name] for name in PHASES[1:])
        total = algebra + found["parse"]
        totals.append((communes, total, found["memory"] - found["before"]))
        seconds = [*(found[name] for name in PHASES), algebra, total]
        table.add_row(
            str(communes),
            *(f"{one:.2f}" for one in seconds),
            f"{1000 * total / communes:.1f}",
            f"{found['memory']:.0f}",
            f"{found['before']:.0f}",
            f"{found['nodes']:.0f}",
            f"{1000 * found['rule']:.0f}",
            f"{1000 * found['flow']:.0f}",
            f"{found['pairs']:.1f} ({found['pairs'] / total:.1f} times)",
        )
    for (few, before, held), (many, after, holds) in pairwise(totals):
        step = log(many / few)
        exponents = (
            f"seconds grow with the power {log(after / before) / step:.2f}, memory {log(holds / held) / step:.2f}"
        )
        table.add_section()
        table.add_row(f"{few}–{many}", exponents)
    return table


def main() -> None:
    """Measure one network that is kept in a file, or grow several."""
    if sys.argv[1:2] == ["--measure"]:
        intent, configurations = pickle.loads(Path(sys.argv[2]).read_bytes())  # noqa: S301  written by `grown`
        sys.stdout.write(json.dumps(measured(intent, configurations)))
        return
    Console().print(shown([int(word) for word in sys.argv[1:]] or list(COMMUNES)))


if __name__ == "__main__":
    main()
