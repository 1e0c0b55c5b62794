import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloison.errors import EvidenceError
from cloison.evidence.stream import PlannedCheck, StreamWriter, read_stream
from cloison.flow import Outcome, Verdict

CHECKS = ("reach/a/one", "reach/a/two", "tunnel/b/three")


def verdict(check: str, outcome: Outcome = Outcome.PASS) -> Verdict:
    return Verdict(check=check, outcome=outcome, title="a check", controls=("R1",))


def written(*verdicts: Verdict, end: bool = True) -> bytes:
    file = io.BytesIO()
    writer = StreamWriter(file)
    writer.planned(tuple(PlannedCheck(check=check, title="planned") for check in CHECKS))
    for item in verdicts:
        writer.result(item)
    if end:
        writer.end()
    return file.getvalue()


WHOLE = written(*(verdict(check) for check in CHECKS))


def test_a_whole_stream() -> None:
    found = read_stream(WHOLE, "audit.jsonl")
    assert [item.outcome for item in found.verdicts] == [Outcome.PASS] * 3
    assert (found.run, len(found.planned), found.ended) == (3, 3, True)
    assert found.verdicts[0] == verdict("reach/a/one")


def test_each_line_is_flushed_when_the_call_returns() -> None:
    class Watched(io.BytesIO):
        flushed = b""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    file = Watched()
    writer = StreamWriter(file)
    writer.planned(())
    assert file.flushed.endswith(b"\n")
    writer.result(verdict("a/b/c"))
    assert file.flushed.count(b"\n") == 2


@settings(deadline=None)  # a busy machine is not a failure
@given(st.integers(min_value=0, max_value=len(WHOLE) - 1))
def test_a_stream_cut_anywhere_reads_and_never_ends(cut: int) -> None:
    found = read_stream(WHOLE[:cut], "audit.jsonl")
    assert not found.ended
    assert found.run == max(0, WHOLE[:cut].count(b"\n") - 1)
    assert sum(item.outcome is Outcome.NOT_RUN for item in found.verdicts) == len(found.planned) - found.run


def test_what_was_planned_and_has_no_result_is_not_run() -> None:
    found = read_stream(written(verdict(CHECKS[1]), end=False), "audit.jsonl")
    assert {item.check: item.outcome for item in found.verdicts} == {
        CHECKS[0]: Outcome.NOT_RUN,
        CHECKS[1]: Outcome.PASS,
        CHECKS[2]: Outcome.NOT_RUN,
    }
    assert not found.ended


def test_a_result_nobody_planned_counts_and_makes_run_differ_from_planned() -> None:
    found = read_stream(written(*(verdict(check) for check in (*CHECKS, "more/x/y"))), "audit.jsonl")
    assert (found.run, len(found.planned)) == (4, 3)


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (Outcome.PASS, Outcome.PASS, Outcome.ERROR),
        (Outcome.FAIL, Outcome.PASS, Outcome.FAIL),
        (Outcome.PASS, Outcome.FAIL, Outcome.FAIL),
        (Outcome.UNKNOWN, Outcome.PASS, Outcome.ERROR),
    ],
)
def test_a_check_that_reports_twice_is_never_green(first: Outcome, second: Outcome, kept: Outcome) -> None:
    content = written(verdict(CHECKS[0], first), verdict(CHECKS[0], second))
    found = {item.check: item for item in read_stream(content, "audit.jsonl").verdicts}
    assert found[CHECKS[0]].outcome is kept
    assert "reported more than once" in found[CHECKS[0]].detail


def test_an_end_line_that_counts_other_results_is_no_end() -> None:
    lines = WHOLE.splitlines(keepends=True)
    assert not read_stream(b"".join(lines[:2] + lines[3:]), "audit.jsonl").ended


def test_an_empty_stream_says_nothing() -> None:
    found = read_stream(b"", "audit.jsonl")
    assert (found.planned, found.verdicts, found.run, found.ended) == ((), (), 0, False)


LINES = WHOLE.splitlines(keepends=True)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(LINES[0] + b"Traceback\n" + LINES[1], id="not-json"),
        pytest.param(LINES[0] + b'{"event":"result","verdict":{}}\n', id="half-a-verdict"),
        pytest.param(LINES[0] + b'{"event":"end","results":0,"results":3}\n', id="duplicate-key"),
        pytest.param(LINES[0] + b'{"event":"end","results":"3"}\n', id="text-for-a-number"),
        pytest.param(LINES[0] + b'{"event":"fin","results":3}\n', id="unknown-event"),
        pytest.param(LINES[0] + b"\n", id="empty-line"),
        pytest.param(LINES[1] + LINES[0], id="result-before-planned"),
        pytest.param(LINES[0] + LINES[0], id="planned-twice"),
        pytest.param(WHOLE + LINES[1], id="result-after-end"),
        pytest.param(WHOLE + LINES[-1], id="end-twice"),
        pytest.param(LINES[0] + b"[" * 100_000 + b"\n", id="deep"),
        pytest.param(LINES[0] + b'"' + b"a" * 1_000_001 + b'"\n', id="long"),
    ],
)
def test_a_whole_line_that_is_wrong_is_an_error_at_its_line(content: bytes) -> None:
    with pytest.raises(EvidenceError, match=r"^audit\.jsonl:\d+: "):
        read_stream(content, "audit.jsonl")
