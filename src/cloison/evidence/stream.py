"""The lines that a run streams while it checks: what is planned, each result, the end.

One JSON object a line. A line counts once its newline is written, so a killed run loses at most the line it was in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Literal, TypeAlias

from pydantic import Field, NonNegativeInt, TypeAdapter, ValidationError

from cloison.errors import EvidenceError
from cloison.evidence.canonical import canonical, strict
from cloison.flow import Outcome, Verdict
from cloison.model import Model

LINE_LIMIT = 1_000_000
"""Bytes of one line."""


class PlannedCheck(Model):
    """One check that the run means to carry out."""

    check: str = Field(min_length=1)
    title: str


class PlannedLine(Model):
    """The first line: everything that will be checked."""

    event: Literal["planned"] = "planned"
    checks: tuple[PlannedCheck, ...]


class ResultLine(Model):
    """The verdict of one check."""

    event: Literal["result"] = "result"
    verdict: Verdict


class EndLine(Model):
    """The last line: the run came to its end, with so many results."""

    event: Literal["end"] = "end"
    results: NonNegativeInt


Line: TypeAlias = PlannedLine | ResultLine | EndLine
_LINE: TypeAdapter[Line] = TypeAdapter(Line)


class StreamWriter:
    """Writes the lines to a file opened for appending; each line is flushed before the call returns."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._results = 0

    def planned(self, checks: tuple[PlannedCheck, ...]) -> None:
        """Write what will be checked; to be called once, first."""
        self._write(PlannedLine(checks=checks))

    def result(self, verdict: Verdict) -> None:
        """Write the verdict of one check."""
        self._write(ResultLine(verdict=verdict))
        self._results += 1

    def end(self) -> None:
        """Write that the run came to its end."""
        self._write(EndLine(results=self._results))

    def close(self) -> None:
        """Close the file; nothing can be written after."""
        self._file.close()

    def _write(self, line: Line) -> None:
        try:
            self._file.write(canonical(line.model_dump(mode="json")))
            self._file.flush()
        except OSError as error:
            msg = f"the stream of results cannot be written: {error.strerror}"
            raise EvidenceError(msg) from error


@dataclass(frozen=True, slots=True)
class Stream:
    """What a stream of lines says, with a verdict for every planned check."""

    planned: tuple[PlannedCheck, ...]
    verdicts: tuple[Verdict, ...]
    """One a check, sorted: the results, NOT_RUN for what was planned and has none, and what nobody planned."""
    run: int
    """How many checks have a result."""
    ended: bool
    """True when the end line is there and counts the results that are there."""


def read_stream(content: bytes, place: str) -> Stream:
    """Return what the lines say; a last line without its newline was cut off and does not count.

    Raises EvidenceError, naming `place` and the line, on a whole line that is not one of the three, on a second
    `planned`, on a result before it, and on anything after `end`.
    """
    planned: tuple[PlannedCheck, ...] | None = None
    results: list[Verdict] = []
    end: EndLine | None = None
    for number, text in enumerate(content.split(b"\n")[:-1], start=1):
        line = _line(text, f"{place}:{number}")
        if end is not None or (planned is None) != isinstance(line, PlannedLine):
            msg = f"{place}:{number}: `{line.event}` out of order; expected planned, results, end"
            raise EvidenceError(msg)
        if isinstance(line, PlannedLine):
            planned = line.checks
        elif isinstance(line, ResultLine):
            results.append(line.verdict)
        else:
            end = line
    return _stream(planned or (), results, ended=end is not None and end.results == len(results))


def _line(text: bytes, place: str) -> Line:
    if len(text) > LINE_LIMIT:
        msg = f"{place}: longer than {LINE_LIMIT} bytes"
        raise EvidenceError(msg)
    value = strict(text, place)
    try:
        # JSON knows no tuples: lists become tuples here, and nothing else is converted.
        return _LINE.validate_json(canonical(value), strict=True)
    except ValidationError as error:
        msg = f"{place}: neither planned, result nor end: {error.error_count()} mistakes"
        raise EvidenceError(msg) from error


def _stream(planned: tuple[PlannedCheck, ...], results: list[Verdict], *, ended: bool) -> Stream:
    found: dict[str, Verdict] = {}
    for verdict in results:
        earlier = found.get(verdict.check)
        found[verdict.check] = verdict if earlier is None else _twice(earlier, verdict)
    run = len(found)
    for item in planned:
        if item.check not in found:
            found[item.check] = Verdict(
                check=item.check, outcome=Outcome.NOT_RUN, title=item.title, detail="planned, and no result came"
            )
    return Stream(planned, tuple(found[check] for check in sorted(found)), run, ended)


def _twice(first: Verdict, second: Verdict) -> Verdict:
    """Return one verdict for a check that reported twice: FAIL if either is, ERROR otherwise."""
    failed = Outcome.FAIL in {first.outcome, second.outcome}
    return second.model_copy(
        update={
            "outcome": Outcome.FAIL if failed else Outcome.ERROR,
            "detail": f"reported more than once ({first.outcome}: {first.detail}; {second.outcome}: {second.detail})",
        }
    )
