"""The flows of the twin, watched across what happens to it: each thing turns its own checks red, and no other one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from cloison.cli.configurations import rendered
from cloison.flow import Outcome
from cloison.gate.watch import FlowWatch
from cloison.model import EquipmentName
from cloison.prove.conversation import weigh
from cloison.prove.parse.tracked import read_tracked
from cloison.session import Session, open_session
from cloison.workspace import Network, find_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.pilot.conftest import Pilot

    from cloison.change.gate import GateCheck
    from cloison.intent.network import Intent

pytestmark = pytest.mark.lab
SITE = "roussy-le-village"
FIREWALL = EquipmentName(f"{SITE}/firewall")
LIVE = frozenset(
    f"session/crisis-cell.{station}--{SITE}.live-gateway--live-relay" for station in ("station-fire", "station-police")
)


@contextmanager
def watching(pilot: Pilot, after: Intent | None = None) -> Iterator[FlowWatch]:
    """Watch the commune; `after` is what is declared after the change, by default what was before it."""
    session: Session = open_session(find_workspace(pilot.root), Network.LAB, pilot.client.name)
    watch = FlowWatch(session, session.intent, after or session.intent, [SITE])
    watch.before()
    try:
        yield watch
    finally:
        watch.close()


@contextmanager
def broken(pilot: Pilot, fault: str) -> Iterator[None]:
    """Break the twin in one way, and mend it."""
    assert pilot.cloison("lab", "fault", fault).exit_status == 0
    try:
        yield
    finally:
        assert pilot.cloison("lab", "heal", fault).exit_status == 0


def failed(checks: tuple[GateCheck, ...]) -> set[str]:
    return {check.name for check in checks if not check.passed}


def test_where_nothing_happens_everything_passes(applied: Pilot) -> None:
    with watching(applied) as watch:
        checks = watch.after()
    assert [check for check in checks if not check.passed] == []
    names = {check.name.partition("/")[0] for check in checks}
    assert names == {"session", "stream"}
    assert len(checks) > 30


def test_answers_that_are_dropped_turn_the_sessions_red_that_they_belong_to(applied: Pilot) -> None:
    with watching(applied) as watch, broken(applied, "replies-dropped"):
        checks = watch.after()
    assert failed(checks) == {f"session/{SITE}.operator--{SITE}.nvr--{service}" for service in ("https", "rtsps")}
    assert all("the session opened before the change is silent" in one.detail for one in checks if not one.passed)


def test_what_lets_sessions_through_and_no_picture_is_caught_by_the_name_of_the_stream(applied: Pilot) -> None:
    with watching(applied) as watch, broken(applied, "camera-stopped"):
        checks = watch.after()
    streams = {name for name in failed(checks) if name.startswith("stream/")}
    assert len(streams) == 1
    assert streams.pop().endswith(f"--{SITE}.cam-narrow")


def test_a_flow_is_closed_once_its_old_sessions_are_cut_too(applied: Pilot) -> None:
    intent = applied.intent
    fewer = intent.model_copy(update={"flows": tuple(flow for flow in intent.flows if flow.rule != "watch-live")})
    with watching(applied, fewer) as watch, broken(applied, "live-closed"):
        assert failed(watch.after()) == LIVE  # what was open goes on, as it is established
        rules = applied.inside(FIREWALL, "nft -s list table inet cloison")
        tracked = applied.inside(FIREWALL, "conntrack -L -o extended")
        runs = {**rendered(intent, applied.root / "templates")[FIREWALL], "filter": rules}
        weighed = weigh(FIREWALL, runs, read_tracked(FIREWALL, tracked))
        assert {one.destination_port for one in weighed.refused} == {8322}
        for conversation in weighed.refused:
            applied.inside(FIREWALL, f"conntrack -D {conversation.words}")
        checks = watch.after()
    assert failed(checks) == set()
    closed = [check for check in checks if check.name in LIVE]
    assert {check.outcome for check in closed} == {Outcome.PASS}
    assert all("worked" in check.detail for check in closed)  # its control
