"""Which tunnels come up between devices, and which packets they carry.

A tunnel needs two ends that name each other, agree on algorithms and have selectors in common: IKEv2 narrows to what
both allow (RFC 7296 section 2.9). Inner packets are checked against the selectors of the very security association that
they came through (RFC 4301 section 5.2; kernel-libipsec of strongSwan does so).
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

from cloison.prove.fib import bounds
from cloison.prove.packet import ETHERNET_IPV4, ETHERNET_IPV6
from cloison.prove.statement import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cloison.model import EquipmentName
    from cloison.prove.packet import Frames
    from cloison.prove.space import Region
    from cloison.prove.stack import Stack
    from cloison.prove.statement import Statement
    from cloison.prove.tunnels import Address, Child, Connection, Connections, Network

_KINDS: Final = re.compile(
    r"(?P<cipher>aes|camellia|chacha|3des|cast|blowfish|serpent|twofish|des|null)|(?P<integrity>sha|md5)|(?P<prf>prf)"
    r"|(?P<group>modp|ecp|x25519|curve|x448|ke)|(?P<esn>esn|noesn)"
)


@dataclass(frozen=True, slots=True)
class End:
    """One end of a security association."""

    device: EquipmentName
    address: Address | None
    """Where it is reached from outside; None where neither end says it."""
    selectors: tuple[Network, ...]
    """What both ends let be behind it."""
    statement: Statement
    """The child of this end's configuration."""


@dataclass(frozen=True, slots=True)
class SecurityAssociation:
    """A pair of security associations as negotiated (CHILD_SA)."""

    name: str
    """The name of the child at the end that brings it up."""
    one: End
    """The end that brings it up."""
    other: End

    def ends(self, device: EquipmentName) -> tuple[End, End]:
        """Return the end at a device and the one across; ValueError for a device that it does not end at."""
        if device == self.one.device:
            return self.one, self.other
        if device == self.other.device:
            return self.other, self.one
        raise ValueError(device)


@dataclass(frozen=True, slots=True)
class _Side:
    """A connection and whose it is."""

    device: EquipmentName
    connection: Connection


def agreed(
    connections: Mapping[EquipmentName, Connections], up: Callable[[str], bool]
) -> tuple[tuple[SecurityAssociation, ...], tuple[Notice, ...]]:
    """Return the security associations that come up, and what keeps the two ends of others from agreeing.

    `up` says of a name whether that tunnel is taken to be up; the notices do not depend on it.
    """
    sides = [_Side(device, one) for device, of in connections.items() for one in of.connections]
    index = _index(sides)
    found: dict[frozenset[int], SecurityAssociation] = {}
    notices: list[Notice] = []
    for side in sides:
        partners = list(_partners(side, index))
        if not partners:
            notices.append(Notice(side.connection.statement, f"no device has the other end of {side.connection.name}"))
        for partner in partners[:1]:
            problems = list(_disagreements(side.connection, partner.connection))
            notices += [Notice(statement, what) for statement, what in problems]
            if not problems:
                _negotiate(side, partner, found, notices)
    return tuple(one for one in found.values() if up(one.name)), tuple(dict.fromkeys(notices))


_Ends = tuple["Address | None", "Address | None"]
"""The address of one end and of the other; None where any will do."""


def _index(sides: Iterable[_Side]) -> dict[_Ends, list[_Side]]:
    """Return the connections by the addresses of their ends, and once more by that of the other end alone."""
    index: defaultdict[_Ends, list[_Side]] = defaultdict(list)
    for side in sides:
        remotes = side.connection.remote or (None,)
        for ends in {*product(side.connection.local or (None,), remotes), *product((None,), remotes)}:
            index[ends].append(side)
    return index


def _partners(side: _Side, index: Mapping[_Ends, Sequence[_Side]]) -> list[_Side]:
    """Return the connections of other devices that name this one as it names them, those that fit best first."""
    mine = side.connection
    locals_, remotes = (*(mine.local or ()), None), mine.remote or (None,)
    candidates = [one for ends in product(remotes, locals_) for one in index.get(ends, ())]
    fitting = {
        id(one): one
        for one in candidates
        if one.device != side.device and (mine.remote is None or _among(mine.remote, one.connection.local))
    }
    return sorted(fitting.values(), key=lambda one: not _know_each_other(mine, one.connection))


