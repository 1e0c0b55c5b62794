"""Every small change of a switch's rows, as `ovs-vsctl` takes them."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.mutation.edits import Lines, Substitution, elements, removed, shifted, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.mutation.edits import Edit

_MODES = ("access", "trunk", "native-tagged", "native-untagged", "dot1q-tunnel")


def _others(all_of_them: list[str]) -> Callable[[re.Match[str]], list[str]]:
    return lambda found: [one for one in all_of_them if one != found[0]]


def _substitutions(text: str) -> list[Substitution]:
    vlans = sorted({vlan for found in re.findall(r"(?:tag|trunks)=([\d,]+)", text) for vlan in found.split(",")})
    return [
        Substitution("VLAN changed", r"(?<= tag=)\d+", _others(vlans)),
        Substitution("VLAN changed", r"(?<= tag=)\d+", shifted),
        removed("VLAN removed", r" tag=\d+"),
        *elements("trunk VLAN", "trunks=", r"(?=$|\s)", ","),
        Substitution("trunk VLAN added", r"(?<=trunks=)[\d,]+", lambda found: [f"{found[0]},{v}" for v in vlans]),
        removed("trunk VLANs all removed", r" trunks=[\d,]+"),
        Substitution("mode changed", r"(?<=vlan_mode=)[\w-]+", _others(list(_MODES))),
        removed("mode removed", r" vlan_mode=[\w-]+"),
        removed("protection removed", r" protected=true"),
        words("protection added", r"(vlan_mode=native-tagged(?!.*protected).*)$", r"\1 protected=true"),
        words("fail mode changed", r"fail_mode=secure", "fail_mode=standalone"),
        words("fail mode changed", r"fail_mode=standalone", "fail_mode=secure"),
        removed("fail mode changed", r" fail_mode=\w+"),
        Substitution("port number changed", r"(?<=ofport_request=)\d+", shifted),
        removed("port number changed", r" ofport_request=\d+"),
        removed("interface type removed", r" type=internal"),
        words("interface type changed", r"type=internal", "type=patch", "type=system"),
        removed("datapath removed", r" datapath_type=netdev", inert=True),
        removed("in-band setting removed", r" other_config:disable-in-band=true"),
        words("priority tags", r"(add-port .*)$", r"\1 other_config:priority-tags=always"),
    ]


def edits(text: str) -> Iterator[Edit]:
    """Yield every mutation of a switch section."""
    lines = Lines(text)
    for index, _ in lines.meant():
        yield lines.dropped(index, "line dropped")
    ports = [(index, line) for index, line in lines.meant() if line.startswith("add-port ")]
    for (one, line), (other, next_line) in pairwise(ports):
        mine, theirs = line.split()[2], next_line.split()[2]
        changed = {one: line.replace(f" {mine} ", f" {theirs} "), other: next_line.replace(f" {theirs} ", f" {mine} ")}
        edit = lines.changed(one, "ports swapped", f"{changed[one]} and {changed[other]}")
        yield edit._replace(text=lines.having(changed))
    for index, line in ports:
        yield lines.dropped(index, "port dropped", 2)
        name = line.split()[2]
        mirror = f"mirror br0/copies select_all=true output_port={name}"
        yield lines.added(len(lines.lines) - 1, "mirror added", mirror)
    yield from lines.substituted(_substitutions(text))
