"""Every state that a plan can stop in, proved before anything is pushed, and what the plan keeps of it.

A state before the change may be broken already (drift that is repaired, a device in its factory state): what counts
against a plan is what passes in between, or after it, and did not pass before.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from cloison.change.jobs import after as after_change
from cloison.change.plan import Intermediate
from cloison.gate.proof import configurations_of, finding_words, named, texts_of
from cloison.prove.mixture import MOST_STATES, mixtures
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cloison.change.plan import DevicePlan, Plan
    from cloison.intent.network import Intent
    from cloison.model import EquipmentName
    from cloison.prove.configuration import Configuration, Configurations
    from cloison.prove.mixture import Mixed, Mixture
    from cloison.render.config import Config

Between = dict["EquipmentName", tuple["Configuration", ...]]


def intermediate(
    before: Intent, after: Intent, made: Plan, others: Mapping[EquipmentName, Config], *, most: int = MOST_STATES
) -> Intermediate:
    """Return what the proof says of every state that a plan can stop in, each phase of its tunnels included.

    `others` are the devices of the network that the plan is not about, as they run. Where there are more than `most`
    states, they are those of one site after the other, with the other sites as they were and with them as they will
    be.
    Raises InputError where a device is missing or one site alone has too many, and what the proof raises.
    """
    old = {**configurations_of(others), **{one.device: texts_of(one.config("running")) for one in made.devices}}
    new = {**old, **{one.device: texts_of(after_change(one)) for one in made.devices}}
    between = {one.device: tuple(_between(one, new[one.device])) for one in made.devices if one.tunnel_phases}
    parts = [(part, mixtures(before, after, *part, between)) for part in _parts(old, new, between, most)]
    return _report([mixed for _, mixed in parts])


def _between(planned: DevicePlan, after: Configuration) -> Iterator[Configuration]:
    """Yield what a device runs while its tunnels are on the way from old to new; all else is new by then."""
    *on_the_way, last = planned.tunnel_phases
    for text in dict.fromkeys(on_the_way):
        if text != last:
            yield {**after, SectionName.TUNNELS.value: text}


def _parts(
    old: Configurations, new: Configurations, between: Between, most: int
) -> Iterator[tuple[Configurations, Configurations]]:
    """Yield what is to be mixed: the whole change, or the change of one site at a time where that is too much."""
    steps = {name: len(between.get(name, ())) + 2 for name in old if old[name] != new[name]}
    if prod(steps.values()) <= most:
        yield old, new
        return
    for site in dict.fromkeys(name.site for name in steps):
        here = {name for name in steps if name.site == site}
        yield old, {**old, **{name: new[name] for name in here}}
        yield {**new, **{name: old[name] for name in here}}, new


def _report(parts: Sequence[Mixed]) -> Intermediate:
    first = parts[0].mixtures[0]
    every = [(mixed, mixture, _reasons(first, mixed, mixture)) for mixed in parts for mixture in mixed.mixtures]
    bad = [f"with {mixed.named(mixture)}, {named(reasons)}" for mixed, mixture, reasons in every if reasons]
    does = "break nothing that was not broken before" if first.breaks_isolation else "keep every invariant"
    interrupted = tuple(dict.fromkeys(sentence for mixed in parts for sentence in mixed.interruptions))
    refused = tuple(dict.fromkeys(bad))
    kept = len(every) - len(bad)
    if bad and _mends(first, parts[-1].mixtures[-1]):
        # What is wrong now hides what else is: it comes to light on the way to a network in which nothing is wrong.
        does, refused = "break nothing that is known to be broken now; what is wrong is mended in the end", ()
    sentence = "; ".join([f"{kept} of {len(every)} intermediate states {does}", *bad[:1], *interrupted])
    return Intermediate(states=len(every), kept=kept, interrupted=interrupted, refused=refused, sentence=sentence)


def _mends(first: Mixture, last: Mixture) -> bool:
    """Return True when a network that is broken or not determined becomes one in which all is known and well."""
    return bool(first.breaks_isolation or first.undetermined) and not last.breaks_isolation and not last.undetermined


def _reasons(first: Mixture, mixed: Mixed, mixture: Mixture) -> list[str]:
    """Return what breaks isolation in a state and did not before the change, and what decides that nobody models."""
    broken = {one.identity for one in first.breaks_isolation}
    found = list(mixture.introduces)
    if mixed.mixtures[0] is not first:  # of one site after the other: what the sites before it left counts as well
        found += [one for one in mixed.mixtures[0].breaks_isolation if one.identity not in broken]
    unknown = {(one.statement.place.device, one.what) for one in first.undetermined}
    unsure = [one for one in mixture.undetermined if (one.statement.place.device, one.what) not in unknown]
    return [*map(finding_words, found), *map(str, unsure)]
