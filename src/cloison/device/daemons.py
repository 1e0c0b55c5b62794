"""Reads and writes a device through the daemons that run its sections: two classes, so that a reader cannot write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.device.batch import must, run_batch, step
from cloison.device.capabilities import PLATFORMS
from cloison.device.concealed import CONCEALED
from cloison.device.contract import Running
from cloison.device.edge import EdgeLoading, EdgeReading
from cloison.device.facts import fact_steps, facts_of
from cloison.device.fibre import FibreLoading, FibreReading
from cloison.device.interfaces import InterfacesReading
from cloison.device.interfaces_load import InterfacesLoading
from cloison.device.loading import load_of
from cloison.device.negotiated import read_associations, renew, terminate
from cloison.device.rows import SwitchLoading, SwitchReading, own_rows, rebuilding
from cloison.device.ruleset import FilterLoading, FilterReading
from cloison.device.section import Answers, joined
from cloison.device.tunnels import TunnelsLoading, TunnelsReading
from cloison.errors import DeviceError, LoadError
from cloison.render.config import Config, Section, SectionName

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from cloison.device.job import Load
    from cloison.device.negotiated import Negotiated
    from cloison.device.section import LoadableSection, ReadableSection
    from cloison.model import EquipmentName, Platform
    from cloison.transport.base import Runner


_FINDINGS = ("foreign ", "differs: ", "neighbour ", "qdisc ")
"""What begins a line that a reading adds to a section and that no section holds."""


def _readable(platform: Platform) -> Mapping[SectionName, ReadableSection]:
    readings: tuple[ReadableSection, ...] = (
        SwitchReading(),
        FibreReading(),
        InterfacesReading(PLATFORMS[platform]),
        EdgeReading(),
        FilterReading(),
        TunnelsReading(),
    )
    return {reading.name: reading for reading in readings if reading.name in PLATFORMS[platform].sections}


class DaemonReader:
    """Reads the sections of one device back: one command reads everything, one more tries a candidate."""

    def __init__(
        self, runner: Runner, device: EquipmentName, platform: Platform, sections: Sequence[SectionName], seconds: float
    ) -> None:
        self.runner, self.seconds = runner, seconds
        self._device, self._platform = device, platform
        readable = _readable(platform)
        self._readings = [readable[name] for name in sorted(sections, key=lambda name: name.order)]

    @property
    def device(self) -> EquipmentName:
        """Whose configuration this is."""
        return self._device

    @property
    def platform(self) -> Platform:
        """How it is configured."""
        return self._platform

    @property
    def sections(self) -> tuple[SectionName, ...]:
        """The sections that it has, in the order of application."""
        return tuple(reading.name for reading in self._readings)

    def read(self) -> Running:
        """Return every section as the daemons run it; see `cloison.device.contract.Reader`."""
        steps = [step for reading in self._readings for step in reading.read_steps()]
        answers = Answers(self._device, run_batch(self.runner, [*steps, *fact_steps()], self.seconds))
        try:
            texts = {reading.name: reading.running(answers) for reading in self._readings}
            return Running(self._config(texts), facts_of(answers, self.sections))
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            # Whatever a broken or hostile device answers, it is an answer that cannot be used and not our mistake.
            message = f"an answer of the device has no known form ({type(error).__name__}: {error})"
            raise DeviceError(self._device, message) from error

    def canonical(self, candidate: Config) -> Config:
        """Return the candidate in the words of the device; see `cloison.device.contract.Reader`."""
        chosen = [(reading, candidate.section(reading.name).text) for reading in self._readings_of(candidate)]
        steps = [step for reading, text in chosen for step in reading.trial_steps(text)]
        answers = Answers(self._device, run_batch(self.runner, steps, self.seconds) if steps else {})
        return self._config({reading.name: reading.canonical(text, answers) for reading, text in chosen})

    def loadable(self, running: Config, name: SectionName) -> Section:
        """Return a section as it runs in a text that can be loaded; see `cloison.device.contract.Reader`."""
        lines = running.section(name).text.splitlines()
        text = joined([line for line in lines if not line.startswith(_FINDINGS)])
        if name is SectionName.SWITCH:
            text = rebuilding(own_rows(text))
        if CONCEALED in text:
            message = f"section {name} holds a secret, which nothing here keeps: it cannot be put back; remove it first"
            raise LoadError(self._device, message)
        return Section(name=name, text=text)

    def tracked(self) -> str:
        """Return the tracked connections; see `cloison.device.contract.Reader`."""
        answers = run_batch(self.runner, [step("tracked", "conntrack", "-L", "-o", "extended")], self.seconds)
        return must(self._device, answers["tracked"], "the tracked connections")

    def negotiated(self) -> tuple[Negotiated, ...]:
        """Return the security associations as they are; see `cloison.device.contract.Reader`."""
        return read_associations(self.runner) if SectionName.TUNNELS in self.sections else ()

    def prepared(self, running: Config, section: Section) -> Load:
        """Return what the guard is given for a section; see `cloison.device.contract.Reader`."""
        return load_of(self._device, self._platform, running.section(section.name), section)

    def _readings_of(self, candidate: Config) -> list[ReadableSection]:
        unknown = [name for name in candidate.names if name not in self.sections]
        if unknown:
            raise LoadError(self._device, f"section {unknown[0]} is refused: a {self._platform} device here has none")
        return [reading for reading in self._readings if reading.name in candidate.names]

    def _config(self, texts: Mapping[SectionName, str]) -> Config:
        sections = tuple(Section(name=name, text=text) for name, text in texts.items())
        return Config(device=self._device, platform=self._platform, sections=sections)


class DaemonWriter:
    """Loads sections into the daemons of one device."""

    def __init__(self, runner: Runner, device: EquipmentName, platform: Platform) -> None:
        self.runner, self.device = runner, device
        self._tunnels = TunnelsLoading()
        loadings: tuple[LoadableSection, ...] = (
            SwitchLoading(),
            FibreLoading(),
            InterfacesLoading(InterfacesReading(PLATFORMS[platform])),
            EdgeLoading(),
            FilterLoading(),
            self._tunnels,
        )
        self._loadings = {loading.name: loading for loading in loadings if loading.name in PLATFORMS[platform].sections}

    def load(self, section: Section) -> None:
        """Make the running section equal to this one; see `cloison.device.contract.Writer`."""
        loading = self._loadings.get(section.name)
        if loading is None:
            raise LoadError(self.device, f"section {section.name} is refused: the platform has none")
        loading.load(self.runner, section.text)

    def bring_up(self, section: Section) -> tuple[str, ...]:
        """Start what the loaded section wants started; see `cloison.device.contract.Writer`."""
        return self._tunnels.bring_up(self.runner, section.text) if section.name is SectionName.TUNNELS else ()

    def renew(self, section: Section, connections: Collection[str]) -> tuple[str, ...]:
        """End tunnels and start them with what is loaded; see `cloison.device.contract.Writer`."""
        return renew(self.runner, section.text, connections) if section.name is SectionName.TUNNELS else ()

    def terminate(self, associations: Sequence[Negotiated]) -> None:
        """End security associations; see `cloison.device.contract.Writer`."""
        terminate(self.runner, associations)
