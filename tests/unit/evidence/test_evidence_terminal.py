import io
from collections.abc import Callable
from itertools import permutations

import pytest
from rich.console import Console, RenderableType

from cloison.evidence.document import AuditDocument
from cloison.evidence.terminal import TruthMatrix, findings, tally_table, truth_table, verdict_line
from cloison.evidence.truth import pair_key
from cloison.evidence.truth import truth_table as truth_cells
from cloison.flow import Outcome, Verdict
from cloison.model import EquipmentName

Make = Callable[..., AuditDocument]
HOSTILE = "\x1b]0;owned\x07[link=http://x]\u202egpj.exe[/nope]\x9b2J<script>"


def printed(renderable: RenderableType, width: int = 120) -> str:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=False, color_system=None).print(renderable)
    return file.getvalue()


def test_the_verdict_line_counts_each_outcome(document: AuditDocument) -> None:
    assert printed(verdict_line(document)) == (
        "DOES NOT CONFORM  9 of 10 checks run  ✓ 5 PASS  ✗ 2 FAIL  ! 1 ERROR  ? 1 UNKNOWN  ○ 1 NOT_RUN"
        "  (1 FAIL waived)\n"
    )


def test_a_run_that_did_not_end_says_so(make: Make) -> None:
    found = make((Verdict(check="a/b/c", outcome=Outcome.PASS, title="t"),), ended=False)
    assert "COULD NOT BE DETERMINED" in printed(verdict_line(found))
    assert "did not come to its end" in printed(verdict_line(found))
    complaining = found.model_copy(update={"complaint": "\x1b[2Jkilled"})
    assert printed(findings(complaining)) == "the run broke off: \\x1b[2Jkilled\n"


def test_the_tally_by_family_adds_up(document: AuditDocument) -> None:
    lines = printed(tally_table(document)).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["fibre", "hosts", "packets", "reach", "tunnel", "video", "all"]
    assert lines[-1].split() == ["all", "5", "2", "1", "1", "1"]


def test_findings_come_worst_first_and_the_waived_one_says_so(document: AuditDocument) -> None:
    heads = [line for line in printed(findings(document)).splitlines() if not line.startswith("  ")]
    assert [head.split()[1] for head in heads] == ["FAIL", "FAIL", "ERROR", "UNKNOWN", "NOT_RUN"]
    assert heads[1] == "✗ FAIL    tunnel/up/video (waived)"


def test_the_truth_table_marks_every_pair(document: AuditDocument) -> None:
    lines = [line.split() for line in printed(truth_table(document.truth)).splitlines()]
    assert lines[0] == ["from", "\\", "to", "1", "2", "3"]
    assert lines[1] == ["1", "town/camera", "?", "·"]
    assert lines[2] == ["2", "town/gateway", "?", "·"]
    assert lines[3] == ["3", "cell/station", "✗", "✓"]
    assert lines[-1] == ["✗", "cell/station", "→", "town/camera:", "something", "unauthorised", "arrives"]


@pytest.mark.parametrize("width", [20, 40, 80, 103])
def test_a_narrow_terminal_loses_no_column(width: int) -> None:
    names = [EquipmentName(f"operations-centre/administration-{n}") for n in range(20)]
    checks = [f"packets/refused/{pair_key(a, b)}" for a, b in permutations(names, 2)]
    verdicts = [Verdict(check=check, outcome=Outcome.FAIL, title="t") for check in checks]
    shown = printed(TruthMatrix(truth_cells(permutations(names, 2), [], verdicts)), width)
    assert shown.count("✗") == 20 * 19
    assert all(len(line) <= width for line in shown.splitlines())


def test_hostile_text_stays_text(make: Make) -> None:
    found = make((Verdict(check=f"{HOSTILE}/b/c", outcome=Outcome.FAIL, title=HOSTILE, detail=HOSTILE),))
    for shown in (printed(findings(found)), printed(tally_table(found))):
        assert not any(char in shown for char in "\x1b\x07\x9b\u202e")
        assert "[link=" in shown
