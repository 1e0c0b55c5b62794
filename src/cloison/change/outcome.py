"""What became of a change: per device where it stands, per question of the gate its answer, and the exit code."""

from __future__ import annotations

from enum import StrEnum

from cloison.change.gate import GateCheck
from cloison.flow import Outcome
from cloison.model import EquipmentName, Model


class Standing(StrEnum):
    """Where one device stands in a change, as it said itself."""

    UNCHANGED = "unchanged"
    """Nothing of it was ever armed there."""
    ARMED = "armed"
    """It is pending: the device goes back by itself unless it is confirmed."""
    CONFIRMED = "confirmed"
    """It runs the candidate, and boots with it."""
    REVERTED = "reverted"
    """It went back, and runs what it ran before."""
    REVERTED_DIFFERS = "reverted-differs"
    """It went back, and something still differs from what it ran before."""
    UNREACHABLE = "unreachable"
    """It could not be asked."""
    UNKNOWN = "unknown"
    """Its answer says neither."""


class Decision(StrEnum):
    """What was decided about the change as a whole."""

    NO_CHANGE = "no-change"
    CONFIRMED = "confirmed"
    """Every device runs the candidate."""
    REVERTED = "reverted"
    """Every device runs what it ran before."""
    REFUSED = "refused"
    """A device refused its candidate, and all went back."""
    UNDETERMINED = "undetermined"
    """At least one device could not be asked, or says neither: `cloison resume` goes on."""


class DeviceOutcome(Model):
    """What became of one device."""

    device: EquipmentName
    standing: Standing
    sections: tuple[str, ...] = ()
    """The sections that the change is about there."""
    detail: str = ""
    """Why it stands there; untrusted."""
    remaining: float = 0.0
    """Seconds until it goes back by itself; 0 unless it is armed."""


class Result(Model):
    """What became of a change."""

    run: str
    plan: str
    decision: Decision
    devices: tuple[DeviceOutcome, ...] = ()
    checks: tuple[GateCheck, ...] = ()
    """What the gate asked, in the order of asking; empty when it did not come to it."""
    reason: str = ""
    """Why it went back or is undetermined, in one sentence; untrusted."""
    seconds: float = 0.0

    @property
    def failed(self) -> tuple[GateCheck, ...]:
        """The answers of the gate that are no pass."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def exit_code(self) -> int:
        """Return 0 for confirmed, 1 for reverted, 2 for refused by a device, 3 for what could not be determined.

        A change that went back only because something could not be determined is undetermined too.
        """
        match self.decision:
            case Decision.NO_CHANGE | Decision.CONFIRMED:
                return 0
            case Decision.REFUSED:
                return 2
            case Decision.UNDETERMINED:
                return 3
        differs = any(one.standing is Standing.REVERTED_DIFFERS for one in self.devices)
        undetermined = self.failed and not any(check.outcome is Outcome.FAIL for check in self.failed)
        return 3 if undetermined and not differs else 1

    @property
    def explanation(self) -> str:
        """Return one paragraph: what was decided, by which check, and what to do next; untrusted."""
        count = len(self.devices)
        match self.decision:
            case Decision.NO_CHANGE:
                return f"no change: {count} devices run what the plan gives them"
            case Decision.CONFIRMED:
                return f"confirmed: {count} devices run the candidate and boot with it. Next: cloison audit"
        stray = self._stray
        words = [
            _DECIDED[self.decision] if self.decision is Decision.UNDETERMINED or not stray else _STRAY,
            self.reason,
        ]
        shown = self.failed[:_MOST_NAMED]
        words += [f"{check.name}{f' on {check.device}' if check.device else ''}: {check.detail}" for check in shown]
        if len(self.failed) > len(shown):
            words.append(f"{len(self.failed) - len(shown)} more checks of the gate did not pass")
        words += [f"{one.device} is {one.standing}{f' ({one.detail})' if one.detail else ''}" for one in stray]
        if self.decision is Decision.UNDETERMINED:
            words.append(f"next: cloison resume {self.run}")
        return "; ".join(word.strip().rstrip(".;") for word in words if word.strip()) + "."

    @property
    def _stray(self) -> tuple[DeviceOutcome, ...]:
        settled = {Standing.UNCHANGED, Standing.REVERTED, Standing.CONFIRMED}
        return tuple(one for one in self.devices if one.standing not in settled)


_MOST_NAMED = 3
_DECIDED = {
    Decision.REVERTED: "taken back: every device runs what it ran before",
    Decision.REFUSED: "refused: a device did not take its candidate, and every device runs what it ran before",
    Decision.UNDETERMINED: "undetermined: not every device could be asked where it stands",
}
_STRAY = "taken back: not every device runs what it ran before, look at it before anything else is changed there"
