"""A real Open vSwitch that answers: run in a network namespace of its own, tasks on stdin, what happened in `answers`.

A task is one bridge and frames for its ports. Each frame is traced by the switch (`ofproto/trace`) and then sent, from
the far end of the port's cable or from the interface the switch made, and heard at all others. When a frame has been
dealt with is known by a sentinel of another bridge, which the same thread forwards: the queues of all ports are taken
in turns, 32 frames at most each, so that a sentinel that came after a frame, and one more, are heard after it.
"""

from __future__ import annotations

import errno
import json
import re
import select
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

from cloison.transport.local import LocalRunner

FOLDER = Path(sys.argv[1])
DATABASE = f"unix:{FOLDER}/db.sock"
RUNNER = LocalRunner(environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "OVS_RUNDIR": str(FOLDER)})
START = rf"""
set -euo pipefail
cd {FOLDER}
export OVS_LOGDIR=$PWD OVS_DBDIR=$PWD
ovsdb-tool create conf.db /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server conf.db --remote=punix:db.sock --unixctl=$PWD/db.ctl --pidfile=db.pid --detach --log-file 2>/dev/null
ovs-vsctl --db={DATABASE} --no-wait init
ovs-vswitchd {DATABASE} --pidfile=vs.pid --unixctl=$PWD/vs.ctl --detach --log-file=vs.log --disable-system 2>/dev/null
echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
ip link set lo up
for cable in "$@"; do
  ip link add "$cable" up arp off type veth peer name "far-$cable"
  ip link set "far-$cable" up arp off
done
ovs-vsctl --db={DATABASE} -- add-br sentinel -- set bridge sentinel datapath_type=netdev -- \
  add-port sentinel guard0 -- add-port sentinel guard1
"""
MARK = b"clsn"
"""Every frame ends with it and a number: eight bytes behind whatever it holds."""
_AUXDATA = struct.Struct("=IIIHHHH")
_VLAN_VALID, _TPID_VALID = 1 << 4, 1 << 6
_SETTLE_SECONDS = 20.0


def run(*words: str, text: str = "") -> str:
    done = RUNNER.run(words, stdin=text.encode(), timeout=60.0)
    if done.exit_status != 0:
        msg = f"{words}: {done.stderr.decode()}"
        raise RuntimeError(msg)
    return done.text


class Control:
    """The daemon's control socket (ovs-appctl(8)): JSON-RPC (RFC 7047 section 4)."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(FOLDER / "vs.ctl"))
        self._decoder = json.JSONDecoder()

    def ask(self, method: str, *parameters: str) -> str:
        self._socket.sendall(json.dumps({"method": method, "params": parameters, "id": 0}).encode())
        got = b""
        while True:
            got += self._socket.recv(1 << 20)
            try:
                answer: dict[str, Any]
                answer, _ = self._decoder.raw_decode(got.decode())
            except ValueError:
                continue
            return f"ERROR {answer['error']}" if answer["error"] else str(answer["result"])


class Ear:
    """Hears and sends at one interface."""

    def __init__(self, interface: str) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 1 << 23)  # SO_RCVBUFFORCE
        self.socket.bind((interface, 3))
        self.socket.settimeout(0)

    def heard(self) -> list[bytes]:
        """Return what came since the last time, tags in the bytes; the frames sent here left out."""
        frames: list[bytes] = []
        while True:
            try:
                data, auxiliary, _, address = self.socket.recvmsg(4096, 256)
            except BlockingIOError:
                return frames
            except OSError as error:
                if error.errno != errno.ENETDOWN:  # said once of an interface that is shut
                    raise
                continue
            if address[2] == socket.PACKET_OUTGOING or MARK not in data[-8:]:
                continue
            for level, kind, value in auxiliary:
                if (level, kind) == (263, 8):
                    status, _, _, _, _, tci, tpid = _AUXDATA.unpack(value[: _AUXDATA.size])
                    if status & _VLAN_VALID:
                        tpid = tpid if status & _TPID_VALID else 0x8100
                        data = data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
            frames.append(data)


def actions_of(trace: str, frame: bytes) -> list[tuple[str, str]] | str:
    """Return the port and the bytes of every frame that leaves, by the last line of a trace."""
    found = re.search(r"^Datapath actions: (.*)$", trace, re.MULTILINE)
    if found is None:
        return trace
    out = []
    for action in re.findall(r"[^,(]+(?:\([^)]*\))?", found[1]):
        if action == "pop_vlan":
            frame = frame[:12] + frame[16:]
        elif pushed := re.fullmatch(r"push_vlan\((?:tpid=(0x[0-9a-f]+),)?vid=(\d+),pcp=(\d)\)", action):
            tci = int(pushed[2]) | int(pushed[3]) << 13
            frame = frame[:12] + struct.pack("!HH", int(pushed[1] or "0x8100", 16), tci) + frame[12:]
        elif re.fullmatch(r"[a-z0-9]+", action):
            if action != "drop":
                out.append((action, frame.hex()))
        else:
            return f"{action} in {trace}"
    return sorted(out)


def await_sentinels(guards: tuple[Ear, Ear], count: int) -> None:
    """Return when so many sentinels came through; RuntimeError when they do not."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while count > 0:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([guards[1].socket], [], [], left)[0]:
            msg = "the switch forwards no sentinel"
            raise RuntimeError(msg)
        count -= len(guards[1].heard())


