"""The way back from a run that was confirmed: a plan like any other, with what every device ran before as candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.change.fleetwide import on_each
from cloison.change.jobs import after
from cloison.change.links import tunnel_phases
from cloison.change.plan import DevicePlan, Plan, only
from cloison.device.push import changed
from cloison.errors import RefusedError
from cloison.render.config import Config, SectionName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloison.change.journal import Run
    from cloison.device.contract import Device, Opener
    from cloison.model import EquipmentName


def refuse_dependants(run: Run, later: Sequence[Run]) -> None:
    """Raise RefusedError when a later run changed a section that this one changed: it was made from its outcome."""
    mine = {(device.device, name) for device in run.plan.changed for name in device.changed}
    for other in reversed(later):
        shared = [
            (device.device, name) for device in other.plan.changed for name in device.changed
            if (device.device, name) in mine
        ]  # fmt: skip
        if shared:
            device, name = shared[0]
            msg = (
                f"run {run.name} cannot be taken back: run {other.name} changed section {name} of {device} after it; "
                f"take that one back first (`cloison rollback {other.name}`)"
            )
            raise RefusedError(msg)


def rollback_plan(run: Run, opener: Opener, intent: str, workers: int) -> Plan:
    """Return the plan that takes a confirmed run back; `intent` is the digest of what was declared before it.

    Every device is read. Raises RefusedError when one no longer runs what the run left, and the errors of devices that
    cannot be read or whose earlier text cannot be loaded again.
    """
    plan = run.plan

    def one(name: EquipmentName) -> DevicePlan:
        device = opener(name)
        try:
            return _device(plan.device(name), device, run.name)
        finally:
            device.close()

    devices = on_each([device.device for device in plan.changed], one, workers)
    stages = tuple(tuple(name for name in stage if name in devices) for stage in reversed(plan.stages))
    return plan.model_copy(
        update={
            "intent": intent,
            "devices": tuple(devices.values()),
            "stages": tuple(stage for stage in stages if stage),
            "takes_back": run.name,
            "opens": plan.closes,
            "closes": plan.opens,
            "conversations": (),
            "intermediate": None,
        }
    )


def _device(planned: DevicePlan, device: Device, run: str) -> DevicePlan:
    reader = device.reader
    now, left = reader.read().config, after(planned)
    stray = [name for name in planned.changed if now.section(name).text != left.section(name).text]
    if stray:
        msg = (
            f"run {run} cannot be taken back: section {stray[0]} of {planned.device} is no longer what it left; "
            "`cloison drift` shows what departs"
        )
        raise RefusedError(msg)
    before = planned.config("running")
    candidate = Config(
        device=planned.device,
        platform=planned.platform,
        sections=tuple(reader.loadable(before, name) for name in planned.changed),
    )
    state = device.guard.state() if device.guard is not None else None
    return planned.model_copy(
        update={
            "running": now.sections,
            "canonical": only(before, planned.changed).sections,
            "candidate": candidate.sections,
            "guard": state.timer if state else planned.guard,
            "script": state.script if state else planned.script,
            "tunnel_phases": _phases(now, before, candidate, device),
        }
    )


def _phases(now: Config, before: Config, candidate: Config, device: Device) -> tuple[str, ...]:
    if SectionName.TUNNELS not in changed(now, only(before, candidate.names)):
        return ()
    old = device.reader.loadable(now, SectionName.TUNNELS).text
    return tunnel_phases(old, candidate.section(SectionName.TUNNELS).text)
