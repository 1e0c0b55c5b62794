"""The tunnels section: swanctl.conf, and the lines `differs: …` that the read-back adds to it.

Source of the words: swanctl.conf(5) of strongSwan 5.9. A word that is not known makes its statement `Unmodelled`.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network, summarize_address_range
from typing import TYPE_CHECKING, Final

from cloison.errors import DeviceError
from cloison.model import Untrusted
from cloison.prove.statement import Notice, Parsed, Place, Statement, Unmodelled
from cloison.prove.tunnels import Child, Connection, Connections, Peer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.model import EquipmentName
    from cloison.prove.tunnels import Address, Network

__all__ = ["SECTION", "Connections", "parse_tunnels"]

SECTION = "tunnels"
_DEEPEST: Final = 16
_LINE: Final = re.compile(r'\s*(?:(\})|([\w.%*-]+)\s*(?:(\{)|=\s*(?:"([^"]*)"|([^#"{}]*?))))\s*(?:#.*)?')
"""A closing brace; or a name and an opening brace; or a key and a value, quoted or not."""
_PIECES: Final = re.compile(r'"[^"]*"|#.*|([{}])')

_TIMES: Final = ("reauth_time", "rekey_time", "over_time", "rand_time", "dpd_delay", "dpd_timeout")
_IKE: Final = ("version", "local_addrs", "remote_addrs", "proposals", "childless", "unique", "keyingtries")
_MESSAGES: Final = ("encap", "mobike", "fragmentation", "send_cert", "send_certreq", "dscp")
_CONNECTION: Final = frozenset((*_TIMES, *_IKE, *_MESSAGES))
_AUTHENTICATION: Final = frozenset(("auth", "certs", "id", "cacerts", "revocation"))
_LIVES: Final = ("rekey_time", "rekey_bytes", "rekey_packets", "life_time", "life_bytes", "life_packets", "rand_time")
_ACTIONS: Final = ("start_action", "close_action", "dpd_action", "inactivity")
_CHILD: Final = frozenset(("local_ts", "remote_ts", "esp_proposals", "mode", "replay_window", *_LIVES, *_ACTIONS))
_NEUTRAL: Final = {"policies": "yes", "if_id_in": "0", "if_id_out": "0", "hostaccess": "no", "ipcomp": "no"}
"""Words whose usual value changes nothing; with another one, packets may go another way."""
_ANY: Final = frozenset(("%any", "%any4", "%any6", "0.0.0.0/0", "::/0"))


class Node:
    """One section of the file: its values and its sections, each with the statement where it stands."""

    def __init__(self, statement: Statement) -> None:
        self.statement = statement
        self.values: dict[str, tuple[str, Statement]] = {}
        self.sections: dict[str, Node] = {}

    def value(self, key: str, default: str = "") -> str:
        """Return the value of a key."""
        return self.values[key][0] if key in self.values else default

    def where(self, key: str) -> Statement:
        """Return the statement of a key; that of the section where the key is not there."""
        return self.values[key][1] if key in self.values else self.statement


def parse_tunnels(device: EquipmentName, text: str) -> Parsed[Connections]:
    """Return the connections of a file; DeviceError where its braces do not match.

    Of a key that is there twice the last one counts, and sections of one name are one, as for strongSwan.
    """
    reader = _Reader(device)
    root = reader.tree(text)
    connections = tuple(reader.connections(root))
    return Parsed(Connections(device, connections), reader.read, tuple(reader.unmodelled), tuple(reader.notices))


class _Reader:
    def __init__(self, device: EquipmentName) -> None:
        self.device = device
        self.read = 0
        self.unmodelled: list[Unmodelled] = []
        self.notices: list[Notice] = []

    def cannot_say(self, statement: Statement, what: str) -> None:
        """Note what is not modelled."""
        self.unmodelled.append(Unmodelled(statement, Untrusted(what).shown(100)))

    def tree(self, text: str) -> Node:
        """Return the sections of a file."""
        root = Node(Statement(Place(self.device, SECTION, 0), Untrusted("")))
        inside = [root]
        for number, given in enumerate(text.splitlines(), 1):
            for piece in (given,) if _LINE.fullmatch(given) else _pieces(given):
                line = piece.strip()
                if line and not line.startswith("#"):
                    self._take(inside, Statement(Place(self.device, SECTION, number), Untrusted(line)), line)
        if len(inside) > 1:
            raise DeviceError(self.device, f"{inside[-1].statement}: the brace is not closed")
        return root

    def _take(self, inside: list[Node], statement: Statement, line: str) -> None:
        found = _LINE.fullmatch(line)
        self.read += 1
        if found is None:
            self._take_other(inside, statement, line)
            return
        close, key, opened, quoted, value = found.groups()
        if close:
            self.read -= 1
            if len(inside) == 1:
                raise DeviceError(self.device, f"{statement}: a brace too many")
            inside.pop()
        elif opened:
            if len(inside) > _DEEPEST:
                raise DeviceError(self.device, f"{statement}: sections too deep in one another")
            inside.append(inside[-1].sections.setdefault(key, Node(statement)))
        else:
            inside[-1].values[key] = (quoted if quoted is not None else value, statement)

    def _take_other(self, inside: list[Node], statement: Statement, line: str) -> None:
        if line.startswith("differs: ") and len(inside) == 1:
            self.notices.append(
                Notice(statement, f"the IKE daemon runs something else: {Untrusted(line[9:]).shown(200)}")
            )
            return
        self.cannot_say(statement, line.split(maxsplit=1)[0] if line.startswith("include") else line)
        if line.endswith("{"):
            inside.append(Node(statement))

    def _known(self, node: Node, known: frozenset[str], sections: frozenset[str] | None = frozenset()) -> None:
        """Note every key and section that is not known."""
        for key, (value, statement) in node.values.items():
            if key not in known and _NEUTRAL.get(key) != value:
                self.cannot_say(statement, key)
        for name, section in node.sections.items():
            if sections is not None and name not in sections:
                self.cannot_say(section.statement, name)

    def connections(self, root: Node) -> Iterator[Connection]:
        """Yield the connections; an authority says where revocation lists are, which decides nothing here."""
        self._known(root, frozenset(), frozenset(("connections", "authorities")))
        under = root.sections.get("connections")
        if under:
            self._known(under, frozenset(), None)
            for name, node in under.sections.items():
                yield self._connection(name, node)

    def _connection(self, name: str, node: Node) -> Connection:
        self._known(node, _CONNECTION, frozenset(("local", "remote", "children")))
        version = node.value("version", "0")
        if version != "2":
            self.notices.append(Notice(node.where("version"), f"version {version}: the connection can be IKEv1"))
        children = node.sections.get("children")
        if children:
            self._known(children, frozenset(), None)
        local, remote = self._addresses(node, "local_addrs"), self._addresses(node, "remote_addrs")
        inner = children.sections.items() if children else ()
        return Connection(
            statement=node.statement,
            name=name,
            version=version,
            local=local,
            remote=remote,
            proposals=_words(node.value("proposals", "default")),
            childless=node.value("childless", "allow"),
            own=self._peer(node, "local"),
            peer=self._peer(node, "remote"),
            children=tuple(self._child(child, inside, local, remote) for child, inside in inner),
        )

    def _addresses(self, node: Node, key: str) -> tuple[Address, ...] | None:
        """Return the addresses of a list; None where any address will do."""
        words = _words(node.value(key, "%any"))
        if not words or _ANY & set(words):
            return None
        try:
            return tuple(ip_address(word) for word in words)
        except ValueError:  # a name, a network, a range
            self.cannot_say(node.where(key), key)
            return None

    def _peer(self, node: Node, end: str) -> Peer:
        inside = node.sections.get(end)
        if inside is None:
            self.notices.append(Notice(node.statement, f"nobody says who is at the {end} end"))
            return Peer(node.statement, "pubkey", "%any")
        self._known(inside, _AUTHENTICATION)
        method, identity = inside.value("auth", "pubkey"), inside.value("id", "%any" if end == "remote" else "")
        if method != "pubkey":
            self.notices.append(
                Notice(inside.where("auth"), f"authenticated by {Untrusted(method).shown(50)}, not by key")
            )
        if end == "remote" and (identity in _ANY or "*" in identity):
            self.notices.append(Notice(inside.where("id"), "whoever has a certificate is taken for the peer"))
        if end == "remote" and inside.value("revocation", "relaxed") != "strict":
            self.notices.append(Notice(inside.where("revocation"), "a certificate is taken though it may be revoked"))
        return Peer(inside.where("id"), method, identity)

    def _child(
        self, name: str, node: Node, local: tuple[Address, ...] | None, remote: tuple[Address, ...] | None
    ) -> Child:
        self._known(node, _CHILD)
        proposals = _words(node.value("esp_proposals", "default"))
        if any("null" in proposal.split("-") for proposal in proposals):
            self.notices.append(Notice(node.where("esp_proposals"), "packets are not encrypted"))
        if node.value("replay_window") == "0":
            self.notices.append(Notice(node.where("replay_window"), "a packet is taken twice"))
        if node.value("mode", "tunnel") != "tunnel":
            self.cannot_say(node.where("mode"), f"mode {node.value('mode')}")
        return Child(
            statement=node.statement,
            name=name,
            local=self._selectors(node, "local_ts", local),
            remote=self._selectors(node, "remote_ts", remote),
            proposals=proposals,
            starts=node.value("start_action", "none") not in {"none", ""},
        )

    def _selectors(self, node: Node, key: str, addresses: tuple[Address, ...] | None) -> tuple[Network, ...]:
        """Return the networks of a list of traffic selectors; `dynamic` is the address of the IKE daemon itself."""
        found: list[Network] = []
        for word in _words(node.value(key, "dynamic")):
            try:
                if word in {"dynamic", "%dynamic"}:
                    if addresses is None:
                        self.cannot_say(node.where(key), "dynamic, of an address that is not known")
                    found += [ip_network(address) for address in addresses or ()]
                elif "-" in word:
                    first, _, last = word.partition("-")
                    found += summarize_address_range(ip_address(first), ip_address(last))
                else:
                    found.append(ip_network(word, strict=False))
            except (ValueError, TypeError):  # a protocol or a port, or nothing that can be read
                self.cannot_say(node.where(key), word)
        return tuple(found)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _pieces(line: str) -> Iterator[str]:
    """Yield the parts of a line that holds several braces, each brace at the end of its part or alone."""
    at = 0
    for found in _PIECES.finditer(line):
        if found[0].startswith("#"):
            break
        if found[1] == "{":
            yield line[at : found.end()]
            at = found.end()
        elif found[1] == "}":
            yield line[at : found.start()]
            yield "}"
            at = found.end()
    yield line[at:]
