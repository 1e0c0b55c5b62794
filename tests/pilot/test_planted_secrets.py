"""What hands did to the twin is drift, named and repaired; and no secret is in anything that all of it wrote.

The secrets are those of the twin (every password, every private key) and some planted on its devices by hand. They are
looked for in everything below the workspace but the twin's own credentials, in what the commands printed, and in the
arguments and the environment of every process that ran meanwhile.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.pilot.conftest import Pilot

    from cloison.transport.base import CommandResult

pytestmark = pytest.mark.lab

FIREWALL, CORE = "roussy-le-village/firewall", "roussy-le-village/core-switch"
PLANTED = "Canary-7Jq2wX9vRb4K-planted"
KEPT = {"credentials.json", "keys"}
"""Of a twin's own folder: where its secrets belong."""
SAMPLE_SECONDS = 0.05

BY_HAND_ON_THE_SWITCH = f"""
ovs-vsctl -- --id=@p get port p3 -- --id=@m create mirror name=spy select-all=true output-port=@p \
  -- set bridge br0 mirrors=@m
ovs-vsctl add-port br0 out -- set interface out type=gre options:remote_ip=192.0.2.9 options:psk={PLANTED}
"""
BY_HAND_ON_THE_FIREWALL = f"""
nft add table ip nat
nft insert rule inet cloison to_firewall tcp dport 23 counter drop
cp -p /run/cloison/swanctl.conf /run/before
printf '%s\\n' 'secrets {{' 'ike {{' 'secret = {PLANTED}' '}}' '}}' >>/run/cloison/swanctl.conf
"""
UNPLANTED_ON_THE_SWITCH = "ovs-vsctl del-port br0 out"
UNPLANTED_ON_THE_FIREWALL = "nft delete table ip nat; mv /run/before /run/cloison/swanctl.conf"


def secrets_of(credentials: dict[str, object]) -> frozenset[bytes]:
    """Return every password and every line of every private key of a twin, as they may turn up."""
    found: set[bytes] = set()

    def walk(name: str, value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk("password" if name in {"passwords", "password"} else str(key), inner)
        elif isinstance(value, str) and name == "password":
            found.add(value.encode())
        elif isinstance(value, str) and name.endswith("_key"):
            lines = base64.b64decode(value).splitlines()
            found.update(line for line in lines if len(line) > 30 and not line.startswith(b"-----"))

    walk("", credentials)
    return frozenset(found | {base64.b64encode(secret).rstrip(b"=") for secret in found})


def found_in(folder: Path, secrets: Iterable[bytes]) -> list[str]:
    """Return the files below a workspace that hold one of the secrets, but for where they belong; links are no file."""
    wanted = list(secrets)
    found = []
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder).parts
        if below[:2] == (".cloison", "lab") and len(below) > 3 and below[3] in KEPT:
            continue
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            found += [str(path.relative_to(folder)) for secret in wanted if secret in content][:1]
    return found


@dataclass
class Watch:
    """Runs commands, and keeps what they printed and which processes ran meanwhile with which words."""

    pilot: Pilot
    secrets: frozenset[bytes]
    printed: list[tuple[str, bytes]] = field(default_factory=list)
    leaks: set[str] = field(default_factory=set)
    processes: set[tuple[str, bytes]] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)
    looking: threading.Lock = field(default_factory=threading.Lock)

    def by_hand(self, node: str, script: str) -> None:
        """Do something inside a node while nobody looks at processes: hands type what they plant."""
        with self.looking:
            self.pilot.inside(node, script)

    def run(self, *arguments: str) -> CommandResult:
        """Run the command line; its output is searched at the end."""
        done = self.pilot.cloison(*arguments)
        self.printed.append((" ".join(arguments), done.stdout + done.stderr))
        return done

    def sample(self) -> None:
        """Look at every process of the machine until it is over, at the arguments and the environment of each."""
        while not self.over.wait(SAMPLE_SECONDS):
            with self.looking:
                for process in Path("/proc").iterdir():
                    if process.name.isdigit():
                        self.look_at(process)

    def look_at(self, process: Path) -> None:
        """Look once at the arguments and the environment of a process, by its folder in /proc."""
        try:
            arguments = (process / "cmdline").read_bytes()
            if (process.name, arguments) in self.processes:
                return
            environment = (process / "environ").read_bytes()
        except OSError:  # it has ended
            return
        self.processes.add((process.name, arguments))
        if any(secret in arguments or secret in environment for secret in self.secrets):
            self.leaks.add(f"a process: {arguments[:60]!r}")

    def found(self) -> list[str]:
        """Return every place where a secret is."""
        spoken = [name for name, said in self.printed if any(secret in said for secret in self.secrets)]
        return [*found_in(self.pilot.root, self.secrets), *spoken, *sorted(self.leaks)]


