"""Faults of the tunnels: the daemon gone, weak algorithms negotiated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer, Script, Start, Stop
from cloison.lab.faults.pilot import COMMUNE_FIREWALL, CRISIS_FIREWALL, GATEWAY, STATION, address, shows
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent, Tunnel
    from cloison.model import EquipmentName

_CONF = "/etc/swanctl/swanctl.conf"
_WEAKER = "s/aes256gcm16-ecp384/aes128gcm16-ecp384/; s/aes256gcm16-prfsha384/aes128gcm16-prfsha384/"
_LOAD = "timeout 10 swanctl --load-all"
_FOREIGN = "/etc/swanctl/foreign.conf"
"""Beside the other: swanctl looks for certificates from where the file is."""


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of this layer."""
    video = next(tunnel for tunnel in intent.tunnels if tunnel.kind == "video")
    return (
        _tunnel_stopped(intent, video),
        _weak_algorithms(video),
        _selectors_widened(video),
        _names_shared(intent, video),
        _foreign_connection(),
    )


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
        heal=(
            Start(node=CRISIS_FIREWALL, service=Name("charon")),
            Script(node=CRISIS_FIREWALL, script=_LOAD),
            # The commune may have asked between the start and the load, and been refused.
            _forget(video),
            bring_up(video),
        ),
        healed=(shows(STATION, through), shows(CRISIS_FIREWALL, administered)),
        healed_within=60,
        must=(f"tunnel/up/{video.name}",),
        may=("*crisis-cell*", "video/*", "tunnel/*"),
        unproved="nothing behind the tunnel can be read, and what is read of the other end is as declared",
    )


def _forget(video: Tunnel) -> Script:
    """Return the step that drops what the commune still takes for a tunnel with a peer that has died since."""
    return Script(
        node=COMMUNE_FIREWALL, script=f"timeout 10 swanctl --terminate --ike {video.name} --force >/dev/null 2>&1 || :"
    )


def bring_up(video: Tunnel) -> Script:
    """Return the step that asks until the tunnel is there: an initiator that was refused once never asks by itself."""
    return Script(
        node=COMMUNE_FIREWALL,
        script=f"n=0; until timeout 5 swanctl --list-sas --ike {video.name} | grep -q INSTALLED; do\n"
        f"  timeout 10 swanctl --initiate --child {video.name} --timeout 5 >/dev/null 2>&1 || sleep 1\n"
        "  n=$((n + 1)); [ $n -lt 10 ] || exit 1\ndone",
    )


def edited(node: EquipmentName, video: Tunnel, change: str) -> tuple[Script, Script]:
    """Return the step that edits this connection alone by sed(1) (the other is the way in), and the one that undoes it.

    Both load what is then in the file.
    """
    edit = f"sed -i.before-fault '/^\t{video.name} /,/^\t}}/ {{ {change} }}' {_CONF}; {_LOAD}"
    restore = f"[ ! -e {_CONF}.before-fault ] || mv {_CONF}.before-fault {_CONF}; {_LOAD}"
    return Script(node=node, script=edit), Script(node=node, script=restore)


def _changed_at_both_ends(video: Tunnel, change: str) -> tuple[tuple[Script, ...], tuple[Script, ...]]:
    """Return the steps that change this connection at both ends, and those that undo it."""
    steps = [edited(node, video, change) for node in (CRISIS_FIREWALL, COMMUNE_FIREWALL)]
    up = bring_up(video)
    return (*(edit for edit, _ in steps), up), (*(restore for _, restore in steps), up)


_BOTH_RUNNING = ("intent/running/crisis-cell.firewall", "intent/running/roussy-le-village.firewall")


_BOTH_LOADED = ("hosts/tunnels/crisis-cell.firewall", "hosts/tunnels/roussy-le-village.firewall")


