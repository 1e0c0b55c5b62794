"""Tap and shell, a layer of programs that only nodes see, and the whole pilot."""

from __future__ import annotations

import os
import pty
import signal
import struct
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.errors import InputError
from cloison.intent.load import load
from cloison.lab import verbs
from cloison.lab.client import LabClient
from cloison.lab.equip import order
from cloison.model import EquipmentName

if TYPE_CHECKING:
    from tests.lab.conftest import Bench

pytestmark = pytest.mark.lab

LEFT, RIGHT = EquipmentName("here/left"), EquipmentName("here/right")
WORKSPACE = Path(__file__).parents[2]
TAP = textwrap.dedent("""
    import sys
    from pathlib import Path
    from cloison.lab import verbs
    root, name, link = sys.argv[1:]
    sys.exit(verbs.tap(Path(root), name, link))
""")
SHELL = TAP.replace("verbs.tap(Path(root), name, link)", "verbs.shell(Path(root), name, link, 'dumb')")


def test_a_tap_is_a_capture_of_one_port(bench: Bench) -> None:
    client = bench.up()
    tap = [sys.executable, "-c", TAP, str(bench.root), client.name, "middle:p1"]
    with subprocess.Popen(tap, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert b"listening on p1" in running.stderr.readline()
        client.run(LEFT, ["ping", "-c3", "-i0.2", "10.0.0.1"])
        heading = running.stdout.read(24)
        captured = os.read(running.stdout.fileno(), 65_536)
        verbs.down(bench.root, client.name)
        assert running.wait(5) != 0  # it ends with the twin
    assert struct.unpack_from("<IHH", heading) == (0xA1B2C3D4, 2, 4)  # a pcap file, version 2.4
    assert struct.unpack_from("<I", heading, 20) == (1,)  # of Ethernet frames
    assert len(captured) > 16 + 14


def test_a_tap_ends_when_it_is_interrupted(bench: Bench) -> None:
    client = bench.up()
    tap = [sys.executable, "-c", TAP, str(bench.root), client.name, "middle:p1"]
    with subprocess.Popen(tap, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as running:
        assert running.stderr is not None
        assert b"listening on p1" in running.stderr.readline()
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        assert running.wait(5) in {0, 128 + signal.SIGINT}


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("middle", "expected <site>"),
        ("middle:P 1", "expected <site>"),
        ("x:p1", "no node"),
        ("middle:p9", "no port p9; expected one of: .*p1"),
    ],
)
def test_a_tap_of_nothing_is_refused(bench: Bench, link: str, wrong: str) -> None:
    client = bench.up()
    with pytest.raises(InputError, match=wrong):
        verbs.tap(bench.root, client.name, link)


def test_a_shell_is_inside_and_has_job_control(bench: Bench) -> None:
    client = bench.up()
    ours, theirs = pty.openpty()
    # setsid gives it the terminal as a login would.
    shell = ["setsid", "--ctty", "--wait", sys.executable, "-c", SHELL, str(bench.root), client.name, "left"]
    with subprocess.Popen(shell, stdin=theirs, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        os.write(ours, b"hostname; set -o | grep monitor; exit 5\n")
        said = b""
        while True:
            try:
                said += os.read(ours, 4096)
            except OSError:  # EIO: the last process on the terminal has ended
                break
        assert running.wait(10) == 5
    os.close(ours)
    assert b"\nleft\r" in said
    assert b"monitor        \ton" in said


def test_programs_of_the_twins_own_root_are_seen_by_nodes_alone(bench: Bench) -> None:
    programs = bench.root / ".cloison" / "root" / "usr" / "bin"
    programs.mkdir(parents=True)
    (programs / "only-in-twins").write_text("#!/bin/sh\necho here\n", encoding="ascii")
    (programs / "only-in-twins").chmod(0o755)

    client = bench.up()

    assert client.run(LEFT, ["only-in-twins"]).text == "here\n"
    assert client.run(LEFT, ["ip", "-V"]).exit_status == 0
    assert client.run(LEFT, ["touch", "/usr/bin/planted"]).exit_status != 0
    assert client.run(LEFT, ["ls", "-A", "/usr/local"]).stdout == b""
    assert not Path("/usr/bin/only-in-twins").exists()


def test_the_pilot_comes_up_whole_and_leaves_nothing(bench: Bench) -> None:
    intent = load(WORKSPACE)
    name = bench.new_name()
    verbs.up(bench.root, name, lambda: order(intent, bench.root, name), lambda _: None)

    client = LabClient(bench.root, name)
    status = client.status()
    assert status.failures == ()
    assert {node.node for node in status.nodes} > set(intent.equipment_by_name)
    for device in intent.devices:
        assert device.local_management is not None
        address = str(device.local_management[0].ip)
        client.dialer(f"{device.name.site}/technician").dial(address, 22, timeout=2).close()
    watch = bench.watch(client)
    verbs.down(bench.root, name)
    assert watch.remains(within=2.0) == []
