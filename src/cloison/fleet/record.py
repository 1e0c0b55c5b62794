"""What a play leaves: one record a device and a task, as they end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cloison.errors import CloisonError
from cloison.model import EquipmentName, Model

if TYPE_CHECKING:
    from collections.abc import Callable

    from nornir.core.inventory import Host
    from nornir.core.task import AggregatedResult, MultiResult, Task


class Record(Model):
    """How one task ended on one device."""

    task: str
    device: EquipmentName
    changed: bool
    failed: bool
    summary: str = ""
    """What was done or found, or why it failed; untrusted."""
    diff: str = ""
    """A unified diff by section, untrusted; empty when nothing differs."""
    emulated: tuple[str, ...] = Field(default=())
    """What of it is emulated and no evidence about hardware."""


class Recorder:
    """A processor of Nornir that turns results into records, and hands each over as soon as it is there."""

    def __init__(self, progress: Callable[[Record], None]) -> None:
        self.records: list[Record] = []
        self._progress = progress

    def task_started(self, task: Task) -> None:
        """Do nothing."""

    def task_completed(self, task: Task, result: AggregatedResult) -> None:
        """Do nothing: each device was recorded when it ended."""

    def task_instance_started(self, task: Task, host: Host) -> None:
        """Do nothing."""

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Record how the task ended on one device."""
        last = result[0]
        error = last.exception
        unforeseen = error is not None and not isinstance(error, CloisonError)
        summary = f"{type(error).__name__}: {error}" if unforeseen else str(error or last.result or "")
        record = Record(
            task=task.name,
            device=EquipmentName(host.name),
            changed=bool(last.changed),
            failed=bool(result.failed),
            summary=summary,
            diff=str(last.diff),
            emulated=tuple(getattr(last, "emulated", ())),
        )
        self.records.append(record)
        self._progress(record)

    def subtask_instance_started(self, task: Task, host: Host) -> None:
        """Do nothing."""

    def subtask_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Do nothing: a task is recorded whole."""
