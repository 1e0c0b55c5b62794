"""Every fault of the catalogue, once: its checks turn red, a proof says what is wrong, and a packet shows that it is.

Undone, every device runs what is declared again, which is proved once at the end, and the packet's fate is the other.
"""

from __future__ import annotations

from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.change.fleetwide import on_each
from cloison.change.order import Via
from cloison.change.plan import candidates, plan_device
from cloison.cli.configurations import running
from cloison.flow import Outcome
from cloison.intent.load import load
from cloison.lab.fault import active_faults, complaints, heal, inject, unshown
from cloison.lab.faults.catalogue import catalogue
from cloison.probe.witness import Fate
from cloison.prove.answer import Answer, Finding, TunnelsAre
from cloison.prove.judge import Judge
from cloison.prove.network import Prover
from cloison.session import AUDITOR, open_session
from cloison.testing.witnesses import claim_of, try_witnesses
from cloison.workspace import Network, find_workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pilot.conftest import Pilot

    from cloison.lab.fault import Fault
    from cloison.model import EquipmentName

pytestmark = pytest.mark.lab
INTENT = load(find_workspace(Path(__file__).parents[2]))
FAULTS = catalogue(INTENT)
LAYERS = 8
AT_LEAST = 46
PROVED_AT_LEAST = 40
OF_WHAT_IS_READ_BACK = tuple(
    f"{check}/{device.name.site}.{device.name.equipment}"
    for check in (
        "hosts/switch-rows",
        "hosts/interfaces",
        "hosts/routes",
        "hosts/edge-flows",
        "hosts/filter",
        "hosts/tunnels",
        "hosts/kernel",
        "intent/running",
    )
    for device in INTENT.devices
)
"""Checks that judge nothing but what a device's daemons show, which is what reading the device back shows."""
WITHOUT_A_PACKET = frozenset(
    {
        # What is wrong in itself has no packet that shows it.
        "mirror-port",
        "patch-port",
        "vxlan-port",
        "foreign-table",
        "nat-table",
        "foreign-connection",
        "selectors-widened",
        "names-shared",
        "selector-widened-at-one-end",
        "selector-of-anything",
        "child-missing",
        "connection-missing",
        # The next wall holds: what a switch lets in gets nowhere.
        "fail-open",
        "edge-opened",
        "edge-mac-widened",
        "edge-arp-widened",
        "edge-tag-let-in",
        "fragments-let-in",
        # It shows while the tunnels are down.
        "clear-when-down",
    }
)
"""Faults that a proof sees and no packet can show as long as they are alone."""


@pytest.fixture(scope="session")
def unlike_declared(applied: Pilot) -> Callable[[], dict[EquipmentName, tuple[str, ...]]]:
    """Return what tells, now, which sections of which devices are not the declared ones."""
    workspace = find_workspace(applied.root)
    session = open_session(workspace, Network.LAB, applied.client.name, key=None, role=AUDITOR)
    reach, rendered = session.reach(Via.TUNNEL), candidates(session.intent, workspace.templates)

    def differing(name: EquipmentName) -> tuple[str, ...]:
        with closing(reach(name)) as opened:
            return tuple(str(section) for section in plan_device(opened.reader, rendered[name]).changed)

    def read() -> dict[EquipmentName, tuple[str, ...]]:
        found = on_each(list(rendered), differing, session.intent.workers)
        return {name: sections for name, sections in found.items() if sections}

    return read


@pytest.fixture(scope="session")
def prove(applied: Pilot) -> Callable[[], Answer]:
    """Return what reads every device back and proves, now; what did not change since the last time is not computed."""
    session = open_session(find_workspace(applied.root), Network.LAB, applied.client.name, key=None, role=AUDITOR)
    prover = Prover(session.intent)
    return lambda: Judge(prover, prover.network(running(session, Via.TUNNEL))).answer()


def test_the_catalogue_is_spread_over_every_layer() -> None:
    assert len({fault.layer for fault in FAULTS}) == LAYERS
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= AT_LEAST


def test_a_proof_sees_most_faults() -> None:
    proved = [fault for fault in FAULTS if not fault.unproved]
    assert len(proved) >= PROVED_AT_LEAST
    assert {fault.name for fault in FAULTS if fault.shown} == {fault.name for fault in proved}
    assert {fault.name for fault in proved} >= WITHOUT_A_PACKET


