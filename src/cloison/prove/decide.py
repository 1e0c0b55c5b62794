"""Which rule decides about one packet in each base chain that it passes, for people to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloison.prove.chain import ACCEPT, DROP, RETURN, TableCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.prove.rule import RuleCode
    from cloison.prove.ruleset import Chain, Verdict
    from cloison.prove.statement import Statement

UNKNOWN: Final = "unknown"
_GOING_ON: Final = ""
_DEEPEST: Final = 64


@dataclass(frozen=True, slots=True)
class Step:
    """What decides about a packet in one base chain."""

    table: str
    """Its family and its name."""
    chain: str
    """The base chain."""
    inside: str
    """The chain that the rule stands in: this one, or one that it leads to."""
    statement: Statement
    """The rule, or the chain where its policy decides."""
    verdict: str
    """`accept`, `drop`, `reject`, or `unknown` where it is not known what the rule does."""
    comment: str = ""
    policy: bool = False


@dataclass(frozen=True, slots=True)
class _End:
    """How a chain ended for the packet: a verdict and the rule that gave it; a return, or nothing at its end."""

    verdict: str
    inside: str = ""
    statement: Statement | None = None
    comment: str = ""


def decided(code: TableCode, chain: Chain, packet: Mapping[str, int]) -> Step:
    """Return what decides about a packet, given by every field as the chain sees it, in one base chain."""
    end = _walked(code, chain.name, packet, 0)
    if end.statement is None or end.verdict == RETURN:
        policy = chain.base.policy if chain.base is not None else ACCEPT
        return Step(code.title, chain.name, chain.name, chain.statement, policy, policy=True)
    return Step(code.title, chain.name, end.inside, end.statement, end.verdict, end.comment)


def _walked(code: TableCode, name: str, packet: Mapping[str, int], depth: int) -> _End:
    """Go through a chain. Where a rule may match or not, both ways are gone; they decide where they agree."""
    perhaps: list[_End] = []
    end = _End(_GOING_ON)
    for rule in code.rules(name):
        if packet in rule.wild:
            return _End(UNKNOWN, name, rule.rule.statement, rule.rule.comment)
        for branch in rule.branches:
            verdict = branch.verdict
            if verdict is None or packet not in branch.condition.may:
                continue
            taken = _taken(code, (name, rule), verdict, packet, depth)
            if taken is None:
                continue
            if packet in branch.condition.sure:
                end = taken
                break
            perhaps.append(taken)
        if end.verdict != _GOING_ON:
            break
    differing = [one for one in perhaps if _kind(one) != _kind(end)]
    return _End(UNKNOWN, differing[0].inside, differing[0].statement, differing[0].comment) if differing else end


def _taken(
    code: TableCode, at: tuple[str, RuleCode], verdict: Verdict, packet: Mapping[str, int], depth: int
) -> _End | None:
    """Return how a verdict ends the chain for the packet; None where the packet comes back to it."""
    inside, rule = at
    statement, comment = rule.rule.statement, rule.rule.comment
    if verdict.kind not in {"jump", "goto"}:
        return _End(verdict.kind, inside, statement, comment)
    if code.called(rule, verdict.chain) is None or depth > _DEEPEST:
        return _End(UNKNOWN, inside, statement, comment)
    end = _walked(code, verdict.chain, packet, depth + 1)
    if end.verdict not in {RETURN, _GOING_ON}:
        return end
    return _End(RETURN) if verdict.kind == "goto" else None


def _kind(end: _End) -> str:
    return DROP if end.verdict == "reject" else end.verdict
