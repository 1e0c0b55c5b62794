"""What devices run, read back by the judge's own readers, against the pilot's intent."""

from pathlib import Path

import pytest

from cloison.intent.load import load
from cloison.intent.network import Intent, Tunnel
from cloison.model import EquipmentName
from cloison.probe.readback import edge, tunnels

FIREWALL = EquipmentName("roussy-le-village/firewall")
POLE, CORE = EquipmentName("roussy-le-village/pole-switch"), EquipmentName("roussy-le-village/core-switch")
VIDEO = "video-roussy-le-village--crisis-cell"


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(Path(__file__).parents[3])


@pytest.fixture
def video(intent: Intent) -> Tunnel:
    return next(tunnel for tunnel in intent.tunnels if tunnel.name == VIDEO)


# --- edge security -----------------------------------------------------------------------------------------------


def traced(cases: list[edge.Case], **changed: str) -> str:
    """Return what a switch would say that does what it has to, but for some cases by their names."""
    actions = {case.name: "push_vlan(vid=110,pcp=0),4" if case.passes else "drop" for case in cases} | changed
    blocks = [
        f"case {number}\nFlow: whatever\n\nFinal flow: unchanged\nDatapath actions: {actions[case.name]}"
        for number, case in enumerate(cases)
    ]
    return "\n".join(blocks) + "\n"


def test_every_declared_host_is_let_in_and_every_pretence_is_not(intent: Intent) -> None:
    cases = edge.cases(intent, intent.equipment_by_name[POLE])
    at_p1 = [case for case in cases if case.port == "p1"]
    assert sorted(case.name for case in at_p1 if case.passes) == [
        "its own ARP for the gateway at p1",
        "its own frame out of the segment at p1",
        "its own frame to the gateway at p1",
    ]
    assert len([case for case in at_p1 if not case.passes]) == 15
    assert [case.name for case in cases if case.port == "p3"] == ["any frame at a spare port"]
    assert {case.name for case in cases if case.port == "sfp1"} == {
        "VLAN 999 at a trunk",
        "VLAN 120 at a trunk",
        "VLAN 130 at a trunk",
    }


def test_behind_a_trunk_nobody_speaks_in_the_name_of_another_side(intent: Intent) -> None:
    cases = edge.cases(intent, intent.equipment_by_name[CORE])
    let_in = {case.name for case in cases if case.port == "sfp1" and case.passes}
    assert let_in == {
        f"{what} as {whom} at sfp1"
        for what in ("to the gateway", "out of the segment", "ARP for the gateway")
        for whom in ("10.56.1.2 in VLAN 150", "10.56.1.82 in VLAN 110", "10.56.1.90 in VLAN 111")
    }
    refused = [case.frame for case in cases if case.port == "sfp1" and not case.passes]
    assert any("dl_vlan=150,ip,nw_src=10.56.1.3,nw_dst=10.255.0.1" in frame for frame in refused), "the core switch's"
    assert any("dl_vlan=150,arp" in frame and "arp_spa=10.56.1.3,arp_tpa=10.56.1.1" in frame for frame in refused)
    assert any("dl_vlan=111,ip,nw_src=10.56.1.82" in frame for frame in refused), "the other camera's VLAN"


def test_edge_as_declared(intent: Intent) -> None:
    cases = edge.cases(intent, intent.equipment_by_name[CORE])
    assert edge.differences(cases, traced(cases)) == []


def test_edge_that_differs_is_named(intent: Intent) -> None:
    cases = edge.cases(intent, intent.equipment_by_name[POLE])
    changed = {"another IP address at p1": "4", "its own frame to the gateway at p2": "drop"}
    assert edge.differences(cases, traced(cases, **changed)) == [
        "another IP address at p1 is forwarded (4)",
        "its own frame to the gateway at p2 is dropped",
    ]


def test_a_trace_that_says_nothing_is_no_drop(intent: Intent) -> None:
    cases = edge.cases(intent, intent.equipment_by_name[POLE])[:2]
    text = "case 0\nDatapath actions: push_vlan(vid=110,pcp=0),4\ncase 1\novs-appctl: no such bridge\n"
    assert edge.differences(cases, text) == [
        "its own frame out of the segment at p1: the switch could not trace it, it said: ovs-appctl: no such bridge"
    ]
    assert len(edge.differences(cases, "")) == 2


# --- tunnels -----------------------------------------------------------------------------------------------------

