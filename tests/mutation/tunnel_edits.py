"""Every small change of the tunnels of a firewall, as swanctl.conf has them, at one end and at both."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.mutation.edits import ADDRESS, Edit, Lines, Substitution, elements, next_address, removed, widened, words

if TYPE_CHECKING:
    from collections.abc import Iterator

INERT_KEYS = frozenset(
    {"encap", "mobike", "dpd_delay", "unique", "reauth_time", "rekey_time", "keyingtries", "rekey_bytes"}
    | {"close_action", "dpd_action", "certs", "cacerts"}
)
"""How long, how and with which files; by construction of the model they decide about no packet."""


def _substitutions(text: str) -> list[Substitution]:
    identities = sorted(set(re.findall(r"\bid = (\S+)", text)))
    selectors = sorted(set(re.findall(r"\d+\.\d+\.\d+\.\d+/\d+", text)))

    def one_more(found: re.Match[str]) -> list[str]:
        return [f"{found[0]}, {other}" for other in selectors if other not in found[0]]

    return [
        Substitution("address changed", rf"(?<=_addrs = ){ADDRESS}", next_address),
        words("address of any peer", r"(?<=remote_addrs = ).*", "%any"),
        Substitution("selector widened", rf"(?<=[\s])(?<!addrs = ){ADDRESS}(?=,|$)", widened),
        Substitution("selector changed", rf"(?<=[\s])(?<!addrs = ){ADDRESS}(?=,|$)", next_address),
        *elements("selector", "_ts = ", "$"),
        Substitution("selector added", r"(?<=_ts = ).*", one_more),
        Substitution("identity changed", r"(?<=\bid = )\S+", lambda found: [i for i in identities if i != found[0]]),
        words("identity of anybody", r"(\bid = )\S+", r"\1%any", r"\1*.operations-centre"),
        words("version changed", r"version = 2", "version = 1", "version = 0"),
        words("authentication changed", r"auth = pubkey", "auth = psk"),
        words("revocation relaxed", r"revocation = strict", "revocation = relaxed", "revocation = ifuri"),
        words("start changed", r"start_action = start", "start_action = none", "start_action = trap"),
        words("start changed", r"start_action = none", "start_action = start"),
        words("childless changed", r"childless = force", "childless = never", "childless = allow"),
        words("algorithms changed", r"(proposals = )\S+", r"\1aes128-sha256-modp2048", r"\1default"),
        removed("word dropped", r"(?<=aes256gcm16)-\w+"),
    ]


def edits(text: str) -> Iterator[Edit]:
    """Yield every mutation of one end."""
    lines = Lines(text)
    for index, line in lines.meant():
        indent = len(line) - len(line.lstrip("\t"))
        key = line.split()[0]
        if line.endswith("{") and indent:
            end = lines.lines.index("\t" * indent + "}", index)
            kind = {1: "connection removed", 3: "child removed"}.get(indent, f"section {key} removed")
            yield lines.dropped(index, kind, end - index + 1)
        elif "=" in line:
            yield lines.dropped(index, "line dropped", inert=key in INERT_KEYS)
    yield from lines.substituted(_substitutions(text))


def _selector_pairs(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield for every list of selectors: the name of its connection, `local` or `remote`, the list."""
    name = ""
    for line in text.splitlines():
        if found := re.fullmatch(r"\t([\w-]+) \{", line):
            name = found[1]
        elif found := re.fullmatch(r"\t+(local|remote)_ts = (.*)", line):
            yield name, found[1], found[2]


def _of_connection(text: str, name: str, key: str, value: str) -> tuple[str, int]:
    """Return a file with another value for a key of one connection, and the line it stands on."""
    lines = text.split("\n")
    start = lines.index(f"\t{name} {{")
    end = lines.index("\t}", start)
    for index in range(start, end):
        if lines[index].strip().startswith(f"{key} = "):
            head = lines[index].partition(key)[0]
            lines[index] = f"{head}{key} = {value}"
            return "\n".join(lines), index + 1
    raise ValueError(key)


def at_both_ends(mine: str, theirs: str) -> Iterator[tuple[Edit, str]]:
    """Yield the mutations that change a connection alike at both ends: the edit of one file, the other's text."""
    shared = {name for name, _, _ in _selector_pairs(mine)} & {name for name, _, _ in _selector_pairs(theirs)}
    every = sorted(set(re.findall(r"\d+\.\d+\.\d+\.\d+/\d+", mine + theirs)))
    for name, end, value in _selector_pairs(mine):
        if name not in shared:
            continue
        across = "remote" if end == "local" else "local"
        items = value.split(", ")
        wide = [(i, widened(found)[0]) for i, one in enumerate(items) if (found := re.fullmatch(ADDRESS, one))]
        changes = [("removed", ", ".join(items[:i] + items[i + 1 :])) for i in range(len(items)) if len(items) > 1]
        changes += [("widened", ", ".join([*items[:i], one, *items[i + 1 :]])) for i, one in wide]
        changes += [("added", f"{value}, {one}") for one in every if one not in items]
        for what, new in changes:
            text, line = _of_connection(mine, name, f"{end}_ts", new)
            other, _ = _of_connection(theirs, name, f"{across}_ts", new)
            yield Edit(line, f"selector {what} at both ends", f"{end}_ts = {value}", f"{end}_ts = {new}", text), other
    for name in sorted(shared):
        for key, value in (("proposals", "aes128-sha256-modp2048"), ("esp_proposals", "aes128-sha256-modp2048")):
            text, line = _of_connection(mine, name, key, value)
            other, _ = _of_connection(theirs, name, key, value)
            yield Edit(line, "algorithms changed at both ends", f"{key} of {name}", f"{key} = {value}", text), other
        text, line = _without_connection(mine, name)
        other, _ = _without_connection(theirs, name)
        yield Edit(line, "connection removed at both ends", name, "", text), other


def _without_connection(text: str, name: str) -> tuple[str, int]:
    """Return a file without one connection, and the line it stood on."""
    lines = Lines(text)
    start = lines.lines.index(f"\t{name} {{")
    return lines.without(start, lines.lines.index("\t}", start) - start + 1), start + 1
