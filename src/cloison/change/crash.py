"""Named points of a transaction at which this process can be made to die, or to stand still, by its environment.

`CLOISON_CRASH_AT=<point>[@<device>][:<n>]` sends SIGKILL to the process the n-th time (1 by default) that it comes to
the point, on that device or on any; `CLOISON_PAUSE_AT` sends SIGSTOP instead, so that whoever waits for it
(waitpid(2), WUNTRACED) can injure the network at that very moment and let it go on with SIGCONT. `CLOISON_CRASH_LIST`
names a file that every point passed is appended to, a line each. Without any of them, a point does nothing.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from cloison.errors import InputError

if TYPE_CHECKING:
    from cloison.model import EquipmentName

_FORM = re.compile(r"([a-z-]+)(?:@([^:@]+))?(?::([1-9][0-9]{0,3}))?")


class CrashPoint(StrEnum):
    """Every point. Those before a step of a device are named after what is about to be asked of it."""

    BEGUN = "begun"
    """The journal is open; no device was asked for anything."""
    LEASED = "leased"
    """A device gave its lease."""
    CHECKED = "checked"
    """Every device runs what the plan was made from."""
    WATCHED = "watched"
    """The sessions that the gate will ask about are open."""
    ARMING = "arming"
    """A device is about to be armed: the journal says so, the device knows nothing."""
    ARMED = "armed"
    """A device answered that its dead-man runs and its first step is applied."""
    STEPPING = "stepping"
    """A further step is about to be asked of a device."""
    STEPPED = "stepped"
    """A device answered that a further step is applied."""
    RAISED = "raised"
    """A device was asked to bring its tunnels up."""
    FORGOTTEN = "forgotten"
    """A device has forgotten the conversations that it would refuse now."""
    GATING = "gating"
    """Everything is applied; the gate is about to be asked."""
    GATED = "gated"
    """The gate answered; nothing is decided."""
    DECIDED = "decided"
    """The decision is on the disk; no device knows it."""
    CONFIRMING = "confirming"
    """A device is about to be told to keep the change."""
    CONFIRMED = "confirmed"
    """A device answered that it keeps the change."""
    REVERTING = "reverting"
    """A device is about to be told to go back."""
    REVERTED = "reverted"
    """A device answered that it went back."""
    FINISHED = "finished"
    """Every device has answered; the journal does not say yet how the change ended."""


_passed: Counter[str] = Counter()
_lock = threading.Lock()


def crash_point(point: CrashPoint, device: EquipmentName | str = "") -> None:
    """Die here, or stand still, where the environment says so. Raises InputError for what is no point."""
    if name := os.environ.get("CLOISON_CRASH_LIST"):
        with Path(name).open("a", encoding="utf-8") as file:
            file.write(f"{point}@{device}\n" if device else f"{point}\n")
    for variable, number in (("CLOISON_CRASH_AT", signal.SIGKILL), ("CLOISON_PAUSE_AT", signal.SIGSTOP)):
        wanted = os.environ.get(variable)
        if wanted and _reached(variable, wanted, point, device):
            os.kill(os.getpid(), number)


def _reached(variable: str, wanted: str, point: CrashPoint, device: EquipmentName | str) -> bool:
    match = _FORM.fullmatch(wanted)
    if match is None or match[1] not in set(CrashPoint):
        msg = f"{variable}={wanted}: expected <point>[@<device>][:<n>], a point being one of {', '.join(CrashPoint)}"
        raise InputError(msg)
    if match[1] != point or match[2] not in {None, device}:
        return False
    with _lock:  # devices are changed by several threads
        _passed[variable] += 1
        return _passed[variable] == int(match[3] or 1)
