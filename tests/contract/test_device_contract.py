"""What every device promises, whether it is in memory or made of real daemons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cloison.device.push import changed, loads, push
from cloison.errors import LoadError
from cloison.render.config import Config, Section, SectionName

if TYPE_CHECKING:
    from tests.contract.conftest import Bench


def settle(bench: Bench) -> Config:
    """Make the device run its candidate; return what it runs then."""
    reader = bench.device.reader
    push(bench.device, reader.read().config, bench.candidate, reader.canonical(bench.candidate))
    return reader.read().config


def test_sections_come_back_in_their_order(bench: Bench) -> None:
    running = bench.device.reader.read().config
    assert running.names == bench.candidate.names
    assert running.device == bench.candidate.device
    assert running.platform is bench.candidate.platform


def test_what_is_loaded_is_what_is_read_back(bench: Bench) -> None:
    canonical = bench.device.reader.canonical(bench.candidate)
    assert settle(bench) == canonical
    assert all(section.text for section in canonical.sections)


def test_loading_again_changes_nothing(bench: Bench) -> None:
    running = settle(bench)
    canonical = bench.device.reader.canonical(bench.candidate)
    assert changed(running, canonical) == ()
    assert list(loads(bench.device.reader, running, bench.candidate, canonical)) == []
    for section in bench.candidate.sections:
        bench.device.writer.load(section)
    assert bench.device.reader.read().config == running


def test_trying_a_candidate_changes_nothing(bench: Bench) -> None:
    before = settle(bench)
    other = Config(
        device=bench.candidate.device,
        platform=bench.candidate.platform,
        sections=tuple(section for section in bench.candidate.sections if section.name is not SectionName.FIBRE),
    )
    bench.device.reader.canonical(other)
    assert bench.device.reader.read().config == before


def test_what_runs_can_be_loaded_again(bench: Bench) -> None:
    running = settle(bench)
    again = running.model_copy(
        update={"sections": tuple(bench.device.reader.loadable(running, name) for name in running.names)}
    )
    assert bench.device.reader.canonical(again) == running


def test_a_refused_section_leaves_what_ran(bench: Bench) -> None:
    before = settle(bench)
    for name in bench.candidate.names:
        spoilt = Section(name=name, text="refuse = this\n")
        candidate = before.model_copy(update={"sections": (spoilt,)})
        with pytest.raises(LoadError, match=f"{before.device}: section {name} is refused: ") as caught:
            bench.device.reader.canonical(candidate)
        assert caught.value.device == before.device
        with pytest.raises(LoadError, match=f"section {name} is refused: "):
            bench.device.writer.load(spoilt)
    assert bench.device.reader.read().config == before


def test_a_section_that_the_platform_has_not_is_refused(bench: Bench) -> None:
    foreign = SectionName.EDGE if SectionName.FILTER in bench.candidate.names else SectionName.FILTER
    section = Section(name=foreign, text="table=0,actions=drop\n")
    with pytest.raises(LoadError, match=f"section {foreign} is refused"):
        bench.device.writer.load(section)
    with pytest.raises(LoadError, match=f"section {foreign} is refused"):
        bench.device.reader.canonical(bench.candidate.model_copy(update={"sections": (section,)}))


def test_nothing_to_bring_up_is_nothing_down(bench: Bench) -> None:
    settle(bench)
    assert [bench.device.writer.bring_up(section) for section in bench.candidate.sections] == [()] * len(
        bench.candidate.sections
    )


def test_facts_name_the_device_and_its_emulations(bench: Bench) -> None:
    facts = bench.device.reader.read().facts
    assert facts.hostname
    assert facts.system
    has_fibre = bench.real and SectionName.FIBRE in bench.candidate.names
    assert [sentence.partition(":")[0] for sentence in facts.emulated] == (["sfp1"] if has_fibre else [])
