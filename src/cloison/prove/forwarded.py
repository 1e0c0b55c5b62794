"""What becomes of packets that were looked up in the routing tables."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from cloison.prove.stack import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.prove.fib import Decision, Lookup
    from cloison.prove.packet import Frames
    from cloison.prove.space import Interval, Region
    from cloison.prove.stack import Address, Version
    from cloison.prove.statement import Unmodelled


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What became of packets that were looked up. The sets are disjoint, but for `unknown`."""

    out: Mapping[str, Region]
    """By the interface that they leave by; the field `interface_out` is as it was."""
    gateways: Mapping[tuple[str, Address | None], Region]
    """The same, by interface and gateway; None where the destination itself is the neighbour."""
    local: Region
    """Delivered to the device itself."""
    dropped: Region
    """No route, blackhole, unreachable, prohibit; no forwarding."""
    unknown: Region
    """What a statement decides that is not modelled, or may decide: it may go anywhere or nowhere."""
    reasons: tuple[Unmodelled, ...]


class Outcome(NamedTuple):
    """What a lookup ends with."""

    kind: str
    """`unicast`, `local`, `broadcast`, `blackhole`…; `unknown`; `none` where nothing matches."""
    interface: str = ""
    via: Address | None = None
    reason: Unmodelled | None = None


def outcome_of(decision: Decision) -> Outcome:
    """Return what a rule and a route end with."""
    if decision.unmodelled:
        return Outcome("unknown", reason=decision.unmodelled)
    hops = decision.route.hops if decision.route else ()
    if decision.kind == "broadcast" and hops[0].interface == LOOPBACK:
        return Outcome("local")
    if not hops or decision.kind not in {"unicast", "broadcast"}:
        return Outcome(decision.kind)
    return Outcome(decision.kind, hops[0].interface, hops[0].via if len(hops) == 1 else None)


NO_ROUTE: Final = Outcome("none")


def intervals(lookup: Lookup, version: Version, *, gaps: bool) -> dict[Outcome, frozenset[Interval]]:
    """Return the addresses of each outcome of a lookup; with `gaps`, those for which it has none too."""
    found: defaultdict[Outcome, list[Interval]] = defaultdict(list)
    following = 0
    for first, last, decision in lookup.spans:
        outcome = outcome_of(decision)
        if gaps and following < first:
            found[NO_ROUTE].append((following, first - 1))
        found[outcome].append((first, last))
        following = last + 1
    end = (1 << (32 if version == 4 else 128)) - 1  # noqa: PLR2004  the family
    if gaps and following <= end:
        found[NO_ROUTE].append((following, end))
    return {outcome: frozenset(of) for outcome, of in found.items()}


class Sorting:
    """Sorts packets by what becomes of them."""

    def __init__(self, frames: Frames, packets: Region, opaque: tuple[Unmodelled, ...]) -> None:
        self.left = packets
        """What was not yet sorted before the lookups, which are disjoint."""
        self._frames = frames
        self._packets = packets
        self._out: defaultdict[tuple[str, Address | None], Region] = defaultdict(lambda: frames.nothing)
        self._local = frames.nothing
        self._unknown = packets if opaque else frames.nothing
        self._reasons = list(opaque)

    def delivered(self, region: Region) -> None:
        """Take packets that are the device's before anything is looked up."""
        self._local |= self.left & region
        self.left -= region

    def add(self, outcome: Outcome, region: Region, *, forwards: bool = True) -> None:
        """Take the packets of one outcome of a lookup."""
        here = self.left & region
        if not here:
            return
        if outcome.reason:
            self._unknown |= here
            self._reasons.append(outcome.reason)
        elif outcome.kind in {"local", "broadcast"}:
            self._local |= here
        elif outcome.kind == "unicast" and forwards:
            self._out[outcome.interface, outcome.via] |= here

    def result(self) -> Forwarded:
        """Return the packets sorted; what is nowhere else is dropped."""
        out: defaultdict[str, Region] = defaultdict(lambda: self._frames.nothing)
        for (interface, _), region in self._out.items():
            out[interface] |= region
        passed = self._frames.union([*out.values(), self._local, self._unknown])
        reasons = tuple(dict.fromkeys(self._reasons))
        return Forwarded(dict(out), dict(self._out), self._local, self._packets - passed, self._unknown, reasons)
