"""How a plan is shown: flows opened and closed first, then every difference, the tally and the next command last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.change.order import Via
from cloison.model import Untrusted
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.change.plan import DevicePlan, Plan

HEADING = "Flows opened and closed, as the rules are named, not proved:"


def describe(plan: Plan) -> Untrusted:
    """Return the whole text for a reader; device text is in it, so it leaves by the escape of its sink alone."""
    return Untrusted("\n".join(_lines(plan)) + "\n")


def tally(plan: Plan) -> str:
    """Return one line: how many devices and sections change."""
    devices = len(plan.devices)
    if not plan.changed:
        return f"no change: {devices} device{_s(devices)} run{'s' if devices == 1 else ''} what is declared"
    sections = sum(len(device.changed) for device in plan.changed)
    opened = sum(change.opens for change in plan.rules)
    closed = len(plan.rules) - opened
    return (
        f"{len(plan.changed)} of {devices} device{_s(devices)} to change, {sections} section{_s(sections)}; "
        f"{opened} rule{_s(opened)} opened, {closed} closed"
    )


def next_command(plan: Plan) -> str:
    """Return the command that applies the plan; an empty text when there is nothing to apply."""
    if not plan.changed:
        return ""
    via = "" if plan.via is Via.TUNNEL else " --via local"
    return f"cloison apply{via} --plan {plan.sha256[:12]}"


def _lines(plan: Plan) -> Iterator[str]:
    if plan.opens or plan.closes:
        yield "Flows that the intent opens and closes:"
        yield from (f"  + {flow}" for flow in plan.opens)
        yield from (f"  - {flow}" for flow in plan.closes)
        yield ""
    if plan.rules:
        yield HEADING
        for change in plan.rules:
            yield f"  {'+' if change.opens else '-'} {change.flow} on {change.device}: {change.rule}"
        yield ""
    for device in plan.changed:
        yield from _device(device)
    if plan.changed:
        yield from _course(plan)
    yield tally(plan)
    for device in plan.devices:
        if device.under_way:
            yield f"{device.device}: a change is under way ({device.under_way}): what runs there now may not stay"
    if command := next_command(plan):
        yield f"next: {command}"


def _course(plan: Plan) -> Iterator[str]:
    """Yield how the change would go: its order, what guards it, and what every state in between does."""
    yield f"intent {plan.intent[:12]}{f', revision {plan.revision[:12]}' if plan.revision else ''}"
    if plan.revision.endswith("+"):
        yield "the workspace holds changes that no revision has"
    changed = {device.device for device in plan.changed}
    stages = [", ".join(name for name in stage if name in changed) for stage in plan.stages]
    yield f"order: {'; then '.join(stage for stage in stages if stage)}"
    if any(device.tunnel_phases for device in plan.devices):
        yield "tunnels: the ends that answer take old and new; then those that start; then new alone"
    guards = sorted({f"{device.guard} ({device.script[:12] or 'no script'})" for device in plan.changed})
    yield f"guard: {', '.join(guards)}; a device that nobody confirms goes back after {plan.deadline} s"
    if plan.intermediate is not None:
        yield plan.intermediate.sentence
        yield from (f"REFUSED: {reason}" for reason in plan.intermediate.refused)


def _device(device: DevicePlan) -> Iterator[str]:
    for name in device.changed:
        yield f"{device.device}: section {name}"
        yield from device.diff(name).splitlines()
        if name is SectionName.FIBRE:
            yield from device.emulated
        if name is SectionName.TUNNELS:
            yield from device.not_read_back
        yield ""


def _s(count: int) -> str:
    return "" if count == 1 else "s"
