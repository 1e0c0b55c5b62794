"""What becomes of a check that did not pass and was asked once more: both tries are kept, whichever counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloison.change.gate import GateCheck


def both_tries(first: Iterable[GateCheck], again: Iterable[GateCheck], *, settling: bool) -> tuple[GateCheck, ...]:
    """Return the checks; one that did not pass has both tries, and the outcome of the second one only if `settling`."""
    second = {check.name: check for check in again}
    return tuple(_of_both(check, second.get(check.name), settling=settling) for check in first)


def _of_both(check: GateCheck, again: GateCheck | None, *, settling: bool) -> GateCheck:
    if check.passed or again is None:
        return check
    tries = tuple(f"{one.outcome}: {one.detail}" for one in (check, again))
    counted = again if settling else check
    detail = f"{again.detail} (on the second try)" if settling and again.passed else counted.detail
    return counted.model_copy(update={"tries": tries, "detail": detail})
