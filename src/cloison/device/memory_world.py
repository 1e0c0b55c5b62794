"""The world that devices in memory live in: one clock, the calls that reach them, and what befalls a call, as data.

Time is virtual: only waiting moves it, and a wait of an hour takes no time. Whatever a device does by itself (a
dead-man that goes back) is done at its instant, in order, before the wait ends. With the same faults the same
history follows, when one thread makes the calls.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Self, TypeVar

from cloison.errors import DeviceError, TransportError
from cloison.model import EquipmentName

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloison.device.memory import MemoryDevice

Result = TypeVar("Result")


class Operation(StrEnum):
    """What is asked of a device."""

    OPEN = "open"
    READ = "read"
    CANONICAL = "canonical"
    LOADABLE = "loadable"
    LOAD = "load"
    BRING_UP = "bring-up"
    STATE = "state"
    LEASE = "lease"
    RELEASE = "release"
    ARM = "arm"
    STEP = "step"
    CONFIRM = "confirm"
    REVERT = "revert"
    FORGET = "forget"
    TRACKED = "tracked"
    NEGOTIATED = "negotiated"
    RENEW = "renew"
    TERMINATE = "terminate"


class FaultKind(StrEnum):
    """What befalls one call. Those that last say so; the others are over with the call."""

    REQUEST_LOST = "request-lost"
    """It never arrives; the caller learns that after `seconds`."""
    REPLY_LOST = "reply-lost"
    """It was done, and the caller does not learn it; it gives up after `seconds`."""
    DELAY = "delay"
    """It arrives `seconds` late."""
    PAUSE = "pause"
    """The caller is stopped for `seconds` once the reply is there, as by SIGSTOP."""
    KILL_BEFORE = "kill-before"
    """The caller is killed before it asks."""
    KILL_AFTER = "kill-after"
    """The caller is killed once it was done, before it learns it."""
    REBOOT_BEFORE = "reboot-before"
    """The device starts anew before it is asked: the connection is gone."""
    REBOOT_WITHIN = "reboot-within"
    """The device loses power after it took the job down and before it loaded any of it (arm, step)."""
    REBOOT_AFTER = "reboot-after"
    """The device starts anew once it has answered."""
    NOT_BEGUN = "not-begun"
    """What carries it out is killed on the device, armed already, before anything was loaded (arm, step)."""
    HALF_DONE = "half-done"
    """What carries it out is killed on the device after the first section was loaded (arm, step)."""
    REFUSE = "refuse"
    """A daemon refuses the first section that is loaded (arm, step, load)."""
    WRITE_OTHERWISE = "write-otherwise"
    """The daemon takes the first section and then runs it with a line more (arm, step, load)."""
    HAND_EDIT = "hand-edit"
    """Somebody adds a line to a section just before. Lasts until the section is loaded."""
    NONSENSE = "nonsense"
    """The answer has no form that is known."""
    DISK_FULL = "disk-full"
    """The disk of the device is full from now on."""
    TIMER_KILLED = "timer-killed"
    """Nothing goes back by itself from now on, until the device starts anew."""
    REVERT_FAILS = "revert-fails"
    """A daemon refuses the text to go back with, from now on."""
    HOST_KEY = "host-key"
    """From now on new connections meet another host key."""
    UNREACHABLE = "unreachable"
    """For `seconds` nothing arrives there."""
    UNHEARD = "unheard"
    """For `seconds` what is asked is done, and no reply comes through."""


@dataclass(frozen=True, slots=True)
class Call:
    """The n-th time that an operation is asked of a device; the first one is 1."""

    device: EquipmentName
    operation: Operation
    number: int

    def __str__(self) -> str:
        """Return `DEVICE OPERATION NUMBER`."""
        return f"{self.device} {self.operation} {self.number}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that befalls one call."""

    call: Call
    kind: FaultKind
    seconds: float = 10.0

    def __str__(self) -> str:
        """Return the line that `parse` reads."""
        return f"{self.call} {self.kind} {self.seconds:g}"

    @classmethod
    def parse(cls, line: str) -> Self:
        """Return the fault that a line says. Raises ValueError."""
        device, operation, number, kind, seconds = line.split()
        call = Call(EquipmentName(device), Operation(operation), int(number))
        return cls(call, FaultKind(kind), float(seconds))


_OF_THE_REPLY = frozenset(
    {FaultKind.REPLY_LOST, FaultKind.PAUSE, FaultKind.KILL_AFTER, FaultKind.REBOOT_AFTER, FaultKind.NONSENSE}
)


class Killed(BaseException):
    """The caller is no more: every further call raises it too, until the world is told that a new one has begun."""


