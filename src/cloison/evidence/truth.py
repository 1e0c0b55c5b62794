"""Who reaches whom: one cell for every ordered pair of places that was asked about, judged from its verdicts.

A verdict is about a pair by the last part of its check, exactly: `<source>--<destination>--<service>` for an authorised
flow (`Flow.key`), `<source>--<destination>` for everything else between the two; slashes of names are dots.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from cloison.flow import Flow, Outcome, Purpose, Verdict
from cloison.model import EquipmentName, Model, Name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SEVERITY = (Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN, Outcome.NOT_RUN, Outcome.PASS)
"""The worst first."""


class Reach(StrEnum):
    """What is so between two places."""

    DELIVERED = "delivered"
    """Some services are authorised; each arrives, and nothing else does."""
    SILENT = "silent"
    """Nothing is authorised, and nothing arrives."""
    LEAK = "leak"
    """Something arrives that is not authorised."""
    OUTAGE = "outage"
    """Something authorised does not arrive."""
    UNKNOWN = "unknown"
    """Not determined: a check of the pair is missing, broke or could not tell."""


class ServiceReached(Model):
    """One authorised service between two places, and whether it arrives."""

    service: Name
    purpose: Purpose
    rule: Name
    outcome: Outcome


class TruthCell(Model):
    """What is so from one place to another."""

    source: EquipmentName
    destination: EquipmentName
    reach: Reach
    authorised: tuple[ServiceReached, ...]
    silence: Outcome
    """Outcome of the checks that nothing else arrives; NOT_RUN when there was none."""

    @model_validator(mode="after")
    def _follows(self) -> Self:
        if self.reach is not reach_of([item.outcome for item in self.authorised], self.silence):
            msg = "what is said of a pair does not follow from its outcomes"
            raise ValueError(msg)
        return self


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the worst outcome; NOT_RUN when there is none."""
    return min(outcomes, key=SEVERITY.index, default=Outcome.NOT_RUN)


def pair_key(source: EquipmentName, destination: EquipmentName) -> str:
    """Return `<source>--<destination>` with the slashes as dots: the subject of what is refused between the two."""
    return f"{source}--{destination}".replace("/", ".")


def subject(check: str) -> str:
    """Return the last part of `<family>/<check>/<subject>`; the whole text when it has fewer parts."""
    return check.split("/", 2)[-1]


def truth_table(
    pairs: Iterable[tuple[EquipmentName, EquipmentName]], flows: Iterable[Flow], verdicts: Iterable[Verdict]
) -> tuple[TruthCell, ...]:
    """Return a cell for every ordered pair (source, destination) given, in their order."""
    by_subject: dict[str, list[Outcome]] = {}
    for verdict in verdicts:
        by_subject.setdefault(subject(verdict.check), []).append(verdict.outcome)
    by_pair: dict[tuple[EquipmentName, EquipmentName], list[Flow]] = {}
    for flow in flows:
        by_pair.setdefault((flow.source.name, flow.destination.name), []).append(flow)
    return tuple(
        _cell(source, destination, by_pair.get((source, destination), []), by_subject) for source, destination in pairs
    )


def _cell(
    source: EquipmentName, destination: EquipmentName, flows: Sequence[Flow], by_subject: Mapping[str, list[Outcome]]
) -> TruthCell:
    authorised = tuple(
        ServiceReached(
            service=flow.service.name,
            purpose=flow.purpose,
            rule=flow.rule,
            outcome=worst(by_subject.get(flow.key, ())),
        )
        for flow in sorted(flows, key=lambda flow: flow.key)
    )
    silence = worst(by_subject.get(pair_key(source, destination), ()))
    return TruthCell(
        source=source,
        destination=destination,
        reach=reach_of([item.outcome for item in authorised], silence),
        authorised=authorised,
        silence=silence,
    )


def reach_of(delivered: Sequence[Outcome], silence: Outcome) -> Reach:
    """Return what is so from the outcomes of the authorised services and of the silence about the rest.

    A leak weighs more than an outage, an outage more than not knowing; delivered and silent ask for PASS everywhere.
    """
    if silence is Outcome.FAIL:
        return Reach.LEAK
    if Outcome.FAIL in delivered:
        return Reach.OUTAGE
    if silence is not Outcome.PASS or any(outcome is not Outcome.PASS for outcome in delivered):
        return Reach.UNKNOWN
    return Reach.DELIVERED if delivered else Reach.SILENT
