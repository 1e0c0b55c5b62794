"""What follows a decision, or its absence: forward to the candidate on every device, or back to what every one ran.

Where a device stands, it says itself. Nothing is guessed: a device that cannot be asked is unreachable, and one whose
answer fits neither way is unknown; the change is then undetermined until `cloison resume` has asked again.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from cloison.change.asking import outcome, standing
from cloison.change.catching_up import CatchingUp
from cloison.change.crash import CrashPoint
from cloison.change.fleetwide import on_each_that_can
from cloison.change.journal import Event
from cloison.change.outcome import Decision, DeviceOutcome, Result, Standing
from cloison.device.guard import GRACE_SECONDS, TokenError
from cloison.device.push import difference
from cloison.errors import CloisonError, RefusedError, TransportError
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloison.change.asking import Asking
    from cloison.change.effects import Effects
    from cloison.change.gate import GateCheck
    from cloison.change.journal import Run
    from cloison.change.plan import DevicePlan, Plan
    from cloison.device.contract import Device
    from cloison.device.guard import Guard, GuardState
    from cloison.model import EquipmentName

ATTEMPTS = 5
"""How often a device may be armed in one run: again, under another token, when it went back after the decision."""
_LATE = frozenset({Standing.UNREACHABLE, Standing.ARMED})


@dataclass(frozen=True)
class Recovery:
    """Takes the devices of a run to where they shall stand."""

    plan: Plan
    run: Run
    effects: Effects
    asking: Asking
    started: float
    """When the run began or was taken up again, on the monotonic clock."""

    @cached_property  # each takes the hash of the whole plan
    def tokens(self) -> tuple[str, ...]:
        """Every token that this run may have left on a device."""
        return tuple(self.run.token(self.plan, attempt) for attempt in range(1, ATTEMPTS + 1))

    def back(self, reason: str, checks: tuple[GateCheck, ...] = ()) -> Result:
        """Have every device go back, wait for those that must do it by themselves, and return what they say."""
        self._note(Event.GOING_BACK, None, reason)
        asked_at = self.effects.monotonic()
        devices = self._each(self._revert)
        if any(device.tunnel_phases for device in self.plan.devices):
            self._raise_tunnels()
        # One end of a tunnel goes back before the other, and cannot be heard until that one has.
        devices = self._asked_again(devices)
        if any(one.standing in _LATE for one in devices):
            # What cannot be reached goes back at its deadline, and may be reachable then.
            self._await(asked_at + self.plan.deadline + GRACE_SECONDS)
            devices = self._asked_again(devices)
        settled = {Standing.REVERTED, Standing.UNCHANGED, Standing.REVERTED_DIFFERS}
        return self._result(Decision.REVERTED, settled, devices, reason, checks)

    def forward(self, checks: tuple[GateCheck, ...] = ()) -> Result:
        """Have every device keep the candidate; one that went back meanwhile is armed and applied again."""
        stages = [name for stage in reversed(self.plan.stages) for name in stage]
        ordered = [self.plan.device(name) for name in stages if self.plan.device(name).changed]
        first = self._each(self._confirm, ordered)
        by_name = {one.device: one for one in first}
        if any(one.standing is not Standing.CONFIRMED for one in first):
            CatchingUp(self.plan, self.tokens, self.effects, self.asking, self._confirm, by_name).go(ordered)
        devices = tuple(by_name[device.device] for device in self.plan.changed)
        return self._result(Decision.CONFIRMED, {Standing.CONFIRMED}, devices, "", checks)

    # --- back -------------------------------------------------------------------------------------------------------

    def _asked_again(self, devices: tuple[DeviceOutcome, ...]) -> tuple[DeviceOutcome, ...]:
        late = [self.plan.device(one.device) for one in devices if one.standing in _LATE]
        again = {one.device: one for one in self._each(self._revert, late)} if late else {}
        return tuple(again.get(one.device, one) for one in devices)

    def _revert(self, device: DevicePlan) -> DeviceOutcome:
        """Have one device go back, and compare what it then runs with what it ran."""
        self.effects.point(CrashPoint.REVERTING, device.device)
        try:
            found = self._reverted(device)
        except TransportError as error:
            return outcome(device, Standing.UNREACHABLE, str(error))
        except CloisonError as error:
            return outcome(device, Standing.UNKNOWN, str(error))
        if found.standing is Standing.REVERTED:
            found = self._compared(device, found)
        self._note(Event.REVERTED, device.device, found.standing.value)
        self.effects.point(CrashPoint.REVERTED, device.device)
        return found

    def _reverted(self, device: DevicePlan) -> DeviceOutcome:
        state = self.asking.of_guard(device, lambda guard: guard.state())
        found = standing(device, state, self.tokens)
        if found.standing is Standing.ARMED:
            token = state.token
            state = self.asking.of_guard(device, lambda guard: guard.revert(token))
            found = standing(device, state, self.tokens)
        if found.standing is Standing.UNCHANGED:
            self.asking.of_device(device, lambda opened: _released(opened, self.tokens[0]))
        return found

    def _compared(self, device: DevicePlan, found: DeviceOutcome) -> DeviceOutcome:
        read = self.asking.read(device)
        before = device.config("running")
        names = [name for name in device.changed if difference(read.section(name), before.section(name))]
        if not names:
            return found
        return outcome(device, Standing.REVERTED_DIFFERS, f"it does not run what it ran in {', '.join(names)}")

    def _raise_tunnels(self) -> None:
        """Have every end start again what it started before: one that was refused meanwhile asks no more."""

        def raise_one(name: EquipmentName) -> None:
            device = self.plan.device(name)

            def up(opened: Device) -> None:
                section = opened.reader.loadable(device.config("running"), SectionName.TUNNELS)
                if section.text.strip():
                    opened.writer.bring_up(section)

            self.asking.of_device(device, up)

        ends = [d.device for d in self.plan.devices if any(s.name is SectionName.TUNNELS for s in d.running)]
        on_each_that_can(ends, raise_one, self.effects.workers)

    def _note(self, event: Event, device: EquipmentName | None, detail: str) -> None:
        """Write a line, where it can be written: the way back needs no journal, and a full disk does not bar it."""
        with contextlib.suppress(RefusedError):
            self.effects.journal(event, device, detail)

    def _await(self, moment: float) -> None:
        left = moment - self.effects.monotonic()
        if left > 0:
            self.effects.sleep(left)

    # --- forward ----------------------------------------------------------------------------------------------------

    def _confirm(self, device: DevicePlan) -> DeviceOutcome:
        """Have one device keep the change under whichever token of this run it holds."""
        self.effects.point(CrashPoint.CONFIRMING, device.device)
        found = self.asking.where(device, self.tokens)
        if found.standing is Standing.ARMED:
            found = self._asked_to_keep(device)
        if found.standing is Standing.CONFIRMED:
            self.effects.journal(Event.CONFIRMED, device.device)
            self.effects.point(CrashPoint.CONFIRMED, device.device)
        return found

    def _asked_to_keep(self, device: DevicePlan) -> DeviceOutcome:
        def keep(guard: Guard) -> GuardState:
            token = guard.state().token
            if token not in self.tokens:  # another change may stand there by now: it is not ours to confirm
                raise TokenError(device.device, f"{token or 'no transaction'} is not of this run")
            return guard.confirm(token)

        try:
            return standing(device, self.asking.of_guard(device, keep), self.tokens)
        except TokenError:
            return self.asking.where(device, self.tokens)
        except TransportError as error:
            return outcome(device, Standing.UNREACHABLE, str(error))
        except CloisonError as error:
            return outcome(device, Standing.UNKNOWN, str(error))

    # --- both -------------------------------------------------------------------------------------------------------

    def _each(
        self, act: Callable[[DevicePlan], DeviceOutcome], devices: list[DevicePlan] | None = None
    ) -> tuple[DeviceOutcome, ...]:
        chosen = list(self.plan.changed) if devices is None else devices
        done, failed = on_each_that_can(
            [device.device for device in chosen], lambda name: act(self.plan.device(name)), self.effects.workers
        )
        stray = {name: outcome(self.plan.device(name), Standing.UNKNOWN, str(error)) for name, error in failed.items()}
        return tuple((done | stray)[device.device] for device in chosen)

    def _result(
        self,
        wanted: Decision,
        settled: set[Standing],
        devices: tuple[DeviceOutcome, ...],
        reason: str,
        checks: tuple[GateCheck, ...],
    ) -> Result:
        sure = all(one.standing in settled for one in devices)
        return Result(
            run=self.run.name,
            plan=self.plan.sha256,
            decision=wanted if sure else Decision.UNDETERMINED,
            devices=devices,
            checks=checks,
            reason=reason,
            seconds=self.effects.monotonic() - self.started,
        )


def _released(opened: Device, token: str) -> None:
    if opened.guard is not None:
        opened.guard.release(token)
