"""A vantage point opened: the sockets that packets leave by and are heard at, in the network namespace it stands in."""

from __future__ import annotations

import contextlib
import fcntl
import selectors
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from cloison.errors import ProbeError
from cloison.model import EquipmentName, MacAddress, Name
from cloison.probe.capture import Capture, probes_of
from cloison.probe.craft import ETHERNET_BYTES, NOBODY, arp_answer, arp_request
from cloison.probe.question import Way
from cloison.transport.namespace import open_socket_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address

    from cloison.probe.question import Probe

_SIOCGIFHWADDR = 0x8927
_ETH_P_ARP = 0x0806
_ARP_TRIES, _ARP_SECONDS = 3, 1.0
AskerT = TypeVar("AskerT", bound=str)


@dataclass(frozen=True, slots=True)
class CableEnd:
    """One end of a cable: an interface in a network namespace."""

    namespace: int
    """An open descriptor."""
    interface: str


@dataclass(frozen=True, slots=True)
class LastHop:
    """The wide-area network's end of the cable to a site's firewall."""

    end: CableEnd
    address: IPv4Address
    """Of the network's router on that cable."""
    firewall: IPv4Address
    """Of the firewall on that cable."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """Where one vantage point is plugged in."""

    name: EquipmentName
    namespace: int
    """An open descriptor of its network namespace."""
    interface: str | None
    """None for a host that forwards: it sends by its own stack and hears what its own filter lets in."""
    address: IPv4Address
    gateway: IPv4Address | None
    """The next hop of all that leaves its segment."""
    peer: CableEnd | None
    """The other end of its cable, where a canary can be put in to show that it hears; None when there is none."""
    last_hops: Mapping[Name, LastHop] = field(default_factory=dict)
    """By site, for who has taken over the network before it."""


class Station(Protocol):
    """An open vantage point."""

    attachment: Attachment
    mac: MacAddress
    captures: tuple[Capture, ...]

    def send(self, frame: bytes, probe: Probe) -> str:
        """Send the frame of a probe; return an empty text, or why the host itself refused it."""

    def close(self) -> None:
        """Close the sockets."""


def hardware_address(sock: socket.socket, interface: str) -> MacAddress:
    """Return the MAC address of an interface of the socket's network namespace; OSError when there is none."""
    request = struct.pack("16s240x", interface.encode())
    answer = fcntl.ioctl(sock.fileno(), _SIOCGIFHWADDR, request)
    return MacAddress(answer[18:24].hex(":"))


class LinkStation:
    """Sends frames onto its cable as they are, and hears all that comes over it."""

    def __init__(self, attachment: Attachment, interface: str, nonce: bytes, expected: int) -> None:
        self.attachment = attachment
        with contextlib.ExitStack() as opened:
            self._out = opened.enter_context(sending_socket(attachment.namespace, interface))
            self.mac = hardware_address(self._out, interface)
            program = probes_of(nonce, ETHERNET_BYTES)
            captures = [Capture.on_link(attachment.namespace, interface, program, expected)]
            self._hops: dict[Name, socket.socket] = {}
            for site, hop in attachment.last_hops.items():
                end = hop.end
                self._hops[site] = opened.enter_context(sending_socket(end.namespace, end.interface))
                captures.append(Capture.on_link(end.namespace, end.interface, program, expected, shows_arrival=False))
            self.captures = _kept(opened, *captures)
            self._opened = opened.pop_all()

    def send(self, frame: bytes, probe: Probe) -> str:
        """Send the frame of a probe; return an empty text, or why the interface refused it."""
        out = self._hops[probe.destination.site] if probe.way is Way.LAST_HOP else self._out
        try:
            out.send(frame)
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def close(self) -> None:
        """Close the sockets."""
        self._opened.close()


