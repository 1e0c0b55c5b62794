"""The SSH runner against a real sshd, one process a connection, at the other end of a socket pair."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import paramiko
import pytest

from cloison.errors import HostKeyError, TransportError, TransportTimeout
from cloison.model import HostKeyFingerprint
from cloison.transport import ssh
from cloison.transport.ssh import SshRunner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IN_ITS_OWN_RUN = 'mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec "$0" "$@"'
"""sshd wants a folder below /run that only its service would make."""
WRONG = HostKeyFingerprint("SHA256:" + "A" * 43)


class InetdDialer:
    """Gives each connection an `sshd -i` of its own: no port is opened anywhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dialled = 0
        self.servers: list[subprocess.Popen[bytes]] = []

    def dial(self, address: str, port: int, *, timeout: float) -> socket.socket:
        """Return a socket with an sshd behind it."""
        del address, port
        ours, theirs = socket.socketpair()
        ours.settimeout(timeout)
        self.dialled += 1
        with theirs:
            configuration = str(self.folder / "sshd_config")
            command = [
                "unshare",
                "--mount",
                "sh",
                "-c",
                IN_ITS_OWN_RUN,
                "/usr/sbin/sshd",
                "-i",
                "-e",
                "-f",
                configuration,
            ]
            with (self.folder / "sshd.log").open("ab") as log:
                self.servers.append(
                    subprocess.Popen(command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=log)
                )
        return ours

    def stop(self) -> None:
        """Kill every server."""
        for server in self.servers:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "engineer", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "authorized").write_bytes((folder / "engineer.pub").read_bytes())
    (folder / "sshd_config").write_text(
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n"
    )
    return folder


@pytest.fixture
def dialer(folder: Path) -> Iterator[InetdDialer]:
    dialer = InetdDialer(folder)
    yield dialer
    dialer.stop()


def runner_over(dialer: InetdDialer, key: str = "engineer", pinned: HostKeyFingerprint | None = None) -> SshRunner:
    shown = ssh.fingerprint(paramiko.Ed25519Key.from_private_key_file(str(dialer.folder / "host")))
    return SshRunner(
        "site/device",
        "192.0.2.1",
        22,
        "root",
        key_file=dialer.folder / key,
        host_key=pinned or shown,
        dialer=dialer,
        connect_timeout=10.0,
    )


@pytest.fixture
def runner(dialer: InetdDialer) -> Iterator[SshRunner]:
    with contextlib.closing(runner_over(dialer)) as runner:
        yield runner


def test_fingerprint_is_the_one_ssh_keygen_prints(folder: Path) -> None:
    printed = subprocess.run(["ssh-keygen", "-lf", folder / "host.pub"], capture_output=True, check=True, text=True)
    key = paramiko.Ed25519Key.from_private_key_file(str(folder / "host"))
    assert ssh.fingerprint(key) == printed.stdout.split()[1]


def test_status_and_both_outputs_come_back_byte_for_byte(runner: SshRunner) -> None:
    script = r"printf 'a\r\n\033[31m\000end'; printf 'x\ny' >&2; exit 7"
    result = runner.run(["sh", "-c", script])
    assert (result.exit_status, result.stdout, result.stderr) == (7, b"a\r\n\x1b[31m\0end", b"x\ny")


def test_an_argument_stays_one_argument(runner: SshRunner) -> None:
    hostile = ["$HOME", "a b", "'", '"; touch /nonexistent/x', "é\n", "*", ""]
    result = runner.run(["printf", "%s|", *hostile])
    assert result.stdout == ("|".join(hostile) + "|").encode()


def test_large_input_and_output_pass_at_the_same_time(runner: SshRunner) -> None:
    payload = bytes(range(256)) * 8192
    result = runner.run(["tee", "/dev/stderr"], stdin=payload)
    assert result.stdout == payload
    assert result.stderr == payload


def test_input_ends(runner: SshRunner) -> None:
    assert runner.run(["cat"]).stdout == b""
    assert runner.run(["wc", "-c"], stdin=b"12345").stdout == b"5\n"


def test_a_command_that_reads_no_input_is_no_error(runner: SshRunner) -> None:
    assert runner.run(["true"], stdin=b"x" * 4_000_000).exit_status == 0


