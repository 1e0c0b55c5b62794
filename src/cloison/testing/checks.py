"""How a validator says which check it is, and how what became of it turns into a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from cloison.flow import Outcome, Verdict
from cloison.model import Untrusted

if TYPE_CHECKING:
    from collections.abc import Callable

MARKER = "check"
MARKER_LINE = (
    f"{MARKER}(name, title=, controls=(), emulated=False): this validator is the check <family>/<check>, once for each "
    "subject; or <family>/<check>/<subject>, once. `{subject}` in the title is filled in."
)
_DETAIL_LIMIT = 20_000
_PARTS = 3


class Undetermined(Exception):  # noqa: N818  it says what is so, not that something broke
    """What a validator raises when it cannot tell: the outcome is UNKNOWN, with this reason."""


@dataclass(frozen=True, slots=True)
class Check:
    """What is declared of one check."""

    id: str
    title: str
    controls: tuple[str, ...]
    emulated: bool


@dataclass(slots=True)
class Course:
    """What has become of one check so far."""

    check: Check
    outcome: Outcome = Outcome.PASS
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def worsen(self, outcome: Outcome, reason: str) -> None:
        """Take in a bad end of one phase; what failed first stays, for what follows may be its consequence."""
        if self.outcome is Outcome.PASS:
            self.outcome = outcome
        self.reasons.append(reason)

    def verdict(self) -> Verdict:
        """Return the verdict: the reasons, then what the validator said on its way."""
        detail = "\n".join([*self.reasons, *self.notes])
        return Verdict(
            check=self.check.id,
            outcome=self.outcome,
            title=self.check.title,
            detail=Untrusted(detail).shown(_DETAIL_LIMIT),
            seconds=round(self.seconds, 3),
            emulated=self.check.emulated,
            controls=self.check.controls,
        )


def check_of(item: pytest.Item, *, twin: bool) -> Check:
    """Return what a collected validator declares; UsageError when it declares nothing or something else.

    What is emulated in a twin is real on the live network.
    """
    marker = item.get_closest_marker(MARKER)
    if marker is None or len(marker.args) != 1:
        msg = f"{item.nodeid}: expected @pytest.mark.check('<family>/<check>', title='…')"
        raise pytest.UsageError(msg)
    title, controls = marker.kwargs.get("title"), marker.kwargs.get("controls", ())
    unknown = set(marker.kwargs) - {"title", "controls", "emulated"}
    callspec = getattr(item, "callspec", None)
    parts = [str(marker.args[0]), *([callspec.id] if callspec is not None else [])]
    identifier = "/".join(parts)
    if unknown or not title or identifier.count("/") != _PARTS - 1:
        wrong = f"; it takes no {', '.join(sorted(unknown))}" if unknown else ""
        msg = f"{item.nodeid}: check {identifier!r}; expected <family>/<check>/<subject> and a title{wrong}"
        raise pytest.UsageError(msg)
    subject = identifier.rsplit("/", 1)[1]
    return Check(
        id=identifier,
        title=str(title).replace("{subject}", subject),
        controls=tuple(controls),
        emulated=twin and bool(marker.kwargs.get("emulated", False)),
    )


def outcome_of(phase: str, error: BaseException) -> Outcome:
    """Return what an exception in a phase (setup, call, teardown) says of the check.

    An assertion in the call is about the network; the same in a fixture, or any other exception, is the check's own.
    """
    if isinstance(error, Undetermined):
        return Outcome.UNKNOWN
    if phase == "call" and isinstance(error, AssertionError):
        return Outcome.FAIL
    return Outcome.ERROR


def reason_of(error: BaseException, fallback: Callable[[], str]) -> str:
    """Return what to say of an exception in the detail of a verdict, in its own words where they are meant for that."""
    from cloison.errors import CloisonError  # noqa: PLC0415  the plugin loads nothing before it is used

    text = str(error).strip()
    if isinstance(error, AssertionError | Undetermined | CloisonError):
        return text or fallback()
    return f"{type(error).__name__}: {text}\n{fallback()}"
