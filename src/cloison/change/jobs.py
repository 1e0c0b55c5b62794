"""What each device is given for a change: its steps, its way back, and what it boots with once confirmed.

A change of tunnels goes in three phases over both ends (`cloison.change.links`); all else is loaded in the first. A
device takes part in a phase when its text changes there; a step of its job is a phase that it takes part in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloison.change.plan import only
from cloison.device.job import Job, Load
from cloison.device.push import loads
from cloison.render.config import Config, Section, SectionName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cloison.change.plan import DevicePlan
    from cloison.device.contract import Reader

FIRST_PHASE: Final = 1
_TUNNELS: Final = SectionName.TUNNELS


@dataclass(frozen=True, slots=True)
class DeviceJob:
    """A job, and which of its steps belongs to which phase of the change."""

    job: Job
    steps: Mapping[int, int]
    """The number of the step by the number of the phase; phase 1 is always there, since it arms the device."""

    @property
    def last(self) -> int:
        """The number of the last step."""
        return len(self.job.steps)


def job_of(planned: DevicePlan, reader: Reader, token: str, deadline: int, opened: tuple[str, ...] = ()) -> DeviceJob:
    """Return the job of one device; `opened` are the words of conntrack(8) for flows that the change opens.

    Raises LoadError when what runs cannot be made again.
    """
    running, candidate, canonical = planned.config("running"), planned.config("candidate"), planned.config("canonical")
    others = set(SectionName) - {_TUNNELS}
    first = [
        reader.prepared(running, section)
        for section in loads(reader, running, only(candidate, others), only(canonical, others))
    ]
    steps, by_phase = [tuple(first)], {FIRST_PHASE: 1}
    at = reader.loadable(running, _TUNNELS).text if planned.tunnel_phases else ""
    for phase, text in enumerate(planned.tunnel_phases, FIRST_PHASE):
        if text == at:
            continue
        load, at = Load(_TUNNELS, text), text
        if phase == FIRST_PHASE:
            steps[0] += (load,)
        else:
            steps.append((load,))
            by_phase[phase] = len(steps)
    return DeviceJob(
        Job(
            token=token,
            deadline=deadline,
            steps=tuple(steps),
            back=tuple(_back(planned, reader)),
            startup=tuple(_startup(planned, reader)),
            back_conversations=opened,
        ),
        by_phase,
    )


def after(planned: DevicePlan) -> Config:
    """Return what the device runs after the change, in canonical text: the sections of the plan, the others as now."""
    changed = {section.name: section for section in planned.canonical}
    sections = tuple(changed.get(section.name, section) for section in planned.running)
    return Config(device=planned.device, platform=planned.platform, sections=sections)


def _back(planned: DevicePlan, reader: Reader) -> Iterator[Load]:
    """Yield what makes the device run again what it ran, from what the change leaves."""
    left, before = after(planned), planned.config("running")
    wanted = tuple(reader.loadable(before, name) for name in planned.changed)
    candidate = Config(device=planned.device, platform=planned.platform, sections=wanted)
    target = only(before, planned.changed)
    for section in loads(reader, left, candidate, target):
        yield reader.prepared(left, section)


def _startup(planned: DevicePlan, reader: Reader) -> Iterator[Load]:
    """Yield every section as the device boots with it: a device that boots has nothing that must be taken away."""
    declared = {section.name: section for section in planned.candidate}
    running = planned.config("running")
    empty = running.model_copy(
        update={"sections": tuple(section.model_copy(update={"text": ""}) for section in running.sections)}
    )
    for section in planned.running:
        wanted = declared.get(section.name) or reader.loadable(running, section.name)
        yield reader.prepared(empty, wanted)


def differing(sections: Iterable[Section], read: Config) -> list[SectionName]:
    """Return the sections whose text a device does not run."""
    return [section.name for section in sections if read.section(section.name).text != section.text]