def _among(wanted: tuple[Address, ...], has: tuple[Address, ...] | None) -> bool:
    return has is None or bool(set(wanted) & set(has))


def _names(wanted: str, has: str) -> bool:
    return wanted in {has, "%any"} or ("*" in wanted and has.endswith(wanted.rpartition("*")[2]))


def _know_each_other(one: Connection, other: Connection) -> bool:
    return _names(one.peer.identity, other.own.identity) and _names(other.peer.identity, one.own.identity)


def _disagreements(mine: Connection, theirs: Connection) -> Iterator[tuple[Statement, str]]:
    """Yield why a connection does not come up with its other end, with the statement of this end."""
    if not _names(mine.peer.identity, theirs.own.identity):
        yield mine.peer.statement, f"the other end of {mine.name} has another identity than is expected here"
    elif not _names(theirs.peer.identity, mine.own.identity):
        yield mine.own.statement, f"the other end of {mine.name} expects another identity than this one"
    if mine.peer.method != theirs.own.method:
        yield mine.peer.statement, f"the other end of {mine.name} authenticates itself in another way"
    if {mine.version, theirs.version} == {"1", "2"}:
        yield mine.statement, f"the other end of {mine.name} speaks another version of IKE"
    if {mine.childless, theirs.childless} in ({"force", "never"}, {"force", "allow"}) and "never" in {
        mine.childless,
        theirs.childless,
    }:
        yield mine.statement, f"one end of {mine.name} makes the tunnel with the connection, the other apart from it"
    if not _common(mine.proposals, theirs.proposals):
        yield mine.statement, f"the ends of {mine.name} have no algorithms of IKE in common"


def _negotiate(
    side: _Side,
    partner: _Side,
    found: dict[frozenset[int], SecurityAssociation],
    notices: list[Notice],
) -> None:
    """Add the security associations that this side brings up; note what is wrong about its children."""
    for child in side.connection.children:
        answer = _answering(child, partner.connection.children)
        if answer is None:
            notices.append(Notice(child.statement, f"the other end has no selectors in common with {child.name}"))
            continue
        own, across = _narrowed(child.local, answer.remote), _narrowed(child.remote, answer.local)
        if set(own) != set(child.local) or set(across) != set(child.remote):
            notices.append(Notice(child.statement, f"the selectors of {child.name} are not those of the other end"))
        if not _common(child.proposals, answer.proposals):
            notices.append(Notice(child.statement, f"the ends of {child.name} have no algorithms of ESP in common"))
        elif not (child.starts or answer.starts):
            notices.append(Notice(child.statement, f"neither end brings {child.name} up"))
        elif child.starts:
            key = frozenset((id(child), id(answer)))  # both ends may bring it up
            one = End(side.device, _address(side, partner), own, child.statement)
            other = End(partner.device, _address(partner, side), across, answer.statement)
            found.setdefault(key, SecurityAssociation(child.name, one, other))


def _address(side: _Side, partner: _Side) -> Address | None:
    """Return the outer address of a side: what it says of itself, or what its partner says of it."""
    known = side.connection.local or partner.connection.remote
    return known[0] if known else None


def _answering(child: Child, answers: Iterable[Child]) -> Child | None:
    """Return the child of the responder that is taken: the one whose selectors are the same, or the first that can."""
    able = [one for one in answers if _narrowed(child.local, one.remote) and _narrowed(child.remote, one.local)]
    same = (one for one in able if (set(one.local), set(one.remote)) == (set(child.remote), set(child.local)))
    return next(same, able[0] if able else None)


def _narrowed(one: Iterable[Network], other: Iterable[Network]) -> tuple[Network, ...]:
    """Return the networks that both have."""
    both: dict[Network, None] = {}
    for mine, theirs in product(one, other):
        if mine.version == theirs.version and mine.overlaps(theirs):
            both[mine if mine.prefixlen >= theirs.prefixlen else theirs] = None
    return tuple(both)


def _common(mine: Iterable[str], theirs: Iterable[str]) -> bool:
    """Tell whether two lists of proposals have one in common: for every kind of algorithm, an algorithm."""
    return any(one == other or _agree(_by_kind(one), _by_kind(other)) for one, other in product(mine, theirs))


