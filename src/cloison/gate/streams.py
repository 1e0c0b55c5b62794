"""Watches live streams: a rule, a port or a selector can let a handshake through and no picture."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Final

from cloison.change.gate import GateCheck
from cloison.errors import CloisonError
from cloison.flow import Outcome, Purpose
from cloison.gate.flows import Fate
from cloison.gate.tries import both_tries
from cloison.intent.models import Kind
from cloison.probe.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cloison.flow import Flow
    from cloison.gate.flows import Fated
    from cloison.intent.network import Intent
    from cloison.model import EquipmentName
    from cloison.probe.stream import StreamSeen

    Look = Callable[[EquipmentName, Stream], StreamSeen]
    """Plays a stream at a station."""

FRAMES: Final = 5
"""Pictures that must be decoded: more than the first key frame, which the server may have kept."""
SECONDS: Final = 3.0
"""The most that playing may take once the server has answered."""


@dataclass(frozen=True, slots=True)
class Viewed:
    """One camera, to be seen at one station."""

    station: EquipmentName
    stream: Stream

    @property
    def name(self) -> str:
        """The name of its check."""
        station = str(self.station).replace("/", ".")
        return f"stream/{station}--{self.stream.server.site}.{self.stream.mount}"


def viewed(intent: Intent, fated: Iterable[Fated]) -> tuple[Viewed, ...]:
    """Return which camera is to be seen at which station: each camera and each station once, all that there must be."""
    by_gateway: dict[EquipmentName, list[Flow]] = {}
    for one in fated:
        flow = one.flow
        ends = [intent.equipment_by_name[end.name].kind for end in (flow.source, flow.destination)]
        if flow.purpose is Purpose.LIVE and ends == [Kind.STATION, Kind.LIVE_GATEWAY] and one.fate is not Fate.CLOSES:
            by_gateway.setdefault(flow.destination.name, []).append(flow)
    return tuple(found for gateway, flows in by_gateway.items() for found in _at_gateway(intent, gateway, flows))


def _at_gateway(intent: Intent, gateway: EquipmentName, flows: list[Flow]) -> Iterator[Viewed]:
    cameras = [one.name for one in intent.site_by_name[gateway.site].equipment if one.kind is Kind.CAMERA]
    count = max(len(cameras), len(flows)) if cameras else 0
    for flow, camera, _ in zip(cycle(flows), cycle(cameras), range(count), strict=False):
        address, port = flow.destination.address, flow.service.port
        yield Viewed(flow.source.name, Stream(gateway, address, port, str(camera.equipment)))


class StreamWatch:
    """A `cloison.change.gate.Watch` of live streams, by the stations' own players."""

    def __init__(self, look: Look, views: Iterable[Viewed], *, is_new: bool = False, settling: bool = False) -> None:
        """Take what plays a stream at a station; `is_new` for streams of which none was declared before."""
        self._look = look
        self._views = tuple(views)
        self._settling, self._is_new = settling, is_new
        self._unseen: dict[str, str] = {}

    def before(self) -> None:
        """Play every stream that may be there, to know which are seen before the change."""
        views = () if self._is_new else self._views
        self._unseen = {view.name: why for view, (_, why) in self._played(views) if why}

    def after(self) -> tuple[GateCheck, ...]:
        """Return a check `stream/<station>--<camera>` for every stream: pictures were decoded."""
        first = self._checks(self._views)
        failed = {check.name for check in first if not check.passed}
        again = self._checks([view for view in self._views if view.name in failed])
        return both_tries(first, again, settling=self._settling)

    def close(self) -> None:
        """Do nothing: no player is left running."""

    def _checks(self, views: Iterable[Viewed]) -> tuple[GateCheck, ...]:
        found = []
        for view, (outcome, why) in self._played(views):
            known = self._unseen.get(view.name)
            detail = why or f"{view.station} decoded {FRAMES} pictures of {view.stream.mount}"
            excused = bool(why) and known is not None  # not worse than before
            if excused:
                detail = f"{why}; it was not seen before the change: {known}"
            found.append(GateCheck(name=view.name, outcome=Outcome.PASS if excused else outcome, detail=detail))
        return tuple(found)

    def _played(self, views: Iterable[Viewed]) -> list[tuple[Viewed, tuple[Outcome, str]]]:
        """Play streams, all at the same time; return what was not as it must be of each."""
        wanted = list(views)
        with ThreadPoolExecutor(max(1, len(wanted))) as pool:
            return list(zip(wanted, pool.map(self._one, wanted), strict=True))

    def _one(self, view: Viewed) -> tuple[Outcome, str]:
        try:
            seen = self._look(view.station, view.stream)
        except CloisonError as error:
            return Outcome.ERROR, f"{view.station} could not be made to look: {error}"
        if seen.refusal is not None:
            words = f" ({seen.detail})" if seen.detail else ""
            return Outcome.FAIL, f"{view.station} saw no picture of {view.stream.mount}: {seen.refusal}{words}"
        if seen.frames < FRAMES:
            return Outcome.FAIL, f"{view.station} decoded {seen.frames} of {FRAMES} pictures of {view.stream.mount}"
        return Outcome.PASS, ""
