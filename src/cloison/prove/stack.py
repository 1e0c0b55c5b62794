"""The IP stack of a device as its configuration has it: links, addresses, routes, rules, kernel settings.

The words are those of ip-address(8), ip-route(8), ip-rule(8) and sysctl(8).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cloison.model import EquipmentName
    from cloison.prove.statement import Statement, Unmodelled

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network
Version = Literal[4, 6]

RouteKind = Literal["unicast", "local", "broadcast", "multicast", "throw", "blackhole", "unreachable", "prohibit"]

LOOPBACK = "lo"
MAIN, LOCAL, DEFAULT = "main", "local", "default"
TABLE_NAMES = {"255": LOCAL, "254": MAIN, "253": DEFAULT}
"""The tables that have names of their own (/etc/iproute2/rt_tables); a table is called by its name where it has one."""


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """An address of the device, on one of its links."""

    statement: Statement
    interface: str
    address: Interface


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a route sends a packet."""

    interface: str
    """Empty where the configuration names a gateway alone."""
    via: Address | None = None
    """The gateway; None where the destination is a neighbour."""


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of a routing table."""

    statement: Statement | None
    """None for what the kernel or the IKE daemon makes by itself."""
    table: str
    kind: RouteKind
    destination: Network
    hops: tuple[Hop, ...] = ()
    """None for a kind that sends nothing; several where the kernel chooses by a hash of the packet."""
    metric: int = 0
    source: Address | None = None
    """What the device takes as its own address when it has not chosen one."""
    unmodelled: Unmodelled | None = None
    """What keeps the proof from saying where this route leads."""


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule that says in which table to look for which packets. What is None or empty is not looked at."""

    statement: Statement | None
    """None for the three that every kernel has, and the one of the IKE daemon."""
    priority: int
    version: Version
    table: str
    """Empty where the rule does not look anything up: then `kind` says what becomes of the packet."""
    kind: Literal["lookup", "blackhole", "unreachable", "prohibit"] = "lookup"
    source: Network | None = None
    destination: Network | None = None
    interface_in: str = ""
    """`lo` for packets that the device itself sends."""
    interface_out: str = ""
    """Only a socket bound to an interface matches it; no forwarded packet does."""
    protocol: int | None = None
    source_ports: tuple[int, int] | None = None
    destination_ports: tuple[int, int] | None = None
    unmodelled: Unmodelled | None = None
    """What keeps the proof from saying which packets the rule takes, or where it leads them."""

    @property
    def selective(self) -> bool:
        """Tell whether there are packets that it does not match."""
        looked_at = (self.source, self.destination, self.protocol, self.source_ports, self.destination_ports)
        return bool(self.interface_in or self.interface_out) or any(one is not None for one in looked_at)

    @property
    def looks_inside(self) -> bool:
        """Tell whether it looks at more than addresses and interfaces."""
        return any(one is not None for one in (self.protocol, self.source_ports, self.destination_ports))


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry of the neighbour table that somebody fixed."""

    statement: Statement
    interface: str
    address: Address
    mac: int
    """48 bits."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A kernel setting."""

    statement: Statement
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything of one device that decides where IP packets go."""

    device: EquipmentName
    up: frozenset[str]
    """The links that are up; one that is not named is down. The loopback is always up."""
    addresses: tuple[OwnAddress, ...] = ()
    routes: tuple[Route, ...] = ()
    """Those of the configuration; the kernel adds its own, see routing.Routing."""
    rules: tuple[PolicyRule, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)
    neighbours: tuple[Neighbour, ...] = ()
    opaque: tuple[Unmodelled, ...] = ()
    """Statements that may do anything to any packet."""

    def setting(self, name: str, default: int = 0) -> int:
        """Return the number that a setting has; `default`, the kernel's own, where the configuration is silent."""
        found = self.settings.get(name)
        return int(found.value) if found and found.value.isdecimal() else default

    def for_interface(self, version: Version, interface: str, name: str, *, made_later: bool) -> int:
        """Return a setting of one interface, 0 where the configuration gives it none.

        `default` is given to interfaces that are made later than the setting, such as that of the IKE daemon. Of
        disable_ipv6, `all` gives its value to every interface there is (ip-sysctl of the kernel's documentation).
        """
        scopes = [interface, *(["default"] if made_later else []), *(["all"] if name == "disable_ipv6" else [])]
        names = (f"net.ipv{version}.conf.{scope}.{name}" for scope in scopes)
        return next((self.setting(name) for name in names if name in self.settings), 0)

    def own(self, version: Version) -> Iterator[OwnAddress]:
        """Yield the addresses of one family, in the order of the configuration."""
        return (own for own in self.addresses if own.address.version == version)
