"""A change as one transaction over several devices: armed and applied everywhere, judged, decided once, confirmed.

Two phases, as in a network-wide commit, over devices of which each goes back by itself. Until the decision is on the
disk every recovery goes back, after it every recovery goes forward (`cloison.change.recovery`). Nothing promises that a
site is never mixed while it is changed; every mixture was proved before anything was sent.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from cloison.change.asking import Asking, guard_of, outcome, require_applied
from cloison.change.crash import CrashPoint
from cloison.change.fleetwide import SeveralDevicesError, on_each, on_each_that_can
from cloison.change.gate import GateCheck
from cloison.change.jobs import FIRST_PHASE, DeviceJob, after, differing, job_of
from cloison.change.journal import Event
from cloison.change.judging import Judging
from cloison.change.links import settle_tunnels, tunnel_ends
from cloison.change.outcome import Decision, Result, Standing
from cloison.change.recovery import Recovery
from cloison.change.stale import StaleError
from cloison.device.guard import Lease
from cloison.errors import CloisonError, HostKeyError, LoadError, RefusedError, TransportError
from cloison.flow import Outcome
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cloison.change.effects import Effects
    from cloison.change.journal import Run
    from cloison.change.plan import DevicePlan, Plan
    from cloison.device.contract import Device
    from cloison.device.guard import GuardState
    from cloison.model import EquipmentName

Answer = TypeVar("Answer")
LEASE_SECONDS = 60.0
"""How long a lease lasts that nothing was armed under."""
LAST_PHASE = 3


class Transaction:
    """One run of a plan over its devices. A plan without a change makes none, and says so."""

    def __init__(self, plan: Plan, run: Run, effects: Effects) -> None:
        self.plan, self.run, self.effects = plan, run, effects
        self.token = run.token(plan)
        self.asking = Asking(effects)
        self._by_name = {device.device: device for device in plan.devices}
        self._jobs: dict[EquipmentName, DeviceJob] = {}
        self._tunnels: dict[EquipmentName, GateCheck] = {}
        self._selectors: tuple[GateCheck, ...] = ()
        self._started = effects.monotonic()

    def go(self) -> Result:
        """Make the devices run the plan, all or none, and return what became of each.

        Raises RefusedError (LeaseError among them) with nothing changed when the plan is stale, a device is being
        changed by somebody else or has no guard; the errors of devices that cannot be read before the first is armed.
        What goes wrong after that is in the result.
        """
        try:
            return self._go()
        finally:
            self.effects.watch.close()
            self.asking.connections.close()

    def _go(self) -> Result:
        self._point(CrashPoint.BEGUN)
        try:
            self._lease()
            leased = self.effects.monotonic()
            if self._is_applied():
                self._release()
                return self._ended(Result(run=self.run.name, plan=self.plan.sha256, decision=Decision.NO_CHANGE))
            self._prepare()
            self.effects.watch.before()
            self._renew(self.effects.monotonic() - leased)
            self._point(CrashPoint.WATCHED)
        except (CloisonError, KeyboardInterrupt) as error:
            self._release()
            self.effects.journal(Event.ENDED, None, f"{Decision.REFUSED}: {_said(error)}")
            raise
        checks: tuple[GateCheck, ...] = ()
        try:
            self._apply()
            checks, reason = self._judged()
        except CloisonError as error:
            cut_off = _cut_off(error)
            reason = "management was lost while the change was applied" if cut_off else str(error)
            return self._back(reason, cut_off, refused=any(isinstance(one, LoadError) for one in _each_of(error)))
        except KeyboardInterrupt:
            self._back("it was interrupted", checks, refused=False)
            raise
        if reason:
            return self._back(reason, checks, refused=False)
        try:
            self.effects.journal(Event.DECIDED, None, self.token)
        except RefusedError as error:
            return self._back(f"the decision could not be written: {error}", checks, refused=False)
        self._point(CrashPoint.DECIDED)
        return self._ended(self._recovery().forward(checks))

    # --- before anything is armed -----------------------------------------------------------------------------------

    def _lease(self) -> None:
        lease = Lease(self.token, self.effects.owner, self.plan.sha256[:12], LEASE_SECONDS)

        def take(device: DevicePlan) -> None:
            self.asking.of_device(device, lambda opened: guard_of(opened).lease(lease))
            self.effects.journal(Event.LEASED, device.device)
            self._point(CrashPoint.LEASED, device.device)

        self._each(self.plan.changed, take)

    def _renew(self, held: float) -> None:
        """Renew leases that were held so many seconds; where they ran out, somebody may have changed something."""
        if held < LEASE_SECONDS / 2:
            return
        self._lease()
        if held >= LEASE_SECONDS and self._is_applied():
            msg = "somebody else applied the same meanwhile; nothing is left to do"
            raise RefusedError(msg)

    def _release(self) -> None:
        """Give up every lease that can be given up; one that cannot ends by itself."""

        def give(device: DevicePlan) -> None:
            self.asking.of_device(device, lambda opened: guard_of(opened).release(self.token), 0.0)

        self._each_that_can(self.plan.changed, give)

    def _is_applied(self) -> bool:
        """Return True when every device runs the candidate already; RefusedError when one runs neither old nor new."""
        read = self._each(self.plan.devices, self.asking.read)
        self._point(CrashPoint.CHECKED)
        if not any(differing(device.canonical, read[device.device]) for device in self.plan.devices):
            return True
        for device in self.plan.devices:
            for name in differing(device.running, read[device.device]):
                msg = f"the plan is stale: section {name} of {device.device} changed since; make it again"
                raise StaleError(msg)
        return False

    def _prepare(self) -> None:
        """Make every job; RefusedError where a device guards its changes with another script than was planned."""
        for device in self.plan.changed:
            state = self.asking.of_guard(device, lambda guard: guard.state())
            if (state.script, state.timer) != (device.script, device.guard):
                msg = f"the plan is stale: {device.device} guards its changes otherwise than when it was made"
                raise RefusedError(msg)
            if not state.timer_alive:
                msg = f"{device.device}: its dead-man does not run, so nothing would go back by itself"
                raise RefusedError(msg)
            back = self.plan.conversations if SectionName.FILTER in device.changed else ()
            self._jobs[device.device] = self.asking.of_device(device, partial(self._job, device, back))

    def _job(self, device: DevicePlan, back: tuple[str, ...], opened: Device) -> DeviceJob:
        return job_of(device, opened.reader, self.token, self.plan.deadline, back)

    # --- applying ---------------------------------------------------------------------------------------------------

    def _apply(self) -> None:
        """Arm everything, stage after stage, then take links through their phases; raises what a device refused."""
        for stage in self.plan.stages:
            self._each([self._by_name[name] for name in stage if self._by_name[name].changed], self._arm)
        self._settle_tunnels(FIRST_PHASE)
        for phase in range(FIRST_PHASE + 1, LAST_PHASE + 1):
            taking = [device for device in self.plan.changed if phase in self._jobs[device.device].steps]
            self._each(taking, partial(self._step, phase=phase))
            if taking:
                self._settle_tunnels(phase)
        self._selectors = settle_tunnels(tunnel_ends(self.plan), self._ask, self.effects.sleep, self.effects.workers)
        self._forget()

    def _ask(self, device: EquipmentName, act: Callable[[Device], Answer]) -> Answer:
        return self.asking.of_device(self._by_name[device], act)

    def _arm(self, device: DevicePlan) -> None:
        job = self._jobs[device.device].job
        self.effects.journal(Event.ARMING, device.device, job.sha256)
        self._point(CrashPoint.ARMING, device.device)
        self._applied(device, self.asking.of_guard(device, lambda guard: guard.arm(job)))
        self._point(CrashPoint.ARMED, device.device)

    def _step(self, device: DevicePlan, phase: int) -> None:
        number = self._jobs[device.device].steps[phase]
        self._point(CrashPoint.STEPPING, device.device)
        self._applied(device, self.asking.of_guard(device, lambda guard: guard.step(self.token, number)))
        self._point(CrashPoint.STEPPED, device.device)

    def _applied(self, device: DevicePlan, state: GuardState) -> None:
        require_applied(device, state, self.token)
        self.effects.journal(Event.APPLIED, device.device, f"step {state.step}")

    def _settle_tunnels(self, phase: int) -> None:
        """Have every end start what it starts: one that was refused while the other was not ready asks no more."""
        if not any(device.tunnel_phases for device in self.plan.devices):
            return
        ends = [device for device in self.plan.devices if any(s.name is SectionName.TUNNELS for s in device.candidate)]

        def raise_one(device: DevicePlan) -> None:
            section = device.config("candidate").section(SectionName.TUNNELS)
            if device.tunnel_phases:
                section = section.model_copy(update={"text": device.tunnel_phases[phase - 1]})
            down = self.asking.of_device(device, lambda opened: opened.writer.bring_up(section))
            said = f"tunnels that stayed down: {', '.join(down)}" if down else ""
            self.effects.journal(Event.BROUGHT_UP, device.device, said)
            self._tunnels[device.device] = GateCheck(
                name="tunnels", outcome=Outcome.FAIL if down else Outcome.PASS, device=device.device, detail=said
            )
            self._point(CrashPoint.RAISED, device.device)

        self._each(ends, raise_one)

    def _forget(self) -> None:
        """Delete the tracked connections that the new rules refuse: those would go on for ever."""
        refusals = self.effects.refusals
        if refusals is None:
            return

        def forget(device: DevicePlan) -> None:
            tracked = self.asking.of_device(device, lambda opened: opened.reader.tracked())
            refused = refusals(after(device), tracked)
            if refused:
                self.asking.of_device(device, lambda opened: guard_of(opened).forget(self.token, refused))
            self.effects.journal(Event.FORGOTTEN, device.device, f"{len(refused)} conversations")
            self._point(CrashPoint.FORGOTTEN, device.device)

        self._each([device for device in self.plan.changed if SectionName.FILTER in device.changed], forget)

    # --- the gate, and after it -------------------------------------------------------------------------------------

    def _judged(self) -> tuple[tuple[GateCheck, ...], str]:
        """Return the answers of the gate, and why it is not passed; an empty text when it is."""
        self._point(CrashPoint.GATING)
        judging = Judging(self.plan, self.asking, self.token, {n: job.last for n, job in self._jobs.items()})
        checks = (*self._tunnels.values(), *self._selectors, *self._doubts(), *judging.checks())
        self.effects.journal(Event.GATE, None, f"{sum(one.passed for one in checks)} of {len(checks)} passed")
        self._point(CrashPoint.GATED)
        failed = [check for check in checks if not check.passed]
        if failed:
            return checks, f"the gate did not pass ({len(failed)} of {len(checks)} checks)"
        return checks, judging.margin()

    def _doubts(self) -> tuple[GateCheck, ...]:
        """Return a check for every tracked connection of which nobody can tell whether the new rules refuse it."""
        return self.effects.refusals.checks() if self.effects.refusals is not None else ()

    def _back(self, reason: str, checks: tuple[GateCheck, ...], *, refused: bool) -> Result:
        result = self._recovery().back(reason, checks)
        whole = all(one.standing is not Standing.REVERTED_DIFFERS for one in result.devices)
        if refused and whole and result.decision is Decision.REVERTED:
            result = result.model_copy(update={"decision": Decision.REFUSED})
        return self._ended(result)

    def _recovery(self) -> Recovery:
        return Recovery(self.plan, self.run, self.effects, self.asking, self._started)

    def _ended(self, result: Result) -> Result:
        self._point(CrashPoint.FINISHED)
        if result.decision is not Decision.UNDETERMINED:
            self.effects.journal(Event.ENDED, None, result.decision.value)
        if result.decision is Decision.NO_CHANGE:
            devices = tuple(outcome(device, Standing.UNCHANGED) for device in self.plan.devices)
            return result.model_copy(update={"devices": devices})
        return result

    def _point(self, point: CrashPoint, device: EquipmentName | str = "") -> None:
        self.effects.point(point, device)

    def _each(
        self, devices: Sequence[DevicePlan], act: Callable[[DevicePlan], Answer]
    ) -> Mapping[EquipmentName, Answer]:
        names = [device.device for device in devices]
        return on_each(names, lambda name: act(self._by_name[name]), self.effects.workers) if names else {}

    def _each_that_can(self, devices: Sequence[DevicePlan], act: Callable[[DevicePlan], None]) -> None:
        names = [device.device for device in devices]
        on_each_that_can(names, lambda name: act(self._by_name[name]), self.effects.workers)


def _each_of(error: CloisonError) -> tuple[CloisonError, ...]:
    return error.errors if isinstance(error, SeveralDevicesError) else (error,)


def _cut_off(error: CloisonError) -> tuple[GateCheck, ...]:
    """Return what a change did to management where devices could not be asked any more; another host key is no proof.

    It fails even though such a device could not be asked: whoever cannot be reached once the change was applied there
    has lost its management, and is back when it went back (`Recovery.back` says whether it is).
    """
    lost = [one for one in _each_of(error) if isinstance(one, TransportError) and not isinstance(one, HostKeyError)]
    return tuple(GateCheck(name="management", outcome=Outcome.FAIL, detail=str(one)) for one in lost)


def _said(error: BaseException) -> str:
    return str(error) or "it was interrupted"
