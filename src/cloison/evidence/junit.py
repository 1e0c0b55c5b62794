"""The verdicts as JUnit XML, for a continuous-integration server.

One test case a check, by a stable and unique identifier. Only PASS is a success: FAIL is a failure, every other outcome
an error, and nothing is ever skipped. Characters that no XML parser accepts are escaped.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from cloison.flow import Outcome
from cloison.model import Untrusted

if TYPE_CHECKING:
    from cloison.evidence.document import AuditDocument, JudgedVerdict

_TEXT_LIMIT = 8000
_NAME_LIMIT = 400
_DIGEST_SHOWN = 12


def junit(document: AuditDocument) -> bytes:
    """Return the document as JUnit XML, UTF-8, one test suite a family of checks."""
    root = ET.Element("testsuites", {"name": "cloison audit", **_counts(document.verdicts)})
    families: dict[str, list[JudgedVerdict]] = {}
    for verdict in document.verdicts:
        families.setdefault(verdict.check.split("/")[0], []).append(verdict)
    for family, verdicts in sorted(families.items()):
        suite = ET.SubElement(root, "testsuite", {"name": _name(family), **_counts(verdicts)})
        suite.set("timestamp", f"{document.started:%Y-%m-%dT%H:%M:%S}")
        for verdict in verdicts:
            _case(suite, verdict)
    if not document.ended or document.planned != document.run:
        _incomplete(root, document)
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _counts(verdicts: tuple[JudgedVerdict, ...] | list[JudgedVerdict]) -> dict[str, str]:
    failures = sum(verdict.outcome is Outcome.FAIL for verdict in verdicts)
    passes = sum(verdict.outcome is Outcome.PASS for verdict in verdicts)
    return {
        "tests": str(len(verdicts)),
        "failures": str(failures),
        "errors": str(len(verdicts) - failures - passes),
        "skipped": "0",
        "time": f"{sum(verdict.seconds for verdict in verdicts):.3f}",
    }


def _case(suite: ET.Element, verdict: JudgedVerdict) -> None:
    # Servers key on class name and name, and drop what they have seen: the whole check stands in the name.
    case = ET.SubElement(
        suite,
        "testcase",
        classname=f"cloison.{_name(verdict.check.split('/')[0])}",
        name=_name(verdict.check),
        time=f"{verdict.seconds:.3f}",
    )
    if verdict.outcome is Outcome.PASS:
        return
    kind = "failure" if verdict.outcome is Outcome.FAIL else "error"
    label = f"{verdict.outcome}{' (waived)' if verdict.waived else ''}"
    node = ET.SubElement(case, kind, type=verdict.outcome, message=f"{label}: {_shown(verdict.title)}")
    node.text = _shown(verdict.detail)


def _incomplete(root: ET.Element, document: AuditDocument) -> None:
    """Add a case for the run itself, so that a server that counts cases alone does not call a cut-off run green."""
    suite = ET.SubElement(root, "testsuite", name="run", tests="1", failures="0", errors="1", skipped="0", time="0.000")
    case = ET.SubElement(suite, "testcase", classname="cloison.run", name="run/complete", time="0.000")
    said = f"planned {document.planned}, run {document.run}, ended {document.ended}"
    ET.SubElement(case, "error", type="NOT_RUN", message=said).text = _shown(document.complaint)
    for name in ("tests", "errors"):
        root.set(name, str(int(root.get(name, "0")) + 1))


def _shown(text: str) -> str:
    return Untrusted(text).shown(_TEXT_LIMIT)


def _name(text: str) -> str:
    """Return an identifier that any parser accepts; one that had to change keeps a part of its hash, and so its own."""
    shown = Untrusted(text).shown(_NAME_LIMIT).replace("\n", "\\x0a")
    if shown == text:
        return text
    return f"{shown}#{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:_DIGEST_SHOWN]}"