CHILD = (
    "{name=video-roussy-le-village--crisis-cell uniqueid=2 reqid=1 state=INSTALLED mode=TUNNEL protocol=ESP encap=yes "
    "spi-in=cae69180 spi-out=57b9034f encr-alg=AES_GCM_16 encr-keysize=256 dh-group=ECP_384 bytes-in=6784 "
    "install-time=810 local-ts=[10.56.1.48/28] remote-ts=[10.56.2.0/28]}"
)
SAS = (
    "list-sa event {video-roussy-le-village--crisis-cell {uniqueid=2 version=2 state=ESTABLISHED local-host=192.0.2.2 "
    "encr-alg=AES_GCM_16 encr-keysize=256 prf-alg=PRF_HMAC_SHA2_384 dh-group=ECP_384 established=810 child-sas "
    f"{{video-roussy-le-village--crisis-cell-2 {CHILD}}}}}}}\n"
    "list-sas reply {}\n"
)
CONNECTIONS = (
    "list-conn event {video-roussy-le-village--crisis-cell {local_addrs=[192.0.2.2] remote_addrs=[198.51.100.2] "
    "version=IKEv2 dpd_delay=5 local-1 {id=firewall.roussy-le-village class=public key groups=[] "
    "certs=[CN=firewall.roussy-le-village] cacerts=[]} remote-1 {id=firewall.crisis-cell class=public key "
    "revocation=GOOD groups=[] certs=[] cacerts=[CN=moselle-fibre twin tunnel]} children "
    "{video-roussy-le-village--crisis-cell {mode=TUNNEL rekey_time=3600 close_action=start "
    "local-ts=[10.56.1.48/28] remote-ts=[10.56.2.0/28]}}}}\n"
    "list-conns reply {}\n"
)


def test_association_as_declared(video: Tunnel) -> None:
    pair = tunnels.child_of(tunnels.read(SAS), video)
    assert pair is not None
    assert tunnels.algorithm_differences(*pair) == []
    assert tunnels.selector_differences(FIREWALL, video, pair[1]) == []
    assert tunnels.selector_differences(EquipmentName("crisis-cell/firewall"), video, pair[1]) == [
        "local-ts 10.56.1.48/28; expected 10.56.2.0/28",
        "remote-ts 10.56.2.0/28; expected 10.56.1.48/28",
    ]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("encr-keysize=256 dh-group", "encr-keysize=128 dh-group", ["ESP encr-keysize is 128; expected 256"]),
        (" dh-group=ECP_384 bytes", " bytes", ["ESP dh-group is none; expected ECP_384"]),
        ("dh-group=ECP_384 est", "dh-group=MODP_2048 est", ["IKE dh-group is MODP_2048; expected ECP_384"]),
    ],
)
def test_weaker_algorithms_are_named(video: Tunnel, old: str, new: str, found: list[str]) -> None:
    pair = tunnels.child_of(tunnels.read(SAS.replace(old, new)), video)
    assert pair is not None
    assert tunnels.algorithm_differences(*pair) == found


@pytest.mark.parametrize(
    "text",
    [
        "list-sas reply {}\n",
        SAS.replace("INSTALLED", "REKEYED"),
        SAS.replace(f"{VIDEO}-2 {CHILD}", ""),
        SAS.replace(VIDEO, "x"),
    ],
)
def test_without_an_installed_child_there_is_none(video: Tunnel, text: str) -> None:
    assert tunnels.child_of(tunnels.read(text), video) is None


def test_the_youngest_child_counts(video: Tunnel) -> None:
    younger = CHILD.replace("install-time=810", "install-time=2").replace("57b9034f", "00000001")
    pair = tunnels.child_of(tunnels.read(SAS.replace(CHILD, f"{CHILD} another {younger}")), video)
    assert pair is not None
    assert pair[1]["spi-out"] == "00000001"


@pytest.mark.parametrize("text", ["list-sa event {a {b=1", "list-sa event {a {b=[1}}"])
def test_what_is_no_answer_of_swanctl_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="swanctl answered something else"):
        tunnels.read(text)


def test_connections_as_declared(video: Tunnel) -> None:
    assert tunnels.connection_differences(FIREWALL, (video,), CONNECTIONS) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (
            "remote_addrs=[198.51.100.2]",
            "remote_addrs=[203.0.113.9]",
            "remote_addrs 203.0.113.9; expected 198.51.100.2",
        ),
        ("id=firewall.crisis-cell", "id=%any", "id %any; expected firewall.crisis-cell"),
        ("key revocation", "word revocation", "class public word; expected public key"),
        (
            "remote-ts=[10.56.2.0/28]",
            "remote-ts=[0.0.0.0/0]",
            f"child {VIDEO}: remote-ts 0.0.0.0/0; expected 10.56.2.0/28",
        ),
    ],
)
def test_a_connection_that_differs_is_named(video: Tunnel, old: str, new: str, found: str) -> None:
    assert tunnels.connection_differences(FIREWALL, (video,), CONNECTIONS.replace(old, new)) == [f"{VIDEO}: {found}"]


def test_missing_and_stray_connections_are_named(video: Tunnel) -> None:
    assert tunnels.connection_differences(FIREWALL, (video,), CONNECTIONS.replace(VIDEO, "other")) == [
        "connection other is not declared",
        f"connection {VIDEO} is not loaded",
    ]
