"""Communes that must not reach one another, what changes between two networks, and texts that are damaged."""

from __future__ import annotations

import importlib.util
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.cli.configurations import rendered
from cloison.errors import CloisonError
from cloison.flow import Outcome
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.prove.answer import FindingKind, TunnelsAre
from cloison.prove.compare import compare
from cloison.prove.judge import Judge, judge
from cloison.prove.network import Prover

if TYPE_CHECKING:
    from cloison.intent.network import Intent
    from cloison.prove.configuration import Configurations
    from cloison.prove.difference import Difference

ROOT = Path(__file__).parents[2]
HUB = EquipmentName("crisis-cell/firewall")
FIREWALL = EquipmentName("roussy-le-village/firewall")
_BOTH_WAYS = (
    'iifname "vlan130" oifname "ipsec0" counter accept comment "seeded"',
    'iifname "ipsec0" oifname "vlan130" counter accept comment "seeded"',
)
PAIRS = [(f"commune-{one}", f"commune-{two}") for one in range(3) for two in range(3) if one != two]


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(ROOT)


@pytest.fixture(scope="module")
def declared(intent: Intent) -> Configurations:
    return rendered(intent, ROOT / "templates")


@pytest.fixture(scope="module")
def communes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Intent, Configurations]:
    """Return a network of three communes like the pilot, and its configurations."""
    root = tmp_path_factory.mktemp("communes")
    spec = importlib.util.spec_from_file_location("growth", ROOT / "benchmarks" / "growth.py")
    assert spec is not None
    assert spec.loader is not None
    growth = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(growth)
    growth.grow(root, 3)
    grown = load(root)
    return grown, rendered(grown, ROOT / "templates")


def spoilt(
    configurations: Configurations, device: EquipmentName, section: str, *replaced: tuple[str, str]
) -> Configurations:
    text = configurations[device][section]
    for was, becomes in replaced:
        assert was in text
        text = text.replace(was, becomes)
    return {**configurations, device: {**configurations[device], section: text}}


# --- many sites -------------------------------------------------------------------------------------------------------


def test_no_commune_reaches_another(communes: tuple[Intent, Configurations]) -> None:
    grown, configurations = communes
    prover = Prover(grown)
    judged = Judge(prover, prover.network(configurations))
    assert judged.answer().outcome is Outcome.PASS
    reach = judged.network.reach(TunnelsAre.UP)
    sites = {
        (sender.partition("/")[0], receiver.partition("/")[0]) for sender, receiver, _ in judged.pairs(reach.total)
    }
    assert not sites & set(PAIRS)
    assert ("crisis-cell", "commune-1") in sites  # what is declared is there


def test_a_hub_that_joins_communes_leaks_between_them(communes: tuple[Intent, Configurations]) -> None:
    grown, configurations = communes
    blocks = {0: "10.56.10.48/28", 1: "10.56.11.48/28"}
    hub = 'iifname "ipsec0" oifname "ipsec0" counter accept comment "seeded"'
    joined = spoilt(configurations, HUB, "filter", ("\t\tjump noise\n", f"\t\t{hub}\n\t\tjump noise\n"))
    assert judge(grown, joined).outcome is Outcome.PASS  # no selectors: no tunnel carries it
    wide = "10.56.2.0/28, " + ", ".join(blocks.values())
    joined = spoilt(joined, HUB, "tunnels", ("local_ts = 10.56.2.0/28", f"local_ts = {wide}"))
    for number in blocks:
        name = EquipmentName(f"commune-{number}/firewall")
        other = blocks[1 - number]
        joined = spoilt(joined, name, "tunnels", ("remote_ts = 10.56.2.0/28", f"remote_ts = 10.56.2.0/28, {other}"))
        joined = spoilt(
            joined,
            name,
            "filter",
            ("elements = { 10.56.2.0/28,", f"elements = {{ 10.56.2.0/28, {other},"),
            (
                "\t\tjump noise\n",
                f"\t\t{_BOTH_WAYS[0]}\n\t\t{_BOTH_WAYS[1]}\n\t\tjump noise\n",
            ),
        )
    leaks = [one for one in judge(grown, joined).findings if one.kind is FindingKind.LEAK]
    between = next(
        one for one in leaks if (one.sender, one.receiver) == ("commune-0/live-gateway", "commune-1/live-gateway")
    )
    passed = [hop.device for hop in between.hops]
    assert [name for name in dict.fromkeys(passed) if name.endswith("firewall")] == [
        "commune-0/firewall",
        str(HUB),
        "commune-1/firewall",
    ]
    assert between.hops[-1].what.startswith("arrives")


