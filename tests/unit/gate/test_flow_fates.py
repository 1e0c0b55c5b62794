"""What is said of a flow's sessions, row by row: silence is believed beside what was heard, and never alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.change.gate import GateCheck
from cloison.flow import Outcome
from cloison.gate.flows import Fate, Fated, fates, session_checks
from cloison.gate.tries import both_tries
from cloison.intent.load import load
from cloison.probe.sessions import Attempt, Life, Opening, Seen

if TYPE_CHECKING:
    from cloison.flow import Flow
    from cloison.intent.network import Intent

ROOT = Path(__file__).parents[3]
WORKS = Attempt(Opening.OPENED, life=Life.ALIVE)
OPENED = Attempt(Opening.OPENED)
DUMB = Attempt(Opening.OPENED, life=Life.SILENT)
ENDED = Attempt(Opening.OPENED, life=Life.ENDED)
SILENT, REFUSED, UNTRIED = Attempt(Opening.SILENT), Attempt(Opening.REFUSED), Attempt(Opening.UNTRIED)
WATCHED = "crisis-cell.station-fire--roussy-le-village.live-gateway--live-relay"
SAME_SOURCE = "crisis-cell.station-fire--elsewhere"
SAME_HOST = "crisis-cell.station-police--roussy-le-village.live-gateway--live-relay"
MANAGED = "operations-centre.administration-station--crisis-cell.firewall--ssh"


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


@pytest.fixture(scope="module")
def flows(intent: Intent) -> dict[str, Flow]:
    return {flow.key: flow for flow in intent.flows}


def without(intent: Intent, rule: str) -> Intent:
    return intent.model_copy(update={"flows": tuple(flow for flow in intent.flows if flow.rule != rule)})


def judged(flows: dict[str, Flow], fate: Fate, seen: Seen, *others: Seen, before: Attempt | None = OPENED) -> GateCheck:
    everything = {one.flow.key: one for one in (seen, *others)}
    known = {} if before is None else {seen.flow.key: before}
    (check,) = session_checks([Fated(flows[WATCHED], fate)], known, everything)
    assert check.name == f"session/{WATCHED}"
    return check


@pytest.mark.parametrize(
    ("kept", "fresh", "before", "outcome"),
    [
        (Life.ALIVE, WORKS, OPENED, Outcome.PASS),
        (Life.SILENT, WORKS, OPENED, Outcome.FAIL),
        (Life.ALIVE, SILENT, OPENED, Outcome.FAIL),
        (Life.ALIVE, REFUSED, OPENED, Outcome.FAIL),
        (Life.ALIVE, DUMB, OPENED, Outcome.FAIL),
        (Life.ALIVE, UNTRIED, OPENED, Outcome.UNKNOWN),
        (Life.ALIVE, ENDED, OPENED, Outcome.UNKNOWN),
        (Life.ENDED, WORKS, OPENED, Outcome.PASS),
        (Life.ENDED, SILENT, OPENED, Outcome.FAIL),
        (None, WORKS, SILENT, Outcome.PASS),
        (None, SILENT, SILENT, Outcome.PASS),
    ],
)
def test_what_must_survive(
    flows: dict[str, Flow], kept: Life | None, fresh: Attempt, before: Attempt, outcome: Outcome
) -> None:
    assert judged(flows, Fate.SURVIVES, Seen(flows[WATCHED], kept, fresh), before=before).outcome is outcome


@pytest.mark.parametrize(
    ("fresh", "outcome"),
    [
        (WORKS, Outcome.PASS),
        (SILENT, Outcome.FAIL),
        (REFUSED, Outcome.FAIL),
        (DUMB, Outcome.FAIL),
        (ENDED, Outcome.UNKNOWN),
        (UNTRIED, Outcome.UNKNOWN),
    ],
)
def test_what_must_open(flows: dict[str, Flow], fresh: Attempt, outcome: Outcome) -> None:
    assert judged(flows, Fate.OPENS, Seen(flows[WATCHED], None, fresh), before=None).outcome is outcome


@pytest.mark.parametrize(
    ("kept", "fresh", "outcome"),
    [
        (Life.SILENT, SILENT, Outcome.PASS),
        (Life.SILENT, REFUSED, Outcome.PASS),
        (None, SILENT, Outcome.PASS),
        (Life.ENDED, REFUSED, Outcome.PASS),
        (Life.ENDED, SILENT, Outcome.UNKNOWN),
        (Life.ALIVE, SILENT, Outcome.FAIL),
        (Life.SILENT, WORKS, Outcome.FAIL),
        (Life.SILENT, ENDED, Outcome.FAIL),
        (Life.SILENT, UNTRIED, Outcome.UNKNOWN),
    ],
)
def test_what_must_close(flows: dict[str, Flow], kept: Life | None, fresh: Attempt, outcome: Outcome) -> None:
    control = Seen(flows[SAME_HOST], Life.ALIVE, WORKS)
    assert judged(flows, Fate.CLOSES, Seen(flows[WATCHED], kept, fresh), control).outcome is outcome


def test_silence_alone_closes_nothing(flows: dict[str, Flow]) -> None:
    closed = Seen(flows[WATCHED], Life.SILENT, SILENT)
    assert judged(flows, Fate.CLOSES, closed).outcome is Outcome.UNKNOWN
    for key in (SAME_HOST, MANAGED):
        working = Seen(flows[key], Life.ALIVE, WORKS)
        assert judged(flows, Fate.CLOSES, closed, working).outcome is Outcome.PASS, key
        assert key in judged(flows, Fate.CLOSES, closed, working).detail
        dead = Seen(flows[key], Life.SILENT, SILENT)
        assert judged(flows, Fate.CLOSES, closed, dead).outcome is Outcome.UNKNOWN, key
    far = flows["operations-centre.administration-station--roussy-le-village.nvr--ssh"]
    assert judged(flows, Fate.CLOSES, closed, Seen(far, Life.ALIVE, WORKS)).outcome is Outcome.UNKNOWN


def test_what_another_intent_declares_opens_or_closes(intent: Intent) -> None:
    smaller = without(intent, "watch-live")
    opened = {one.flow.key for one in fates(smaller, intent, ["roussy-le-village"]) if one.fate is Fate.OPENS}
    closed = {one.flow.key for one in fates(intent, smaller, ["roussy-le-village"]) if one.fate is Fate.CLOSES}
    assert opened == closed == {WATCHED, SAME_HOST}
    assert {one.fate for one in fates(intent, intent, ["roussy-le-village"])} == {Fate.SURVIVES}


def test_a_flow_by_another_name_is_the_same_flow(intent: Intent) -> None:
    flows = tuple(flow.model_copy(update={"rule": "renamed"}) for flow in intent.flows)
    renamed = intent.model_copy(update={"flows": flows})
    assert {one.fate for one in fates(intent, renamed, ["crisis-cell"])} == {Fate.SURVIVES}


def test_flows_of_other_sites_are_watched_only_as_controls(intent: Intent) -> None:
    cell = {one.flow.key for one in fates(intent, intent, ["crisis-cell"])}
    assert MANAGED in cell
    assert not [key for key in cell if "crisis-cell" not in key]
    fewer = without(intent, "manage-hosts")
    sources = {one.flow.source.name for one in fates(intent, fewer, ["crisis-cell"])}
    controls = [one.flow.key for one in fates(intent, fewer, ["crisis-cell"]) if "crisis-cell" not in one.flow.key]
    assert "operations-centre/administration-station" in sources
    assert controls
    assert all(key.startswith("operations-centre.administration-station--") for key in controls)


def test_both_tries_are_kept_and_the_second_counts_only_where_settling_was_declared() -> None:
    bad = GateCheck(name="session/x", outcome=Outcome.FAIL, detail="silent")
    good = GateCheck(name="session/x", outcome=Outcome.PASS, detail="answers")
    (strict,) = both_tries([bad], [good], settling=False)
    assert (strict.outcome, strict.detail, strict.tries) == (
        Outcome.FAIL,
        "silent",
        ("FAIL: silent", "PASS: answers"),
    )
    (settled,) = both_tries([bad], [good], settling=True)
    assert (settled.outcome, settled.tries) == (Outcome.PASS, ("FAIL: silent", "PASS: answers"))
    assert "on the second try" in settled.detail
    assert both_tries([good], [bad], settling=True) == (good,)
    assert both_tries([bad], [], settling=True) == (bad,)
