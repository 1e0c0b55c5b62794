"""Devices of namespaces whose guard is the real script: its dead-man a ticker, or a timer of a real systemd."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.contract.guarded_devices import DEVICE

from cloison.device.agent import SCRIPT, AgentGuard, script_text
from cloison.render.config import SectionName
from cloison.transport.namespace import NamespaceRunner, Namespaces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cloison.device.guard import Guard

SCRIPT_FILE = Path(__file__).parents[2] / "src/cloison/device/agent/cloison-device"
UNIT = SCRIPT_FILE.with_suffix(".service").read_text(encoding="utf-8")

# The disk of the device outlives its boots: a file system in a mount namespace that every boot begins from.
DISK = r"""
set -e
mount -t tmpfs -o size=16m disk /var/lib
mount -t tmpfs programs /usr/local/sbin
cat >/usr/local/sbin/cloison-device
chmod 755 /usr/local/sbin/cloison-device
mkdir /var/lib/cgroups
mount -t cgroup2 none /var/lib/cgroups 2>/dev/null || :
echo ready
exec sleep infinity
"""
APART = ("unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc")
BOOT = r"""
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/openvswitch /run/lock /var/lib/openvswitch
ip link set lo up
for port in p1 p2; do ip link add "$port" type veth peer name "far-$port"; done
db=/var/lib/openvswitch/conf.db
[ -e "$db" ] || ovsdb-tool create "$db" /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server "$db" --remote=punix:/run/openvswitch/db.sock --pidfile --detach --log-file=/run/db.log
ovs-vsctl --no-wait init
ovs-vswitchd --pidfile --detach --log-file=/run/vswitchd.log --disable-system
"""
TICKER = r"""
set +e
(cloison-device boot >/run/loader.log 2>&1; while :; do cloison-device tick; sleep 0.1; done) &
echo $! >/run/supervisor
exec tini -- sleep infinity
"""
# The units of the machine that the tests run on are none of the device's.
SYSTEMD = r"""
mkdir "/var/lib/cgroups/$1"
echo 0 >"/var/lib/cgroups/$1/cgroup.procs"
exec unshare --cgroup sh -c '
  umount -R /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
  for folder in /etc/systemd /usr/lib/systemd/system /usr/lib/systemd/system-generators; do
    mount -t tmpfs tmpfs "$folder"
  done
  cd /usr/lib/systemd/system
  for name in sysinit basic timers shutdown sockets paths slices network multi-user; do
    printf "[Unit]\nDefaultDependencies=no\n" >"$name.target"
  done
  printf "%s" "$1" >cloison-device.service
  mkdir multi-user.target.wants
  ln -s ../cloison-device.service multi-user.target.wants/
  exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=multi-user.target
