"""The document of one audit, `cloison audit --json`: frozen, self-consistent, the same bytes for the same facts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    NonNegativeInt,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from cloison.document_schema import document_schema
from cloison.errors import EvidenceError
from cloison.evidence.canonical import canonical, strict
from cloison.evidence.run import RunId
from cloison.evidence.truth import SEVERITY, TruthCell
from cloison.flow import Outcome, Verdict, exit_code
from cloison.model import Model, Name
from cloison.workspace import Network

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cloison.evidence.stream import Stream

SCHEMA_FILE = Path(__file__).with_name("audit.schema.json")
NOT_ASKED = "not asked for"
"""Why something was not examined, when it is because the user asked for other checks alone."""
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"


def _to_second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


Moment = Annotated[
    AwareDatetime,
    AfterValidator(_to_second),
    PlainSerializer(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": _MOMENT, "description": "a UTC time to the second"}),
]
Day = Annotated[
    date, WithJsonSchema({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "description": "a day, UTC"})
]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Line = Annotated[str, Field(min_length=1)]


class AuditWaiver(Model):
    """A finding accepted for a time. It is reported, and never becomes a PASS."""

    check: Line
    """The exact check it is for."""
    reason: Line
    owner: Line
    expires: Day
    """The last day on which it applies."""


class WaiverReport(AuditWaiver):
    """A declared waiver and what became of it in this run."""

    applied: bool
    """True when it is not expired and its check is a FAIL."""
    expired: bool


class JudgedVerdict(Verdict):
    """The verdict of one check, and whether its FAIL is waived."""

    waived: bool


class Tally(Model):
    """How many checks have each outcome. A waived FAIL is a FAIL."""

    PASS: NonNegativeInt
    FAIL: NonNegativeInt
    ERROR: NonNegativeInt
    UNKNOWN: NonNegativeInt
    NOT_RUN: NonNegativeInt
    waived: NonNegativeInt
    """How many of the FAIL are waived."""

    def of(self, outcome: Outcome) -> int:
        """Return how many checks have this outcome."""
        return {
            Outcome.PASS: self.PASS,
            Outcome.FAIL: self.FAIL,
            Outcome.ERROR: self.ERROR,
            Outcome.UNKNOWN: self.UNKNOWN,
            Outcome.NOT_RUN: self.NOT_RUN,
        }[outcome]


class NotExamined(Model):
    """Something of the network that no check looked at, and why."""

    name: Line
    reason: Line


class AuditDocument(Model):
    """What one audit found."""

    format: Literal["cloison-audit-1"] = "cloison-audit-1"
    run_id: RunId
    started: Moment
    finished: Moment
    network: Network
    lab: Name | None
    """The name of the twin; null for the live network."""
    version: Line
    """Of Cloison."""
    intent: Digest
    """SHA-256 of the declared intent."""
    planned: NonNegativeInt
    """How many checks the run meant to carry out."""
    run: NonNegativeInt
    """How many checks reported a result."""
    ended: bool
    """True when the run came to its own end."""
    complaint: str
    """What the run said when it broke or was cut off; empty when it came to its own end."""
    tally: Tally
    verdicts: tuple[JudgedVerdict, ...]
    truth: tuple[TruthCell, ...]
    waivers: tuple[WaiverReport, ...]
    not_examined: tuple[NotExamined, ...]
    emulated: tuple[Line, ...]
    """What was measured on an emulation."""
    exit_code: Literal[0, 1, 3]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        checks = [verdict.check for verdict in self.verdicts]
        wrong = [
            name
            for name, holds in {
                "finished before started": self.finished >= self.started,
                "two verdicts for one check": len(set(checks)) == len(checks),
                "a waived verdict that is no FAIL": all(
                    verdict.outcome is Outcome.FAIL for verdict in self.verdicts if verdict.waived
                ),
                "a tally that does not count the verdicts": self.tally == tally_of(self.verdicts),
                "an exit code that does not follow": self.exit_code == self._exit_code(),
                "a lab name for the live network, or none for the lab": (self.network == "lab") == bool(self.lab),
            }.items()
            if not holds
        ]
        if wrong:
            msg = "; ".join(wrong)
            raise ValueError(msg)
        return self

    def _exit_code(self) -> int:
        return audit_exit_code(
            [verdict.outcome for verdict in self.verdicts], planned=self.planned, run=self.run, ended=self.ended
        )

    def to_json(self) -> bytes:
        """Return the canonical bytes of the document."""
        return canonical(self.model_dump(mode="json"))


def audit_exit_code(outcomes: Sequence[Outcome], *, planned: int, run: int, ended: bool) -> Literal[0, 1, 3]:
    """Return 0 when every planned check ran and is PASS, and the run ended; 1 on a FAIL, waived or not; 3 otherwise."""
    code = exit_code(tuple(outcomes))
    if code == 1:
        return 1
    return 0 if code == 0 and ended and planned == run == len(outcomes) else 3


def tally_of(verdicts: Iterable[JudgedVerdict]) -> Tally:
    """Return how many verdicts have each outcome, and how many FAIL are waived."""
    counts = dict.fromkeys(SEVERITY, 0)
    waived = 0
    for verdict in verdicts:
        counts[verdict.outcome] += 1
        waived += verdict.waived
    return Tally(
        PASS=counts[Outcome.PASS],
        FAIL=counts[Outcome.FAIL],
        ERROR=counts[Outcome.ERROR],
        UNKNOWN=counts[Outcome.UNKNOWN],
        NOT_RUN=counts[Outcome.NOT_RUN],
        waived=waived,
    )


def apply_waivers(
    verdicts: Iterable[Verdict], waivers: Iterable[AuditWaiver], today: date
) -> tuple[tuple[JudgedVerdict, ...], tuple[WaiverReport, ...]]:
    """Return the verdicts with each FAIL that an unexpired waiver names marked as waived, and what each waiver did.

    A waiver names one check exactly. The outcome never changes.
    """
    judged = tuple(verdicts)
    failed = {verdict.check for verdict in judged if verdict.outcome is Outcome.FAIL}
    reports = tuple(
        WaiverReport(
            check=waiver.check,
            reason=waiver.reason,
            owner=waiver.owner,
            expires=waiver.expires,
            expired=today > waiver.expires,
            applied=today <= waiver.expires and waiver.check in failed,
        )
        for waiver in waivers
    )
    waived = {report.check for report in reports if report.applied}
    return (
        tuple(JudgedVerdict(**verdict.model_dump(), waived=verdict.check in waived) for verdict in judged),
        reports,
    )


class RunFacts(Model):
    """What is known of a run besides its results."""

    run_id: RunId
    started: Moment
    finished: Moment
    network: Network
    lab: Name | None
    version: Line
    intent: Digest


def audit_document(
    facts: RunFacts,
    stream: Stream,
    *,
    truth: tuple[TruthCell, ...],
    waivers: Iterable[AuditWaiver] = (),
    not_examined: tuple[NotExamined, ...] = (),
    emulated: tuple[str, ...] = (),
    complaint: str = "",
) -> AuditDocument:
    """Return the document of a run; waivers expire by the day on which the run finished, UTC."""
    verdicts, reports = apply_waivers(stream.verdicts, waivers, facts.finished.date())
    return AuditDocument(
        **{name: getattr(facts, name) for name in RunFacts.model_fields},
        planned=len(stream.planned),
        run=stream.run,
        ended=stream.ended,
        complaint=complaint,
        tally=tally_of(verdicts),
        verdicts=verdicts,
        truth=truth,
        waivers=reports,
        not_examined=not_examined,
        emulated=emulated,
        exit_code=audit_exit_code(
            [verdict.outcome for verdict in verdicts],
            planned=len(stream.planned),
            run=stream.run,
            ended=stream.ended,
        ),
    )


def read_document(content: bytes, place: str) -> AuditDocument:
    """Return the document that the bytes hold; EvidenceError, which names `place`, when it is none."""
    value = strict(content, place)
    try:
        return AuditDocument.model_validate_json(canonical(value), strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        msg = f"{place}: not the document of an audit: {where}: {first['msg']}"
        raise EvidenceError(msg) from error


def schema() -> dict[str, object]:
    """Return the JSON Schema (2020-12) of the document, every property required; SCHEMA_FILE holds the same."""
    return document_schema(AuditDocument)
