"""A change over many sites: a canary first, then waves, halted at the first site that fails or stays undetermined.

Each site is a transaction of its own (`cloison.change.transaction`), handed in as `ChangeSite`. What became of a site
is written down and told as it happens, and not kept: memory does not grow with what the sites say.
"""

from __future__ import annotations

import contextlib
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cloison.change.wave_journal import CLAIMED, SiteOutcome, SiteState, table
from cloison.errors import CloisonError, HostKeyError, InputError, RefusedError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from random import Random

    from cloison.change.wave_journal import Table, Wave
    from cloison.model import EquipmentName, Name


class BusyError(RefusedError):
    """Somebody else changes what a site shares, or has just done so. Nothing was changed; later it may be."""


class Note(Protocol):
    """Told where a site stands while it is changed."""

    def __call__(self, state: SiteState, run: str) -> None:
        """Write it down: it is on the disk when the call returns, so that no device is armed without a claim."""


class ChangeSite(Protocol):
    """Carries out the change of one site."""

    def change(self, site: Name, note: Note) -> SiteOutcome:
        """Plan and carry out the change of a site, and return what became of it.

        Raises, with nothing changed: BusyError, another RefusedError for a plan that is not to be carried out,
        TransportError when the site cannot be reached.
        """

    def resume(self, site: Name, run: str) -> SiteOutcome:
        """Take a run that was cut off to its end, and return what became of the site; raises as `change` does."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast sites are gone through, and when no further one is begun."""

    share: float = 0.0
    """The share of all sites that may fail or stay undetermined before that, 0 to 1; 0 for none."""
    a_path: int = 4
    """How many sites are spoken with at the same time through one firewall that they share."""
    tries: int = 4
    """How often a site is tried that cannot be reached."""
    first_seconds: float = 1.0
    """The pause before the second try; doubled for each further one, with a random part so that all do not meet."""
    longest_seconds: float = 30.0
    patience_seconds: float = 900.0
    """How long a site waits for somebody else to be done with what it shares."""

    def pause(self, tries: int, random: Random) -> float:
        """Return how long to wait after so many tries (1 or more), in seconds: half to all of the doubled time."""
        doubled = min(self.longest_seconds, math.ldexp(self.first_seconds, min(tries - 1, 30)))
        return doubled * (0.5 + random.random() / 2)


@dataclass(frozen=True, slots=True)
class Around:
    """What a wave touches of the world beside the sites."""

    paths: Callable[[Name], Collection[EquipmentName]]
    """The firewalls of other sites that everything to a site goes through."""
    tell: Callable[[SiteOutcome], None]
    """Told of every change of where a site stands; may be called by several threads."""
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    random: Random


def waves(sites: Sequence[Name], canary: Name | None, size: int) -> tuple[tuple[Name, ...], ...]:
    """Return the sites in the order in which they are changed: the canary alone, then so many at a time.

    Raises InputError for a canary that is none of the sites, a site that is named twice, or a size below 1.
    """
    if size < 1:
        msg = f"waves of {size} sites: expected 1 or more"
        raise InputError(msg)
    if len(set(sites)) != len(sites):
        msg = f"{next(site for site in sites if sites.count(site) > 1)} is named twice"
        raise InputError(msg)
    if canary is not None and canary not in sites:
        msg = f"canary {canary} is none of the sites to be changed: {', '.join(sites)}"
        raise InputError(msg)
    others = [site for site in sites if site != canary]
    rest = tuple(tuple(others[at : at + size]) for at in range(0, len(others), size))
    return rest if canary is None else ((canary,), *rest)


def run_waves(wave: Wave, change: ChangeSite, pace: Pace, around: Around) -> Table:
    """Carry a wave out, or go on where it was left, and return the final table.

    A site that was claimed is resumed and not changed anew; one that was confirmed or went back stays as it is; one
    that was refused or out of reach is tried again. Raises RefusedError while another process is at it or when its
    journal cannot be written, and CloisonError when the table does not add up.
    """
    with wave.holding():
        going = _Going(wave, change, pace, around)
        going.all()
        return table(wave, going.halted)


