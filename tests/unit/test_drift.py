"""Drift over devices in memory: what is named, what is not called drift, and the exit code of each."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloison.change.departure import Departure, How, departures, words
from cloison.change.drift import SCHEMA_FILE, Drift, find, schema
from cloison.change.order import Via
from cloison.cli.drift import summary, tally
from cloison.desired import state_of
from cloison.device.guard import GuardState, NoGuardError, Timer, TransactionState
from cloison.device.memory import MemoryDevice
from cloison.errors import DeviceError
from cloison.flow import Outcome
from cloison.intent.load import load
from cloison.model import EquipmentName, Platform
from cloison.render import render
from cloison.render.config import Config, Section, SectionName

if TYPE_CHECKING:
    from cloison.device.contract import Device
    from cloison.device.guard import Lease
    from cloison.device.job import Job
    from cloison.intent.network import Intent

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "templates"
FIREWALL = EquipmentName("roussy-le-village/firewall")
CORE = EquipmentName("roussy-le-village/core-switch")
POLE = EquipmentName("roussy-le-village/pole-switch")
COMMUNE = (FIREWALL, CORE, POLE)
IDLE = GuardState("", Timer.TICKER, timer_alive=True, boot="1", state=TransactionState.NONE)
ARMED = replace(IDLE, state=TransactionState.ARMED, token="run-1-aa", remaining=42.4)


@dataclass
class Pending:
    """A guard that answers only where it stands: one state after the other, the last one for ever."""

    states: list[GuardState]

    def state(self) -> GuardState:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def lease(self, lease: Lease) -> None: ...

    def release(self, token: str) -> None: ...

    def arm(self, job: Job) -> GuardState:
        raise DeviceError(job.token, "drift changes nothing")

    def step(self, token: str, number: int) -> GuardState:
        raise DeviceError(token, f"drift changes nothing, not even by step {number}")

    def confirm(self, token: str) -> GuardState:
        raise DeviceError(token, "drift changes nothing")

    def revert(self, token: str) -> GuardState:
        raise DeviceError(token, "drift changes nothing")

    def forget(self, token: str, conversations: tuple[str, ...]) -> None:
        raise DeviceError(token, f"drift changes nothing, and cuts none of {len(conversations)}")


@dataclass
class Fleet:
    """Devices in memory that run what is declared, some of them guarded."""

    devices: dict[EquipmentName, MemoryDevice]
    guards: dict[EquipmentName, Pending] = field(default_factory=dict)
    closed: list[EquipmentName] = field(default_factory=list)

    def __call__(self, device: EquipmentName) -> Device:
        return replace(
            self.devices[device].open(), guard=self.guards.get(device), close=lambda: self.closed.append(device)
        )

    def add(self, device: EquipmentName, section: SectionName, text: str) -> None:
        self.devices[device].running[section] += text

    def change(self, device: EquipmentName, section: SectionName, old: str, new: str) -> None:
        running = self.devices[device].running
        assert old in running[section]
        running[section] = running[section].replace(old, new, 1)


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


@pytest.fixture(scope="module")
def rendered(intent: Intent) -> list[Config]:
    return [render(state_of(intent, name), TEMPLATES) for name in COMMUNE]


@pytest.fixture
def fleet(rendered: list[Config]) -> Fleet:
    made = {}
    for config in rendered:
        device = MemoryDevice(config.device, config.platform, config.names)
        device.running = {section.name: section.text for section in device.canonical(config).sections}
        made[config.device] = device
    return Fleet(made)


def drift_of(fleet: Fleet, intent: Intent) -> Drift:
    return find(intent, TEMPLATES, fleet, network="lab", via=Via.LOCAL, devices=fleet.devices)


def only(found: Drift) -> Departure:
    (departure,) = found.departures
    return departure


def test_what_is_declared_is_no_drift(fleet: Fleet, intent: Intent) -> None:
    found = drift_of(fleet, intent)
    assert (found.departures, found.differences, found.exit_code) == ((), (), 0)
    sections = sum(len(device.sections) for device in fleet.devices.values())
    assert list(summary(found)) == [f"drift: none; 3 devices, {sections} sections compared"]
    assert sorted(fleet.closed) == sorted(fleet.devices)
    assert all(device.loaded == [] for device in fleet.devices.values())


FOREIGN = [
    (FIREWALL, SectionName.FILTER, "foreign table ip nat\n", "table"),
    (CORE, SectionName.SWITCH, "mirror br0/copy output_port=p1 select_all=true\n", "mirror"),
    (CORE, SectionName.SWITCH, "interface br0/out/out options=remote_ip:192.0.2.9 type=vxlan\n", "tunnel-port"),
    (CORE, SectionName.SWITCH, "controller br0/tcp:192.0.2.9:6653 \n", "controller"),
    (CORE, SectionName.SWITCH, "manager ptcp:6640\n", "manager"),
    (CORE, SectionName.SWITCH, "bridge br1\n", "bridge"),
    (CORE, SectionName.SWITCH, "flow_table br0/-\n", "flow-table"),
    (CORE, SectionName.EDGE, "table=0,priority=60000,in_port=1 actions=NORMAL\n", "flow"),
    (CORE, SectionName.EDGE, "group_id=1,type=all,bucket=actions=output:2\n", "group"),
    (CORE, SectionName.EDGE, "meter=1 kbps bands=type=drop rate=1\n", "meter"),
    (FIREWALL, SectionName.INTERFACES, "address replace 192.0.2.77/24 dev wan0\n", "address"),
    (FIREWALL, SectionName.INTERFACES, "route replace 10.99.0.0/16 via 192.0.2.1 dev wan0\n", "route"),
    (FIREWALL, SectionName.INTERFACES, "rule add priority 9 from all lookup 7\n", "routing-rule"),
    (FIREWALL, SectionName.INTERFACES, "neighbour replace 10.0.0.1 lladdr 02:00:00:00:00:01 dev wan0\n", "neighbour"),
    (FIREWALL, SectionName.INTERFACES, "qdisc clsact dev wan0\n", "queue"),
    (POLE, SectionName.FIBRE, "port sfp9 admin=up speed=1000 duplex=full mtu=1500 vlans=all\n", "optical-port"),
]


@pytest.mark.parametrize(("device", "section", "line", "kind"), FOREIGN, ids=[case[3] for case in FOREIGN])
def test_what_nobody_declares_is_named(
    fleet: Fleet, intent: Intent, device: EquipmentName, section: SectionName, line: str, kind: str
) -> None:
    fleet.add(device, section, line)
    found = drift_of(fleet, intent)
    departure = only(found)
    assert (departure.device, departure.section, departure.kind, departure.how) == (device, section, kind, How.FOREIGN)
    assert departure.running.strip() == line.removeprefix("foreign ").strip()
    assert found.exit_code == 1
    assert [(each.device, each.section) for each in found.differences] == [(device, section)]
    assert f"+{line}" in found.differences[0].diff
    assert next(summary(found)).startswith(f"{device}: {section}: {kind}: ")


def test_a_rule_made_by_hand_is_named_with_its_chain(fleet: Fleet, intent: Intent) -> None:
    fleet.change(FIREWALL, SectionName.FILTER, "jump protection\n", "jump protection\ntcp dport 23 accept\n")
    departure = only(drift_of(fleet, intent))
    assert (departure.kind, departure.how) == ("rule", How.FOREIGN)
    assert words(departure) == "filter: rule: chain to_firewall: tcp dport 23 accept, not declared"


def test_a_rule_that_is_gone_is_missing(fleet: Fleet, intent: Intent) -> None:
    line = 'ct state invalid counter drop comment "invalid"\n'
    fleet.change(FIREWALL, SectionName.FILTER, line, "")
    departure = only(drift_of(fleet, intent))
    assert (departure.kind, departure.how, departure.running) == ("rule", How.MISSING, "")
    assert departure.declared == f"chain to_firewall: {line.strip()}"


def test_two_rules_that_changed_places_are_moved(fleet: Fleet, intent: Intent) -> None:
    one, other = (
        'ct state invalid counter drop comment "invalid"\n',
        'ct state related counter drop comment "related"\n',
    )
    fleet.change(FIREWALL, SectionName.FILTER, one + other, other + one)
    departure = only(drift_of(fleet, intent))
    assert (departure.kind, departure.how) == ("rule", How.MOVED)
    assert departure.running.endswith(other.strip())
    assert departure.declared.endswith(one.strip())


def test_a_policy_that_was_opened_is_changed(fleet: Fleet, intent: Intent) -> None:
    fleet.change(
        FIREWALL,
        SectionName.FILTER,
        "hook input priority filter; policy drop;",
        "hook input priority filter; policy accept;",
    )
    departure = only(drift_of(fleet, intent))
    assert (departure.kind, departure.how) == ("chain", How.CHANGED)
    assert "policy accept" in departure.running
    assert "policy drop" in departure.declared


def test_an_element_that_was_added_is_named_alone(fleet: Fleet, intent: Intent) -> None:
    fleet.change(
        FIREWALL, SectionName.FILTER, "elements = { 198.51.100.2, ", "elements = { 192.0.2.99,\n198.51.100.2, "
    )
    departure = only(drift_of(fleet, intent))
    assert (departure.kind, departure.how) == ("element", How.FOREIGN)
    assert departure.running == "set peers: 192.0.2.99"


@pytest.mark.parametrize(
    ("device", "section", "old", "new", "kind"),
    [
        (CORE, SectionName.SWITCH, "tag=120", "tag=110", "add-port"),
        (FIREWALL, SectionName.INTERFACES, "net.ipv4.tcp_syncookies=1", "net.ipv4.tcp_syncookies=0", "setting"),
        (POLE, SectionName.FIBRE, "speed=1000", "speed=100", "optical-port"),
        (CORE, SectionName.EDGE, "priority=480,ipv6,actions=drop", "priority=480,ipv6 actions=NORMAL", "flow"),
        (FIREWALL, SectionName.TUNNELS, "dpd_delay = 5s", "dpd_delay = 500s", "value"),
    ],
)  # fmt: skip
def test_another_value_is_named_beside_the_declared_one(
    fleet: Fleet, intent: Intent, device: EquipmentName, section: SectionName, old: str, new: str, kind: str
) -> None:
    fleet.change(device, section, old, new)
    found = drift_of(fleet, intent)
    assert {departure.kind for departure in found.departures} == {kind}
    assert any(new in departure.running for departure in found.departures)
    assert any(old in departure.declared for departure in found.departures)


def test_a_port_of_another_vlan_is_one_port_with_another_value() -> None:
    departure = _one(SectionName.SWITCH, "port br0/p1 tag=120\n", "port br0/p1 tag=110\n")
    assert (departure.kind, departure.how) == ("port", How.CHANGED)
    assert words(departure) == "switch: port: port br0/p1 tag=120, declared as port br0/p1 tag=110"


def test_what_differs_in_the_tunnels_says_where(fleet: Fleet, intent: Intent) -> None:
    fleet.add(
        FIREWALL, SectionName.TUNNELS, "differs: /etc/swanctl/swanctl.conf holds something else than was loaded\n"
    )
    fleet.add(FIREWALL, SectionName.TUNNELS, "differs: connection x: in the daemon, loaded by somebody else\n")
    fleet.add(FIREWALL, SectionName.TUNNELS, "differs: connection y: version is IKEv1, loaded as IKEv2\n")
    found = drift_of(fleet, intent)
    assert [(one.kind, one.how) for one in found.departures] == [
        ("file", How.CHANGED),
        ("connection", How.FOREIGN),
        ("daemon", How.CHANGED),
    ]


def test_a_connection_that_is_gone_is_missing(fleet: Fleet, intent: Intent) -> None:
    fleet.devices[FIREWALL].running[SectionName.TUNNELS] = "connections {\n}\n"
    found = drift_of(fleet, intent)
    connections = [one.declared for one in found.departures if one.kind == "connection"]
    assert connections == [
        "connections.administration-roussy-le-village--operations-centre",
        "connections.video-roussy-le-village--crisis-cell",
    ]
    assert {one.how for one in found.departures} == {How.MISSING}


def test_a_section_of_which_nothing_runs_is_one_departure(fleet: Fleet, intent: Intent) -> None:
    lines = len(fleet.devices[FIREWALL].running[SectionName.FILTER].splitlines())
    fleet.devices[FIREWALL].running[SectionName.FILTER] = "foreign table ip nat\n"
    found = drift_of(fleet, intent)
    assert [(one.kind, one.how) for one in found.departures] == [("table", How.FOREIGN), ("section", How.MISSING)]
    assert found.departures[1].declared == f"all {lines} lines of it"


# --- what is not called drift ----------------------------------------------------------------------------------------


def test_a_device_that_is_out_of_reach_is_not_one_that_drifts(fleet: Fleet, intent: Intent) -> None:
    fleet.devices[CORE].reachable = False
    found = drift_of(fleet, intent)
    assert (found.departures, found.outcome, found.exit_code, found.devices) == ((), Outcome.UNKNOWN, 3, 2)
    said, last = summary(found)
    assert said == f"{CORE}: could not be read: not reachable"
    assert last.startswith("drift: undetermined; 2 devices, ")
    assert last.endswith(" compared; 1 device not compared")


def test_the_others_are_compared_all_the_same(fleet: Fleet, intent: Intent) -> None:
    fleet.devices[CORE].reachable = False
    fleet.add(FIREWALL, SectionName.FILTER, "foreign table ip nat\n")
    found = drift_of(fleet, intent)
    assert (found.exit_code, only(found).device, found.unread[0].device) == (1, FIREWALL, CORE)
    assert tally(found).startswith("drift: 1 departure on 1 device; 2 devices, ")


@pytest.mark.parametrize(
    "states",
    [
        [ARMED],
        [replace(ARMED, state=TransactionState.REVERTING, busy=True)],
        [IDLE, ARMED],
        [IDLE, replace(ARMED, state=TransactionState.CONFIRMED)],
        [IDLE, replace(IDLE, boot="2")],
    ],
    ids=["armed", "reverting", "armed meanwhile", "confirmed meanwhile", "started anew meanwhile"],
)
def test_a_change_under_way_is_not_drift(fleet: Fleet, intent: Intent, states: list[GuardState]) -> None:
    fleet.guards[FIREWALL] = Pending(list(states))
    fleet.add(FIREWALL, SectionName.FILTER, "foreign table ip nat\n")
    found = drift_of(fleet, intent)
    assert (found.departures, found.exit_code, [one.device for one in found.under_way]) == ((), 3, [FIREWALL])
    assert next(summary(found)).startswith(f"{FIREWALL}: not compared: a change is under way (")


@pytest.mark.parametrize("state", [TransactionState.CONFIRMED, TransactionState.REVERTED_DIFFERS])
def test_a_change_that_is_over_is_compared(fleet: Fleet, intent: Intent, state: TransactionState) -> None:
    fleet.guards[FIREWALL] = Pending([replace(IDLE, state=state, token="run-1-aa")])
    fleet.add(FIREWALL, SectionName.FILTER, "foreign table ip nat\n")
    assert only(drift_of(fleet, intent)).device == FIREWALL


class NoScript(Pending):
    """A guard whose script is not on the device."""

    def state(self) -> GuardState:
        raise NoGuardError(str(FIREWALL), "cloison-device does not run there: nothing guards a change")


def test_a_device_that_nothing_guards_is_compared(fleet: Fleet, intent: Intent) -> None:
    fleet.guards[FIREWALL] = NoScript([])
    fleet.add(FIREWALL, SectionName.FILTER, "foreign table ip nat\n")
    assert only(drift_of(fleet, intent)).device == FIREWALL


class Raving(Pending):
    """A guard whose answer is none."""

    def state(self) -> GuardState:
        raise DeviceError(str(FIREWALL), "the guard's answer broke off, or is not one")


def test_a_device_whose_guard_raves_is_not_compared(fleet: Fleet, intent: Intent) -> None:
    fleet.guards[FIREWALL] = Raving([])
    found = drift_of(fleet, intent)
    assert (found.exit_code, [one.device for one in found.unread]) == (3, [FIREWALL])


def test_nothing_compared_is_not_none(intent: Intent) -> None:
    found = find(intent, TEMPLATES, Fleet({}), network="lab", via=Via.LOCAL, devices=[])
    assert (found.outcome, found.exit_code) == (Outcome.UNKNOWN, 3)
    assert tally(found) == "drift: undetermined; 0 devices, 0 sections compared"


# --- for monitoring --------------------------------------------------------------------------------------------------


def test_the_shipped_schema_is_the_generated_one() -> None:
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == schema(), f"write schema() to {SCHEMA_FILE.name}"


def test_a_document_fits_the_schema_and_reads_back_the_same(fleet: Fleet, intent: Intent) -> None:
    fleet.devices[CORE].reachable = False
    fleet.guards[POLE] = Pending([ARMED])
    fleet.add(FIREWALL, SectionName.FILTER, "foreign table ip nat\n")
    found = drift_of(fleet, intent)
    jsonschema.validate(json.loads(found.model_dump_json()), schema(), cls=jsonschema.Draft202012Validator)
    assert Drift.model_validate_json(found.model_dump_json()) == found


# --- for any text ----------------------------------------------------------------------------------------------------


def _configs(section: SectionName, *texts: str) -> list[Config]:
    return [
        Config(device=CORE, platform=Platform.OPENVSWITCH, sections=(Section(name=section, text=text),))
        for text in texts
    ]


def _one(section: SectionName, running: str, declared: str) -> Departure:
    (departure,) = departures(*_configs(section, running, declared))
    return departure


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "table inet cloison {",
                "chain a {",
                "set b {",
                "elements = { 1,",
                "2 }",
                "}",
                "a = b",
                "a {",
                "l = [",
                "]",
            ]
        ),
        st.sampled_from(
            ["foreign table ip nat", "differs: x", "port br0/p tag=1", "link set dev x mtu 9", "meter=1", ""]
        ),
        st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20),
    ),
    max_size=8,
)


@given(st.sampled_from(SectionName), LINES, LINES)
def test_texts_that_differ_always_give_a_departure_and_equal_ones_never(
    section: SectionName, running: list[str], declared: list[str]
) -> None:
    one, other = _configs(section, *("".join(f"{line}\n" for line in lines) for lines in (running, declared)))
    assert (departures(one, other) == ()) is (one == other)
