"""The daemons inside the nodes, really: video from camera to station, recordings, pages, logs, time, SSH.

The pilot's equipment stands on one flat link here, so that what is tested is the daemons and not the network.
"""

import base64
import contextlib
import json
import re
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path, PurePosixPath
from secrets import token_urlsafe

import pytest
from cryptography import x509

from cloison.intent.load import load
from cloison.intent.models import Kind
from cloison.intent.network import Equipment, Intent
from cloison.lab import verbs
from cloison.lab.client import LabClient
from cloison.lab.configure import video
from cloison.lab.credentials import Credentials, keep, make_credentials
from cloison.lab.design import InterfaceDesign, LabDesign, LinkDesign, LinkEnd, NodeDesign, NodeRole
from cloison.lab.equip import certify
from cloison.lab.order import LabOrder
from cloison.lab.services import services_of_all
from cloison.model import EquipmentName, InterfaceName, MacAddress
from cloison.pki.authority import Purpose, Subject, Validity, issue, make_root, make_subordinate
from cloison.pki.encoding import certificate_pem, fingerprint, key_pem, load_certificate, new_key
from cloison.probe.stream import Refusal, Stream, StreamSeen, watch
from cloison.transport.ssh import SshRunner

pytestmark = pytest.mark.lab

NAME = "daemons"
HUB = EquipmentName("wan/hub")
CONTEXT, NARROW, GATEWAY, RECORDER, OPERATOR, UPS, FIREWALL, SWITCH = (
    EquipmentName(f"roussy-le-village/{name}")
    for name in ("cam-context", "cam-narrow", "live-gateway", "nvr", "operator", "ups", "firewall", "core-switch")
)
STATION = EquipmentName("crisis-cell/station-fire")
COLLECTOR, CLOCK = (EquipmentName(f"operations-centre/{name}") for name in ("log-collector", "time-server"))
NODES = (CONTEXT, NARROW, GATEWAY, RECORDER, OPERATOR, UPS, FIREWALL, SWITCH, STATION, COLLECTOR, CLOCK)
SCENES = {CONTEXT: 0xC0FFEE01, NARROW: 0x0BADCAFE}


