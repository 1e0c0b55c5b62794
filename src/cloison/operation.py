"""One change on a network, from what is declared to what became of it: composes plan, proof, transaction and gate.

What a change must not see itself (the proof, the probes, the validators) is handed to it here.
"""

from __future__ import annotations

import getpass
import socket
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from cloison.change import plan as planning
from cloison.change.connections import Connections
from cloison.change.deadline import deadline_of
from cloison.change.effects import Effects
from cloison.change.fleetwide import read_each
from cloison.change.flows import closed, in_words, opened, tracked
from cloison.change.fragment import sharing_devices
from cloison.change.gate import NothingWatched
from cloison.change.journal import Event, Run, begin
from cloison.change.outcome import Decision, Result
from cloison.change.portion import part_for, rebase
from cloison.change.resuming import Status, resume, status
from cloison.change.rollback import refuse_dependants, rollback_plan
from cloison.change.stale import check
from cloison.change.transaction import Transaction
from cloison.change.unguarded import guarded_here
from cloison.device.guard import Timer
from cloison.errors import RefusedError
from cloison.gate.mixtures import intermediate
from cloison.gate.proof import ProofOfTheNetwork
from cloison.gate.refusals import RefusedConversations
from cloison.gate.watch import FlowWatch
from cloison.ledger import Ledger, came_to_nothing, ended, was_confirmed
from cloison.model import Name
from cloison.workspace import INVENTORY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from cloison.change.gate import Watch
    from cloison.change.order import Via
    from cloison.change.plan import Plan
    from cloison.device.contract import Opener
    from cloison.intent.network import Intent
    from cloison.model import EquipmentName
    from cloison.render.config import Config
    from cloison.session import Session


class GateKind(StrEnum):
    """How much the gate asks before a change is decided. Each asks what the one before it asks, and more."""

    PROOF = "proof"
    """Management, dead-man, read-back, and the proof over what was read back."""
    FLOWS = "flows"
    """Also the flows that opened, closed and must survive, over new sessions and over ones opened before."""
    AUDIT = "audit"
    """Also every validator, before and after: no verdict may be worse."""


def _tell_nobody(_event: str) -> None:
    """Say nothing."""


