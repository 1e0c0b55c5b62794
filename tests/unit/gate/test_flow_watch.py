"""Streams, verdicts and time as the gate watches them: none worse than before, and both tries kept."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.errors import EvidenceError, LabError, ProbeError, TransportError
from cloison.flow import Outcome, Verdict
from cloison.gate.flows import Fate, Fated, fates
from cloison.gate.sessions import SessionWatch
from cloison.gate.streams import FRAMES, StreamWatch, Viewed, viewed
from cloison.gate.verdicts import FAMILIES, VerdictWatch
from cloison.gate.watch import FlowWatch, UnwatchedFlows
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.probe.stream import Refusal, Stream, StreamSeen
from cloison.session import Session
from cloison.workspace import Network, find_workspace

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Sequence

    from cloison.change.gate import GateCheck
    from cloison.flow import Flow
    from cloison.intent.network import Intent

ROOT = Path(__file__).parents[3]
STATION, GATEWAY = EquipmentName("crisis-cell/station-fire"), EquipmentName("roussy-le-village/live-gateway")
VIEW = Viewed(STATION, Stream(GATEWAY, IPv4Address("10.56.1.50"), 8322, "cam-context"))
STREAM = "stream/crisis-cell.station-fire--roussy-le-village.cam-context"
PAIR = "crisis-cell.station-fire--roussy-le-village.live-gateway"
REFUSED = f"packets/refused/{PAIR}"


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


def seen(frames: int = FRAMES, refusal: Refusal | None = None) -> StreamSeen:
    return StreamSeen(
        url=VIEW.stream.url,
        refusal=refusal,
        detail="",
        certificate="",
        tls="",
        codec="h264",
        width=1,
        height=1,
        audio_tracks=0,
        frames=frames,
        bytes=1,
        unreadable=0,
        nonces=(),
        delay_milliseconds=None,
    )


Sight = StreamSeen | Exception


class Player:
    """Sees at each playing what it was told to, the last thing again and again."""

    def __init__(self, *sights: Sight) -> None:
        self._sights = list(sights)
        self.played = 0

    def __call__(self, station: EquipmentName, stream: Stream) -> StreamSeen:
        assert (station, stream) == (VIEW.station, VIEW.stream)
        self.played += 1
        sight = self._sights.pop(0) if len(self._sights) > 1 else self._sights[0]
        if isinstance(sight, Exception):
            raise sight
        return sight


def streamed(*sights: Sight, settling: bool = False) -> GateCheck:
    """Return the check of one stream, the first sight being that of before the change."""
    watch = StreamWatch(Player(*sights), [VIEW], settling=settling)
    watch.before()
    (check,) = watch.after()
    assert check.name == STREAM
    return check


def test_a_stream_with_pictures_before_and_after_passes() -> None:
    player = Player(seen())
    watch = StreamWatch(player, [VIEW])
    watch.before()
    (check,) = watch.after()
    assert (check.outcome, check.tries, player.played) == (Outcome.PASS, (), 2)


@pytest.mark.parametrize(
    ("after", "outcome", "words"),
    [
        (seen(0, Refusal.NO_FRAMES), Outcome.FAIL, "no-frames"),
        (seen(0, Refusal.UNREACHABLE), Outcome.FAIL, "unreachable"),
        (seen(FRAMES - 1), Outcome.FAIL, f"{FRAMES - 1} of {FRAMES}"),
        (ProbeError("no player"), Outcome.ERROR, "no player"),
    ],
)
def test_a_stream_without_pictures_fails_by_name(after: Sight, outcome: Outcome, words: str) -> None:
    check = streamed(seen(), after)
    assert check.outcome is outcome
    assert words in check.detail
    assert len(check.tries) == 2


def test_a_stream_that_comes_back_counts_only_while_settling() -> None:
    silent = seen(0, Refusal.NO_FRAMES)
    assert streamed(seen(), silent, seen()).outcome is Outcome.FAIL
    assert streamed(seen(), silent, seen(), settling=True).outcome is Outcome.PASS


def test_a_stream_that_was_not_seen_before_is_not_the_changes_doing() -> None:
    silent = seen(0, Refusal.UNREACHABLE)
    check = streamed(silent, silent)
    assert check.outcome is Outcome.PASS
    assert "not seen before" in check.detail


def test_every_camera_and_every_station_is_seen_once(intent: Intent) -> None:
    views = viewed(intent, fates(intent, intent, ["roussy-le-village"]))
    assert {view.stream.mount for view in views} == {"cam-context", "cam-narrow"}
    assert {view.station.equipment for view in views} == {"station-fire", "station-police"}
    assert {view.stream.server for view in views} == {GATEWAY}
    assert len(views) == 2
    closing = [Fated(one.flow, Fate.CLOSES) for one in fates(intent, intent, ["roussy-le-village"])]
    assert viewed(intent, closing) == ()


# --- verdicts -------------------------------------------------------------------------------------------------------


class Validators:
    """Give at each run the outcomes they were told to."""

    def __init__(self, *runs: dict[str, Outcome] | Exception) -> None:
        self._runs = list(runs)
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, only: Sequence[str]) -> Sequence[Verdict]:
        self.asked.append(tuple(only))
        run = self._runs.pop(0)
        if isinstance(run, Exception):
            raise run
        return [Verdict(check=check, outcome=outcome, title="a title") for check, outcome in run.items()]


def judged(
    before: Outcome | None, *after: Outcome, fated: Iterable[Fated] = (), check: str = REFUSED, settling: bool = False
) -> GateCheck:
    """Return the check of one validator; None for one that there was not before."""
    runs = [{} if before is None else {check: before}, *({check: outcome} for outcome in after)]
    watch = VerdictWatch(Validators(*runs), fated, settling=settling)
    watch.before()
    (found,) = watch.after()
    assert found.name == f"verdict/{check}"
    return found


P, F, U, N, E = Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN, Outcome.NOT_RUN, Outcome.ERROR


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (P, P, P),
        (P, F, F),
        (P, U, U),
        (P, N, N),
        (P, E, E),
        (F, F, P),
        (F, U, P),
        (U, U, P),
        (U, F, F),
        (F, P, P),
        (None, F, F),
        (None, U, U),
        (None, P, P),
    ],
)
def test_no_verdict_may_be_worse_than_before(before: Outcome | None, after: Outcome, outcome: Outcome) -> None:
    assert judged(before, after, after).outcome is outcome


def test_what_the_change_opens_or_closes_must_be_right_whatever_it_was_before(intent: Intent) -> None:
    flow = next(one for one in intent.flows if one.key == f"{PAIR}--live-relay")
    for fate, outcome in ((Fate.CLOSES, F), (Fate.OPENS, F), (Fate.SURVIVES, P)):
        assert judged(F, F, F, fated=[Fated(flow, fate)]).outcome is outcome
        assert judged(F, F, F, fated=[Fated(flow, fate)], check=f"reach/delivered/{flow.key}").outcome is outcome
    assert judged(F, F, F, fated=[Fated(flow, Fate.CLOSES)], check=f"packets/refused/{PAIR}-two").outcome is P


def test_a_validator_that_fails_is_asked_once_more_and_both_tries_are_kept() -> None:
    check = judged(P, F, P)
    assert (check.outcome, len(check.tries)) == (F, 2)
    assert judged(P, F, P, settling=True).outcome is P


def test_only_what_failed_is_asked_again_and_the_first_try_stands_where_that_breaks() -> None:
    validators = Validators({REFUSED: P, "a/b/c": P}, {REFUSED: F, "a/b/c": P}, EvidenceError("broke"))
    watch = VerdictWatch(validators, [])
    watch.before()
    outcomes = {check.name: check.outcome for check in watch.after()}
    assert outcomes == {f"verdict/{REFUSED}": F, "verdict/a/b/c": P}
    assert validators.asked == [FAMILIES, FAMILIES, (REFUSED,)]


def test_a_validator_that_is_no_more_is_unknown() -> None:
    watch = VerdictWatch(Validators({"a/b/c": P, REFUSED: P}, {REFUSED: P}, {}), [])
    watch.before()
    outcomes = {check.name: check.outcome for check in watch.after()}
    assert outcomes == {f"verdict/{REFUSED}": P, "verdict/a/b/c": U}


# --- time, and all as one -------------------------------------------------------------------------------------------


class Unreachable:
    """Opens no connection."""

    def dial(self, address: str, port: int, *, timeout: float) -> socket.socket:
        raise TransportError(address, f"port {port} is for no test, within {timeout:g} s or ever")


def asked_for_time(flow: Flow, before: str | Exception, after: str | Exception) -> GateCheck:
    answers = [before]

    def use(_: Flow) -> str:
        if isinstance(answers[-1], Exception):
            raise answers[-1]
        return answers[-1]

    watch = SessionWatch(lambda _: Unreachable(), use, [Fated(flow, Fate.SURVIVES)], window_seconds=0.1)
    watch.before()
    answers.append(after)
    (check,) = watch.after()
    watch.close()
    return check


def test_a_time_server_must_still_answer(intent: Intent) -> None:
    flow = next(one for one in intent.flows if one.service.port == 123)
    assert asked_for_time(flow, "", "").outcome is P
    failed = asked_for_time(flow, "", "no answer came")
    assert (failed.outcome, failed.name) == (F, f"session/{flow.key}")
    assert "no answer came" in failed.detail
    assert "answered before the change" in failed.detail
    assert asked_for_time(flow, "", LabError("it is off")).outcome is U
    assert asked_for_time(flow, "no answer came", "no answer came").outcome is P


def test_without_vantage_points_nothing_passes_and_it_says_what_to_do(intent: Intent, tmp_path: Path) -> None:
    live = Session(find_workspace(ROOT), Network.LIVE, intent, tmp_path / "key", None, {})
    for watch in (FlowWatch(live, intent, intent, ["roussy-le-village"]), UnwatchedFlows()):
        watch.before()
        (check,) = watch.after()
        watch.close()
        assert (check.outcome, check.passed) == (U, False)
        assert "--gate proof" in check.detail
