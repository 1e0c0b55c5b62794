"""Which trials there are: every recorded step of a change on every device, and every injury on every device."""

from __future__ import annotations

import random
from itertools import cycle
from typing import TYPE_CHECKING

from tests.crash.injuries import INJURIES
from tests.crash.trial import KILL, STOP, Trial

from cloison.change.crash import CrashPoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

RANDOM_KILLS = 24
BLOCK = 12
"""So many trials of one change follow each other: between two changes the shipped intent is put back."""
SHORT, LONG = 12, 30
"""Seconds of a deadline that is to pass, and of one that is not."""
_LATE = (CrashPoint.DECIDED, CrashPoint.CONFIRMING, CrashPoint.CONFIRMED, CrashPoint.FINISHED)
_STOPS = ("armed", "gating", "gated", "decided", "confirming", "confirmed")
_MOMENTS: Mapping[str, tuple[str, ...]] = {
    "disk full": ("begun", "arming", "decided", "confirming"),
    "load refused": ("arming",),
    "daemon paused": ("arming", "armed", "gating"),
    "changed by hand": ("gating",),
}
_ANY_MOMENT = ("arming", "armed", "gating", "gated", "decided", "confirming", "confirmed")
_GLOBAL = {"begun", "checked", "watched", "gating", "gated", "decided", "finished"}


def kills(change: str, points: Sequence[str]) -> Iterator[Trial]:
    """Yield the coordinator killed at every point that the change passes."""
    soon = cycle((True, False))
    for point in points:
        yield Trial(change, KILL, point=point, deadline=LONG if (now := next(soon)) else SHORT, soon=now)
        if point.partition("@")[0] in _LATE:  # both, where it matters most
            yield Trial(change, KILL, point=point, deadline=SHORT if now else LONG, soon=not now)


def kills_on_the_way_back(change: str, devices: Sequence[str]) -> Iterator[Trial]:
    """Yield the coordinator killed while it takes a change back, which a change by hand made it do."""
    firewall = next(name for name in devices if name.endswith("/firewall"))
    for device in devices:
        for point in (CrashPoint.REVERTING, CrashPoint.REVERTED):
            also = f"{point}@{device}"
            yield Trial(change, "changed by hand", point="gating", device=firewall, deadline=LONG, also=also, soon=True)


def stops(change: str, devices: Sequence[str]) -> Iterator[Trial]:
    """Yield the coordinator that stands still until every dead-man has acted, and then goes on."""
    named = cycle(devices)
    for point in _STOPS:
        yield Trial(change, STOP, point=_at(point, next(named)), deadline=SHORT)


def injuries(change: str, devices: Sequence[str]) -> Iterator[Trial]:
    """Yield every injury on every device, the moments in turn."""
    turn = 0
    for name, injury in INJURIES.items():
        for device in devices:
            moments = _MOMENTS.get(name, _ANY_MOMENT)
            point = _at(moments[turn % len(moments)], device)
            deadline = SHORT if injury.past_deadline else LONG
            yield Trial(change, name, point=point, device=device, deadline=deadline)
            turn += 1


def random_kills(change: str, seconds: float, count: int, seed: int) -> Iterator[Trial]:
    """Yield the coordinator killed at moments spread over the time that the change takes."""
    chance = random.Random(f"{seed} {change}")  # noqa: S311  repeatable, and no secret
    for _ in range(count):
        yield Trial(change, KILL, after=round(chance.uniform(0.2, seconds), 3), deadline=LONG, soon=True)


def everything(passed: Mapping[str, tuple[Sequence[str], Sequence[str], float]], seed: int) -> list[Trial]:
    """Return all trials in the order in which they are run, so that whatever is cut off is a bit of everything.

    `passed` holds, by change, the points that it passes, the devices that it changes, and the seconds that it takes.
    """
    chance = random.Random(seed)  # noqa: S311  repeatable, and no secret
    queues = []
    for change, (points, devices, seconds) in passed.items():
        found = [*kills(change, points), *stops(change, devices), *injuries(change, devices)]
        if change != "tunnel":  # whose filter is not in the change: what is done by hand there would stay
            found += kills_on_the_way_back(change, devices)
        found += random_kills(change, seconds, RANDOM_KILLS // len(passed), seed)
        chance.shuffle(found)
        queues.append(found)
    ordered: list[Trial] = []
    while any(queues):
        for queue in queues:
            ordered += queue[:BLOCK]
            del queue[:BLOCK]
    return ordered


def _at(point: str, device: str) -> str:
    return point if point in _GLOBAL else f"{point}@{device}"
