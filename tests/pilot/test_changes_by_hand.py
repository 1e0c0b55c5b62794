"""Changes as a person types them: a good one beside a stream that plays, and bad ones, which are taken back."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.pilot.conftest import Pilot

    from cloison.transport.base import CommandResult

pytestmark = pytest.mark.lab
SITE = "roussy-le-village"
GATEWAY = "10.56.1.50:8322"
WATCHED = "/run/watched.json"


@contextmanager
def typed(file: Path, old: str, new: str) -> Iterator[None]:
    """Have a file of the workspace say something else for a while."""
    before = file.read_text(encoding="utf-8")
    assert old in before
    file.write_text(before.replace(old, new, 1), encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(before, encoding="utf-8")


def apply(pilot: Pilot, *options: str) -> CommandResult:
    return pilot.cloison("apply", "--yes", "--site", SITE, *options)


def assert_taken_back(pilot: Pilot, result: CommandResult, *words: str) -> None:
    """Assert that a change was taken back with one paragraph that says why, and that nothing of it is left."""
    assert result.exit_status == 1, (result.text[-3000:], result.stderr[-1000:])
    told = result.text.rstrip().splitlines()[-1]
    assert "taken back: every device runs what it ran before" in told
    for word in words:
        assert word in told
    drift = pilot.cloison("drift")
    assert (drift.exit_status, drift.text.startswith("drift: none")) == (0, True), drift.text


@contextmanager
def watching(pilot: Pilot, station: str, camera: str) -> Iterator[dict[str, Any]]:
    """Have a station play a stream with its own player; give what it saw, once it was told to end."""
    play = (
        f"/opt/twin/play rtsps://{GATEWAY}/{camera} --credential /etc/cloison/credentials/live-gateway.{SITE} "
        "--authority /etc/cloison/authority.pem --frames 1000000 --seconds 300"
    )
    process = pilot.inside(station, f"setsid {play} </dev/null >{WATCHED} 2>&1 & echo $!").strip()
    seen: dict[str, Any] = {}
    try:
        yield seen
    finally:
        pilot.inside(station, f"kill {process} || :; while kill -0 {process} 2>/dev/null; do sleep 0.1; done")
    seen |= json.loads(pilot.inside(station, f"cat {WATCHED}"))


def test_a_camera_changes_its_vlan_while_the_other_one_plays_and_the_change_is_taken_back(applied: Pilot) -> None:
    network = applied.root / "inventory" / "network.yaml"
    with watching(applied, "crisis-cell/station-fire", "cam-narrow") as seen:
        begun = time.monotonic()
        with typed(network, "cam-context: 110", "cam-context: 115"):
            document = applied.json("apply", "--yes", "--site", SITE)
            assert document["decision"] == "confirmed"
            assert applied.json("apply", "--yes", "--site", SITE)["decision"] == "no-change"
        back = applied.json("rollback", str(document["run"]), "--yes")
        assert back["decision"] == "confirmed"
        took = time.monotonic() - begun
    assert seen["error"] == ""
    assert seen["frames"] > 5 * took, "the camera gives 10 pictures a second"
    assert seen["longest_gap_milliseconds"] < 1000
    assert applied.cloison("drift").text.startswith("drift: none")


def test_one_that_breaks_a_stream_is_taken_back(applied: Pilot) -> None:
    site = applied.root / "inventory" / "sites" / f"{SITE}.yaml"
    with typed(site, "02:00:00:00:01:12", "02:00:00:00:01:99"):
        result = apply(applied)
    assert_taken_back(applied, result, "the gate did not pass", "cam-narrow")


def test_one_that_cuts_the_way_to_the_device_is_taken_back(applied: Pilot) -> None:
    policy = applied.root / "inventory" / "policy.yaml"
    with typed(
        policy, "roles: [commune, aggregation], kinds: [firewall, switch]", "roles: [aggregation], kinds: [switch]"
    ):
        result = apply(applied, "--deadline", "20", "--gate", "proof")
    assert_taken_back(applied, result, "management")


def test_what_hands_did_is_mended(applied: Pilot) -> None:
    applied.inside(f"{SITE}/firewall", "nft add rule inet cloison business tcp dport 23 accept")
    applied.inside(
        f"{SITE}/core-switch",
        "ovs-vsctl -- --id=@m create mirror name=copy select_all=true -- set bridge br0 mirrors=@m",
    )
    assert applied.cloison("drift").exit_status == 1
    result = apply(applied)
    assert result.exit_status == 0, (result.text[-3000:], result.stderr[-1000:])
    assert applied.cloison("drift").text.startswith("drift: none")


def test_one_that_opens_what_is_forbidden_is_refused_before_anything_is_sent(applied: Pilot) -> None:
    rules = applied.root / "templates" / "firewall" / "debian-libipsec" / "filter.j2"
    opening = "\t\tjump noise\n"
    with typed(rules, opening, f"\t\ttcp dport 8080 accept\n{opening}"):
        result = apply(applied)
    assert result.exit_status == 2, result.text[-2000:]
    said = result.stderr.decode()
    assert "the plan is refused" in said
    assert "with every device new" in said
    assert "8080" in said
    assert applied.cloison("drift").text.startswith("drift: none")
