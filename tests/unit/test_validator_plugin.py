"""The plugin that runs validators: what it plans, how the end of a validator becomes a verdict, what it refuses."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cloison.audit import AuditRun, run
from cloison.errors import EvidenceError
from cloison.flow import Outcome, Verdict
from cloison.transport.local import LocalRunner
from cloison.workspace import Network, Workspace

ROOT = Path(__file__).parents[2]
IMPORTS = "import os, signal\nimport pytest\nfrom cloison.testing.checks import Undetermined\n"
Judge = Callable[[str], AuditRun]


def workspace_at(folder: Path, text: str) -> Workspace:
    """Return a workspace with the pilot's inventory and one validator."""
    shutil.copytree(ROOT / "inventory", folder / "inventory")
    (folder / "pyproject.toml").write_text('[tool.cloison]\nnetwork = "lab"\n', encoding="utf-8")
    family = folder / "validators" / "family"
    family.mkdir(parents=True)
    (family / "test_made_up.py").write_text(IMPORTS + text, encoding="utf-8")
    return Workspace(folder, Network.LAB)


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Return what runs the text of a validator over the pilot's intent; no network is asked."""
    return lambda text: run(workspace_at(tmp_path, text), Network.LAB, "none", lambda _: None)


def only(found: AuditRun) -> Verdict:
    """Return the one verdict of a run that came to its end."""
    assert found.stream.ended, found.complaint
    (verdict,) = found.stream.verdicts
    return verdict


def mark(name: str) -> str:
    return f'@pytest.mark.check("family/check/{name}", title="a title")\n'


MARK = mark("subject")
FIXTURES = """
@pytest.fixture
def broken(): assert False, 'set-up'
@pytest.fixture
def unsure(): raise Undetermined('not here')
@pytest.fixture
def untidy():
    yield
    raise OSError('left behind')
"""
ENDS = {
    "says": ("def test_{}(say): say('so it is')", Outcome.PASS, "so it is"),
    "asserts": ("def test_{}(): assert False, 'it is wrong'", Outcome.FAIL, "it is wrong\nassert False"),
    "raises": ("def test_{}(): raise AssertionError('bare words')", Outcome.FAIL, "bare words"),
    "unknown": ("def test_{}(): raise Undetermined('nobody knows')", Outcome.UNKNOWN, "nobody knows"),
    "skips": ("def test_{}(): pytest.skip('later')", Outcome.ERROR, "a validator lets itself be left out"),
    "skip": ("@pytest.mark.skip\ndef test_{}(): pass", Outcome.ERROR, "a validator lets itself be left out"),
    "xfail": ("@pytest.mark.xfail\ndef test_{}(): assert False", Outcome.ERROR, "a validator lets itself be left out"),
    "xpass": ("@pytest.mark.xfail\ndef test_{}(): pass", Outcome.ERROR, "a validator lets itself be left out"),
    "breaks": ("def test_{}(): 1 / 0", Outcome.ERROR, "ZeroDivisionError: division by zero"),
    "missing": ("def test_{}(no_such_thing): pass", Outcome.ERROR, "fixture 'no_such_thing' not found"),
    "set-up": ("def test_{}(broken): pass", Outcome.ERROR, "set-up"),
    "set-up-unknown": ("def test_{}(unsure): pass", Outcome.UNKNOWN, "not here"),
    "tear-down": ("def test_{}(untidy): pass", Outcome.ERROR, "left behind"),
    "tear-down-too": ("def test_{}(untidy): assert False, 'wrong'", Outcome.FAIL, "wrong"),
}


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    """Return the verdicts of one run with a validator for each way to end, by the subject."""
    bodies = [mark(name) + body.format(name.replace("-", "_")) for name, (body, _, _) in ENDS.items()]
    workspace = workspace_at(tmp_path_factory.mktemp("ends"), FIXTURES + "\n\n".join(bodies))
    found = run(workspace, Network.LAB, "none", lambda _: None)
    assert found.stream.ended, found.complaint
    return {verdict.check.rsplit("/", 1)[1]: verdict for verdict in found.stream.verdicts}


@pytest.mark.parametrize("name", ENDS)
def test_end_of_a_validator_becomes_one_verdict(ends: dict[str, Verdict], name: str) -> None:
    _, outcome, detail = ENDS[name]
    assert (ends[name].title, ends[name].outcome) == ("a title", outcome)
    assert detail in ends[name].detail


def test_every_end_has_one_verdict(ends: dict[str, Verdict]) -> None:
    assert sorted(ends) == sorted(ENDS)


def test_a_verdict_says_what_it_evidences_and_what_is_emulated(judge: Judge) -> None:
    rich = '@pytest.mark.check("family/check/subject", title="a title", controls=("R1", "R2"), emulated=True)\n'
    verdict = only(judge(rich + "def test_a(): pass"))
    assert (verdict.controls, verdict.emulated) == (("R1", "R2"), True)


