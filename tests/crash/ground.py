"""The ground that crashes are tried on: the pilot's twin, and pairs of intents that a change leads between.

Every intent is a whole workspace of its own; all of them share one twin, so that nothing is edited between two runs and
a plan, once made, serves every run that starts from where it was made.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tests.crash.forked import Child, Forked

from cloison.change.order import Via
from cloison.change.plan import Plan, read, save
from cloison.errors import CloisonError
from cloison.lab.client import LabClient
from cloison.session import open_session
from cloison.workspace import Network, find_workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cloison.device.guard import GuardState
    from cloison.model import EquipmentName
    from cloison.render.config import Config
    from cloison.session import Session

Answer = TypeVar("Answer")
ROOT = Path(__file__).parents[2]
COMMAND_SECONDS = 300.0
WAY_SECONDS = 60.0
"""The most that a network may need to be whole again between two trials: tunnels negotiate, a device boots."""
_NAMES = "swanctl --list-conns | sed -n 's/^\\([a-z][^:]*\\): IKEv2.*/\\1/p'"
_END_ALL = f'for name in $({_NAMES}); do timeout 5 swanctl --terminate --force --ike "$name"; done >/dev/null 2>&1'
_START_ALL = f'for name in $({_NAMES}); do timeout 10 swanctl --initiate --child "$name"; done >/dev/null 2>&1'
BASE = "base"
WATCH_LIVE = "  - id: watch-live"


def _vlan(workspace: Path) -> None:
    """Give one camera another VLAN: both switches and the firewall of the commune."""
    _edit(workspace / "inventory" / "network.yaml", lambda text: text.replace("cam-context: 110", "cam-context: 115"))


def _flow(workspace: Path) -> None:
    """Take the live stream between the sites away: rules and a tunnel, at both of its ends."""

    def without(text: str) -> str:
        start = text.index(WATCH_LIVE)
        return text[:start] + text[text.index("  - id:", start + 1) :]

    _edit(workspace / "inventory" / "policy.yaml", without)


def _tunnel(workspace: Path) -> None:
    """Change a time of every tunnel: all three firewalls, at both ends of each tunnel."""
    file = workspace / "templates" / "firewall" / "debian-libipsec" / "tunnels.j2"
    _edit(file, lambda text: text.replace("dpd_delay = 5s", "dpd_delay = 6s"))


def _edit(file: Path, change: Callable[[str], str]) -> None:
    text = file.read_text(encoding="utf-8")
    changed = change(text)
    if changed == text:
        msg = f"{file}: the edit changes nothing"
        raise ValueError(msg)
    file.write_text(changed, encoding="utf-8")


CHANGES: Mapping[str, Callable[[Path], None]] = {"vlan": _vlan, "flow": _flow, "tunnel": _tunnel}
"""What each intent changes of the shipped one, by its name."""


@dataclass(frozen=True, slots=True)
class Direction:
    """A change from one intent to another."""

    old: str
    new: str

    def __str__(self) -> str:
        """Return `base→vlan`."""
        return f"{self.old}→{self.new}"


@dataclass
class Look:
    """One look at a device."""

    config: Config | None = None
    """What it runs; None where it could not be read, or was not."""
    state: GuardState | None = None
    """What its guard says; None where it could not be asked."""
    error: str = ""
    """Why it could not be."""


@dataclass
class Ground:
    """The workspaces, their twin, and what every device reads back in each of the intents."""

    name: str
    folder: Path
    sections: dict[str, dict[EquipmentName, Config]] = field(default_factory=dict)
    """What every device runs, in canonical text, once an intent is applied, by intent and device."""
    plans: dict[tuple[Direction, int, Via], Plan] = field(default_factory=dict)

    @property
    def client(self) -> LabClient:
        """Reaches into the twin."""
        return LabClient(self.workspace(BASE), self.name)

    def workspace(self, intent: str) -> Path:
        """Return the folder of an intent's workspace."""
        return self.folder / intent

    @cached_property
    def forked(self) -> Forked:
        """The process that commands are forked from."""
        return Forked()

    @cached_property
    def session(self) -> Session:
        """The session of the shipped intent; devices, addresses and keys are alike in all of them."""
        return open_session(find_workspace(self.workspace(BASE)), Network.LAB, self.name)

    @property
    def devices(self) -> tuple[EquipmentName, ...]:
        """Every device of the twin."""
        return tuple(device.name for device in self.session.intent.devices)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a command about this twin."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CLOISON_")}
        return kept | {"CLOISON_LAB": self.name} | more

    def start(self, intent: str, *arguments: str, **environment: str) -> Child:
        """Start the command line; what it writes is in `out.txt` and `err.txt` of the folder."""
        words = ["--root", str(self.workspace(intent)), *arguments]
        return self.forked.start(words, self.environment(**environment), self.out, self.err)

    def cloison(self, intent: str, *arguments: str) -> int:
        """Run the command line to its end; return its exit status."""
        return self.start(intent, *arguments).wait(COMMAND_SECONDS)

    def json(self, intent: str, *arguments: str) -> tuple[int, dict[str, object]]:
        """Run the command line with --json; return its exit status and its document, what it said where none came."""
        status = self.cloison(intent, *arguments, "--json")
        try:
            document = json.loads(self.out.read_bytes())
        except ValueError:
            document = {"error": self.said()}
        return status, document if isinstance(document, dict) else {"document": document}

    @property
    def out(self) -> Path:
        """What the last command wrote."""
        return self.folder / "out.txt"

    @property
    def err(self) -> Path:
        """What it wrote on its standard error."""
        return self.folder / "err.txt"

    def said(self) -> str:
        """Return the end of both."""
        texts = [file.read_text(encoding="utf-8", errors="replace") for file in (self.out, self.err) if file.exists()]
        return " ".join(text[-800:] for text in texts)

    # --- devices ------------------------------------------------------------------------------------------------------

    def look(self, devices: Iterable[EquipmentName], *, read: bool = True) -> dict[EquipmentName, Look]:
        """Return what each device runs (unless `read` is off) and says, by its local port over a new connection."""
        reach = self.session.reach(Via.LOCAL)

        def one(name: EquipmentName) -> Look:
            try:
                device = reach(name)
                try:
                    state = device.guard.state() if device.guard is not None else None
                    return Look(device.reader.read().config if read else None, state)
                finally:
                    device.close()
            except CloisonError as error:
                return Look(error=str(error))

        return on_each(devices, one)

    def keep(self, intent: str, devices: Iterable[EquipmentName]) -> None:
        """Keep what these devices read back as what the intent is; what others read back is as in the shipped one."""
        looks = self.look(devices)
        wrong = {name: look.error for name, look in looks.items() if look.config is None}
        if wrong:
            msg = f"{intent}: not read back: {wrong}"
            raise RuntimeError(msg)
        read = {name: look.config for name, look in looks.items() if look.config is not None}
        if intent == BASE and BASE in self.sections:
            differing = [name for name, config in read.items() if self.sections[BASE][name] != config]
            if differing:
                msg = f"{differing} do not read back again what they ran before"
                raise RuntimeError(msg)
        self.sections[intent] = {**self.sections.get(BASE, {}), **read}

    def keep_evidence(self, number: int, name: EquipmentName, found: Config, old: Config, new: Config) -> None:
        """Write down what a device ran that was neither old nor new."""
        folder = self.folder / "evidence" / f"{number}-{name.site}-{name.equipment}"
        folder.mkdir(parents=True, exist_ok=True)
        for which, config in (("found", found), ("old", old), ("new", new)):
            for section in config.sections:
                (folder / f"{section.name}.{which}").write_text(section.text, encoding="utf-8")

    # --- plans --------------------------------------------------------------------------------------------------------

    def plan(self, direction: Direction, deadline: int, via: Via = Via.TUNNEL) -> Plan:
        """Return the plan of a change with this deadline, kept where `cloison apply --plan` finds it.

        It is made the first time: every device must run the old intent then.
        """
        known = self.plans.get((direction, deadline, via))
        if known is not None:
            return known
        similar = [plan for (known, _, way), plan in self.plans.items() if (known, way) == (direction, via)]
        made = similar[0] if similar else self._made(direction, via)
        made = made.model_copy(update={"deadline": deadline})
        save(made, find_workspace(self.workspace(direction.new)).plans)
        self.plans[direction, deadline, via] = made
        return made

    def _made(self, direction: Direction, via: Via) -> Plan:
        status, document = self.json(direction.new, "plan", "--via", via.value)
        if status != 0 or "file" not in document:
            msg = f"{direction}: no plan (exit {status}): {document}"
            raise RuntimeError(msg)
        return read(Path(str(document["file"])))

    def await_way(self, plan: Plan) -> bool:
        """Return once every device that changes is reachable the way that the plan goes, its dead-man alive.

        Return True when that took making the tunnels anew: they were up and carried nothing.
        """
        reach, names = self.session.reach(plan.via), [one.device for one in plan.changed]
        started, anew = time.monotonic(), False

        def asked(name: EquipmentName) -> str:
            try:
                device = reach(name)
                try:
                    state = device.guard.state() if device.guard is not None else None
                finally:
                    device.close()
            except CloisonError as error:
                return str(error)
            return "" if state is not None and state.timer_alive else "its dead-man does not run"

        while wrong := [said for said in on_each(names, asked).values() if said]:
            waited = time.monotonic() - started
            if waited > WAY_SECONDS:
                msg = f"not reachable before the change: {'; '.join(wrong)}"
                raise RuntimeError(msg)
            if waited > WAY_SECONDS / 3 and not anew:
                self.negotiate()
                anew = True
            time.sleep(1.0)
        return anew

    def negotiate(self) -> None:
        """End every tunnel and have its initiator start it."""
        for tunnel in self.session.intent.tunnels:
            for end in (tunnel.initiator, tunnel.responder):
                self.client.run(end.firewall, ["sh", "-c", _END_ALL])
        for firewall in {tunnel.initiator.firewall for tunnel in self.session.intent.tunnels}:
            self.client.run(firewall, ["sh", "-c", _START_ALL], timeout=60)

    def await_booted(self, device: EquipmentName) -> None:
        """Return once a device that started anew has loaded what it boots with, and its dead-man runs."""
        deadline = time.monotonic() + WAY_SECONDS
        while True:
            state = self.look([device], read=False)[device].state
            if state is not None and state.timer_alive and not state.busy:
                return
            if time.monotonic() > deadline:
                msg = f"{device} has not booted: {state}"
                raise RuntimeError(msg)
            time.sleep(0.5)

    def heal_all(self) -> None:
        """Undo whatever an injury may have left: power, cables, disks, services."""
        client = self.client
        state = client.status()
        for node in state.nodes:
            if not node.power:
                client.power_on(node.node)
        for link in state.links:
            if link.cut:
                client.mend(link.near)
        for name in self.devices:
            client.thaw(name)
            client.free_disk(name)
        for node in client.status().nodes:
            for service, condition in node.services.items():
                if condition != "running":
                    client.start(node.node, service)

    def up(self) -> None:
        """Grow the twin; RuntimeError when it does not come up."""
        if self.cloison(BASE, "lab", "up") != 0:
            raise RuntimeError(self.said())

    def down(self) -> None:
        """End the twin, and take the workspaces away."""
        if (self.folder / "state" / "lab").exists():
            self.cloison(BASE, "lab", "down")
        self.forked.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- runs ---------------------------------------------------------------------------------------------------------

    @property
    def changes(self) -> Path:
        """Where the runs of the twin's network are kept."""
        return self.folder / "state" / "changes" / f"lab-{self.name}"

    def runs(self) -> list[str]:
        """Return the names of all runs that were begun."""
        return sorted(path.name for path in self.changes.glob("*t*z-*"))

    def events(self, run: str) -> list[str]:
        """Return the events of a run's journal, in order; a line that was cut off is none."""
        file = self.changes / run / "journal.jsonl"
        lines = file.read_text(encoding="utf-8").split("\n")[:-1] if file.exists() else []
        return [str(json.loads(line)["event"]) for line in lines]

    def settle(self) -> None:
        """Put the shipped intent on the twin by the local ports; RuntimeError when it will not go on."""
        status = self.cloison(BASE, "apply", "--yes", "--via", "local", "--gate", "proof")
        if status != 0:
            msg = f"the shipped intent cannot be applied (exit {status}): {self.said()}"
            raise RuntimeError(msg)


def on_each(devices: Iterable[EquipmentName], ask: Callable[[EquipmentName], Answer]) -> dict[EquipmentName, Answer]:
    """Ask every device at the same time, and return once all have answered."""
    names = list(devices)
    with ThreadPoolExecutor(max(1, len(names))) as pool:
        return dict(zip(names, pool.map(ask, names), strict=True))


def make_ground(name: str, changes: Sequence[str] = tuple(CHANGES)) -> Ground:
    """Copy the shipped workspace once an intent, into a folder of their own; nothing is up yet."""
    folder = Path(tempfile.mkdtemp(prefix=f"cloison-{name}-"))
    state = folder / "state"
    state.mkdir()
    if (ROOT / ".cloison" / "root").exists():
        (state / "root").symlink_to(ROOT / ".cloison" / "root")
    for intent in (BASE, *changes):
        workspace = folder / intent
        for part in ("inventory", "templates", "playbooks", "validators"):
            shutil.copytree(ROOT / part, workspace / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", workspace)
        (workspace / ".cloison").symlink_to(state)
        if intent != BASE:
            CHANGES[intent](workspace)
    return Ground(name, folder)
