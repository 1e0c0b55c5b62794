"""What every node of the twin is given follows from the intent: daemons, listeners, users; and no secret leaks."""

import json
import re
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path, PurePosixPath

import pytest

from cloison.errors import LabError
from cloison.intent.load import load
from cloison.intent.network import Intent
from cloison.lab.configure import charon, chrony, nginx, openvswitch, rsyslog, sshd, video
from cloison.lab.configure.identity import TlsIdentity
from cloison.lab.credentials import Credentials, fingerprint_of, keep, kept, make_credentials, still_serve
from cloison.lab.service import NodeFile, NodeServices, PortReady
from cloison.lab.services import RETENTION_LIMIT_SECONDS, services_of, services_of_all
from cloison.model import EquipmentName, HostName

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 1, tzinfo=UTC)
CAMERA, GATEWAY, RECORDER, OPERATOR = (
    EquipmentName(f"roussy-le-village/{name}") for name in ("cam-context", "live-gateway", "nvr", "operator")
)
STATION = EquipmentName("crisis-cell/station-fire")
A, B = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
IDENTITY = TlsIdentity(b"certificate", b"key", b"authority")


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


@pytest.fixture(scope="module")
def credentials(intent: Intent) -> Credentials:
    serials, passwords = count(1), count(1)
    return make_credentials(
        intent, NOW, new_serial=lambda: next(serials), new_password=lambda: f"password-{next(passwords):03}"
    )


@pytest.fixture(scope="module")
def given(intent: Intent, credentials: Credentials) -> dict[EquipmentName, NodeServices]:
    return services_of_all(intent, credentials, {CAMERA: 0xDEADBEEF})


def text_of(services: NodeServices, path: str) -> str:
    (file,) = (file for file in services.files if file.path == PurePosixPath(path))
    return file.content.decode()


def mode_of(services: NodeServices, path: str) -> int:
    (file,) = (file for file in services.files if file.path == PurePosixPath(path))
    return file.mode


@pytest.mark.parametrize(
    ("name", "started"),
    [
        ("roussy-le-village/cam-context", "camera nginx chronyd"),
        ("roussy-le-village/pole-switch", "sshd ovsdb-server ovs-vswitchd guard rsyslogd chronyd"),
        ("roussy-le-village/firewall", "sshd ovsdb-server ovs-vswitchd charon guard rsyslogd chronyd"),
        ("roussy-le-village/nvr", "sshd recorder nginx rsyslogd chronyd"),
        ("roussy-le-village/live-gateway", "sshd relay rsyslogd chronyd"),
        ("roussy-le-village/operator", "sshd chronyd"),
        ("roussy-le-village/ups", "nginx chronyd"),
        ("crisis-cell/station-fire", "sshd chronyd"),
        ("operations-centre/administration-station", "chronyd"),
        ("operations-centre/log-collector", "sshd rsyslogd chronyd"),
        ("operations-centre/time-server", "sshd chronyd"),
    ],
)
def test_daemons_follow_from_the_flows(given: dict[EquipmentName, NodeServices], name: str, started: str) -> None:
    assert [service.name for service in given[EquipmentName(name)].services] == started.split()


def test_every_equipment_is_given_something(intent: Intent, given: dict[EquipmentName, NodeServices]) -> None:
    assert set(given) == set(intent.equipment_by_name)
    assert all(services.services for services in given.values())


def test_only_who_may_pull_a_stream_is_a_user_of_its_server(given: dict[EquipmentName, NodeServices]) -> None:
    def users(name: EquipmentName, program: str) -> set[str]:
        return {line.split(":")[0] for line in text_of(given[name], f"/etc/cloison/{program}/users").splitlines()}

    assert users(CAMERA, "camera") == {"nvr.roussy-le-village", "live-gateway.roussy-le-village"}
    assert users(GATEWAY, "relay") == {"station-fire.crisis-cell", "station-police.crisis-cell"}
    assert users(RECORDER, "recorder") == {"operator.roussy-le-village"}


def test_no_password_serves_twice(credentials: Credentials) -> None:
    passwords = [password for users in credentials.passwords.values() for password in users.values()]
    assert len(set(passwords)) == len(passwords) == 10


def test_passwords_and_keys_are_in_files_of_root_and_nowhere_else(
    intent: Intent, credentials: Credentials, given: dict[EquipmentName, NodeServices]
) -> None:
    passwords = [password.encode() for users in credentials.passwords.values() for password in users.values()]
    for name in intent.equipment_by_name:
        for file in given[name].files:
            secret = b"PRIVATE KEY" in file.content or any(password in file.content for password in passwords)
            assert not secret or file.mode & 0o077 == 0, f"{name}: {file.path}"
        shown = repr(given[name])
        assert "PRIVATE KEY" not in shown
        assert not any(password.decode() in shown for password in passwords)
    assert "PRIVATE KEY" not in repr(credentials)
    assert "password-0" not in repr(credentials)


