"""The journal of a change that goes over many sites: one folder a wave, one line whenever a site stands elsewhere.

Every line is on the disk before the next thing is done, so that whoever takes the wave up again knows which sites were
claimed: those are resumed, and never changed a second time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import ValidationError

from cloison.errors import CloisonError, InputError, RefusedError
from cloison.model import Model, Name
from cloison.workspace import read_start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WAVE = re.compile(r"\d{8}t\d{6}z-[0-9a-f]{4}")
_ORDER, _JOURNAL = "order.json", "journal.jsonl"
_LINE_LIMIT, _ORDER_LIMIT = 1 << 20, 16 << 20


class SiteState(StrEnum):
    """Where a site stands in the change."""

    PENDING = "pending"
    """Nothing of it was begun, or what was begun came to nothing before any device was armed."""
    ARMED = "armed"
    """Claimed: from here on a device of it may be armed."""
    APPLIED = "applied"
    """Every device of it has its candidate, and waits for the gate and the decision."""
    CONFIRMED = "confirmed"
    """It runs what is declared, all of it."""
    REVERTED = "reverted"
    """It runs what it ran before, all of it."""
    UNREACHABLE = "unreachable"
    """It could not be reached before anything was begun: nothing is known of it, and nothing was changed."""
    UNKNOWN = "unknown"
    """A device of it could not be asked after something was begun, or says neither old nor new."""


CLAIMED = frozenset({SiteState.ARMED, SiteState.APPLIED, SiteState.UNKNOWN})
"""The states from which a site is resumed and not changed anew."""


class SiteOutcome(Model):
    """Where a site stands, and why."""

    site: Name
    state: SiteState
    run: str = ""
    """The run of its transaction; empty when none was begun."""
    reason: str = ""
    """One sentence; untrusted."""
    refused: bool = False
    """True when its plan is not to be carried out: it stays as it is, and counts as failed."""

    @property
    def failed(self) -> bool:
        """True when the network was found otherwise than it has to be: it went back, or was refused."""
        return self.refused or self.state is SiteState.REVERTED

    @property
    def halts(self) -> bool:
        """True when no further site may be begun: failed or undetermined. A site out of reach is neither."""
        return self.failed or self.state in CLAIMED


class Order(Model):
    """Which sites a wave goes over, and what it brings them."""

    intent: str
    """SHA-256 of everything declared and derived."""
    canary: bool
    """True when the first wave is one site that all others wait for."""
    waves: tuple[tuple[Name, ...], ...]

    @property
    def sites(self) -> tuple[Name, ...]:
        """All sites, in order."""
        return tuple(site for wave in self.waves for site in wave)


@dataclass(frozen=True, slots=True)
class Wave:
    """One change over many sites: its folder, and its name."""

    name: str
    folder: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, outcome: SiteOutcome) -> None:
        """Append where a site stands; on the disk when this returns. Raises RefusedError when it cannot be written."""
        line = {"at": datetime.now(UTC).isoformat(), **outcome.model_dump(mode="json")}
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with self._lock, os.fdopen(os.open(self.folder / _JOURNAL, flags, 0o600), "ab", buffering=0) as file:
                file.write((json.dumps(line) + "\n").encode())
                os.fsync(file.fileno())
        except OSError as error:
            msg = f"{self.folder / _JOURNAL}: {error.strerror}; no site is changed without its journal"
            raise RefusedError(msg) from error

    def standing(self) -> Iterator[SiteOutcome]:
        """Yield every line, the oldest first; a last line that was cut off counts as not written.

        Raises InputError for a line that nobody of this program wrote.
        """
        file = self.folder / _JOURNAL
        if not file.exists():
            return
        with file.open("rb") as stream:
            for line in iter(lambda: stream.readline(_LINE_LIMIT), b""):
                if not line.endswith(b"\n"):
                    return
                try:
                    values = json.loads(line)
                    del values["at"]
                    yield SiteOutcome.model_validate(values)
                except (ValueError, TypeError, KeyError, RecursionError) as error:
                    msg = f"{file}: not a journal of a wave ({type(error).__name__})"
                    raise InputError(msg) from error

    @property
    def order(self) -> Order:
        """What it goes over. Raises InputError when it cannot be read."""
        file = self.folder / _ORDER
        try:
            return Order.model_validate_json(read_start(file, _ORDER_LIMIT))
        except (ValidationError, RecursionError) as error:
            msg = f"{file}: not the order of a wave"
            raise InputError(msg) from error

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Hold the wave for this process. Raises RefusedError while another process holds it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.folder / "lock", flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            msg = f"wave {self.name} is being carried out by another process; wait for it, or end it"
            raise RefusedError(msg) from error
        finally:
            os.close(descriptor)


def begin_wave(folder: Path, order: Order, now: datetime | None = None) -> Wave:
    """Make the folder of a new wave; RefusedError when it cannot be written: nothing was changed then."""
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dt%H%M%Sz")
    name = f"{moment}-{secrets.token_hex(2)}"
    wave = Wave(name, folder / name)
    try:
        wave.folder.mkdir(mode=0o700, parents=True)
        beside = wave.folder / f"{_ORDER}.new"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(order.model_dump_json(indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.rename(wave.folder / _ORDER)
    except OSError as error:
        msg = f"{wave.folder}: {error.strerror}; no site is changed without its journal"
        raise RefusedError(msg) from error
    return wave


def find_wave(folder: Path, name: str) -> Wave:
    """Return a wave by its name or the beginning of it; InputError when there is no one such."""
    known = sorted(path for path in folder.glob("*") if _WAVE.fullmatch(path.name) and (path / _ORDER).exists())
    found = [path for path in known if name and path.name.startswith(name)]
    if len(found) != 1:
        names = ", ".join(path.name for path in known[-5:]) or "none yet"
        msg = f"no wave {name}; expected one of {names}"
        raise InputError(msg)
    return Wave(found[0].name, found[0])


class Table(Model):
    """How many sites stand where, once a wave has ended or was halted."""

    wave: str
    sites: int
    states: dict[SiteState, int]
    """Every state, those of no site too."""
    failed: int
    """The sites that went back or were refused."""
    halted: str = ""
    """Why no further site was begun; empty when all were."""

    @property
    def exit_code(self) -> int:
        """Return 0 when every site is confirmed, 1 when one failed, 3 when none did and one could not be determined."""
        if self.failed:
            return 1
        return 0 if self.states[SiteState.CONFIRMED] == self.sites else 3


def table(wave: Wave, halted: str) -> Table:
    """Return the final table, from the journal alone. Raises CloisonError when it does not add up."""
    sites = wave.order.sites
    last = dict.fromkeys(sites, (SiteState.PENDING, False))
    for outcome in wave.standing():
        last[outcome.site] = outcome.state, outcome.failed
    states = {state: sum(found is state for found, _ in last.values()) for state in SiteState}
    if sum(states.values()) != len(sites):
        strange = ", ".join(sorted(last.keys() - set(sites))) or "some sites twice"
        msg = f"wave {wave.name}: the table does not add up: {sum(states.values())} of {len(sites)} sites ({strange})"
        raise CloisonError(msg)
    failed = sum(failed for _, failed in last.values())
    return Table(wave=wave.name, sites=len(sites), states=states, failed=failed, halted=halted)
