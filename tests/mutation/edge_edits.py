"""Every small change of the flows at the edge: OpenFlow, one flow a line."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.mutation.edits import (
    ADDRESS,
    Lines,
    Substitution,
    neighbours,
    next_address,
    removed,
    shifted,
    widened,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.mutation.edits import Edit

_MAC = r"(?<==)(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?=,)"
_VALUED = r"in_port|dl_\w+|nw_\w+|arp_\w+|vlan_tci|tp_\w+"


def _mac(found: re.Match[str]) -> list[str]:
    last = int(found[0][-2:], 16) ^ 1
    return [f"{found[0][:-2]}{last:02x}"]


def _mac_masked(found: re.Match[str]) -> list[str]:
    return [f"{found[0]}/ff:ff:ff:ff:ff:fe", f"{found[0]}/ff:ff:ff:00:00:00"]


def _priorities(found: re.Match[str]) -> list[str]:
    number = int(found[0])
    return [str(one) for one in (number - 1, number + 1, 0, 65535) if one >= 0]


def _output(found: re.Match[str]) -> list[str]:
    flipped = "drop" if found[0] == "NORMAL" else "NORMAL"
    return [flipped, "FLOOD", "output:1", "IN_PORT"]


def _substitutions(text: str) -> list[Substitution]:
    ports = sorted(set(re.findall(r"in_port=(\w+)", text)))
    vlans = sorted(set(re.findall(r"dl_vlan=(\d+)", text)))
    return [
        Substitution("priority changed", r"(?<=priority=)\d+", _priorities),
        removed("condition removed", rf"(?<=,)(?:(?:{_VALUED})=[^,]+|ip|ipv6|arp|udp|tcp),"),
        Substitution("address changed", ADDRESS, next_address),
        Substitution("prefix widened", ADDRESS, widened),
        Substitution("MAC address changed", _MAC, _mac),
        Substitution("MAC address masked", _MAC, _mac_masked),
        words("MAC mask changed", r"/01:00:00:00:00:00", "/03:00:00:00:00:00", ""),
        Substitution("VLAN changed", r"(?<=dl_vlan=)\d+", neighbours(vlans)),
        Substitution("VLAN changed", r"(?<=dl_vlan=)\d+", shifted),
        Substitution("port changed", r"(?<=in_port=)\w+", neighbours(ports)),
        words("tag match changed", r"0x1000/0x1000", "0x0000/0x1000", "0x1000/0x1fff", "0x1001/0x1001"),
        words("fragment match changed", r"nw_frag=first", "nw_frag=later", "nw_frag=no"),
        words("fragment match changed", r"nw_frag=later", "nw_frag=not_later", "nw_frag=yes"),
        Substitution("transport port shifted", r"(?<=tp_src=)\d+", shifted),
        words("protocol changed", r"(?<=,)ip(?=,)", "tcp", "udp", "ipv6", "arp"),
        words("protocol changed", r"(?<=,)arp(?=,)", "ip", "rarp"),
        words("protocol changed", r"(?<=,)udp(?=,)", "tcp"),
        words("protocol changed", r"(?<=,)ipv6(?=,)", "ip"),
        words("table changed", r"table=0", "table=1"),
        Substitution("action changed", r"(?<=actions=)\w+", _output),
    ]


def edits(text: str) -> Iterator[Edit]:
    """Yield every mutation of a flow table."""
    lines = Lines(text)
    flows = list(lines.meant())
    for index, _ in flows:
        yield lines.dropped(index, "flow dropped")
    for (one, line), (other, next_line) in pairwise(flows):
        mine, theirs = (re.search(r"priority=\d+", each) for each in (line, next_line))
        if mine and theirs and mine[0] != theirs[0]:
            changed = {one: line.replace(mine[0], theirs[0]), other: next_line.replace(theirs[0], mine[0])}
            edit = lines.changed(one, "priorities swapped", f"{changed[one]} and {changed[other]}")
            yield edit._replace(text=lines.having(changed))
    yield from lines.substituted(_substitutions(text))