def test_no_key_of_a_tunnel_is_given_to_anybody(
    credentials: Credentials, given: dict[EquipmentName, NodeServices]
) -> None:
    for services in given.values():
        assert not [file.path for file in services.files if file.path.is_relative_to("/etc/swanctl/private")]
        assert not [file.path for file in services.files if file.path.is_relative_to("/etc/swanctl/x509")]
    assert set(type(next(iter(credentials.hosts.values()))).model_fields) == {
        "tls_certificate",
        "tls_key",
        "ssh_host_key",
        "ssh_fingerprint",
    }


def test_the_camera_looks_at_its_scene(given: dict[EquipmentName, NodeServices]) -> None:
    assert text_of(given[CAMERA], str(video.SCENE)) == "deadbeef\n"
    config = json.loads(text_of(given[CAMERA], "/etc/cloison/camera/config.json"))
    assert (config["path"], config["scene"], config["port"]) == ("/live", str(video.SCENE), 322)


def test_the_gateway_relays_both_cameras_and_records_nothing(given: dict[EquipmentName, NodeServices]) -> None:
    config = json.loads(text_of(given[GATEWAY], "/etc/cloison/relay/config.json"))
    assert [mount["path"] for mount in config["mounts"]] == ["/cam-context", "/cam-narrow"]
    assert all(mount["remote"]["url"].startswith("rtsps://") for mount in config["mounts"])
    assert all(mount["remote"]["authority"] == str(video.AUTHORITY) for mount in config["mounts"])
    assert "recordings" not in config


def test_the_gateway_holds_no_credential_of_the_recorder(
    credentials: Credentials, given: dict[EquipmentName, NodeServices]
) -> None:
    (password,) = credentials.passwords[RECORDER].values()
    holders = [name for name, node in given.items() if any(password.encode() in f.content for f in node.files)]
    assert holders == [OPERATOR]


def test_a_recorder_keeps_no_longer_than_a_twin_can(given: dict[EquipmentName, NodeServices]) -> None:
    config = json.loads(text_of(given[RECORDER], "/etc/cloison/recorder/config.json"))
    assert config["recordings"]["retention_seconds"] == RETENTION_LIMIT_SECONDS
    assert "autoindex on;" in text_of(given[RECORDER], "/etc/nginx/nginx.conf")


def test_a_device_listens_on_its_local_port_first(intent: Intent, given: dict[EquipmentName, NodeServices]) -> None:
    for device in intent.devices:
        assert device.local_management is not None
        (service,) = (service for service in given[device.name].services if service.name == "sshd")
        assert service.ready == PortReady(device.local_management[0].ip, 22, 10.0)
        listening = re.findall(r"ListenAddress (\S+):22", text_of(given[device.name], "/etc/ssh/sshd_config"))
        assert listening == [str(device.local_management[0].ip), str(device.address)]


def test_sshd_lets_in_root_by_key_alone() -> None:
    config = sshd.sshd_config([A]).splitlines()
    for line in (
        f"ListenAddress {A}:22",
        "PasswordAuthentication no",
        "PermitRootLogin prohibit-password",
        "AuthenticationMethods publickey",
        "DisableForwarding yes",
        "UseDNS no",
    ):
        assert line in config


def test_a_client_of_time_has_no_clock_of_its_own() -> None:
    client = chrony.client_config(A, B)
    assert f"server {A} " in client
    assert f"bindacqaddress {B}\n" in client
    assert "port 0\n" in client
    assert "local" not in client
    assert "allow" not in client


def test_a_firewall_serves_its_site_from_the_time_server(given: dict[EquipmentName, NodeServices]) -> None:
    config = text_of(given[EquipmentName("roussy-le-village/firewall")], "/etc/chrony/chrony.conf")
    assert "server 10.56.3.19 " in config
    assert "bindacqaddress 10.56.1.1\n" in config
    assert "local" not in config
    assert "allow 10.56.1.82\n" in config
    assert "allow 10.56.2." not in config


def test_the_time_server_serves_its_own_clock_to_firewalls_alone(
    intent: Intent, given: dict[EquipmentName, NodeServices]
) -> None:
    config = text_of(given[EquipmentName("operations-centre/time-server")], "/etc/chrony/chrony.conf")
    allowed = set(re.findall(r"^allow (\S+)$", config, re.MULTILINE))
    firewalls = {str(site.firewall.address) for site in intent.sites}
    assert "local stratum" in config
    # Its own site's firewall reaches it, and is its clients' source as well.
    assert allowed == firewalls


def test_the_collector_takes_messages_of_named_senders_alone(
    intent: Intent, given: dict[EquipmentName, NodeServices]
) -> None:
    config = text_of(given[EquipmentName("operations-centre/log-collector")], "/etc/rsyslog.conf")
    peers = re.search(r"PermittedPeer=\[(.*)\]", config)
    assert peers is not None
    named = set(re.findall(r'"([^"]+)"', peers[1]))
    assert named == {str(f.source.name.host_name) for f in intent.flows if f.service.name == "syslog-tls"}
    assert 'StreamDriver.AuthMode="x509/name"' in config


