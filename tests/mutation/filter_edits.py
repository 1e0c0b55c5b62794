"""Every small change of a packet filter as it is rendered: nftables, one rule a line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.mutation.edits import (
    ADDRESS,
    Lines,
    Substitution,
    elements,
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

_VALUE = r"(?:\{[^}]*\}|@?[\w./-]+)"
_ENDS = r"ip saddr \. ip daddr"
_KEYS = f"iifname|oifname|{_ENDS}|ip saddr|ip daddr|ct state|icmp type|icmp code|meta nfproto|(?:tcp|udp) [sd]port"
_CONDITIONS = (
    r'[io]ifname "[^"]*" ',
    rf"{_ENDS} {_VALUE} ",
    rf"(?<!\. )ip [sd]addr (?!\.)(?:!= )?{_VALUE} ",
    rf"(?:tcp|udp) [sd]port {_VALUE} ",
    r"tcp flags & \([^)]*\) == \w+ ",
    r"ct state \w+ ",
    r"meta nfproto \w+ ",
    r"ip frag-off & \d+ != 0 ",
    r"ip hdrlength != \d+ ",
    r"fib saddr \. iif oif missing ",
    r"icmp (?:type|code) [\w-]+ ",
)
_STATES = ("new", "established", "related", "invalid", "untracked")
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_MASK = r"tcp flags & \(fin \| syn \| rst \| ack\) == syn"
_PORT = r"(?<=port )\d+\b|(?<=port \{ )\d+\b"


def _spans(found: re.Match[str]) -> list[str]:
    return [f"{int(found[0]) - 1}-{found[0]}", f"{found[0]}-{int(found[0]) + 1}"]


def _others(all_of_them: tuple[str, ...]) -> Substitution:
    kind, before = ("connection state changed", "ct state ") if "new" in all_of_them else ("hook changed", "hook ")
    return Substitution(kind, rf"(?<={before})\w+", lambda found: [one for one in all_of_them if one != found[0]])


def _words() -> list[Substitution]:
    return [
        words("verdict flipped", r"(?<!policy )\baccept\b", "drop"),
        words("verdict flipped", r"(?<!policy )\bdrop\b", "accept"),
        words("policy flipped", r"policy drop", "policy accept"),
        words("policy flipped", r"policy accept", "policy drop"),
        words("comparison negated", rf'(?<!\. )\b({_KEYS}) (?=["@{{\w])(?!\w+ \.)', r"\1 != "),
        words("comparison negated", r"(ip [sd]addr|hdrlength) != ", r"\1 "),
        words("comparison negated", r"& (\d+) != 0", r"& \1 == 0"),
        words("comparison negated", r"== syn", "!= syn"),
        words("comparison negated", r"oif missing", "oif exists"),
        _others(_STATES),
        _others(_HOOKS),
        words("chain priority changed", r"priority (?:-?\d+|filter)", "priority -500", "priority 500"),
        words("TCP flags mask", _MASK, "tcp flags syn", "tcp flags & (fin | syn | rst | ack) == ack"),
        words("TCP flags mask", r"\(fin \| syn \| rst \| ack\)", "(syn | rst | ack)", "(fin | syn | ack)"),
        words("TCP flags mask", r"\(fin \| syn \| rst \| ack\)", "(fin | syn | rst)", "(fin | rst | ack)"),
        words("protocol changed", r"tcp(?= [sd]port)", "udp"),
        words("protocol changed", r"udp(?= [sd]port)", "tcp"),
        words("protocol changed", r"nfproto ipv6", "nfproto ipv4"),
        words("bits changed", r"& 16383", "& 8191", "& 16382", "& 32767"),
        words("bits changed", r"hdrlength != 5", "hdrlength != 6", "hdrlength > 6"),
        words("ICMP message changed", r"destination-unreachable", "echo-request", "time-exceeded"),
        words("ICMP message changed", r"frag-needed", "host-unreachable"),
        words("family changed", r"^table inet", "table ip", "table ip6"),
        words("set changed", r"@peers", "@remote"),
        words("set changed", r"@remote", "@peers"),
    ]


def _substitutions(interfaces: list[str]) -> list[Substitution]:
    return [
        *_words(),
        *(removed("condition removed", pattern) for pattern in _CONDITIONS),
        Substitution("interface changed", r'(?<=ifname ")\w+(?=")', neighbours(interfaces)),
        Substitution("address changed", ADDRESS, next_address),
        Substitution("prefix widened", ADDRESS, widened),
        Substitution("port shifted", _PORT, shifted),
        Substitution("port widened", _PORT, _spans),
        *elements("element", r"\{ ", r" \}"),
        removed("counter dropped", r"counter (?=accept|drop|log)", inert=True),
        removed("log dropped", r"log group \d+ ", inert=True),
        removed("comment dropped", r' comment "[^"]*"', inert=True),
    ]


def edits(text: str) -> Iterator[Edit]:
    """Yield every mutation of a filter."""
    lines = Lines(text)
    interfaces = sorted(set(re.findall(r'ifname "(\w+)"', text)))
    before: int | None = None
    for index, line in lines.meant():
        opens = re.match(r"\t(chain|set) ", line)
        if opens:
            end = lines.lines.index("\t}", index)
            yield lines.dropped(index, f"{opens[1]} dropped", end - index + 1)
            if opens[1] == "chain":
                base = " hook " in lines.lines[index + 1]
                yield lines.added(index + 1 + base, "rule added", "\t\taccept")
        if not line.startswith("\t\t"):
            before = None
            continue
        inert = "maxseg size set" in line
        setting = re.match(r"\t\t(?:type|flags|elements)\b", line)
        yield lines.dropped(index, "line of a set or chain dropped" if setting else "rule dropped", inert=inert)
        if before is not None and not setting:
            yield lines.swapped(before, index, "rules swapped")
        before = None if setting else index
    yield from lines.substituted(_substitutions(interfaces))
