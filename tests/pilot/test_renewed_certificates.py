"""Certificates of the twin's tunnels: renewed while stations watch, taken back when refused, revoked; keys stay put."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization

from cloison.lab.equip import authority_of
from cloison.pki.authority import Validity, make_revocation_list
from cloison.pki.encoding import load_certificate, load_key
from cloison.pki.register import LIFETIME, SLACK
from cloison.pki.renewal import act

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.pilot.conftest import Pilot

    from cloison.model import EquipmentName

pytestmark = pytest.mark.lab
FIREWALL, CRISIS, CENTRE = (f"{site}/firewall" for site in ("roussy-le-village", "crisis-cell", "operations-centre"))
STATION, GATEWAY = "crisis-cell/station-fire", "roussy-le-village/live-gateway"
VIDEO = "video-roussy-le-village--crisis-cell"
NAME = "firewall.roussy-le-village"
PRIVATE = f"/etc/swanctl/private/{NAME}.key"
BACK_WITHIN = 8.0
"""Seconds. A tunnel is back in 0.3 s on an idle machine; the suite shares two cores with the twin."""
CONNECT = """
import json, os, socket, sys, time
made = [time.monotonic()]
while not os.path.exists("/run/enough"):
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.3).close()
        made.append(time.monotonic())
    except OSError:
        pass
    time.sleep(0.02)
made.append(time.monotonic())
print(json.dumps({"count": len(made) - 2, "gap": max(b - a for a, b in zip(made, made[1:]))}))
"""


@contextmanager
def connecting(pilot: Pilot) -> Iterator[dict[str, float]]:
    """Have a station connect to the live gateway all the while; how often, and the longest pause, are known after."""
    address = pilot.intent.equipment_by_name[_named(pilot, GATEWAY)].address
    pilot.inside(STATION, "rm -f /run/enough")
    seen: dict[str, float] = {}
    with ThreadPoolExecutor(1) as pool:
        command = ["python3", "-c", CONNECT, str(address), "8322"]
        running = pool.submit(pilot.client.run, STATION, command, timeout=120.0)
        try:
            yield seen
        finally:
            pilot.inside(STATION, "touch /run/enough")
        seen |= json.loads(running.result().stdout)


def _named(pilot: Pilot, text: str) -> EquipmentName:
    return next(name for name in pilot.intent.equipment_by_name if name == text)


def serial(pilot: Pilot, node: str = FIREWALL) -> int:
    path = f"/etc/swanctl/x509/firewall.{node.partition('/')[0]}.crt"
    return load_certificate(pilot.inside(node, f"cat {path}").encode(), source=path).serial_number


def give_list(pilot: Pilot, node: str, revocations: bytes) -> None:
    with closing(pilot.client.runner(node)) as runner:
        act(runner, _named(pilot, node), "revocations", stdin=revocations)


def spis(pilot: Pilot, node: str = FIREWALL) -> set[str]:
    listed = "swanctl --list-sas --raw | grep -o 'initiator-spi=[0-9a-f]*' || :"
    return set(pilot.inside(node, listed).split())


def holding(folder: Path, needles: list[bytes]) -> list[str]:
    """Return the files under a folder that hold one of the byte strings; links are not followed."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [str(path.relative_to(folder)) for path in files if any(n in path.read_bytes() for n in needles)]


def spellings(pem: bytes) -> list[bytes]:
    """Return what a private key may be written as: its PEM body, and its number in three forms."""
    number = load_key(pem, source="a key").private_numbers().private_value.to_bytes(48, "big")
    body = b"".join(pem.splitlines()[1:-1])
    return [body[:64], body[64:128], number, number.hex().encode(), base64.b64encode(number)]


