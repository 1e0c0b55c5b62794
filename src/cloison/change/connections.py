"""Keeps one open connection a device, so that a change costs two sessions a device: one to make it, one to judge it."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from typing import TYPE_CHECKING

from cloison.errors import CloisonError

if TYPE_CHECKING:
    from cloison.device.contract import Device, Opener
    from cloison.model import EquipmentName


class Connections:
    """An Opener whose devices stay open until they are dropped; `close` of such a device does nothing."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._open: dict[EquipmentName, Device] = {}
        self._lock = threading.Lock()

    def __call__(self, device: EquipmentName) -> Device:
        """Return the open device, or the device over a new connection. Raises TransportError."""
        with self._lock:
            kept = self._open.get(device)
        if kept is None:
            kept = self._opener(device)
            with self._lock:
                self._open[device] = kept
        return dataclasses.replace(kept, close=_nothing)

    def fresh(self, device: EquipmentName) -> Device:
        """Close what is open and return the device over a new connection. Raises TransportError."""
        self.drop(device)
        return self(device)

    def drop(self, device: EquipmentName) -> None:
        """Close what is open; a connection that is dead already is no error."""
        with self._lock:
            kept = self._open.pop(device, None)
        if kept is not None:
            with contextlib.suppress(CloisonError, OSError):
                kept.close()

    def close(self) -> None:
        """Close everything."""
        for device in list(self._open):
            self.drop(device)


def _nothing() -> None:
    """Keep the connection."""