' sh "$2"
"""
READY_SECONDS = 30.0


def switch_text(tag: int) -> str:
    """Return the words of a transaction that gives port p1 a VLAN, one a line."""
    words = f"--if-exists del-br br0 -- add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 p1 tag={tag}"
    return "".join(f"{word}\n" for word in words.split())


def interfaces_text(number: int) -> str:
    """Return interfaces with one address."""
    return f"address replace 10.0.{number}.1/24 dev p2\nlink set dev p2 up\n"


class Node:
    """A device of namespaces. It is built once; it boots, dies and boots again on the same disk."""

    def __init__(self, timer: str) -> None:
        self.timer = timer
        self.settled = ""
        """The token of the transaction that last made it run what tests begin with."""
        self._disk = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "sh", "-c", DISK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._disk.stdin is not None
        assert self._disk.stdout is not None
        self._disk.stdin.write(script_text())
        self._disk.stdin.close()
        assert self._disk.stdout.readline() == b"ready\n"
        self._disk.stdout.close()
        self._group = f"cloison-{os.getpid()}-{self._disk.pid}"
        self._life: subprocess.Popen[bytes] | None = None
        self.runner: NamespaceRunner
        self.guard: Guard
        self.boot()

    # --- its life --------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Start it, and return once it has loaded what it boots with and its dead-man is alive."""
        script = BOOT + (SYSTEMD if self.timer == "systemd" else TICKER)
        into = ["nsenter", f"--mount=/proc/{self._disk.pid}/ns/mnt", *APART, "sh", "-c", script, "sh"]
        self._life = subprocess.Popen(
            [*into, self._group, UNIT], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        children = Path(f"/proc/{self._life.pid}/task/{self._life.pid}/children")
        self._until(lambda: bool(children.read_text()))
        self.runner = NamespaceRunner(str(DEVICE), Namespaces.of_process(int(children.read_text())))
        self.guard = AgentGuard(self.runner, DEVICE)
        self._until(lambda: self.runner.run(["test", "-s", "/run/cloison/booted"]).exit_status == 0)
        self._until(lambda: self.guard.state().timer_alive)

    @staticmethod
    def _until(holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not holds():
            assert time.monotonic() < deadline, "the device does not come up"
            time.sleep(0.02)

    def power_off(self) -> None:
        """Kill everything in it at once, as a power cut would."""
        assert self._life is not None
        self.runner.close()
        self._life.kill()
        self._life.wait()
        if self.timer == "systemd":
            self._leave_group()

    def _leave_group(self) -> None:
        folder = f"/var/lib/cgroups/{self._group}"
        inside = ["nsenter", f"--mount=/proc/{self._disk.pid}/ns/mnt"]
        remove = 'find "$1" -depth -type d -exec rmdir {} + && [ ! -e "$1" ]'
        empty = [*inside, "sh", "-c", remove, "sh", folder]
        self._until(lambda: subprocess.run(empty, capture_output=True, check=False).returncode == 0)

    def close(self) -> None:
        """End it, and its disk."""
        self.power_off()
        self._disk.kill()
        self._disk.wait()

    def __enter__(self) -> Self:
        """Return the device, to be ended after the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.close()

    # --- a GuardedDevice -------------------------------------------------------------------------------------------

    def running(self) -> Mapping[SectionName, str]:
        """Return what runs, by section, in the words of `switch_text` and `interfaces_text` where it is theirs."""
        tag = self.shell("ovs-vsctl --if-exists get port p1 tag").strip()
        addresses = self.shell("ip -o -4 address show dev p2").split()
        lines = [f"address replace {word} dev p2\n" for word in addresses if word.startswith("10.0.")]
        up = "link set dev p2 up\n" if ",UP" in self.shell("ip link show dev p2") else ""
        return {
            SectionName.SWITCH: switch_text(int(tag)) if tag.isdigit() else tag,
            SectionName.INTERFACES: "".join(lines) + up,
        }

    def wait(self, seconds: float) -> None:
        """Let so much time pass."""
        time.sleep(seconds)

    def reboot(self) -> None:
        """Cut its power and start it again."""
        self.power_off()
        self.boot()

    def edit(self, section: SectionName, text: str) -> None:
        """Give p2 other addresses."""
        assert section is SectionName.INTERFACES
        self.shell("ip address flush dev p2\n" + "".join(f"ip {line}\n" for line in text.splitlines()))

    def fill_disk(self) -> None:
        """Leave no space on its disk."""
        self.shell("dd if=/dev/zero of=/var/lib/filling bs=4096 2>/dev/null || :")

    def free_disk(self) -> None:
        """Give the space back."""
        self.shell("rm -f /var/lib/filling")

    def kill_timer(self) -> None:
        """Kill what runs the dead-man, for good."""
        if self.timer == "systemd":
            self.shell("systemctl stop cloison-deadman.timer")
        else:
            self.shell("kill -KILL $(cat /run/supervisor)")
            self.kill_ticker()

    # --- more than a guard has to -----------------------------------------------------------------------------------

    def shell(self, script: str) -> str:
        """Run a script in it; return its output."""
        result = self.runner.run(["sh", "-c", script])
        assert result.exit_status == 0, result
        return result.text

    def kill_ticker(self) -> str:
        """Kill the ticker, and return the process id that it had."""
        return self.shell("read -r pid beat </run/cloison/ticker; kill -KILL $pid; echo $pid").strip()

    def kill_load(self) -> None:
        """Kill the process group that applies a step or goes back, when there is one."""
        self.runner.run(["sh", "-c", "read -r role pid began </run/cloison/load && kill -KILL -- -$pid"])

    def start(self, *arguments: str, stdin: bytes = b"") -> subprocess.Popen[bytes]:
        """Start the script as a connection would, in a process group of its own."""
        process = subprocess.Popen(
            [*self.entering(), SCRIPT, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(stdin)
            process.stdin.close()
        return process

    def entering(self) -> list[str]:
        """Return the command that enters it."""
        assert self._life is not None
        child = Path(f"/proc/{self._life.pid}/task/{self._life.pid}/children").read_text().strip()
        return ["nsenter", f"--target={child}", "--all"]


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what `Node.start` started, with all its process group; what left the group goes on."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