@dataclass(frozen=True)
class Twin:
    """The running daemons and all that is known of them."""

    intent: Intent
    credentials: Credentials
    client: LabClient

    def equipment(self, name: EquipmentName) -> Equipment:
        return self.intent.equipment_by_name[name]

    def address(self, name: EquipmentName) -> IPv4Address:
        address = self.equipment(name).address
        assert address is not None
        return address

    def text(self, name: EquipmentName, *arguments: str) -> str:
        result = self.client.run(name, arguments)
        assert result.exit_status == 0, result.stderr
        return result.text

    def stream(self, server: EquipmentName, mount: str, port: int) -> Stream:
        return Stream(server, self.address(server), port, mount)

    def watch(
        self, stream: Stream, *, at: EquipmentName = STATION, frames: int = 15, seconds: float = 20
    ) -> StreamSeen:
        with contextlib.closing(self.client.runner(at)) as runner:
            return watch(runner, stream, frames=frames, seconds=seconds)

    def live(self, camera: EquipmentName) -> Stream:
        return self.stream(GATEWAY, camera.equipment, 8322)

    def get(self, server: EquipmentName, path: str, *, at: EquipmentName, login: tuple[str, str] | None) -> bytes:
        """Return the whole answer to one HTTPS request made at a node, having verified the certificate."""
        context = ssl.create_default_context(cadata=self.credentials.tls_authority.decode())
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        address = str(self.address(server))
        header = f"Authorization: Basic {base64.b64encode(':'.join(login).encode()).decode()}\r\n" if login else ""
        with (
            contextlib.closing(self.client.dialer(at)) as dialer,
            context.wrap_socket(dialer.dial(address, 443, timeout=5), server_hostname=address) as connection,
        ):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{header}\r\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b""))


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask a daemon again and again until it shows what is awaited, for so many seconds at most."""
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)  # nothing tells when a daemon has come so far
    return met


def flat(intent: Intent) -> LabDesign:
    """Return a design with the nodes on one link, each with its own addresses and the longest prefix they share."""
    nodes, links = [], []
    for number, name in enumerate(NODES, 1):
        equipment = intent.equipment_by_name[name]
        addresses = [IPv4Interface((equipment.address, 14))] if equipment.address else []
        if equipment.kind is Kind.FIREWALL:
            gateways = {segment.gateway for segment in intent.site_by_name[name.site].segments}
            addresses = [IPv4Interface((gateway, 14)) for gateway in sorted(gateways)]
        if equipment.local_management:
            addresses.append(equipment.local_management[0])
        eth0 = InterfaceDesign(
            name=InterfaceName("eth0"), mac=MacAddress(f"02:00:00:00:01:{number:02x}"), addresses=tuple(addresses)
        )
        nodes.append(NodeDesign(name=name, role=NodeRole.HOST, interfaces=(eth0,)))
        port = LinkEnd(node=HUB, interface=InterfaceName(f"p{number}"))
        links.append(LinkDesign(near=port, far=LinkEnd(node=name, interface=InterfaceName("eth0"))))
    ports = tuple(
        InterfaceDesign(name=link.near.interface, mac=MacAddress(f"02:00:00:00:02:{number:02x}"))
        for number, link in enumerate(links, 1)
    )
    nodes.append(NodeDesign(name=HUB, role=NodeRole.UNMANAGED_SWITCH, interfaces=ports))
    return LabDesign(nodes=tuple(nodes), links=tuple(links))


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    root = tmp_path_factory.mktemp("daemons")
    intent = load(Path(__file__).parents[2])
    credentials = make_credentials(
        intent,
        datetime.now(UTC).replace(microsecond=0),
        new_serial=x509.random_serial_number,
        new_password=lambda: token_urlsafe(16),
    )
    given = services_of_all(intent, credentials, SCENES)
    order = LabOrder(design=flat(intent), given={name: given[name] for name in NODES})
    client = LabClient(root, NAME)
    verbs.up(root, NAME, lambda: order, lambda _: None)
    keep(client.folder.path, credentials)
    try:
        yield Twin(intent, credentials, client)
    finally:
        verbs.down(root, NAME)


# --- video ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("camera", [CONTEXT, NARROW])
def test_a_station_sees_what_the_camera_looks_at(twin: Twin, camera: EquipmentName) -> None:
    seen = twin.watch(twin.live(camera))
    shown = load_certificate(twin.credentials.hosts[GATEWAY].tls_certificate, source="gateway")
    assert (seen.refusal, seen.nonces, seen.unreadable) == (None, (SCENES[camera],), 0), seen
    assert seen.certificate == fingerprint(shown)
    assert (seen.codec, seen.width, seen.height, seen.audio_tracks) == ("h264", 640, 360, 0)
    assert seen.frames >= 15
    assert seen.bytes > 10_000
    assert seen.delay_milliseconds is not None
    assert seen.delay_milliseconds[1] < 2000


def test_a_new_scene_is_seen(twin: Twin) -> None:
    twin.client.put_file(CONTEXT, video.SCENE, b"00000042\n")
    try:
        assert twin.watch(twin.live(CONTEXT)).nonces[0] == 0x42
    finally:
        twin.client.put_file(CONTEXT, video.SCENE, f"{SCENES[CONTEXT]:08x}\n".encode())


def test_a_camera_without_a_scene_shows_no_code(twin: Twin) -> None:
    twin.client.put_file(NARROW, video.SCENE, b"nothing\n")
    try:
        seen = twin.watch(twin.live(NARROW), frames=25)
    finally:
        twin.client.put_file(NARROW, video.SCENE, f"{SCENES[NARROW]:08x}\n".encode())
    assert seen.unreadable > 0
    assert set(seen.nonces) <= {SCENES[NARROW]}


def test_the_operator_sees_live_from_the_recorder(twin: Twin) -> None:
    seen = twin.watch(twin.stream(RECORDER, "cam-narrow", 322), at=OPERATOR)
    assert (seen.refusal, seen.nonces) == (None, (SCENES[NARROW],))


def test_a_camera_serves_a_third_session(twin: Twin) -> None:
    # The recorder and the gateway hold one each; the gateway's own login opens one more.
    credential, authority = str(video.CREDENTIALS / "cam-context"), str(video.AUTHORITY)
    command = ["env", "PYTHONPATH=/opt/twin", "python3", "-m", "node.play", "rtsps://10.56.1.82:322/live"]
    command += ["--credential", credential, "--authority", authority, "--frames", "30"]

    def sessions() -> int:
        return len(twin.text(CONTEXT, "ss", "-Htn", "state", "established", "sport = :322").splitlines())

    with ThreadPoolExecutor() as pool:
        playing = pool.submit(twin.text, GATEWAY, *command)
        assert until(lambda: sessions() == 3, 10)
        assert json.loads(playing.result())["nonces"] == {f"{SCENES[CONTEXT]:08x}": 30}


def test_another_authority_is_not_believed(twin: Twin) -> None:
    twin.client.put_file(STATION, "/run/tunnel.pem", twin.credentials.tunnel_authority)
    other = replace(twin.live(CONTEXT), authority=PurePosixPath("/run/tunnel.pem"))
    assert twin.watch(other).refusal is Refusal.CERTIFICATE


def test_a_wrong_password_is_not_accepted(twin: Twin) -> None:
    stream = twin.stream(RECORDER, "cam-context", 322)
    twin.client.put_file(STATION, stream.credential, b"operator.roussy-le-village:wrong\n", 0o600)
    assert twin.watch(stream).refusal is Refusal.AUTHENTICATION


def test_what_is_not_there_is_refused(twin: Twin) -> None:
    assert twin.watch(replace(twin.live(CONTEXT), mount="playback")).refusal is Refusal.REFUSED


def test_where_nobody_listens_nothing_is_reached(twin: Twin) -> None:
    assert twin.watch(replace(twin.live(CONTEXT), port=8323)).refusal is Refusal.UNREACHABLE


def test_no_server_speaks_in_clear(twin: Twin) -> None:
    for server, port in ((CONTEXT, 322), (GATEWAY, 8322), (RECORDER, 322)):
        with (
            contextlib.closing(twin.client.dialer(STATION)) as dialer,
            dialer.dial(str(twin.address(server)), port, timeout=5) as connection,
        ):
            connection.sendall(b"OPTIONS rtsp://camera/live RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            connection.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                assert b"RTSP" not in connection.recv(4096)


def test_the_gateway_recovers_from_a_camera_that_restarts(twin: Twin) -> None:
    twin.client.stop(CONTEXT, "camera")
    try:
        assert until(lambda: twin.watch(twin.live(CONTEXT), seconds=2).refusal is not None, 15)
        # The other camera does not notice.
        assert twin.watch(twin.live(NARROW)).nonces == (SCENES[NARROW],)
    finally:
        twin.client.start(CONTEXT, "camera")
    assert until(lambda: twin.watch(twin.live(CONTEXT)).nonces == (SCENES[CONTEXT],), 20)


def test_a_camera_under_another_authority_is_given_no_password(twin: Twin) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    validity = Validity(now - timedelta(hours=1), now + timedelta(days=1))
    impostor = make_subordinate(make_root("impostor", validity, serial=1), Purpose.TLS, validity, serial=2)
    key = new_key()
    subject = Subject(NARROW.host_name, (twin.address(NARROW),))
    certificate = issue(impostor, subject, key.public_key(), validity, serial=3)
    folder = PurePosixPath("/etc/cloison/camera")
    twin.client.put_file(NARROW, folder / "certificate.pem", certificate_pem(certificate))
    twin.client.put_file(NARROW, folder / "key.pem", key_pem(key), 0o600)
    twin.client.stop(NARROW, "camera")
    twin.client.start(NARROW, "camera")
    try:
        assert until(lambda: twin.watch(twin.live(NARROW), seconds=2).refusal is Refusal.REFUSED, 15)
        # GStreamer writes lines of its own in between.
        said = [
            line for line in twin.text(GATEWAY, "cat", "/var/log/relay.log").splitlines() if line.startswith("rtsps:")
        ]
        assert "trying again" in said[-1]
    finally:
        secrets = twin.credentials.hosts[NARROW]
        twin.client.put_file(NARROW, folder / "certificate.pem", secrets.tls_certificate)
        twin.client.put_file(NARROW, folder / "key.pem", secrets.tls_key, 0o600)
        twin.client.stop(NARROW, "camera")
        twin.client.start(NARROW, "camera")
    assert until(lambda: twin.watch(twin.live(NARROW)).nonces == (SCENES[NARROW],), 20)


# --- recordings and pages -------------------------------------------------------------------------------------------


def test_the_operator_fetches_a_recording_and_nobody_without_a_login(twin: Twin) -> None:
    user = str(OPERATOR.host_name)
    login = (user, twin.credentials.passwords[RECORDER][user])

    def segments() -> list[str]:
        page = twin.get(RECORDER, "/cam-narrow/", at=OPERATOR, login=login).decode()
        return re.findall(r'href="(\d{8}T\d{6}\.mp4)"', page)

    assert until(lambda: bool(segments()), 30)
    answer = twin.get(RECORDER, f"/cam-narrow/{segments()[0]}", at=OPERATOR, login=login)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body[4:8] == b"ftyp"
    for wrong in (None, (user, "wrong")):
        assert twin.get(RECORDER, "/cam-narrow/", at=OPERATOR, login=wrong).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("server", [CONTEXT, UPS])
def test_an_administration_page_asks_who_it_is(twin: Twin, server: EquipmentName) -> None:
    ((user, password),) = (
        (user, password)
        for user, password in twin.credentials.passwords[server].items()
        if user.startswith("administration-station")
    )
    page = twin.get(server, "/", at=OPERATOR, login=(user, password))
    assert page.startswith(b"HTTP/1.1 200")
    assert f"<h1>{server}</h1>".encode() in page
    assert twin.get(server, "/", at=OPERATOR, login=None).startswith(b"HTTP/1.1 401")


# --- logs, time, administration -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sender", [GATEWAY, SWITCH])
def test_a_message_arrives_at_the_collector(twin: Twin, sender: EquipmentName) -> None:
    marker = f"marker-{sender.equipment}"
    twin.text(sender, "logger", marker)
    collected = f"/var/log/collected/{twin.address(sender)}.log"
    assert until(lambda: marker in twin.client.run(COLLECTOR, ["cat", collected]).text, 30)


def test_a_message_sent_while_the_collector_is_down_arrives_later(twin: Twin) -> None:
    twin.client.stop(COLLECTOR, "rsyslogd")
    twin.text(RECORDER, "logger", "marker-meanwhile")
    twin.client.start(COLLECTOR, "rsyslogd")
    collected = f"/var/log/collected/{twin.address(RECORDER)}.log"
    # It takes another message to notice that the connection had gone.
    twin.text(RECORDER, "logger", "marker-afterwards")
    assert until(lambda: "marker-afterwards" in twin.client.run(COLLECTOR, ["cat", collected]).text, 30)


@pytest.mark.parametrize(
    ("client", "server"), [(FIREWALL, "10.56.3.19"), (SWITCH, "10.56.1.1"), (CONTEXT, "10.56.1.81")]
)
def test_time_comes_from_where_it_should(twin: Twin, client: EquipmentName, server: str) -> None:
    assert until(lambda: f"^* {server}" in twin.text(client, "chronyc", "-n", "sources"), 30)


def test_an_engineer_logs_in_by_key_over_a_pinned_host_key(twin: Twin) -> None:
    with contextlib.closing(twin.client.dialer(OPERATOR)) as dialer:
        runner = SshRunner(
            place=str(SWITCH),
            address=str(twin.address(SWITCH)),
            port=22,
            username="root",
            key_file=twin.client.folder.path / "keys" / "engineer",
            host_key=twin.credentials.hosts[SWITCH].ssh_fingerprint,
            dialer=dialer,
        )
        with contextlib.closing(runner):
            assert runner.run(["ovs-vsctl", "show"]).exit_status == 0
            assert runner.run(["hostname"]).text == "core-switch\n"


LISTENING = {
    CONTEXT: "tcp 10.56.1.82:322 tcp 10.56.1.82:443",
    GATEWAY: "tcp 10.56.1.50:22 tcp 10.56.1.50:8322",
    RECORDER: "tcp 10.56.1.34:22 tcp 10.56.1.34:322 tcp 10.56.1.34:443",
    OPERATOR: "tcp 10.56.1.66:22",
    UPS: "tcp 10.56.1.4:443",
    FIREWALL: "tcp 10.56.1.1:22 tcp 192.168.56.9:22 udp 0.0.0.0:123 udp 0.0.0.0:4500 udp 0.0.0.0:500",
    SWITCH: "tcp 10.56.1.3:22 tcp 192.168.56.5:22",
    STATION: "tcp 10.56.2.2:22",
    COLLECTOR: "tcp 10.56.3.18:22 tcp 10.56.3.18:6514",
    CLOCK: "tcp 10.56.3.19:22 udp 10.56.3.19:123",
}


@pytest.mark.parametrize("name", LISTENING, ids=str)
def test_nothing_listens_that_should_not(twin: Twin, name: EquipmentName) -> None:
    def listening() -> str:
        lines = [line.split() for line in twin.text(name, "ss", "-Hltun").splitlines()]
        return " ".join(sorted(f"{line[0]} {line[4]}" for line in lines))

    # A client of time has a socket for the moment between question and answer.
    assert until(lambda: listening() == LISTENING[name], 10), listening()


# --- the key of a tunnel ---------------------------------------------------------------------------------------------


def test_the_key_of_a_tunnel_outlasts_a_power_cut(twin: Twin) -> None:
    certify(twin.client, FIREWALL, timedelta(days=90))
    name = str(FIREWALL.host_name)
    files = [f"/etc/swanctl/private/{name}.key", f"/etc/swanctl/x509/{name}.crt", "/etc/swanctl/x509ca/tunnel.crt"]
    before = twin.text(FIREWALL, "sha256sum", *files)
    twin.client.reboot(FIREWALL)
    assert twin.text(FIREWALL, "sha256sum", *files) == before
    assert twin.text(FIREWALL, "stat", "-c", "%a %U", files[0]) == "600 root\n"
    assert twin.text(FIREWALL, "openssl", "verify", "-partial_chain", "-CAfile", files[2], files[1]).endswith("OK\n")
