"""What may be said of an observation: silence counts with all three controls, and is unknown without any one."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from cloison.flow import Outcome
from cloison.intent.load import load
from cloison.intent.network import Intent
from cloison.model import EquipmentName
from cloison.probe.judge import Finding, Judge
from cloison.probe.matrix import Observation, Round, Try
from cloison.probe.question import OUTSIDE, Pair, probes, vantage_names

ADDRESSES = {name: IPv4Address(f"203.0.113.{number}") for number, name in enumerate(OUTSIDE, 66)}
STATION, GATEWAY = EquipmentName("crisis-cell/station-fire"), EquipmentName("roussy-le-village/live-gateway")
SWITCH, CAMERA = EquipmentName("roussy-le-village/core-switch"), EquipmentName("roussy-le-village/cam-context")
FIREWALL = EquipmentName("crisis-cell/firewall")
TO_GATEWAY, TO_CAMERA = Pair(STATION, GATEWAY), Pair(STATION, CAMERA)
Change = Callable[[Try], Try]


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(Path(__file__).parents[2])


def healthy(intent: Intent) -> Observation:
    """Return what a network would do that does exactly what is declared."""
    asked = [probe for between in probes(intent, ADDRESSES).values() for probe in between]
    tries = tuple(
        Try(probe, number, "", "", left=True, heard_at=frozenset({probe.destination} if probe.flow else ()))
        for number, probe in enumerate(asked, 1)
    )
    hosts = [
        name for name in vantage_names(intent) if name.site == "wan" or not intent.equipment_by_name[name].is_device
    ]
    canaries = dict.fromkeys(hosts, (True, True))
    return Observation((Round(tries, canaries, dict.fromkeys(vantage_names(intent), 0)),), {}, {}, 1.0)


def changed(observation: Observation, change: Change) -> Observation:
    """Return the observation with every try of its first window changed."""
    first = observation.rounds[0]
    altered = replace(first, tries=tuple(change(attempt) for attempt in first.tries))
    return replace(observation, rounds=(altered, *observation.rounds[1:]))


def of_pair(pair: Pair, change: Change, *, expected: bool = False) -> Change:
    """Return a change of the tries between two vantage points alone, the refused ones or the expected ones."""

    def apply(attempt: Try) -> Try:
        probe = attempt.probe
        mine = (probe.source, probe.destination) == (pair.source, pair.destination)
        return change(attempt) if mine and (probe.flow is not None) is expected else attempt

    return apply


def judged(intent: Intent, observation: Observation, pair: Pair) -> Finding:
    return Judge(intent, observation).pair(pair)


def test_a_network_that_does_what_is_declared_passes_everywhere(intent: Intent) -> None:
    judge = Judge(intent, healthy(intent))
    asked = probes(intent, ADDRESSES)
    assert {judge.pair(pair).outcome for pair in asked} == {Outcome.PASS}
    assert {judge.flow(flow).outcome for flow in intent.flows} == {Outcome.PASS}


def test_a_pass_names_every_packet_and_the_controls(intent: Intent) -> None:
    assert judged(intent, healthy(intent), TO_GATEWAY).detail == (
        "39 packets arrived nowhere: to 10.56.1.50 by gateway: "
        "icmp-echo + tcp-ack/udp 22,53,80,123,322,443,445,554,3702,6514,8000,8322,37777 + "
        "tcp-syn 22,53,80,123,322,443,445,554,3702,6514,8000,37777. "
        "Controls: 39 seen leaving on their own link; "
        "roussy-le-village/live-gateway heard canaries on its own cable, before and after; "
        "tcp-syn/8322 from crisis-cell/station-fire to roussy-le-village/live-gateway arrived between the same segments"
    )


def test_a_leak_is_a_fail_that_names_it(intent: Intent) -> None:
    def leak(attempt: Try) -> Try:
        return replace(attempt, heard_at=frozenset({GATEWAY})) if str(attempt.probe.packet) == "tcp-syn/22" else attempt

    finding = judged(intent, changed(healthy(intent), of_pair(TO_GATEWAY, leak)), TO_GATEWAY)
    assert finding.outcome is Outcome.FAIL
    assert "to 10.56.1.50 by gateway: tcp-syn 22 arrived in 1 of 1 tries" in finding.detail
    assert len(finding.numbers) == 1


def test_an_authorised_packet_heard_elsewhere_too_is_a_fail_there(intent: Intent) -> None:
    def stray(attempt: Try) -> Try:
        return replace(attempt, heard_at=attempt.heard_at | {CAMERA})

    observation = changed(healthy(intent), of_pair(TO_GATEWAY, stray, expected=True))
    finding = judged(intent, observation, TO_CAMERA)
    assert finding.outcome is Outcome.FAIL
    assert "tcp-syn 8322 sent to roussy-le-village/live-gateway, was heard here" in finding.detail
    assert judged(intent, observation, TO_GATEWAY).outcome is Outcome.PASS


def deaf(pair: Pair, **differences: object) -> Change:
    return of_pair(pair, lambda attempt: replace(attempt, **differences))  # type: ignore[arg-type]


UNSENT = "the gateway of crisis-cell/station-fire does not answer ARP"


@pytest.mark.parametrize(
    ("pair", "change", "reason"),
    [
        (TO_GATEWAY, deaf(TO_GATEWAY, left=False), "39 of 39 packets were not seen leaving their own link"),
        (TO_GATEWAY, deaf(TO_GATEWAY, left=False, unsent=UNSENT), UNSENT),
        (
            TO_GATEWAY,
            lambda attempt: replace(attempt, heard_at=frozenset()),
            "none of the 2 authorised packets between the two segments arrived",
        ),
        (
            Pair(STATION, SWITCH),
            lambda attempt: replace(attempt, heard_at=frozenset()),
            "roussy-le-village/core-switch was not shown to hear: no authorised packet reached it",
        ),
        (
            Pair(FIREWALL, GATEWAY),
            lambda attempt: replace(attempt, left=False, refused="Operation not permitted"),
            "crisis-cell/firewall refused its own packets, and none was seen leaving it",
        ),
    ],
)
def test_silence_without_a_control_is_unknown(intent: Intent, pair: Pair, change: Change, reason: str) -> None:
    finding = judged(intent, changed(healthy(intent), change), pair)
    assert finding.outcome is Outcome.UNKNOWN
    assert reason in finding.detail


@pytest.mark.parametrize(
    ("canaries", "drops", "closed", "reason"),
    [
        ((True, False), 0, {}, "did not hear the canaries on its own cable"),
        ((False, True), 0, {}, "did not hear the canaries on its own cable"),
        ((True, True), 3, {}, "the capture at roussy-le-village/live-gateway lost 3 packets"),
        ((True, True), 0, {GATEWAY: "eth0 cannot be opened"}, "eth0 cannot be opened"),
    ],
)
def test_a_receiver_not_shown_to_hear_is_unknown(
    intent: Intent, canaries: tuple[bool, bool], drops: int, closed: dict[EquipmentName, str], reason: str
) -> None:
    observation = healthy(intent)
    first = observation.rounds[0]
    window = replace(first, canaries={**first.canaries, GATEWAY: canaries}, drops={**first.drops, GATEWAY: drops})
    finding = judged(intent, replace(observation, rounds=(window,), closed=closed), TO_GATEWAY)
    assert finding.outcome is Outcome.UNKNOWN
    assert reason in finding.detail


def test_what_a_firewall_keeps_in_is_stopped_when_others_left_it(intent: Intent) -> None:
    pair = Pair(FIREWALL, GATEWAY)
    observation = changed(healthy(intent), deaf(pair, left=False, refused="Operation not permitted"))
    finding = judged(intent, observation, pair)
    assert finding.outcome is Outcome.PASS
    assert "0 seen leaving on their own link, 40 refused by the sender's own filter" in finding.detail


def flow_after(intent: Intent, *changes: dict[str, object]) -> Finding:
    """Judge the flow of the live stream after tries that each differ so from one that arrives."""
    flow = next(flow for flow in intent.flows if flow.source.name == STATION and flow.service.name == "live-relay")
    observation = healthy(intent)
    first = observation.rounds[0]
    good = next(attempt for attempt in first.tries if attempt.probe.flow == flow)
    attempts = [replace(good, number=number, **change) for number, change in enumerate(changes)]  # type: ignore[arg-type]
    rounds = [replace(first, tries=(attempts[0], *(a for a in first.tries if a is not good)))]
    rounds += [replace(first, tries=(attempt,)) for attempt in attempts[1:]]
    return Judge(intent, replace(observation, rounds=tuple(rounds))).flow(flow)


LOST: dict[str, object] = {"heard_at": frozenset()}


@pytest.mark.parametrize(
    ("changes", "outcome", "detail"),
    [
        ([{}], Outcome.PASS, "tcp-syn/8322 to 10.56.1.50 arrived"),
        ([LOST, {}], Outcome.PASS, "tcp-syn/8322 to 10.56.1.50 arrived, on try 2 only"),
        ([LOST, LOST], Outcome.FAIL, "tcp-syn/8322 to 10.56.1.50 did not arrive, 2 tries of 2"),
        (
            [LOST | {"refused": "Network is unreachable", "left": False}],
            Outcome.FAIL,
            "tcp-syn/8322 to 10.56.1.50 refused by the sender itself (Network is unreachable), 1 tries of 1",
        ),
        ([LOST | {"left": False}], Outcome.UNKNOWN, "tcp-syn/8322 to 10.56.1.50: was not seen leaving its own link"),
        ([LOST | {"unsent": UNSENT}], Outcome.UNKNOWN, f"tcp-syn/8322 to 10.56.1.50: {UNSENT}"),
    ],
)
def test_a_flow_is_judged_by_all_its_tries(
    intent: Intent, changes: list[dict[str, object]], outcome: Outcome, detail: str
) -> None:
    finding = flow_after(intent, *changes)
    assert (finding.outcome, finding.detail) == (outcome, detail)


def test_nothing_tried_is_an_error(intent: Intent) -> None:
    judge = Judge(intent, Observation((Round((), {}, {}),), {}, {}, 0.0))
    assert judge.flow(intent.flows[0]).outcome is Outcome.ERROR
    assert judge.pair(TO_GATEWAY).outcome is Outcome.ERROR