def _agree(one: Mapping[str, set[str]], other: Mapping[str, set[str]]) -> bool:
    """Tell whether two proposals can agree; the pseudo-random function follows from the rest where it is not said."""
    if not one or not other:  # `default`: a list that depends on how strongSwan was built, and that is long
        return True
    kinds = {kind for kind in (*one, *other) if kind not in {"prf", "esn"} or (kind in one and kind in other)}
    return all(one.get(kind, set()) & other.get(kind, set()) for kind in kinds)


def _by_kind(proposal: str) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for word in proposal.split("-") if proposal != "default" else ():
        kind = _KINDS.match(word)
        found[kind.lastgroup if kind and kind.lastgroup else "other"].add(word)
    return found


# --- what they carry -------------------------------------------------------------------------------------------------


class Carried:
    """The packets that security associations carry."""

    def __init__(self, frames: Frames, associations: Iterable[SecurityAssociation]) -> None:
        self._frames = frames
        self._by_device: defaultdict[EquipmentName, list[SecurityAssociation]] = defaultdict(list)
        for one in associations:
            self._by_device[one.one.device].append(one)
            if one.other.device != one.one.device:
                self._by_device[one.other.device].append(one)

    def of(self, device: EquipmentName) -> tuple[SecurityAssociation, ...]:
        """Return the associations that end at a device."""
        return tuple(self._by_device.get(device, ()))

    def outbound(self, device: EquipmentName) -> dict[SecurityAssociation, Region]:
        """Return, for each association, the packets that a device may send through it.

        Their source is among its own selectors, their destination among those of the other end. What is in two of them
        goes through one of the two; see `contested`.
        """
        found = {}
        for association in self.of(device):
            own, across = association.ends(device)
            found[association] = self._between(own.selectors, across.selectors)
        return found

    def inbound(self, device: EquipmentName) -> Region:
        """Return the inner packets that can come out of the tunnel interface of a device, whoever sends them.

        Their source is among the selectors of a peer, their destination among the device's own of the same association.
        """
        by_own: defaultdict[tuple[Network, ...], list[Network]] = defaultdict(list)
        for association in self.of(device):
            own, across = association.ends(device)
            by_own[own.selectors] += across.selectors
        return self._frames.union(self._between(across, own) for own, across in by_own.items())

    def contested(self, device: EquipmentName) -> Region:
        """Return the packets that more than one association of a device would take: it is not modelled which does."""
        contested, regions = self._frames.nothing, list(self.outbound(device).values())
        while len(regions) > 1:
            pairs = list(zip(regions[::2], regions[1::2], strict=False))
            contested |= self._frames.union(one & other for one, other in pairs)
            regions = [one | other for one, other in pairs] + regions[len(regions) & ~1 :]
        return contested

    def routes(self, device: EquipmentName, stack: Stack) -> tuple[tuple[Network, ...], tuple[Notice, ...]]:
        """Return the prefixes that the IKE daemon routes into the tunnel interface of a device.

        It routes only where one of the device's own addresses is among its own selectors (strongSwan's
        kernel-libipsec, measured): a notice says where there is none.
        """
        own_addresses = [own.address.ip for own in stack.addresses]
        found: dict[Network, None] = {}
        notices = []
        for association in self.of(device):
            own, across = association.ends(device)
            if any(address in network for network in own.selectors for address in own_addresses):
                found |= dict.fromkeys(across.selectors)
            else:
                what = f"no address of the device is in the selectors of {association.name}: nothing is routed there"
                notices.append(Notice(own.statement, what))
        return tuple(found), tuple(notices)

    def _between(self, sources: Iterable[Network], destinations: Iterable[Network]) -> Region:
        found = []
        for version, ethernet_type in ((4, ETHERNET_IPV4), (6, ETHERNET_IPV6)):
            source = frozenset(bounds(network) for network in sources if network.version == version)
            destination = frozenset(bounds(network) for network in destinations if network.version == version)
            if source and destination:
                found.append(self._frames.box(ethernet_type=ethernet_type, source=source, destination=destination))
        return self._frames.union(found)
