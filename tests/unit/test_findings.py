from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from rich.console import Console

from cloison.cli.findings.document import SCHEMA_FILE, ProofDocument, schema
from cloison.cli.findings.entries import proof_document
from cloison.cli.findings.form import Format
from cloison.cli.findings.junit import junit
from cloison.cli.findings.markdown import LIMIT, markdown
from cloison.cli.findings.origins import Origins
from cloison.cli.findings.sarif import FINGERPRINT, sarif
from cloison.cli.findings.show import format_of, show
from cloison.cli.findings.terminal import sheet
from cloison.cli.output import require_writable
from cloison.errors import InputError
from cloison.flow import Outcome
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.probe.witness import Fate
from cloison.prove.answer import Answer, Finding, FindingKind, Hop, TunnelsAre, Witness
from cloison.prove.difference import Change, ChangeKind, Difference
from cloison.prove.statement import Coverage, Place
from cloison.testing.witnesses import Claim, Tried, claims_of, disagreements
from cloison.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cloison.intent.network import Intent

ROOT = Path(__file__).parents[2]
FIREWALL = EquipmentName("roussy-le-village/firewall")
STATION = "crisis-cell/station-fire"
RECORDER = "roussy-le-village/nvr"
HOSTILE = "\x1b[2J]]>\x00\u202e|`<script>@everyone [x](http://x) \nnew line"
WITNESS = Witness(STATION, RECORDER, "TCP SYN from 10.56.2.2 port 40000 to 10.56.1.34 port 443", {"source": 2**127})
WAY = (
    Hop(str(FIREWALL), 'accepted by rule "watch-live"', Place(FIREWALL, "filter", 42), "tcp dport 443 accept"),
    Hop(RECORDER, "arrives"),
)
LEAK = Finding(
    FindingKind.LEAK,
    STATION,
    RECORDER,
    "tcp/443",
    "A station reaches the recorder.",
    rule="no-recording-outside",
    packets=2**80,
    witness=WITNESS,
    hops=WAY,
)
OUTAGE = Finding(
    FindingKind.OUTAGE,
    "roussy-le-village/nvr",
    "roussy-le-village/cam-narrow",
    "rtsps",
    "The recorder's stream does not come back.",
    reply=True,
    rule="record",
)
NOTICE = Finding(FindingKind.NOTICE, "", "roussy-le-village/core-switch", "", "A mirror copies every frame.")
UNDETERMINED = Finding(
    FindingKind.UNDETERMINED,
    "",
    str(FIREWALL),
    "",
    f"meta nftrace is not modelled: {HOSTILE}",
    tunnels=TunnelsAre.DOWN,
    hops=(Hop(str(FIREWALL), "not modelled", Place(FIREWALL, "filter", 7), HOSTILE),),
)
OPENED = Change(ChangeKind.OPENED, STATION, RECORDER, "tcp/443", "It gets through now.", witness=WITNESS, hops=WAY)
CLOSED = Change(ChangeKind.CLOSED, STATION, "roussy-le-village/live-gateway", "live-relay", "Gone.", rule="watch-live")
DIFFERENCE = Difference((OPENED, CLOSED), "main", "this workspace")
WHOLE = (Coverage(FIREWALL, "filter", 95, 95),)


def answer_of(*findings: Finding, coverage: tuple[Coverage, ...] = WHOLE) -> Answer:
    return Answer(findings, coverage, 30, 28, 120, 400, {"parse": 0.01, "prove": 0.03})


@pytest.fixture(scope="session")
def workspace() -> Workspace:
    return Workspace(ROOT)


@pytest.fixture(scope="session")
def intent(workspace: Workspace) -> Intent:
    return load(workspace)


@pytest.fixture(scope="session")
def origins(workspace: Workspace) -> Origins:
    return Origins(workspace)


class Maker:
    """Makes documents of hand-made answers."""

    def __init__(self, intent: Intent, origins: Origins) -> None:
        self.intent = intent
        self.origins = origins

    def __call__(
        self,
        *findings: Finding,
        difference: Difference | None = None,
        read: int = 95,
        tried: Mapping[str, Tried] | None = None,
    ) -> ProofDocument:
        coverage = (Coverage(FIREWALL, "filter", read, 95),) if read else ()
        return proof_document(
            answer_of(*findings, coverage=coverage),
            self.intent,
            subject="rendered configuration",
            origins=self.origins,
            difference=difference,
            origins_before=self.origins,
            tried=tried,
        )


