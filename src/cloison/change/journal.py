"""The journal of a change: one folder a run, one JSON line an event, on the disk before the next thing is done.

It says what was decided; where a device stands, the device alone knows and is asked. A run is named by its time and a
random part, in the letters that a token may have.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from cloison.change.plan import Plan, read
from cloison.errors import InputError, RefusedError
from cloison.model import EquipmentName
from cloison.workspace import read_start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_RUN = re.compile(r"\d{8}t\d{6}z-[0-9a-f]{4}")
_SIZE_LIMIT = 16 * 1024 * 1024
_PLAN = "plan.json"
_JOURNAL = "journal.jsonl"


class Event(StrEnum):
    """What a line of the journal is about."""

    BEGUN = "begun"
    LEASED = "leased"
    ARMING = "arming"
    """Written before the device is asked: from here on it may be armed."""
    APPLIED = "applied"
    BROUGHT_UP = "brought-up"
    FORGOTTEN = "forgotten"
    GATE = "gate"
    DECIDED = "decided"
    """From here on every recovery goes forward; before it, every recovery goes back."""
    CONFIRMED = "confirmed"
    GOING_BACK = "going-back"
    REVERTED = "reverted"
    RESUMED = "resumed"
    ENDED = "ended"
    """Every device stands where it shall, and was asked; its detail is the decision."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal."""

    at: str
    """UTC, ISO 8601."""
    event: Event
    device: EquipmentName | None
    detail: str
    """Untrusted."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a plan: its folder, and its name."""

    name: str
    folder: Path

    def token(self, plan: Plan, attempt: int = 1) -> str:
        """Return the token of this run on a device; a device that went back is armed again under another one."""
        return f"{self.name}-{plan.sha256[:12]}" + (f"-{attempt}" if attempt > 1 else "")

    def write(self, event: Event, device: EquipmentName | None = None, detail: str = "") -> None:
        """Append a line, and return once it is on the disk. Raises RefusedError when it cannot be written."""
        line = {"at": datetime.now(UTC).isoformat(), "event": event.value, "device": device, "detail": detail}
        try:
            descriptor = os.open(
                self.folder / _JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            with os.fdopen(descriptor, "ab", buffering=0) as file:
                file.write((json.dumps(line) + "\n").encode())
                os.fsync(file.fileno())
        except OSError as error:
            msg = f"{self.folder / _JOURNAL}: {error.strerror}; a change is not made without its journal"
            raise RefusedError(msg) from error

    def entries(self) -> tuple[Entry, ...]:
        """Return what was written; a last line without its newline was cut off and counts as not written.

        Raises InputError for a line that nobody of this program wrote.
        """
        file = self.folder / _JOURNAL
        lines = read_start(file, _SIZE_LIMIT).split(b"\n")[:-1] if file.exists() else []
        try:
            return tuple(_entry(json.loads(line)) for line in lines)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            msg = f"{file}: not a journal of a change ({type(error).__name__})"
            raise InputError(msg) from error

    @property
    def plan(self) -> Plan:
        """The plan of the run; InputError when it cannot be read."""
        return read(self.folder / _PLAN)


def _entry(line: dict[str, object]) -> Entry:
    device = line["device"]
    return Entry(
        str(line["at"]),
        Event(str(line["event"])),
        None if device is None else EquipmentName(str(device)),
        str(line["detail"]),
    )


def begin(plan: Plan, folder: Path, keep: Callable[[Path], None], now: datetime | None = None) -> Run:
    """Make the folder of a new run, with the plan and what `keep` puts into it, and begin its journal.

    Raises RefusedError when it cannot be written: nothing was changed then.
    """
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dt%H%M%Sz")
    name = f"{moment}-{secrets.token_hex(2)}"
    run = Run(name, folder / name)
    try:
        run.folder.mkdir(mode=0o700, parents=True)
        file = run.folder / _PLAN
        file.write_text(plan.model_dump_json(indent=1) + "\n", encoding="utf-8")
        file.chmod(0o600)
        keep(run.folder)
    except OSError as error:
        msg = f"{run.folder}: {error.strerror}; a change is not made without its journal"
        raise RefusedError(msg) from error
    run.write(Event.BEGUN, None, plan.sha256)
    return run


def runs(folder: Path) -> tuple[Run, ...]:
    """Return every run that was begun, the oldest first."""
    found = sorted(path for path in folder.glob("*") if _RUN.fullmatch(path.name) and (path / _PLAN).exists())
    return tuple(Run(path.name, path) for path in found)


def find(folder: Path, name: str | None) -> Run:
    """Return a run by its name or the beginning of it, the last one for None; InputError when there is no one such."""
    known = runs(folder)
    if name is None and known:
        return known[-1]
    found = [run for run in known if name and run.name.startswith(name)]
    if len(found) != 1:
        names = ", ".join(run.name for run in known[-5:]) or "none yet"
        msg = f"no run {name or ''}; expected one of {names}"
        raise InputError(msg)
    return found[0]