class _Going:
    """A wave that is under way."""

    def __init__(self, wave: Wave, change: ChangeSite, pace: Pace, around: Around) -> None:
        self.wave, self.change, self.pace, self.around = wave, change, pace, around
        self.halted = ""
        self._lock = threading.Lock()
        self._stopped = 0
        self._before = {outcome.site: (outcome.state, outcome.run) for outcome in wave.standing()}
        self._order = wave.order
        self._paths = _Paths(pace.a_path)

    def all(self) -> None:
        """Go through the waves; what was claimed comes first, so that nothing is left half done when it halts again."""
        claimed = [site for site, (state, run) in self._before.items() if run and state in CLAIMED]
        self._together(claimed, canary=False)
        for number, sites in enumerate(self._order.waves):
            settled = {SiteState.CONFIRMED, SiteState.REVERTED}
            left = [s for s in sites if s not in claimed and self._before.get(s, ("", ""))[0] not in settled]
            self._together(left, canary=not number and self._order.canary)
            if self.halted:
                return

    def _together(self, sites: Sequence[Name], *, canary: bool) -> None:
        if not sites:
            return
        with ThreadPoolExecutor(max_workers=len(sites), thread_name_prefix="wave") as pool:
            futures = [pool.submit(self._site, site, canary=canary) for site in sites]
            try:
                for future in futures:
                    future.result()
            except BaseException:  # an interruption too: no further site is begun, and those that run finish
                self._halt("it was interrupted")
                raise

    def _site(self, site: Name, *, canary: bool) -> None:
        run = self._before[site][1] if self._is_claimed(site) else ""
        noted = _Noted(site, self._record)
        began = self.around.monotonic()
        tries = 0
        while True:
            with self._paths.through(self.around.paths(site)):
                if self.halted and not run:
                    return
                found: SiteOutcome | None
                try:
                    found = self.change.resume(site, run) if run else self.change.change(site, noted)
                except CloisonError as error:
                    tries += 1
                    again = _Again(tries, self.around.monotonic() - began)
                    found = None if self._is_tried(error, again) and not noted.run else _not_done(noted, run, error)
                if found is not None:
                    self._conclude(found, canary=canary)  # on the path still: whoever waits for it sees the halt
                    return
            self.around.sleep(self.pace.pause(tries, self.around.random))

    def _is_tried(self, error: CloisonError, again: _Again) -> bool:
        """Return True when a site is to be tried again after an error before which nothing was begun."""
        if isinstance(error, BusyError):
            return again.waited < self.pace.patience_seconds
        if isinstance(error, TransportError) and not isinstance(error, HostKeyError):
            return again.tries < self.pace.tries
        return False

    def _conclude(self, outcome: SiteOutcome, *, canary: bool) -> None:
        self._record(outcome)
        with self._lock:
            self._stopped += outcome.halts
            enough = self._stopped >= max(1, math.ceil(self.pace.share * len(self._order.sites)))
        if canary and outcome.state is not SiteState.CONFIRMED:
            self._halt(f"the canary {outcome.site} is {outcome.state}")
        elif outcome.halts and enough:
            self._halt(f"{outcome.site} is {'refused' if outcome.refused else outcome.state}")

    def _is_claimed(self, site: Name) -> bool:
        state, run = self._before.get(site, (SiteState.PENDING, ""))
        return bool(run) and state in CLAIMED

    def _halt(self, reason: str) -> None:
        with self._lock:
            self.halted = self.halted or reason

    def _record(self, outcome: SiteOutcome) -> None:
        self.wave.write(outcome)
        self.around.tell(outcome)


@dataclass(frozen=True, slots=True)
class _Again:
    """How long a site has been tried."""

    tries: int
    waited: float
    """Seconds."""


def _not_done(noted: _Noted, run: str, error: CloisonError) -> SiteOutcome:
    """Return where a site stands after an error that is not tried again."""
    stands, refused = SiteState.UNKNOWN, False
    if not (noted.run or run):
        if isinstance(error, InputError):
            stands, refused = SiteState.PENDING, not isinstance(error, BusyError)
        elif isinstance(error, TransportError) and not isinstance(error, HostKeyError):
            stands = SiteState.UNREACHABLE
    return SiteOutcome(site=noted.site, state=stands, run=noted.run or run, reason=str(error), refused=refused)


class _Noted:
    """Writes down where a site stands while it is changed, and remembers the run."""

    def __init__(self, site: Name, record: Callable[[SiteOutcome], None]) -> None:
        self.site, self._record = site, record
        self.run = ""
        self._state = SiteState.PENDING

    def __call__(self, state: SiteState, run: str) -> None:
        """Write it down unless it is written already: several devices of a site are armed at the same time."""
        if (state, run) != (self._state, self.run):
            self._state, self.run = state, run
            self._record(SiteOutcome(site=self.site, state=state, run=run))


class _Paths:
    """Lets so many sites at a time through each firewall that they share."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._gates: dict[EquipmentName, threading.Semaphore] = {}

    @contextlib.contextmanager
    def through(self, paths: Collection[EquipmentName]) -> Iterator[None]:
        """Hold a place on every path; always taken in one order, so that no two wait for each other."""
        with contextlib.ExitStack() as stack:
            for path in sorted(set(paths)):
                with self._lock:
                    gate = self._gates.setdefault(path, threading.Semaphore(self._limit))
                stack.enter_context(gate)
            yield
