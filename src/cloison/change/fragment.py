"""A section of a device that several sites share: a fragment for each of them, and one for the device itself.

    Sharing(intent: Intent, device: EquipmentName, tunnels: str = "")  # tunnels: that section as it runs
        .fragments(section: Section) -> Mapping[Name | None, str]      # None is the device itself
        .stale(planned: Section, now: Section, sites: Collection[Name | None]) -> tuple[Name | None, ...]
        .merge(running: Section, candidate: Section, sites: Collection[Name | None]) -> Section
    sites_on(device: EquipmentName, sites: Collection[Name]) -> Collection[Name | None] | None   # None: all of it
    sharing_devices(intent: Intent, site: Name) -> tuple[EquipmentName, ...]

All texts are canonical ones. A rule, an element of a set, a connection or a line belongs to the one other site whose
addresses or tunnel it names; what names none, or two, belongs to the device. So a change of one commune makes nobody
else's plan stale, and going back from it takes nothing of anybody else back.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from cloison.change.statements import ADDRESS, Layout, Place, Statement, Text, insert, layout_of, parse
from cloison.errors import RefusedError
from cloison.model import EquipmentName, Name
from cloison.render.config import Section, SectionName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from cloison.intent.network import Intent

Owner = Name | None
"""A site; None for the device itself."""
_REMOTE = re.compile(r"remote_(?:addrs|ts) = (.*)")
_EVERY_BIT = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class _Split:
    """A section taken apart."""

    own: Text
    """What is left of it when the statements of all other sites are taken out."""
    others: Mapping[Name, tuple[tuple[str, Statement], ...]]
    """The statements of each other site, with the path of the place that they stand in."""

    def text(self, owner: Owner) -> str:
        """Return a fragment as a text: the same for the same statements, however a tool lays them out."""
        if owner is None:
            return self.own.show(Layout())
        lines = []
        for path, statement in self.others.get(owner, ()):
            before = f" before {statement.group!r}" if statement.group else ""
            lines.append(f"{path}{before}: {Layout().show(statement)}\n")
        return "".join(lines)


@dataclass(frozen=True)
class Sharing:
    """Tells whose is what in the sections of one device."""

    intent: Intent = field(repr=False)
    device: EquipmentName
    tunnels: str = field(default="", repr=False)
    """The tunnels section as it runs: a site that gets another address is known by the one that it had, too."""

    def fragments(self, section: Section) -> Mapping[Owner, str]:
        """Return the fragment of the device, and of every other site that has one: texts to compare and to hash."""
        split = self._split(section)
        return {owner: split.text(owner) for owner in (None, *sorted(split.others))}

    def hashes(self, section: Section) -> Mapping[Owner, str]:
        """Return the SHA-256 of every fragment, in hexadecimal."""
        return {owner: hashlib.sha256(text.encode()).hexdigest() for owner, text in self.fragments(section).items()}

    def stale(self, planned: Section, now: Section, sites: Collection[Owner]) -> tuple[Owner, ...]:
        """Return whose fragments, of these sites and of the device itself, are no longer what was planned on."""
        if planned.text == now.text:
            return ()
        before, after = self._split(planned), self._split(now)
        concerned = {None, *sites}
        return tuple(
            owner
            for owner in sorted(concerned, key=lambda owner: owner or "")
            if before.text(owner) != after.text(owner)
        )

    def merge(self, running: Section, candidate: Section, sites: Collection[Owner]) -> Section:
        """Return the section with the fragments of these sites as in the candidate, and all others as they run.

        None among the sites takes the device's own fragment from the candidate too. Raises RefusedError where what
        runs has no place for a fragment: the device itself has to be changed first.
        """
        now, then = self._split(running), self._split(candidate)
        own = then.own if None in sites else now.own
        names = now.others.keys() | then.others.keys()
        chosen = {name: (then if name in sites else now).others.get(name, ()) for name in sorted(names)}
        text = self._joined(own, chosen, layout_of(running.text, candidate.text))
        return running if text == running.text else candidate if text == candidate.text else _section(running, text)

    def join(self, section: Section) -> Section:
        """Return a section taken apart and put together again: itself."""
        split = self._split(section)
        return _section(section, self._joined(split.own, split.others, layout_of(section.text)))

    def _joined(self, own: Text, others: Mapping[Name, Iterable[tuple[str, Statement]]], layout: Layout) -> str:
        at: dict[str, list[Statement]] = defaultdict(list)
        whose: dict[str, Name] = {}
        for name, statements in others.items():
            for path, statement in statements:
                at[path].append(statement)
                whose[path] = name
        pieces: list[str | Place] = []
        for piece in own.pieces:
            if isinstance(piece, Place) and piece.path in at:
                found = insert(piece, at.pop(piece.path))
                if found is None:
                    raise self._no_place(piece.path, whose[piece.path])
                pieces.append(found)
            else:
                pieces.append(piece)
        if at:
            path = min(at)
            raise self._no_place(path, whose[path])
        return Text(tuple(pieces)).show(layout)

    def _no_place(self, path: str, site: Name) -> RefusedError:
        return RefusedError(
            f"{self.device} runs no {path} that the part of {site} could stand in; bring {self.device.site} itself to "
            f"what is declared first: cloison plan --site {self.device.site}"
        )

    def _split(self, section: Section) -> _Split:
        parsed, layout = parse(section.name, section.text), layout_of(section.text)
        others: dict[Name, list[tuple[str, Statement]]] = defaultdict(list)
        pieces: list[str | Place] = []
        for piece in parsed.pieces:
            if isinstance(piece, str):
                pieces.append(piece)
                continue
            own, found = self._apart(piece)
            again = insert(own, (statement for statements in found.values() for statement in statements))
            if again is None or Text((again,)).show(layout) != Text((piece,)).show(layout):
                pieces.append(piece)  # it would not come back as it is: all of it is the device's
                continue
            pieces.append(own)
            for name, statements in found.items():
                others[name] += [(piece.path, statement) for statement in statements]
        return _Split(Text(tuple(pieces)), {name: tuple(statements) for name, statements in others.items()})

    def _apart(self, place: Place) -> tuple[Place, dict[Name, list[Statement]]]:
        own = Place(place.path, place.depth)
        others: dict[Name, list[Statement]] = defaultdict(list)
        for statement in place.statements:
            if statement.key is None:
                own.statements.append(statement)
                continue
            for owner, part in self._parts(statement):
                (own.statements if owner is None else others[owner]).append(part)
        return own, dict(sorted(others.items()))

    def _parts(self, statement: Statement) -> Iterator[tuple[Owner, Statement]]:
        """Yield who owns which elements of a statement, or who owns it whole."""
        if statement.elements is None:
            owner = self._of_connection(statement.name) if statement.name else None
            yield owner or self._of_text(statement.text), statement
            return
        whole = self._of_text(statement.text)
        listed: dict[Owner, list[str]] = defaultdict(list)
        for element in sorted(statement.elements, key=Layout().order):
            listed[whole or self._of_text(element)].append(element)
        for owner, elements in listed.items():
            yield owner, replace(statement, elements=tuple(elements))

    def _of_text(self, text: str) -> Owner:
        found = {self._of_address(*match.groups()) for match in ADDRESS.finditer(text)} - {None, self.device.site}
        return found.pop() if len(found) == 1 else None

    def _of_address(self, address: str, length: str | None) -> Owner:
        try:
            number = int(IPv4Address(address))
        except ValueError:
            return None
        for size, sites in self._networks.items():
            if size <= int(length or 32):
                found = sites.get(number & (_EVERY_BIT << (32 - size)))
                if found is not None:
                    return found
        return None

    @cached_property
    def _networks(self) -> Mapping[int, Mapping[int, Name]]:
        """The sites by the length and the number of their prefixes, those of the WAN too."""
        found: dict[int, dict[int, Name]] = defaultdict(dict)
        for site in self.intent.sites:
            for network in (site.prefix, IPv4Network(site.wan_address.ip)):
                found[network.prefixlen][int(network.network_address)] = site.name
        for place in parse(SectionName.TUNNELS, self.tunnels).places:
            for connection in place.statements:
                if owner := self._of_connection(connection.name):
                    for network in _remote(connection.text):
                        found[network.prefixlen].setdefault(int(network.network_address), owner)
        return found

    def _of_connection(self, name: str) -> Owner:
        """Return the other site of a tunnel by its name, `<declaration>-<initiating site>--<responding site>`."""
        first, _, last = name.partition("--")
        words = first.split("-")
        ends = {"-".join(words[start:]) for start in range(1, len(words))} | {last}
        found = (self.intent.site_by_name.keys() & ends) - {self.device.site}
        return found.pop() if len(found) == 1 else None


def _remote(connection: str) -> Iterator[IPv4Network]:
    """Yield what a connection of swanctl.conf has at its other end."""
    for values in _REMOTE.findall(connection):
        for address, length in ADDRESS.findall(values):
            with contextlib.suppress(ValueError):
                yield IPv4Network(f"{address}/{length or 32}", strict=False)


def _section(like: Section, text: str) -> Section:
    return Section(name=like.name, text=text)


def sites_on(device: EquipmentName, sites: Collection[Name]) -> Collection[Owner] | None:
    """Return whose fragments of a device change when these sites do; None for all of it, at a site of its own."""
    return None if device.site in sites else tuple(sites)


def sharing_devices(intent: Intent, site: Name) -> tuple[EquipmentName, ...]:
    """Return the firewalls of other sites that the tunnels of a site lead to: those that hold a fragment of it."""
    own = intent.site_by_name[site].firewall.name
    found = {end.firewall for tunnel in intent.tunnels_of(own) for end in (tunnel.initiator, tunnel.responder)}
    return tuple(sorted(found - {own}))