@pytest.fixture(scope="module")
def watch(applied: Pilot) -> Iterator[Watch]:
    (file,) = applied.root.glob(".cloison/lab/*/credentials.json")
    secrets = secrets_of(json.loads(file.read_bytes())) | {PLANTED.encode()}
    watch = Watch(applied, secrets)
    sampler = threading.Thread(target=watch.sample)
    sampler.start()
    yield watch
    watch.over.set()
    sampler.join()


def test_what_hands_did_is_drift_and_named(watch: Watch) -> None:
    watch.by_hand(CORE, BY_HAND_ON_THE_SWITCH)
    watch.by_hand(FIREWALL, BY_HAND_ON_THE_FIREWALL)
    done = watch.run("drift", "--site", "roussy-le-village", "--json")
    assert done.exit_status == 1, done.stderr
    found = json.loads(done.stdout)
    hand_made = "chain to_firewall: tcp dport 23 counter drop"
    assert [one["running"] for one in found["departures"] if one["kind"] == "rule"] == [hand_made]
    named = {(one["device"], one["section"], one["kind"], one["how"]) for one in found["departures"]}
    assert named >= {
        (CORE, "switch", "mirror", "foreign"),
        (CORE, "switch", "tunnel-port", "foreign"),
        (FIREWALL, "filter", "table", "foreign"),
        (FIREWALL, "filter", "rule", "foreign"),
        (FIREWALL, "tunnels", "section", "foreign"),
        (FIREWALL, "tunnels", "file", "changed"),
    }
    assert (found["devices"], found["unread"], found["under_way"]) == (3, [], [])


def test_a_secret_that_was_planted_is_neither_planned_nor_put_back(watch: Watch) -> None:
    assert watch.run("plan").exit_status in {0, 3}
    refused = watch.run("apply", "--yes")
    assert refused.exit_status != 0
    assert b"holds a secret, which nothing here keeps" in refused.stderr + refused.stdout


def test_what_is_left_is_repaired_and_then_there_is_none(watch: Watch) -> None:
    watch.by_hand(CORE, UNPLANTED_ON_THE_SWITCH)
    watch.by_hand(FIREWALL, UNPLANTED_ON_THE_FIREWALL)
    repaired = watch.run("apply", "--yes")
    assert repaired.exit_status == 0, repaired.stderr[-2000:]
    assert watch.run("drift").text.splitlines()[-1].startswith("drift: none; 7 devices, ")


def test_no_secret_is_in_anything_that_was_written_said_or_run(watch: Watch, applied: Pilot, tmp_path: Path) -> None:
    broken = tmp_path / "key"
    (key,) = applied.root.glob(".cloison/lab/*/keys/engineer")
    broken.write_bytes(key.read_bytes()[:-60])
    assert watch.run("prove").exit_status == 0
    assert watch.run("audit", "--only", "video/live/*").exit_status == 0
    assert watch.run("trust", FIREWALL).exit_status == 0
    assert watch.run("plan", "--key", str(broken)).exit_status == 3
    assert watch.run("apply", "--plan", "nonsense").exit_status == 2
    watch.over.set()
    assert len(watch.secrets) > 100
    assert len(watch.processes) > 100
    assert list(applied.root.glob("runs/*/audit.json"))
    assert list(applied.root.glob(".cloison/changes/**/journal.jsonl"))
    assert watch.found() == []


def test_a_secret_that_is_written_is_found(watch: Watch, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(watch.pilot.root / ".cloison" / "changes", copy / "changes")
    assert found_in(copy, watch.secrets) == []
    journal = next(copy.rglob("journal.jsonl"))
    for secret in sorted(watch.secrets)[:3]:
        journal.write_bytes(b'{"said": "' + secret + b'"}\n')
        assert found_in(copy, watch.secrets) == [str(journal.relative_to(copy))]
    seen = Watch(watch.pilot, watch.secrets, printed=[("plan", b"x " + PLANTED.encode())])
    assert seen.found() == ["plan"]
    spoilt = Watch(watch.pilot, frozenset({Path("/proc/self/cmdline").read_bytes()[:20]}))
    spoilt.look_at(Path("/proc", str(os.getpid())))
    assert len(spoilt.leaks) == 1
