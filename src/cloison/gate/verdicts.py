"""Watches the verdicts of the validators: none may be worse after a change than before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloison.change.gate import GateCheck
from cloison.errors import CloisonError
from cloison.flow import Outcome
from cloison.gate.flows import Fate
from cloison.gate.tries import both_tries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cloison.flow import Verdict
    from cloison.gate.flows import Fated

    Judge = Callable[[Sequence[str]], Sequence[Verdict]]
    """Runs the validators of some families, ids or patterns, all for none, and returns their verdicts."""

FAMILIES: Final = ("reach", "packets")
"""What is cheapest of all that judges flows: both are read off one and the same run of the whole matrix."""


class VerdictWatch:
    """A `cloison.change.gate.Watch` of validators."""

    def __init__(
        self, judge: Judge, fated: Iterable[Fated], families: Sequence[str] = FAMILIES, *, settling: bool = False
    ) -> None:
        """Take what runs validators, and what the change is to do with flows: what it opens or closes must be right."""
        self._judge = judge
        self._families = tuple(families)
        self._settling = settling
        ends = [(one.flow.source.name, one.flow.destination.name) for one in fated if one.fate is not Fate.SURVIVES]
        self._changing = tuple(dict.fromkeys("--".join(f"{name}".replace("/", ".") for name in pair) for pair in ends))
        self._before: dict[str, Outcome] = {}

    def before(self) -> None:
        """Keep the verdicts of before the change; raises what keeps the validators from running."""
        self._before = {verdict.check: verdict.outcome for verdict in self._judge(self._families)}

    def after(self) -> tuple[GateCheck, ...]:
        """Return a check `verdict/<check>` for every validator; one that there was before and is no more is UNKNOWN."""
        first = self._checks(self._families)
        failed = [check.name.removeprefix("verdict/") for check in first if not check.passed]
        again = self._checks(failed) if failed else ()
        return both_tries(first, again, settling=self._settling)

    def close(self) -> None:
        """Do nothing: no validator is left running."""

    def _checks(self, asked: Sequence[str]) -> tuple[GateCheck, ...]:
        verdicts = {verdict.check: verdict for verdict in self._judged(asked)}
        found = [self._check(verdict) for verdict in verdicts.values()]
        whole = asked == self._families
        for name in sorted(self._before.keys() - verdicts.keys()) if whole else ():
            detail = "it was asked before the change and could not be asked after it"
            found.append(GateCheck(name=f"verdict/{name}", outcome=Outcome.UNKNOWN, detail=detail))
        return tuple(found)

    def _judged(self, asked: Sequence[str]) -> Sequence[Verdict]:
        try:
            return self._judge(asked)
        except CloisonError:
            if asked == self._families:
                raise
            return ()  # the second try alone: the first one stands

    def _check(self, verdict: Verdict) -> GateCheck:
        before, now = self._before.get(verdict.check), verdict.outcome
        outcome, detail = now, verdict.detail or verdict.title
        excused = before is not None and _badness(now) <= _badness(before) and not self._is_of_the_change(verdict.check)
        if now is not Outcome.PASS and excused:
            outcome, detail = Outcome.PASS, f"{now}, as before the change ({before}): {detail}"
        elif now is not Outcome.PASS and before is not None:
            detail = f"{before} before the change: {detail}"
        return GateCheck(name=f"verdict/{verdict.check}", outcome=outcome, detail=detail)

    def _is_of_the_change(self, check: str) -> bool:
        """Tell whether a check is about two ends between which the change opens or closes something."""
        subject = check.rsplit("/", 1)[-1]
        return any(subject == pair or subject.startswith(f"{pair}--") for pair in self._changing)


def _badness(outcome: Outcome) -> int:
    """Return how bad an outcome is: what could not be determined is worse than PASS, and FAIL is the worst."""
    return {Outcome.PASS: 0, Outcome.FAIL: 2}.get(outcome, 1)
