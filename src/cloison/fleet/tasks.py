"""Thin tasks for playbooks: each asks `change` for what it does, on one device, over Nornir's connection `cloison`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir.core.task import Result

from cloison.change.alone import change_alone
from cloison.change.plan import DevicePlan, only, plan_device
from cloison.change.stale import refuse_tunnel_through_itself
from cloison.device.connection import CONNECTION
from cloison.errors import DeviceError
from cloison.optics import dbm
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Collection

    from nornir.core.task import Task

    from cloison.device.contract import Device
    from cloison.render.config import Config


def _device(task: Task) -> Device:
    device: Device = task.host.get_connection(CONNECTION, task.nornir.config).device
    return device


def _candidate(task: Task, sections: Collection[SectionName] | None) -> Config:
    candidate: Config = task.host["candidate"]
    return only(candidate, sections)


def _diff(planned: DevicePlan) -> str:
    return "".join(planned.diff(name) for name in planned.changed)


def compare(task: Task, sections: Collection[SectionName] | None = None) -> Result:
    """Read the device back and compare it with what is declared; change nothing. `drift` in the result tells."""
    device = _device(task)
    planned = plan_device(device.reader, _candidate(task, sections))
    summary = f"differs in {', '.join(planned.changed)}" if planned.changed else "runs what is declared"
    return Result(
        host=task.host,
        result=summary,
        diff=_diff(planned),
        drift=bool(planned.changed),
        emulated=planned.emulated,
    )


def replace(task: Task, sections: Collection[SectionName]) -> Result:
    """Make these sections what is declared and leave the others as they run; read back over a new connection.

    The device goes back by itself unless all is well. Nothing is loaded in a dry run, nor when nothing differs. Raises
    RefusedError for a tunnel through itself, and what `cloison.change.alone.change_alone` raises.
    """
    device = _device(task)
    planned = plan_device(device.reader, _candidate(task, sections), device.guard)
    refuse_tunnel_through_itself(task.host["via"], (planned,))
    if not planned.changed:
        return Result(host=task.host, result="no change", emulated=planned.emulated)
    diff, names = _diff(planned), ", ".join(planned.changed)
    if task.is_dry_run():
        return Result(host=task.host, result=f"would change {names}", diff=diff, emulated=planned.emulated)
    task.host.close_connection(CONNECTION)
    change_alone(planned, task.host["play"], task.host["effects"])
    return Result(host=task.host, result=f"loaded {names}", diff=diff, changed=True, emulated=planned.emulated)


def bring_up(task: Task) -> Result:
    """Start every tunnel that this end starts and that is down. Raises DeviceError when one stays down."""
    if task.is_dry_run():
        return Result(host=task.host, result="would start its tunnels")
    down = _device(task).writer.bring_up(_candidate(task, None).section(SectionName.TUNNELS))
    if down:
        raise DeviceError(task.host.name, f"tunnels that stayed down: {', '.join(down)}")
    return Result(host=task.host, result="its tunnels are up")


def optics(task: Task) -> Result:
    """Tell what each optical module measures. Raises DeviceError when a port has no module or no diagnostics."""
    facts = _device(task).reader.read().facts
    lines = []
    for port, reading in sorted(facts.optics.items()):
        if reading.measured is None:
            raise DeviceError(task.host.name, f"the module of {port} has no diagnostics")
        module = reading.module
        lines.append(
            f"{port}: {module.vendor} {module.part} {module.serial}: sent {dbm(reading.measured.transmit):.1f} dBm, "
            f"received {dbm(reading.measured.receive):.1f} dBm, bias {reading.measured.bias:.1f} mA, "
            f"{reading.measured.temperature:.0f} °C{''.join(f'; {flag}' for flag in reading.flags)}"
        )
    if not lines:
        raise DeviceError(task.host.name, "no optical module is there to be read")
    return Result(host=task.host, result="\n".join(lines), emulated=facts.emulated)
