"""The runs on one network: found again, told apart from those of another life of a twin, held by one process."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloison.change.journal import Event, Run, find, runs
from cloison.change.outcome import Decision
from cloison.errors import RefusedError
from cloison.intent.load import load
from cloison.model import Name
from cloison.workspace import INVENTORY, Workspace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from cloison.intent.network import Intent
    from cloison.session import Session

_NETWORK: Final = "network.json"
_LOCK: Final = "lock"


@dataclass(frozen=True, slots=True)
class Ledger:
    """The runs on the network of a session."""

    session: Session

    @property
    def folder(self) -> Path:
        """Where the runs of this network are kept."""
        lab = self.session.lab
        name = "live" if lab is None else f"lab-{lab.folder.path.name}"
        return self.session.workspace.state / "changes" / name

    def find(self, name: str | None) -> Run:
        """Return a run by the beginning of its name, the last one for None; InputError when there is no one such."""
        return find(self.folder, name)

    def runs(self) -> tuple[Run, ...]:
        """Return the runs on this network, the oldest first; on a twin those of its present life."""
        return tuple(run for run in runs(self.folder) if self._is_of_this_network(run))

    def previous(self, sites: Collection[Name], before: Run | None = None) -> Run | None:
        """Return the run that last changed these sites, among those before a run; None when none of them ever did.

        Where they were changed one after the other, it is the first of the last ones.
        """
        found, left = None, set(sites)
        for run in reversed(self.runs()):
            if before is not None and run.name >= before.name:
                continue
            covered = left & self._covered(run) if was_confirmed(run) else set()
            if covered:
                found, left = run, left - covered
            if not left:
                break
        return found

    def previous_intent(self, sites: Collection[Name]) -> Intent | None:
        """Return what was declared when these sites were last changed; None when none of them ever was."""
        found = self.previous(sites)
        return None if found is None else self.intent_of(found)

    def intent_of(self, run: Run) -> Intent:
        """Return what was declared when a run was made."""
        return load(Workspace(run.folder, self.session.network), self.session.network)

    def keep(self, folder: Path, inventory: Path, sites: Collection[Name]) -> None:
        """Put what is declared beside a plan: a later change is judged against what was declared before it."""
        shutil.copytree(inventory, folder / INVENTORY, symlinks=True)
        kept = {"life": self.session.life, "sites": sorted(sites)}
        (folder / _NETWORK).write_text(json.dumps(kept) + "\n", encoding="utf-8")

    @contextlib.contextmanager
    def holding(self, run: Run) -> Iterator[None]:
        """Hold a run for this process. Raises RefusedError while another process holds it."""
        descriptor = os.open(run.folder / _LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                msg = f"run {run.name} is being carried out by another process; wait for it, or end it"
                raise RefusedError(msg) from error
            yield
        finally:
            os.close(descriptor)

    def is_held(self, run: Run) -> bool:
        """Return True while another process is at a run: then it is the lease of each device that decides."""
        try:
            with self.holding(run):
                return False
        except RefusedError:
            return True

    def _covered(self, run: Run) -> set[Name]:
        """Return the sites that a run was about."""
        return {Name(site) for site in json.loads((run.folder / _NETWORK).read_text(encoding="utf-8"))["sites"]}

    def _is_of_this_network(self, run: Run) -> bool:
        try:
            kept = json.loads((run.folder / _NETWORK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(kept, dict) and kept.keys() == {"life", "sites"} and kept["life"] == self.session.life


def ended(run: Run) -> str:
    """Return how a run ended; an empty text while it did not."""
    return next((entry.detail for entry in reversed(run.entries()) if entry.event is Event.ENDED), "")


def was_confirmed(run: Run) -> bool:
    """Return True for a run that ended with every device running its candidate."""
    return ended(run) == Decision.CONFIRMED


def came_to_nothing(run: Run) -> bool:
    """Return True for a run that ended with every device running what it ran before it."""
    return ended(run) not in {"", Decision.CONFIRMED}
