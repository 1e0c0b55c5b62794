from collections.abc import Callable
from xml.etree import ElementTree as ET

from cloison.evidence.document import AuditDocument
from cloison.evidence.junit import junit
from cloison.flow import Outcome, Verdict

Make = Callable[..., AuditDocument]
HOSTILE = "\x1b[2J]]>\x00\x85\u202e\ufffe\uffff</failure><x a='b'>&amp;"


def cases(content: bytes) -> list[ET.Element]:
    return list(ET.fromstring(content).iter("testcase"))  # noqa: S314  what we wrote ourselves


def verdict(check: str, outcome: Outcome, text: str = "a text") -> Verdict:
    return Verdict(check=check, outcome=outcome, title=text, detail=text)


def test_only_pass_is_a_success_and_nothing_is_skipped(document: AuditDocument) -> None:
    found = {case.get("name"): [item.tag for item in case] for case in cases(junit(document))}
    for item in document.verdicts:
        expected = {Outcome.PASS: [], Outcome.FAIL: ["failure"]}.get(item.outcome, ["error"])
        assert found[item.check] == expected
    assert b"<skipped" not in junit(document)


def test_the_counts_agree_with_the_cases(document: AuditDocument) -> None:
    root = ET.fromstring(junit(document))  # noqa: S314  what we wrote ourselves
    for suite in (root, *root.iter("testsuite")):
        inner = list(suite.iter("testcase"))
        assert int(suite.get("tests", "")) == len(inner)
        assert int(suite.get("failures", "")) == sum(case.find("failure") is not None for case in inner)
        assert int(suite.get("errors", "")) == sum(case.find("error") is not None for case in inner)


def test_a_waived_fail_is_a_failure_that_says_so(document: AuditDocument) -> None:
    messages = [item.get("message") for case in cases(junit(document)) for item in case.findall("failure")]
    assert "FAIL (waived): title of tunnel/up/video" in messages


def test_a_run_that_is_not_whole_has_a_case_of_its_own(make: Make) -> None:
    whole = make((verdict("a/b/c", Outcome.PASS),))
    cut = make((verdict("a/b/c", Outcome.PASS),), ended=False)
    assert [case.get("name") for case in cases(junit(whole))] == ["a/b/c"]
    assert [case.get("name") for case in cases(junit(cut))] == ["a/b/c", "run/complete"]


def test_hostile_text_parses_and_identifiers_stay_unique(make: Make) -> None:
    names = [f"a/b/{HOSTILE}", "a/b/x\x01", "a/b/x\x02", r"a/b/x\x01", "a/b/" + "y" * 500, "a/b/" + "y" * 501, "a/b/\n"]
    found = make(tuple(verdict(name, Outcome.ERROR, HOSTILE) for name in names))
    ids = [(case.get("classname"), case.get("name")) for case in cases(junit(found))]
    assert len(set(ids)) == len(names)
    assert junit(found) == junit(found)
    texts = [item.text or "" for case in cases(junit(found)) for item in case]
    assert all("</failure><x a='b'>&amp;" in text for text in texts)
