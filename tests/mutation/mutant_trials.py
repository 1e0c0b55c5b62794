"""One mutant before the proof: what it says, and where it says nothing, whether anything differs at all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cloison.errors import CloisonError
from cloison.prove.answer import FindingKind, TunnelsAre
from cloison.prove.judge import Judge
from cloison.prove.network import Prover
from cloison.prove.packet import Connection
from cloison.prove.places import HOST_NUMBERS
from cloison.prove.space import BudgetError
from cloison.prove.words import services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.mutation.edits import Mutant

    from cloison.intent.network import Intent
    from cloison.prove.answer import Answer, Finding
    from cloison.prove.configuration import Configurations
    from cloison.prove.network import Network, Reach
    from cloison.prove.space import Region

_MOST_NODES = 400_000
"""Then the sets are begun anew: what is kept of mutants past is of no use to those to come."""
_SHOWN = 3
_NOT_OF_THE_CONVERSATION = ("connection", "tcp_flags", "fragment", "header_length")


class Fate(StrEnum):
    """What became of a mutant."""

    CAUGHT = "caught"
    """The proof says what is wrong: a leak, an outage, a notice."""
    UNKNOWN = "unknown"
    """The proof says that it cannot tell, and which statement keeps it from telling: not green either."""
    REFUSED = "refused"
    """It is no configuration."""
    SURVIVED = "survived"
    """Something else arrives somewhere, and the proof says that all is as declared."""
    STOPPED = "stopped elsewhere"
    """Something else comes to a firewall, and nothing else arrives anywhere: another layer stops it."""
    UNOPENED = "unopened"
    """What differs belongs to conversations that nobody can open; all packets that can exist arrive as before."""
    EQUIVALENT = "equivalent"
    """The sets are equal, packet by packet, with the tunnels up and down, at every stage that is compared."""
    NOT_FORWARDING = "not forwarding"
    """By construction of the model, what is changed decides about no packet's way: nothing was proved about it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A mutant and its fate."""

    mutant: Mutant
    fate: Fate
    why: str
    """The kinds of findings; or what differs, in words; or the error."""
    about_size: bool = False
    """Of a survivor: that nothing differs but who may be told by ICMP to send smaller packets."""


class _Brief(Judge):
    """The judge of the proof, without the way of every witness: only that there is a finding counts here."""

    def _explained(self, finding: Finding) -> Finding:
        return finding


def plain(prover: Prover, network: Network) -> Answer:
    """Return the answer of the proof, its findings not explained."""
    return _Brief(prover, network).answer()


class Trials:
    """Judges mutants of one network. The sets that they share with the network are computed once."""

    def __init__(
        self,
        intent: Intent,
        configurations: Configurations,
        judging: Callable[[Prover, Network], Answer] = plain,
    ) -> None:
        self._intent, self._configurations, self._judging = intent, configurations, judging
        self._begin()

    def _begin(self) -> None:
        self.prover = Prover(self._intent)
        network = self.prover.network(self._configurations)
        answer = self._judging(self.prover, network)
        if answer.findings:
            msg = f"the network itself is not proved: {answer.findings[0].what}"
            raise CloisonError(msg)
        self._reach = self._reaches(network)
        self._stages = self._stages_of(network)

    def of(self, mutant: Mutant) -> Trial:
        """Return the fate of a mutant."""
        if len(self.prover.frames.nodes) > _MOST_NODES:
            self._begin()
        try:
            network = self.prover.network(self._mutated(mutant))
            answer = self._judging(self.prover, network)
        except BudgetError:
            raise
        except CloisonError as error:
            return Trial(mutant, Fate.REFUSED, str(error))
        if answer.findings:
            return _found(mutant, answer.findings)
        reach = self._reaches(network)
        if any((one.total, one.direct) != (two.total, two.direct) for one, two in zip(reach, self._reach, strict=True)):
            fate = Fate.SURVIVED if self._possible(reach) != self._possible(self._reach) else Fate.UNOPENED
            return Trial(mutant, fate, self._difference(reach), self._only_about_size(reach))
        if self._stages_of(network) != self._stages:
            return Trial(mutant, Fate.STOPPED, "more or less comes to the firewall")
        return Trial(mutant, Fate.NOT_FORWARDING if mutant.edit.inert else Fate.EQUIVALENT, "")

    def _mutated(self, mutant: Mutant) -> Configurations:
        changed = {name: dict(of) for name, of in self._configurations.items()}
        changed[mutant.device][mutant.section] = mutant.edit.text
        for device, section, text in mutant.others:
            changed[device][section] = text
        return changed

    @staticmethod
    def _reaches(network: Network) -> list[Reach]:
        return [network.reach(state) for state in TunnelsAre]

    def _stages_of(self, network: Network) -> object:
        """Return everything that is compared beside what arrives: what happens below every router."""
        belows = [self.prover.below(site, network.running).below for site in self._intent.sites]
        return [(one.arriving, one.coming, dict(one.leaving), one.unresolved) for one in belows]

    def _possible(self, reach: list[Reach]) -> list[tuple[Region, Region]]:
        """Return what arrives, without the packets of conversations whose first packet does not."""
        box = self.prover.frames.box
        hosts = box(sender=HOST_NUMBERS, receiver=HOST_NUMBERS)
        found = []
        for one in reach:
            opened = (one.total & hosts & box(connection=Connection.NEW)).without(*_NOT_OF_THE_CONVERSATION)
            opened |= opened.swapping(
                ("source", "destination"), ("source_port", "destination_port"), ("sender", "receiver")
            )
            found.append((one.total - (box(connection=Connection.ESTABLISHED) - opened), one.direct))
        return found

    # --- what differs -----------------------------------------------------------------------------------------------

    def _changes(self, reach: list[Reach]) -> Iterator[tuple[str, Region]]:
        pairs = zip(TunnelsAre, self._possible(reach), self._possible(self._reach), strict=True)
        for state, (total, direct), (total_before, direct_before) in pairs:
            with_tunnels = "" if state is TunnelsAre.UP else ", the tunnels being down"
            yield f"more{with_tunnels}", total - total_before
            yield f"less{with_tunnels}", total_before - total
            yield f"more without meeting a router{with_tunnels}", direct - direct_before
            yield f"less without meeting a router{with_tunnels}", direct_before - direct

    def _difference(self, reach: list[Reach]) -> str:
        network = self.prover.network(self._configurations)
        judge = Judge(self.prover, network)
        parts: list[str] = []
        for what, region in self._changes(reach):
            pairs = list(judge.pairs(region))
            if not pairs or ("down" in what and parts):
                continue
            shown = [
                f"{services(packets)} {sender} → {receiver}, such as {judge.witness(sender, receiver, packets).text}"
                for sender, receiver, packets in pairs[:_SHOWN]
            ]
            rest = f" and {len(pairs) - _SHOWN} pairs more" if len(pairs) > _SHOWN else ""
            parts.append(f"{what}: {'; '.join(shown)}{rest}")
        return " | ".join(parts)

    def _only_about_size(self, reach: list[Reach]) -> bool:
        """Tell whether all that differs is ICMP that tells a sender to send smaller packets."""
        related = self.prover.frames.box(connection=Connection.RELATED)
        return all(region <= related for _, region in self._changes(reach))


def _found(mutant: Mutant, findings: tuple[Finding, ...]) -> Trial:
    kinds = sorted({str(finding.kind) for finding in findings})
    fate = Fate.UNKNOWN if kinds == [FindingKind.UNDETERMINED] else Fate.CAUGHT
    return Trial(mutant, fate, ", ".join(kinds))
