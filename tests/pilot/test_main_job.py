"""The main job on the pilot's twin: the network put on factory devices, kept, repaired, judged, and taken away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from cloison.evidence.document import SCHEMA_FILE

if TYPE_CHECKING:
    from tests.pilot.conftest import Pilot

pytestmark = pytest.mark.lab
PLAYS = ("audit.py", "camera_vlans.py", "core_switch.py", "fibre_link.py", "firewall.py", "site.py", "vpn.py")
DELETE_RULE = (
    "nft -a list chain inet cloison business | sed -n 's/.*comment \"watch-live\".* handle //p' | "
    'while read -r handle; do nft delete rule inet cloison business handle "$handle"; done'
)


def test_the_first_change_goes_by_the_local_ports_and_the_next_by_the_tunnel(applied: Pilot) -> None:
    again = applied.json("plan")
    assert again["via"] == "tunnel"
    assert again["changes"] == 0


def test_applying_again_changes_nothing_and_says_so(applied: Pilot) -> None:
    result = applied.cloison("apply", "--yes")
    assert result.exit_status == 0
    assert "no change" in result.text


def test_a_second_up_says_so(applied: Pilot) -> None:
    result = applied.cloison("lab", "up")
    assert result.exit_status == 0
    assert "is up already" in result.text


def test_what_was_deleted_by_hand_is_named_and_repaired(applied: Pilot) -> None:
    applied.inside("roussy-le-village/firewall", DELETE_RULE)
    applied.inside("roussy-le-village/core-switch", "ovs-vsctl set port sfp1 trunks=110,150")
    applied.inside("roussy-le-village/pole-switch", "ovs-ofctl del-flows br0 in_port=1,ip,nw_src=10.56.1.82")

    plan = applied.cloison("plan").text
    assert "+ watch-live on roussy-le-village/firewall" in plan
    assert "+port br0/sfp1 protected=true tag=999 trunks=110,111,150" in plan
    assert "+table=0,priority=300,ip,in_port=1,dl_src=02:00:00:00:01:11,nw_src=10.56.1.82" in plan

    devices = applied.json("apply", "--yes")["devices"]
    assert isinstance(devices, list)
    mended = {f"roussy-le-village/{device}": "confirmed" for device in ("firewall", "core-switch", "pole-switch")}
    assert {one["device"]: one["standing"] for one in devices} == mended
    assert applied.json("apply", "--yes")["changed"] is False


def test_a_tunnel_is_changed_through_itself_and_a_play_alone_may_not(applied: Pilot) -> None:
    template = applied.root / "templates" / "firewall" / "debian-libipsec" / "tunnels.j2"
    declared = template.read_text(encoding="utf-8")
    template.write_text(declared.replace("dpd_delay = 5s", "dpd_delay = 6s"), encoding="utf-8")
    try:
        refused = applied.cloison("play", "vpn")
        assert refused.exit_status == 3
        assert "--via local" in refused.text
        through = applied.json("apply", "--yes")
        assert (through["via"], through["changed"]) == ("tunnel", True)
    finally:
        template.write_text(declared, encoding="utf-8")
    assert applied.json("apply", "--yes")["changed"] is True
    assert applied.json("plan")["changes"] == 0


@pytest.mark.parametrize("play", PLAYS)
def test_every_play_runs_by_itself_and_finds_nothing_to_change(applied: Pilot, play: str) -> None:
    played = applied.json("play", play.removesuffix(".py"))
    records = played["records"]
    assert isinstance(records, list)
    assert records
    assert not any(record["changed"] or record["failed"] or record["diff"] for record in records), records


def test_a_play_repairs_its_own_sections_and_leaves_the_others(applied: Pilot) -> None:
    applied.inside("roussy-le-village/core-switch", "ovs-ofctl del-flows br0 in_port=2,ip")
    applied.inside("roussy-le-village/core-switch", "ovs-vsctl set port p8 tag=1")
    dry = applied.json("play", "camera_vlans", "--dry-run", "--site", "roussy-le-village")
    assert "nw_src=10.56.1.34" in json.dumps(dry)
    assert applied.json("plan")["changes"] == 2
    applied.json("play", "camera_vlans", "--site", "roussy-le-village")
    left = applied.json("plan")["devices"]
    assert isinstance(left, list)
    assert [(device["device"], sorted(device["sections"])) for device in left] == [
        ("roussy-le-village/core-switch", ["switch"])
    ]
    applied.json("play", "core_switch", "--site", "roussy-le-village")
    assert applied.json("plan")["changes"] == 0


def test_the_whole_audit_conforms_and_its_document_is_what_the_schema_says(
    applied: Pilot, audited: dict[str, object]
) -> None:
    Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))).validate(audited)
    verdicts = audited["verdicts"]
    assert isinstance(verdicts, list)
    assert {verdict["outcome"] for verdict in verdicts} == {"PASS"}
    assert audited["planned"] == audited["run"] == len(verdicts)

    runs = sorted((applied.root / "runs").iterdir())
    page = (runs[-1] / "page.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "Content-Security-Policy" in page
    assert (runs[-1] / "configuration" / "roussy-le-village" / "firewall" / "filter.txt").stat().st_size > 0
    shown = applied.cloison("report")
    assert shown.exit_status == 0
    assert "CONFORMS" in shown.text
