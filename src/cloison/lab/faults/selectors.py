"""Faults of one end of a tunnel: what it takes in or lets out is not what the other end does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer, Script
from cloison.lab.faults.pilot import COMMUNE_FIREWALL, CRISIS_FIREWALL, shows
from cloison.lab.faults.tunnel import bring_up, edited
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent, Tunnel
    from cloison.model import EquipmentName


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of this kind."""
    video = next(tunnel for tunnel in intent.tunnels if tunnel.kind == "video")
    own, far = video.initiator.selectors[0], video.responder.selectors[0]
    return (
        _at_the_commune(
            video,
            "selector-widened-at-one-end",
            "the commune's end of the video tunnel takes in the recorder's segment too, the other end does not",
            f"s#local_ts = {own}#local_ts = {own.supernet()}#",
        ),
        _at_the_commune(
            video,
            "selector-of-anything",
            "the commune's end of the video tunnel would send anything through it, wherever it goes",
            f"s#remote_ts = {far}#remote_ts = 0.0.0.0/0#",
        ),
        _at_the_crisis_cell(
            video,
            "child-missing",
            "the crisis cell's end of the video tunnel has lost what the tunnel is to carry",
            "/^\t\tchildren {/,/^\t\t}/d",
        ),
        _at_the_crisis_cell(
            video,
            "connection-missing",
            "the crisis cell's firewall has no video tunnel any more",
            "d",
        ),
    )


def _must(node: EquipmentName) -> tuple[str, ...]:
    return tuple(f"{check}/{node.site}.{node.equipment}" for check in ("hosts/tunnels", "intent/running"))


def _is_up(video: Tunnel) -> Script:
    """Return the event that the tunnel is there, with the declared selectors."""
    sas = f"timeout 5 swanctl --list-sas --ike {video.name}"
    return shows(COMMUNE_FIREWALL, f"{sas} | grep -q 'local  {video.initiator.selectors[0]}$'")


def _at_the_commune(video: Tunnel, name: str, title: str, change: str) -> Fault:
    edit, restore = edited(COMMUNE_FIREWALL, video, change)
    up = bring_up(video)
    return Fault(
        name=Name(name),
        layer=Layer.TUNNEL,
        title=title,
        inject=(edit, up),
        heal=(restore, up),
        healed=(_is_up(video),),
        must=_must(COMMUNE_FIREWALL),
    )


def _at_the_crisis_cell(video: Tunnel, name: str, title: str, change: str) -> Fault:
    edit, restore = edited(CRISIS_FIREWALL, video, change)
    end = f"timeout 10 swanctl --terminate --ike {video.name} --force >/dev/null 2>&1 || :"
    return Fault(
        name=Name(name),
        layer=Layer.TUNNEL,
        title=title,
        inject=(edit, Script(node=CRISIS_FIREWALL, script=end)),
        heal=(restore, bring_up(video)),
        healed=(_is_up(video),),
        must=_must(CRISIS_FIREWALL),
        may=("video/*", "tunnel/*", "reach/*--live-relay", "packets/refused/*crisis-cell.station-*"),
    )
