"""Addresses that a packet cannot have: RFC 1812 section 5.3.7, RFC 6890, and what the Linux kernel makes of them."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from cloison.prove.packet import ICMPV6

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.prove.packet import Frames
    from cloison.prove.space import Interval, Region
    from cloison.prove.stack import Version


def _intervals(*texts: str) -> frozenset[Interval]:
    networks = map(ip_network, texts)
    return frozenset((int(network[0]), int(network[-1])) for network in networks)


NOBODY: Final = _intervals("0.0.0.0/32")
"""Linux takes the rest of 0.0.0.0/8 for addresses like any other (since 5.3)."""
MULTICAST: Final = _intervals("224.0.0.0/4")
LOCAL_MULTICAST: Final = _intervals("224.0.0.0/24")
LIMITED_BROADCAST: Final = _intervals("255.255.255.255/32")
LOCALHOST: Final[Interval] = (0x7F000001, 0x7F000001)
"""The one address of the loopback: no interface has the rest of 127.0.0.0/8."""
LOOPBACK: Final[Mapping[Version, frozenset[Interval]]] = {4: _intervals("127.0.0.0/8"), 6: _intervals("::1/128")}
LINK_LOCAL: Final = _intervals("fe80::/10")
TO_MANY: Final[Mapping[Version, frozenset[Interval]]] = {
    4: MULTICAST | LIMITED_BROADCAST,
    6: _intervals("ff00::/8", "fe80::/10"),
}
"""Destinations that are not looked up: to many at once; and of IPv6 those that mean something on one link only."""
AS_ZERO: Final = NOBODY | MULTICAST | LIMITED_BROADCAST
"""Destinations that `fib saddr` of nft takes for 0.0.0.0 (`get_saddr` of nft_fib_ipv4.c)."""
NARROW: Final = frozenset(
    interval for flags in range(16) for scope in (0, 1) for interval in _intervals(f"ff{flags:x}{scope:x}::/16")
)
"""Multicast of IPv6 that never leaves its node (RFC 4291 section 2.7, erratum 3480)."""
IGMP: Final = 2


def refused(frames: Frames, version: Version) -> Region:
    """Return the received packets of a family that the kernel drops for an address alone, by `ip_route_input_slow`."""
    box = frames.box
    loopback = box(source=LOOPBACK[version]) | box(destination=LOOPBACK[version])
    if version == 6:  # noqa: PLR2004  the family; by ip6_rcv_core
        return loopback | box(source=_intervals("ff00::/8")) | box(destination=NARROW)
    nobody = box(source=0, destination=0)
    igmp = box(destination=MULTICAST, protocol=IGMP)
    legal = nobody | box(destination=LIMITED_BROADCAST | LOCAL_MULTICAST) | igmp
    return frames.union(
        [
            loopback - box(destination=LIMITED_BROADCAST),  # those are left to the validation of the source
            box(source=MULTICAST | LIMITED_BROADCAST),
            box(source=NOBODY) - legal,
            box(destination=NOBODY) - nobody,
        ]
    )


def never_forwarded(frames: Frames, version: Version) -> Region:
    """Return the packets that are not forwarded for their source: of IPv6 from nobody, from an address of one link."""
    if version == 4:  # noqa: PLR2004  the family
        return frames.nothing
    return frames.box(source=LINK_LOCAL | {(0, 0)})


def never_missing(frames: Frames, version: Version) -> Region:
    """Return the packets that `fib … oif` of nft takes to come from where they should, by no route.

    Of IPv4 those from nobody to a link's own; of IPv6 also link-local sources, which every link has a route to.
    """
    if version == 6:  # noqa: PLR2004  the family
        return frames.box(source=LINK_LOCAL) | frames.box(source=0, protocol=ICMPV6, destination=LINK_LOCAL)
    return frames.box(source=NOBODY, destination=LIMITED_BROADCAST | LOCAL_MULTICAST)
