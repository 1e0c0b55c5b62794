"""Who reaches whom: for every ordered pair of places, the services that get through and whether they are declared.

The services are read off the packets that arrive, not off the flows that are declared. So a cell says what the network
does, and its state how that compares with what it should do.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cloison.flow import Outcome
from cloison.intent.models import Kind
from cloison.prove.answer import TunnelsAre
from cloison.prove.judge import Judge
from cloison.prove.network import Prover
from cloison.prove.packet import LINK_FIELDS, Connection
from cloison.prove.places import CABLE_NUMBERS, HOST_NUMBERS
from cloison.prove.words import every_service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cloison.flow import Flow
    from cloison.intent.network import Intent
    from cloison.prove.configuration import Configurations
    from cloison.prove.network import Network, Reach
    from cloison.prove.space import Region
    from cloison.prove.statement import Unmodelled


class CellState(StrEnum):
    """What is so between two places, the worst first. The values are stable: documents hold them."""

    LEAK = "leak"
    """Something gets through that nothing declares."""
    OUTAGE = "outage"
    """Something declared does not get through, or its answers do not."""
    UNKNOWN = "unknown"
    """A statement that is not modelled decides about packets of the sender."""
    DECLARED = "declared"
    """What is declared gets through, and nothing else."""
    SILENT = "silent"
    """Nothing is declared, and nothing gets through."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What is so from one place to another."""

    sender: str
    """`<site>/<equipment>`, or the name of a place."""
    receiver: str
    state: CellState = CellState.SILENT
    services: tuple[str, ...] = ()
    """What opens a conversation and gets through, by the names of network.yaml where there are such, else `tcp/443`."""
    leaking: tuple[str, ...] = ()
    """What of all that gets through nothing declares."""
    declared: tuple[str, ...] = ()
    """The services of the flows from policy.yaml between the two."""
    missing: tuple[str, ...] = ()
    """Those of them that do not get through both ways."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Who reaches whom in one network, its tunnels up; a leak counts with tunnels up or down."""

    equipment: tuple[str, ...]
    """Everything declared that has an address, in the order of the intent."""
    places: tuple[str, ...]
    """The other places: the wide-area network, spare ports, cables between switches, the technicians' ports."""
    cells: Mapping[tuple[str, str], Cell]
    """By sender and receiver; a pair that is not there is silent."""
    undetermined: tuple[Unmodelled, ...]

    def cell(self, sender: str, receiver: str) -> Cell:
        """Return what is so from one place to another."""
        return self.cells.get((sender, receiver)) or Cell(sender, receiver)

    def of_site(self, site: str) -> Matrix:
        """Return the rows and the columns of one site, with those of all that it has something to do with."""
        cells = {ends: cell for ends, cell in self.cells.items() if site in {_site(cell.sender), _site(cell.receiver)}}
        kept = {name for ends in cells for name in ends}
        return Matrix(
            tuple(name for name in self.equipment if _site(name) == site or name in kept),
            tuple(name for name in self.places if _site(name) == site or name in kept),
            cells,
            self.undetermined,
        )

    @property
    def outcome(self) -> Outcome:
        """FAIL for a leak or an outage in any cell, UNKNOWN when something was not determined."""
        states = {cell.state for cell in self.cells.values()}
        if states & {CellState.LEAK, CellState.OUTAGE}:
            return Outcome.FAIL
        return Outcome.UNKNOWN if self.undetermined or CellState.UNKNOWN in states or not self.cells else Outcome.PASS


def matrix(intent: Intent, configurations: Configurations) -> Matrix:
    """Return who reaches whom in a network in which the devices run these configurations.

    Raises what `judge` does.
    """
    prover = Prover(intent)
    return _Filling(prover, prover.network(configurations)).matrix()


def opened_by_switches(judge: Judge, reach: Reach) -> Region:
    """Return what the switches themselves open, as if from a cable: nobody can hold theirs instead of them."""
    places, box = judge.prover.places, judge.frames.box
    switches = [
        str(one.name)
        for site in judge.prover.intent.sites
        for one in site.equipment
        if one.kind is Kind.SWITCH and one.address is not None
    ]
    hosts = frozenset((places.host(name), places.host(name)) for name in switches)
    opening = reach.total & box(sender=hosts, receiver=HOST_NUMBERS, connection=Connection.NEW)
    return judge.frames.union(
        packets.setting(sender=places.cable(sender), receiver=places.cable(receiver))
        for sender, receiver, packets in judge.pairs(opening)
    )


