import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import jsonschema
import pytest
from pydantic import ValidationError

from cloison.errors import EvidenceError
from cloison.evidence.canonical import Json, canonical, strict
from cloison.evidence.document import SCHEMA_FILE, AuditDocument, AuditWaiver, read_document, schema
from cloison.flow import Outcome, Verdict

Make = Callable[..., AuditDocument]
CHECK = "reach/delivered/cell.station--town.gateway--live-relay"


def verdict(check: str, outcome: Outcome) -> Verdict:
    return Verdict(check=check, outcome=outcome, title="a check")


def shipped() -> dict[str, Json]:
    found = strict(SCHEMA_FILE.read_bytes(), "schema")
    assert isinstance(found, dict)
    return found


def objects(value: Json) -> list[dict[str, Json]]:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return ([value] if isinstance(value, dict) else []) + [found for item in inner for found in objects(item)]


def test_the_shipped_schema_is_the_generated_one() -> None:
    assert shipped() == schema(), f"write what schema() returns to {SCHEMA_FILE.name}"


def test_the_schema_allows_no_other_property_anywhere() -> None:
    described = [item for item in objects(shipped()) if item.get("type") == "object"]
    assert len(described) >= 7
    for item in described:
        properties, required = item["properties"], item["required"]
        assert isinstance(properties, dict)
        assert isinstance(required, list)
        assert item["additionalProperties"] is False
        assert set(map(str, required)) == set(properties)


def test_a_document_fits_the_schema_and_reads_back_the_same(document: AuditDocument) -> None:
    content = document.to_json()
    jsonschema.validate(json.loads(content), shipped(), cls=jsonschema.Draft202012Validator)
    assert read_document(content, "audit.json") == document
    assert read_document(content, "audit.json").to_json() == content


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(("format",), "cloison-audit-9", id="another-format"),
        pytest.param(("comment",), "all is well", id="a-property-more"),
        pytest.param(("tally", "SKIPPED"), 1, id="a-sixth-outcome-in-the-tally"),
        pytest.param(("verdicts", 0, "outcome"), "SKIPPED", id="an-outcome-that-does-not-exist"),
        pytest.param(("verdicts", 0, "waived"), "no", id="a-text-for-a-truth-value"),
        pytest.param(("verdicts", 0, "host"), "town", id="a-property-more-in-a-verdict"),
        pytest.param(("truth", 0, "reach"), "maybe", id="a-reach-that-does-not-exist"),
        pytest.param(("truth", 0, "source"), "../etc/passwd", id="a-place-that-is-no-equipment"),
        pytest.param(("planned",), -1, id="a-negative-count"),
        pytest.param(("intent",), "sha256", id="a-digest-that-is-none"),
        pytest.param(("started",), "yesterday", id="a-time-that-is-none"),
        pytest.param(("network",), "test", id="a-third-network"),
        pytest.param(("exit_code",), 2, id="an-exit-code-that-an-audit-never-has"),
        pytest.param(("waivers", 0, "expires"), "never", id="a-waiver-without-end"),
    ],
)
def test_a_mutilated_document_fits_neither_schema_nor_model(
    document: AuditDocument, path: tuple[str | int, ...], value: Json
) -> None:
    content = json.loads(document.to_json())
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, shipped(), cls=jsonschema.Draft202012Validator)
    with pytest.raises(EvidenceError, match=r"^audit\.json: not the document of an audit"):
        read_document(canonical(content), "audit.json")


@pytest.mark.parametrize("name", AuditDocument.model_fields)
def test_a_document_without_one_property_does_not_fit_the_schema(document: AuditDocument, name: str) -> None:
    content = json.loads(document.to_json())
    del content[name]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, shipped(), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"exit_code": 0}, "exit code"),
        ({"lab": None}, "lab"),
        ({"finished": datetime(2026, 11, 24, tzinfo=UTC)}, "finished before started"),
        ({"verdicts": ()}, "tally"),
    ],
)
def test_a_document_that_contradicts_itself_is_refused(
    document: AuditDocument, change: dict[str, object], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        AuditDocument(**{**dict(document), **change})


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([Outcome.PASS, Outcome.PASS], 0),
        ([], 3),
        ([Outcome.PASS, Outcome.UNKNOWN], 3),
        ([Outcome.PASS, Outcome.ERROR], 3),
        ([Outcome.PASS, Outcome.NOT_RUN], 3),
        ([Outcome.ERROR, Outcome.FAIL, Outcome.NOT_RUN], 1),
    ],
)
def test_exit_code_of_an_audit(make: Make, outcomes: list[Outcome], code: int) -> None:
    assert make(tuple(verdict(f"a/b/{n}", outcome) for n, outcome in enumerate(outcomes))).exit_code == code


def test_a_run_that_did_not_end_is_not_determined(make: Make) -> None:
    assert make((verdict("a/b/c", Outcome.PASS),), ended=False).exit_code == 3


def waiver(check: str, expires: date) -> AuditWaiver:
    return AuditWaiver(check=check, reason="a reason", owner="someone", expires=expires)


TODAY = date(2026, 11, 24)


def test_a_waived_fail_stays_a_fail_and_is_counted_apart(make: Make) -> None:
    found = make((verdict(CHECK, Outcome.FAIL),), waiver(CHECK, TODAY))
    assert [(item.outcome, item.waived) for item in found.verdicts] == [(Outcome.FAIL, True)]
    assert (found.tally.FAIL, found.tally.waived, found.tally.PASS) == (1, 1, 0)
    assert found.exit_code == 1
    assert [(report.applied, report.expired) for report in found.waivers] == [(True, False)]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_waiver_changes_no_outcome(make: Make, outcome: Outcome) -> None:
    found = make((verdict(CHECK, outcome),), waiver(CHECK, TODAY))
    assert [item.outcome for item in found.verdicts] == [outcome]
    assert found.verdicts[0].waived == (outcome is Outcome.FAIL)


def test_an_expired_waiver_does_not_apply(make: Make) -> None:
    found = make((verdict(CHECK, Outcome.FAIL),), waiver(CHECK, TODAY - timedelta(days=1)))
    assert not found.verdicts[0].waived
    assert [(report.applied, report.expired) for report in found.waivers] == [(False, True)]


@pytest.mark.parametrize("other", [CHECK[:-1], CHECK + "x", CHECK.upper(), "reach/*", "reach"])
def test_a_waiver_names_one_check_exactly(make: Make, other: str) -> None:
    found = make((verdict(CHECK, Outcome.FAIL),), waiver(other, TODAY))
    assert not found.verdicts[0].waived
    assert not found.waivers[0].applied
