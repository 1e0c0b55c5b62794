"""Every small change of a device's kernel settings, links, addresses, routes and rules."""

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

from cloison.prove.parse.settings import Effect, effect_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.mutation.edits import Edit

_SYSCTL = re.compile(r"sysctl (?P<name>[\w.]+)=(?P<value>\d+)")
_INERT = re.compile(r" src [\d.]+")


def _substitutions(text: str) -> list[Substitution]:
    interfaces = sorted(set(re.findall(r"dev (\w+)", text)))
    return [
        words("link changed", r"(link set dev \w+) up", r"\1 down"),
        words("link changed", r"(link set dev \w+) down", r"\1 up"),
        Substitution("address changed", rf"(?<! src ){ADDRESS}", next_address),
        Substitution("prefix widened", rf"(?<! src )(?<! via ){ADDRESS}", widened),
        Substitution("interface changed", r"(?<=dev )\w+", neighbours(interfaces)),
        words("metric changed", r"metric \d+", "metric 1", "metric 8192"),
        removed("metric changed", r" metric \d+"),
        words("kind of route changed", r"blackhole ", "unreachable ", "throw "),
        words("kind of route changed", r"route replace (?!blackhole)(\S+) .*", r"route replace blackhole \1"),
        words("gateway removed", r" via [\d.]+", ""),
        words("table changed", r"table \d+", "table 57", "table main"),
        removed("table changed", r" table \d+"),
        Substitution("rule priority changed", r"(?<=priority )\d+", lambda _: ["1", "101", "32000", "40000"]),
        removed("condition removed", r"(?: iif lo| ipproto \w+| dport \d+| from [\d.]+| to [\d.]+)"),
        words("condition changed", r"iif lo", "iif wan0", "iif ipsec0"),
        words("condition changed", r"ipproto tcp", "ipproto udp"),
        words("condition changed", r"ipproto udp", "ipproto tcp"),
        Substitution("port shifted", r"(?<=dport )\d+", shifted),
        Substitution("source changed", rf"(?<= src ){ADDRESS}", next_address, inert=True),
    ]


def edits(text: str) -> Iterator[Edit]:
    """Yield every mutation of an interfaces section."""
    lines = Lines(text)
    rules: list[int] = []
    for index, line in lines.meant():
        setting = _SYSCTL.fullmatch(line)
        inert = setting is not None and effect_of(setting["name"]) is Effect.NONE
        yield lines.dropped(index, "setting dropped" if setting else "line dropped", inert=inert)
        if setting:
            for value in {"0": ("1",), "1": ("0", "2"), "2": ("0", "1")}[setting["value"]]:
                yield lines.changed(index, "setting changed", f"sysctl {setting['name']}={value}", inert=inert)
        if line.startswith("rule "):
            rules.append(index)
    yield from (lines.swapped(one, other, "rules swapped") for one, other in pairwise(rules))
    yield from (edit for edit in lines.substituted(_substitutions(text)) if not edit.before.startswith("sysctl"))