def test_selectors_that_do_not_agree_are_noticed_and_cut(communes: tuple[Intent, Configurations]) -> None:
    grown, configurations = communes
    narrow = spoilt(configurations, HUB, "tunnels", ("remote_ts = 10.56.11.48/28", "remote_ts = 10.56.99.48/28"))
    found = judge(grown, narrow).findings
    assert {one.receiver.partition("/")[0] for one in found if one.kind is FindingKind.OUTAGE} == {"commune-1"}
    assert any("no selectors in common" in one.what for one in found if one.kind is FindingKind.NOTICE)


def test_with_its_walls_gone_traffic_leaves_in_clear_while_the_tunnels_are_down(
    intent: Intent, declared: Configurations
) -> None:
    bare = spoilt(declared, HUB, "interfaces", ("route replace blackhole 10.56.0.0/14 metric 4096\n", ""))
    assert judge(intent, bare).outcome is Outcome.PASS  # the filter is a wall too
    bare = spoilt(
        bare,
        HUB,
        "filter",
        ('\t\toifname "wan0" counter log group 4 drop comment "no-leak"\n', ""),
        ('iifname "vlan210" oifname "ipsec0"', 'iifname "vlan210"'),
    )
    leaks = [one for one in judge(intent, bare).findings if one.kind is FindingKind.LEAK]
    assert {(one.sender, one.receiver, one.tunnels) for one in leaks} >= {
        ("crisis-cell/station-fire", "wan", TunnelsAre.DOWN)
    }
    assert {one.tunnels for one in leaks} == {TunnelsAre.DOWN}


# --- changes ----------------------------------------------------------------------------------------------------------


def changed(intent: Intent, declared: Configurations, later: Configurations, after: Intent | None = None) -> Difference:
    return compare((intent, declared), (after or intent, later), names=("before", "after"))


def workspace(path: Path, file: str, *replaced: tuple[str, str]) -> tuple[Intent, Configurations]:
    """Return the shipped intent with words of one of its files replaced, and its configurations."""
    shutil.copytree(ROOT / "inventory", path / "inventory")
    place = path / "inventory" / file
    text = place.read_text(encoding="utf-8")
    for was, becomes in replaced:
        assert was in text
        text = text.replace(was, becomes)
    place.write_text(text, encoding="utf-8")
    changed_intent = load(path)
    return changed_intent, rendered(changed_intent, ROOT / "templates")


def test_words_without_effect_change_nothing(intent: Intent, declared: Configurations) -> None:
    same = spoilt(
        declared,
        FIREWALL,
        "filter",
        ('comment "record"', 'comment "renamed"'),
        ("\t# 4. Business flows.\n", "\t# Other words.\n\n"),
    )
    assert same != declared
    assert changed(intent, declared, same).changes == ()


def test_a_port_that_changes_is_opened_and_closed(intent: Intent, declared: Configurations) -> None:
    later = spoilt(declared, FIREWALL, "filter", ("tcp dport 8322", "tcp dport 8323"))
    found = changed(intent, declared, later).changes
    assert {(one.kind.value, one.receiver) for one in found if one.sender == "crisis-cell/station-fire"} == {
        ("closed", "roussy-le-village/live-gateway")  # its own firewall does not let the other port out
    }
    assert {one.kind.value for one in found if one.sender == "roussy-le-village/tunnels"} == {"opened", "closed"}
    again = changed(intent, declared, later).changes
    assert [one.identity for one in found] == [one.identity for one in again]
    back = changed(intent, later, declared).changes
    assert {one.kind.value for one in back if one.sender == "crisis-cell/station-fire"} == {"opened"}


