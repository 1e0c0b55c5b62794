"""Does one thing on many devices at the same time, and reports every failure, not the first one alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from cloison.errors import CloisonError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cloison.device.contract import Opener
    from cloison.model import EquipmentName
    from cloison.render.config import Config

Result = TypeVar("Result")


class SeveralDevicesError(CloisonError):
    """More than one device failed; each is named on a line of its own. Its exit code is the most telling one."""

    def __init__(self, errors: Sequence[CloisonError]) -> None:
        self.errors = tuple(errors)
        self.exit_code = max((error.exit_code for error in errors), default=3)  # type: ignore[misc]  # of this error
        super().__init__("\n".join(str(error) for error in errors))


def on_each(
    devices: Sequence[EquipmentName], act: Callable[[EquipmentName], Result], workers: int
) -> Mapping[EquipmentName, Result]:
    """Return what `act` returned for each device, in their order.

    Every device is tried. Raises the error of the one that failed, or SeveralDevicesError.
    """
    done, failed = on_each_that_can(devices, act, workers)
    if len(failed) == 1:
        raise next(iter(failed.values()))
    if failed:
        raise SeveralDevicesError(list(failed.values()))
    return done


def read_each(devices: Sequence[EquipmentName], opener: Opener, workers: int) -> Mapping[EquipmentName, Config]:
    """Return what each device runs, read back over its own connection; raises as `on_each` does."""

    def read(name: EquipmentName) -> Config:
        device = opener(name)
        try:
            return device.reader.read().config
        finally:
            device.close()

    return on_each(devices, read, workers) if devices else {}


def on_each_that_can(
    devices: Sequence[EquipmentName], act: Callable[[EquipmentName], Result], workers: int
) -> tuple[dict[EquipmentName, Result], dict[EquipmentName, CloisonError]]:
    """Return what `act` returned for each device that it succeeded on, and the error of every other one."""
    done: dict[EquipmentName, Result] = {}
    failed: dict[EquipmentName, CloisonError] = {}
    if workers == 1:  # one after the other, and none after an error that is nobody's
        for device in devices:
            try:
                done[device] = act(device)
            except CloisonError as error:
                failed[device] = error
        return done, failed
    with ThreadPoolExecutor(max_workers=max(1, min(workers, len(devices))), thread_name_prefix="change") as pool:
        futures = {device: pool.submit(act, device) for device in devices}
        for device, future in futures.items():
            try:
                done[device] = future.result()
            except CloisonError as error:
                failed[device] = error
    return done, failed
