"""One connection to a device in memory: everything that is asked over it goes through the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from cloison.device.memory_world import Operation
from cloison.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from cloison.device.contract import Running
    from cloison.device.guard import GuardState, Lease
    from cloison.device.job import Job, Load
    from cloison.device.memory import MemoryDevice
    from cloison.device.negotiated import Negotiated
    from cloison.model import EquipmentName, Platform
    from cloison.render.config import Config, Section, SectionName

Result = TypeVar("Result")


class MemoryConnection:
    """Reader, writer and guard of one device; it dies when it is closed and when the device starts anew."""

    def __init__(self, device: MemoryDevice) -> None:
        self._device = device
        self._boots = device.boots
        self._open = True

    def close(self) -> None:
        """End it; a second call does nothing."""
        self._open = False

    @property
    def device(self) -> EquipmentName:
        """Whose connection it is."""
        return self._device.device

    @property
    def platform(self) -> Platform:
        """How the device is configured."""
        return self._device.platform

    # --- the reader and the writer ---------------------------------------------------------------------------------

    def read(self) -> Running:
        """Return what runs."""
        return self._ask(Operation.READ, self._device.read)

    def canonical(self, candidate: Config) -> Config:
        """Return the candidate as the device would show it."""
        return self._ask(Operation.CANONICAL, lambda: self._device.canonical(candidate))

    def loadable(self, running: Config, name: SectionName) -> Section:
        """Return a section in a text that can be loaded; nothing is asked for it."""
        return self._device.loadable(running, name)

    def prepared(self, running: Config, section: Section) -> Load:
        """Return a section as the guard loads it; nothing is asked for it."""
        return self._device.prepared(running, section)

    def tracked(self) -> str:
        """Return the connections that the device tracks."""
        return self._ask(Operation.TRACKED, self._device.tracked)

    def load(self, section: Section) -> None:
        """Make the running section equal to this one."""
        self._ask(Operation.LOAD, lambda: self._device.load(section))

    def bring_up(self, section: Section) -> tuple[str, ...]:
        """Return what stays down."""
        return self._ask(Operation.BRING_UP, lambda: self._device.bring_up(section))

    def negotiated(self) -> tuple[Negotiated, ...]:
        """Return the associations of its tunnels."""
        return self._ask(Operation.NEGOTIATED, self._device.negotiated)

    def renew(self, section: Section, connections: Collection[str]) -> tuple[str, ...]:
        """Return what stays down."""
        return self._ask(Operation.RENEW, lambda: self._device.renew(section, connections))

    def terminate(self, associations: Sequence[Negotiated]) -> None:
        """End associations."""
        self._ask(Operation.TERMINATE, lambda: self._device.terminate(associations))

    # --- the guard -------------------------------------------------------------------------------------------------

    def state(self) -> GuardState:
        """Return where the device stands."""
        return self._ask(Operation.STATE, self._device.guard.state)

    def lease(self, lease: Lease) -> None:
        """Take the lease."""
        self._ask(Operation.LEASE, lambda: self._device.guard.lease(lease))

    def release(self, token: str) -> None:
        """Give the lease up."""
        self._ask(Operation.RELEASE, lambda: self._device.guard.release(token))

    def arm(self, job: Job) -> GuardState:
        """Arm the dead-man and apply the first step."""
        return self._ask(Operation.ARM, lambda: self._device.guard.arm(job))

    def step(self, token: str, number: int) -> GuardState:
        """Apply a further step."""
        return self._ask(Operation.STEP, lambda: self._device.guard.step(token, number))

    def confirm(self, token: str) -> GuardState:
        """Decide for the change."""
        return self._ask(Operation.CONFIRM, lambda: self._device.guard.confirm(token))

    def revert(self, token: str) -> GuardState:
        """Go back now."""
        return self._ask(Operation.REVERT, lambda: self._device.guard.revert(token))

    def forget(self, token: str, conversations: tuple[str, ...]) -> None:
        """Delete tracked connections."""
        self._ask(Operation.FORGET, lambda: self._device.guard.forget(token, conversations))

    def _ask(self, operation: Operation, act: Callable[[], Result]) -> Result:
        def over_this() -> Result:
            if not self._open or self._boots != self._device.boots:
                raise TransportError(self._device.device, "the connection is gone")
            return act()

        return self._device.world.exchange(self._device, operation, over_this)
