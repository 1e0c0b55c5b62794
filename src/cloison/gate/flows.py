"""What a change is to do with each flow, and whether what was seen of its sessions is that.

A flow closes when its kept session gets silence and a fresh one does not open, while something that must work was seen
working in the same window: without such a control silence says nothing, and the outcome is UNKNOWN.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cloison.change.gate import GateCheck
from cloison.flow import Outcome, Purpose
from cloison.probe.sessions import Life, Opening

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from ipaddress import IPv4Address

    from cloison.flow import Flow, Protocol
    from cloison.intent.network import Intent
    from cloison.model import EquipmentName
    from cloison.probe.sessions import Attempt, Seen

    Conversation = tuple[EquipmentName, IPv4Address, EquipmentName, IPv4Address, Protocol, int]


class Fate(StrEnum):
    """What a change is to do with a flow."""

    SURVIVES = "survives"
    OPENS = "opens"
    CLOSES = "closes"


@dataclass(frozen=True, slots=True)
class Fated:
    """One flow, and what the change is to do with it."""

    flow: Flow
    fate: Fate


def fates(before: Intent | None, after: Intent, sites: Collection[str]) -> tuple[Fated, ...]:
    """Return the flows with an end at one of the sites, and those of the same sources as what closes: its controls.

    Every flow opens where nothing was declared before.
    """
    old, new = ({_conversation(flow): flow for flow in intent.flows} if intent else {} for intent in (before, after))
    every = [Fated(flow, Fate.SURVIVES if one in old else Fate.OPENS) for one, flow in new.items()]
    every += [Fated(flow, Fate.CLOSES) for one, flow in old.items() if one not in new]
    near = {one.flow.key for one in every if {one.flow.source.name.site, one.flow.destination.name.site} & set(sites)}
    closing = {one.flow.source.name for one in every if one.fate is Fate.CLOSES and one.flow.key in near}
    return tuple(one for one in every if one.flow.key in near or one.flow.source.name in closing)


def _conversation(flow: Flow) -> Conversation:
    """Return what a flow is to the network, whatever it is called and declared for."""
    source, destination, service = flow.source, flow.destination, flow.service
    return (source.name, source.address, destination.name, destination.address, service.protocol, service.port)


def session_checks(
    fated: Iterable[Fated], before: Mapping[str, Attempt], seen: Mapping[str, Seen]
) -> tuple[GateCheck, ...]:
    """Return a check for every flow that was looked at; `before` holds what opened before the change, by key."""
    working = [one for one in seen.values() if one.fresh.works or one.kept is Life.ALIVE]
    return tuple(
        _check(one, before.get(one.flow.key), seen[one.flow.key], working) for one in fated if one.flow.key in seen
    )


def _check(fated: Fated, before: Attempt | None, seen: Seen, working: list[Seen]) -> GateCheck:
    match fated.fate:
        case Fate.SURVIVES:
            outcome, detail = _survived(before, seen)
        case Fate.OPENS:
            outcome, detail = _outcome_of(seen.fresh), f"a session {seen.fresh}"
        case Fate.CLOSES:
            outcome, detail = _closed(seen, [one for one in working if one.flow.key != seen.flow.key])
    return GateCheck(name=f"session/{fated.flow.key}", outcome=outcome, detail=f"{fated.fate}: {detail}")


def _survived(before: Attempt | None, seen: Seen) -> tuple[Outcome, str]:
    if before is None or before.opening is not Opening.OPENED:
        was = "was not tried" if before is None else f"was {before.opening}"
        # Not worse than before, and nobody can say that it is the change's doing.
        return Outcome.PASS, f"a session {was} before the change; a fresh one {seen.fresh}"
    outcome = _outcome_of(seen.fresh)
    if seen.kept is Life.SILENT:
        return Outcome.FAIL, f"the session opened before the change is silent; a fresh one {seen.fresh}"
    if seen.kept is Life.ENDED:
        return outcome, f"the other end ended the session opened before the change; a fresh one {seen.fresh}"
    kept = "it was answered before the change" if seen.kept is None else "the session opened before the change answers"
    return outcome, f"{kept}; a fresh one {seen.fresh}"


def _outcome_of(fresh: Attempt) -> Outcome:
    if fresh.works:
        return Outcome.PASS
    if fresh.opening is Opening.UNTRIED or fresh.life is Life.ENDED:
        return Outcome.UNKNOWN
    return Outcome.FAIL


def _closed(seen: Seen, working: list[Seen]) -> tuple[Outcome, str]:
    if seen.fresh.opening is Opening.OPENED:
        return Outcome.FAIL, f"a fresh session still {seen.fresh}"
    if seen.kept is Life.ALIVE:
        return Outcome.FAIL, "the session opened before the change still answers"
    if seen.fresh.opening is Opening.UNTRIED:
        return Outcome.UNKNOWN, f"a fresh session was {seen.fresh}"
    if seen.kept is Life.ENDED and seen.fresh.opening is not Opening.REFUSED:
        return Outcome.UNKNOWN, "the other end ended the session opened before the change: nobody knows if it is closed"
    control = _control(seen.flow, working)
    if control is None:
        return Outcome.UNKNOWN, f"a fresh session was {seen.fresh}, and nothing of {seen.flow.source.name} was heard"
    kept = "" if seen.kept is None else "the session opened before the change is silent, and "
    if seen.kept is Life.ENDED:
        kept = "the session opened before the change was reset, and "
    return Outcome.PASS, f"{kept}a fresh one was {seen.fresh.opening}, while {control.flow.key} worked"


def _control(closed: Flow, working: list[Seen]) -> Seen | None:
    """Return what shows that silence is no accident: of the same source; else to the same host; else management."""
    source, destination = closed.source.name, closed.destination.name
    managed = [one for one in working if one.flow.purpose is Purpose.MANAGE]
    for control in (
        *(one for one in working if one.flow.source.name == source),
        *(one for one in working if one.flow.destination.name == destination),
        *(one for one in managed if one.flow.destination.name.site == source.site),
    ):
        return control
    return None
