"""The words of strongSwan: its configuration, and what `swanctl --list-conns` shows of it, as one tree each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Tree = dict[str, "str | tuple[str, ...] | Tree"]

_SECTION = re.compile(r"([^\s={}\[\]#]+) \{")
_LIST = re.compile(r"([^\s={}\[\]#]+) = \[")
_VALUE = re.compile(r"([^\s={}\[\]#]+) = ?(.*)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse(text: str) -> Tree:
    """Return the tree of a swanctl.conf, or of what `swanctl --list-conns --pretty` prints.

    Raises ValueError, with the number of the line, for what it does not know (an `include` too, and a second section of
    one name).
    """
    root: Tree = {}
    open_sections = [root]
    key = ""
    items: list[str] | None = None
    for number, given in enumerate(text.splitlines(), 1):
        line = given.strip()
        here = open_sections[-1]
        if not line or line.startswith("#"):
            continue
        if items is not None and line != "]":
            items.append(line)
        elif items is not None:
            here[key] = tuple(items)
            items = None
        elif line == "}" and len(open_sections) > 1:
            open_sections.pop()
        elif (found := _SECTION.fullmatch(line)) and found[1] not in here:
            inner: Tree = {}
            here[found[1]] = inner
            open_sections.append(inner)
        elif found := _LIST.fullmatch(line):
            key, items = found[1], []
        elif found := _VALUE.fullmatch(line):
            here[found[1]] = found[2]
        else:
            msg = f"line {number} has no known form"  # the line itself may be a part of a secret
            raise ValueError(msg)
    if len(open_sections) > 1 or items is not None:
        msg = "a brace or a bracket is not closed"
        raise ValueError(msg)
    return root


def write(tree: Mapping[str, object]) -> str:
    """Return the text of a tree, as `parse` reads it; a tuple becomes a list as the configuration has them."""
    return "".join(f"{line}\n" for line in _lines(tree, ""))


def _lines(tree: Mapping[str, object], indent: str) -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield f"{indent}{name} {{"
            yield from _lines(value, indent + "\t")
            yield f"{indent}}}"
        else:
            yield f"{indent}{name} = {', '.join(value) if isinstance(value, tuple) else value}".rstrip(" ")


def listed_connections(printed: str) -> Tree:
    """Return the connections that `swanctl --list-conns --pretty` prints, by name; ValueError for another form."""
    connections: Tree = {}
    for event in re.split(r"^list-conn event \{\n", printed.rpartition("list-conns reply {")[0], flags=re.MULTILINE)[
        1:
    ]:
        connections |= parse(event.rstrip().removesuffix("}"))
    return connections


def section(tree: Mapping[str, object], name: str) -> Tree:
    """Return a section of a tree; an empty one when there is none."""
    found = tree.get(name)
    return found if isinstance(found, dict) else {}


def seconds(value: str) -> str:
    """Return a duration such as `4h` in seconds."""
    found = re.fullmatch(r"(\d+)([smhd]?)", value.strip())
    return str(int(found[1]) * _UNITS[found[2]]) if found else value


def _plain(value: str) -> str:
    return value


def _words(value: str) -> str:
    return " ".join(value.replace(",", " ").split())


def _named(words: Mapping[str, str]) -> Callable[[str], str]:
    return lambda value: words.get(value, value)


_ACTIONS = _named({"restart": "start", "hold": "trap", "clear": "none"})
_CONNECTION: Mapping[str, Callable[[str], str]] = {
    "local_addrs": _words,
    "remote_addrs": _words,
    "version": _named({"1": "IKEv1", "2": "IKEv2"}),
    "reauth_time": seconds,
    "rekey_time": seconds,
    "dpd_delay": seconds,
}
_AUTHENTICATION: Mapping[str, Callable[[str], str]] = {
    "id": _plain,
    "auth": _named({"pubkey": "public key", "psk": "pre-shared key"}),
    "revocation": _named({"strict": "GOOD", "ifuri": "SKIPPED", "relaxed": ""}),
}
_CHILD: Mapping[str, Callable[[str], str]] = {
    "local_ts": _words,
    "remote_ts": _words,
    "rekey_time": seconds,
    "rekey_bytes": _plain,
    "dpd_action": _ACTIONS,
    "close_action": _ACTIONS,
}
_SHOWN_AS = {"auth": "class", "local_ts": "local-ts", "remote_ts": "remote-ts"}
NOT_SHOWN = "proposals, esp_proposals, encap, mobike, childless, keyingtries and start_action"
"""What a connection is given and `swanctl --list-conns` of strongSwan 5.9 does not print."""


def differences(loaded: Mapping[str, object], shown: Mapping[str, object]) -> list[str]:
    """Return where the daemon shows something else than what it was given, one sentence each, sorted.

    `loaded` is the tree of the configuration, `shown` the connections that the daemon lists.
    """
    given = section(loaded, "connections")
    found = [f"connection {name}: not in the daemon" for name in given.keys() - shown.keys()]
    found += [f"connection {name}: in the daemon, loaded by somebody else" for name in shown.keys() - given.keys()]
    for name in given.keys() & shown.keys():
        one, other = section(given, name), section(shown, name)
        found += _compared(f"connection {name}", _CONNECTION, one, other)
        for end in ("local", "remote"):
            found += _compared(
                f"connection {name}: {end}", _AUTHENTICATION, section(one, end), section(other, f"{end}-1")
            )
        found += _children(name, section(one, "children"), section(other, "children"))
        found += [
            f"connection {name}: {extra}: one more round of authentication"
            for extra in other
            if re.fullmatch(r"(local|remote)-[0-9]+", extra) and not extra.endswith("-1")
        ]
    return sorted(found)


def _children(connection: str, given: Tree, shown: Tree) -> Iterable[str]:
    found = [f"connection {connection}: child {name}: not in the daemon" for name in given.keys() - shown.keys()]
    found += [f"connection {connection}: child {name}: not declared" for name in shown.keys() - given.keys()]
    for name in given.keys() & shown.keys():
        where = f"connection {connection}: child {name}"
        found += _compared(where, _CHILD, section(given, name), section(shown, name))
        mode = str(section(given, name).get("mode", "tunnel")).upper()
        if section(shown, name).get("mode") != mode:
            found.append(f"{where}: mode is {section(shown, name).get('mode')}, loaded as {mode}")
    return found


def _compared(where: str, keys: Mapping[str, Callable[[str], str]], given: Tree, shown: Tree) -> list[str]:
    """Compare the keys that are given; the daemon leaves out what is empty."""
    found = []
    for key, spelt in keys.items():
        value = given.get(key)
        if not isinstance(value, str):
            continue
        expected = spelt(value)
        said = shown.get(_SHOWN_AS.get(key, key), "")
        actual = " ".join(said) if isinstance(said, tuple) else str(said)
        if actual != expected:
            found.append(f"{where}: {key} is {actual or 'unset'}, loaded as {expected or 'unset'}")
    return found


def initiated(text: str) -> tuple[tuple[str, str], ...]:
    """Return the children that this end starts, each after its connection, in the order of the configuration."""
    connections = section(parse(text), "connections")
    return tuple(
        (name, child)
        for name in connections
        for child, options in section(section(connections, name), "children").items()
        if isinstance(options, dict) and options.get("start_action") == "start"
    )


def initiated_children(text: str) -> tuple[str, ...]:
    """Return the names of the children that this end starts, in the order of the configuration."""
    return tuple(child for _, child in initiated(text))


def members(value: object) -> tuple[str, ...]:
    """Return the members of a list of the configuration, where commas separate them."""
    return tuple(member for member in (one.strip() for one in str(value).split(",")) if member)
