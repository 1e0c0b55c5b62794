"""One small audit with every outcome in it."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from ipaddress import IPv4Address
from itertools import permutations

import pytest

from cloison.evidence.document import AuditDocument, AuditWaiver, NotExamined, RunFacts, audit_document
from cloison.evidence.run import RunId
from cloison.evidence.stream import PlannedCheck, Stream
from cloison.evidence.truth import truth_table
from cloison.flow import Endpoint, Flow, Outcome, Protocol, Purpose, Service, Verdict
from cloison.model import EquipmentName, Name
from cloison.workspace import Network

STARTED = datetime(2026, 11, 24, 13, 20, 5, tzinfo=UTC)
FINISHED = datetime(2026, 11, 24, 13, 21, 40, tzinfo=UTC)
PLACES = tuple(EquipmentName(name) for name in ("town/camera", "town/gateway", "cell/station"))
WATCH = Flow(
    rule=Name("watch-live"),
    source=Endpoint(name=PLACES[2], address=IPv4Address("10.56.2.2")),
    destination=Endpoint(name=PLACES[1], address=IPv4Address("10.56.1.50")),
    service=Service(name=Name("live-relay"), protocol=Protocol.TCP, port=8322),
    purpose=Purpose.LIVE,
)
FACTS = RunFacts(
    run_id=RunId("20261124-132005-a1b2c3"),
    started=STARTED,
    finished=FINISHED,
    network=Network.LAB,
    lab=Name("demo"),
    version="0.1.0",
    intent="0" * 64,
)
VERDICTS = {
    "packets/refused/cell.station--town.camera": Outcome.FAIL,
    "packets/refused/cell.station--town.gateway": Outcome.PASS,
    "packets/refused/town.camera--cell.station": Outcome.PASS,
    "packets/refused/town.camera--town.gateway": Outcome.UNKNOWN,
    "packets/refused/town.gateway--cell.station": Outcome.PASS,
    "reach/delivered/cell.station--town.gateway--live-relay": Outcome.PASS,
    "fibre/budget/town.pole-switch.sfp1": Outcome.PASS,
    "hosts/sockets/town.gateway": Outcome.ERROR,
    "tunnel/up/video": Outcome.FAIL,
    "video/nonce/town.camera": Outcome.NOT_RUN,
}


def verdict(check: str, outcome: Outcome, detail: str = "") -> Verdict:
    return Verdict(
        check=check,
        outcome=outcome,
        title=f"title of {check}",
        detail=detail,
        emulated=check.startswith("fibre"),
        controls=("ANSSI-PA-72 R16",) if check.startswith("packets") else (),
    )


def stream_of(verdicts: tuple[Verdict, ...], *, ended: bool = True) -> Stream:
    planned = tuple(PlannedCheck(check=item.check, title=item.title) for item in verdicts)
    run = sum(item.outcome is not Outcome.NOT_RUN for item in verdicts)
    return Stream(planned, tuple(sorted(verdicts, key=lambda item: item.check)), run, ended)


def made(verdicts: tuple[Verdict, ...], *waivers: AuditWaiver, ended: bool = True) -> AuditDocument:
    return audit_document(
        FACTS,
        stream_of(verdicts, ended=ended),
        truth=truth_table(permutations(PLACES, 2), [WATCH], verdicts),
        waivers=waivers,
        not_examined=(NotExamined(name="town/camera", reason="policy lets no one log in to it"),),
        emulated=("the SFP modules: an image computed from the declared link",),
    )


@pytest.fixture
def make() -> Callable[..., AuditDocument]:
    """Make a document from verdicts and waivers."""
    return made


@pytest.fixture
def document() -> AuditDocument:
    """Return a document with every outcome, a leak, a waived FAIL and an expired waiver."""
    verdicts = tuple(verdict(check, outcome, "detail") for check, outcome in VERDICTS.items())
    return made(
        verdicts,
        AuditWaiver(check="tunnel/up/video", reason="works", owner="network team", expires=date(2026, 12, 1)),
        AuditWaiver(
            check="packets/refused/cell.station--town.camera",
            reason="old",
            owner="network team",
            expires=date(2026, 11, 23),
        ),
    )
