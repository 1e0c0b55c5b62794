"""Which flows a change of filter rules opens and closes, by the names that the rules carry in their comments.

A name proves nothing: a rule may say one thing and do another. It is what a reader wants to see first all the same.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from cloison.model import EquipmentName, Model

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMENT = re.compile(r'comment "([^"]*)"')
UNNAMED = "(no name)"


class RuleChange(Model):
    """One accepting rule that comes or goes."""

    device: EquipmentName
    flow: str
    """The id of a flow of policy.yaml, the name of a rule that serves none, or UNNAMED; untrusted."""
    opens: bool
    """True for a rule that comes, False for one that goes."""
    rule: str
    """The rule as nft lists it, untrusted."""


def rule_changes(device: EquipmentName, running: str, canonical: str) -> tuple[RuleChange, ...]:
    """Return the accepting rules that one canonical filter section has and the other has not, sorted by name."""
    before, after = Counter(_accepting(running)), Counter(_accepting(canonical))
    found = [
        RuleChange(device=device, flow=_name(rule), opens=opens, rule=rule)
        for rules, opens in ((after - before, True), (before - after, False))
        for rule in rules
    ]
    return tuple(sorted(found, key=lambda change: (change.flow, not change.opens, change.rule)))


def _accepting(listing: str) -> Iterator[str]:
    for line in listing.splitlines():
        rule = line.strip()
        if re.search(r"\baccept\b", _COMMENT.sub("", rule)) and "policy" not in rule:
            yield rule


def _name(rule: str) -> str:
    found = _COMMENT.search(rule)
    return found[1] if found else UNNAMED