def test_a_sender_knows_its_collector_by_name() -> None:
    config = rsyslog.sender_config(A, HostName("log-collector.operations-centre"))
    assert f'target="{A}"' in config
    assert 'StreamDriverAuthMode="x509/name"' in config
    assert 'StreamDriverPermittedPeers="log-collector.operations-centre"' in config


def test_a_password_line_is_what_nginx_reads() -> None:
    # RFC 2307: base64 of SHA-1("secret" + "salt") and the salt; from `openssl dgst`.
    assert nginx.password_line("anne", "secret", b"salt") == "anne:{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0\n"


def test_a_digest_line_is_that_of_rfc_2617() -> None:
    # MD5("Mufasa:cloison:Circle Of Life"); from `md5sum`.
    line = video.digest_line(video.Login("Mufasa", "Circle Of Life"))
    assert line == "Mufasa:cloison:3d17ff15d10b46649ac15807a9b2d1b1\n"


def test_a_camera_in_clear_has_no_certificate() -> None:
    door = video.Door(A, 554, (video.Login("nvr", "secret"),), None)
    config = json.loads(text_of(video.camera(door, 1), "/etc/cloison/camera/config.json"))
    assert "certificate" not in config
    source = video.Source("cam", A, 554, video.Login("nvr", "secret"), is_encrypted=False)
    relay = video.relay(video.Door(B, 8322, (), IDENTITY), [source], b"authority")
    (mount,) = json.loads(text_of(relay, "/etc/cloison/relay/config.json"))["mounts"]
    assert mount["remote"] == {"url": "rtsp://10.0.0.1:554/live", "credential": "/etc/cloison/credentials/cam"}


def test_charon_loads_a_named_list_of_plugins(given: dict[EquipmentName, NodeServices]) -> None:
    firewall = given[EquipmentName("crisis-cell/firewall")]
    config = text_of(firewall, "/etc/strongswan.conf")
    assert "load_modular = no" in config
    assert not set(charon.PLUGINS.split()) & {"dhcp", "farp", "attr", "unity", "updown"}
    assert "retransmit_timeout = 1.0\n" in config
    assert text_of(firewall, "/etc/swanctl/x509ca/tunnel.crt").startswith("-----BEGIN CERTIFICATE")


def test_open_vswitch_stays_in_user_space() -> None:
    scripts = [file.content.decode() for file in openvswitch.open_vswitch().files]
    assert any("--disable-system" in script for script in scripts)


def test_two_parts_may_not_put_the_same_file_or_start_the_same_name() -> None:
    file = NodeServices(files=(NodeFile(PurePosixPath("/etc/a"), b"", 0o644),))
    with pytest.raises(ValueError, match="file given twice to one node: /etc/a"):
        file + file
    with pytest.raises(ValueError, match="service given twice to one node: ovs-vswitchd, ovsdb-server"):
        openvswitch.open_vswitch() + NodeServices(services=openvswitch.open_vswitch().services)


@pytest.mark.parametrize("path", ["etc/a", "/etc/../a"])
def test_a_file_has_an_absolute_path(path: str) -> None:
    with pytest.raises(ValueError, match="expected an absolute path"):
        NodeFile(PurePosixPath(path), b"", 0o644)


def test_the_same_credentials_give_the_same_files(
    intent: Intent, credentials: Credentials, given: dict[EquipmentName, NodeServices]
) -> None:
    assert services_of(intent, credentials, CAMERA, 0xDEADBEEF) == given[CAMERA]


def test_credentials_are_kept_for_root_alone(tmp_path: Path, credentials: Credentials) -> None:
    keep(tmp_path, credentials)
    assert kept(tmp_path) == credentials
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in written} == {
        "credentials.json",
        "engineer",
        "engineer.pub",
        "auditor",
        "auditor.pub",
    }
    assert all(path.stat().st_mode & 0o077 == 0 for path in written)


def test_there_may_be_no_credentials_yet(tmp_path: Path) -> None:
    assert kept(tmp_path) is None


def test_credentials_that_cannot_be_read_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text("{}", encoding="ascii")
    with pytest.raises(LabError, match=r"credentials\.json: cannot be read .* delete it"):
        kept(tmp_path)


def test_credentials_serve_until_the_day_before_they_are_due(intent: Intent, credentials: Credentials) -> None:
    assert still_serve(credentials, intent, NOW)
    assert still_serve(credentials, intent, credentials.expires - timedelta(days=31, seconds=1))
    assert not still_serve(credentials, intent, credentials.expires - timedelta(days=31))


def test_credentials_do_not_serve_another_network(intent: Intent, credentials: Credentials) -> None:
    other = credentials.model_copy(update={"hosts": {k: v for k, v in credentials.hosts.items() if k != STATION}})
    assert not still_serve(other, intent, NOW)
    fewer = {server: users for server, users in credentials.passwords.items() if server != GATEWAY}
    assert not still_serve(credentials.model_copy(update={"passwords": fewer}), intent, NOW)


def test_a_fingerprint_is_that_of_ssh_keygen() -> None:
    # `ssh-keygen -lf` of this public key.
    line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f test"
    assert fingerprint_of(line) == "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA"
