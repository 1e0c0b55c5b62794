"""What each platform can do, as data: which sections, which kernel settings, what guards a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.device.guard import Timer
from cloison.model import Platform
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What Cloison may rely on."""

    sections: tuple[SectionName, ...]
    """The sections that the platform has; a device without an optical port has no `fibre`."""
    timers: tuple[Timer, ...]
    """What may run the dead-man, by which the device itself goes back unless a change is confirmed in time."""
    settings: tuple[str, ...]
    """The kernel settings that are read back, sorted: a candidate may set these and no other."""
    interface_settings: tuple[str, ...]
    """The kernel settings that are read back for every interface with an address."""


_BOTH = (
    "net.ipv4.conf.{}.accept_redirects",
    "net.ipv4.conf.{}.accept_source_route",
    "net.ipv4.conf.{}.arp_announce",
    "net.ipv4.conf.{}.arp_ignore",
    "net.ipv4.conf.{}.log_martians",
    "net.ipv4.conf.{}.rp_filter",
    "net.ipv4.conf.{}.secure_redirects",
    "net.ipv4.conf.{}.send_redirects",
    "net.ipv6.conf.{}.disable_ipv6",
    "net.ipv6.conf.{}.forwarding",
)
_SETTINGS = (
    *(name.format(scope) for name in _BOTH for scope in ("all", "default")),
    "net.ipv4.icmp_echo_ignore_broadcasts",
    "net.ipv4.icmp_ignore_bogus_error_responses",
    "net.ipv4.ip_forward",
    "net.ipv4.tcp_syncookies",
)
_TIMERS = (Timer.SYSTEMD, Timer.TICKER)

PLATFORMS: Mapping[Platform, Capabilities] = {
    Platform.DEBIAN_LIBIPSEC: Capabilities(
        sections=(SectionName.SWITCH, SectionName.INTERFACES, SectionName.FILTER, SectionName.TUNNELS),
        timers=_TIMERS,
        settings=tuple(sorted((*_SETTINGS, "net.netfilter.nf_conntrack_tcp_loose"))),
        interface_settings=("send_redirects",),
    ),
    Platform.OPENVSWITCH: Capabilities(
        sections=(SectionName.SWITCH, SectionName.FIBRE, SectionName.INTERFACES, SectionName.EDGE),
        timers=_TIMERS,
        settings=tuple(sorted(_SETTINGS)),
        interface_settings=("accept_redirects", "secure_redirects", "send_redirects"),
    ),
}
