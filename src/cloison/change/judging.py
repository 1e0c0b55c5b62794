"""The gate as it is asked: management, dead-man and read-back here, the proof and the probes by whoever holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloison.change.asking import pending
from cloison.change.fleetwide import on_each_that_can
from cloison.change.gate import GateCheck
from cloison.device.push import difference
from cloison.errors import CloisonError, HostKeyError, TransportError
from cloison.flow import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.change.asking import Asking
    from cloison.change.plan import DevicePlan, Plan
    from cloison.device.guard import GuardState
    from cloison.model import EquipmentName
    from cloison.render.config import Config

MARGIN = 3.0
"""How many times the measured time of all confirmations every dead-man must still have."""
LEAST_MARGIN_SECONDS = 2.0


@dataclass
class Judging:
    """Asks every question of the gate once the change is applied everywhere."""

    plan: Plan
    asking: Asking
    token: str
    last_steps: Mapping[EquipmentName, int]
    """The last step of every device that changes."""
    states: dict[EquipmentName, GuardState] = field(default_factory=dict)
    asked_at: dict[EquipmentName, float] = field(default_factory=dict)
    round_trip: float = 0.0
    """Seconds; the longest time that a guard took to answer."""

    def checks(self) -> tuple[GateCheck, ...]:
        """Return every answer, those about single devices first."""
        names = [device.device for device in self.plan.devices]
        workers = self.asking.effects.workers
        read, unread = on_each_that_can(names, lambda name: self._device(self.plan.device(name)), workers)
        checks = [check for name in names if name in read for check in read[name][1]]
        checks += [_unmanaged(name, error) for name, error in unread.items()]
        if not unread:
            checks += self._proof({name: config for name, (config, _) in read.items()})
        return (*checks, *self.asking.effects.watch.after())

    def margin(self) -> str:
        """Return why there is too little time left to confirm everything; an empty text when there is enough."""
        now = self.asking.effects.monotonic()
        needed = max(LEAST_MARGIN_SECONDS, MARGIN * self.round_trip * len(self.states))
        for name, state in self.states.items():
            left = state.remaining - (now - self.asked_at[name])
            if left < needed:
                return f"{name} goes back in {max(left, 0):.0f} s, and confirming every device may take {needed:.0f} s"
        return ""

    def _device(self, device: DevicePlan) -> tuple[Config, list[GateCheck]]:
        """Ask one device over a new connection; raises what keeps it from being asked."""
        name = device.device
        self.asking.connections.drop(name)
        read = self.asking.read(device)
        checks = [GateCheck(name="management", outcome=Outcome.PASS, device=name)]
        if device.changed:
            checks.append(self._dead_man(device))
        left = "".join(difference(read.section(section.name), section) for section in device.canonical)
        detail = f"what was read back differs from the candidate:\n{left}" if left else ""
        outcome = Outcome.FAIL if left else Outcome.PASS
        return read, [*checks, GateCheck(name="read-back", outcome=outcome, device=name, detail=detail)]

    def _dead_man(self, device: DevicePlan) -> GateCheck:
        effects = self.asking.effects
        before = effects.monotonic()
        state = self.asking.of_guard(device, lambda guard: guard.state())
        now = effects.monotonic()
        self.round_trip = max(self.round_trip, now - before)
        self.states[device.device], self.asked_at[device.device] = state, now
        said = ""
        if not pending(state, self.token):
            said = f"the change is {state.state} there, and not armed"
        elif not state.timer_alive:
            said = "its dead-man does not run"
        elif state.step != self.last_steps[device.device]:
            said = f"step {state.step} of {self.last_steps[device.device]} is applied"
        outcome = Outcome.FAIL if said else Outcome.PASS
        return GateCheck(name="dead-man", outcome=outcome, device=device.device, detail=said)

    def _proof(self, read: dict[EquipmentName, Config]) -> tuple[GateCheck, ...]:
        effects = self.asking.effects
        if effects.proof is None:
            return ()
        try:
            return effects.proof({**effects.others(), **read})
        except CloisonError as error:
            return (_failed("proof", None, error),)


def _unmanaged(device: EquipmentName, error: CloisonError) -> GateCheck:
    """Return the check of a device that was not read: to be out of reach once the change is applied is a failure.

    Another host key, or an answer that cannot be used, says nothing about the change.
    """
    if isinstance(error, TransportError) and not isinstance(error, HostKeyError):
        return GateCheck(name="management", outcome=Outcome.FAIL, device=device, detail=str(error))
    return _failed("management", device, error)


def _failed(name: str, device: EquipmentName | None, error: CloisonError) -> GateCheck:
    """Return what could not be determined, with the reason."""
    return GateCheck(name=name, outcome=Outcome.ERROR, device=device, detail=str(error))
