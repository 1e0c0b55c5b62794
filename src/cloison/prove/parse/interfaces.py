"""The interfaces section, as rendered and as read back: one line a thing, in the words of `ip -batch` and sysctl.

Source of the grammar: ip-link(8), ip-address(8), ip-route(8), ip-rule(8), ip-neighbour(8), tc(8). A word that is not
known makes its statement `Unmodelled`; where the statement could do anything, it is in `Stack.opaque` as well.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_interface
from typing import TYPE_CHECKING

from cloison.model import Untrusted
from cloison.prove.parse.complaints import ambiguous_routes, ambiguous_rules, complaints
from cloison.prove.parse.routes import Unknown, read_route
from cloison.prove.parse.rules import read_rule
from cloison.prove.parse.settings import Effect, effect_of
from cloison.prove.stack import Neighbour, OwnAddress, PolicyRule, Route, Setting, Stack
from cloison.prove.statement import Notice, Parsed, Place, Statement, Unmodelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloison.model import EquipmentName
    from cloison.prove.stack import Interface

__all__ = ["SECTION", "Stack", "parse_interfaces"]

SECTION = "interfaces"


def parse_interfaces(device: EquipmentName, text: str) -> Parsed[Stack]:
    """Return the stack that the section describes; a line that cannot be understood is in `unmodelled`, never lost.

    Lines are in the order in which they are made: of two that say the same thing differently, the last one counts.
    """
    reader = _Reader(device)
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            reader.take(number, line, words)
    return reader.result()


@lru_cache(maxsize=4096)
def _interface(text: str) -> Interface:
    return ip_interface(text)


class _Reader:
    """Takes one line after the other."""

    def __init__(self, device: EquipmentName) -> None:
        self.device = device
        self.read = 0
        self.up: set[str] = set()
        self.addresses: dict[tuple[Interface, str], OwnAddress] = {}
        self.routes: list[Route] = []
        self.rules: list[PolicyRule] = []
        self.settings: dict[str, Setting] = {}
        self.neighbours: list[Neighbour] = []
        self.opaque: list[Unmodelled] = []
        self.unmodelled: list[Unmodelled] = []
        self.notices: list[Notice] = []
        self.forms: dict[str, Callable[[Statement, list[str]], None]] = {
            "sysctl": self.take_setting,
            "link": self.take_link,
            "address": self.take_address,
            "route": self.take_route,
            "rule": self.take_rule,
            "neighbour": self.take_neighbour,
            "qdisc": self.take_queue,
        }

    def take(self, number: int, line: str, words: list[str]) -> None:
        """Read one line; what it does not say in known words is noted."""
        self.read += 1
        statement = Statement(Place(self.device, SECTION, number), Untrusted(line.strip()))
        take = self.forms.get(words[0])
        try:
            if take:
                take(statement, words)
            else:
                self.cannot_say(statement, words[0])
        except Unknown as unknown:
            self.cannot_say(statement, str(unknown))
        except (ValueError, IndexError):  # not an address, not a number, a word with no value
            self.cannot_say(statement, "a value that cannot be read")

    def cannot_say(self, statement: Statement, what: str) -> None:
        """Note a statement that may do anything."""
        self.unmodelled.append(Unmodelled(statement, Untrusted(what).shown(100)))
        self.opaque.append(self.unmodelled[-1])

    def take_setting(self, statement: Statement, words: list[str]) -> None:
        """`sysctl NAME=VALUE`."""
        name, equals, value = words[1].partition("=")
        if len(words) != 2 or not equals:  # noqa: PLR2004  the word and the setting
            raise Unknown(" ".join(words))
        effect = effect_of(name)
        if effect is Effect.UNKNOWN or not value.isdecimal() or (effect is Effect.ZERO_ONLY and int(value)):
            raise Unknown(words[1])
        self.settings[name] = Setting(statement, name, value)

    def take_link(self, _: Statement, words: list[str]) -> None:
        """`link set dev NAME up|down|mtu N …`."""
        if words[1:3] != ["set", "dev"] or len(words) < 5:  # noqa: PLR2004  the name and one word more
            raise Unknown(" ".join(words[:3]))
        rest = iter(words[4:])
        for word in rest:
            if word == "up":
                self.up.add(words[3])
            elif word == "down":
                self.up.discard(words[3])
            elif word == "mtu":
                int(next(rest, ""))  # a packet that is too long goes nowhere else than a short one
            else:
                raise Unknown(word)

    def take_address(self, statement: Statement, words: list[str]) -> None:
        """`address replace ADDRESS/LENGTH dev NAME`."""
        if words[1] != "replace" or words[3] != "dev":
            raise Unknown(" ".join(words))
        own = OwnAddress(statement, words[4], _interface(words[2]))
        self.addresses[own.address, own.interface] = own
        if len(words) > 5:  # noqa: PLR2004  a sixth word
            raise Unknown(" ".join(words[5:]))

    def take_route(self, statement: Statement, words: list[str]) -> None:
        """`route replace [KIND] DESTINATION …`."""
        if words[1] != "replace":
            raise Unknown(words[1])
        self.routes.append(read_route(statement, words[2:]))

    def take_rule(self, statement: Statement, words: list[str]) -> None:
        """`rule add priority N …`."""
        if words[1] != "add":
            raise Unknown(words[1])
        self.rules.append(read_rule(statement, words[2:]))

    def take_neighbour(self, statement: Statement, words: list[str]) -> None:
        """`neighbour replace ADDRESS lladdr MAC dev NAME nud permanent`: it decides who gets what is sent to it."""
        if [words[1], words[3], words[5], *words[7:]] != ["replace", "lladdr", "dev", "nud", "permanent"]:
            raise Unknown(" ".join(words))
        octets = [int(octet, 16) for octet in words[4].split(":")]
        mac = int.from_bytes(bytes(octets), "big")
        if len(octets) != 6:  # noqa: PLR2004  of an EUI-48
            raise Unknown(words[4])
        self.neighbours.append(Neighbour(statement, words[6], _interface(words[2]).ip, mac))
        self.notices.append(Notice(statement, "somebody fixed who owns an address; it is sent there unasked"))

    def take_queue(self, statement: Statement, words: list[str]) -> None:
        """`qdisc ingress|clsact dev NAME`: it can hold filters that copy frames or send them elsewhere."""
        if words[1] in {"ingress", "clsact"} and words[2] == "dev":
            self.notices.append(Notice(statement, f"frames that come in by {words[3]} can be copied or redirected"))
        raise Unknown(" ".join(words))

    def result(self) -> Parsed[Stack]:
        """Return the stack of every line so far."""
        for route, why in list(ambiguous_routes(self.routes)):
            self.routes[self.routes.index(route)] = replace(route, unmodelled=why)
        for rule, why in list(ambiguous_rules(self.rules)):
            self.rules[self.rules.index(rule)] = replace(rule, unmodelled=why)
        self.unmodelled += [route.unmodelled for route in self.routes if route.unmodelled]
        self.unmodelled += [rule.unmodelled for rule in self.rules if rule.unmodelled]
        stack = Stack(
            self.device,
            frozenset(self.up),
            tuple(self.addresses.values()),
            tuple(self.routes),
            tuple(self.rules),
            self.settings,
            tuple(self.neighbours),
            tuple(self.opaque),
        )
        return Parsed(stack, self.read, tuple(self.unmodelled), (*self.notices, *complaints(stack, SECTION)))
