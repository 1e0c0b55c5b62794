"""The compiled packet filter against a naive interpreter, and what it says of what it does not model."""

from random import Random
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloison.model import EquipmentName, Untrusted
from cloison.prove.filter import Filter
from cloison.prove.packet import FIELDS, Frames
from cloison.prove.ruleset import (
    BaseChain,
    Chain,
    Element,
    Expression,
    Limit,
    Match,
    Opaque,
    Operand,
    Rule,
    Ruleset,
    Table,
    Verdict,
    VerdictMap,
)
from cloison.prove.space import Packet
from cloison.prove.statement import Place, Statement

STATEMENT = Statement(Place(EquipmentName("village/firewall"), "filter", 7), Untrusted("a rule"))
ACCEPT, DROP = Verdict("accept"), Verdict("drop")
FIELD = {"ip saddr": "source", "tcp dport": "destination_port", "ct state": "connection"}
BASE = dict.fromkeys((field.name for field in FIELDS), 0)
TCP = {"ethernet_type": 0x0800, "protocol": 6, "header_length": 5}


def match(key: str, *values: tuple[int, int] | str, negated: bool = False) -> Match:
    return Match((Operand(key),), tuple((value,) for value in values), negated)


def rule(*expressions: Expression) -> Rule:
    return Rule(STATEMENT, expressions)


def ruleset(*chains: Chain) -> Ruleset:
    return Ruleset((Table(STATEMENT, "inet", "t", chains, ()),))


def chain(name: str, *rules: Rule, policy: str | None = None) -> Chain:
    base = None if policy is None else BaseChain("filter", "forward", 0, "drop" if policy == "drop" else "accept")
    return Chain(STATEMENT, name, base, rules)


def packet(**values: int) -> Packet:
    return BASE | TCP | values


def verdict_of(filtering: Filter, one: Packet) -> str:
    judged = filtering.through("forward", filtering.frames.box(**one))
    (found,) = [name for name in ("accepted", "dropped", "unknown") if getattr(judged, name)]
    return found


# --- against an interpreter ------------------------------------------------------------------------------------------

INTERVALS = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda pair: (min(pair), max(pair)))
MATCHES = st.builds(
    lambda key, values, negated: match(key, *values, negated=negated),
    st.sampled_from(sorted(FIELD)),
    st.lists(INTERVALS, min_size=1, max_size=2),
    st.booleans(),
)


KINDS: tuple[Literal["jump", "goto"], ...] = ("jump", "goto")


def verdicts(level: int) -> st.SearchStrategy[Verdict]:
    kinds = [ACCEPT, DROP, Verdict("reject"), Verdict("return"), Verdict("continue")]
    jump, goto = ([Verdict(kind, f"c{number}") for number in range(level + 1, 3)] for kind in KINDS)
    deeper = jump + goto
    return st.sampled_from(kinds + deeper)


def rules(level: int) -> st.SearchStrategy[Rule]:
    ending = st.one_of(
        st.just(()),
        verdicts(level).map(lambda one: (one,)),
        st.tuples(verdicts(level), verdicts(level)).map(
            lambda two: (VerdictMap((Operand("tcp dport"),), ((((0, 1),), two[0]), (((3, 4),), two[1]))),)
        ),
    )
    return st.builds(lambda some, end: rule(*some, *end), st.lists(MATCHES, max_size=2), ending)


RULE_SETS = st.builds(
    lambda zero, one, two, policy: ruleset(chain("c0", *zero, policy=policy), chain("c1", *one), chain("c2", *two)),
    *(st.lists(rules(level), max_size=4) for level in range(3)),
    st.sampled_from(["accept", "drop"]),
)


def holds(element: Element, value: int) -> bool:
    (interval,) = element
    assert not isinstance(interval, str)
    return interval[0] <= value <= interval[1]


def verdict_in(rule_: Rule, values: Packet) -> Verdict | None:
    """Return the verdict that a rule gives; None where it gives none."""
    for expression in rule_.expressions:
        found: Expression | None = expression
        if isinstance(expression, Match):
            value = values[FIELD[expression.operands[0].key]]
            assert isinstance(expression.elements, tuple)
            if any(holds(element, value) for element in expression.elements) is expression.negated:
                return None
        if isinstance(expression, VerdictMap):
            assert isinstance(expression.entries, tuple)
            port = values["destination_port"]
            found = next((given for element, given in expression.entries if holds(element, port)), None)
            if found is None:
                return None
        if isinstance(found, Verdict) and found.kind != "continue":
            return found
    return None


def interpreted(chains: dict[str, Chain], name: str, values: Packet) -> str:
    """Return accept, drop, return, or nothing at the end of a chain."""
    for one in chains[name].rules:
        verdict = verdict_in(one, values)
        if verdict is None:
            continue
        if verdict.kind not in {"jump", "goto"}:
            return "drop" if verdict.kind == "reject" else verdict.kind
        end = interpreted(chains, verdict.chain, values)
        if end in {"accept", "drop"}:
            return end
        if verdict.kind == "goto":
            return "return"
    return ""