def test_a_wrong_finding_does_not_count() -> None:
    fault = next(fault for fault in FAULTS if fault.name == "camera-opened")
    right = "leak/roussy-le-village.operator--roussy-le-village.cam-context--tcp.443"
    assert unshown(fault, [right]) == ()
    assert unshown(fault, [right.replace("cam-context", "cam-narrow")]) == fault.shown


def test_the_command_line_injects_a_fault_once_and_undoes_it(applied: Pilot) -> None:
    name = str(next(fault.name for fault in FAULTS if len(fault.must) == 1))
    assert applied.cloison("lab", "fault", name).exit_status == 0
    assert active_faults(applied.client) == (name,)
    assert "injected already" in applied.cloison("lab", "fault", name).stderr.decode()
    assert applied.cloison("lab", "heal", name).exit_status == 0
    assert active_faults(applied.client) == ()


@pytest.mark.parametrize("fault", FAULTS, ids=[str(fault.name) for fault in FAULTS])
def test_fault_turns_the_checks_it_names_red_and_is_undone(
    applied: Pilot,
    fault: Fault,
    unlike_declared: Callable[[], dict[EquipmentName, tuple[str, ...]]],
    prove: Callable[[], Answer],
) -> None:
    shown = None
    try:
        inject(applied.client, fault)
        if fault.shown:
            shown = _shown_by_the_proof(prove(), fault)
        if shown is not None:
            _require_fate(applied, shown, healed=False)
        outcomes = applied.outcomes(*_only(fault.must), status=1)
        red = {check for check, outcome in outcomes.items() if outcome != "PASS"}
        assert complaints(fault, red) == ()
    finally:
        heal(applied.client, fault)
    assert unlike_declared() == {}
    if shown is not None:
        _require_fate(applied, shown, healed=True)
    others = [check for check in fault.must if check not in OF_WHAT_IS_READ_BACK]
    if others:
        assert set(applied.outcomes(*_only(others), status=0)) == set(others)


def test_in_the_end_every_check_of_what_is_read_back_is_green(applied: Pilot) -> None:
    named = {check for fault in FAULTS for check in fault.must if check in OF_WHAT_IS_READ_BACK}
    assert set(applied.outcomes(*_only(sorted(named)), status=0)) == named


def test_in_the_end_the_proof_finds_nothing(prove: Callable[[], Answer]) -> None:
    answer = prove()
    assert [finding.identity for finding in answer.findings] == []
    assert answer.outcome is Outcome.PASS


def test_the_command_line_sends_the_packet_of_a_finding_and_fails(applied: Pilot) -> None:
    name = "firewall-ssh-opened"
    assert applied.json("prove", "--try-witnesses", status=0)["findings"] == []
    applied.cloison("lab", "fault", name)
    try:
        document = applied.json("prove", "--try-witnesses", status=1)
    finally:
        applied.cloison("lab", "heal", name)
    findings = document["findings"]
    assert isinstance(findings, list)
    (finding,) = findings
    assert finding["id"] == "leak/roussy-le-village.operator--roussy-le-village.firewall--tcp.22"
    assert finding["witness"]["tried"] == {"fate": "arrived", "disagrees": False, "why": ""}


def _shown_by_the_proof(answer: Answer, fault: Fault) -> Finding | None:
    """Return the first of the findings that the fault names with a packet that can be sent, all of them being there."""
    found = {finding.identity: finding for finding in answer.findings}
    assert answer.outcome is Outcome.FAIL
    assert unshown(fault, found) == ()
    named = [finding for shown in fault.shown for name, finding in found.items() if fnmatchcase(name, shown)]
    sendable = [finding for finding in named if claim_of(finding) and finding.tunnels is TunnelsAre.UP]
    assert bool(sendable) == (fault.name not in WITHOUT_A_PACKET)
    return sendable[0] if sendable else None


def _require_fate(pilot: Pilot, finding: Finding, *, healed: bool) -> None:
    """Send the witness of a finding: it does what the proof says, and the other thing once healed."""
    claim = claim_of(finding)
    assert claim is not None
    tried = try_witnesses(pilot.intent, pilot.client, [(finding, claim.reversed() if healed else claim)])
    assert tried[finding.identity].fate is not Fate.UNTRIED, tried
    assert not tried[finding.identity].disagrees, tried


def _only(checks: tuple[str, ...] | list[str]) -> list[str]:
    return [argument for check in checks for argument in ("--only", check)]