def test_time_limit_holds_and_leaves_the_connection_usable(runner: SshRunner) -> None:
    started = time.monotonic()
    with pytest.raises(TransportTimeout, match=r"site/device: sleep had not ended after 0\.3 s"):
        runner.run(["sleep", "30"], timeout=0.3)
    assert time.monotonic() - started < 5
    assert runner.run(["echo", "on"]).text == "on\n"


def test_endless_output_is_cut_off(runner: SshRunner) -> None:
    with pytest.raises(TransportError, match="the output passed 8388608 bytes"):
        runner.run(["yes"], timeout=60)


def test_a_killed_command_is_an_error_and_not_a_status(runner: SshRunner) -> None:
    with pytest.raises(TransportError, match="without an exit status"):
        runner.run(["sh", "-c", "kill -9 $$"])


def test_another_host_key_is_refused_before_authentication(dialer: InetdDialer, folder: Path) -> None:
    (folder / "sshd.log").write_bytes(b"")
    runner = runner_over(dialer, pinned=WRONG)
    with pytest.raises(HostKeyError, match=r"the host key is SHA256:.*expected SHA256:AAAA"):
        runner.run(["true"])
    runner.close()
    for server in dialer.servers:
        server.wait(10)
    log = (folder / "sshd.log").read_text()
    assert "preauth" in log
    assert "publickey" not in log


def test_an_unauthorised_key_is_refused(dialer: InetdDialer) -> None:
    runner = runner_over(dialer, key="stranger")
    with pytest.raises(TransportError, match="root is refused with the key"):
        runner.run(["true"])
    runner.close()


def test_an_unreadable_key_is_named(dialer: InetdDialer) -> None:
    runner = runner_over(dialer, key="missing")
    with pytest.raises(TransportError, match="missing: not a readable SSH private key"):
        runner.run(["true"])
    assert dialer.dialled == 0


def test_a_lost_connection_is_not_opened_again(runner: SshRunner, dialer: InetdDialer) -> None:
    runner.run(["true"])
    with pytest.raises(TransportError, match="lost"):
        runner.run(["sh", "-c", "kill -9 $PPID; exec sleep 30"], timeout=10)
    dialer.stop()
    with pytest.raises(TransportError, match="lost"):
        runner.run(["true"])
    assert dialer.dialled == 1


def test_commands_share_one_connection_and_run_side_by_side(runner: SshRunner, dialer: InetdDialer) -> None:
    texts: list[str] = []
    workers = [
        threading.Thread(target=lambda word=word: texts.append(runner.run(["echo", word]).text)) for word in "abcd"
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(texts) == ["a\n", "b\n", "c\n", "d\n"]
    assert dialer.dialled == 1


def test_a_closed_runner_stays_closed(runner: SshRunner) -> None:
    runner.run(["true"])
    runner.close()
    with pytest.raises(TransportError, match="closed"):
        runner.run(["true"])


@pytest.mark.parametrize("kind", [TransportError, TransportTimeout])
def test_a_host_that_cannot_be_dialled_is_named(dialer: InetdDialer, kind: type[TransportError]) -> None:
    class Cut:
        """Reaches nobody."""

        def dial(self, address: str, port: int, *, timeout: float) -> socket.socket:
            """Raise the error of who dials."""
            del timeout
            place = "site/station"
            raise kind(place, f"{address} port {port} did not answer")

    engineer = dialer.folder / "engineer"
    runner = SshRunner("site/device", "192.0.2.1", 22, "root", key_file=engineer, host_key=WRONG, dialer=Cut())
    with pytest.raises(
        kind, match=r"site/device: not reachable from site/station: 192\.0\.2\.1 port 22 did not answer"
    ):
        runner.run(["true"])


def test_a_host_that_speaks_no_ssh_is_an_error(dialer: InetdDialer) -> None:
    class Mute:
        """Answers with something that is not SSH."""

        def dial(self, address: str, port: int, *, timeout: float) -> socket.socket:
            """Return a socket whose other end says one line and closes."""
            del address, port, timeout
            ours, theirs = socket.socketpair()
            with theirs:
                theirs.sendall(b"HTTP/1.0 400\r\n\r\n")
            return ours

    runner = SshRunner(
        "site/device", "192.0.2.1", 22, "root", key_file=dialer.folder / "engineer", host_key=WRONG, dialer=Mute()
    )
    with pytest.raises(TransportError, match=r"no SSH at 192\.0\.2\.1 port 22"):
        runner.run(["true"])
