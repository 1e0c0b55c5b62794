"""Runs histories of a change under faults, and says what is wrong with how they end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from tests.simulation.scene import DEADLINE, STAGES, Ending, Moment, Scene

from cloison.change.outcome import Decision, Standing
from cloison.device.memory import BY_HAND
from cloison.device.memory_world import Call, Fault, FaultKind, Operation, World

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD, NEW = "O" * len(STAGES), "N" * len(STAGES)
SECONDS = {
    FaultKind.DELAY: (5.0, DEADLINE + 10.0),
    FaultKind.PAUSE: (DEADLINE + 10.0,),
    FaultKind.UNREACHABLE: (5.0, 3.0 * DEADLINE),
    FaultKind.UNHEARD: (5.0, 3.0 * DEADLINE),
    FaultKind.REQUEST_LOST: (10.0,),
    FaultKind.REPLY_LOST: (10.0, DEADLINE + 10.0),
}
"""How long what takes time takes: a while, and longer than a dead-man waits."""
_LOADING = frozenset({Operation.ARM, Operation.STEP, Operation.LOAD})
_ONLY_WHEN_LOADING = frozenset(
    {FaultKind.REBOOT_WITHIN, FaultKind.NOT_BEGUN, FaultKind.HALF_DONE, FaultKind.REFUSE, FaultKind.WRITE_OTHERWISE}
)
KILLS = frozenset({FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER})


@cache
def undisturbed() -> Scene:
    """Return the scene of a change that nothing befell."""
    scene = Scene()
    ending = scene.go()
    assert ending.code == 0, ending
    return scene


def faults_at(calls: list[Call], kind: FaultKind) -> Iterator[Fault]:
    """Yield every fault of a kind that can befall one of these calls."""
    for call in calls:
        if kind in _ONLY_WHEN_LOADING and call.operation not in _LOADING:
            continue
        for seconds in SECONDS.get(kind, (0.0,)):
            yield Fault(call, kind, seconds)


def _is_settled(ending: Ending) -> bool:
    return ending.result is not None and ending.result.decision is not Decision.UNDETERMINED


def _shown(ending: Ending) -> str:
    return repr(ending.error) if ending.result is None else ending.result.explanation


@dataclass(frozen=True, slots=True)
class History:
    """What befalls a change, and how it is taken up again. As a text it is a line that can be pasted."""

    faults: tuple[Fault, ...] = ()
    killed_at: Moment | None = None
    late: bool = True
    """True when it is taken up once the world is at rest, False when at once."""
    faults_of_resume: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        """Return the line that `parse` reads."""
        parts = [str(one) for one in self.faults]
        parts += [f"killed {self.killed_at}"] if self.killed_at is not None else []
        parts += ["late" if self.late else "at-once"]
        return "; ".join([*parts, *(str(one) for one in self.faults_of_resume)])

    @classmethod
    def parse(cls, line: str) -> History:
        """Return the history that a line says."""
        found = cls()
        resumed = False
        for part in line.split("; "):
            match part.split():
                case ["late" | "at-once" as when]:
                    found, resumed = replace(found, late=when == "late"), True
                case ["killed", kind, number]:
                    found = replace(found, killed_at=Moment(kind, int(number)))
                case _ if resumed:
                    found = replace(found, faults_of_resume=(*found.faults_of_resume, Fault.parse(part)))
                case _:
                    found = replace(found, faults=(*found.faults, Fault.parse(part)))
        return found

    @property
    def kinds(self) -> set[FaultKind]:
        """Every kind of fault in it."""
        return {one.kind for one in (*self.faults, *self.faults_of_resume)}

    def play(self) -> list[str]:
        """Let it happen, and return what is wrong with how it ended; nothing when all is as promised."""
        scene = self.scene()
        return list(self._wrong(scene, scene.go()))

    def play_both(self) -> list[str]:
        """Let it happen, taken up late and, where it must be taken up, at once; each line says of which it is true."""
        scene = self.scene()
        ending = scene.go()
        others = (replace(self, late=False),) if self._is_open(ending) else ()
        found = [f"{self}: {wrong}" for wrong in self._wrong(scene, ending)]
        return found + [f"{other}: {wrong}" for other in others for wrong in other.play()]

    def scene(self) -> Scene:
        """Return the scene before anything happened."""
        world = World(round_trip=0.1, faults=self.faults)
        return Scene(plan_of=undisturbed(), world=world, killed_at=self.killed_at)

    def _is_open(self, ending: Ending) -> bool:
        """Tell whether it has to be taken up again."""
        return ending.killed or ending.code == 3 or bool(self.faults_of_resume)

    @property
    def is_promised(self) -> bool:
        """False where what guards a device was broken beside something else: then only the truth is promised."""
        broken = self.kinds & {FaultKind.TIMER_KILLED, FaultKind.REVERT_FAILS}
        return not broken or (len(self.faults) + len(self.faults_of_resume) == 1 and self.killed_at is None)

    def _wrong(self, scene: Scene, ending: Ending) -> Iterator[str]:
        if not self.is_promised:
            yield from self._untrue(scene, ending)
            yield from self._untrue(scene, scene.resume(self.faults_of_resume))
            return
        if self.late:
            scene.rest()
            yield from self._untrue(scene, ending)
            yield from self._unsettled(scene)
        if self._is_open(ending):
            ending = scene.resume(self.faults_of_resume)
            if not _is_settled(ending):
                scene.rest()
                yield from self._untrue(scene, ending)
                self._repair(scene)
                ending = scene.resume()
            if not _is_settled(ending):
                yield f"resumed, it says {_shown(ending)}"
        scene.rest()
        yield from self._untrue(scene, ending)
        yield from self._unsettled(scene)
        wanted = NEW if scene.decided else OLD
        if self._sides(scene) != wanted:
            yield f"the site ends as {self._sides(scene)}, and {'was' if scene.decided else 'was not'} decided"

    def _untrue(self, scene: Scene, ending: Ending) -> Iterator[str]:
        """Yield what a command said that is not so."""
        sides = self._sides(scene)
        if ending.error is not None and sides != OLD and not scene.decided:
            yield f"it ended with {ending.error!r}, and the site is {sides}"
        if ending.result is None:
            return
        said = ending.result.decision
        if said in {Decision.CONFIRMED, Decision.NO_CHANGE} and sides != NEW:
            yield f"it said {said}, and the site is {sides}"
        if said in {Decision.REVERTED, Decision.REFUSED}:
            doubted = {Standing.REVERTED_DIFFERS, Standing.UNREACHABLE}
            named = {one.device for one in ending.result.devices if one.standing in doubted}
            if any(scene.side(name) != "O" for name in scene.devices if name not in named):
                yield f"it said {said}, and the site is {sides}"

    def _unsettled(self, scene: Scene) -> Iterator[str]:
        """Yield what is left on devices that nobody speaks with any more."""
        sides = self._sides(scene)
        if "?" in sides:
            yield f"neither old nor new: {sides}"
        by_hand = FaultKind.HAND_EDIT in self.kinds
        yield from (one for one in scene.left_over() if not (by_hand and "boots" in one))

    def _sides(self, scene: Scene) -> str:
        if FaultKind.HAND_EDIT in self.kinds:
            for device in scene.devices.values():
                for name, text in device.running.items():
                    device.running[name] = text.replace(f"{BY_HAND}\n", "")
        return scene.sides()

    def _repair(self, scene: Scene) -> None:
        for device in scene.devices.values():
            device.disk_full = device.host_key_changed = device.revert_fails = False
            device.timer_alive = True
