"""Sites that are alike come to the same sets, node for node, as when each is computed for itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.cli.configurations import rendered
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.prove.answer import TunnelsAre
from cloison.prove.judge import Judge
from cloison.prove.likeness import Shapes
from cloison.prove.network import Prover
from cloison.workspace import find_workspace

if TYPE_CHECKING:
    from cloison.intent.network import Intent
    from cloison.prove.configuration import Configurations

ROOT = Path(__file__).parents[2]
COMMUNES = 5


@pytest.fixture(scope="module")
def intent(tmp_path_factory: pytest.TempPathFactory) -> Intent:
    """Five communes like the pilot, beside its two other sites."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from growth import grow  # noqa: PLC0415  a benchmark is no package: its folder is named above

    root = tmp_path_factory.mktemp("fleet")
    grow(root, COMMUNES)
    return load(find_workspace(root))


@pytest.fixture(scope="module")
def configurations(intent: Intent) -> Configurations:
    return rendered(intent, ROOT / "templates")


def spoilt(configurations: Configurations, commune: int, section: str, was: str, becomes: str) -> Configurations:
    name = EquipmentName(f"commune-{commune}/{'core-switch' if section in {'edge', 'switch'} else 'firewall'}")
    assert was in configurations[name][section]
    return {
        **configurations,
        name: {**configurations[name], section: configurations[name][section].replace(was, becomes, 1)},
    }


def test_alike_and_each_for_itself_are_one_set(intent: Intent, configurations: Configurations) -> None:
    alike = Prover(intent)
    each = Prover(intent, alike.frames, alike=False)
    one, other = alike.network(configurations), each.network(configurations)
    for tunnels in TunnelsAre:
        for site in intent.sites:
            assert one.through(site, tunnels) == other.through(site, tunnels)
        assert one.reach(tunnels) == other.reach(tunnels)
    assert len({one.shape(site) for site in intent.sites}) == 3


@pytest.mark.parametrize(
    ("section", "was", "becomes"),
    [
        ("filter", "tcp dport 8322", "tcp dport 8322-8323"),
        ("filter", "policy drop", "policy accept"),
        ("filter", "10.56.2.2 . 10.56.", "10.56.2.4 . 10.56."),
        ("interfaces", "route replace default", "route replace 10.0.0.0/9"),
        ("edge", "nw_frag=first,actions=drop", "nw_frag=first,actions=NORMAL"),
        ("switch", "tag=120", "tag=130"),
        ("tunnels", "start_action = start", "start_action = none"),
    ],
)
def test_a_commune_that_differs_is_computed_for_itself(
    intent: Intent, configurations: Configurations, section: str, was: str, becomes: str
) -> None:
    for commune in (0, 3):
        running = spoilt(configurations, commune, section, was, becomes)
        alike = Prover(intent)
        each = Prover(intent, alike.frames, alike=False)
        one, other = Judge(alike, alike.network(running)).answer(), Judge(each, each.network(running)).answer()
        assert {found.identity for found in one.findings} == {found.identity for found in other.findings}
        assert one.coverage == other.coverage
        assert [alike.network(running).reach(state) for state in TunnelsAre] == [
            each.network(running).reach(state) for state in TunnelsAre
        ]


@pytest.mark.parametrize(
    "text",
    [
        "ip saddr 10.56.10.5-10.57.0.0 accept",
        "ip saddr 10.0.0.0-10.56.10.9 accept",
        "ip saddr & 255.0.255.0 == 10.0.10.0 accept",
        "nw_src=10.0.10.0/255.0.255.0,actions=NORMAL",
        "dl_src=02:00:01:00:00:20/ff:ff:ff:ff:ff:00,actions=NORMAL",
        "ip6 saddr ::10.56.10.1 accept",
        "ip6 saddr 0:0:0:0:0:0:a38:a01 accept",
        "10.56.10.300",
        "‹0: 5/›",
    ],
)
def test_what_is_no_prefix_makes_a_site_like_no_other(intent: Intent, text: str) -> None:
    site = next(site for site in intent.sites if site.name == "commune-0")
    assert str(site.prefix) == "10.56.10.0/24"
    assert Shapes().of(site, ["ip saddr 10.56.10.5 accept"]) is not None
    assert Shapes().of(site, [text]) is None


def test_a_wider_prefix_is_part_of_the_shape(intent: Intent) -> None:
    one, other = (next(site for site in intent.sites if site.name == f"commune-{n}") for n in (0, 1))
    same = [Shapes().of(site, ["from 10.56.0.0/14 to 10.56.2.2"]) for site in (one, other)]
    apart = [Shapes().of(site, ["from 10.56.10.0/23", "to 10.56.10.0/24"]) for site in (one, other)]
    assert None not in same
    assert None not in apart
    assert len({shape.text for shape in same if shape}) == 1
    assert len({shape.text for shape in apart if shape}) == 2