@pytest.fixture(scope="session")
def make(intent: Intent, origins: Origins) -> Maker:
    return Maker(intent, origins)


@pytest.fixture(scope="session")
def document(make: Maker) -> ProofDocument:
    return make(LEAK, OUTAGE, NOTICE, UNDETERMINED, difference=DIFFERENCE, read=96)


# --- the document ------------------------------------------------------------------------------------------------


def shipped() -> dict[str, object]:
    found = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def fits(value: object) -> bool:
    return jsonschema.Draft202012Validator(shipped()).is_valid(value)


def test_the_shipped_proof_schema_is_the_generated_one() -> None:
    assert shipped() == schema(), f"write what schema() returns to {SCHEMA_FILE.name}"


def test_a_document_fits_the_schema(document: ProofDocument) -> None:
    assert fits(json.loads(document.to_json()))
    assert ProofDocument.model_validate_json(document.to_json()) == document


def mutilated(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every key of every object, in the first item of every list."""
    if isinstance(value, dict):
        return [
            found
            for key, inner in value.items()
            for found in ([(*path, key)] if path[-1:] not in {("packet",), ("seconds",)} else [])
            + mutilated(inner, (*path, key))
        ]
    return mutilated(value[0], (*path, 0)) if isinstance(value, list) and value else []


def holder(document: object, path: tuple[str | int, ...]) -> dict[str, object]:
    for key in path[:-1]:
        if isinstance(document, list):
            document = document[int(key)]
        elif isinstance(document, dict):
            document = document[key]
    assert isinstance(document, dict)
    return document


def test_a_document_that_lacks_a_property_or_has_one_more_or_another_type_does_not_fit(document: ProofDocument) -> None:
    whole = document.to_json()
    paths = mutilated(json.loads(whole))
    assert len(paths) > 70
    for path in paths:
        for mutilate in ("lack", "more", "type"):
            broken = json.loads(whole)
            inside, key = holder(broken, path), str(path[-1])
            if mutilate == "lack":
                del inside[key]
            elif mutilate == "more":
                inside[f"{key}-more"] = 1
            else:
                inside[key] = [[inside[key]]]
            assert not fits(broken), (mutilate, path)


def test_findings_of_one_identity_have_identifiers_of_their_own(make: Maker) -> None:
    assert [finding.id for finding in make(LEAK, LEAK, replace(LEAK, reply=True)).findings] == [
        "leak/crisis-cell.station-fire--roussy-le-village.nvr--tcp.443",
        "leak/crisis-cell.station-fire--roussy-le-village.nvr--tcp.443--2",
        "leak/crisis-cell.station-fire--roussy-le-village.nvr--tcp.443--reply",
    ]


@pytest.mark.parametrize(
    ("findings", "read", "outcome", "code"),
    [
        ((), 95, Outcome.PASS, 0),
        ((), 0, Outcome.UNKNOWN, 3),
        ((UNDETERMINED,), 95, Outcome.UNKNOWN, 3),
        ((UNDETERMINED, LEAK), 95, Outcome.FAIL, 1),
        ((NOTICE,), 95, Outcome.FAIL, 1),
    ],
)
def test_the_exit_code_follows_the_outcome(
    make: Maker, findings: tuple[Finding, ...], read: int, outcome: Outcome, code: int
) -> None:
    found = make(*findings, read=read)
    assert (found.outcome, found.exit_code) == (outcome, code)


# --- origins -----------------------------------------------------------------------------------------------------


def line_at(file: Path, line: int, column: int) -> str:
    return (ROOT / file).read_text(encoding="utf-8").splitlines()[line - 1][column - 1 :]


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (OUTAGE, "id: record"),
        (LEAK, "id: no-recording-outside"),
        (NOTICE, "core-switch: {serial: CSW-0001}"),
        (replace(NOTICE, receiver="roussy-le-village/core-switch:p6"), "p6, p7, p8, sfp1]"),
        (replace(NOTICE, receiver="roussy-le-village/cam-narrow:eth0"), "eth0]"),
        (replace(NOTICE, receiver="roussy-le-village/recording"), "{name: recording, vlan: recording"),
        (replace(NOTICE, receiver="roussy-le-village/live-segment"), "{name: live, vlan: live"),
        (replace(NOTICE, receiver="roussy-le-village/technician"), "roussy-le-village"),
        (replace(NOTICE, receiver="roussy-le-village/wan"), "{address: 192.0.2.2/30"),
        (replace(NOTICE, receiver="roussy-le-village"), "roussy-le-village"),
        (replace(NOTICE, receiver="internet"), "moselle-fibre"),
        (replace(NOTICE, receiver="", sender=STATION), "station-fire: {"),
        (CLOSED, "id: watch-live"),
    ],
    ids=lambda value: str(getattr(value, "rule", "") or getattr(value, "receiver", value)),
)
def test_a_finding_stands_on_the_line_that_someone_would_edit(
    origins: Origins, finding: Finding | Change, expected: str
) -> None:
    first = origins.of(finding)[0]
    assert line_at(first.file, first.line, first.column).startswith(expected)


def test_a_finding_of_nowhere_reads_nothing_it_need_not(tmp_path: Path) -> None:
    Origins(Workspace(tmp_path))
    with pytest.raises(InputError):
        Origins(Workspace(tmp_path)).of(LEAK)


# --- SARIF -------------------------------------------------------------------------------------------------------


def log_of(content: bytes) -> dict[str, object]:
    found = json.loads(content)
    assert isinstance(found, dict)
    return found


def test_sarif_fits_the_schema_of_oasis(
    document: ProofDocument, make: Maker, published_schema: Callable[[str], dict[str, object]]
) -> None:
    official = published_schema(
        "https://raw.githubusercontent.com/oasis-tcs/sarif-spec/master/Schemata/sarif-schema-2.1.0.json"
    )
    validator = jsonschema.Draft7Validator(official)
    for each in (document, make(), make(LEAK), make(read=0)):
        assert [error.message for error in validator.iter_errors(log_of(sarif(each)))] == []
    broken = log_of(sarif(document))
    broken["version"] = "2.0.0"
    assert not validator.is_valid(broken)


def test_a_result_has_its_fingerprint_rule_level_and_line(document: ProofDocument) -> None:
    (run,) = json.loads(sarif(document, PurePosixPath("networks/pilot")))["runs"]
    ids = [entry.id for entry in document.findings]
    assert [result["partialFingerprints"][FINGERPRINT] for result in run["results"]][: len(ids)] == ids
    assert len(run["results"]) == len(ids) + 2
    leak = run["results"][0]
    assert run["tool"]["driver"]["rules"][leak["ruleIndex"]]["id"] == leak["ruleId"] == "leak"
    assert leak["level"] == "error"
    where = leak["locations"][0]["physicalLocation"]
    assert where["artifactLocation"]["uri"] == "networks/pilot/inventory/invariants.yaml"
    assert where["region"] == {"startLine": 5, "startColumn": 5}
    names = [each["logicalLocations"][0] for each in leak["relatedLocations"] if "logicalLocations" in each]
    assert [name["fullyQualifiedName"] for name in names] == ["roussy-le-village/firewall filter:42"]
    assert "TCP SYN from 10.56.2.2 port 40000" in leak["message"]["text"]


def test_sarif_is_the_same_bytes_for_the_same_findings(make: Maker) -> None:
    slower = make(LEAK).model_copy(update={"seconds": {"parse": 9.0}})
    assert sarif(make(LEAK)) == sarif(slower)


# --- JUnit -------------------------------------------------------------------------------------------------------


def cases(content: bytes) -> dict[tuple[str, str], list[str]]:
    found = [
        ((str(case.get("classname")), str(case.get("name"))), [item.tag for item in case])
        for case in ET.fromstring(content).iter("testcase")  # noqa: S314  what we wrote ourselves
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def test_every_flow_and_invariant_is_a_case(make: Maker, intent: Intent) -> None:
    found = cases(junit(make()))
    assert {name for family, name in found if family == "cloison.flows"} == {flow.rule for flow in intent.flows}
    names = {name for family, name in found if family == "cloison.invariants"}
    assert names == {invariant.id for invariant in intent.invariants}
    assert set(map(tuple, found.values())) == {()}


def test_a_finding_fails_what_it_is_about_and_nothing_else(document: ProofDocument) -> None:
    found = cases(junit(document))
    assert {name: tags for name, tags in found.items() if tags} == {
        ("cloison.flows", "record"): ["failure"],
        ("cloison.invariants", "no-recording-outside"): ["failure"],
        ("cloison.notices", "notice/roussy-le-village.core-switch"): ["failure"],
        ("cloison.undetermined", "undetermined/roussy-le-village.firewall--tunnels-down"): ["error"],
    }


def test_names_of_cases_are_the_same_whatever_is_found(make: Maker, document: ProofDocument) -> None:
    stable = {name for name in cases(junit(make())) if name[0] in {"cloison.flows", "cloison.invariants"}}
    assert stable <= set(cases(junit(document)))


def test_an_empty_proof_is_no_success(make: Maker) -> None:
    assert cases(junit(make(read=0)))["cloison.undetermined", "nothing was read"] == ["error"]


def test_the_counts_of_suites_agree_with_their_cases(document: ProofDocument) -> None:
    root = ET.fromstring(junit(document))  # noqa: S314  what we wrote ourselves
    for suite in (root, *root.iter("testsuite")):
        assert int(suite.get("tests", "")) == len(list(suite.iter("testcase")))
        assert int(suite.get("failures", "")) == len(list(suite.iter("failure")))
        assert int(suite.get("errors", "")) == len(list(suite.iter("error")))


# --- Markdown ----------------------------------------------------------------------------------------------------


def test_a_comment_says_the_verdict_first_then_what_changed(document: ProofDocument) -> None:
    text = markdown(document).decode()
    order = [
        "DOES NOT CONFORM",
        "1 leak, 1 outage",
        "Newly possible: 1",
        "No longer possible: 1",
        "Leaks: 1",
        "<details>",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "TCP SYN from 10.56.2.2 port 40000 to 10.56.1.34 port 443" in text
    assert "invariants.yaml&#58;5" in text
    assert text.count("<details>") == text.count("</details>") == 6


def test_what_a_device_wrote_is_no_markup(document: ProofDocument) -> None:
    text = markdown(document).decode()
    assert "nftrace" in text
    for markup in ("<script", "@everyone", "](", "\x1b[", "|`", "\u202e", "http:"):
        assert markup not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {6}


def test_a_comment_that_is_too_long_is_cut_between_findings_and_says_so(make: Maker) -> None:
    many = [replace(LEAK, receiver=f"roussy-le-village/cam-narrow:p{number}") for number in range(2000)]
    text = markdown(make(*many)).decode()
    assert len(text) <= LIMIT
    assert "2000 leaks" in text
    assert re.search(r"\d+ more rows and details are left out", text)
    assert text.count("<details>") == text.count("</details>")
    some = markdown(make(*many[:20])).decode()
    assert "left out" not in some
    assert some.count("<details>") == 20


# --- the terminal ------------------------------------------------------------------------------------------------


def shown(document: ProofDocument) -> str:
    written = io.StringIO()
    Console(width=160, file=written, markup=False).print(sheet(document))
    return written.getvalue()


def test_a_person_sees_the_way_and_the_rule_and_the_outcome_last(document: ProofDocument) -> None:
    text = shown(document)
    assert 'roussy-le-village/firewall: accepted by rule "watch-live"' in text
    assert "roussy-le-village/firewall filter:42  tcp dport 443 accept" in text
    assert "(one of about 1.2 × 10^24)" in text
    assert "inventory/invariants.yaml:5:5" in text
    assert text.strip().splitlines()[-1].startswith("DOES NOT CONFORM  1 leak, 1 outage, 1 notice, 1 undetermined")
    assert "\x1b[2J" not in text


def test_a_sound_network_is_said_in_one_line_after_its_coverage(make: Maker) -> None:
    lines = [line.rstrip() for line in shown(make()).strip().splitlines()]
    assert lines[-1].startswith("CONFORMS  no finding;")
    assert lines[-1].endswith("95 of 95 statements modelled")
    assert len(lines) == 3


def test_a_person_gets_the_first_of_many_findings_and_the_count_of_the_rest(make: Maker) -> None:
    text = shown(make(*(replace(LEAK, receiver=f"roussy-le-village/nvr:p{number}") for number in range(70))))
    assert text.startswith("LEAKS 70")
    assert text.count("packet  TCP SYN") == 50
    assert text.count("way     1 ") == 10
    assert "and 20 more; --format json holds them all" in text


def test_no_change_is_said(make: Maker) -> None:
    same = make(difference=Difference((), "main", "this workspace"))
    assert "main → this workspace: the same packets get through" in shown(same)
    assert "the same packets get through" in markdown(same).decode()
    assert json.loads(same.to_json())["difference"]["changes"] == []


# --- where it goes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", list(Format))
def test_every_format_goes_to_a_file_or_to_standard_output(
    document: ProofDocument, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: Format
) -> None:
    out = tmp_path / "result"
    require_writable(out)
    show(document, form, out=out)
    assert capsys.readouterr().out == ""
    show(document, form)
    printed = capsys.readouterr().out
    assert "roussy-le-village" in printed
    assert form is Format.TERMINAL or out.read_text(encoding="utf-8") == printed


def test_options_that_contradict_each_other_are_refused() -> None:
    assert format_of(None, as_json=False) is Format.TERMINAL
    assert format_of(None, as_json=True) is Format.JSON
    assert format_of(Format.JSON, as_json=True) is Format.JSON
    with pytest.raises(InputError, match="expected one of them"):
        format_of(Format.SARIF, as_json=True)


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    require_writable(None)
    with pytest.raises(InputError, match="cannot be written"):
        require_writable(tmp_path)
    with pytest.raises(InputError, match="cannot be written"):
        require_writable(tmp_path / "nowhere" / "result")


TRIED = {
    "arrived": Tried(Claim.ARRIVES, Fate.ARRIVED),
    "lost": Tried(Claim.ARRIVES, Fate.LOST),
    "untried": Tried(Claim.ARRIVES, Fate.UNTRIED, f"no cable {HOSTILE}"),
}


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("arrived", "the witness arrived"),
        ("lost", "the witness did not arrive: proof and packet disagree"),
        ("untried", "not tried: no cable"),
    ],
)
def test_every_format_says_what_became_of_a_witness(which: str, said: str, make: Maker) -> None:
    document = make(LEAK, tried={LEAK.identity: TRIED[which]})
    text = io.StringIO()
    Console(file=text, width=400).print(sheet(document))
    plain = re.sub("[^a-z ]", "", said)
    for shown in (text.getvalue(), junit(document).decode(), sarif(document).decode(), markdown(document).decode()):
        assert plain in re.sub("[^a-z ]", "", shown.replace("&#58;", ""))
    jsonschema.validate(json.loads(document.to_json()), schema())


def test_a_witness_that_was_not_asked_for_is_null(make: Maker) -> None:
    witness = make(LEAK).findings[0].witness
    assert witness is not None
    assert witness.tried is None


def test_a_disagreement_is_a_finding_that_fails(make: Maker) -> None:
    assert [claim for _, claim in claims_of([LEAK, OUTAGE, NOTICE])] == [Claim.ARRIVES]  # an outage here has no witness
    (found,) = disagreements([LEAK, OUTAGE], {LEAK.identity: TRIED["lost"]})
    assert found.kind is FindingKind.NOTICE
    assert (found.sender, found.receiver) == (LEAK.sender, LEAK.receiver)
    assert disagreements([LEAK], {LEAK.identity: TRIED["arrived"]}) == ()
    assert disagreements([LEAK], {LEAK.identity: TRIED["untried"]}) == ()
    assert make(found).exit_code == 1


def test_a_claim_reversed_is_the_other_one() -> None:
    assert [claim.reversed() for claim in Claim] == [Claim.IS_LOST, Claim.ARRIVES]
    assert Tried(Claim.IS_LOST, Fate.ARRIVED).disagrees
    assert not Tried(Claim.IS_LOST, Fate.LOST).disagrees