def _everywhere(device: EquipmentName) -> bool:
    del device
    return True


@dataclass
class World:
    """A clock, the faults that are to befall, and how a call reaches a device."""

    faults: tuple[Fault, ...] = ()
    round_trip: float = 0.0
    """Seconds that every call takes."""
    real: bool = False
    """True to let time pass as it does: every round trip is waited for. False: time is virtual."""
    now: float = 0.0
    """Seconds since the world began; virtual."""
    reach: Callable[[EquipmentName], bool] = _everywhere
    """Whether the network, as it is configured at this moment, carries management to a device."""
    note: Callable[[Call], None] | None = None
    """Is told every call, before anything befalls it."""
    killed: bool = False
    """True from the moment the caller is killed."""
    _calls: Counter[tuple[EquipmentName, Operation]] = field(default_factory=Counter)
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def monotonic(self) -> float:
        """Return the seconds of the clock that never goes back."""
        with self._lock:
            if self.real:
                self._pass(time.monotonic())
            return self.now

    def sleep(self, seconds: float) -> None:
        """Wait; what devices do by themselves in that time is done when it returns. Raises Killed."""
        self.live()
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass, whether the caller lives or not."""
        if self.real:
            time.sleep(seconds)
        with self._lock:
            self._pass(time.monotonic() if self.real else self.now + seconds)

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Have something done at an instant of `monotonic`."""
        with self._lock:
            heapq.heappush(self._due, (when, next(self._order), action))

    def live(self) -> None:
        """Raise Killed when the caller was killed."""
        if self.killed:
            raise Killed

    def revive(self, faults: tuple[Fault, ...] = ()) -> None:
        """Begin a new caller, which counts its calls from 1 and meets these faults."""
        self.killed, self.faults = False, faults
        self._calls.clear()

    def exchange(self, device: MemoryDevice, operation: Operation, act: Callable[[], Result]) -> Result:
        """Have the device do something, with whatever befalls this call. Raises TransportError, Killed."""
        self.live()
        if self.real and self.round_trip:
            time.sleep(self.round_trip)
        with self._lock:
            self.monotonic()
            self._calls[device.device, operation] += 1
            call = Call(device.device, operation, self._calls[device.device, operation])
            if self.note is not None:
                self.note(call)
            befalls = [fault for fault in self.faults if fault.call == call]
            for fault in befalls:
                self._before(device, fault)
            self._carried(device)
            try:
                result = act()
                if self.now < device.unheard_until or not self.reach(device.device):
                    raise TransportError(device.device, "no reply")
            finally:  # what befalls the reply befalls an error too: the caller learns neither
                if not self.real:
                    self._pass(self.now + self.round_trip)
                device.befalls.clear()
                for fault in befalls:
                    self._after(device, fault)
            return result

    def kill(self) -> None:
        """End the caller. Raises Killed."""
        self.killed = True
        raise Killed

    def _before(self, device: MemoryDevice, fault: Fault) -> None:
        match fault.kind:
            case FaultKind.REQUEST_LOST:
                self._lose(device, fault)
            case FaultKind.DELAY:
                self.advance(fault.seconds)
            case FaultKind.KILL_BEFORE:
                self.kill()
            case FaultKind.UNREACHABLE:
                device.unreachable_until = self.now + fault.seconds
            case FaultKind.UNHEARD:
                device.unheard_until = self.now + fault.seconds
            case kind if kind not in _OF_THE_REPLY:
                device.befall(kind)

    def _after(self, device: MemoryDevice, fault: Fault) -> None:
        match fault.kind:
            case FaultKind.REPLY_LOST:
                self._lose(device, fault)
            case FaultKind.PAUSE:
                self.advance(fault.seconds)
            case FaultKind.KILL_AFTER:
                self.kill()
            case FaultKind.REBOOT_AFTER:
                device.reboot()
            case FaultKind.NONSENSE:
                raise DeviceError(device.device, f"the answer to {fault.call.operation} has no known form")

    def _lose(self, device: MemoryDevice, fault: Fault) -> None:
        self.advance(fault.seconds)
        raise TransportError(device.device, f"no answer within {fault.seconds:g} s")

    def _carried(self, device: MemoryDevice) -> None:
        if not device.reachable or self.now < device.unreachable_until or not self.reach(device.device):
            raise TransportError(device.device, "not reachable")

    def _pass(self, until: float) -> None:
        while self._due and self._due[0][0] <= until:
            when, _, action = heapq.heappop(self._due)
            self.now = max(self.now, when)
            action()
        self.now = max(self.now, until)
