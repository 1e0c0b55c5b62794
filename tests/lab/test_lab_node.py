"""What a node sees of its host (its programs, and nothing else), and what can be done in and to a node."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import time
from ipaddress import IPv4Address
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from cloison.errors import InputError, LabError, TransportError, TransportTimeout
from cloison.lab.service import (
    CommandReady,
    NodeFile,
    NodeFolder,
    NodeServices,
    PortReady,
    Service,
    SocketReady,
)
from cloison.model import EquipmentName
from cloison.transport.base import OUTPUT_LIMIT_BYTES
from cloison.transport.namespace import open_socket_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.conftest import Bench

    from cloison.lab.client import LabClient

pytestmark = pytest.mark.lab

LEFT, RIGHT, MIDDLE = (EquipmentName(f"here/{name}") for name in ("left", "right", "middle"))
ADDRESS = IPv4Address("10.0.0.2")
EVERY_BYTE = bytes(range(256))
WEB = Service("web", ("/usr/bin/python3", "-m", "http.server", "80"), PortReady(ADDRESS, 80, 20))


@pytest.fixture
def client(bench: Bench) -> LabClient:
    return bench.up()


def text_of(client: LabClient, node: EquipmentName, *arguments: str) -> str:
    result = client.run(node, arguments)
    assert result.exit_status == 0, result
    return result.text


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)  # nothing tells when a daemon of a node, or its kernel, has got there
    return True


# --- what a node sees ------------------------------------------------------------------------------------------------


def test_a_root_holds_programs_and_nothing_else_of_the_host(client: LabClient) -> None:
    entries = set(text_of(client, LEFT, "ls", "-A", "/").split())
    assert entries == {
        *("bin", "dev", "etc", "home", "lib", "lib32", "lib64", "opt", "proc", "root", "run", "sbin", "srv", "tmp"),
        *("usr", "var"),
    }
    for empty in ("/home", "/root", "/srv", "/opt", "/usr/local", "/usr/src", "/var/lib", "/var/log"):
        assert text_of(client, LEFT, "ls", "-A", empty) == "", empty
    assert set(text_of(client, LEFT, "ls", "-A", "/etc").split()) <= {
        *("alternatives", "fonts", "group", "host.conf", "hostname", "hosts", "ld.so.cache", "login.defs", "mtab"),
        *("nsswitch.conf", "passwd", "profile", "protocols", "services", "shadow", "shells", "ssl"),
    }


def test_a_root_is_not_shared(client: LabClient) -> None:
    text_of(client, LEFT, "sh", "-c", "echo left >/root/mine; echo left >/etc/hostname; echo left >/tmp/mine")

    assert client.run(RIGHT, ["cat", "/root/mine"]).exit_status != 0
    assert text_of(client, RIGHT, "cat", "/etc/hostname") == "right\n"
    assert not Path("/root/mine").exists()
    assert not Path("/tmp/mine").exists()  # noqa: S108  the host's, where a node must not write


def test_devices_are_the_harmless_ones(client: LabClient) -> None:
    found = text_of(client, LEFT, "find", "/dev", "-type", "c", "-o", "-type", "b").split()
    assert {path for path in found if not path.startswith("/dev/pts/")} == {
        *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/net/tun"),
    }
    assert client.run(LEFT, ["mknod", "/dev/vda", "b", "254", "0"]).exit_status != 0


def test_mounts_show_no_folder_of_the_host_but_usr(client: LabClient) -> None:
    mounts = [line.split()[4] for line in text_of(client, LEFT, "cat", "/proc/self/mountinfo").splitlines()]
    assert {mount for mount in mounts if not mount.startswith("/proc/")} == {
        *("/", "/usr", "/usr/local", "/usr/src", "/run", "/tmp", "/dev", "/dev/pts", "/proc"),  # noqa: S108  a node's
    }
    assert client.run(LEFT, ["touch", "/usr/bin/planted"]).exit_status != 0


def test_processes_of_the_host_and_of_other_nodes_are_invisible(client: LabClient) -> None:
    programs = text_of(client, LEFT, "ps", "-A", "-o", "comm=").split()
    assert sorted(programs) == ["ps", "sleep", "tini"]


@pytest.mark.parametrize(
    "command",
    [
        ("date", "-s", "2001-01-01"),
        ("sysctl", "-w", "kernel.panic=1"),
        ("sysctl", "-w", "vm.drop_caches=1"),
        ("cat", "/dev/kmsg"),
        ("dmesg",),
        ("modprobe", "dummy"),
    ],
    ids=" ".join,
)
def test_what_would_reach_the_machine_is_refused(client: LabClient, command: tuple[str, ...]) -> None:
    assert client.run(LEFT, command).exit_status != 0


def test_masked_files_of_proc_say_nothing(client: LabClient) -> None:
    for name in ("kcore", "kmsg", "kallsyms", "partitions", "diskstats"):
        assert text_of(client, LEFT, "sh", "-c", f"test ! -e /proc/{name} || cat /proc/{name}") == "", name
    text_of(client, LEFT, "sh", "-c", "echo h >/proc/sysrq-trigger || true")


def test_network_settings_are_the_nodes_own(client: LabClient) -> None:
    text_of(client, LEFT, "sysctl", "-w", "net.ipv4.ip_forward=1")

    assert text_of(client, RIGHT, "sysctl", "-n", "net.ipv4.ip_forward") == "0\n"
    assert text_of(client, MIDDLE, "sysctl", "-n", "net.ipv4.ip_forward") == "1\n"


def test_capabilities_are_dropped_for_services_and_for_commands(bench: Bench) -> None:
    show = "grep CapBnd /proc/self/status >/root/caps; exec sleep 60"
    service = Service("show", ("/bin/sh", "-c", show), CommandReady(("/usr/bin/test", "-s", "/root/caps"), 5))
    client = bench.up({LEFT: NodeServices(services=(service,))})

    for command in (("cat", "/root/caps"), ("grep", "CapBnd", "/proc/self/status")):
        bounding = int(text_of(client, LEFT, *command).split()[1], 16)
        assert [number for number in (16, 17, 22, 25, 27, 34) if bounding & 1 << number] == []
        assert bounding & 1 << 12, "CAP_NET_ADMIN is what a node is about"


def test_a_command_gets_no_variable_and_no_descriptor_of_its_caller(client: LabClient) -> None:
    names = {line.split("=")[0] for line in text_of(client, LEFT, "env").splitlines()}
    assert names <= {"PATH", "HOME", "LANG", "PWD", "SHLVL", "_"}
    assert text_of(client, LEFT, "sh", "-c", "cd /proc/self/fd; echo *").split()[:3] == ["0", "1", "2"]
    assert "ns" not in text_of(client, LEFT, "ls", "-l", "/proc/self/fd").replace("total", "")


# --- commands and files ----------------------------------------------------------------------------------------------


def test_a_command_is_byte_exact_and_has_its_exit_status(client: LabClient) -> None:
    result = client.run(LEFT, ["sh", "-c", "cat; printf err >&2; exit 7"], EVERY_BYTE * 1000)
    assert (result.exit_status, result.stdout, result.stderr) == (7, EVERY_BYTE * 1000, b"err")


def test_an_argument_is_an_argument(client: LabClient) -> None:
    assert text_of(client, LEFT, "printf", "%s", "$HOME `id` 'é\"") == "$HOME `id` 'é\""


def test_a_command_that_does_not_end_is_killed_with_all_it_started(client: LabClient) -> None:
    with pytest.raises(TransportTimeout, match=r"here/left: .* had not ended after 0\.5 s"):
        client.run(LEFT, ["sh", "-c", "sleep 61 & sleep 62"], timeout=0.5)
    assert within(5, lambda: "sleep 6" not in text_of(client, LEFT, "ps", "-A", "-o", "args="))


def test_a_command_that_says_too_much_is_stopped(client: LabClient) -> None:
    with pytest.raises(TransportError, match=str(OUTPUT_LIMIT_BYTES)):
        client.run(LEFT, ["cat", "/dev/zero"])


def test_a_missing_program_is_127(client: LabClient) -> None:
    assert client.run(LEFT, ["no-such-program"]).exit_status == 127


@pytest.mark.parametrize("path", ["/etc/deep/er/file", "/run/file", "/root/with space and $(x)"])
def test_a_file_is_put_exactly(client: LabClient, path: str) -> None:
    client.put_file(LEFT, path, EVERY_BYTE, 0o640)

    assert client.run(LEFT, ["cat", path]).stdout == EVERY_BYTE
    assert text_of(client, LEFT, "stat", "-c", "%a %U", path) == "640 root\n"


@pytest.mark.parametrize("path", ["relative", "/etc/../../escape"])
def test_a_file_goes_nowhere_else(client: LabClient, path: str) -> None:
    with pytest.raises(LabError, match="absolute path"):
        client.put_file(LEFT, path, b"")


def test_a_node_is_found_by_its_tail(client: LabClient) -> None:
    assert client.node("left") == LEFT
    with pytest.raises(InputError, match="no node of the twin"):
        client.node("centre")
    with pytest.raises(LabError, match=r"here/nobody: no such node; expected one of: here/left"):
        client.run("here/nobody", ["true"])


# --- services --------------------------------------------------------------------------------------------------------


def test_a_node_is_given_files_folders_and_services_in_order(bench: Bench) -> None:
    order = "test -e /run/listening/first && exec sleep 60"
    given = NodeServices(
        folders=(
            NodeFolder(PurePosixPath("/run/listening"), 0o711),
            NodeFolder(PurePosixPath("/var/www"), 0o755, "www-data"),
        ),
        files=(
            NodeFile(PurePosixPath("/etc/exact"), EVERY_BYTE, 0o600),
            NodeFile(PurePosixPath("/var/www/page"), b"page", 0o640, "www-data"),
        ),
        services=(
            Service(
                "first",
                ("/usr/bin/python3", "-c", LISTEN),
                SocketReady(PurePosixPath("/run/listening/first"), 20),
                environment=(("GREETING", "hello"),),
            ),
            Service("second", ("/bin/sh", "-c", order), CommandReady(("/bin/true",), 5), user="www-data"),
            WEB,
        ),
    )
    client = bench.up({LEFT: given})

    assert client.status().failures == ()
    assert client.run(LEFT, ["cat", "/etc/exact"]).stdout == EVERY_BYTE
    assert text_of(client, LEFT, "stat", "-c", "%a %U %G", "/var/www/page") == "640 www-data www-data\n"
    assert text_of(client, LEFT, "cat", "/var/log/first.log") == "hello\n"
    assert text_of(client, LEFT, "ps", "-C", "sleep", "-o", "user=").split() == ["root", "www-data"]


LISTEN = """
import os, socket, time
print(os.environ["GREETING"], flush=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind("/run/listening/first")
listener.listen()
time.sleep(60)
"""


def test_a_service_that_is_not_ready_in_time_is_named_with_its_log(bench: Bench) -> None:
    given = Service("slow", ("/bin/sh", "-c", "echo waiting; sleep 60"), PortReady(ADDRESS, 81, 0.5))
    with pytest.raises(LabError, match=r"here/left: service slow was not ready after 0\.5 s(.|\n)*waiting"):
        bench.up({LEFT: NodeServices(services=(given,))})


def test_a_log_that_is_a_link_out_of_the_node_is_not_followed(bench: Bench) -> None:
    steal = "rm /var/log/thief.log; ln -s /../../etc/shadow /var/log/thief.log; exit 1"
    given = Service("thief", ("/bin/sh", "-c", steal), CommandReady(("/bin/false",), 5))
    with pytest.raises(LabError, match="service thief ended") as raised:
        bench.up({LEFT: NodeServices(services=(given,))})
    for line in Path("/etc/shadow").read_text(encoding="utf-8").splitlines():
        if line != "root:*:::::::":
            assert line not in str(raised.value)


def test_a_program_that_cannot_be_started_is_named(bench: Bench) -> None:
    given = Service("absent", ("/usr/bin/no-such-thing",), CommandReady(("/bin/true",), 5))
    with pytest.raises(LabError, match="no-such-thing cannot be started"):
        bench.up({LEFT: NodeServices(services=(given,))})


def test_services_stop_start_and_take_signals(bench: Bench) -> None:
    client = bench.up({LEFT: NodeServices(services=(WEB,))})
    dialer = client.dialer(RIGHT)
    with contextlib.closing(dialer):
        dialer.dial("10.0.0.2", 80, timeout=5).close()
        client.stop(LEFT, "web")
        assert client.status().failures == ("here/left: service web stopped",)
        with pytest.raises(TransportError, match=r"10\.0\.0\.2 port 80: Connection refused"):
            dialer.dial("10.0.0.2", 80, timeout=5)
        client.start(LEFT, "web")
        client.start(LEFT, "web")
        dialer.dial("10.0.0.2", 80, timeout=5).close()
    client.signal(LEFT, "web", signal.SIGKILL)
    assert within(5, lambda: client.status().failures == ("here/left: service web ended (-9)",))
    with pytest.raises(LabError, match="expected one of: web"):
        client.start(LEFT, "no-such")


# --- power and cables ------------------------------------------------------------------------------------------------


def reaches(client: LabClient, source: EquipmentName, address: str) -> bool:
    return client.run(source, ["ping", "-c1", "-W1", address]).exit_status == 0


def test_a_node_boots_again_on_the_same_cables_and_disk(bench: Bench) -> None:
    client = bench.up(
        {LEFT: NodeServices(services=(WEB,), files=(NodeFile(PurePosixPath("/run/given"), b"x", 0o644),))}
    )
    text_of(client, LEFT, "sh", "-c", "echo kept >/etc/kept; echo lost >/run/lost; nft add table inet lost")
    text_of(client, LEFT, "ip", "address", "add", "10.9.9.9/32", "dev", "eth0")

    client.reboot(LEFT)

    assert client.status().failures == ()
    assert text_of(client, LEFT, "cat", "/etc/kept") == "kept\n"
    assert client.run(LEFT, ["cat", "/run/lost"]).exit_status != 0
    assert text_of(client, LEFT, "cat", "/run/given") == "x"
    assert text_of(client, LEFT, "nft", "list", "ruleset") == ""
    assert "10.9.9.9" not in text_of(client, LEFT, "ip", "-br", "address")
    assert "02:00:00:00:00:01" in text_of(client, LEFT, "ip", "-br", "link")
    assert within(5, lambda: reaches(client, RIGHT, "10.0.0.2"))
    with contextlib.closing(client.dialer(RIGHT)) as dialer:
        dialer.dial("10.0.0.2", 80, timeout=5).close()


def test_a_node_without_power_is_dark_and_can_boot_again(bench: Bench) -> None:
    client = bench.up({LEFT: NodeServices(services=(WEB,))})

    client.power_off(LEFT)

    assert "here/left is off" in client.status().failures
    assert "NO-CARRIER" in text_of(client, MIDDLE, "ip", "link", "show", "p1")
    assert not reaches(client, RIGHT, "10.0.0.2")
    with pytest.raises(LabError, match="here/left is off"):
        client.run(LEFT, ["true"])
    client.reboot(LEFT)
    assert client.status().failures == ()
    assert within(5, lambda: reaches(client, RIGHT, "10.0.0.2"))


def test_a_node_whose_init_is_killed_is_off_and_the_others_live(bench: Bench) -> None:
    client = bench.up()
    watch = bench.watch(client)
    with client.namespaces(LEFT) as namespaces:
        inode = os.fstat(namespaces.pid).st_ino
    init = min(pid for pid in watch.inside() if Path(f"/proc/{pid}/ns/pid").stat().st_ino == inode)

    os.kill(init, signal.SIGKILL)

    assert within(5, lambda: client.status().failures == ("here/left is off",))
    assert within(5, lambda: "NO-CARRIER" in text_of(client, MIDDLE, "ip", "link", "show", "p1"))
    assert reaches(client, RIGHT, "10.0.1.1")


def test_a_cable_is_cut_and_mended(client: LabClient) -> None:
    client.cut("here/middle:p1")
    assert "NO-CARRIER" in text_of(client, LEFT, "ip", "link", "show", "eth0")
    assert client.status().failures == ("here/middle:p1 is cut",)
    assert not reaches(client, RIGHT, "10.0.0.2")

    client.mend("here/left:eth0")
    assert client.status().failures == ()
    assert within(5, lambda: reaches(client, RIGHT, "10.0.0.2"))


def test_a_cut_cable_stays_cut_over_a_reboot(client: LabClient) -> None:
    client.cut("here/left:eth0")
    client.reboot(LEFT)
    assert not reaches(client, RIGHT, "10.0.0.2")
    client.mend("here/left:eth0")
    assert within(5, lambda: reaches(client, RIGHT, "10.0.0.2"))


def test_another_node_takes_over_a_cable_and_gives_it_back(client: LabClient) -> None:
    client.plug("here/middle:p1", RIGHT, "taken")

    assert "eth0" not in text_of(client, LEFT, "ip", "-br", "link")
    text_of(client, RIGHT, "ip", "address", "add", "10.0.0.66/24", "dev", "taken")
    assert within(5, lambda: reaches(client, RIGHT, "10.0.0.1"))
    assert client.status().failures == ("here/middle:p1 is plugged otherwise",)

    client.unplug("here/middle:p1")
    assert client.status().failures == ()
    assert "taken" not in text_of(client, RIGHT, "ip", "-br", "link")
    assert within(5, lambda: reaches(client, RIGHT, "10.0.0.2"))


def test_a_spare_port_has_no_carrier_until_something_is_plugged_in(client: LabClient) -> None:
    assert "NO-CARRIER" in text_of(client, MIDDLE, "ip", "link", "show", "p3")
    client.plug("here/middle:p3", LEFT, "intruder")
    assert "NO-CARRIER" not in text_of(client, MIDDLE, "ip", "link", "show", "p3")
    client.unplug("here/middle:p3")
    assert "NO-CARRIER" in text_of(client, MIDDLE, "ip", "link", "show", "p3")


@pytest.mark.parametrize("port", ["here/middle:p9", "nowhere", "here/nobody:eth0"])
def test_a_port_that_is_not_there_is_named(client: LabClient, port: str) -> None:
    with pytest.raises(LabError, match=f"{port}: no such"):
        client.cut(port)


def test_interfaces_offload_nothing(client: LabClient) -> None:
    shown = text_of(client, MIDDLE, "ethtool", "-k", "p1")
    assert "tx-checksumming: off" in shown
    assert [line for line in shown.splitlines() if line.endswith(": on")] == []


def test_a_tagged_frame_arrives_whole(client: LabClient) -> None:
    with client.namespaces(LEFT) as left, client.namespaces(MIDDLE) as middle, contextlib.ExitStack() as open_sockets:
        every = socket.ntohs(0x0003)
        sender = open_sockets.enter_context(open_socket_in(left.net, socket.AF_PACKET, socket.SOCK_RAW, every))
        hearer = open_sockets.enter_context(open_socket_in(middle.net, socket.AF_PACKET, socket.SOCK_RAW, every))
        sender.bind(("eth0", 0))
        hearer.bind(("p1", 3))  # ETH_P_ALL; bind turns the bytes round itself
        hearer.settimeout(0)
        hearer.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA: where the kernel puts the tag it takes off
        tags: list[int] = []

        def arrives() -> bool:
            sender.send(bytes.fromhex("ffffffffffff 020000000001 8100 006e 88b5") + b"x" * 46)
            tags.extend(tags_heard(hearer, b"x" * 46))
            return bool(tags)

        assert within(5, arrives)
        assert set(tags) == {110}


def tags_heard(hearer: socket.socket, payload: bytes) -> Iterator[int]:
    with contextlib.suppress(BlockingIOError):
        while True:
            data, ancillary, _, _ = hearer.recvmsg(2048, 256)
            if payload in data:
                yield int.from_bytes(ancillary[0][2][16:18], "little") & 0xFFF


# --- sockets ---------------------------------------------------------------------------------------------------------


def test_a_dialler_gives_up_in_time(client: LabClient) -> None:
    text_of(
        client,
        MIDDLE,
        "nft",
        "add table inet t; add chain inet t f { type filter hook forward priority 0; policy drop; }",
    )
    with contextlib.closing(client.dialer(RIGHT)) as dialer:
        started = time.monotonic()
        with pytest.raises(TransportTimeout, match=r"here/right: 10\.0\.0\.2 port 80 did not answer within 0\.3 s"):
            dialer.dial("10.0.0.2", 80, timeout=0.3)
        assert time.monotonic() - started < 3


def test_a_thread_is_home_again_after_opening_a_socket_elsewhere(client: LabClient) -> None:
    home = Path("/proc/thread-self/ns/net").stat().st_ino
    with client.namespaces(LEFT) as namespaces:
        with open_socket_in(namespaces.net, socket.AF_INET, socket.SOCK_STREAM) as opened:
            opened.bind(("10.0.0.2", 0))
        with pytest.raises(OSError, match="rotocol"):
            open_socket_in(namespaces.net, socket.AF_INET, socket.SOCK_STREAM, 255)
    assert Path("/proc/thread-self/ns/net").stat().st_ino == home


def test_handed_out_descriptors_are_not_inherited(client: LabClient) -> None:
    with client.namespaces(LEFT) as namespaces:
        assert [os.get_inheritable(fd) for fd in namespaces.descriptors] == [False] * 5


def test_secrets_on_the_host_are_for_root_alone(client: LabClient) -> None:
    for path in (client.folder.path, client.folder.control, client.folder.path / "lock"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
