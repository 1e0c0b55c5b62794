"""The way back from a run that was confirmed: a plan like any other, with what every device ran before as candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.change.fleetwide import on_each
from cloison.change.jobs import after
from cloison.change.plan import DevicePlan, Plan, intent_digest, only, phases_of
from cloison.change.portion import rebased
from cloison.errors import RefusedError
from cloison.render.config import Config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloison.change.journal import Run
    from cloison.device.contract import Device, Opener
    from cloison.intent.network import Intent
    from cloison.model import EquipmentName


def refuse_dependants(run: Run, later: Sequence[Run]) -> None:
    """Raise RefusedError when a later run changed a section that this one changed: it was made from its outcome."""
    mine = {(device.device, name) for device in run.plan.changed for name in device.changed}
    for other in reversed(later):
        both = [
            (device.device, name)
            for device in other.plan.changed
            for name in device.changed
            if (device.device, name) in mine and not _are_apart(run.plan.device(device.device), device)
        ]
        if both:
            device, name = both[0]
            msg = (
                f"run {run.name} cannot be taken back: run {other.name} changed section {name} of {device} after it; "
                f"take that one back first (`cloison rollback {other.name}`)"
            )
            raise RefusedError(msg)


def _are_apart(one: DevicePlan, other: DevicePlan) -> bool:
    """Return True where two changes of a device are about the fragments of different sites."""
    return one.sites is not None and other.sites is not None and not set(one.sites) & set(other.sites)


def rollback_plan(run: Run, opener: Opener, intent: Intent) -> Plan:
    """Return the plan that takes a confirmed run back; `intent` is what was declared before it.

    Every device is read. Of a firewall that other sites share, their fragments stay as they run. Raises RefusedError
    when a device no longer runs what the run left, and the errors of devices that cannot be read or whose earlier text
    cannot be loaded again.
    """
    plan = run.plan

    def one(name: EquipmentName) -> DevicePlan:
        device = opener(name)
        try:
            return _device(plan.device(name), device, run.name, intent)
        finally:
            device.close()

    devices = on_each([device.device for device in plan.changed], one, intent.workers)
    stages = tuple(tuple(name for name in stage if name in devices) for stage in reversed(plan.stages))
    return plan.model_copy(
        update={
            "intent": intent_digest(intent),
            "devices": tuple(devices.values()),
            "stages": tuple(stage for stage in stages if stage),
            "takes_back": run.name,
            "opens": plan.closes,
            "closes": plan.opens,
            "conversations": (),
            "intermediate": None,
        }
    )


def _device(planned: DevicePlan, device: Device, run: str, intent: Intent) -> DevicePlan:
    reader = device.reader
    if planned.sites is not None:
        return _guarded(_fragments(planned, device, run, intent), device)
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
    back = planned.model_copy(
        update={
            "running": now.sections,
            "canonical": only(before, planned.changed).sections,
            "candidate": candidate.sections,
            "tunnel_phases": phases_of(reader, now, candidate, only(before, planned.changed)),
        }
    )
    return _guarded(back, device)


def _fragments(planned: DevicePlan, device: Device, run: str, intent: Intent) -> DevicePlan:
    """Return the way back of some sites' fragments, from whatever the others are by now."""
    reader, left, before = device.reader, after(planned), planned.config("running")
    candidate = tuple(reader.loadable(before, name) for name in before.names)
    back = {"running": left.sections, "canonical": before.sections, "candidate": candidate}
    now = reader.read().config
    phases = phases_of(reader, left, before.model_copy(update={"sections": candidate}), before)
    try:
        return rebased(planned.model_copy(update={**back, "tunnel_phases": phases}), now, reader, intent)
    except RefusedError as error:
        msg = f"run {run} cannot be taken back: what it left on {planned.device} is no longer there ({error})"
        raise RefusedError(msg) from error


def _guarded(back: DevicePlan, device: Device) -> DevicePlan:
    state = device.guard.state() if device.guard is not None else None
    return back if state is None else back.model_copy(update={"guard": state.timer, "script": state.script})
