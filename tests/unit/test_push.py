"""The order in which sections are loaded."""

from __future__ import annotations

from cloison.device.memory import MemoryDevice
from cloison.device.push import loads
from cloison.model import EquipmentName, Platform
from cloison.render.config import Config, Section, SectionName

DEVICE = EquipmentName("here/firewall")
NAMES = (SectionName.SWITCH, SectionName.INTERFACES, SectionName.FILTER)


def _config(**texts: str) -> Config:
    sections = tuple(Section(name=name, text=texts.get(name.value, "")) for name in NAMES)
    return Config(device=DEVICE, platform=Platform.DEBIAN_LIBIPSEC, sections=sections)


def _order(running: Config, candidate: Config) -> list[SectionName]:
    reader = MemoryDevice(DEVICE, Platform.DEBIAN_LIBIPSEC, NAMES).open().reader
    return [section.name for section in loads(reader, running, candidate, candidate)]


def test_the_filter_goes_first_where_none_runs_yet() -> None:
    candidate = _config(switch="rows\n", interfaces="addresses\n", filter="table\n")
    assert _order(_config(), candidate) == [SectionName.FILTER, SectionName.SWITCH, SectionName.INTERFACES]


def test_the_filter_keeps_its_place_where_one_runs() -> None:
    running = _config(filter="another table\n")
    candidate = _config(switch="rows\n", interfaces="addresses\n", filter="table\n")
    assert _order(running, candidate) == list(NAMES)


def test_what_did_not_change_is_not_loaded() -> None:
    same = _config(switch="rows\n", interfaces="addresses\n", filter="table\n")
    assert _order(same, same) == []
