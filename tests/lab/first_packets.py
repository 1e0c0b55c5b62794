"""Give packets to a real connection tracking, and print the state of each: run as root in a namespace of its own."""

from __future__ import annotations

import json
import socket
import sys

from cloison.transport.local import LocalRunner

RUNNER = LocalRunner()
START = """
sysctl -qw net.netfilter.nf_conntrack_tcp_loose=$1
ip link add here address 0e:00:00:00:00:01 type veth peer name there
ip link set here up
ip link set there arp off up
nft -f -
"""
RULES = """
table inet states {
  set four { typeof ip id . ct state; size 65535; flags dynamic; }
  set six { typeof ip6 flowlabel . ct state; size 65535; flags dynamic; }
  chain seen {
    type filter hook prerouting priority 0; policy drop;
    update @four { ip id . ct state }
    update @six { ip6 flowlabel . ct state }
  }
}
"""


def run(*words: str, text: str = "") -> str:
    done = RUNNER.run(words, stdin=text.encode(), timeout=30.0)
    if done.exit_status != 0:
        raise RuntimeError(done.stderr.decode())
    return done.text


def main() -> None:
    run("bash", "-euc", START, "bash", sys.argv[1], text=RULES)
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.bind(("there", 0))
    for kind, packet in json.load(sys.stdin):
        end.send(bytes.fromhex("0e0000000001" + "0e0000000002") + kind.to_bytes(2, "big") + bytes.fromhex(packet))
    sys.stdout.write(run("nft", "list", "table", "inet", "states"))


if __name__ == "__main__":
    main()
