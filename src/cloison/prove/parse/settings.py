"""What a kernel setting does to packets, as far as the proof knows: ip-sysctl of the kernel's documentation."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import Final


class Effect(Enum):
    """Whether a setting decides where packets go."""

    MODELLED = "modelled"
    NONE = "none"
    """It changes no packet's way: what is answered, logged or announced."""
    ZERO_ONLY = "zero only"
    """Modelled as long as it is 0."""
    UNKNOWN = "unknown"


_EFFECTS: Final = {
    Effect.MODELLED: (
        r"net\.ipv4\.ip_forward",
        r"net\.ipv4\.conf\..+\.(rp_filter|accept_redirects|secure_redirects)",
        r"net\.ipv6\.conf\..+\.(disable_ipv6|forwarding)",
        r"net\.netfilter\.nf_conntrack_tcp_loose",  # which packets are new, of the filter's connections
    ),
    Effect.NONE: (
        r"net\.ipv4\.conf\..+\.(send_redirects|log_martians|arp_ignore|arp_announce)",
        r"net\.ipv4\.conf\.(?!all\.).+\.accept_source_route",  # `all` must take them too: it decides
        r"net\.ipv4\.(icmp_echo_ignore_broadcasts|icmp_ignore_bogus_error_responses|tcp_syncookies)",
    ),
    Effect.ZERO_ONLY: (
        r"net\.ipv4\.conf\.all\.accept_source_route",
        r"net\.ipv4\.conf\..+\.(proxy_arp|route_localnet|accept_local|src_valid_mark|bc_forwarding|mc_forwarding)",
    ),
}
_PATTERNS: Final = {effect: re.compile("|".join(patterns)) for effect, patterns in _EFFECTS.items()}


@lru_cache(maxsize=4096)
def effect_of(name: str) -> Effect:
    """Return what a setting does, by its name."""
    return next((effect for effect, pattern in _PATTERNS.items() if pattern.fullmatch(name)), Effect.UNKNOWN)
