"""Places that no inventory names: ports and links that are there, devices that forward, selectors two tunnels have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.cli.configurations import rendered
from cloison.errors import CloisonError
from cloison.flow import Outcome
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.prove.answer import FindingKind
from cloison.prove.judge import Judge, judge
from cloison.prove.network import Prover
from cloison.prove.packet import Frames

if TYPE_CHECKING:
    from cloison.intent.network import Intent
    from cloison.prove.answer import Answer
    from cloison.prove.configuration import Configurations

ROOT = Path(__file__).parents[2]
FIREWALL = EquipmentName("roussy-le-village/firewall")
SWITCH = EquipmentName("roussy-le-village/core-switch")
NEW_PORT = "add-port br0 eth9 vlan_mode=access tag=110\nset interface eth9 ofport_request=19\n"


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


@pytest.fixture(scope="module")
def declared(intent: Intent) -> Configurations:
    return rendered(intent, ROOT / "templates")


def answered(
    intent: Intent, declared: Configurations, device: EquipmentName, more: dict[str, str], **replaced: tuple[str, str]
) -> Answer:
    """Return the answer where sections of a device have more lines, or other words."""
    sections = {name: text + more.get(name, "") for name, text in declared[device].items()}
    for name, (was, becomes) in replaced.items():
        assert was in sections[name]
        sections[name] = sections[name].replace(was, becomes)
    return judge(intent, {**declared, device: sections})


def leaks(answer: Answer) -> set[tuple[str, str]]:
    return {(one.sender, one.receiver) for one in answer.findings if one.kind is FindingKind.LEAK}


def test_a_port_that_no_inventory_has_is_a_place(intent: Intent, declared: Configurations) -> None:
    answer = answered(intent, declared, FIREWALL, {"switch": NEW_PORT, "interfaces": "link set dev eth9 up\n"})
    place, camera = f"{FIREWALL}:eth9", "roussy-le-village/cam-context"
    assert {(place, camera), (camera, place), (place, str(FIREWALL))} <= leaks(answer)
    assert (place, "roussy-le-village/nvr") not in leaks(
        answer
    )  # the filter holds, even against frames with three tags


def test_a_port_that_no_inventory_has_hears_on_a_switch(intent: Intent, declared: Configurations) -> None:
    answer = answered(intent, declared, SWITCH, {"switch": NEW_PORT, "interfaces": "link set dev eth9 up\n"})
    assert ("roussy-le-village/cam-context", f"{SWITCH}:eth9") in leaks(answer)


def test_a_port_that_is_shut_is_no_place(intent: Intent, declared: Configurations) -> None:
    assert answered(intent, declared, SWITCH, {"switch": NEW_PORT}).outcome is Outcome.PASS


def test_the_wide_area_port_in_the_bridge_is_a_place(intent: Intent, declared: Configurations) -> None:
    port = "add-port br0 wan0 vlan_mode=access tag=110\nset interface wan0 ofport_request=19\n"
    found = leaks(answered(intent, declared, FIREWALL, {"switch": port}))
    assert (f"{FIREWALL}:wan0", "roussy-le-village/cam-context") in found


def test_a_link_that_no_address_tells_is_a_place(intent: Intent, declared: Configurations) -> None:
    link = {"interfaces": "link set dev eth7 up\naddress replace 10.99.0.1/24 dev eth7\n"}
    assert answered(intent, declared, FIREWALL, link).outcome is Outcome.PASS  # no rule names it
    rule = (
        "\t\tjump noise\n",
        '\t\tiifname "eth7" oifname "vlan120" counter accept comment "seeded"\n\t\tjump noise\n',
    )
    source = (
        '\t\tcounter log group 4 drop comment "no-spoofing"\n\t}\n\n\t# 1.',
        '\t\tiifname "eth7" counter accept comment "seeded"\n\t}\n\n\t# 1.',
    )
    opened = {**declared[FIREWALL], "interfaces": declared[FIREWALL]["interfaces"] + link["interfaces"]}
    for was, becomes in (rule, source):
        assert was in opened["filter"]
        opened["filter"] = opened["filter"].replace(was, becomes)
    answer = judge(intent, {**declared, FIREWALL: opened})
    found = next(one for one in answer.findings if one.receiver == "roussy-le-village/nvr")
    assert (found.kind, found.sender) == (FindingKind.LEAK, f"{FIREWALL}:eth7")
    assert found.hops[-1].what.startswith("arrives")


def test_another_wide_area_address_does_not_hide_who_is_out_there(intent: Intent, declared: Configurations) -> None:
    answer = answered(intent, declared, FIREWALL, {}, interfaces=("192.0.2.2/30", "192.0.2.6/30"))
    assert (str(FIREWALL), f"{FIREWALL}:wan0") in leaks(answer)


def test_a_switch_that_forwards_packets_is_noticed(intent: Intent, declared: Configurations) -> None:
    answer = answered(intent, declared, SWITCH, {}, interfaces=("ip_forward=0", "ip_forward=1"))
    assert [(one.kind, one.what) for one in answer.findings] == [
        (FindingKind.NOTICE, f"{SWITCH} interfaces:1: a device that is no firewall forwards packets")
    ]


def test_selectors_that_two_tunnels_have_leave_it_open_which_carries_what(
    intent: Intent, declared: Configurations
) -> None:
    text = declared[FIREWALL]["tunnels"]
    other = declared[EquipmentName("crisis-cell/firewall")]
    assert "10.56.2.0/28" in text
    wide = text.replace("10.56.2.0/28", "10.56.2.0/28, 10.56.3.0/28")
    crisis = {**other, "tunnels": other["tunnels"].replace("10.56.2.0/28", "10.56.2.0/28, 10.56.3.0/28")}
    answer = judge(
        intent,
        {
            **declared,
            FIREWALL: {**declared[FIREWALL], "tunnels": wide},
            EquipmentName("crisis-cell/firewall"): crisis,
        },
    )
    doubtful = [one.what for one in answer.findings if one.kind is FindingKind.UNDETERMINED]
    assert len([one for one in doubtful if "that another tunnel has" in one]) == 2


def test_a_tunnel_whose_selectors_hold_no_address_of_the_device_is_noticed(
    intent: Intent, declared: Configurations
) -> None:
    name = EquipmentName("crisis-cell/firewall")
    answer = answered(intent, declared, name, {}, interfaces=("10.56.2.1/28", "10.56.99.1/28"))
    assert any("nothing is routed there" in one.what for one in answer.findings if one.kind is FindingKind.NOTICE)


def test_sets_beyond_the_budget_are_an_error_of_their_own(intent: Intent, declared: Configurations) -> None:
    prover = Prover(intent, Frames(budget=2_000))
    with pytest.raises(CloisonError, match="nodes"):
        Judge(prover, prover.network(declared)).answer()
