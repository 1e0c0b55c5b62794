from ipaddress import IPv4Address
from itertools import permutations

import pytest
from pydantic import ValidationError

from cloison.evidence.truth import Reach, TruthCell, pair_key, reach_of, truth_table
from cloison.flow import Endpoint, Flow, Outcome, Protocol, Purpose, Service, Verdict
from cloison.model import EquipmentName, Name

P, F, E, U, N = Outcome.PASS, Outcome.FAIL, Outcome.ERROR, Outcome.UNKNOWN, Outcome.NOT_RUN
A, B = EquipmentName("town/a"), EquipmentName("cell/b")


def flow(service: str) -> Flow:
    return Flow(
        rule=Name("rule"),
        source=Endpoint(name=A, address=IPv4Address("10.0.0.1")),
        destination=Endpoint(name=B, address=IPv4Address("10.0.0.2")),
        service=Service(name=Name(service), protocol=Protocol.TCP, port=443),
        purpose=Purpose.LIVE,
    )


def verdict(check: str, outcome: Outcome) -> Verdict:
    return Verdict(check=check, outcome=outcome, title="t")


@pytest.mark.parametrize(
    ("delivered", "silence", "reach"),
    [
        ([P], P, Reach.DELIVERED),
        ([P, P], P, Reach.DELIVERED),
        ([], P, Reach.SILENT),
        ([], F, Reach.LEAK),
        ([P], F, Reach.LEAK),
        ([F], F, Reach.LEAK),
        ([F, P], P, Reach.OUTAGE),
        ([F], N, Reach.OUTAGE),
        ([P], N, Reach.UNKNOWN),
        ([N], P, Reach.UNKNOWN),
        ([E], P, Reach.UNKNOWN),
        ([], U, Reach.UNKNOWN),
        ([], E, Reach.UNKNOWN),
        ([], N, Reach.UNKNOWN),
    ],
)
def test_what_is_so_between_two_places(delivered: list[Outcome], silence: Outcome, reach: Reach) -> None:
    assert reach_of(delivered, silence) is reach


def test_every_ordered_pair_has_a_cell() -> None:
    names = [EquipmentName(f"town/host-{n}") for n in range(14)]
    cells = truth_table(permutations(names, 2), [], [])
    assert len(cells) == 14 * 13
    assert {cell.reach for cell in cells} == {Reach.UNKNOWN}


def test_verdicts_are_found_by_their_exact_subject() -> None:
    flows = [flow("https"), flow("http")]
    verdicts = [
        verdict(f"reach/delivered/{flows[0].key}", P),
        verdict(f"video/stream/{flows[0].key}", F),
        verdict(f"reach/delivered/{flows[1].key}", P),
        verdict(f"reach/delivered/{flows[1].key}-more", F),
        verdict(f"packets/refused/{pair_key(A, B)}", P),
    ]
    forth, back = truth_table([(A, B), (B, A)], flows, verdicts)
    assert [(item.service, item.outcome) for item in forth.authorised] == [("http", P), ("https", F)]
    assert (forth.reach, forth.silence) == (Reach.OUTAGE, P)
    assert (back.reach, back.authorised) == (Reach.UNKNOWN, ())


def test_a_cell_cannot_say_what_its_outcomes_do_not() -> None:
    with pytest.raises(ValidationError, match="does not follow"):
        TruthCell(source=A, destination=B, reach=Reach.SILENT, authorised=(), silence=F)
