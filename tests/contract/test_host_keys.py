"""Another host key stops every command, and `trust` shows it: a real sshd at every address of the plan."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.intent.load import load
from cloison.intent.pinning import pin
from cloison.model import HostKeyFingerprint
from cloison.workspace import Network, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.model import EquipmentName

pytestmark = pytest.mark.lab
ROOT = Path(__file__).parents[2]
COMMAND = str(Path(sys.executable).with_name("cloison"))
DEVICE = "roussy-le-village/core-switch"
SITE_FILE = "inventory/sites/roussy-le-village.yaml"

SERVE = """
mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd
ip link set lo up
for address; do ip address add "$address/32" dev lo; done
echo ready
exec /usr/sbin/sshd -D -e -f "$0" 2>"$0.log"
"""


@dataclass(frozen=True)
class Impostor:
    """Every device of the plan is one and the same sshd, in a network that nothing else is in."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def shown(self) -> str:
        """The fingerprint of its key, in the words of ssh-keygen."""
        printed = subprocess.run(["ssh-keygen", "-lf", self.folder / "host.pub"], capture_output=True, check=True)
        return printed.stdout.decode().split()[1]

    @property
    def log(self) -> str:
        """What sshd wrote."""
        written = self.folder / "sshd_config.log"
        return written.read_text() if written.exists() else ""

    def cloison(self, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line where this network is."""
        key = {"CLOISON_KEY": str(self.folder / "engineer"), "COLUMNS": "200"}
        return subprocess.run(
            ["nsenter", f"--net=/proc/{self.process.pid}/ns/net", COMMAND, "--root", str(root), *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, **key},
            timeout=120,
        )


@pytest.fixture(scope="module")
def impostor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Impostor]:
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "engineer"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    configuration = folder / "sshd_config"
    configuration.write_text(
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/engineer.pub\nStrictModes no\nUsePAM no\nPidFile none\n"
        "LogLevel VERBOSE\nMaxStartups 100\n"
    )
    devices = load(ROOT).devices
    addresses = {str(device.address) for device in devices}
    addresses |= {str(device.local_management[0].ip) for device in devices if device.local_management}
    command = ["unshare", "--net", "--mount", "sh", "-ec", SERVE, str(configuration), *sorted(addresses)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        made = Impostor(folder, process)
        try:
            while "Server listening" not in made.log:
                assert process.poll() is None
            yield made
        finally:
            process.kill()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Return a copy of the shipped workspace, in which no key is pinned."""
    for folder in ("inventory", "templates", "playbooks", "validators"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pyproject.toml").write_text('[tool.cloison]\nnetwork = "live"\n')
    return Workspace(tmp_path, Network.LIVE)


def pin_wrong(workspace: Workspace, *, but: str = "") -> dict[EquipmentName, HostKeyFingerprint]:
    """Pin another key for each device, all but one."""
    devices = [device.name for device in load(workspace, Network.LAB).devices if device.name != but]
    keys = {name: HostKeyFingerprint("SHA256:" + f"{number:0>43}") for number, name in enumerate(devices)}
    for name, key in keys.items():
        pin(workspace, name, key).write(workspace)
    return keys


COMMANDS = [
    ("plan",),
    ("apply", "--yes"),
    ("drift",),
    ("play", "audit"),
    ("prove",),
    ("matrix", "--running"),
    ("audit", "--only", "intent/running/*"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_stops_loudly_and_says_what_to_do(
    impostor: Impostor, workspace: Workspace, command: tuple[str, ...]
) -> None:
    pinned = pin_wrong(workspace)
    done = impostor.cloison(workspace.root, *command)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 3, said
    for device, key in pinned.items():
        assert f"the host key is {impostor.shown} (ssh-ed25519), expected {key} as pinned" in said
        assert f"`cloison trust {device}`" in said
    assert "Accepted" not in impostor.log
    assert "publickey" not in impostor.log


def test_trust_shows_both_keys_and_the_difference_and_changes_nothing(impostor: Impostor, workspace: Workspace) -> None:
    key = next(key for device, key in pin_wrong(workspace).items() if device == DEVICE)
    before = (workspace.root / SITE_FILE).read_text()
    done = impostor.cloison(workspace.root, "trust", DEVICE)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(f"{DEVICE} at 192.168.56.5, via local\n  shown   {impostor.shown} (ssh-ed25519)\n")
    assert f"  pinned  {key}\nNOT THE PINNED KEY\n" in done.stdout
    assert f"--- a/{SITE_FILE}\n+++ b/{SITE_FILE}\n" in done.stdout
    assert f'+  core-switch: {{serial: CSW-0001, host_key: "{impostor.shown}"}}\n' in done.stdout
    assert (workspace.root / SITE_FILE).read_text() == before


def test_first_contact_is_shown_and_written_for_one_device_alone(impostor: Impostor, workspace: Workspace) -> None:
    first = impostor.cloison(workspace.root, "trust", DEVICE, "--via", "tunnel", "--json")
    assert first.returncode == 1, first.stdout
    document = json.loads(first.stdout)
    assert (document["pinned"], document["equal"], document["written"]) == (None, False, False)
    assert (document["address"], document["file"]) == ("10.56.1.3", SITE_FILE)
    assert document["shown"] == {"type": "ssh-ed25519", "fingerprint": impostor.shown}
    assert f'+  core-switch: {{serial: CSW-0001, host_key: "{impostor.shown}"}}\n' in document["diff"]
    written = impostor.cloison(workspace.root, "trust", DEVICE, "--write")
    assert written.returncode == 0, written.stderr
    assert "NO KEY IS PINNED" in written.stdout
    again = impostor.cloison(workspace.root, "trust", DEVICE)
    assert (again.returncode, "the device shows the pinned key" in again.stdout) == (0, True)
    other = impostor.cloison(workspace.root, "trust", "roussy-le-village/firewall", "--write")
    assert other.returncode == 2
    assert f"which is pinned for {DEVICE}: one of the two is not what it is called" in other.stderr


def test_a_device_that_does_not_answer_is_an_error(workspace: Workspace, tmp_path: Path) -> None:
    environment = {**os.environ, "CLOISON_KEY": str(tmp_path)}
    done = subprocess.run(
        ["unshare", "--net", COMMAND, "--root", str(workspace.root), "trust", DEVICE],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert done.returncode == 3
    assert done.stderr.startswith(f"cloison: {DEVICE}: not reachable from ")