def _weak_algorithms(video: Tunnel) -> Fault:
    inject, heal = _changed_at_both_ends(video, _WEAKER)
    return Fault(
        name=Name("weak-algorithms"),
        layer=Layer.TUNNEL,
        title="both ends of the video tunnel were changed to AES-128",
        inject=inject,
        heal=heal,
        healed=(shows(COMMUNE_FIREWALL, f"{_negotiated(video)} | grep -q ESP:AES_GCM_16-256"),),
        must=(f"tunnel/algorithms/{video.name}", *_BOTH_RUNNING),
        may=("tunnel/algorithms/*", "hosts/tunnels/*"),
        unproved="which algorithms are negotiated decides about no packet's way",
    )


def _selectors_widened(video: Tunnel) -> Fault:
    declared = video.initiator.selectors[0]
    inject, heal = _changed_at_both_ends(video, f"s#{declared}#{declared.supernet()}#")
    return Fault(
        name=Name("selectors-widened"),
        layer=Layer.TUNNEL,
        title="both ends of the video tunnel take in the recorder's segment too",
        inject=inject,
        heal=heal,
        healed=(shows(COMMUNE_FIREWALL, f"{_negotiated(video)} | grep -q {declared}"),),
        must=(f"tunnel/selectors/{video.name}", *_BOTH_LOADED, *_BOTH_RUNNING),
    )


def _negotiated(tunnel: Tunnel) -> str:
    return f"timeout 5 swanctl --list-sas --ike {tunnel.name}"


def _names_shared(intent: Intent, video: Tunnel) -> Fault:
    own = video.responder.selectors[0]
    centre = intent.site_by_name[intent.administration_station.name.site]
    foreign = next(s.prefix for s in centre.segments if intent.administration_station.address in s.prefix)
    # libipsec takes a selector only where the gateway has an address of its own in it.
    address = f"{foreign.broadcast_address - 1}/32 dev lo"
    inject, heal = _changed_at_both_ends(video, f"s#{own}#{own}, {foreign}#")
    return Fault(
        name=Name("names-shared"),
        layer=Layer.TUNNEL,
        title="the video tunnel lets the crisis cell speak in the operations centre's name",
        inject=(Script(node=CRISIS_FIREWALL, script=f"ip address replace {address}"), *inject),
        heal=(*heal, Script(node=CRISIS_FIREWALL, script=f"ip address del {address} || :")),
        healed=(shows(COMMUNE_FIREWALL, f"! {_negotiated(video)} | grep -q {foreign}"),),
        must=(f"tunnel/spoof/{video.name}", f"tunnel/selectors/{video.name}", *_BOTH_LOADED, *_BOTH_RUNNING),
        # The gateway's answers to the administration station now go into the other tunnel.
        may=(
            "hosts/*/roussy-le-village.live-gateway",
            "packets/refused/operations-centre.*--roussy-le-village.live-gateway",
            "reach/delivered/operations-centre.administration-station--roussy-le-village.live-gateway--ssh",
        ),
    )


def _foreign_connection() -> Fault:
    load = (
        f"cp {_CONF} {_FOREIGN}\n"
        f"printf 'connections {{\\n other {{\\n local {{\\n auth = psk\\n }}\\n }}\\n}}\\n' >>{_FOREIGN}\n"
        f"timeout 10 swanctl --load-conns --file {_FOREIGN}; rm {_FOREIGN}"
    )
    return Fault(
        name=Name("foreign-connection"),
        layer=Layer.TUNNEL,
        title="somebody has loaded a connection of their own into the commune's IKE daemon",
        inject=(Script(node=COMMUNE_FIREWALL, script=load),),
        heal=(Script(node=COMMUNE_FIREWALL, script="timeout 10 swanctl --load-conns"),),
        healed=(shows(COMMUNE_FIREWALL, "! timeout 5 swanctl --list-conns | grep -q ^other:"),),
        must=("hosts/tunnels/roussy-le-village.firewall", "intent/running/roussy-le-village.firewall"),
    )
