"""Small changes of the rendered configuration: the proof finds each, or it changes nothing that arrives."""

import sys
from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the mutations stand in a folder of their own, for a script too

from tests.mutation.edits import Lines, Mutant
from tests.mutation.mutant_trials import Fate, Trials, plain
from tests.mutation.mutants import mutants

from cloison.desired import state_of
from cloison.intent.load import load
from cloison.intent.network import Intent
from cloison.model import EquipmentName
from cloison.prove.answer import Answer, FindingKind
from cloison.prove.configuration import Configurations
from cloison.prove.network import Network, Prover
from cloison.render import render
from cloison.workspace import find_workspace

ROOT = Path(__file__).parents[2]
CHOSEN = 60
FIREWALL = EquipmentName("roussy-le-village/firewall")


@cache
def pilot() -> tuple[Intent, Configurations]:
    workspace = find_workspace(ROOT)
    intent = load(workspace)
    states = {device.name: state_of(intent, device.name) for device in intent.devices}
    rendered = {name: render(state, workspace.templates).sections for name, state in states.items()}
    return intent, {name: {part.name.value: part.text for part in parts} for name, parts in rendered.items()}


def chosen() -> list[Mutant]:
    """Return some mutants of every section, of as many kinds as there can be."""
    random = Random(20261124)  # noqa: S311  a choice of tests, the same every time
    kinds: defaultdict[tuple[str, str], list[Mutant]] = defaultdict(list)
    for mutant in mutants(pilot()[1]):
        if not mutant.edit.inert:
            kinds[mutant.section, mutant.edit.kind].append(mutant)
    return [random.choice(kinds[kind]) for kind in random.sample(sorted(kinds), CHOSEN)]


def opened() -> Mutant:
    """Return the mutant in which the commune's firewall lets everything through that its first chain has let in."""
    lines = Lines(pilot()[1][FIREWALL]["filter"])
    at = next(index for index, line in lines.meant() if "hook forward" in line)
    return Mutant(FIREWALL, "filter", lines.added(at + 1, "rule added", "\t\taccept"))


def blind(prover: Prover, network: Network) -> Answer:
    """Answer as the proof does, and keep silent about leaks."""
    answer = plain(prover, network)
    return replace(answer, findings=tuple(one for one in answer.findings if one.kind is not FindingKind.LEAK))


@pytest.fixture(scope="module")
def trials() -> Trials:
    return Trials(*pilot())


def test_no_mutant_of_any_kind_survives_but_about_the_size_of_packets(trials: Trials) -> None:
    fates = [trials.of(mutant) for mutant in chosen()]
    assert [one.mutant.name for one in fates if one.fate is Fate.SURVIVED and not one.about_size] == []
    assert sum(one.fate is Fate.CAUGHT for one in fates) > CHOSEN // 2


def test_every_section_has_mutants_and_none_is_twice_the_same() -> None:
    every = list(mutants(pilot()[1]))
    assert {mutant.section for mutant in every} == {"switch", "interfaces", "edge", "filter", "tunnels", "fibre"}
    assert len({(m.device, m.section, m.edit.text, m.others) for m in every}) == len(every)


def test_a_firewall_that_is_opened_is_caught(trials: Trials) -> None:
    assert trials.of(opened()).fate is Fate.CAUGHT


def test_a_proof_that_is_silent_about_leaks_lets_a_mutant_survive() -> None:
    trial = Trials(*pilot(), judging=blind).of(opened())
    assert trial.fate is Fate.SURVIVED
    assert "more: " in trial.why


def test_what_is_wrong_in_a_tunnel_is_said_though_its_site_is_like_one_that_was_proved(trials: Trials) -> None:
    relaxed = [one for one in mutants(pilot()[1]) if one.edit.kind == "revocation relaxed"]
    assert {trials.of(one).why for one in relaxed} == {"notice"}


def test_a_comment_that_is_dropped_is_not_counted_as_proved(trials: Trials) -> None:
    dropped = next(one for one in mutants(pilot()[1]) if one.edit.kind == "comment dropped")
    assert trials.of(dropped).fate is Fate.NOT_FORWARDING


def test_the_order_of_rules_that_exclude_one_another_is_equivalent(trials: Trials) -> None:
    lines = Lines(pilot()[1][FIREWALL]["filter"])
    first, second = [index for index, line in lines.meant() if '"relay"' in line][:2]
    assert trials.of(Mutant(FIREWALL, "filter", lines.swapped(first, second, "rules swapped"))).fate is Fate.EQUIVALENT
