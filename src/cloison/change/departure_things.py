"""Cuts the canonical text of a section into things that can be told apart: rows, routes, flows, rules, values.

Nothing here decides whether a device drifts: what a text of no known form holds is a thing of kind `line`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.device import swanctl
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_TUNNEL_TYPES = ("vxlan", "gre", "geneve", "stt", "lisp", "erspan", "ip6gre", "ip6erspan", "gtpu", "bareudp", "patch")
"""Types of interface that carry frames to another bridge or host (ovs-vswitchd.conf.db(5), `type`)."""
_PAIRED = re.compile(r"[\"']")


@dataclass(frozen=True, slots=True)
class Found:
    """One thing of a section."""

    key: str
    """What it is about: two texts of one key are one thing with two values."""
    kind: str
    text: str
    ordered_in: str = ""
    """The list in which its place counts; empty where it does not."""


def things_of(section: SectionName, text: str) -> tuple[Found, ...]:
    """Return the things of a section's canonical text, in its order."""
    return tuple(_CUT[section](text))


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line.strip())


# --- switch rows, optical ports, interfaces: a line a thing ----------------------------------------------------------


def _switch(text: str) -> Iterator[Found]:
    for line in _lines(text):
        table, _, rest = line.partition(" ")
        name, _, settings = rest.partition(" ")
        kind = re.sub(r"[^a-z]+", "-", table)
        if table == "interface" and f" {settings} ".partition(" type=")[2].partition(" ")[0] in _TUNNEL_TYPES:
            kind = "tunnel-port"
        yield Found(f"{table} {name}", kind, line)


def _fibre(text: str) -> Iterator[Found]:
    for line in _lines(text):
        yield Found(" ".join(line.split(" ")[:2]), "optical-port", line)


_INTERFACE_KINDS: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "sysctl": ("setting", lambda line: line.partition("=")[0]),
    "link": ("link", lambda line: line.rpartition(" ")[0] if " mtu " in line else line),
    "address": ("address", lambda line: line),
    "route": ("route", lambda line: line),
    "rule": ("routing-rule", lambda line: line),
    "neighbour": ("neighbour", lambda line: line.partition(" lladdr ")[0]),
    "qdisc": ("queue", lambda line: line),
}


def _interfaces(text: str) -> Iterator[Found]:
    for line in _lines(text):
        kind, key = _INTERFACE_KINDS.get(line.partition(" ")[0], ("line", lambda line: line))
        yield Found(key(line), kind, line)


def _edge(text: str) -> Iterator[Found]:
    for line in _lines(text):
        if line.startswith(("group_id=", "meter=")):
            yield Found(line.partition(",")[0], line.partition("=")[0].removesuffix("_id"), line)
            continue
        match, _, _ = line.partition(" actions=")
        about = [word for word in match.split(",") if not word.startswith(("cookie=", "idle=", "hard=", "importance="))]
        yield Found(",".join(about), "flow", line)


# --- the filter: blocks within one table -----------------------------------------------------------------------------


def _filter(text: str) -> Iterator[Found]:
    """Cut a listing of nft(8): one statement a line, but for the elements of a set or a map."""
    block, elements = "", ""
    for line in _lines(text):
        words = line.strip()
        if elements:
            elements += f" {words}"
        elif words.startswith("elements = {"):
            elements = words
        elif words.endswith("{") and not words.startswith("table "):
            block = words.removesuffix("{").strip()
            yield Found(block, _kind_of(block), block)
        elif words.startswith("table "):
            yield Found(words, "table", words)
        elif words == "}":
            block = ""
        else:
            yield _statement(block, words)
        if elements.endswith("}"):
            yield from _elements(block, elements)
            elements = ""
    if elements:
        yield Found(f"{block}: elements", "line", f"{block}: {elements}")


def _kind_of(block: str) -> str:
    word = block.partition(" ")[0]
    return word if word in {"chain", "set", "map", "counter", "quota", "limit", "flowtable", "ct"} else "object"


def _statement(block: str, words: str) -> Found:
    kind, said = _kind_of(block), f"{block}: {words}"
    if kind == "chain" and not words.startswith("type "):
        return Found(said, "rule", said, ordered_in=block)
    return Found(f"{block}: {words.partition(' ')[0]}", kind, said)


def _elements(block: str, listed: str) -> Iterator[Found]:
    for element in _parts(listed.partition("{")[2].removesuffix("}")):
        yield Found(f"{block}: {element.partition(' : ')[0]}", "element", f"{block}: {element}")


def _parts(listed: str) -> Iterator[str]:
    """Yield what commas part, a comma in quotes being none."""
    part, quote = "", ""
    for char in listed:
        if char == "," and not quote:
            yield part.strip()
            part = ""
            continue
        if _PAIRED.match(char):
            quote = "" if quote == char else quote or char
        part += char
    if part.strip():
        yield part.strip()


# --- tunnels: values below sections ----------------------------------------------------------------------------------


def _tunnels(text: str) -> Iterator[Found]:
    try:
        tree = swanctl.parse(text)
    except (ValueError, RecursionError):
        yield from (Found(line, "line", line) for line in _lines(text))
        return
    yield from _values("", tree)


def _values(path: str, tree: swanctl.Tree) -> Iterator[Found]:
    """Yield the values below a section; one loop, since its depth is the device's word."""
    ahead = [(path, tree)]
    while ahead:
        above, here = ahead.pop()
        for key, value in here.items():
            name = f"{above}.{key}" if above else key
            if isinstance(value, dict):
                yield Found(name, "connection" if above == "connections" else "section", name)
                ahead.append((name, value))
            else:
                said = " ".join(value) if isinstance(value, tuple) else value
                yield Found(f"{name} =", "value", f"{name} = {said}")


_CUT: Mapping[SectionName, Callable[[str], Iterator[Found]]] = {
    SectionName.SWITCH: _switch,
    SectionName.FIBRE: _fibre,
    SectionName.INTERFACES: _interfaces,
    SectionName.EDGE: _edge,
    SectionName.FILTER: _filter,
    SectionName.TUNNELS: _tunnels,
}