def test_a_change_has_the_way_that_it_has_and_the_one_it_lacks(intent: Intent, declared: Configurations) -> None:
    found = changed(intent, declared, spoilt(declared, FIREWALL, "filter", ("tcp dport 322", "tcp dport 321"))).changes
    one = next(one for one in found if one.kind.value == "closed" and one.sender == "roussy-le-village/nvr")
    assert one.hops[-1].what.startswith("arrives")
    assert one.stopped[-1].what == 'forward: rule "final" of chain final: drop'


def test_another_address_of_a_host_is_a_change(tmp_path: Path, intent: Intent, declared: Configurations) -> None:
    line = next(
        line
        for line in (ROOT / "inventory/sites/roussy-le-village.yaml").read_text(encoding="utf-8").splitlines()
        if "02:00:00:00:01:20" in line
    )
    after, later = workspace(
        tmp_path, "sites/roussy-le-village.yaml", (line, line.replace("02:00:00:00:01:20", "02:00:00:00:01:2f"))
    )
    assert judge(after, later).outcome is Outcome.PASS
    assert changed(intent, declared, later, after).changes == ()  # packets keep their addresses: nothing to tell


def test_a_site_that_comes_is_a_change(
    intent: Intent, declared: Configurations, communes: tuple[Intent, Configurations]
) -> None:
    found = changed(intent, declared, communes[1], communes[0]).changes
    opened = {one.sender.partition("/")[0] for one in found if one.kind.value == "opened"}
    closed = {one.sender.partition("/")[0] for one in found if one.kind.value == "closed"}
    assert {"commune-0", "commune-1", "commune-2"} <= opened
    assert "roussy-le-village" in closed


# --- damage -----------------------------------------------------------------------------------------------------------

WORDS = (
    "{",
    "}",
    '"',
    "\\",
    "\x00",
    "\n",
    "any",
    "/33",
    "99999999999999999999",
    "0.0.0.0/0",
    "jump x",
    "$(x)",
    "é",
    "[",
    "-1",
)


def damaged(text: str, chance: random.Random) -> str:
    here = chance.randrange(len(text))
    match chance.randrange(4):
        case 0:
            return text[:here]
        case 1:
            return text[:here] + text[here + chance.randrange(1, 30) :]
        case 2:
            return text[:here] + chance.choice(WORDS) + text[here:]
    lines = text.split("\n")
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))
    return "\n".join(lines)


@pytest.mark.parametrize("section", ["switch", "edge", "interfaces", "filter", "tunnels"])
def test_damaged_texts_are_errors_or_answers_and_nothing_else(
    intent: Intent, declared: Configurations, section: str
) -> None:
    chance, prover, outcomes = random.Random(section), Prover(intent), set[str]()  # noqa: S311  the same each time
    for _ in range(15):
        device = chance.choice([name for name, sections in declared.items() if section in sections])
        text = damaged(declared[device][section], chance)
        configurations = {**declared, device: {**declared[device], section: text}}
        try:
            outcomes.add(str(Judge(prover, prover.network(configurations)).answer().outcome))
        except CloisonError as error:
            assert str(device) in str(error)  # noqa: PT017  an answer is as good
            outcomes.add("error")
    assert outcomes - {str(Outcome.PASS)}


@pytest.mark.parametrize("section", ["switch", "edge", "interfaces", "filter", "tunnels"])
def test_half_a_text_does_not_pass(intent: Intent, declared: Configurations, section: str) -> None:
    for device in (FIREWALL, EquipmentName("roussy-le-village/core-switch")):
        if section not in declared[device]:
            continue
        text = declared[device][section]
        half = {**declared, device: {**declared[device], section: text[: len(text) // 2]}}
        try:
            assert judge(intent, half).outcome is not Outcome.PASS
        except CloisonError as error:
            assert str(device) in str(error)  # noqa: PT017  an answer is as good


def test_an_expression_that_is_not_modelled_leaves_it_unknown(intent: Intent, declared: Configurations) -> None:
    answer = judge(
        intent,
        spoilt(declared, FIREWALL, "filter", ("\tchain business {\n", "\tchain business {\n\t\tmeta cpu 0 accept\n")),
    )
    assert answer.outcome is Outcome.UNKNOWN
    (found,) = answer.findings
    assert found.kind is FindingKind.UNDETERMINED
    assert found.what.startswith(f"{FIREWALL} filter:")
