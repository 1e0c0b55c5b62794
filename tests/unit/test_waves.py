"""A change over many sites: in which order, when it halts, how it goes on, and what the table says."""

from __future__ import annotations

import json
import multiprocessing
import threading
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloison.change.wave_journal import Order, SiteOutcome, SiteState, Table, Wave, begin_wave, find_wave, table
from cloison.change.waves import Around, BusyError, Pace, run_waves, waves
from cloison.errors import CloisonError, DeviceError, HostKeyError, InputError, RefusedError, TransportError
from cloison.model import EquipmentName, Name

if TYPE_CHECKING:
    from pathlib import Path

    from cloison.change.waves import Note

SITES = tuple(Name(f"commune-{number}") for number in range(7))
GONE = TransportError("commune-1/firewall", "gone")
HUB = EquipmentName("operations-centre/firewall")


class KilledError(BaseException):
    """Stands for the end of the process: nothing catches it."""


@dataclass
class Clock:
    """A clock that goes only when somebody sleeps."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Sites:
    """Sites in memory: what each does when it is changed, and when it is resumed."""

    deeds: dict[Name, list[object]] = field(default_factory=dict)
    """What befalls a site at each try; a state, an error, or something to call that returns a state."""
    changed: list[Name] = field(default_factory=list)
    resumed: list[tuple[Name, str]] = field(default_factory=list)
    claim: bool = True

    def change(self, site: Name, note: Note) -> SiteOutcome:
        self.changed.append(site)
        deed = (self.deeds.get(site) or [SiteState.CONFIRMED]).pop(0) if self.deeds.get(site) else SiteState.CONFIRMED
        if isinstance(deed, CloisonError):
            raise deed
        if self.claim:
            note(SiteState.ARMED, f"run-{site}")
        if isinstance(deed, KilledError):
            raise deed
        note(SiteState.APPLIED, f"run-{site}")
        state = deed() if callable(deed) else deed
        assert isinstance(state, SiteState)
        return SiteOutcome(site=site, state=state, run=f"run-{site}")

    def resume(self, site: Name, run: str) -> SiteOutcome:
        self.resumed.append((site, run))
        return SiteOutcome(site=site, state=SiteState.CONFIRMED, run=run)


@dataclass
class Trial:
    """One wave in a folder, and all that is told of it."""

    folder: Path
    sites: Sites
    told: list[SiteOutcome] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    order: Order = field(default_factory=lambda: Order(intent="0" * 64, canary=True, waves=waves(SITES, SITES[0], 3)))

    def begin(self) -> Wave:
        return begin_wave(self.folder, self.order)

    def run(self, wave: Wave, pace: Pace | None = None, paths: tuple[EquipmentName, ...] = (HUB,)) -> Table:
        random = Random(1)  # noqa: S311  how long a pause is, is no secret
        around = Around(lambda _site: paths, self.told.append, self.clock.monotonic, self.clock.sleep, random)
        return run_waves(wave, self.sites, pace or Pace(), around)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path / "waves", Sites())


# --- the order ------------------------------------------------------------------------------------------------------


@given(count=st.integers(0, 40), size=st.integers(1, 12), with_canary=st.booleans(), data=st.data())
def test_every_site_has_one_place(count: int, size: int, with_canary: bool, data: st.DataObject) -> None:  # noqa: FBT001
    sites = [Name(f"s{number}") for number in range(count)]
    canary = data.draw(st.sampled_from(sites)) if with_canary and sites else None
    found = waves(sites, canary, size)
    assert Counter(site for wave in found for site in wave) == Counter(sites)
    assert all(0 < len(wave) <= size for wave in found)
    if canary is not None:
        assert found[0] == (canary,)
    rest = [site for wave in found for site in wave if site != canary]
    assert rest == [site for site in sites if site != canary]  # nobody is moved
    assert all(len(wave) == size for wave in found[1 if canary else 0 : -1])


@pytest.mark.parametrize(
    ("sites", "canary", "size", "words"),
    [
        (SITES, None, 0, "of 0 sites"),
        (SITES, Name("elsewhere"), 2, "canary elsewhere"),
        ((*SITES, SITES[2]), None, 2, "commune-2 is named twice"),
    ],
)
def test_an_order_that_cannot_be_is_refused(
    sites: tuple[Name, ...], canary: Name | None, size: int, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        waves(sites, canary, size)


# --- going through ----------------------------------------------------------------------------------------------------


def test_all_sites_are_confirmed(trial: Trial) -> None:
    wave = trial.begin()
    found = trial.run(wave)
    assert found.exit_code == 0
    assert found.states == {state: 7 if state is SiteState.CONFIRMED else 0 for state in SiteState}
    assert found.halted == ""
    assert trial.sites.changed[0] == SITES[0]
    assert sorted(trial.sites.changed) == list(SITES)
    of_one = [outcome.state for outcome in trial.told if outcome.site == SITES[4]]
    assert of_one == [SiteState.ARMED, SiteState.APPLIED, SiteState.CONFIRMED]
    assert [o for o in wave.standing() if o.site == SITES[4]] == [o for o in trial.told if o.site == SITES[4]]


@pytest.mark.parametrize("state", [SiteState.REVERTED, SiteState.UNKNOWN])
def test_a_canary_that_does_not_end_well_is_the_only_one(trial: Trial, state: SiteState) -> None:
    trial.sites.deeds[SITES[0]] = [state]
    found = trial.run(trial.begin())
    assert trial.sites.changed == [SITES[0]]
    assert (found.states[state], found.states[SiteState.PENDING]) == (1, 6)
    assert found.exit_code == (1 if state is SiteState.REVERTED else 3)
    assert SITES[0] in found.halted


def test_a_canary_out_of_reach_halts_although_another_site_would_not(trial: Trial) -> None:
    trial.sites.deeds[SITES[0]] = [TransportError("x", "no route")] * 9
    found = trial.run(trial.begin())
    assert found.states[SiteState.UNREACHABLE] == 1
    assert found.states[SiteState.PENDING] == 6
    assert "canary" in found.halted
    assert found.exit_code == 3


def test_after_a_failure_those_that_run_finish_and_no_other_begins(trial: Trial) -> None:
    failed, others = threading.Event(), threading.Barrier(3, timeout=10)

    def fails() -> SiteState:
        others.wait()  # all three of the wave run
        failed.set()
        return SiteState.REVERTED

    def finishes() -> SiteState:
        others.wait()
        assert failed.wait(10)
        return SiteState.CONFIRMED

    trial.sites.deeds = {SITES[1]: [finishes], SITES[2]: [fails], SITES[3]: [finishes]}
    found = trial.run(trial.begin())
    assert sorted(trial.sites.changed) == list(SITES[:4])
    assert found.states[SiteState.CONFIRMED] == 3
    assert found.states[SiteState.REVERTED] == 1
    assert found.states[SiteState.PENDING] == 3
    assert found.halted == f"{SITES[2]} is reverted"
    assert found.exit_code == 1


def test_a_site_that_waits_for_its_path_is_not_begun_after_the_halt(trial: Trial) -> None:
    trial.order = Order(intent="0" * 64, canary=False, waves=(SITES,))
    trial.sites.deeds = {site: [SiteState.REVERTED] for site in SITES}
    found = trial.run(trial.begin(), Pace(a_path=1))
    assert len(trial.sites.changed) == 1
    assert found.states[SiteState.PENDING] == 6


@pytest.mark.parametrize(("share", "begun"), [(0.0, 4), (0.28, 4), (0.29, 7), (1.0, 7)])
def test_it_halts_at_the_share_that_was_said(trial: Trial, share: float, begun: int) -> None:
    trial.order = Order(intent="0" * 64, canary=False, waves=waves(SITES, None, 2))
    trial.sites.deeds = {SITES[1]: [SiteState.REVERTED], SITES[3]: [SiteState.UNKNOWN]}
    found = trial.run(trial.begin(), Pace(share=share))
    assert len(trial.sites.changed) == (begun if share else 2)
    assert bool(found.halted) == (len(trial.sites.changed) < 7)
    assert found.exit_code == 1


def test_out_of_reach_is_a_column_of_its_own_and_halts_nobody(trial: Trial) -> None:
    trial.sites.deeds[SITES[3]] = [TransportError(f"{SITES[3]}/firewall", "no answer")] * 9
    found = trial.run(trial.begin(), Pace(tries=3))
    assert found.exit_code == 3
    assert found.failed == 0
    assert found.halted == ""
    assert (found.states[SiteState.UNREACHABLE], found.states[SiteState.CONFIRMED]) == (1, 6)
    assert trial.sites.changed.count(SITES[3]) == 3
    first, second = trial.clock.slept
    assert 0.5 <= first <= 1.0 <= second <= 2.0  # doubled, and never the same twice
    last = next(outcome for outcome in reversed(trial.told) if outcome.site == SITES[3])
    assert "no answer" in last.reason


def test_one_that_answers_at_the_second_try_is_changed(trial: Trial) -> None:
    trial.sites.deeds[SITES[3]] = [TransportError("x", "no answer"), SiteState.CONFIRMED]
    assert trial.run(trial.begin()).exit_code == 0


def test_one_that_somebody_else_changes_is_waited_for_and_no_failure(trial: Trial) -> None:
    trial.sites.deeds[SITES[3]] = [BusyError("somebody@here is changing it")] * 500
    found = trial.run(trial.begin(), Pace(patience_seconds=300))
    assert 300 <= sum(trial.clock.slept) <= 330
    assert found.states[SiteState.PENDING] == 1
    assert (found.failed, found.halted, found.exit_code) == (0, "", 3)
    trial.sites.deeds[SITES[3]] = [BusyError("somebody@here is changing it")] * 5
    assert trial.run(find_wave(trial.folder, found.wave)).exit_code == 0


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (RefusedError("a mixture breaks isolation"), SiteState.PENDING, 1),
        (DeviceError("commune-3/firewall", "nonsense"), SiteState.UNKNOWN, 3),
        (HostKeyError("commune-3/firewall", "another key"), SiteState.UNKNOWN, 3),
    ],
)
def test_what_trying_again_does_not_mend_halts_at_once(
    trial: Trial, error: CloisonError, state: SiteState, code: int
) -> None:
    trial.sites.deeds[SITES[3]] = [error]
    found = trial.run(trial.begin())
    assert trial.sites.changed.count(SITES[3]) == 1
    assert SITES[3] in found.halted
    assert found.exit_code == code
    assert next(o for o in reversed(trial.told) if o.site == SITES[3]).state is state


def test_contact_that_is_lost_after_the_claim_is_unknown_and_not_out_of_reach(trial: Trial) -> None:
    def lost() -> SiteState:
        raise GONE

    trial.sites.deeds[SITES[1]] = [lost]
    found = trial.run(trial.begin())
    assert trial.sites.changed.count(SITES[1]) == 1  # never applied twice
    assert found.states[SiteState.UNKNOWN] == 1
    assert SITES[1] in found.halted


def test_no_more_sites_than_said_go_through_one_path(trial: Trial) -> None:
    trial.order = Order(intent="0" * 64, canary=False, waves=(SITES,))
    lock, two = threading.Lock(), threading.Barrier(2, timeout=10)
    inside, most = 0, 0

    def counted() -> SiteState:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        two.wait()  # two are inside at the same time: the limit is used
        with lock:
            inside -= 1
        return SiteState.CONFIRMED

    trial.sites.deeds = {site: [counted] for site in SITES[:6]}
    other = EquipmentName("crisis-cell/firewall")
    assert trial.run(trial.begin(), Pace(a_path=2), (HUB, other)).exit_code == 0
    assert most == 2


@given(tries=st.integers(1, 2000), seed=st.integers())
def test_a_pause_grows_to_a_bound(tries: int, seed: int) -> None:
    pace = Pace(first_seconds=1.0, longest_seconds=30.0)
    one, other = (pace.pause(tries, Random(seed)) for _ in range(2))  # noqa: S311  no secret
    assert 0.5 <= one <= 30.0
    assert one == other


# --- going on ---------------------------------------------------------------------------------------------------------


def test_a_claimed_site_is_resumed_and_never_changed_again(trial: Trial) -> None:
    trial.sites.deeds[SITES[2]] = [KilledError()]
    wave = trial.begin()
    with pytest.raises(KilledError):
        trial.run(wave)
    assert table(wave, "").states[SiteState.ARMED] == 1
    before = list(trial.sites.changed)
    found = trial.run(find_wave(trial.folder, wave.name[:18]))
    assert trial.sites.resumed == [(SITES[2], f"run-{SITES[2]}")]
    assert found.exit_code == 0
    assert sorted(trial.sites.changed) == list(SITES)  # each of them once
    assert before == trial.sites.changed[: len(before)]


def test_a_site_without_a_claim_is_changed_anew(trial: Trial) -> None:
    trial.sites.claim = False
    trial.sites.deeds[SITES[2]] = [KilledError()]
    wave = trial.begin()
    with pytest.raises(KilledError):
        trial.run(wave)
    trial.sites.claim = True
    assert trial.run(wave).exit_code == 0
    assert trial.sites.resumed == []
    assert trial.sites.changed.count(SITES[2]) == 2


def test_what_went_back_stays_and_the_others_go_on(trial: Trial) -> None:
    trial.sites.deeds[SITES[0]] = [SiteState.REVERTED]
    wave = trial.begin()
    assert trial.run(wave).states[SiteState.PENDING] == 6
    found = trial.run(wave)
    assert trial.sites.changed.count(SITES[0]) == 1
    assert (found.states[SiteState.CONFIRMED], found.states[SiteState.REVERTED]) == (6, 1)
    assert found.exit_code == 1


def test_a_line_that_was_cut_off_counts_as_not_written(trial: Trial) -> None:
    wave = trial.begin()
    trial.run(wave)
    journal = wave.folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-3])
    assert table(wave, "").states[SiteState.CONFIRMED] == 6
    journal.write_bytes(journal.read_bytes() + b"\n{}\n")
    with pytest.raises(InputError, match="not a journal of a wave"):
        table(wave, "")


def test_a_table_that_does_not_add_up_is_an_error(trial: Trial) -> None:
    wave = trial.begin()
    wave.write(SiteOutcome(site=Name("elsewhere"), state=SiteState.CONFIRMED))
    with pytest.raises(CloisonError, match=r"does not add up: 8 of 7 .*elsewhere"):
        table(wave, "")


def _try_to_hold(wave: Wave, answer: multiprocessing.SimpleQueue[str]) -> None:
    try:
        with wave.holding():
            answer.put("held")
    except RefusedError as error:
        answer.put(str(error))


def test_a_wave_is_carried_out_by_one_process(trial: Trial) -> None:
    wave = trial.begin()
    context = multiprocessing.get_context("fork")
    answer: multiprocessing.SimpleQueue[str] = context.SimpleQueue()
    with wave.holding():
        process = context.Process(target=_try_to_hold, args=(Wave(wave.name, wave.folder), answer))
        process.start()
        assert "another process" in answer.get()
        process.join()
    with wave.holding():
        pass


def test_a_journal_that_cannot_be_written_stops_the_site_before_it_is_armed(trial: Trial) -> None:
    wave = trial.begin()
    (wave.folder / "journal.jsonl").symlink_to("/dev/null")  # a link is not followed
    armed = threading.Event()

    def arms() -> SiteState:
        armed.set()
        return SiteState.CONFIRMED

    trial.sites.deeds[SITES[0]] = [arms]
    with pytest.raises(RefusedError, match="without its journal"):
        trial.run(wave)
    assert not armed.is_set()


def test_the_journal_is_lines_of_json_for_its_owner_alone(trial: Trial) -> None:
    wave = trial.begin()
    trial.run(wave)
    file = wave.folder / "journal.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert all(line.keys() == {"at", "site", "state", "run", "reason", "refused"} for line in lines)
    with pytest.raises(InputError, match="no wave nothing"):
        find_wave(trial.folder, "nothing")
    (wave.folder / "order.json").write_text("{}")
    with pytest.raises(InputError, match="not the order"):
        _ = wave.order
