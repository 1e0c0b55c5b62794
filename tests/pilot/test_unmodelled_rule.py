"""A rule that no proof models, added by hand to a running firewall: what it is about is not known, and named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.pilot.conftest import Pilot

pytestmark = pytest.mark.lab
FIREWALL = "roussy-le-village/firewall"
EXPRESSIONS = ("numgen inc mod 2 0 accept", "meta mark set 0x1", "meta mark 0x7 drop")
REMOVE = """
handle=$(nft -a list chain inet cloison business | sed -n 's/.*"by hand" # handle //p')
[ -z "$handle" ] || nft delete rule inet cloison business handle "$handle"
"""


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_rule_outside_the_model_makes_the_answer_unknown_and_is_named(applied: Pilot, expression: str) -> None:
    applied.inside(FIREWALL, f"nft 'insert rule inet cloison business {expression} comment \"by hand\"'")
    try:
        listed = applied.inside(FIREWALL, "nft -s list ruleset").splitlines()
        document = applied.json("prove", status=3)
    finally:
        applied.inside(FIREWALL, REMOVE)
    assert document["outcome"] == "UNKNOWN"
    findings = document["findings"]
    assert isinstance(findings, list)
    assert {finding["kind"] for finding in findings} == {"undetermined"}
    assert {finding["receiver"] for finding in findings} == {FIREWALL}
    word = " ".join(expression.split()[:2])
    named = [finding["what"] for finding in findings if word in finding["what"]]
    assert named, findings
    assert any('"by hand"' in line for line in listed)
    assert all(f"{FIREWALL} filter:" in what for what in named)
    applied.json("prove", status=0)