class _Filling:
    """Fills in the cells of one network."""

    def __init__(self, prover: Prover, network: Network) -> None:
        self._prover = prover
        self._network = network
        self._judge = Judge(prover, network)
        self._names = {f"{one.protocol}/{one.port}": str(one.name) for one in prover.intent.services}
        self._flows: defaultdict[tuple[str, str], list[Flow]] = defaultdict(list)
        for flow in prover.intent.flows:
            self._flows[str(flow.source.name), str(flow.destination.name)].append(flow)

    def matrix(self) -> Matrix:
        """Return every cell in which something is so."""
        up, down = (self._network.reach(state) for state in (TunnelsAre.UP, TunnelsAre.DOWN))
        own = opened_by_switches(self._judge, up)
        passing = self._by_pair(self._judge.opening(up) | own)
        leaking = self._by_pair(self._leaking(up) | self._leaking(down) | (own - self._prover.question.permitted))
        missing = self._missing(up)
        doubtful = self._doubtful(up, down)
        equipment = [str(one.name) for site in self._prover.intent.sites for one in site.equipment if one.address]
        others = sorted(set(self._prover.frames.places) - set(equipment))
        pairs = {*passing, *leaking, *self._flows}
        pairs |= {(sender, receiver) for sender in doubtful for receiver in equipment if sender != receiver}
        cells = {}
        for ends in sorted(pairs):
            declared = tuple(sorted(str(flow.service.name) for flow in self._flows.get(ends, ())))
            cell = Cell(
                *ends,
                services=self._services(passing.get(ends, ())),
                leaking=self._services(leaking.get(ends, ())),
                declared=declared,
                missing=tuple(sorted(str(flow.service.name) for flow in self._flows.get(ends, ()) if flow in missing)),
            )
            cells[ends] = _judged(cell, doubtful=ends[0] in doubtful)
        unmodelled = [one for device in self._network.running.values() for one in device.unmodelled]
        unmodelled += [reason for reach in (up, down) for reason, _ in reach.unknown]
        return Matrix(tuple(equipment), tuple(others), cells, tuple(dict.fromkeys(unmodelled)))

    def _leaking(self, reach: Reach) -> Region:
        cables = self._prover.frames.box(sender=CABLE_NUMBERS, receiver=CABLE_NUMBERS)
        return self._judge.leaking(reach) | (reach.direct & cables).without(*LINK_FIELDS)

    def _by_pair(self, region: Region) -> dict[tuple[str, str], list[Region]]:
        found: defaultdict[tuple[str, str], list[Region]] = defaultdict(list)
        for sender, receiver, packets in self._judge.pairs(region):
            found[sender, receiver].append(packets)
        return dict(found)

    def _services(self, regions: Iterable[Region]) -> tuple[str, ...]:
        found = [one for region in regions for one in every_service(region)]
        return tuple(sorted({self._names.get(one, one) for one in found}))

    def _missing(self, reach: Reach) -> frozenset[Flow]:
        """Return the flows that do not get through whole, or whose answers do not."""
        demands = self._prover.question.demands
        between_hosts = reach.total & self._prover.frames.box(sender=HOST_NUMBERS, receiver=HOST_NUMBERS)
        missing = self._prover.frames.union(one.region for one in demands) - between_hosts - reach.undetermined()
        lost = {one.flow for one in demands if one.region & missing} if missing else set()
        unresolved: set[str] = set()
        for site in self._prover.intent.sites:
            unresolved |= self._prover.below(site, self._network.running).below.unresolved
        ends = ((flow, {str(flow.source.name), str(flow.destination.name)}) for flow in self._prover.intent.flows)
        return frozenset(lost | {flow for flow, names in ends if names & unresolved})

    def _doubtful(self, *reaches: Reach) -> frozenset[str]:
        """Return the senders of packets that something which is not modelled decides about."""
        return frozenset(
            self._prover.places.name(number)
            for reach in reaches
            for _, region in reach.unknown
            for number in _numbers(region)
        )


def _numbers(region: Region) -> Iterator[int]:
    for low, high in region.values("sender"):
        if (
            high < CABLE_NUMBERS[1]
        ):  # an interval to the last number is any sender: the statement is listed all the same
            yield from range(low, high + 1)


def _judged(cell: Cell, *, doubtful: bool) -> Cell:
    state = CellState.DECLARED if cell.services or cell.declared else CellState.SILENT
    if doubtful:
        state = CellState.UNKNOWN
    if cell.missing:
        state = CellState.OUTAGE
    if cell.leaking:
        state = CellState.LEAK
    return Cell(cell.sender, cell.receiver, state, cell.services, cell.leaking, cell.declared, cell.missing)


def _site(place: str) -> str:
    """Return the site of a place; empty for what belongs to none."""
    site, slash, _ = place.partition("/")
    return site if slash else ""
