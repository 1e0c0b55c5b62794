"""The picture of the pilot: everything declared is on it, and every link says what it carries."""

from pathlib import Path

import pytest

from cloison.cli.picture import picture_of
from cloison.evidence.layout import Column, columns_of, lay_out
from cloison.intent.load import load
from cloison.intent.network import Intent
from cloison.model import EquipmentName
from cloison.workspace import find_workspace

ROOT = Path(__file__).parents[2]
OUTSIDE = (EquipmentName("wan/internet-host"), EquipmentName("wan/rogue-laptop"))


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(find_workspace(ROOT))


def test_every_equipment_and_tunnel_is_on_the_picture(intent: Intent) -> None:
    picture = picture_of(intent, OUTSIDE)
    shown = {item.name for site in picture.sites for item in site.equipment}
    assert shown == set(intent.equipment_by_name)
    assert [tunnel.name for tunnel in picture.tunnels] == [tunnel.name for tunnel in intent.tunnels]
    assert set(lay_out(picture).equipment) == shown | set(OUTSIDE)


def test_the_pilot_stands_in_its_columns(intent: Intent) -> None:
    sites = {str(site.name): site for site in picture_of(intent).sites}
    columns = columns_of(sites["roussy-le-village"])
    assert {str(name.equipment): column for name, column in columns.items()} == {
        "cam-context": Column.FIELD,
        "cam-narrow": Column.FIELD,
        "pole-switch": Column.POLE,
        "core-switch": Column.CORE,
        "nvr": Column.HOSTS,
        "live-gateway": Column.HOSTS,
        "operator": Column.HOSTS,
        "ups": Column.HOSTS,
        "firewall": Column.FIREWALL,
    }


def test_a_link_carries_what_both_its_ends_do(intent: Intent) -> None:
    cables = [cable for site in picture_of(intent).sites for cable in site.cables]
    carried = {tuple(str(name.equipment) for name in sorted(cable.ends)): cable for cable in cables}
    assert carried["core-switch", "pole-switch"].vlans == (110, 111, 150)
    assert (carried["core-switch", "pole-switch"].fibre, carried["core-switch", "pole-switch"].metres) == (True, 820)
    assert carried["cam-narrow", "pole-switch"].vlans == (111,)
    assert not carried["cam-narrow", "pole-switch"].fibre
    assert all(cable.vlans for cable in cables)
