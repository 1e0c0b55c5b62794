"""The injuries that a person deals to a node of the twin, one command each, and how each is undone."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.errors import LabError
from cloison.lab.design import LabDesign, NodeRole
from cloison.lab.service import CommandReady, NodeServices, Service
from cloison.model import EquipmentName
from cloison.transport.local import LocalRunner

if TYPE_CHECKING:
    from tests.lab.conftest import Bench

    from cloison.lab.client import LabClient

pytestmark = pytest.mark.lab

LEFT, MIDDLE = EquipmentName("here/left"), EquipmentName("here/middle")
COMMAND = str(Path(sys.executable).with_name("cloison"))
# Counts in a file of its disk, ten times a second.
COUNTER = Service(
    "counter",
    ("/bin/sh", "-c", "n=0; while :; do n=$((n+1)); echo $n >/tmp/n.new && mv /tmp/n.new /tmp/n; sleep 0.1; done"),
    CommandReady(("/usr/bin/test", "-s", "/tmp/n"), 10),  # noqa: S108  a node's
)


@pytest.fixture
def client(bench: Bench) -> LabClient:
    return bench.up({LEFT: NodeServices(services=(COUNTER,))})


def lab(client: LabClient, *arguments: str, status: int = 0) -> str:
    root = str(client.folder.root)
    result = LocalRunner().run([COMMAND, "--root", root, "lab", *arguments, "--name", client.name], timeout=60)
    assert result.exit_status == status, (result.text, result.stderr)
    return result.text + result.stderr.decode()


def count(client: LabClient) -> int:
    return int(client.run(LEFT, ["cat", "/tmp/n"]).text)  # noqa: S108  a node's


def counts(client: LabClient) -> bool:
    """Watch it for longer than it needs to count on."""
    before = count(client)
    time.sleep(0.5)  # what is to be seen is that nothing happens
    return count(client) > before


def test_power_is_cut_and_comes_back_with_the_services(client: LabClient) -> None:
    client.run(LEFT, ["sh", "-c", "echo kept >/etc/kept"])
    assert "here/left is off" in lab(client, "power", "left", "off")
    assert "here/left is off" in client.status().failures
    with pytest.raises(LabError, match="`cloison lab power here/left on` boots it"):
        client.run(LEFT, ["true"])

    lab(client, "power", "left", "on")

    assert client.status().failures == ()
    assert counts(client)
    assert client.run(LEFT, ["cat", "/etc/kept"]).text == "kept\n"
    assert client.run(LEFT, ["ping", "-c1", "-W2", "10.0.0.1"]).exit_status == 0


def test_power_on_leaves_alone_what_has_power_and_cycle_does_not(client: LabClient) -> None:
    client.run(LEFT, ["touch", "/run/volatile"])
    lab(client, "power", "here/left", "on")
    assert client.run(LEFT, ["test", "-e", "/run/volatile"]).exit_status == 0
    lab(client, "power", "here/left", "cycle")
    assert client.run(LEFT, ["test", "-e", "/run/volatile"]).exit_status != 0
    assert client.status().failures == ()


def test_a_frozen_node_stands_still_and_goes_on(client: LabClient) -> None:
    client.freeze(LEFT)
    assert not counts(client)
    assert client.run(MIDDLE, ["ping", "-c1", "-W2", "10.0.0.2"]).exit_status == 0  # its kernel still answers
    client.thaw(LEFT)
    assert counts(client)


def test_freeze_thaws_once_the_time_has_passed_and_when_it_is_interrupted(client: LabClient) -> None:
    started = time.monotonic()
    assert "stood still for 1 s" in lab(client, "freeze", "left", "1")
    assert time.monotonic() - started > 1
    assert counts(client)
    words = [COMMAND, "--root", str(client.folder.root), "lab", "freeze", "left", "60", "--name", client.name]
    assert LocalRunner().run(["timeout", "--signal=INT", "3", *words], timeout=60).exit_status != 0
    assert counts(client)


def test_a_cable_is_cut_and_mended_from_either_end(client: LabClient) -> None:
    lab(client, "link", "here/middle:p1", "down")
    assert client.status().failures == ("here/middle:p1 is cut",)
    assert "NO-CARRIER" in client.run(LEFT, ["ip", "link", "show", "eth0"]).text
    lab(client, "link", "here/left:eth0", "up")
    assert client.status().failures == ()


def test_a_port_that_a_device_has_up_is_up_again_once_its_cable_is_mended(bench: Bench, design: LabDesign) -> None:
    """Between two devices, one end has to go down for the other to see no carrier."""
    switches = [
        node.model_copy(
            update={
                "role": NodeRole.SWITCH,
                "gateway": None,
                "interfaces": tuple(
                    one.model_copy(update={"up": False, "addresses": ()}) for one in node.interfaces[:1]
                ),
            }
        )
        for node in design.nodes[:1] + design.nodes[2:]
    ]
    bench.design = LabDesign(nodes=tuple(switches), links=design.links[:1])
    client = bench.up()
    for node, port in (("here/left", "eth0"), ("here/middle", "p1")):
        client.run(node, ["ip", "link", "set", port, "up"])
    for _ in range(2):
        lab(client, "link", "here/left:eth0", "down")
        lab(client, "link", "here/left:eth0", "down")
        assert "NO-CARRIER" in client.run(MIDDLE, ["ip", "link", "show", "p1"]).text
        lab(client, "link", "here/left:eth0", "up")
        for node, port in (("here/left", "eth0"), ("here/middle", "p1")):
            assert "LOWER_UP" in client.run(node, ["ip", "link", "show", port]).text
    client.run(LEFT, ["ip", "link", "set", "eth0", "down"])
    lab(client, "link", "here/left:eth0", "down")
    lab(client, "link", "here/left:eth0", "up")
    assert ",UP" not in client.run(LEFT, ["ip", "link", "show", "eth0"]).text


def test_a_full_disk_takes_no_byte_until_it_is_freed(client: LabClient) -> None:
    client.run(LEFT, ["sh", "-c", "echo kept >/etc/kept"])
    lab(client, "disk", "left", "fill")
    lab(client, "disk", "left", "fill")  # once more is once
    assert client.run(LEFT, ["sh", "-c", "echo much >/etc/fresh"]).exit_status != 0
    assert client.run(LEFT, ["cat", "/etc/fresh"]).stdout == b""
    assert client.run(LEFT, ["cat", "/etc/kept"]).text == "kept\n"
    lab(client, "disk", "left", "free")
    assert client.run(LEFT, ["sh", "-c", "echo much >/etc/fresh"]).exit_status == 0


def test_a_service_is_paused_and_stopped_and_runs_again(client: LabClient) -> None:
    lab(client, "service", "left", "counter", "pause")
    assert not counts(client)
    lab(client, "service", "left", "counter", "resume")
    assert counts(client)
    lab(client, "service", "left", "counter", "stop")
    assert client.status().failures == ("here/left: service counter stopped",)
    lab(client, "service", "left", "counter", "start")
    assert client.status().failures == ()
    assert "no service 'other'; expected one of: counter" in lab(client, "service", "left", "other", "stop", status=3)
    client.stop(LEFT, "counter")
    with pytest.raises(LabError, match="does not run"):
        client.pause(LEFT, "counter")


def test_an_unknown_word_or_node_is_refused(client: LabClient) -> None:
    assert "is no node of the twin" in lab(client, "power", "nobody", "off", status=2)
    assert "'up'" in lab(client, "link", "here/middle:p1", "sideways", status=2)
    assert client.status().failures == ()
