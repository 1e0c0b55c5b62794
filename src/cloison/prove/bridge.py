"""A switch as a function on sets of frames: what comes in at a port, and as what it leaves by which others.

The semantics are those of Open vSwitch with `vlan-limit=1`, its default, measured on OVS 3.1 (tests/lab/
test_switch_differential.py): a port's mode says in which VLAN a frame is and which tag it leaves with; the flow table
comes first and sees the frame as it arrives.

What is over-approximated: **nothing is assumed to be learnt**, so a frame may reach every port of its VLAN, whatever
its destination address. What the fields do not keep: the priority in a tag (a frame may leave with a VLAN 0 tag or
without where that depends on it) and the tag's own EtherType (0x8100 and 0x88a8 are one: OVS treats them alike, a host
may not take the second). A frame in LLC/SNAP is taken for its Ethernet II form, as OVS does. Behind a third tag nothing
is known: when it comes to the front, everything may follow it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.prove.openflow import ALL, FLOOD, IN_PORT, NORMAL
from cloison.prove.statement import Unmodelled
from cloison.prove.switch import LOCAL
from cloison.prove.table import Part, Table
from cloison.prove.vlan import Entered, Tags, VlanPort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cloison.prove.openflow import FlowTable, Output
    from cloison.prove.packet import Frames
    from cloison.prove.space import Packet, Region
    from cloison.prove.statement import Statement
    from cloison.prove.switch import Switch, SwitchBridge, SwitchPort

_MANAGED = "br0"
"""The bridge whose flows are read back."""


@dataclass(frozen=True, slots=True)
class Switched:
    """What becomes of frames that come in by one port."""

    out: Mapping[str, Region]
    """By the port they leave by, the frames as they are on the wire; the bridge's own port by the bridge's name."""
    unknown: Region
    """Frames, as they came in, of which it is not known where they go; `out` may hold them too."""
    reasons: tuple[Unmodelled, ...]
    """Why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens to one frame, for an explanation."""

    what: str
    statement: Statement | None = None


class Bridge:
    """The bridges of one device, as far as frames go. Nothing of it changes but what it has computed already."""

    def __init__(self, frames: Frames, switch: Switch, flows: FlowTable | None, up: Callable[[str], bool]) -> None:
        """Take a device's rows, its flow table and whether the link of a port is administratively up.

        Without a flow table (`None`), a bridge that is not `secure` has one flow, NORMAL, and one that is has none.
        """
        self._frames = frames
        self._tags = Tags.of(frames)
        bridges = sorted(switch.bridges, key=lambda bridge: bridge.name != _MANAGED)
        self._bridge: SwitchBridge | None = bridges[0] if bridges else None
        own = self._bridge.ports if self._bridge else ()
        self._foreign = {port.name: bridge for bridge in bridges[1:] for port in bridge.ports}
        self._ports = {port.name: VlanPort(frames, port) for port in own}
        self._up = {name: up(name) for name in self._ports}
        forward = self._bridge is not None and self._bridge.forward_bpdu
        self._not_normal = frames.nothing if forward else self._tags.reserved
        secure = self._bridge is None or self._bridge.secure
        self._table = Table(frames, flows, secure=secure, not_normal=self._not_normal)
        self._parts: dict[str, tuple[Part, ...]] = {}
        self._numbers = _numbers(own)
        self.ports: tuple[str, ...] = (*self._ports, *self._foreign)
        """By the name of their interface; the bridge's own by the bridge's."""

    def through(self, port: str, arriving: Region) -> Switched:
        """Return where frames go that arrive at a port from its cable, or from the host at a port of the switch's own.

        Raises KeyError for a port that is none.
        """
        out: dict[str, Region] = {}
        arriving &= self._tags.sensible
        if port in self._foreign:
            other = self._foreign[port]
            return Switched(out, arriving, (Unmodelled(other.statement, "the flows of another bridge"),))
        source = self._ports[port]
        nothing = self._frames.nothing
        if not self._up[port] or not arriving or self._bridge is None:
            return Switched(out, nothing, ())
        if any(mirror.output == port for mirror in self._bridge.mirrors):
            return Switched(out, nothing, ())  # a port for copies takes nothing in
        opaque = (*self._bridge.opaque, *source.port.opaque)
        if opaque:
            return Switched(out, arriving, opaque)
        unknown: Region = nothing
        reasons: tuple[Unmodelled, ...] = ()
        passage = _Passage(source, self._bridge, self._ports)
        for part in self._parts_of(source.port):
            if sent := part.of(arriving):
                unclear = part.reasons if part.treatment is None else self._send(passage, part.treatment, sent)
                unknown = unknown | sent if unclear else unknown
                reasons += unclear
        passage.mirror(arriving)
        out = {name: region for name, region in passage.out.items() if self._up[name]}
        return Switched(out, unknown, tuple(dict.fromkeys(reasons)))

    def _parts_of(self, port: SwitchPort) -> tuple[Part, ...]:
        """Return what the flows do with frames of a port, which is worked out once."""
        if port.name not in self._parts:
            unnumbered = self._numbers.get(port.number) != port.name
            self._parts[port.name] = self._table.parts(self._names_of(port), unnumbered=unnumbered)
        return self._parts[port.name]

    @staticmethod
    def _names_of(port: SwitchPort) -> tuple[Output, ...]:
        return (port.name,) if port.number is None else (port.name, port.number)

    def _send(self, passage: _Passage, outputs: tuple[Output, ...], sent: Region) -> tuple[Unmodelled, ...]:
        """Do what one flow does with frames; return why that is not all, if it is not."""
        unclear: tuple[Unmodelled, ...] = ()
        for output in outputs:
            if output == NORMAL:
                unclear += passage.normal(sent if len(outputs) == 1 else sent - self._not_normal)
            elif output in {FLOOD, ALL}:
                for target in self._ports.values():
                    unclear += passage.to(target, sent)
            elif output == IN_PORT:
                unclear += passage.back(sent)
            elif name := str(output) if output in self._ports else self._numbers.get(output):
                unclear += passage.to(self._ports[name], sent)
            elif isinstance(output, int):
                unclear += tuple(
                    Unmodelled(port.port.statement, "no ofport_request of its own")
                    for port in self._ports.values()
                    if self._numbers.get(port.port.number) != port.port.name
                )
        return unclear

    def deciding(self, port: str, packet: Packet) -> tuple[Step, ...]:
        """Return what decides about one frame at a port, in words: the flow, the VLAN, where it goes or why not."""
        if port in self._foreign:
            other = self._foreign[port]
            return (Step(f"{port} is a port of bridge {other.name}, whose flows are not known", other.statement),)
        source = self._ports[port]
        if not self._up[port] or self._bridge is None:
            return (Step(f"{port} is shut", source.port.statement),)
        flow = self._table.deciding(self._names_of(source.port), packet)
        steps = [Step(*flow)]
        switched = self.through(port, self._frames.box(**packet))
        if switched.unknown:
            return (*steps, *(Step(f"not modelled: {one.what}", one.statement) for one in switched.reasons))
        steps += [Step(source.in_words(packet), source.port.statement)] if switched.out else []
        for name, region in switched.out.items():
            steps.append(Step(self._ports[name].out_words(region), self._ports[name].port.statement))
        if not switched.out:
            steps.append(Step(f"leaves {self._bridge.name} by no port", source.port.statement))
        return tuple(steps)


class _Passage:
    """Frames on their way through a bridge, from one port."""

    def __init__(self, source: VlanPort, bridge: SwitchBridge, ports: Mapping[str, VlanPort]) -> None:
        self.out: dict[str, Region] = {}
        """What leaves by each port, shut ones too: a mirror copies even that."""
        self._source = source
        self._bridge = bridge
        self._ports = ports
        self._copied_to = {mirror.output for mirror in bridge.mirrors}
        self._put_out: list[tuple[str, Entered]] = []

    def to(self, target: VlanPort, sent: Region) -> tuple[Unmodelled, ...]:
        """Put frames out by a port as they came in, unless it is the one they came in by."""
        if target is self._source:
            return ()
        return self._leave(target, sent, target.entering(sent) if self._copied_to else None)

    def back(self, sent: Region) -> tuple[Unmodelled, ...]:
        """Put frames out by the port they came in by."""
        return self._leave(self._source, sent, self._source.entering(sent) if self._copied_to else None)

    def normal(self, sent: Region) -> tuple[Unmodelled, ...]:
        """Put frames out by every other port of their VLAN."""
        entered = self._source.entering(sent)
        unclear: tuple[Unmodelled, ...] = ()
        leaving: dict[object, Region] = {}
        for name, target in self._ports.items():
            apart = self._source.port.protected and target.port.protected
            if target is self._source or apart or name in self._copied_to:
                continue
            if not (target.port.opaque or target.carries_any(entered)):
                continue
            if target.form not in leaving:
                leaving[target.form] = target.leaving(entered)
            region = sent if target.port.opaque else leaving[target.form]
            unclear += self._leave(target, region, target.put_out(entered) if self._copied_to else None)
        return unclear

    def _leave(self, target: VlanPort, region: Region, entered: Entered | None) -> tuple[Unmodelled, ...]:
        """Add frames to those that leave by a port, but from one protected port to another; return what is unclear."""
        if not region or (self._source.port.protected and target.port.protected):
            return ()
        if target.port.opaque:
            return target.port.opaque
        name = target.port.name
        self.out[name] = self.out[name] | region if name in self.out else region
        if entered is not None:
            self._put_out.append((name, entered))
        return ()

    def mirror(self, arriving: Region) -> None:
        """Add the copies that mirrors make of frames that arrive, whatever flows do with them, and of those that leave.

        A copy leaves as the mirror's port puts out frames of its VLAN, whether or not it carries that.
        """
        put_out = tuple(self._put_out)
        for mirror in self._bridge.mirrors:
            target = self._ports.get(mirror.output)
            if target is None:
                continue
            own = mirror.every or self._source.port.name in mirror.sources
            chosen = [self._source.entering(arriving)] if own else []
            chosen += [
                entered
                for name, entered in put_out
                if (mirror.every or name in mirror.destinations) and name not in self._copied_to
            ]
            for entered in chosen:
                self._leave(target, target.copying(entered.of(self._source.frames, mirror.vlans)), None)


class Hub:
    """A switch without configuration: every frame goes to every other port that is up, its tags as they are."""

    def __init__(self, frames: Frames, ports: Iterable[str], up: Callable[[str], bool] = lambda _: True) -> None:
        self._frames = frames
        self.ports = tuple(ports)
        self._up = {name: up(name) for name in self.ports}

    def through(self, port: str, arriving: Region) -> Switched:
        """Return where frames go that arrive at a port; KeyError for a port that is none."""
        going = arriving if self._up[port] else self._frames.nothing
        out = {name: going for name in self.ports if name != port and self._up[name] and going}
        return Switched(out, self._frames.nothing, ())


def _numbers(ports: Iterable[SwitchPort]) -> dict[Output | None, str]:
    """Return the ports by their OpenFlow number, those left out that have none or ask for one that another asks for."""
    found: dict[Output | None, str] = {}
    twice: set[Output | None] = {None}
    for port in ports:
        if port.number in found:
            twice.add(port.number)
        found[port.number] = port.name
    return {number: name for number, name in found.items() if number not in twice or number == LOCAL}