def test_there_is_one_check_for_each_subject(judge: Judge) -> None:
    open_mark = '@pytest.mark.check("family/check", title="of {subject}")\n'
    found = judge(open_mark + "def test_a(site): assert site.name != 'crisis-cell', 'it is'")
    outcomes = {verdict.check: (verdict.outcome, verdict.title) for verdict in found.stream.verdicts}
    assert outcomes == {
        "family/check/crisis-cell": (Outcome.FAIL, "of crisis-cell"),
        "family/check/operations-centre": (Outcome.PASS, "of operations-centre"),
        "family/check/roussy-le-village": (Outcome.PASS, "of roussy-le-village"),
    }
    assert [planned.check for planned in found.stream.planned] == [
        "family/check/roussy-le-village",
        "family/check/crisis-cell",
        "family/check/operations-centre",
    ]


def test_a_check_without_subjects_is_not_planned(judge: Judge) -> None:
    empty = '@pytest.mark.check("family/none", title="t")\n@pytest.mark.parametrize("x", [])\ndef test_b(x): pass\n'
    assert only(judge(empty + MARK + "def test_a(): pass")).check == "family/check/subject"


def test_a_run_that_dies_leaves_what_it_did_not_come_to(judge: Judge) -> None:
    def one(name: str, body: str) -> str:
        return f'@pytest.mark.check("family/check/{name}", title="t")\ndef test_{name}(): {body}\n'

    found = judge(one("a", "pass") + one("b", "os.kill(os.getpid(), signal.SIGKILL)") + one("c", "pass"))
    assert [verdict.outcome for verdict in found.stream.verdicts] == [Outcome.PASS, Outcome.NOT_RUN, Outcome.NOT_RUN]
    assert (found.stream.ended, found.stream.run, len(found.stream.planned)) == (False, 1, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def test_a(): pass", "expected @pytest.mark.check"),
        ('@pytest.mark.check("family/check", title="t")\ndef test_a(): pass', "expected <family>/<check>/<subject>"),
        ('@pytest.mark.check("a/b/c")\ndef test_a(): pass', "and a title"),
        ('@pytest.mark.check("a/b/c", title="t", contols=())\ndef test_a(): pass', "contols"),
        (f"{MARK}def test_a(): pass\n{MARK}def test_b(): pass", "are both the check family/check/subject"),
        ("@pytest.mark.chekc\ndef test_a(): pass", "'chekc' not found in `markers`"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("", "no tests ran"),
    ],
)
def test_validators_that_cannot_be_planned_are_refused(judge: Judge, text: str, said: str) -> None:
    with pytest.raises(EvidenceError, match="no check was planned") as caught:
        judge(text)
    assert said in str(caught.value)
    assert "set()" not in str(caught.value)


def test_lines_are_heard_while_the_run_lasts(tmp_path: Path) -> None:
    lines: list[str] = []
    workspace = workspace_at(tmp_path, MARK + "def test_a(): pass")
    run(workspace, Network.LAB, "none", lambda line: lines.append(json.loads(line)["event"]))
    assert lines == ["planned", "result", "end"]


def test_a_twin_that_is_not_up_is_an_error(judge: Judge) -> None:
    verdict = only(judge(f"{MARK}def test_a(network): network.attachments()"))
    assert (verdict.outcome, verdict.detail) == (
        Outcome.ERROR,
        "lab none is not up; start it with `cloison lab up --name none`",
    )


def test_a_broken_inventory_is_told_without_a_trace(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path, MARK + "def test_a(): pass")
    (workspace.inventory / "network.yaml").write_text("network: [", encoding="utf-8")
    with pytest.raises(EvidenceError, match=r"network\.yaml:\d+:\d+: CL") as caught:
        run(workspace, Network.LAB, "none", lambda _: None)
    assert "Traceback" not in str(caught.value)


def test_plugin_is_inert_without_a_network(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text("def test_plain(request): assert request\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(tmp_path)]
    result = LocalRunner().run([*command, "--results", str(tmp_path / "results.jsonl")])
    assert result.exit_status == 0, result.text
    assert not (tmp_path / "results.jsonl").exists()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def test_a(:", "SyntaxError: "),
        ("import nothing_there", "No module named 'nothing_there'"),
    ],
)
def test_what_cannot_be_collected_is_said_in_a_few_words(judge: Judge, text: str, line: str) -> None:
    with pytest.raises(EvidenceError, match=line) as raised:
        judge(text)
    said = str(raised.value)
    assert "validators/family/test_made_up.py" in said
    assert "_pytest" not in said
    assert len(said.splitlines()) < 10


def test_a_process_that_ends_itself_is_said_to_have(judge: Judge) -> None:
    found = judge(f"import os\n{mark('one')}def test_a(): os._exit(0)\n{mark('two')}def test_b(): pass")
    assert not found.stream.ended
    assert found.complaint.startswith("the validators' process ended by itself before its end")
    assert {verdict.outcome for verdict in found.stream.verdicts} == {Outcome.NOT_RUN}