@settings(max_examples=120, deadline=None)
@given(RULE_SETS, st.integers())
def test_compiled_as_interpreted(model: Ruleset, seed: int) -> None:
    filtering = Filter(Frames(), model, {})
    chains = {one.name: one for one in model.tables[0].chains}
    base = chains["c0"].base
    assert base is not None
    random = Random(seed)  # noqa: S311  a test that can be repeated
    for _ in range(12):
        one = packet(
            source=random.randint(0, 5), destination_port=random.randint(0, 5), connection=random.randint(0, 4)
        )
        end = interpreted(chains, "c0", one)
        wanted = end if end in {"accept", "drop"} else base.policy
        assert verdict_of(filtering, one) == {"accept": "accepted", "drop": "dropped"}[wanted]
        assert {"reject": "drop"}.get(step := filtering.steps("forward", one)[-1].verdict, step) == wanted


# --- what is not modelled ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules_", "policy", "wanted"),
    [
        ([rule(Limit("limit rate 5/second"), ACCEPT)], "drop", "unknown"),
        ([rule(Limit("limit rate 5/second"), ACCEPT)], "accept", "accepted"),
        ([rule(Limit("limit rate 5/second"), DROP)], "drop", "dropped"),
        ([rule(ACCEPT), rule(Opaque("dnat to 10.0.0.1"))], "drop", "accepted"),
        ([rule(Opaque("dnat to 10.0.0.1"))], "accept", "unknown"),
        ([rule(match("ip saddr", (9, 9)), Opaque("dnat to 10.0.0.1"))], "accept", "accepted"),
        ([rule(match("meta cpu", (0, 0)), ACCEPT)], "drop", "unknown"),
        ([rule(Verdict("jump", "nowhere"))], "accept", "unknown"),
        ([rule(Verdict("jump", "c0"))], "accept", "unknown"),
        ([rule(match("fib saddr . iif oif", (0, 0)), DROP)], "accept", "unknown"),
    ],
    ids=str,
)
def test_what_is_not_modelled_is_unknown_where_it_decides(rules_: list[Rule], policy: str, wanted: str) -> None:
    filtering = Filter(Frames(), ruleset(chain("c0", *rules_, policy=policy)), {})
    one = packet(source=1)
    assert verdict_of(filtering, one) == wanted
    reasons = filtering.through("forward", filtering.frames.box(**one)).reasons
    assert bool(reasons) is (wanted == "unknown")


def test_a_wildcard_stands_for_every_name_that_begins_so() -> None:
    frames = Frames()
    filtering = Filter(
        frames, ruleset(chain("c0", rule(match("iifname", "vlan*"), ACCEPT), policy="drop")), {}, ["vlan1"]
    )
    assert verdict_of(filtering, packet(interface_in=frames.interfaces.number("vlan1"))) == "accepted"
    assert verdict_of(filtering, packet(interface_in=frames.interfaces.number("wan0"))) == "dropped"
    assert verdict_of(filtering, packet(interface_in=frames.interfaces.number("vlan2"))) == "accepted"


def test_a_later_fragment_may_match_a_port() -> None:
    filtering = Filter(Frames(), ruleset(chain("c0", rule(match("tcp dport", (22, 22)), ACCEPT), policy="drop")), {})
    assert verdict_of(filtering, packet(fragment=2)) == "unknown"
    assert verdict_of(filtering, packet(fragment=2, protocol=17)) == "dropped"


def test_fragments_are_put_together_where_connections_are_tracked() -> None:
    frames = Frames()
    early = Chain(
        STATEMENT, "early", BaseChain("filter", "prerouting", -450, "accept"), (rule(match("ip saddr", (7, 7)), DROP),)
    )
    filtering = Filter(frames, ruleset(early, chain("c0", rule(match("ct state", (1, 1)), ACCEPT), policy="drop")), {})
    first = frames.box(**packet(source=1, fragment=1, destination_port=80))
    later = frames.box(**packet(source=1, fragment=2))
    assert filtering.through("prerouting", first).accepted == frames.nothing
    assert filtering.through("prerouting", first | later).accepted == frames.box(
        **packet(source=1, destination_port=80)
    )


def test_what_no_packet_reaches_is_told() -> None:
    rules_ = [rule(match("ip saddr", (1, 9)), ACCEPT), rule(match("ip saddr", (2, 3)), DROP)]
    filtering = Filter(Frames(), ruleset(chain("c0", *rules_, policy="drop")), {})
    assert [bool(reached.packets) for reached in filtering.rules("forward")] == [True, False]
