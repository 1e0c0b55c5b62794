"""Which tracked connections the rules of a firewall refuse: what would become of each one's first packet, came it now.

A rule that is taken away does not cut what is under way: an established connection is accepted for being established.
So its entry is deleted, and just those entries: one that the rules would let open again is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from cloison.model import EquipmentName
from cloison.prove.configuration import Reading
from cloison.prove.firewall import TUNNEL_INTERFACE, Firewall
from cloison.prove.packet import (
    ETHERNET_IPV4,
    ETHERNET_IPV6,
    ICMP,
    ICMPV6,
    SYN,
    TCP,
    UDP,
    WITH_PORTS,
    Connection,
    Fragment,
    Frames,
)
from cloison.prove.routing import Routing
from cloison.prove.stack import LOOPBACK
from cloison.prove.tunnel import Carried, End, SecurityAssociation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cloison.prove.configuration import Configuration, Running
    from cloison.prove.ruleset import Hook
    from cloison.prove.space import Region
    from cloison.prove.stack import Address

_ACROSS: Final = EquipmentName("tunnel/across")
"""Stands for whoever is at the other end of a tunnel, which is no matter here."""
_LOOSE: Final = "net.netfilter.nf_conntrack_tcp_loose"
_NAMES: Final = {TCP: "tcp", UDP: "udp", 33: "dccp", 132: "sctp", 136: "udplite", ICMP: "icmp", ICMPV6: "icmpv6"}
"""The protocols that conntrack(8) can select entries of in full, as it calls them."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One entry of the table of tracked connections, by its first packet."""

    version: Literal[4, 6]
    protocol: int
    name: str
    """What the device calls the protocol; untrusted."""
    source: Address
    destination: Address
    source_port: int
    """The code of an ICMP message; 0 where there are no ports."""
    destination_port: int
    """The type of an ICMP message."""
    identifier: int | None = None
    """Of an ICMP message."""
    translated: bool = False
    """True when the answers are not of who was asked, to who asked."""
    zone: bool = False
    """True when it is in a zone of its own, and so not alone with its addresses and ports."""

    @property
    def words(self) -> str:
        """The words of conntrack(8) that select it and no other; empty where there are none such."""
        name = _NAMES.get(self.protocol)
        if name is None or self.zone:
            return ""
        family = "-f ipv6 " if self.version == 6 else ""  # noqa: PLR2004  the family
        ends = f"{family}-p {name} -s {self.source} -d {self.destination}"
        if self.identifier is None:
            return f"{ends} --sport {self.source_port} --dport {self.destination_port}"
        return (
            f"{ends} --{name}-type {self.destination_port} --{name}-code {self.source_port}"
            f" --{name}-id {self.identifier}"
        )

    def __str__(self) -> str:
        """Return it in a few words."""
        name = _NAMES.get(self.protocol, f"protocol {self.protocol}")
        ports = f" port {self.destination_port}" if self.protocol in WITH_PORTS else ""
        return f"{name} from {self.source} to {self.destination}{ports}"


@dataclass(frozen=True, slots=True)
class Doubt:
    """One entry of which it is not known whether the rules refuse it."""

    conversation: Conversation
    why: str

    def __str__(self) -> str:
        """Say which and why."""
        return f"{self.conversation}: {self.why}"


@dataclass(frozen=True, slots=True)
class Weighed:
    """What the rules of a device say to the connections that it tracks."""

    refused: tuple[Conversation, ...]
    undetermined: tuple[Doubt, ...]


def weigh(device: EquipmentName, configuration: Configuration, conversations: Sequence[Conversation]) -> Weighed:
    """Return the connections that a device with this configuration would not let open, and those nobody can tell of.

    Its tunnels are taken to be up. Raises DeviceError for a text that is no configuration, BudgetError for rules that
    are too intricate.
    """
    refused: list[Conversation] = []
    doubts: list[Doubt] = []
    scales = _Scales(Reading().read(device, configuration)) if conversations else None
    for conversation in conversations:
        if conversation.translated:
            doubts.append(Doubt(conversation, "its addresses are translated, which is not modelled"))
            continue
        accepted, why = scales.weighed(conversation) if scales else (True, "")
        if accepted:
            continue
        if why:
            doubts.append(Doubt(conversation, why))
        elif conversation.words:
            refused.append(conversation)
        else:
            doubts.append(Doubt(conversation, "it is refused, and conntrack(8) has no words for it alone"))
    return Weighed(tuple(refused), tuple(doubts))


