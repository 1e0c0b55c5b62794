"""What is done to the twin in the middle of a change, and how it is undone; every one by the verbs of the lab."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.errors import LabError

if TYPE_CHECKING:
    from tests.crash.ground import Ground

    from cloison.model import EquipmentName

GRACE_SECONDS = 7.0
"""Past the deadline: the grace of a device, and two seconds for whoever looks."""
SOON_SECONDS = 4.0

_BEFORE = "/usr/local/sbin"
"""Where a device looks for programs first."""

Act = Callable[["Ground", "EquipmentName"], None]


def _nothing(_: Ground, __: EquipmentName) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Injury:
    """One injury of the network."""

    name: str
    inflict: Act
    heal: Act = _nothing
    past_deadline: bool = False
    """True when it lasts until every dead-man has acted; otherwise it is undone after SOON_SECONDS."""


def carrier(device: EquipmentName) -> str:
    """Return the port by which a device is reached from everywhere but its own site."""
    return f"{device}:{ {'firewall': 'wan0', 'pole-switch': 'sfp1'}.get(device.equipment, 'p1') }"


def _daemon(device: EquipmentName) -> str:
    """Return the daemon that a device's candidate goes through."""
    return "charon" if device.equipment == "firewall" else "ovsdb-server"


def _stop(service: str) -> Act:
    return lambda ground, device: ground.client.stop(device, service)


def _start(service: str) -> Act:
    return lambda ground, device: ground.client.start(device, service)


_TOOLS = {"nft": "-f", "ovs-vsctl": "add-br", "swanctl": "--load-conns"}
"""What loads a section, and the word by which a load is told from a question."""


def _refuse(ground: Ground, device: EquipmentName) -> None:
    """Have the next load of each tool refused, once: what goes back is then loaded."""
    for tool, word in _TOOLS.items():
        script = (
            f"#!/bin/sh\ncase \" $* \" in *{word}*) rm -f {_BEFORE}/{tool}; echo 'it is refused' >&2; exit 1 ;; esac\n"
            f'exec /usr/sbin/{tool} "$@"\n'
        ).replace("/usr/sbin/ovs-vsctl", "/usr/bin/ovs-vsctl")
        ground.client.put_file(device, f"{_BEFORE}/{tool}", script.encode(), 0o755)


def _accept(ground: Ground, device: EquipmentName) -> None:
    _run(ground, device, f"cd {_BEFORE} && rm -f {' '.join(_TOOLS)}")


def _pause(ground: Ground, device: EquipmentName) -> None:
    ground.client.pause(device, _daemon(device))


def _resume(ground: Ground, device: EquipmentName) -> None:
    ground.client.resume(device, _daemon(device))


def _one_way(ground: Ground, device: EquipmentName) -> None:
    """Let nothing come back from the site of a device: what is sent there arrives."""
    script = (
        "nft add table inet oneway; nft 'add chain inet oneway forward { type filter hook forward priority 0; }'; "
        f"nft add rule inet oneway forward ip saddr {_wan(ground, device)} drop"
    )
    ground.client.run("wan/router", ["sh", "-ec", script])


def _both_ways(ground: Ground, _: EquipmentName) -> None:
    ground.client.run("wan/router", ["nft", "delete", "table", "inet", "oneway"])


def _wan(ground: Ground, device: EquipmentName) -> str:
    return str(ground.session.intent.site_by_name[device.site].wan_address.ip)


def _hand(ground: Ground, device: EquipmentName) -> None:
    """Change by hand what a section of the device holds."""
    if device.equipment == "firewall":
        script = "nft add rule inet cloison business udp dport 9 drop comment by-hand"
    else:
        script = f"ovs-vsctl set port {_spare(device)} tag=1"
    _run(ground, device, script)


def _unhand(ground: Ground, device: EquipmentName) -> None:
    """Take away what is left of it, as whoever made it would."""
    if device.equipment == "firewall":
        _run(
            ground,
            device,
            "nft -a list chain inet cloison business | sed -n 's/.*by-hand.* handle //p' | "
            'while read -r handle; do nft delete rule inet cloison business handle "$handle"; done',
        )
    else:
        _run(ground, device, f"ovs-vsctl set port {_spare(device)} tag=999")


def _spare(switch: EquipmentName) -> str:
    """Return a port of a switch that nothing is plugged into."""
    return "p3" if switch.equipment == "pole-switch" else "p8"


def _run(ground: Ground, device: EquipmentName, script: str) -> None:
    result = ground.client.run(device, ["sh", "-ec", script])
    if result.exit_status != 0:
        msg = f"{device}: {result.stderr.decode(errors='replace')}"
        raise LabError(msg)


INJURIES = {
    one.name: one
    for one in (
        Injury("power cycled", lambda g, d: g.client.reboot(d)),
        Injury("link cut", lambda g, d: g.client.cut(carrier(d)), lambda g, d: g.client.mend(carrier(d))),
        Injury("sshd stopped", _stop("sshd"), _start("sshd")),
        Injury("changed by hand", _hand, _unhand),
        *(
            Injury(name, inflict, heal, past_deadline=True)
            for name, inflict, heal in (
                ("power off", lambda g, d: g.client.power_off(d), lambda g, d: g.client.power_on(d)),
                (
                    "link cut past the deadline",
                    lambda g, d: g.client.cut(carrier(d)),
                    lambda g, d: g.client.mend(carrier(d)),
                ),
                ("answers lost", _one_way, _both_ways),
                ("sshd stopped past the deadline", _stop("sshd"), _start("sshd")),
                ("disk full", lambda g, d: g.client.fill_disk(d), lambda g, d: g.client.free_disk(d)),
                ("load refused", _refuse, _accept),
                ("daemon paused", _pause, _resume),
                ("frozen", lambda g, d: g.client.freeze(d), lambda g, d: g.client.thaw(d)),
            )
        ),
    )
}
"""Every injury, by its name."""


def moment_after(deadline: float, injury: Injury) -> float:
    """Return when an injury that is inflicted now is undone, on the monotonic clock."""
    return time.monotonic() + (deadline + GRACE_SECONDS if injury.past_deadline else SOON_SECONDS)
