"""Every live stream, watched at every station that may: with a scene of this run's own before each camera."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.errors import CloisonError, ProbeError
from cloison.flow import Purpose
from cloison.intent.models import Kind
from cloison.probe.stream import Stream, StreamSeen, watch
from cloison.testing.survey import WideAreaTap, emissions_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.flow import Flow
    from cloison.intent.network import Intent, Site
    from cloison.model import EquipmentName, Name
    from cloison.probe.wide_area import Emissions
    from cloison.testing.network import JudgedNetwork

_SCENE_BITS = 32
_FRAMES, _SECONDS = 20, 8.0
DELAY_LIMIT_MILLISECONDS = 2000
"""From drawing to decoding: more than that would be a recording (a relay of live streams keeps none)."""


@dataclass(frozen=True, slots=True)
class View:
    """One camera as one station saw it."""

    camera: EquipmentName
    station: EquipmentName
    gateway: EquipmentName
    nonce: int
    """What the camera looked at."""
    seen: StreamSeen | CloisonError
    """Or why the station could not be made to look."""


def live_flows(intent: Intent) -> tuple[Flow, ...]:
    """Return the flows by which stations watch live streams at a gateway."""
    return tuple(
        flow
        for flow in intent.flows
        if flow.purpose is Purpose.LIVE
        and intent.equipment_by_name[flow.destination.name].kind is Kind.LIVE_GATEWAY
        and intent.equipment_by_name[flow.source.name].kind is Kind.STATION
    )


class Viewing:
    """What all stations saw, all at once, and what crossed the wide-area network meanwhile."""

    def __init__(self, intent: Intent, network: JudgedNetwork) -> None:
        cameras = [e.name for e in intent.equipment_by_name.values() if e.kind is Kind.CAMERA]
        nonces = {camera: secrets.randbits(_SCENE_BITS) for camera in cameras}
        for camera, nonce in nonces.items():
            network.show(camera, nonce)
        planned = list(_planned(intent))
        runners = {flow.source.name: network.runner_for(flow.source.name) for flow, _ in planned}
        self._intent = intent
        tap = WideAreaTap(network.uplinks())

        def look(plan: tuple[Flow, EquipmentName]) -> View:
            flow, camera = plan
            where = Stream(flow.destination.name, flow.destination.address, flow.service.port, str(camera.equipment))
            seen: StreamSeen | CloisonError
            try:
                seen = watch(runners[flow.source.name], where, frames=_FRAMES, seconds=_SECONDS)
            except CloisonError as error:
                seen = error
            return View(camera, flow.source.name, flow.destination.name, nonces[camera], seen)

        try:
            with ThreadPoolExecutor(max(1, len(planned))) as pool:
                self.views = tuple(pool.map(look, planned))
        finally:
            tap.close()
        self.wide_area, self.wide_area_lost = tap.packets, tap.lost_packets

    def of_camera(self, camera: EquipmentName) -> list[View]:
        """Return the views of one camera; ProbeError when no station may watch it."""
        found = [view for view in self.views if view.camera == camera]
        if not found:
            msg = f"no station may watch {camera}"
            raise ProbeError(msg)
        return found

    def emissions(self, site: Name) -> Emissions:
        """Return what the firewall of a site put on the wide-area network meanwhile."""
        return emissions_in(self._intent, self.wide_area[site])


def _planned(intent: Intent) -> Iterator[tuple[Flow, EquipmentName]]:
    for flow in live_flows(intent):
        site: Site = intent.site_by_name[flow.destination.name.site]
        for equipment in site.equipment:
            if equipment.kind is Kind.CAMERA:
                yield flow, equipment.name


def faults_of(view: View) -> list[str]:
    """Return what is wrong with what a station saw; the reason of an error is one."""
    if isinstance(view.seen, CloisonError):
        raise view.seen
    seen = view.seen
    if seen.refusal is not None:
        return [f"{view.station} saw no stream: {seen.refusal} ({seen.detail or 'no more was said'})"]
    found: list[str] = []
    if seen.nonces != (view.nonce,):
        shown = ", ".join(f"{nonce:08x}" for nonce in seen.nonces) or "none"
        found.append(f"{view.station} read {shown} from the pictures; the camera was shown {view.nonce:08x}")
    if seen.audio_tracks:
        found.append(f"{view.station} was offered {seen.audio_tracks} audio tracks; no camera carries sound")
    if seen.delay_milliseconds is None or seen.delay_milliseconds[1] > DELAY_LIMIT_MILLISECONDS:
        delay = seen.delay_milliseconds[1] if seen.delay_milliseconds else "unknown"
        found.append(f"{view.station} saw pictures {delay} ms old; expected {DELAY_LIMIT_MILLISECONDS} ms at most")
    return found
