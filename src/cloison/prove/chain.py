"""What chains of nftables do, each compiled once over every packet, and spliced in where it is jumped to.

What a list of rules does is an `Effect`: for each kind of verdict the packets that *may* get it, and the packets that
surely get one, which no later rule sees. Lists compose: the second gets what the first does not surely stop. So a
chain is composed by halves, as in `Space.first_match`. A packet that may get two verdicts is one of which nothing is
known; of all others the verdict is exact.

What a verdict does is nft(8), "VERDICT STATEMENTS", and nft_do_chain() of net/netfilter/nf_tables_core.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloison.prove.rule import WILD, Branch, Condition, RuleCode, RuleReader
from cloison.prove.statement import Unmodelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cloison.prove.packet import Frames
    from cloison.prove.ruleset import Chain, Table
    from cloison.prove.space import Region

ACCEPT, DROP, RETURN = "accept", "drop", "return"
_DEEPEST: Final = 64
"""Jumps within jumps; the kernel allows 16."""


class Effect:
    """What becomes of packets in a list of rules."""

    __slots__ = ("_stopped", "certain", "may")

    def __init__(self, may: dict[str, Region], stopped: Region | None = None) -> None:
        """Take the packets that surely go no further; without them, every packet that may get a verdict surely does."""
        self.may = may
        """For accept, drop, return and wild, the packets that may get it; the rest, and what may fail to, goes on."""
        self.certain = stopped is None
        """No packet may get two verdicts, or one and none."""
        self._stopped = stopped

    def stopped(self, frames: Frames) -> Region:
        """Return the packets that surely go no further."""
        if self._stopped is None:
            self._stopped = frames.union(self.may.values())
        return self._stopped

    def then(self, later: Effect, frames: Frames) -> Effect:
        """Return the effect of this list and of another behind it."""
        may = dict(self.may)
        for kind, region in later.may.items():
            here = may.get(kind)
            if self.certain:  # what this list gives the same verdict need not be taken away first
                others = [one for other, one in self.may.items() if other != kind]
                left = region - frames.union(others) if others else region
            else:
                left = region - self.stopped(frames)
            may[kind] = left if here is None else here | left
        if self.certain and later.certain:
            return Effect(may)
        return Effect(may, self.stopped(frames) | later.stopped(frames))


@dataclass(frozen=True, slots=True)
class Reached:
    """What one rule does with the packets that come to it and match it."""

    table: str
    """Its family and its name."""
    chain: str
    code: RuleCode
    branch: Branch
    packets: Region
    """Those that may come to it and may match; of all ways to its chain."""

    @property
    def verdict(self) -> str:
        """Return its verdict: `accept`, `jump noise`; empty where there is none."""
        found = self.branch.verdict
        return "" if found is None else f"{found.kind} {found.chain}".strip()


class TableCode:
    """The chains of one table, compiled when they are first asked for."""

    def __init__(self, frames: Frames, table: Table, fib: Mapping[str, Region], *, fragments: bool) -> None:
        self.table = table
        self.title = f"{table.family} {table.name}"
        self._frames = frames
        self._reader = RuleReader(frames, table, fib, fragments=fragments)
        self._chains = {chain.name: chain for chain in table.chains}
        self._rules: dict[str, tuple[RuleCode, ...]] = {}
        self._effects: dict[str, Effect] = {}
        self._compiling: list[str] = []
        self.broken: list[Unmodelled] = []
        """Jumps to a chain that does not exist, or round in a circle."""

    def rules(self, name: str) -> tuple[RuleCode, ...]:
        """Return the rules of a chain, read."""
        found = self._rules.get(name)
        if found is None:
            found = self._rules[name] = tuple(map(self._reader.read, self._chains[name].rules))
        return found

    def effect(self, name: str) -> Effect:
        """Return what a chain does with every packet that comes to it."""
        found = self._effects.get(name)
        if found is None:
            self._compiling.append(name)
            found = self._effects[name] = self._composed([self._of_rule(code) for code in self.rules(name)])
            self._compiling.pop()
        return found

    def _composed(self, effects: Sequence[Effect]) -> Effect:
        if not effects:
            return Effect({})
        if len(effects) == 1:
            return effects[0]
        middle = len(effects) // 2
        return self._composed(effects[:middle]).then(self._composed(effects[middle:]), self._frames)

    def _of_rule(self, code: RuleCode) -> Effect:
        """Return what one rule does. Its branches and what is wild hold different packets, unless it is not sure."""
        effects = [self._of_branch(code, branch) for branch in code.branches if branch.verdict is not None]
        if code.wild:
            effects.append(Effect({WILD: code.wild}))
        return self._composed(effects)

    def _of_branch(self, code: RuleCode, branch: Branch) -> Effect:
        sure, may = branch.condition.sure, branch.condition.may
        certain = branch.condition.certain
        verdict = branch.verdict
        if verdict is None or not may:
            return Effect({})
        if verdict.kind not in {"jump", "goto"}:
            return Effect({DROP if verdict.kind == "reject" else verdict.kind: may}, None if certain else sure)
        target = self.called(code, verdict.chain)
        if target is None:
            return Effect({WILD: may})
        found = {kind: may & region for kind, region in target.may.items() if kind != RETURN}
        if verdict.kind == "goto":  # behind a goto, the end of the chain is a return
            found[RETURN] = may & self._passing(target)
            return Effect(found, None if certain and target.certain else sure)
        return Effect(found, None if certain and target.certain else sure - self._passing(target))

    def called(self, code: RuleCode, name: str) -> Effect | None:
        """Return what a chain that is jumped to does; None where there is none, or it jumps back here."""
        if name in self._chains and name not in self._compiling and len(self._compiling) < _DEEPEST:
            return self.effect(name)
        reason = Unmodelled(code.rule.statement, f"jump to {name}")
        if reason not in self.broken:
            self.broken.append(reason)
        return None

    def _passing(self, effect: Effect) -> Region:
        """Return what may come out of a chain at its end or by a return."""
        if effect.certain:
            return ~self._frames.union(region for kind, region in effect.may.items() if kind != RETURN)
        returned = effect.may.get(RETURN)
        stopped = effect.stopped(self._frames)
        return ~stopped if returned is None else ~stopped | returned

    def outcome(self, chain: Chain) -> dict[str, Region]:
        """Return, for accept, drop and wild, the packets that may get it from a base chain and its policy."""
        effect, nothing = self.effect(chain.name), self._frames.nothing
        policy = chain.base.policy if chain.base is not None else ACCEPT
        found = {kind: effect.may.get(kind, nothing) for kind in (ACCEPT, DROP, WILD)}
        if effect.certain:  # all that has no other verdict has this one
            other = DROP if policy == ACCEPT else ACCEPT
            found[policy] = ~(found[other] | found[WILD])
        else:
            found[policy] |= self._passing(effect)
        return found

    def accepting(self, chain: Chain) -> Region | None:
        """Return what a base chain accepts, where that is known of every packet; None where it is not."""
        effect = self.effect(chain.name)
        if not effect.certain or WILD in effect.may:
            return None
        if chain.base is not None and chain.base.policy == DROP:
            return effect.may.get(ACCEPT, self._frames.nothing)
        return ~effect.may.get(DROP, self._frames.nothing)

    # --- rule by rule -----------------------------------------------------------------------------------------------

    def walk(self, chain: Chain, packets: Region) -> Iterator[Reached]:
        """Yield for every rule that packets come to from a base chain what comes to it and matches, in their order."""
        yield from self._walked(chain.name, packets, depth=0)

    def _walked(self, name: str, packets: Region, depth: int) -> Iterator[Reached]:
        for code in self.rules(name):
            for branch in code.branches:
                yield Reached(self.title, name, code, branch, packets & branch.condition.may)
            if code.wild:
                wild = Condition(code.wild, code.wild)
                yield Reached(self.title, name, code, Branch(None, wild), packets & code.wild)
            for branch in code.branches:
                coming = packets & branch.condition.may
                verdict = branch.verdict
                jumps = verdict is not None and verdict.kind in {"jump", "goto"} and verdict.chain in self._chains
                if verdict is not None and jumps and coming and depth < _DEEPEST:
                    yield from self._walked(verdict.chain, coming, depth + 1)
            packets -= self._of_rule(code).stopped(self._frames)
