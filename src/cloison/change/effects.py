"""Everything of the world that a change touches: handed in, so that every one of them can be made to fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from cloison.change.crash import crash_point
from cloison.change.gate import NothingWatched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cloison.change.connections import Connections
    from cloison.change.crash import CrashPoint
    from cloison.change.gate import Proof, Refusals, Watch
    from cloison.change.journal import Event
    from cloison.device.contract import Opener
    from cloison.model import EquipmentName
    from cloison.render.config import Config


class Writing(Protocol):
    """Writes the journal: an event is on the disk when the call returns."""

    def __call__(self, event: Event, device: EquipmentName | None = None, detail: str = "") -> None:
        """Write one event. Raises RefusedError when it cannot be written."""


@dataclass(frozen=True, slots=True)
class Effects:
    """The world as a transaction sees it."""

    opener: Opener
    """Reaches the devices, over a new connection each time."""
    journal: Writing
    monotonic: Callable[[], float]
    """Seconds of a clock that never goes back."""
    sleep: Callable[[float], None]
    """Waits that many seconds."""
    others: Callable[[], Mapping[EquipmentName, Config]] = dict
    """Returns what the devices run that the plan is not about; nothing where it is about all. Raises their errors."""
    proof: Proof | None = None
    """Proves what was read back; None only where another proof stands in (a rehearsal in memory)."""
    refusals: Refusals | None = None
    """Tells which tracked connections new rules refuse; None where no device tracks any."""
    watch: Watch = field(default_factory=NothingWatched)
    kept: Connections | None = None
    """Connections that are open already, from making the plan; closed by whoever uses them last."""
    owner: str = "somebody"
    """Who holds the leases, for whoever is refused."""
    workers: int = 8
    """How many devices are spoken with at the same time; 1 makes every run alike."""
    point: Callable[[CrashPoint, EquipmentName | str], None] = crash_point
    """Called at every step that a crash can come between."""
