"""Loads a playbook of the workspace by its path, and runs it over the devices of an intent."""

from __future__ import annotations

import importlib.util
import logging
import re
import sys
import time
import traceback
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Protocol, cast

from nornir.core import Nornir
from nornir.core.configuration import Config as NornirConfig
from nornir.core.processor import Processors
from nornir.core.state import GlobalState
from nornir.plugins.runners import ThreadedRunner

from cloison.change.effects import Effects
from cloison.change.order import Via, stages
from cloison.change.plan import candidates
from cloison.device.connection import register
from cloison.errors import CloisonError, InputError, PlaybookError, WorkspaceError
from cloison.fleet.inventory import IntentInventory
from cloison.fleet.record import Record, Recorder
from cloison.model import EquipmentName, Model, Name, Untrusted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from ipaddress import IPv4Address
    from pathlib import Path
    from types import ModuleType

    from nornir.core.inventory import Inventory

    from cloison.device.contract import Device
    from cloison.intent.network import Equipment, Intent
    from cloison.render.config import Config
    from cloison.workspace import Workspace

# Nornir logs a traceback for every task that fails. Failures are recorded, and shown by who called.
logging.getLogger("nornir").addHandler(logging.NullHandler())
logging.getLogger("nornir").propagate = False


class Playbook(Protocol):
    """What a playbook holds."""

    def play(self, nornir: Nornir) -> None:
        """Run the play over the hosts of `nornir`."""


class Reaching(Protocol):
    """Who opens the devices of an intent: `cloison.fleet.reach.Reach`, or devices in memory."""

    @property
    def intent(self) -> Intent:
        """The intent that the devices are of."""

    @property
    def via(self) -> Via:
        """How they are reached."""

    def address(self, equipment: Equipment) -> IPv4Address:
        """Return the address at which a device is reached."""

    def __call__(self, device: EquipmentName) -> Device:
        """Return the device over a new connection."""


class Played(Model):
    """What a play left."""

    play: Name
    records: tuple[Record, ...]

    @property
    def changed(self) -> bool:
        """True when it changed a device."""
        return any(record.changed for record in self.records)

    @property
    def failed(self) -> bool:
        """True when a task failed on a device."""
        return any(record.failed for record in self.records)

    @property
    def differs(self) -> bool:
        """True when a device runs, or ran before, something else than what is declared."""
        return any(record.diff for record in self.records)


def names(workspace: Workspace) -> tuple[Name, ...]:
    """Return the playbooks of the workspace, sorted; a file whose stem is no name is none."""
    stems = [file.stem for file in workspace.playbooks.glob("*.py")]
    return tuple(sorted(Name(stem.replace("_", "-")) for stem in stems if re.fullmatch(r"[a-z][a-z0-9_]{0,62}", stem)))


def run(
    workspace: Workspace,
    reach: Reaching,
    name: str,
    *,
    sites: Collection[str] | None = None,
    dry_run: bool = False,
    progress: Callable[[Record], None] = lambda _: None,
) -> Played:
    """Run `playbooks/<name>.py` over the devices of `sites` (all of them by default); return what each task left.

    A hyphen in the name is an underscore in the file. Raises InputError for an unknown playbook or site, RenderError
    before any device is opened. What fails on a device is in its record.
    """
    playbook = _load(workspace, name)
    chosen = _devices(reach, sites)
    rendered = candidates(reach.intent, workspace.templates, chosen)
    register()
    played = Name(name.replace("_", "-"))
    inventory = _inventory(reach, rendered, played)
    recorder = Recorder(progress)
    nornir = Nornir(
        inventory=inventory,
        runner=ThreadedRunner(num_workers=reach.intent.workers),
        config=NornirConfig(),
        data=GlobalState(dry_run=dry_run),
        processors=Processors([recorder]),
    )
    try:
        with _blaming(_file(workspace, name)):
            playbook.play(nornir)
    finally:
        nornir.with_processors([]).close_connections(on_good=True, on_failed=True)
    return Played(play=played, records=tuple(recorder.records))


def _inventory(reach: Reaching, rendered: Mapping[EquipmentName, Config], played: Name) -> Inventory:
    """Return Nornir's inventory of the devices, each with what its tasks need."""
    effects = Effects(reach, lambda *_: None, time.monotonic, time.sleep, owner=f"play {played}")
    inventory = IntentInventory(reach.intent, reach, rendered, reach.address).load()
    for place, stage in enumerate(stages(reach.intent, reach.via, rendered)):
        for device in stage:
            inventory.hosts[device].data |= {"stage": place, "via": reach.via, "effects": effects, "play": played}
    return inventory


@contextmanager
def _blaming(file: Path) -> Iterator[None]:
    """Make an error of the playbook's own one that names its line; what it prints is not the result."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except CloisonError:
        raise
    except (Exception, SystemExit) as error:
        msg = f"{_blamed(file, error)}; devices may have been changed: `cloison plan` shows it"
        raise PlaybookError(msg) from error


def by_stage(nornir: Nornir) -> Iterator[Nornir]:
    """Yield the hosts in groups that may be changed at the same time, in the order that cuts nobody off.

    It stops after a group in which a host failed: what lies beyond it may not be there to be changed.
    """
    for stage in sorted({host["stage"] for host in nornir.inventory.hosts.values()}):
        if nornir.data.failed_hosts:
            return
        yield nornir.filter(filter_func=lambda host, stage=stage: host["stage"] == stage)


def _file(workspace: Workspace, name: str) -> Path:
    return workspace.playbooks / f"{name.replace('-', '_')}.py"


def _blamed(file: Path, error: BaseException) -> str:
    """Return `file:line: what happened`, the line being the last one of the playbook that was run."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines.append(error.lineno)
    line = f":{lines[-1]}" if lines else ""
    said = error.msg if isinstance(error, SyntaxError) else Untrusted(str(error)).shown(300)
    return f"{file}{line}: {type(error).__name__}: {said}"


def _load(workspace: Workspace, name: str) -> Playbook:
    known = names(workspace)
    if name.replace("_", "-") not in known:
        msg = f"no playbook {name!r} in {workspace.playbooks}; expected one of {', '.join(known)}"
        raise InputError(msg)
    file = _file(workspace, name)
    spec = importlib.util.spec_from_file_location(f"cloison_playbook_{file.stem}", file)
    if spec is None or spec.loader is None:
        msg = f"{file} cannot be loaded"
        raise WorkspaceError(msg)
    module: ModuleType = importlib.util.module_from_spec(spec)
    try:
        with redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except CloisonError:
        raise
    except (Exception, SystemExit) as error:
        msg = f"{_blamed(file, error)}; it is not a playbook that can be run"
        raise WorkspaceError(msg) from error
    if not callable(getattr(module, "play", None)):
        msg = f"{file}: expected a function `play(nornir)`"
        raise WorkspaceError(msg)
    return cast("Playbook", module)


def _devices(reach: Reaching, sites: Collection[str] | None) -> list[EquipmentName]:
    unknown = sorted(set(sites or ()) - set(reach.intent.site_by_name))
    if unknown:
        msg = f"no site {unknown[0]!r}; expected one of {', '.join(sorted(reach.intent.site_by_name))}"
        raise InputError(msg)
    return [device.name for device in reach.intent.devices if sites is None or device.name.site in sites]
