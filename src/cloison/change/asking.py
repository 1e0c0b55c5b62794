"""Asks the guards of devices, again when an answer was lost: every operation of a guard may be asked twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from cloison.change.connections import Connections
from cloison.change.outcome import DeviceOutcome, Standing
from cloison.device.guard import Cause, GuardState, TokenError, TransactionState
from cloison.errors import CloisonError, HostKeyError, LoadError, RefusedError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from cloison.change.effects import Effects
    from cloison.change.plan import DevicePlan
    from cloison.device.contract import Device
    from cloison.device.guard import Guard
    from cloison.render.config import Config

Answer = TypeVar("Answer")
BACK_SECONDS = 30.0
"""How long management may take to come back: a tunnel renegotiates within 12 s of a peer's death."""
_PAUSE_SECONDS = 0.5
_BUSY_SECONDS = 0.2


def guard_of(device: Device) -> Guard:
    """Return the guard of an open device; RefusedError when it has none."""
    if device.guard is None:
        msg = f"{device.reader.device}: nothing goes back by itself there; a change is refused (`--unguarded` names it)"
        raise RefusedError(msg)
    return device.guard


class Asking:
    """Speaks with the devices of one change over kept connections, and opens new ones when those die."""

    def __init__(self, effects: Effects) -> None:
        self.effects = effects
        self.connections = effects.kept or Connections(effects.opener)

    def of_device(self, device: DevicePlan, ask: Callable[[Device], Answer], seconds: float = BACK_SECONDS) -> Answer:
        """Return what `ask` returns for the open device; asked again over a new connection while there is time.

        Raises the last TransportError once there is none left; a HostKeyError at once.
        """
        deadline = self.effects.monotonic() + seconds
        while True:
            try:
                return ask(self.connections(device.device))
            except HostKeyError:
                self.connections.drop(device.device)
                raise
            except TransportError:
                self.connections.drop(device.device)
                if self.effects.monotonic() >= deadline:
                    raise
                self.effects.sleep(_PAUSE_SECONDS)

    def of_guard(
        self, device: DevicePlan, ask: Callable[[Guard], GuardState], seconds: float = BACK_SECONDS
    ) -> GuardState:
        """Return the state of the guard once it has done what it was asked for; raises as `of_device` does."""
        state = self.of_device(device, lambda opened: ask(guard_of(opened)), seconds)
        deadline = self.effects.monotonic() + seconds
        while state.busy:
            if self.effects.monotonic() >= deadline:
                raise TransportError(device.device, f"still busy after {seconds:.0f} s")
            self.effects.sleep(_BUSY_SECONDS)
            state = self.of_device(device, lambda opened: guard_of(opened).state(), seconds)
        return state

    def read(self, device: DevicePlan) -> Config:
        """Return what the device runs; raises as `of_device` does, and DeviceError for an answer of no known form."""
        return self.of_device(device, lambda opened: opened.reader.read().config)

    def where(self, device: DevicePlan, tokens: Collection[str], seconds: float = BACK_SECONDS) -> DeviceOutcome:
        """Return where the device stands in the change that these tokens are of, by its own word."""
        try:
            state = self.of_guard(device, lambda guard: guard.state(), seconds)
        except TransportError as error:
            return outcome(device, Standing.UNREACHABLE, str(error))
        except CloisonError as error:
            return outcome(device, Standing.UNKNOWN, str(error))
        return standing(device, state, tokens)


def outcome(device: DevicePlan, where: Standing, detail: str = "", remaining: float = 0.0) -> DeviceOutcome:
    """Return the outcome of a device."""
    return DeviceOutcome(
        device=device.device,
        standing=where,
        sections=tuple(name.value for name in device.changed),
        detail=detail,
        remaining=remaining,
    )


def standing(device: DevicePlan, state: GuardState, tokens: Collection[str]) -> DeviceOutcome:
    """Return where a device stands, from what its guard says and the tokens that are this change's."""
    if state.token not in tokens:
        if state.startup in tokens:  # another change went on top of it, or it took old and new for others to catch up
            own = any(state.token.startswith(f"{token}-open") for token in tokens)
            if own and state.state is TransactionState.REVERTED_DIFFERS:
                return outcome(device, Standing.REVERTED_DIFFERS, state.detail)
            return outcome(device, Standing.CONFIRMED)
        return outcome(device, Standing.UNCHANGED)
    where = _STANDING.get(state.state, Standing.UNKNOWN)
    if where is Standing.UNKNOWN:
        return outcome(device, where, f"its guard says {state.state}")
    detail = _why_back(state) if where is not Standing.REVERTED_DIFFERS else state.detail or _why_back(state)
    return outcome(device, where, detail, state.remaining if where is Standing.ARMED else 0.0)


_STANDING = {
    TransactionState.ARMED: Standing.ARMED,
    TransactionState.CONFIRMED: Standing.CONFIRMED,
    TransactionState.REVERTED: Standing.REVERTED,
    TransactionState.REVERTED_DIFFERS: Standing.REVERTED_DIFFERS,
}


def _why_back(state: GuardState) -> str:
    words = {
        Cause.DEADLINE: "nobody confirmed in time",
        Cause.ORDER: "",
        Cause.BOOT: "it started anew while the change was pending",
        Cause.REFUSED: f"it refused {state.detail}",
    }
    return words.get(state.cause, "")


def pending(state: GuardState, token: str) -> bool:
    """Return True while a transaction is armed under this token; raise nothing."""
    return state.state is TransactionState.ARMED and state.token == token


def require_pending(device: DevicePlan, state: GuardState, token: str) -> GuardState:
    """Return the state of a device that is armed under this token; TokenError says what it is instead."""
    if not pending(state, token):
        said = standing(device, state, {token})
        raise TokenError(device.device, f"it is {said.standing} and not armed: {said.detail or 'no such transaction'}")
    return state


def require_applied(device: DevicePlan, state: GuardState, token: str) -> GuardState:
    """Return the state of a device that has applied what it was asked to.

    Raises LoadError with the words of the tool that refused a section, and TokenError as `require_pending` does.
    """
    if state.token == token and state.cause is Cause.REFUSED and state.state is not TransactionState.ARMED:
        raise LoadError(device.device, state.detail or "it refused its candidate")
    return require_pending(device, state, token)
