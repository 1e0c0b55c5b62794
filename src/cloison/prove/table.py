"""A flow table as sets of frames: for one port, which frames go where."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from cloison.prove.openflow import NORMAL, Flow
from cloison.prove.statement import Unmodelled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cloison.prove.openflow import Conditions, FlowTable, Output
    from cloison.prove.packet import Frames
    from cloison.prove.space import Packet, Region
    from cloison.prove.statement import Statement

Treatment = tuple["Output", ...] | None
"""Where frames go; None where that is not known."""
_EVERY_FRAME: Final[tuple[Conditions, ...]] = ((),)


@dataclass(frozen=True, slots=True)
class Part:
    """Some frames of one port, as two sets: those of the first that are not in the second.

    The second holds what flows for every port take. It is large and the same at every site; taken from the frames that
    arrive only once these are few, it costs little.
    """

    treatment: Treatment
    frames: Region
    taken: Region
    reasons: tuple[Unmodelled, ...] = ()

    def of(self, arriving: Region) -> Region:
        """Return those of the frames that arrive."""
        return (arriving & self.frames) - self.taken


class _Unions(dict[tuple[tuple["Conditions", ...], ...], "Region"]):
    """The frames that any of some flows takes, by what these match; one for each space, for flows are much the same."""

    @classmethod
    def of(cls, frames: Frames) -> _Unions:
        """Return the one of a space."""
        found = frames.kept.setdefault(cls, cls())
        if not isinstance(found, cls):
            raise TypeError(cls)
        return found


class Table:
    """The first table of a bridge. Others are reached by actions that are not modelled, or not at all."""

    def __init__(self, frames: Frames, flows: FlowTable | None, *, secure: bool, not_normal: Region) -> None:
        """Take the flows; without any (`None`), what a bridge begins with: NORMAL, or nothing where it is `secure`.

        `not_normal` are the frames that NORMAL drops, whatever the port.
        """
        self._frames = frames
        self._unions = _Unions.of(frames)
        self._not_normal = not_normal
        self._opaque = flows.opaque if flows else ()
        self._begins_normal = flows is None and not secure
        self._by_port: defaultdict[Output | None, list[Flow]] = defaultdict(list)
        for flow in flows.flows if flows else ():
            if flow.table == 0:
                self._by_port[flow.in_port].append(flow)
        self._of_all = sorted(self._by_port[None], key=_rank)

    def parts(self, names: Sequence[Output], *, unnumbered: bool) -> tuple[Part, ...]:
        """Return what becomes of the frames of a port, given by the names and numbers that flows may call it by.

        Frames in none of the parts are dropped. Parts of different treatment have no frame in common. With
        `unnumbered`, the daemon chooses the port's number: any flow with a number may be its own.
        """
        nothing, everything = self._frames.nothing, self._frames.everything
        if self._begins_normal:
            return (Part((NORMAL,), everything, self._not_normal),)
        reasons = self._opaque
        if unnumbered:
            numbered = [flow for number, flows in self._by_port.items() if isinstance(number, int) for flow in flows]
            reasons += tuple(Unmodelled(flow.statement, f"which port is in_port={flow.in_port}") for flow in numbered)
        if reasons:
            return (Part(None, everything, nothing, reasons),)
        return tuple(self._parts(self._of_port(names)))

    def _of_port(self, names: Sequence[Output]) -> list[Flow]:
        """Return the flows of one port by falling priority, down to the first that takes every frame."""
        own = [flow for name in names if name in self._by_port for flow in self._by_port[name]]
        flows = sorted([*own, *self._of_all], key=_rank) if own else self._of_all
        for at, flow in enumerate(flows):
            if flow.match == _EVERY_FRAME and not flow.is_opaque:
                return flows[: at + 1] + [other for other in flows[at + 1 :] if other.priority == flow.priority]
        return flows

    def _parts(self, flows: list[Flow]) -> Iterator[Part]:
        """Yield for each flow that does something its frames but for those of flows above it that do something else."""
        above: list[Flow] = []
        known: defaultdict[tuple[Treatment, tuple[Flow, ...]], list[Region]] = defaultdict(list)
        for _, level in groupby(flows, key=_rank):
            group = list(level)
            for treatment, those in _by_treatment(group).items():
                rivals = [flow for flow in group if _treatment(flow) != treatment]
                if treatment == () and not rivals:
                    continue
                others = [flow for flow in above if _treatment(flow) != treatment]
                of_all = tuple(flow for flow in others if flow.in_port is None)
                own = [flow for flow in others if flow.in_port is not None]
                left = self._union(those) - self._union(own)
                if rivals and (tied := left & self._union(rivals)):
                    left -= tied
                    reasons = [
                        Unmodelled(flow.statement, "which of two flows of one priority counts") for flow in those
                    ]
                    yield Part(None, tied, self._union(of_all), tuple(reasons))
                if treatment is None:
                    yield Part(None, left, self._union(of_all), tuple(one for flow in those for one in flow.opaque))
                elif treatment and left:
                    known[treatment, of_all].append(left)
            above += group
        for (treatment, of_all), regions in known.items():
            taken = self._union(of_all)
            taken = taken | self._not_normal if treatment == (NORMAL,) else taken
            yield Part(treatment, self._frames.union(regions), taken)

    def _union(self, flows: Iterable[Flow]) -> Region:
        """Return the frames that any of these flows takes, from memory where the same set was asked for before."""
        key = tuple(flow.match for flow in flows)
        found = self._unions.get(key)
        if found is None:
            boxes = [conditions for match in key for conditions in match]
            found = self._unions[key] = self._frames.union([self._frames.box(**dict(one)) for one in boxes])
        return found

    def deciding(self, names: Sequence[Output], packet: Packet) -> tuple[str, Statement | None]:
        """Return what decides about one frame of a port, in words, and the flow that does."""
        if self._begins_normal:
            return "no flows: forwarded as any switch does (NORMAL)", None
        for flow in self._of_port(names):
            if packet in self._union([flow]):
                words = ", ".join(map(str, flow.outputs)) or "dropped"
                return (
                    f"flow of priority {flow.priority}: {'not modelled' if flow.is_opaque else words}",
                    flow.statement,
                )
        return "dropped: no flow matches", None


def _rank(flow: Flow) -> int:
    return -flow.priority


def _treatment(flow: Flow) -> Treatment:
    return None if flow.is_opaque else flow.outputs


def _by_treatment(flows: Iterable[Flow]) -> dict[Treatment, list[Flow]]:
    found: dict[Treatment, list[Flow]] = {}
    for flow in flows:
        found.setdefault(_treatment(flow), []).append(flow)
    return found
