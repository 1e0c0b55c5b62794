"""Takes devices that went back after the decision forward again, all of them together and phase by phase.

A device may have gone back to a tunnel that its peer, confirmed meanwhile, takes no more: it then cannot be reached
any more over that very tunnel. So a confirmed end first takes old and new again, as a transaction of its own that
nobody ever confirms: it is taken back to the candidate at the end, by order or by its dead-man.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from cloison.change.asking import guard_of, outcome, pending, require_pending
from cloison.change.fleetwide import on_each_that_can
from cloison.change.jobs import FIRST_PHASE, DeviceJob, differing, job_of
from cloison.change.journal import Event
from cloison.change.outcome import DeviceOutcome, Standing
from cloison.device.guard import Lease, TokenError, TransactionState
from cloison.device.job import Load
from cloison.errors import DeviceError, TransportError
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cloison.change.asking import Asking
    from cloison.change.effects import Effects
    from cloison.change.plan import DevicePlan, Plan
    from cloison.device.contract import Device
    from cloison.model import EquipmentName

WENT_BACK = frozenset({Standing.REVERTED, Standing.REVERTED_DIFFERS, Standing.UNCHANGED})
_LEASE_SECONDS = 60.0
_LAST_PHASE: Final = 3


@dataclass
class CatchingUp:
    """Brings those devices of a decided change forward that are not confirmed."""

    plan: Plan
    tokens: tuple[str, ...]
    """What the run arms a device with, one after the other: each is used once."""
    effects: Effects
    asking: Asking
    confirm: Callable[[DevicePlan], DeviceOutcome]
    """Confirms one device under whichever token of the run it holds, or says where it stands."""
    found: dict[EquipmentName, DeviceOutcome]
    """Where every device stands."""
    _jobs: dict[EquipmentName, DeviceJob] = field(default_factory=dict)
    _held_open: dict[EquipmentName, str] = field(default_factory=dict)
    """Tokens of the confirmed ends that take old and new meanwhile."""

    def go(self, ordered: Sequence[DevicePlan]) -> None:
        """Take the devices forward, in this order; where each stands then is in `found`."""
        behind = [device for device in ordered if not self._stands(device, {Standing.CONFIRMED})]
        self._each([device for device in ordered if device not in behind and _takes_both(device)], self._hold_open)
        try:
            self._each([device for device in behind if self._stands(device, WENT_BACK)], self._arm)
            if self._held_open or self._jobs:
                self._raise_tunnels(FIRST_PHASE)
                unheard = [device for device in behind if not self._stands(device, WENT_BACK)]
                self._each(unheard, self._ask_again)
                self._each([device for device in unheard if self._stands(device, WENT_BACK)], self._arm)
            for phase in range(FIRST_PHASE + 1, _LAST_PHASE + 1):
                taking = [device for device in ordered if device.device in self._jobs]
                self._each(taking, partial(self._step, phase=phase))
                self._raise_tunnels(phase)
            self._each([device for device in ordered if device.device in self._jobs], self._keep)
        finally:
            self._each([self.plan.device(name) for name in self._held_open], self._let_go)
            self._raise_tunnels(_LAST_PHASE)

    def _stands(self, device: DevicePlan, where: set[Standing] | frozenset[Standing]) -> bool:
        return self.found[device.device].standing in where

    def _ask_again(self, device: DevicePlan) -> None:
        self.found[device.device] = self.confirm(device)

    # --- a device that went back -----------------------------------------------------------------------------------

    def _arm(self, device: DevicePlan) -> None:
        """Apply the first phase again under a token not yet used; a device on which a later change stands is left."""
        state = self.asking.of_guard(device, lambda guard: guard.state())
        read = self.asking.read(device)
        if not differing(device.canonical, read):
            self.found[device.device] = outcome(device, Standing.CONFIRMED, "a later change left it so")
            return
        if stray := differing([one for one in device.running if one.name in device.changed], read):
            raise DeviceError(device.device, f"it runs neither old nor new in {', '.join(stray)}; nothing was touched")
        used = self.tokens.index(state.token) + 1 if state.token in self.tokens else 0
        if used >= len(self.tokens):
            msg = f"it went back {used} times after the decision; look at it before you resume"
            raise TokenError(device.device, msg)
        self._jobs[device.device] = self._armed(device, lambda job: job, self.tokens[used])

    def _armed(self, device: DevicePlan, made: Callable[[DeviceJob], DeviceJob], token: str) -> DeviceJob:
        """Take the lease and arm a device with what is made of its job; return that."""
        back = self.plan.conversations if SectionName.FILTER in device.changed else ()
        prepared = made(
            self.asking.of_device(device, lambda opened: job_of(device, opened.reader, token, self.plan.deadline, back))
        )
        lease = Lease(token, self.effects.owner, self.plan.sha256[:12], _LEASE_SECONDS)
        self.asking.of_device(device, lambda opened: guard_of(opened).lease(lease))
        self.effects.journal(Event.ARMING, device.device, prepared.job.sha256)
        require_pending(device, self.asking.of_guard(device, lambda guard: guard.arm(prepared.job)), token)
        self.effects.journal(Event.APPLIED, device.device, f"again, under {token}")
        return prepared

    def _step(self, device: DevicePlan, phase: int) -> None:
        prepared = self._jobs[device.device]
        if phase in prepared.steps:
            token, number = prepared.job.token, prepared.steps[phase]
            require_pending(device, self.asking.of_guard(device, lambda guard: guard.step(token, number)), token)

    def _keep(self, device: DevicePlan) -> None:
        """Confirm a device that runs exactly the candidate; have it go back otherwise."""
        token = self._jobs[device.device].job.token
        self.asking.connections.drop(device.device)
        read = self.asking.read(device)
        if stray := differing(device.canonical, read):
            self.asking.of_guard(device, lambda guard: guard.revert(token))
            raise DeviceError(device.device, f"what was read back differs from the candidate in {', '.join(stray)}")
        self.found[device.device] = self.confirm(device)

    # --- a confirmed end of a tunnel -------------------------------------------------------------------------------

    def _hold_open(self, device: DevicePlan) -> None:
        """Have a confirmed end take old and new, until it is let go or its dead-man takes it back to the candidate."""
        first = f"{self.tokens[0]}-open"
        state = self.asking.of_guard(device, lambda guard: guard.state())
        if state.token.startswith(first) and pending(state, state.token):
            self.asking.of_guard(device, lambda guard: guard.revert(state.token))
        used = int(state.token.removeprefix(first)) if state.token.startswith(first) else 0
        token = f"{first}{used + 1}"
        both, new = (
            Load(SectionName.TUNNELS, device.tunnel_phases[0]),
            Load(SectionName.TUNNELS, device.tunnel_phases[-1]),
        )
        self._armed(
            device,
            lambda made: DeviceJob(
                replace(made.job, steps=((both,),), back=(new,), back_conversations=()), {FIRST_PHASE: 1}
            ),
            token,
        )
        self._held_open[device.device] = token

    def _let_go(self, device: DevicePlan) -> None:
        token = self._held_open[device.device]
        state = self.asking.of_guard(device, lambda guard: guard.revert(token))
        if state.state is not TransactionState.REVERTED:
            words = f"its tunnels still take what they took before as well: {state.detail}"
            self.found[device.device] = outcome(device, Standing.REVERTED_DIFFERS, words)

    # --- both ------------------------------------------------------------------------------------------------------

    def _raise_tunnels(self, phase: int) -> None:
        """Have every end start what it starts; what stays down shows when the device behind it is asked."""

        def up(opened: Device, device: DevicePlan) -> None:
            section = device.config("candidate").section(SectionName.TUNNELS)
            if device.tunnel_phases:
                section = section.model_copy(update={"text": device.tunnel_phases[phase - 1]})
            opened.writer.bring_up(section)

        def raise_one(name: EquipmentName) -> None:
            device = self.plan.device(name)
            self.asking.of_device(device, partial(up, device=device), 0.0)

        if any(device.tunnel_phases for device in self.plan.devices):
            ends = [d.device for d in self.plan.devices if any(s.name is SectionName.TUNNELS for s in d.candidate)]
            on_each_that_can(ends, raise_one, self.effects.workers)

    def _each(self, devices: Sequence[DevicePlan], act: Callable[[DevicePlan], None]) -> None:
        """Do it on each device; one on which it fails is out of it, and where it stands says why."""
        names = [device.device for device in devices]
        _, failed = on_each_that_can(names, lambda name: act(self.plan.device(name)), self.effects.workers)
        for name, error in failed.items():
            if self.found[name].standing is not Standing.CONFIRMED:
                where = Standing.UNREACHABLE if isinstance(error, TransportError) else Standing.UNKNOWN
                self.found[name] = outcome(self.plan.device(name), where, str(error))
            self._jobs.pop(name, None)


def _takes_both(device: DevicePlan) -> bool:
    """Tell whether a device is the end of a tunnel that takes old and new until the last phase."""
    return bool(device.tunnel_phases) and device.tunnel_phases[1] != device.tunnel_phases[2]
