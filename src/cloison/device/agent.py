"""Speaks with the script on a device that guards a change: what it is asked, and the state that it answers with."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from typing import TYPE_CHECKING, NoReturn

from cloison.device.guard import (
    GRACE_SECONDS,
    Cause,
    GuardState,
    Lease,
    LeaseError,
    NoGuardError,
    Timer,
    TokenError,
    TransactionState,
)
from cloison.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cloison.device.job import Job
    from cloison.transport.base import CommandResult, Runner

SCRIPT = "/usr/local/sbin/cloison-device"
"""Where the script is on a device."""
_FIRST = "cloison-device 1"
_NOT_PENDING, _NO_LEASE = 10, 11
"""What the script exits with."""
_CANNOT_RUN = frozenset({126, 127})
"""What a shell exits with when there is no such program, or it may not be run."""
_STATE_SECONDS = 30.0
"""The script waits at most 10 s for another call of it, and asks nothing slow."""
_BACK_SECONDS = 300.0
_YES = {"yes": True, "no": False}
_LONGEST_LINE = 400
_KEYS = frozenset(
    "script timer timer-alive boot state token step busy remaining cause startup lease detail".split()  # noqa: SIM905
)
_NAMED = r"[a-z0-9-]{0,63}"
_FORMS: Mapping[str, re.Pattern[str]] = {
    "script": re.compile(r"[0-9a-f]{64}"),
    "boot": re.compile(r"[0-9a-f-]{1,80}"),
    "token": re.compile(_NAMED),
    "step": re.compile(r"[0-9]{1,7}"),
    "remaining": re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?"),  # and so neither `nan`, that no margin is too small for
    "startup": re.compile(_NAMED),
}
"""What a value has to look like, beside those that are one word of several."""
_LEASE = re.compile(rf"({_NAMED}) ([0-9a-z-]{{0,64}}) (-?[0-9]{{1,9}}) ([ -~]{{0,80}})")
"""Token, plan, seconds, owner."""


def script_text() -> bytes:
    """Return the script as it is installed on a device."""
    return (files("cloison.device") / "agent" / "cloison-device").read_bytes()


def script_sha256() -> str:
    """Return the hexadecimal digest of the script, which a device that has this very one reports in its state."""
    return hashlib.sha256(script_text()).hexdigest()


class AgentGuard:
    """The guard of a device by the script on it; a `cloison.device.guard.Guard`."""

    def __init__(self, runner: Runner, device: str, timers: Collection[Timer] = (Timer.SYSTEMD, Timer.TICKER)) -> None:
        self._runner, self._device, self._timers = runner, device, timers

    def state(self) -> GuardState:
        """Return where the device stands."""
        return self._ask("state")

    def lease(self, lease: Lease) -> None:
        """Take the lease, or renew one's own."""
        self._ask("lease", lease.token, lease.plan, f"{max(1, round(lease.seconds))}", lease.owner[:80])

    def release(self, token: str) -> None:
        """Give the lease up."""
        self._ask("release", token)

    def arm(self, job: Job) -> GuardState:
        """Arm the dead-man and apply the first step. It has ended, or is on its way back, by the deadline."""
        return self._ask("arm", stdin=job.encode(), seconds=_STATE_SECONDS + job.deadline + GRACE_SECONDS)

    def step(self, token: str, number: int) -> GuardState:
        """Apply a further step."""
        return self._ask("step", token, str(number), seconds=_BACK_SECONDS)

    def confirm(self, token: str) -> GuardState:
        """Decide for the change, which then is what the device boots with."""
        return self._ask("confirm", token)

    def revert(self, token: str) -> GuardState:
        """Go back now; return the state once the device has."""
        return self._ask("revert", token, seconds=_BACK_SECONDS)

    def forget(self, token: str, conversations: tuple[str, ...]) -> None:
        """Delete tracked connections from the pending change."""
        self._ask("forget", token, stdin="".join(f"{one}\n" for one in conversations).encode())

    def _ask(self, *arguments: str, stdin: bytes = b"", seconds: float = _STATE_SECONDS) -> GuardState:
        result = self._runner.run([SCRIPT, *arguments], stdin=stdin, timeout=seconds)
        if result.exit_status:
            self._refuse(result)
        state = parse_state(self._device, result.stdout)
        if state.timer not in self._timers:
            known = ", ".join(self._timers)
            raise DeviceError(self._device, f"its dead-man is run by {state.timer}; expected one of {known}")
        return state

    def _refuse(self, result: CommandResult) -> NoReturn:
        said = " ".join(result.stderr.decode("utf-8", "backslashreplace").split())[:300]
        if result.exit_status == _NOT_PENDING:
            raise TokenError(self._device, said or "the token is not pending here")
        if result.exit_status == _NO_LEASE:
            raise LeaseError(self._device, parse_state(self._device, result.stdout).lease)
        if result.exit_status in _CANNOT_RUN:
            message = f"{SCRIPT} does not run there ({said or 'no words'}): nothing guards a change"
            raise NoGuardError(self._device, message)
        raise DeviceError(self._device, said or f"the guard ended with status {result.exit_status}")


def parse_state(device: str, answer: bytes) -> GuardState:
    """Return the state that the script printed; raise DeviceError for anything else."""
    # A device that takes its time says an empty line now and then.
    lines = answer.decode("ascii", "backslashreplace").lstrip("\n").split("\n")
    if lines[:1] != [_FIRST] or lines[-2:] != ["end", ""]:
        raise DeviceError(device, "the guard's answer broke off, or is not one")
    said: dict[str, str] = {}
    for line in lines[1:-2]:
        key, _, value = line.partition(" ")
        if key not in _KEYS or key in said or len(line) > _LONGEST_LINE:
            raise DeviceError(device, f"the guard's answer has a line of no known form: {line[:100]!r}")
        said[key] = value
    for key, form in _FORMS.items():
        if not form.fullmatch(said.get(key, "")):
            raise DeviceError(device, f"the guard's answer has no {key} that can be used: {said.get(key, '')[:100]!r}")
    try:
        return _state(said)
    except (ValueError, KeyError) as error:
        raise DeviceError(device, f"the guard's answer cannot be used: {error}") from error


def _state(said: Mapping[str, str]) -> GuardState:
    return GuardState(
        script=said["script"],
        timer=Timer(said["timer"]),
        timer_alive=_YES[said["timer-alive"]],
        boot=said["boot"],
        state=TransactionState(said["state"]),
        token=said["token"],
        step=int(said["step"]),
        busy=_YES[said["busy"]],
        remaining=float(said["remaining"]),
        cause=Cause(said["cause"]),
        detail=said["detail"].strip(),
        startup=said["startup"],
        lease=_lease(said["lease"]) if "lease" in said else None,
    )


def _lease(said: str) -> Lease:
    found = _LEASE.fullmatch(said)
    if found is None:
        msg = f"its lease is none: {said[:100]!r}"
        raise ValueError(msg)
    token, plan, seconds, owner = found.groups()
    return Lease(token=token, owner=owner, plan=plan, seconds=float(seconds))
