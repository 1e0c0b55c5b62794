"""A twin comes up, and when it ends, or anything of it is killed, nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.errors import LabError
from cloison.lab import verbs
from cloison.lab.client import LabClient
from cloison.lab.service import CommandReady, NodeServices, Service
from cloison.model import EquipmentName
from cloison.transport.namespace import entering

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.conftest import Bench, Watch

pytestmark = pytest.mark.lab

LEFT, RIGHT, MIDDLE = (EquipmentName(f"here/{name}") for name in ("left", "right", "middle"))
NEVER_READY = NodeServices(services=(Service("idle", ("/usr/bin/sleep", "60"), CommandReady(("/bin/false",), 60)),))
UP = textwrap.dedent("""
    import sys
    from pathlib import Path
    from cloison.lab import verbs
    from cloison.lab.order import LabOrder
    root, name, order = sys.argv[1:]
    verbs.up(Path(root), name, lambda: LabOrder.model_validate_json(order), lambda text: print(text, flush=True))
    print("up", flush=True)
""")


def host_links() -> list[str]:
    shown = subprocess.run(["ip", "-j", "link"], capture_output=True, check=True)
    return sorted(link["ifname"] for link in json.loads(shown.stdout))


def named_namespaces() -> list[str]:
    return sorted(path.name for path in Path("/run/netns").glob("*"))


def start_client(bench: Bench, name: str, given: dict[EquipmentName, NodeServices]) -> subprocess.Popen[bytes]:
    order = bench.order(given).model_dump_json()
    return subprocess.Popen([sys.executable, "-c", UP, str(bench.root), name, order], stdout=subprocess.PIPE)


def test_up_boots_nodes_and_joins_them(bench: Bench) -> None:
    client = bench.up()

    status = client.status()
    assert [node.node for node in status.nodes] == [LEFT, RIGHT, MIDDLE]
    assert status.failures == ()
    assert client.run(LEFT, ["ping", "-c1", "-W2", "10.0.1.2"]).exit_status == 0


def test_nothing_is_left_after_down(bench: Bench) -> None:
    links, named = host_links(), named_namespaces()
    client = bench.up()
    watch = bench.watch(client)
    assert len(watch.namespaces) >= 4 * 3
    assert host_links() == links

    assert verbs.down(bench.root, client.name)

    assert watch.remains(within=1.0) == []
    assert host_links() == links
    assert named_namespaces() == named
    assert not client.is_up()
    assert not verbs.down(bench.root, client.name)


def test_second_up_says_it_is_up_and_changes_nothing(bench: Bench) -> None:
    client = bench.up()
    daemon = bench.watch(client).daemon

    def refuse() -> None:
        pytest.fail("a twin that is up needs no order")

    report = verbs.up(bench.root, client.name, refuse, lambda _: None)  # type: ignore[arg-type]

    assert report.was_up
    assert bench.watch(client).daemon == daemon


def test_two_twins_with_the_same_addresses_live_side_by_side(bench: Bench) -> None:
    one, other = bench.up(), bench.up()
    one.put_file(LEFT, "/root/mine", b"one")
    one.run(RIGHT, ["ip", "address", "flush", "dev", "eth0"])

    assert other.run(LEFT, ["cat", "/root/mine"]).exit_status != 0
    assert one.run(LEFT, ["ping", "-c1", "-W1", "10.0.1.2"]).exit_status != 0
    assert other.run(LEFT, ["ping", "-c1", "-W2", "10.0.1.2"]).exit_status == 0
    verbs.down(bench.root, one.name)
    assert other.status().failures == ()
    assert other.run(LEFT, ["ping", "-c1", "-W2", "10.0.1.2"]).exit_status == 0


@pytest.mark.parametrize("victim", ["outer", "daemon"])
def test_nothing_is_left_when_a_process_of_the_twin_is_killed(bench: Bench, victim: str) -> None:
    client = bench.up(
        {LEFT: NodeServices(services=(Service("idle", ("/usr/bin/sleep", "60"), CommandReady(("/bin/true",), 5)),))}
    )
    watch = bench.watch(client)
    pid = {"outer": watch.outer, "daemon": watch.daemon}[victim]
    assert pid is not None

    os.kill(pid, signal.SIGKILL)

    assert watch.remains() == []
    assert not client.is_up()
    assert bench.up(name=client.name).status().failures == ()


def test_down_kills_a_daemon_that_does_not_answer(bench: Bench) -> None:
    client = bench.up()
    watch = bench.watch(client)
    assert watch.daemon is not None
    os.kill(watch.daemon, signal.SIGSTOP)

    assert verbs.down(bench.root, client.name)

    assert watch.remains(within=1.0) == []


@pytest.mark.parametrize("lines", [0, 1, 2])
def test_nothing_is_left_when_the_client_is_killed_during_up(
    bench: Bench, watching: Callable[[Path], Watch], lines: int
) -> None:
    name = bench.new_name()
    with start_client(bench, name, {LEFT: NEVER_READY}) as client:
        assert client.stdout is not None
        for _ in range(lines):
            assert client.stdout.readline()
        deadline = time.monotonic() + 10
        while (watch := watching(bench.folder(name))).namespace is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert watch.namespace is not None
        client.kill()

    assert watch.remains() == []
    assert not LabClient(bench.root, name).is_up()


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
def test_nothing_is_left_whenever_the_client_is_killed(
    bench: Bench, watching: Callable[[Path], Watch], delay: float
) -> None:
    name = bench.new_name()
    with start_client(bench, name, {LEFT: NEVER_READY}) as client:
        time.sleep(delay)
        watch = watching(bench.folder(name))
        client.kill()

    assert watch.remains() == []
    assert watching(bench.folder(name)).remains() == []


def test_the_twin_outlives_the_client_that_started_it(bench: Bench) -> None:
    name = bench.new_name()
    with start_client(bench, name, {}) as client:
        assert client.stdout is not None
        assert client.stdout.read().endswith(b"up\n")

    assert LabClient(bench.root, name).status().failures == ()


@pytest.mark.parametrize("victim", ["outer", "daemon"])
def test_up_fails_and_leaves_nothing_when_the_daemon_is_killed_during_it(
    bench: Bench, watching: Callable[[Path], Watch], victim: str
) -> None:
    name = bench.new_name()
    watches = []

    def kill(text: str) -> None:
        if "cables" in text:
            watch = watching(bench.folder(name))
            pid = {"outer": watch.outer, "daemon": watch.daemon}[victim]
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            watches.append(watch)

    with pytest.raises(LabError, match="ended before it was ready"):
        verbs.up(bench.root, name, lambda: bench.order({LEFT: NEVER_READY}), kill)

    assert [watch.remains() for watch in watches] == [[]]


def test_a_twin_that_cannot_come_up_leaves_nothing_and_can_be_tried_again(
    bench: Bench, watching: Callable[[Path], Watch]
) -> None:
    name = bench.new_name()
    broken = Service("broken", ("/bin/sh", "-c", "echo no such thing >&2; exit 3"), CommandReady(("/bin/false",), 5))

    with pytest.raises(LabError, match=r"here/left: service broken ended with status 3(.|\n)*no such thing"):
        bench.up({LEFT: NodeServices(services=(broken,))}, name)

    assert watching(bench.folder(name)).left() == []
    assert bench.up(name=name).status().failures == ()


def test_an_order_that_fails_leaves_nothing(bench: Bench, watching: Callable[[Path], Watch]) -> None:
    name = bench.new_name()

    def fail() -> None:
        message = "the intent is wrong"
        raise LabError(message)

    with pytest.raises(LabError, match="the intent is wrong"):
        verbs.up(bench.root, name, fail, lambda _: None)  # type: ignore[arg-type]

    assert watching(bench.folder(name)).left() == []


def test_processes_started_inside_end_with_the_twin(bench: Bench) -> None:
    client = bench.up()
    watch = bench.watch(client)
    with client.namespaces(LEFT) as namespaces, subprocess.Popen(entering(namespaces, ["sleep", "60"])) as inside:
        deadline = time.monotonic() + 5
        while "sleep 60" not in client.run(LEFT, ["ps", "-A", "-o", "args"]).text and time.monotonic() < deadline:
            time.sleep(0.01)
        verbs.down(bench.root, client.name)
        assert inside.wait(5) != 0
    assert watch.remains(within=1.0) == []


def test_without_a_twin_a_client_says_how_to_start_one(bench: Bench) -> None:
    with pytest.raises(LabError, match="is not up; start it with `cloison lab up"):
        LabClient(bench.root, "never-started").status()
