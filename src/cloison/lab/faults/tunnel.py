"""Faults of the tunnels: the daemon gone, weak algorithms negotiated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer, Script, Start, Stop
from cloison.lab.faults.pilot import COMMUNE_FIREWALL, CRISIS_FIREWALL, GATEWAY, STATION, address, shows
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent, Tunnel

_CONF = "/etc/swanctl/swanctl.conf"
_WEAKER = "s/aes256gcm16-ecp384/aes128gcm16-ecp384/; s/aes256gcm16-prfsha384/aes128gcm16-prfsha384/"
_LOAD = "timeout 10 swanctl --load-all"


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of this layer."""
    video = next(tunnel for tunnel in intent.tunnels if tunnel.kind == "video")
    return (_tunnel_stopped(intent, video), _weak_algorithms(video))


def _tunnel_stopped(intent: Intent, video: Tunnel) -> Fault:
    relay = next(flow.service.port for flow in intent.flows if flow.rule == "watch-live")
    through = f"timeout 3 bash -c 'exec 3<>/dev/tcp/{address(intent, GATEWAY)}/{relay}'"
    collector = intent.log_collector.address
    administered = f"timeout 3 bash -c 'exec 3<>/dev/tcp/{collector}/6514'"
    return Fault(
        name=Name("tunnel-stopped"),
        layer=Layer.TUNNEL,
        title="the IKE daemon of the crisis cell's firewall is stopped",
        inject=(Stop(node=CRISIS_FIREWALL, service=Name("charon")),),
        heal=(Start(node=CRISIS_FIREWALL, service=Name("charon")), Script(node=CRISIS_FIREWALL, script=_LOAD)),
        healed=(shows(STATION, through), shows(CRISIS_FIREWALL, administered)),
        healed_within=60,
        must=(f"tunnel/up/{video.name}",),
        may=("*crisis-cell*", "video/*", "tunnel/*"),
    )


def _weak_algorithms(video: Tunnel) -> Fault:
    both_ends = (CRISIS_FIREWALL, COMMUNE_FIREWALL)
    up = Script(
        node=COMMUNE_FIREWALL,
        script=f"n=0; until timeout 5 swanctl --list-sas --ike {video.name} | grep -q INSTALLED; do\n"
        f"  timeout 10 swanctl --initiate --child {video.name} --timeout 5 >/dev/null 2>&1 || sleep 1\n"
        "  n=$((n + 1)); [ $n -lt 10 ] || exit 1\ndone",
    )
    # Of this connection alone: the other tunnel is the way in.
    weaken = f"sed -i.before-fault '/^\t{video.name} /,/^\t}}/ {{ {_WEAKER} }}' {_CONF}; {_LOAD}"
    restore = f"[ ! -e {_CONF}.before-fault ] || mv {_CONF}.before-fault {_CONF}; {_LOAD}"
    return Fault(
        name=Name("weak-algorithms"),
        layer=Layer.TUNNEL,
        title="both ends of the video tunnel were changed to AES-128",
        inject=(*(Script(node=node, script=weaken) for node in both_ends), up),
        heal=(*(Script(node=node, script=restore) for node in both_ends), up),
        healed=(
            shows(COMMUNE_FIREWALL, f"timeout 5 swanctl --list-sas --ike {video.name} | grep -q ESP:AES_GCM_16-256"),
        ),
        must=(
            f"tunnel/algorithms/{video.name}",
            *(f"intent/running/{node.site}.{node.equipment}" for node in both_ends),
        ),
        may=("tunnel/algorithms/*", "hosts/tunnels/*"),
    )
