"""The document of a proof as JUnit XML, for a continuous-integration server.

A case for every flow of policy.yaml, every invariant and every section that was read, by the same name in every run;
what belongs to none of them has a case of its own. A finding is a failure, what could not be determined an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from cloison.cli.findings.wording import ends, explained, qualified_service
from cloison.prove.answer import FindingKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.cli.findings.document import FindingEntry, ProofDocument

_FAMILIES = {
    FindingKind.LEAK: "leaks",
    FindingKind.OUTAGE: "outages",
    FindingKind.NOTICE: "notices",
    FindingKind.UNDETERMINED: "undetermined",
}
_NOTHING = {
    "leaks": "nothing undeclared gets through",
    "outages": "everything declared gets through",
    "notices": "nothing is wrong in itself",
    "undetermined": "everything is determined",
}


def junit(document: ProofDocument) -> bytes:
    """Return the document as JUnit XML, UTF-8."""
    root = ET.Element("testsuites", {"name": "cloison proof"})
    for family, cases in _cases(document).items():
        suite = ET.SubElement(root, "testsuite", {"name": family})
        for name, found in cases.items():
            _case(suite, family, name, found)
        _count(suite)
    _count(root)
    root.set("time", f"{sum(document.seconds.values()):.3f}")
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _cases(document: ProofDocument) -> Mapping[str, Mapping[str, list[FindingEntry]]]:
    """Return the findings by family and by case; a case with none is a success."""
    families: dict[str, dict[str, list[FindingEntry]]] = {
        "flows": {rule: [] for rule in document.declared.flow_rules},
        "invariants": {rule: [] for rule in document.declared.invariant_rules},
        **{family: {} for family in _FAMILIES.values()},
    }
    for finding in document.findings:
        about = "flows" if finding.kind is FindingKind.OUTAGE else "invariants"
        if finding.rule and finding.rule in families[about] and finding.kind is not FindingKind.NOTICE:
            families[about][finding.rule].append(finding)
        else:
            families[_FAMILIES[finding.kind]][finding.id] = [finding]
    for family, sentence in _NOTHING.items():
        if not families[family]:
            families[family][sentence] = []
    if not document.coverage:
        families["undetermined"]["nothing was read"] = []
    return families


def _case(suite: ET.Element, family: str, name: str, found: list[FindingEntry]) -> None:
    # Servers key on class name and name, and drop what they have seen.
    case = ET.SubElement(suite, "testcase", classname=f"cloison.{family}", name=name)
    if name == "nothing was read":
        ET.SubElement(case, "error", type="UNKNOWN", message=name)
    if not found:
        return
    failures = [finding for finding in found if finding.kind is not FindingKind.UNDETERMINED]
    first = (failures or found)[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    node = ET.SubElement(
        case,
        "failure" if failures else "error",
        type="FAIL" if failures else "UNKNOWN",
        message=f"{first.kind.value}: {ends(first)} {qualified_service(first)}{more}",
    )
    node.text = "\n\n".join(f"{finding.id}\n{explained(finding)}" for finding in found)


def _count(element: ET.Element) -> None:
    """Set the counts of a suite, or of all, from the cases below it."""
    cases = list(element.iter("testcase"))
    element.set("tests", str(len(cases)))
    element.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    element.set("errors", str(sum(case.find("error") is not None for case in cases)))
    element.set("skipped", "0")
