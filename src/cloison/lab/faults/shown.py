"""What a proof over what the devices run has to report of each fault that it sees, by the identities of its findings.

Patterns as fnmatch(3) has them, all of which must be matched: a proof that reports something else has not seen the
fault. Findings beyond them are what follows from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMMUNE: Final = "roussy-le-village"
_CELL: Final = "crisis-cell"
_STATION: Final = f"{_CELL}.station-fire"

_SWITCH: Final[Mapping[str, tuple[str, ...]]] = {
    "vlan-leak": (
        f"outage/{_COMMUNE}.nvr--{_COMMUNE}.cam-narrow--rtsps",
        f"leak/{_COMMUNE}.nvr--{_COMMUNE}.cam-narrow--tcp.322",
    ),
    "mirror-port": (f"notice/{_COMMUNE}.pole-switch--switch",),
    "spare-port-opened": (f"leak/{_COMMUNE}.nvr--{_COMMUNE}.core-switch:p6--frames",),
    "camera-vlan-on-spare-port": (
        f"leak/{_COMMUNE}.pole-switch:p3--{_COMMUNE}.firewall--udp.123",
        f"leak/{_COMMUNE}.cam-context--{_COMMUNE}.pole-switch:p3--frames",
    ),
    "vlan-hop": (f"leak/{_COMMUNE}.cam-context--{_COMMUNE}.cam-narrow--frames",),
    "vlan-hop-double-tag": (f"leak/{_COMMUNE}.cam-context--operations-centre.log-collector--tcp.6514",),
    "recorder-vlan-on-fibre": (f"leak/{_COMMUNE}.pole-switch:p3--{_COMMUNE}.cam-context--tcp.322",),
    "neighbours-joined": (
        f"leak/{_STATION}--{_CELL}.station-police--frames",
        f"leak/{_CELL}.station-police--{_STATION}--frames",
    ),
    "trunk-vlan-missing": (f"outage/{_COMMUNE}.operator--{_COMMUNE}.nvr--rtsps",),
    "fail-open": (
        f"notice/{_COMMUNE}.cam-context--{_COMMUNE}.pole-switch--port security",
        f"notice/{_COMMUNE}.cam-narrow--{_COMMUNE}.pole-switch--port security",
    ),
    "bridge-port-up": (
        f"leak/{_COMMUNE}.cam-context--{_COMMUNE}.pole-switch--frames",
        f"leak/{_COMMUNE}.cam-narrow--{_COMMUNE}.pole-switch--frames",
    ),
    "patch-port": (f"notice/{_COMMUNE}.pole-switch--switch", f"undetermined/{_COMMUNE}.pole-switch--switch type=patch"),
    "vxlan-port": (f"notice/{_COMMUNE}.firewall--switch", f"undetermined/{_COMMUNE}.firewall--switch type=vxlan"),
}
_EDGE: Final[Mapping[str, tuple[str, ...]]] = {
    "edge-opened": (
        f"notice/{_COMMUNE}.cam-context--{_COMMUNE}.pole-switch--port security",
        f"notice/{_COMMUNE}.cam-context--{_COMMUNE}.pole-switch--tagged frames",
    ),
    "edge-flow-missing": (
        f"outage/{_COMMUNE}.cam-context--{_COMMUNE}.firewall--ntp",
        f"outage/{_COMMUNE}.nvr--{_COMMUNE}.cam-context--rtsps--reply",
    ),
    "edge-mac-widened": (f"notice/{_STATION}--{_CELL}.core-switch--port security",),
    "edge-address-widened": (
        f"leak/{_STATION}--{_COMMUNE}.live-gateway--tcp.8322",
        f"notice/{_STATION}--{_CELL}.core-switch--port security",
    ),
    "edge-arp-widened": (f"notice/{_STATION}--{_CELL}.core-switch--port security",),
    "edge-tag-let-in": (f"notice/{_STATION}--{_CELL}.core-switch--tagged frames",),
    "edge-catch-all": (
        f"leak/{_CELL}.station-police--{_COMMUNE}.live-gateway--tcp.8322",
        f"notice/{_CELL}.station-police--{_CELL}.core-switch--port security",
    ),
    "edge-drop-first": (
        f"outage/{_COMMUNE}.operator--{_COMMUNE}.nvr--rtsps",
        f"outage/{_COMMUNE}.operator--{_COMMUNE}.firewall--arp",
    ),
    "fragments-let-in": (f"notice/{_COMMUNE}.cam-*--{_COMMUNE}.pole-switch--port security",),
    "dhcp-server-let-in": (f"leak/{_STATION}--{_CELL}.station-police--frames",),
    "ipv6-let-in": (f"leak/{_STATION}--{_CELL}.station-police--frames",),
}
_FILTER: Final[Mapping[str, tuple[str, ...]]] = {
    "camera-opened": (f"leak/{_COMMUNE}.operator--{_COMMUNE}.cam-context--*",),
    "gateway-ssh-opened": (
        f"leak/{_STATION}--{_COMMUNE}.live-gateway--tcp.22",
        f"leak/{_STATION}--{_COMMUNE}.live-gateway--tcp.22 against aggregation-opens-live-only",
    ),
    "live-closed": (f"outage/{_CELL}.station-*--{_COMMUNE}.live-gateway--live-relay",),
    "foreign-table": (
        f"notice/{_COMMUNE}.firewall--filter",
        f"undetermined/{_COMMUNE}.firewall--filter table ip rogue",
    ),
    "both-ways": (f"leak/{_COMMUNE}.nvr--{_COMMUNE}.operator--*",),
    "replies-dropped": (
        f"outage/{_COMMUNE}.operator--{_COMMUNE}.nvr--https--reply",
        f"outage/{_COMMUNE}.operator--{_COMMUNE}.nvr--rtsps--reply",
    ),
    "rule-behind-the-drop": (f"outage/{_COMMUNE}.operator--{_COMMUNE}.nvr--rtsps",),
    "port-widened": (
        f"leak/{_COMMUNE}.nvr--{_COMMUNE}.cam-context--tcp.323",
        f"leak/{_COMMUNE}.nvr--{_COMMUNE}.cam-narrow--tcp.323",
    ),
    "peer-added": (f"leak/wan--{_COMMUNE}.firewall--udp.500, udp.4500",),
    "way-to-the-internet": (f"leak/{_COMMUNE}.operator--wan--*",),
    "firewall-ssh-opened": (f"leak/{_COMMUNE}.operator--{_COMMUNE}.firewall--tcp.22",),
    "policy-accept": (
        f"leak/{_COMMUNE}.cam-context--{_COMMUNE}.cam-narrow--*",
        f"leak/{_COMMUNE}.ups--{_COMMUNE}.nvr--*",
    ),
    "established-takes-new": (
        f"leak/{_COMMUNE}.cam-context--{_COMMUNE}.cam-narrow--*",
        f"leak/{_COMMUNE}.ups--{_COMMUNE}.nvr--*",
    ),
    "invalid-let-in": (f"leak/{_COMMUNE}.cam-context--{_COMMUNE}.nvr--icmp.*",),
    "jump-to-accept": (f"leak/{_COMMUNE}.operator--{_COMMUNE}.cam-context--*",),
    "prefix-widened": (
        f"leak/operations-centre.administration-station--{_COMMUNE}.pole-switch--tcp.443",
        f"leak/operations-centre.administration-station--{_COMMUNE}.core-switch--tcp.443",
    ),
    "mid-stream-let-in": (f"leak/{_COMMUNE}.nvr--{_COMMUNE}.cam-context--tcp.322",),
    "nat-table": (f"notice/{_COMMUNE}.firewall--filter", f"undetermined/{_COMMUNE}.firewall--filter table ip forwards"),
}
_BOTH_ENDS: Final = (f"notice/{_COMMUNE}.firewall--tunnels", f"notice/{_CELL}.firewall--tunnels")
_TUNNEL: Final[Mapping[str, tuple[str, ...]]] = {
    "selectors-widened": _BOTH_ENDS,
    "names-shared": _BOTH_ENDS,
    "foreign-connection": (f"notice/{_COMMUNE}.firewall--tunnels",),
    "selector-widened-at-one-end": (f"notice/{_COMMUNE}.firewall--tunnels",),
    "selector-of-anything": (f"notice/{_COMMUNE}.firewall--tunnels",),
    "child-missing": (f"notice/{_CELL}.firewall--tunnels",),
    "connection-missing": (f"notice/{_CELL}.firewall--tunnels",),
    "tunnel-bypassed": (
        f"leak/{_STATION}--wan--tcp.8322",
        f"leak/wan--{_COMMUNE}.live-gateway--tcp.8322",
    ),
}
_ROUTES: Final[Mapping[str, tuple[str, ...]]] = {
    "route-astray": (f"outage/{_COMMUNE}.operator--{_COMMUNE}.nvr--https",),
    "policy-rule-added": (f"outage/{_COMMUNE}.operator--{_COMMUNE}.nvr--https",),
    "clear-when-down": (f"leak/{_STATION}--wan--tcp.8322--tunnels-down",),
}

SHOWN: Final[Mapping[str, tuple[str, ...]]] = {**_SWITCH, **_EDGE, **_FILTER, **_TUNNEL, **_ROUTES}
"""By the name of the fault."""