def test_a_renewal_keeps_the_live_stream_within_reach_and_the_key_on_the_firewall(applied: Pilot) -> None:
    keys = {applied.inside(FIREWALL, f"cat {PRIVATE}")}
    old, before = serial(applied), spis(applied)
    with connecting(applied) as seen:
        renewed = applied.json("certificates", "renew", FIREWALL)["renewed"]
    assert isinstance(renewed, list)
    assert {tunnel for one in renewed for tunnel in one["verified"]} == {
        str(tunnel.name) for tunnel in applied.intent.tunnels_of(_named(applied, FIREWALL))
    }
    assert f"{serial(applied):x}" == renewed[0]["serial"] != f"{old:x}"
    assert not spis(applied) & before, "both tunnels are new ones"
    assert seen["count"] > 5
    assert seen["gap"] < BACK_WITHIN
    keys.add(applied.inside(FIREWALL, f"cat {PRIVATE}"))
    assert len(keys) == 2, "the key is another one"
    assert applied.inside(FIREWALL, f"stat -c '%a %U' {PRIVATE}; ls /etc/swanctl/private").split() == [
        *("600", "root"),
        f"{NAME}.key",
    ]
    for key in keys:
        assert holding(applied.root / ".cloison", spellings(key.encode())) == []
    engineer = (applied.client.folder.path / "keys" / "engineer").read_bytes()
    assert "keys/engineer" in holding(applied.client.folder.path, [engineer[40:100]]), "the search finds what is there"


def test_the_daemon_learns_of_a_new_list_and_drops_no_association(applied: Pilot) -> None:
    before = {node: spis(applied, node) for node in (FIREWALL, CRISIS, CENTRE)}
    authority = authority_of(applied.client.folder)
    for node in before:
        give_list(applied, node, authority.new_revocations())
    assert all(before.values())
    assert {node: spis(applied, node) for node in before} == before


def test_a_certificate_that_the_peers_refuse_is_taken_back(applied: Pilot, tmp_path: Path) -> None:
    old, key = serial(applied), applied.inside(FIREWALL, f"sha256sum {PRIVATE}")
    request, certificate = tmp_path / "firewall.csr", tmp_path / "firewall.crt"
    assert applied.cloison("certificates", "request", FIREWALL, "--out", str(request)).exit_status == 0
    authority = authority_of(applied.client.folder)
    certificate.write_bytes(authority.issue(_named(applied, FIREWALL), request.read_bytes()))
    refused = load_certificate(certificate.read_bytes(), source="test").serial_number
    now = datetime.now(UTC).replace(microsecond=0)
    number = authority.register().number + 1
    made = make_revocation_list(
        authority.authority, [(refused, now)], Validity(now - SLACK, now + LIFETIME), number=number
    )
    give_list(applied, CRISIS, made.public_bytes(serialization.Encoding.PEM))
    result = applied.cloison("certificates", "install", FIREWALL, str(certificate), "--via", "local")
    assert result.exit_status == 3
    assert f"the certificate before is in force: {VIDEO} did not" in " ".join(result.stderr.decode().split())
    assert serial(applied) == old
    assert applied.inside(FIREWALL, f"sha256sum {PRIVATE}") == key
    assert applied.inside(FIREWALL, "ls /etc/swanctl/private").split() == [f"{NAME}.key"]
    authority.new_revocations()  # this one has the number that was taken for the test
    assert applied.cloison("certificates", "renew", CRISIS).exit_status == 0, "it takes the next list with it"
    assert set(applied.outcomes("--only", "tunnel/up", status=0).values()) == {"PASS"}


def test_what_is_revoked_cannot_come_up_until_it_is_renewed(applied: Pilot) -> None:
    assert applied.cloison("certificates", "revoke", FIREWALL).exit_status == 2, "nobody said yes"
    done = applied.json("certificates", "revoke", FIREWALL, "--yes")
    assert (done["told"], done["failed"]) == ([CRISIS, CENTRE], {})
    for tunnel in applied.intent.tunnels_of(_named(applied, FIREWALL)):
        asked = ["timeout", "15", "swanctl", "--initiate", "--child", str(tunnel.name), "--timeout", "10"]
        assert applied.client.run(FIREWALL, asked).exit_status != 0
    assert spis(applied) == set()
    assert "certificate was revoked" in applied.inside(CENTRE, "cat /var/log/charon.log")
    shown = applied.json("certificates", "--via", "local", status=1)["certificates"]
    assert isinstance(shown, list)
    assert {row["device"]: row["state"] for row in shown} == {FIREWALL: "revoked", CRISIS: "ok", CENTRE: "ok"}
    assert applied.json("certificates", "renew", "--all-due", "--via", "local")["renewed"] == []
    assert applied.json("certificates", "renew", FIREWALL, "--via", "local")["renewed"]
    assert set(applied.outcomes("--only", "tunnel/up", "--only", "tunnel/certificate", status=0).values()) == {"PASS"}
    assert applied.json("certificates")["certificates"]
