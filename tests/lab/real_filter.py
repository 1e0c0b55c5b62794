"""A real nftables that answers: run as root in namespaces of its own, tasks on stdin, what was seen on stdout.

A task is a rule set and packets: frames that come in by an interface of a router, and packets that the router itself
sends. Behind every hook of the rule set stands a last chain that remembers what has come so far. It knows a packet by
its identification (RFC 791) or flow label (RFC 8200), and by a mark that tells it from what the router says by itself.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from cloison.transport.local import LocalRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNNER = LocalRunner()
LINKS = ("lan1", "lan2", "wan0")
MARK = 119
HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_NEW_NETWORK = 0x40000000
_RAW, _HEADER_INCLUDED, _HEADER_INCLUDED_6 = 255, 3, 36
_DEADLINE_SECONDS = 10.0
ROUTER = """
mount -t tmpfs tmpfs /run
mkdir /run/netns
ip netns add far
ip link set lo up
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0
sysctl -qw net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0
sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 net.ipv4.icmp_ratelimit=0
sysctl -qw net.ipv6.conf.default.addr_gen_mode=1 net.netfilter.nf_conntrack_tcp_loose=1
number=0
for link in "$@"; do
  number=$((number + 1))
  ip link add $link address 0e:00:00:00:00:0$number type veth peer name $link address 0e:00:00:00:01:0$number netns far
  ip -n far link set $link arp off up
  ip link set $link up
  ip address add 10.$number.0.1/30 dev $link
  ip -6 address add 2001:db8:$number::1/126 dev $link nodad
  ip neighbour replace 10.$number.0.2 lladdr 0e:00:00:00:01:0$number nud permanent dev $link
  ip -6 neighbour replace 2001:db8:$number::2 lladdr 0e:00:00:00:01:0$number nud permanent dev $link
  ip route add 10.$number.0.0/16 via 10.$number.0.2 dev $link
  ip -6 route add 2001:db8:$number::/48 via 2001:db8:$number::2 dev $link
done
"""


def recorder() -> str:
    """Return the table that remembers what has come through each hook."""
    parts = ["chain first { type filter hook prerouting priority -2147483648; meta mark set 119; goto first_seen; }"]
    for name in ("first", *HOOKS):
        parts += [
            f"set {name}4 {{ typeof ip id . ip frag-off; size 65535; flags dynamic; }}",
            f"set {name}6 {{ typeof ip6 flowlabel; size 65535; flags dynamic; }}",
            f"chain {name}_seen {{ update @{name}4 {{ ip id . ip frag-off }}; update @{name}6 {{ ip6 flowlabel }}; }}",
        ]
    for hook in HOOKS:
        last = "drop" if hook == "input" else "accept"
        parts.append(
            f"chain {hook} {{ type filter hook {hook} priority 2147483647; policy accept;"
            f" meta mark {MARK} jump {hook}_seen; meta mark {MARK} {last}; }}"
        )
    # What is jumped to must be there before: sets and plain chains come first.
    return "table inet recorder {\n" + "\n".join(sorted(parts, key=lambda part: "type filter" in part)) + "\n}\n"


def run(*words: str, text: str = "") -> str:
    done = RUNNER.run(words, stdin=text.encode(), timeout=60.0)
    if done.exit_status != 0:
        msg = f"{words}: {done.stderr.decode()}\n{text}"
        raise RuntimeError(msg)
    return done.text


@contextlib.contextmanager
def in_far_namespace() -> Iterator[None]:
    """Open sockets in the namespace at the far end of the cables."""
    library = ctypes.CDLL(None, use_errno=True)
    here, far = os.open("/proc/self/ns/net", os.O_RDONLY), os.open("/run/netns/far", os.O_RDONLY)
    for entered in (far, here):
        if library.setns(entered, _NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        if entered == far:
            yield
        os.close(entered)


class Router:
    """The router, with a socket at the far end of each cable, and two to send packets of its own."""

    def __init__(self) -> None:
        run("bash", "-euc", ROUTER, "bash", *LINKS)
        self.ends: dict[str, socket.socket] = {}
        with in_far_namespace():
            for link in LINKS:
                self.ends[link] = end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                end.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
                end.bind((link, 3))
        self.own4 = socket.socket(socket.AF_INET, socket.SOCK_RAW, _RAW)
        self.own4.setsockopt(socket.IPPROTO_IP, _HEADER_INCLUDED, 1)
        self.own6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, _RAW)
        self.own6.setsockopt(socket.IPPROTO_IPV6, _HEADER_INCLUDED_6, 1)
        for own in (self.own4, self.own6):
            own.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)

    def task(self, task: dict[str, Any]) -> dict[str, Any]:
        """Load the rule set, send the packets, return what was seen."""
        run("nft", "-f", "-", text="flush ruleset\n" + task["ruleset"])
        # nft 1.0.6 breaks off by an assertion of its own (payload.c) at some rule sets that it has loaded itself.
        listed = RUNNER.run(["nft", "-s", "list", "ruleset"], timeout=60.0).text
        run("nft", "-f", "-", text=recorder())
        RUNNER.run(["conntrack", "-F"], timeout=60.0)
        if task["connections"]:
            run("conntrack", "--load-file", "-", text="".join(f"{line}\n" for line in task["connections"]))
        self.heard()
        for link, frame in task["received"]:
            self.ends[link].send(base64.b64decode(frame))
        for destination, packet in task["sent"]:
            own = self.own6 if ":" in destination else self.own4
            with contextlib.suppress(PermissionError):  # the filter dropped it
                own.sendto(base64.b64decode(packet), (destination, 0))
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while len((seen := self.seen())["first"]) < task["arriving"] and time.monotonic() < deadline:
            pass
        return {"listed": listed, "seen": seen, "heard": self.heard()}

    def seen(self) -> dict[str, list[list[int]]]:
        """Return, by hook, the packets that came to its end: number, and fragment field or -1 for IPv6."""
        found: dict[str, list[list[int]]] = {name: [] for name in ("first", *HOOKS)}
        for entry in json.loads(run("nft", "-j", "list", "table", "inet", "recorder"))["nftables"]:
            for one in entry.get("set", {}).get("elem", []):
                value = one["elem"]["val"] if isinstance(one, dict) and "elem" in one else one
                pair = value["concat"] if isinstance(value, dict) else [value, -1]
                found[entry["set"]["name"][:-1]].append(pair)
        return found

    def heard(self) -> dict[str, list[tuple[int, str]]]:
        """Return the number and the addresses of the IP packets that came out of each cable since the last time."""
        found: dict[str, list[tuple[int, str]]] = {}
        for link, end in self.ends.items():
            packets = found[link] = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    frame, address = end.recvfrom(65535, socket.MSG_DONTWAIT)
                    if address[2] == socket.PACKET_OUTGOING:
                        continue
                    if frame[12:14] == b"\x08\x00":
                        packets.append((int.from_bytes(frame[18:20], "big"), frame[26:34].hex()))
                    elif frame[12:14] == b"\x86\xdd":
                        packets.append(((int.from_bytes(frame[14:18], "big") & 0xFFFFF) >> 1, frame[22:54].hex()))
        return found


def main() -> None:
    router = Router()
    for line in sys.stdin:
        json.dump(router.task(json.loads(line)), sys.stdout)
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