class _Scales:
    """One firewall, by itself."""

    def __init__(self, running: Running) -> None:
        self._frames = frames = Frames()
        stack = running.stack
        carried = Carried(frames, _associations(running))
        routes, _ = carried.routes(running.device, stack)
        self._routing = Routing(frames, stack, {TUNNEL_INTERFACE: routes} if running.tunnels else {})
        self._firewall = Firewall(frames, running, self._routing, carried)
        self._own = {own.address.ip for version in (4, 6) for own in stack.own(version)}
        self._loose = stack.setting(_LOOSE, 1) != 0
        number = frames.interfaces.number
        self._links = frozenset((number(link), number(link)) for link in self._routing.links)
        self._inside = number(LOOPBACK)

    def weighed(self, conversation: Conversation) -> tuple[bool, str]:
        """Return whether a first packet passes, and else why nobody can tell; an empty text when it is refused."""
        accepted, why = self._opens(conversation)
        if not accepted and self._loose and conversation.protocol == TCP:
            # It may have been picked up in its middle, by an answer: then the first packet is not the one that opened.
            turned, doubt = self._opens(_turned(conversation))
            accepted, why = turned, why or doubt
        return accepted, "" if accepted else why

    def _opens(self, conversation: Conversation) -> tuple[bool, str]:
        packet, own = self._packet(conversation), conversation.source in self._own
        if (own and conversation.destination in self._own) or conversation.source.is_loopback:
            return self._within(packet)
        if own:
            passage = self._firewall.emit(packet & self._frames.box(interface_in=0))
        else:
            passage = self._firewall.receive(packet & self._frames.box(interface_in=self._links))
        accepted = bool(passage.local) or any(passage.out.values())
        return accepted, "" if accepted else "; ".join(dict.fromkeys(str(reason) for reason, _ in passage.unknown))

    def _within(self, packet: Region) -> tuple[bool, str]:
        """Return what becomes of a packet of the device to itself, over its loopback."""
        box, filter_, reasons = self._frames.box, self._firewall.filter, dict[str, None]()
        coming = box(interface_in=self._inside, interface_out=0)
        hooks: tuple[tuple[Hook, Region], ...] = (
            ("output", box(interface_in=0, interface_out=self._inside)),
            ("prerouting", coming),
            ("input", coming),
        )
        for hook, interfaces in hooks:
            judged = filter_.through(hook, packet & interfaces)
            reasons |= dict.fromkeys(map(str, judged.reasons))
            if not judged.accepted:
                return False, "; ".join(reasons)
        return True, ""

    def _packet(self, conversation: Conversation) -> Region:
        """Return the packet that opens a conversation, whatever interface it comes in and leaves by."""
        four = conversation.version == 4  # noqa: PLR2004  the family
        return self._frames.packets & self._frames.box(
            ethernet_type=ETHERNET_IPV4 if four else ETHERNET_IPV6,
            header_length=5 if four else 0,
            source=int(conversation.source),
            destination=int(conversation.destination),
            protocol=conversation.protocol,
            source_port=conversation.source_port,
            destination_port=conversation.destination_port,
            tcp_flags=SYN if conversation.protocol == TCP else 0,
            fragment=Fragment.WHOLE,
            connection=Connection.NEW,
        )


def _turned(conversation: Conversation) -> Conversation:
    return Conversation(
        version=conversation.version,
        protocol=conversation.protocol,
        name=conversation.name,
        source=conversation.destination,
        destination=conversation.source,
        source_port=conversation.destination_port,
        destination_port=conversation.source_port,
    )


def _associations(running: Running) -> Iterator[SecurityAssociation]:
    """Yield what the tunnels of a device carry when its peers agree to all that it asks for."""
    connections = running.tunnels.connections if running.tunnels else ()
    for connection in connections:
        for child in connection.children:
            one = End(running.device, None, child.local, child.statement)
            yield SecurityAssociation(child.name, one, End(_ACROSS, None, child.remote, child.statement))
