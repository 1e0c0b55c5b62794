"""Differential reachability: what two networks let through, packet by packet, and what only one of them does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.prove.answer import TunnelsAre, Witness
from cloison.prove.difference import Change, ChangeKind, Difference
from cloison.prove.judge import Judge
from cloison.prove.network import Prover
from cloison.prove.packet import Frames
from cloison.prove.words import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.intent.network import Intent
    from cloison.prove.configuration import Configurations
    from cloison.prove.space import Region


class Compared:
    """Two networks in one space of frames, so that places and packets of both can be told apart."""

    def __init__(self, before: tuple[Intent, Configurations], after: tuple[Intent, Configurations]) -> None:
        frames = Frames()
        self.judges = tuple(
            Judge(prover, prover.network(configurations))
            for prover, configurations in ((Prover(intent, frames), found) for intent, found in (before, after))
        )

    def difference(self, before: str, after: str) -> Difference:
        """Return what is newly possible and what is no longer, with the names of the two networks."""
        found: dict[str, Change] = {}
        for tunnels in TunnelsAre:
            old, new = (judge.opening(judge.network.reach(tunnels)) for judge in self.judges)
            for change in (*self._changes(new - old, tunnels, opened=True), *self._changes(old - new, tunnels)):
                seen = found.get(_ends(change))
                if seen is None or seen.packets != change.packets:
                    found[_ends(change) if seen is None else change.identity] = change
        return Difference(tuple(found.values()), before, after)

    def _changes(self, packets: Region, tunnels: TunnelsAre, *, opened: bool = False) -> Iterator[Change]:
        """Yield the packets that pass in one network alone, pair by pair of places."""
        has, lacks = self.judges[::-1] if opened else self.judges
        for sender, receiver, part in has.pairs(packets):
            witness = has.witness(sender, receiver, part)
            way = has.tracing(tunnels).way(sender, receiver, witness.packet)
            stopped = lacks.tracing(tunnels).way(sender, receiver, witness.packet)
            service = has.service(sender, receiver, part)
            word = "can now get" if opened else "can no longer get"
            yield Change(
                ChangeKind.OPENED if opened else ChangeKind.CLOSED,
                sender,
                receiver,
                service,
                f"{service} {word} from {sender} to {receiver}",
                tunnels=tunnels,
                rule=has.declaring(sender, receiver, part),
                packets=part.count(),
                witness=Witness(sender, receiver, text(way.sent), way.sent),
                hops=way.hops,
                stopped=stopped.hops,
            )


def _ends(change: Change) -> str:
    """Return what a change has in common with the same change in the other state of the tunnels."""
    return f"{change.kind}/{change.sender}/{change.receiver}/{change.service}"


def compare(
    before: tuple[Intent, Configurations], after: tuple[Intent, Configurations], *, names: tuple[str, str]
) -> Difference:
    """Return how the reach of two networks differs; nothing where only comments or the order of things do.

    Raises what `judge` does.
    """
    return Compared(before, after).difference(*names)