def _watch_nothing(_run: Run, _event: Event) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Operation:
    """Changes on the network of one session."""

    session: Session
    gate: GateKind = GateKind.FLOWS
    narrate: Callable[[str], None] = field(default=_tell_nobody)
    """Told what is done, as it is done."""
    declared_in: Path | None = None
    """The folder with what is declared, where it is not the workspace's (a change that is taken back)."""
    unguarded: frozenset[EquipmentName] = frozenset()
    """The devices without a guard that are changed all the same, because somebody named them."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds of a clock that never goes back."""
    sleep: Callable[[float], None] = time.sleep
    """Waits that many seconds."""
    kept: dict[Via, Connections] = field(default_factory=dict)
    """The connections of the last plan, by the way they go: a change that follows at once goes on over them."""
    on_event: Callable[[Run, Event], None] = field(default=_watch_nothing)
    """Called after an event of a run was written down, before what it announces is done."""

    def told(self, narrate: Callable[[str], None]) -> Operation:
        """Return the same, told to somebody; what is open stays open for both."""
        return replace(self, narrate=narrate)

    def apart(self, on_event: Callable[[Run, Event], None]) -> Operation:
        """Return the same with connections of its own, for a change beside others of this process."""
        return replace(self, kept={}, on_event=on_event)

    @property
    def ledger(self) -> Ledger:
        """The runs on this network."""
        return Ledger(self.session)

    # --- planning ---------------------------------------------------------------------------------------------------

    def plan(
        self,
        via: Via,
        sites: Sequence[str] | None = None,
        *,
        deadline: int | None = None,
        revision: str = "",
        shared: bool = False,
    ) -> Plan:
        """Return the plan that makes the devices of some sites (all by default) run what is declared.

        With `shared`, the firewalls that these sites share with others change too, in the fragments of these sites.
        Everything is read and proved; nothing is changed. Raises what `cloison.change.plan.make` raises.
        """
        session = self.session
        devices = session.devices_of(sites)
        names = [Name(site) for site in sites or ()] if shared else []
        beside = {name for site in names for name in sharing_devices(session.intent, site)}
        devices += tuple(sorted(beside.difference(devices)))
        self.narrate(f"reading {len(devices)} devices, via {via}")
        made = planning.make(
            session.intent,
            session.workspace.templates,
            self._connections(via),
            network=session.network.value,
            via=via,
            devices=devices,
            part=part_for(session.intent, names) if names else None,
        )
        if not made.changed:
            return made
        return self._completed(made, deadline, revision)

    def _completed(self, made: Plan, deadline: int | None, revision: str) -> Plan:
        """Return a plan with what it does to flows, how long its devices wait, and what every state in between does."""
        before = self.ledger.previous_intent(_sites_of(made))
        intent = self.session.intent
        coming, going = opened(before, intent), closed(before, intent)
        made = made.model_copy(
            update={
                "revision": revision,
                "deadline": deadline or deadline_of(made, self._watch_seconds()),
                "opens": tuple(map(in_words, coming)),
                "closes": tuple(map(in_words, going)),
                "conversations": tuple(dict.fromkeys(map(tracked, coming))),
            }
        )
        return made.model_copy(update={"intermediate": self.intermediate_of(made, before)})

    def intermediate_of(self, made: Plan, before: Intent | None) -> planning.Intermediate:
        """Return what every mixture of old and new does, between what was declared before and what is now."""
        self.narrate("proving every mixture of old and new")
        intent = self.session.intent
        others = self.read_others(made)
        return intermediate(before or intent, intent, made, others)

    def read_others(self, made: Plan) -> Mapping[EquipmentName, Config]:
        """Return what the devices run that a plan is not about. Raises the errors of those that cannot be read.

        Those are read whose site has a tunnel to a site of the plan. Any other site is taken as it is declared: no
        packet gets from it to the change but through a site that is read, and 725 of them are not read for each one.
        """
        intent, planned = self.session.intent, {device.device for device in made.devices}
        sites = {device.site for device in planned}
        ends = [(tunnel.initiator.firewall.site, tunnel.responder.firewall.site) for tunnel in intent.tunnels]
        near = sites.union(*({*pair} for pair in ends if sites & {*pair}))
        absent = [device.name for device in intent.devices if device.name not in planned]
        names = [name for name in absent if name.site in near]
        far = [name for name in absent if name.site not in near]
        declared = planning.candidates(intent, self.session.workspace.templates, far) if far else {}
        return {**declared, **read_each(names, self._connections(made.via), intent.workers)}

    def _connections(self, via: Via) -> Connections:
        if via not in self.kept:
            self.kept[via] = Connections(self.session.reach(via))
        return self.kept[via]

    def close(self) -> None:
        """Close what is open; a second call does nothing."""
        for connections in self.kept.values():
            connections.close()

    def rollback(self, run: Run) -> tuple[Operation, Plan]:
        """Return the plan that takes a confirmed run back, and the operation that carries it out.

        It is judged by what was declared before the run. Raises RefusedError when the run was not confirmed, a later
        one depends on it, nothing was declared before it, or a device no longer runs what it left.
        """
        known = self.ledger.runs()
        if not was_confirmed(run):
            msg = f"run {run.name} was not confirmed: there is nothing to take back; `cloison status {run.name}` tells"
            raise RefusedError(msg)
        later = [other for other in known if other.name > run.name and not came_to_nothing(other)]
        refuse_dependants(run, later)
        earlier = self.ledger.previous(_sites_of(run.plan), before=run)
        if earlier is None:
            msg = f"run {run.name} is the first on these sites: nothing was declared before it that could be held to"
            raise RefusedError(msg)
        intent = self.ledger.intent_of(earlier)
        self.narrate("reading what the devices run")
        made = rollback_plan(run, self._connections(run.plan.via), intent)
        then = replace(self, session=replace(self.session, intent=intent), declared_in=earlier.folder / INVENTORY)
        made = made.model_copy(update={"intermediate": then.intermediate_of(made, self.session.intent)})
        return then, made

    def _watch_seconds(self) -> int:
        return {GateKind.PROOF: 0, GateKind.FLOWS: 30, GateKind.AUDIT: 120}[self.gate]

    # --- carrying out -----------------------------------------------------------------------------------------------

    def apply(self, made: Plan) -> Result:
        """Carry a plan out as one transaction, and return what became of it.

        Raises RefusedError, with nothing changed, for a plan that is stale or that has a state in which isolation
        breaks, and what `Transaction.go` raises.
        """
        session = self.session
        if not made.takes_back:
            check(made, session.intent, session.workspace.templates)
        made = self._over_what_runs(made)
        self._refuse_unfinished(made)
        if not made.changed:
            return Result(run="", plan=made.sha256, decision=Decision.NO_CHANGE)
        if made.intermediate is not None and made.intermediate.refused:
            msg = f"the plan is refused: {made.intermediate.refused[0]}"
            raise RefusedError(msg)
        self._refuse_unguarded(made)
        run = begin(made, self.ledger.folder, partial(self._keep, _sites_of(made)))
        with self.ledger.holding(run):
            result = Transaction(made, run, self.effects(run, made)).go()
        if result.decision in {Decision.CONFIRMED, Decision.NO_CHANGE}:
            session.confirm(_sites_of(made))
        return result

    def _over_what_runs(self, made: Plan) -> Plan:
        """Return a plan over what shared devices run by now, proved again where somebody else changed his part."""
        now = rebase(made, self._connections(made.via), self.session.intent)
        if now == made:
            return made
        before = self.ledger.previous_intent(_sites_of(now))
        return now.model_copy(update={"intermediate": self.intermediate_of(now, before)})

    def _refuse_unguarded(self, made: Plan) -> None:
        """Raise RefusedError where nothing would go back by itself, unless the device was named."""
        for device in made.changed:
            if device.guard is Timer.NONE and device.device not in self.unguarded:
                msg = (
                    f"{device.device}: guard: none; what is loaded there stays when this process ends or cannot reach "
                    f"it any more. Install the guard, or name the device: `--unguarded {device.device}`"
                )
                raise RefusedError(msg)

    def _refuse_unfinished(self, made: Plan) -> None:
        """Raise RefusedError while an earlier run is not at its end: its devices may run what they will not keep.

        Where another process is at it, the leases decide about a plan with changes.
        """
        for run in self.ledger.runs():
            if ended(run):
                continue
            if not self.ledger.is_held(run):
                msg = f"run {run.name} was cut off and is unfinished; `cloison resume {run.name}` takes it to its end"
                raise RefusedError(msg)
            if not made.changed:
                msg = f"run {run.name} is being carried out by another process: what runs now may not stay"
                raise RefusedError(msg)

    def status(self, run: Run, via: Via | None = None) -> Status:
        """Return where a run stands, by the word of every device it is about, each asked the way it went or another."""
        return status(run, self.effects(run, run.plan, via=via, watched=False))

    def resume(self, run: Run, via: Via | None = None) -> Result:
        """Take a run to its end, the way it went or another: a tunnel that stayed down must not leave it unfinished.

        Raises RefusedError while another process is at it.
        """
        made = run.plan
        with self.ledger.holding(run):
            result = resume(run, self.effects(run, made, via=via, watched=False))
        if result.decision is Decision.CONFIRMED:
            self.session.confirm(_sites_of(made))
        return result

    def effects(self, run: Run, made: Plan, *, via: Via | None = None, watched: bool = True) -> Effects:
        """Return the world that a transaction of this network touches."""
        session = self.session

        def write(event: Event, device: EquipmentName | None = None, detail: str = "") -> None:
            run.write(event, device, detail)
            self.on_event(run, event)
            self.narrate(f"{device or 'all'}: {event} {detail.splitlines()[0] if detail else ''}")

        before = self.ledger.previous_intent(_sites_of(made))
        old = {device.device: device.config("running") for device in made.devices}
        without = {device.device for device in made.changed if device.guard is Timer.NONE} & self.unguarded
        way = via or made.via
        opener: Opener = session.reach(way)
        if without:
            opener = guarded_here(made, opener, without)
        return Effects(
            opener=opener,
            kept=None if without else self._connections(way),
            journal=write,
            monotonic=self.monotonic,
            sleep=self.sleep,
            others=lambda: self.read_others(made),
            proof=ProofOfTheNetwork(session.intent, (before or session.intent, old)) if watched else None,
            refusals=RefusedConversations(),
            watch=self._watch(made, before) if watched else NothingWatched(),
            owner=f"{getpass.getuser()}@{socket.gethostname()}"[:80],
            workers=session.intent.workers,
        )

    def _watch(self, made: Plan, before: Intent | None) -> Watch:
        if self.gate is GateKind.PROOF:
            return NothingWatched()
        sites = sorted({device.device.site for device in made.changed})
        return FlowWatch(self.session, before, self.session.intent, sites, full=self.gate is GateKind.AUDIT)

    def _keep(self, sites: Collection[Name], folder: Path) -> None:
        self.ledger.keep(folder, self.declared_in or self.session.workspace.inventory, sites)


def _sites_of(made: Plan) -> set[Name]:
    """Return the sites that a plan is about: not those that only hold a fragment of one."""
    return {device.device.site for device in made.devices if device.sites is None}
