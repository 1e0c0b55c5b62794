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
    if plan.rules:
        yield HEADING
        for change in plan.rules:
            yield f"  {'+' if change.opens else '-'} {change.flow} on {change.device}: {change.rule}"
        yield ""
    for device in plan.changed:
        yield from _device(device)
    yield tally(plan)
    if plan.via is Via.TUNNEL and any(SectionName.TUNNELS in device.changed for device in plan.changed):
        yield "A changed tunnels section is refused through its own tunnel: plan and apply with --via local."
    if command := next_command(plan):
        yield f"next: {command}"


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
