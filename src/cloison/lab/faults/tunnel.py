"""Faults of the tunnels: the daemon gone, weak algorithms negotiated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer, Script, Start, Stop
from cloison.lab.faults.pilot import COMMUNE_FIREWALL, CRISIS_FIREWALL, GATEWAY, STATION, address, shows
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent

_CONF = "/etc/swanctl/swanctl.conf"
_WEAK = (
    "sed -i.before-fault 's/aes256gcm16-ecp384/aes128gcm16-ecp384/; s/aes256gcm16-prfsha384/aes128gcm16-prfsha384/' "
    + _CONF
)
_LOAD = "timeout 10 swanctl --load-all"


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of this layer."""
    video = next(tunnel for tunnel in intent.tunnels if tunnel.kind == "video")
    up = f"timeout 15 swanctl --initiate --child {video.name} --timeout 10"
    ping = f"ping -c 1 -W 1 {address(intent, GATEWAY)}"
    return (
        Fault(
            name=Name("tunnel-stopped"),
            layer=Layer.TUNNEL,
            title="the IKE daemon of the crisis cell's firewall is stopped",
            inject=(Stop(node=CRISIS_FIREWALL, service=Name("charon")),),
            heal=(Start(node=CRISIS_FIREWALL, service=Name("charon")), Script(node=CRISIS_FIREWALL, script=_LOAD)),
            healed=shows(STATION, f"timeout 3 bash -c 'exec 3<>/dev/tcp/{address(intent, GATEWAY)}/8322'; {ping} || :"),
            healed_within=60,
            must=(f"tunnel/up/{video.name}",),
            may=("*crisis-cell*", "video/*", "tunnel/*"),
        ),
        Fault(
            name=Name("weak-algorithms"),
            layer=Layer.TUNNEL,
            title="both ends of the video tunnel were changed to AES-128",
            inject=(
                *(Script(node=node, script=f"{_WEAK}; {_LOAD}") for node in (CRISIS_FIREWALL, COMMUNE_FIREWALL)),
                Script(node=COMMUNE_FIREWALL, script=up),
            ),
            heal=(
                *(
                    Script(node=node, script=f"mv {_CONF}.before-fault {_CONF}; {_LOAD}")
                    for node in (CRISIS_FIREWALL, COMMUNE_FIREWALL)
                ),
                Script(node=COMMUNE_FIREWALL, script=up),
            ),
            healed=shows(COMMUNE_FIREWALL, "timeout 5 swanctl --list-sas | grep -q AES_GCM_16-256"),
            must=(
                f"tunnel/algorithms/{video.name}",
                "intent/running/roussy-le-village.firewall",
                "intent/running/crisis-cell.firewall",
            ),
            may=("tunnel/algorithms/*", "hosts/tunnels/*"),
        ),
    )