class StackStation:
    """Sends packets as the host's own stack would, through its output filter, and hears past its input filter."""

    mac = NOBODY
    """A packet leaves by the host's own stack, which writes its own frame."""

    def __init__(self, attachment: Attachment, nonce: bytes, expected: int) -> None:
        self.attachment = attachment
        namespace, program = attachment.namespace, probes_of(nonce, 0)
        heard = (socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMP)
        with contextlib.ExitStack() as opened:
            self._out = opened.enter_context(
                open_socket_in(namespace, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            )
            self.captures = _kept(
                opened,
                Capture.on_every_link(namespace, program, expected),
                *(Capture.past_filter(namespace, protocol, program, expected) for protocol in heard),
            )
            self._opened = opened.pop_all()

    def send(self, frame: bytes, probe: Probe) -> str:
        """Send what the frame carries; return an empty text, or why the host's filter or routes refused it."""
        try:
            self._out.sendto(frame[ETHERNET_BYTES:], (str(probe.target), 0))
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def close(self) -> None:
        """Close the sockets."""
        self._opened.close()


def _kept(opened: contextlib.ExitStack, *captures: Capture) -> tuple[Capture, ...]:
    """Return the captures, to be closed with the rest of what is open."""
    for capture in captures:
        opened.callback(capture.close)
    return captures


def sending_socket(namespace: int, interface: str) -> socket.socket:
    """Return a socket that sends frames onto a cable from this end of it; OSError when it cannot be opened."""
    sock = open_socket_in(namespace, socket.AF_PACKET, socket.SOCK_RAW)
    try:
        sock.bind((interface, 0))
    except OSError:
        sock.close()
        raise
    return sock


def open_station(attachment: Attachment, nonce: bytes, expected: int) -> Station:
    """Return the vantage point, open; ProbeError when its interface or its namespace cannot be used.

    `expected` is how many packets could be heard there in one run.
    """
    try:
        if attachment.interface is None:
            return StackStation(attachment, nonce, expected)
        return LinkStation(attachment, attachment.interface, nonce, expected)
    except OSError as error:
        where = attachment.interface or "its stack"
        msg = f"{attachment.name}: {where} cannot be opened: {error.strerror or error}"
        raise ProbeError(msg) from error


@dataclass(frozen=True, slots=True)
class _Question:
    """Who asks for whose MAC address, and where."""

    end: CableEnd
    mac: MacAddress
    sender: IPv4Address
    target: IPv4Address


@dataclass(frozen=True, slots=True)
class NextHops:
    """MAC addresses on the way: of gateways, by who uses them, and of both ends of last hops, by site."""

    gateways: Mapping[EquipmentName, MacAddress]
    last: Mapping[Name, tuple[MacAddress, MacAddress]]
    """The router's own, then the firewall's."""


def resolve_next_hops(stations: Mapping[EquipmentName, Station]) -> NextHops:
    """Return the MAC addresses that gateways and firewalls answer with; none for one that stays silent (RFC 826)."""
    questions: dict[EquipmentName | Name, _Question] = {}
    for name, station in stations.items():
        attachment = station.attachment
        if attachment.interface is not None and attachment.gateway is not None:
            end = CableEnd(attachment.namespace, attachment.interface)
            questions[name] = _Question(end, station.mac, attachment.address, attachment.gateway)
        for site, hop in attachment.last_hops.items():
            with sending_socket(hop.end.namespace, hop.end.interface) as sock:
                own = hardware_address(sock, hop.end.interface)
            questions[site] = _Question(hop.end, own, hop.address, hop.firewall)
    found = _resolve(questions)
    return NextHops(
        gateways={name: mac for name, mac in found.items() if isinstance(name, EquipmentName)},
        last={name: (questions[name].mac, mac) for name, mac in found.items() if isinstance(name, Name)},
    )


def ask_next_hop(end: CableEnd, mac: MacAddress, sender: IPv4Address, target: IPv4Address) -> MacAddress | None:
    """Return the MAC address that `target` answers with on a cable; None when it stays silent (RFC 826)."""
    return _resolve({"": _Question(end, mac, sender, target)}).get("")


def _resolve(questions: Mapping[AskerT, _Question]) -> dict[AskerT, MacAddress]:
    """Ask all at once, _ARP_TRIES times, each with a wait of _ARP_SECONDS at most."""
    found: dict[AskerT, MacAddress] = {}
    with contextlib.ExitStack() as opened:
        asked: dict[int, tuple[AskerT, socket.socket]] = {}
        for asker, question in questions.items():
            end = question.end
            sock = opened.enter_context(sending_socket(end.namespace, end.interface))
            sock.bind((end.interface, _ETH_P_ARP))
            sock.settimeout(0)
            asked[sock.fileno()] = (asker, sock)
        for _ in range(_ARP_TRIES):
            for asker, sock in asked.values():
                if asker not in found:
                    question = questions[asker]
                    own = bytes.fromhex(question.mac.replace(":", ""))
                    # An interface that is down refuses: its gateway stays unknown.
                    with contextlib.suppress(OSError):
                        sock.send(arp_request(own, question.sender, question.target))
            _listen(asked, questions, found, time.monotonic() + _ARP_SECONDS)
    return found


def _listen(
    asked: Mapping[int, tuple[AskerT, socket.socket]],
    questions: Mapping[AskerT, _Question],
    found: dict[AskerT, MacAddress],
    deadline: float,
) -> None:
    with selectors.DefaultSelector() as selector:
        for _, sock in asked.values():
            selector.register(sock, selectors.EVENT_READ)
        while len(found) < len(asked) and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                asker, sock = asked[key.fd]
                with contextlib.suppress(OSError):
                    answer = arp_answer(sock.recv(2048), questions[asker].target)
                    if answer is not None:
                        found[asker] = MacAddress(answer.hex(":"))
