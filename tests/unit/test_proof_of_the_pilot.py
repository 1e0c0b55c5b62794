"""The pilot's proof: nothing is found in what is rendered, and every spoilt word is found, with its witness and way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from cloison.cli.configurations import rendered
from cloison.flow import Outcome
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.prove.answer import Finding, FindingKind, TunnelsAre
from cloison.prove.judge import Judge
from cloison.prove.network import Prover

if TYPE_CHECKING:
    from cloison.prove.answer import Answer
    from cloison.prove.configuration import Configurations

ROOT = Path(__file__).parents[2]
FIREWALL, SWITCH = "roussy-le-village/firewall", "roussy-le-village/core-switch"
NVR, GATEWAY, OPERATOR = (f"roussy-le-village/{name}" for name in ("nvr", "live-gateway", "operator"))
STATION, ADMINISTRATION = "crisis-cell/station-fire", "operations-centre/administration-station"

WATCH = "{ 10.56.2.2 . 10.56.1.50, 10.56.2.3 . 10.56.1.50 } tcp dport 8322"
RECORDINGS = 'iifname "vlan140" oifname "vlan120" ip saddr 10.56.1.66 ip daddr 10.56.1.34 tcp dport 322'
LOG = 'iifname "vlan120" oifname "ipsec0" ip saddr 10.56.1.34'
ESTABLISHED = 'rt mtu\n\t\tct state established counter accept comment "established"\n'
ARP = (
    "table=0,priority=300,in_port=2,arp,dl_src=02:00:00:00:01:20,arp_sha=02:00:00:00:01:20,"
    "arp_spa=10.56.1.34,arp_tpa=10.56.1.33,actions=NORMAL\n"
)
OTHER_TABLE = """table ip other {
\tchain early {
\t\ttype filter hook forward priority 10; policy drop;
\t\tct state established accept
\t}
}
table inet cloison {"""


class Edit(NamedTuple):
    """Words of one section of one device, and what stands there instead."""

    device: str
    section: str
    was: str
    becomes: str


class Case(NamedTuple):
    """Edits, and a finding that they must bring."""

    edits: tuple[Edit, ...]
    kind: FindingKind
    sender: str
    receiver: str
    service: str
    tunnels: TunnelsAre = TunnelsAre.UP
    reply: bool = False
    arrives: bool = True
    """False where the way of the witness ends before: at a wall behind the one that is open, or at nobody declared."""


def filtered(was: str, becomes: str) -> Edit:
    return Edit(FIREWALL, "filter", was, becomes)


CASES = {
    "one port more": Case(
        (filtered(WATCH, f"{WATCH}-8323"),), FindingKind.LEAK, "roussy-le-village/tunnels", GATEWAY, "tcp/8323"
    ),
    "one address more": Case(
        (filtered(RECORDINGS, RECORDINGS.replace("10.56.1.34", "10.56.1.34-10.56.1.35")),),
        FindingKind.LEAK,
        OPERATOR,
        "roussy-le-village/recording-segment",
        "tcp/322",
        arrives=False,
    ),
    "the other host": Case(
        (filtered(WATCH, WATCH.replace("10.56.2.3 . 10.56.1.50", "10.56.2.3 . 10.56.1.50 ").replace("8322", "322")),),
        FindingKind.OUTAGE,
        STATION,
        GATEWAY,
        "live-relay",
    ),
    "accepted at last": Case(
        (filtered('counter log group 3 drop comment "final"', 'counter log group 3 accept comment "final"'),),
        FindingKind.LEAK,
        "roussy-le-village/cam-context",
        "roussy-le-village/cam-narrow",
        "",
    ),
    "accepted by policy": Case(
        (
            filtered("hook forward priority filter; policy drop", "hook forward priority filter; policy accept"),
            filtered("\t\tjump final\n", ""),
        ),
        FindingKind.LEAK,
        "roussy-le-village/cam-context",
        NVR,
        "",
    ),
    "the firewall open": Case(
        (filtered("\t\tjump protection\n", "\t\taccept\n"),), FindingKind.LEAK, OPERATOR, FIREWALL, ""
    ),
    "no answers": Case((filtered(ESTABLISHED, "rt mtu\n"),), FindingKind.OUTAGE, OPERATOR, NVR, "https", reply=True),
    "a second table": Case(
        (filtered("table inet cloison {", OTHER_TABLE),), FindingKind.OUTAGE, OPERATOR, NVR, "https"
    ),
    "in clear while the tunnels are down": Case(
        (
            filtered(LOG, LOG.replace(' oifname "ipsec0"', "")),
            filtered('oifname "wan0" counter log group 4 drop', 'oifname "wan0" counter accept'),
            Edit(FIREWALL, "interfaces", "route replace blackhole 10.56.0.0/14 metric 4096\n", ""),
        ),
        FindingKind.LEAK,
        NVR,
        "wan",
        "tcp/6514",
        TunnelsAre.DOWN,
    ),
    "a VLAN moved": Case(
        (Edit(SWITCH, "switch", "p2 vlan_mode=access tag=120", "p2 vlan_mode=access tag=130"),),
        FindingKind.LEAK,
        STATION,
        NVR,
        "tcp/8322",
    ),
    "a native VLAN without its tag": Case(
        (Edit(SWITCH, "switch", "p1 vlan_mode=native-tagged tag=999", "p1 vlan_mode=native-untagged tag=120"),),
        FindingKind.OUTAGE,
        NVR,
        "operations-centre/log-collector",
        "syslog-tls",
    ),
    "two ports that may speak to each other": Case(
        (
            Edit(SWITCH, "switch", "p2 vlan_mode=access tag=120 protected=true", "p2 vlan_mode=access tag=120"),
            Edit(SWITCH, "switch", "p3 vlan_mode=access tag=130 protected=true", "p3 vlan_mode=access tag=120"),
            Edit(SWITCH, "edge", "table=0,priority=290,in_port=2,ip,nw_dst=10.56.1.32/28,actions=drop\n", ""),
        ),
        FindingKind.LEAK,
        NVR,
        GATEWAY,
        "frames",
    ),
    "a port with any source": Case(
        (
            Edit(
                SWITCH,
                "edge",
                "in_port=2,ip,dl_src=02:00:00:00:01:20,nw_src=10.56.1.34,actions",
                "in_port=2,ip,actions",
            ),
        ),
        FindingKind.LEAK,
        NVR,
        FIREWALL,
        "frames",
        arrives=False,
    ),
    "no ARP": Case((Edit(SWITCH, "edge", ARP, ""),), FindingKind.OUTAGE, NVR, FIREWALL, "arp"),
    "a port down": Case(
        (Edit(SWITCH, "interfaces", "link set dev p2 up", "link set dev p2 down"),),
        FindingKind.OUTAGE,
        ADMINISTRATION,
        NVR,
        "ssh",
    ),
    "a gateway without its address": Case(
        (Edit(FIREWALL, "interfaces", "address replace 10.56.1.33/28 dev vlan120\n", ""),),
        FindingKind.OUTAGE,
        ADMINISTRATION,
        NVR,
        "ssh",
    ),
    "one end's selectors": Case(
        (Edit(FIREWALL, "tunnels", "local_ts = 10.56.1.48/28", "local_ts = 10.56.1.32/27"),),
        FindingKind.NOTICE,
        "",
        FIREWALL,
        "tunnels",
    ),
    "a mirror": Case(
        (
            Edit(
                SWITCH,
                "switch",
                "set interface p8 ofport_request=8\n",
                "set interface p8 ofport_request=8\n"
                "-- --id=@m create mirror name=m select_all=true output_port=p8 -- set bridge br0 mirrors=@m\n",
            ),
        ),
        FindingKind.UNDETERMINED,
        "",
        SWITCH,
        "",
    ),
}
"""What is spoilt, by what it comes to."""


@pytest.fixture(scope="module")
def configurations() -> Configurations:
    return rendered(load(ROOT), ROOT / "templates")


@pytest.fixture(scope="module")
def prover() -> Prover:
    """Share what the variants have in common."""
    return Prover(load(ROOT))


def answered(prover: Prover, configurations: Configurations, *edits: Edit) -> Answer:
    spoilt = {name: dict(sections) for name, sections in configurations.items()}
    for edit in edits:
        sections = spoilt[EquipmentName(edit.device)]
        assert edit.was in sections[edit.section]
        sections[edit.section] = sections[edit.section].replace(edit.was, edit.becomes, 1)
    return Judge(prover, prover.network(spoilt)).answer()


def as_expected(finding: Finding, case: Case) -> bool:
    ends = (finding.kind, finding.sender, finding.receiver, finding.tunnels, finding.reply)
    wanted = (case.kind, case.sender, case.receiver, case.tunnels, case.reply)
    return ends == wanted and case.service in {"", finding.service}


def test_nothing_is_found_in_what_is_rendered(prover: Prover, configurations: Configurations) -> None:
    answer = answered(prover, configurations)
    assert [finding.identity for finding in answer.findings] == []
    assert answer.outcome is Outcome.PASS
    assert all(one.read == one.modelled > 0 for one in answer.coverage)
    assert answer.senders > 0
    assert answer.flows == len(prover.intent.flows)


@pytest.mark.parametrize("name", CASES)
def test_what_is_spoilt_is_found(prover: Prover, configurations: Configurations, name: str) -> None:
    case = CASES[name]
    answer = answered(prover, configurations, *case.edits)
    found = [finding for finding in answer.findings if as_expected(finding, case)]
    assert found, [finding.identity for finding in answer.findings]
    assert answer.outcome is Outcome.FAIL
    if case.kind is FindingKind.LEAK:
        assert all(finding.witness and finding.hops for finding in found)
    if case.kind is FindingKind.LEAK and case.arrives:
        assert all(finding.hops[-1].what.startswith("arrives") for finding in found)
    if case.kind is FindingKind.OUTAGE and case.service != "arp":
        assert not any(finding.hops[-1].what.startswith("arrives") for finding in found)


def test_a_rule_that_is_not_modelled_leaves_it_unknown(prover: Prover, configurations: Configurations) -> None:
    rule = 'iifname "vlan140" oifname "vlan120" tcp dport 9000 ip ttl > 3 ct state new accept\n\t\tjump noise\n'
    answer = answered(prover, configurations, filtered("jump noise\n", rule))
    assert {finding.kind for finding in answer.findings} == {FindingKind.UNDETERMINED}
    assert answer.outcome is Outcome.UNKNOWN
    (finding,) = answer.findings
    assert "ttl" in finding.what
    assert OPERATOR in finding.what
    section = next(one for one in answer.coverage if (str(one.device), one.section) == (FIREWALL, "filter"))
    assert section.modelled == section.read - 1


def test_nothing_is_found_after_the_words_are_back(prover: Prover, configurations: Configurations) -> None:
    for case in CASES.values():
        answered(prover, configurations, *case.edits)
    assert answered(prover, configurations).findings == ()