def measure(task: dict[str, Any], control: Control, guards: tuple[Ear, Ear]) -> dict[str, Any]:
    """Return what one bridge did."""
    words: list[str] = []
    for line in task["switch"]:
        words += [*(["--"] if words else []), *line]
    run("ovs-vsctl", f"--db={DATABASE}", "--timeout=30", "--", *words)
    if task["flows"] is not None:
        bridge = f"unix:{FOLDER}/br0.mgmt"
        run("ovs-ofctl", "-O", "OpenFlow14", "--bundle", "replace-flows", bridge, "-", text=task["flows"])
    lines = [f"link set {name} {'up' if up else 'down'}" for name, up in task["up"].items()]
    run("ip", "-batch", "-", text="\n".join(lines))
    control.ask("fdb/flush")
    traces = []
    for name, number, hexadecimal in task["frames"]:
        del name
        trace = control.ask("ofproto/trace", "br0", f"in_port={number}", hexadecimal, "--names")
        traces.append(actions_of(trace, bytes.fromhex(hexadecimal)))
    control.ask("revalidator/purge")
    control.ask("fdb/flush")
    heard = exchange(task, guards)
    dump = run("ovsdb-client", "-f", "json", "dump", DATABASE)
    return {"rows": dump, "flows": printed_flows(), "traces": traces, "heard": heard}


def printed_flows() -> str:
    """Return the flows as a device's reader gets them."""
    read = f"""
    set -e
    ovs-ofctl -O OpenFlow14 --no-stats --no-names dump-flows unix:{FOLDER}/br0.mgmt >{FOLDER}/flows
    ovs-ofctl -O OpenFlow14 parse-flows {FOLDER}/flows
    """
    return run("sh", "-c", read)


def exchange(task: dict[str, Any], guards: tuple[Ear, Ear]) -> list[list[tuple[str, str]]]:
    """Send every frame, and return for each where it was heard."""
    ears = {name: Ear(interface) for name, interface in task["ears"].items()}
    sentinel = bytes.fromhex("020000000aa1020000000aa288b5") + bytes(40) + MARK + bytes(4)
    heard: list[list[tuple[str, str]]] = [[] for _ in task["frames"]]
    try:
        guards[1].heard()
        for start in range(0, len(task["frames"]), 100):
            batch = task["frames"][start : start + 100]
            for name, _, hexadecimal in batch:
                if task["up"][name]:
                    ears[name].socket.send(bytes.fromhex(hexadecimal))
                guards[0].socket.send(sentinel)
            await_sentinels(guards, len(batch))
            guards[0].socket.send(sentinel)
            await_sentinels(guards, 1)
            for name, ear in ears.items():
                for frame in ear.heard():
                    heard[int.from_bytes(frame[-4:])].append((name, frame.hex()))
    finally:
        for ear in ears.values():
            ear.socket.close()
    return [sorted(each) for each in heard]


def main() -> None:
    """Answer tasks, one a line, with one line each."""
    first = json.loads(sys.stdin.readline())
    run("bash", "-c", START, "bash", *first["cables"], "guard0", "guard1")
    try:
        control, guards = Control(), (Ear("far-guard0"), Ear("far-guard1"))
        with (FOLDER / "answers").open("w") as answers:
            for line in sys.stdin:
                answers.write(json.dumps(measure(json.loads(line), control, guards)) + "\n")
    finally:
        for name in ("vs", "db"):
            run("kill", (FOLDER / f"{name}.pid").read_text().strip())


if __name__ == "__main__":
    main()
