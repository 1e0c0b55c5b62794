"""What it costs to plan the change of many communes, read over a 30 ms round trip, site by site as a wave does.

    .venv/bin/python benchmarks/transaction.py [COMMUNES …]

Each size is measured in a process of its own, over devices in memory that answer one round trip late. The plans are
made one site after the other, its devices at the same time, and none is kept: memory beside the network itself stays.
What is not counted: loading the inventory.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from growth import ROOT, grow
from rich.console import Console
from rich.table import Table

from cloison.change.order import Via
from cloison.change.plan import make
from cloison.device.memory import MemoryDevice
from cloison.fleet.reach import sections_of
from cloison.intent.load import load
from cloison.intent.models import Role
from cloison.workspace import find_workspace

if TYPE_CHECKING:
    from cloison.device.contract import Device, Running
    from cloison.intent.network import Intent
    from cloison.model import EquipmentName, Name
    from cloison.render.config import Config

COMMUNES = (50, 200, 725)
ROUND_TRIP_SECONDS = 0.030
SITES_AT_A_TIME = 16


class Late:
    """A reader whose every answer is a round trip late."""

    def __init__(self, device: MemoryDevice) -> None:
        self._device = device
        self.device, self.platform = device.device, device.platform
        self.loadable = device.loadable

    def read(self) -> Running:
        """Return what runs, late."""
        time.sleep(ROUND_TRIP_SECONDS)
        return self._device.read()

    def canonical(self, candidate: Config) -> Config:
        """Return the candidate as shown, late."""
        time.sleep(ROUND_TRIP_SECONDS)
        return self._device.canonical(candidate)


class Far:
    """Opens empty devices far away, and counts the sessions."""

    def __init__(self, intent: Intent) -> None:
        self.intent = intent
        self.sessions: Counter[EquipmentName] = Counter()

    def __call__(self, device: EquipmentName) -> Device:
        """Return a device in its factory state over a new session: one round trip."""
        time.sleep(ROUND_TRIP_SECONDS)
        self.sessions[device] += 1
        equipment = self.intent.equipment_by_name[device]
        if equipment.platform is None:
            raise SystemExit(device)
        memory = MemoryDevice(device, equipment.platform, sections_of(equipment))
        return replace(memory.open(), reader=Late(memory), guard=None)  # type: ignore[arg-type]  # what a plan asks for


def megabytes() -> float:
    """Return the most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(root: Path) -> dict[str, float]:
    """Return seconds, processor seconds, memory and sessions of planning every commune."""
    intent = load(find_workspace(root))
    far = Far(intent)
    before, began, used = megabytes(), time.perf_counter(), time.process_time()

    def planned(site: Name) -> int:
        devices = [device.name for device in intent.site_by_name[site].devices]
        made = make(intent, ROOT / "templates", far, network="lab", via=Via.LOCAL, devices=devices)
        return len(made.changed)

    with ThreadPoolExecutor(max_workers=SITES_AT_A_TIME) as pool:
        changed = sum(pool.map(planned, [site.name for site in intent.sites if site.role is Role.COMMUNE]))
    if changed != sum(far.sessions.values()):
        msg = f"{changed} devices change of {sum(far.sessions.values())} that were asked"
        raise SystemExit(msg)
    return {
        "seconds": time.perf_counter() - began,
        "processor": time.process_time() - used,
        "network": before,
        "memory": megabytes(),
        "devices": changed,
        "sessions": max(far.sessions.values()),
    }


def grown(communes: int) -> dict[str, float]:
    """Grow a network, and return what a process of its own measures of it."""
    with tempfile.TemporaryDirectory() as folder:
        grow(Path(folder), communes)
        command = [sys.executable, __file__, "--measure", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure one grown network, or grow several."""
    if sys.argv[1:2] == ["--measure"]:
        sys.stdout.write(json.dumps(measured(Path(sys.argv[2]))))
        return
    columns = ("communes", "devices", "plan s", "of it processor s", "MB", "of it network", "sessions a device")
    table = Table(*columns)
    for communes in [int(word) for word in sys.argv[1:]] or list(COMMUNES):
        found = grown(communes)
        row = [f"{found[name]:.1f}" for name in ("seconds", "processor")]
        sizes = [f"{found[name]:.0f}" for name in ("memory", "network", "sessions")]
        table.add_row(str(communes), f"{found['devices']:.0f}", *row, *sizes)
    Console().print(table)


if __name__ == "__main__":
    main()
