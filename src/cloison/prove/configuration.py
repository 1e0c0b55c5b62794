"""What one device runs, section by section, parsed. A text is parsed once, however many networks it is part of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from cloison.prove.parse.interfaces import parse_interfaces
from cloison.prove.parse.nftables import parse_filter
from cloison.prove.parse.openflow import parse_edge
from cloison.prove.parse.swanctl import parse_tunnels
from cloison.prove.parse.switch import parse_switch
from cloison.prove.ruleset import Ruleset
from cloison.prove.stack import Stack
from cloison.prove.statement import Coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cloison.model import EquipmentName
    from cloison.prove.openflow import FlowTable
    from cloison.prove.parse.swanctl import Connections
    from cloison.prove.statement import Notice, Parsed, Unmodelled
    from cloison.prove.switch import Switch

Configuration = Mapping[str, str]
"""The text of each section of a device, by the section's name."""
Configurations = Mapping["EquipmentName", Configuration]
"""The configuration of every device of a network."""

NOT_FORWARDING = frozenset({"fibre"})
"""Sections that say how fast and how, and not where: what a fibre port carries is in the switch section."""

Model = TypeVar("Model", covariant=True)  # noqa: PLC0105  what a parser makes, named as what it is


class Running:
    """What a device runs, as models. A section that it has not is None, or empty where emptiness means the same."""

    def __init__(
        self, device: EquipmentName, sections: Configuration, reading: Reading, like: Running | None = None
    ) -> None:
        """Take the texts, which are parsed when they are asked for.

        `like` is a device whose texts differ in addresses alone and of which everything is modelled and nothing is
        noted: so is this one, and no text needs to be parsed to know it.
        """
        self.device: Final = device
        self.sections: Final = dict(sections)
        """The texts it was made of."""
        self._reading = reading
        self._like = like

    @cached_property
    def switch(self) -> Switch | None:
        """Its bridges."""
        parsed = self._reading.switch(self.device, self.sections)
        return parsed.model if parsed else None

    @cached_property
    def edge(self) -> FlowTable | None:
        """The flows of its bridge."""
        parsed = self._reading.edge(self.device, self.sections)
        return parsed.model if parsed else None

    @cached_property
    def stack(self) -> Stack:
        """Its links, addresses, routes and settings."""
        parsed = self._reading.stack(self.device, self.sections)
        return parsed.model if parsed else Stack(self.device, frozenset())

    @cached_property
    def filter(self) -> Ruleset:
        """Its packet filter."""
        parsed = self._reading.filter(self.device, self.sections)
        return parsed.model if parsed else Ruleset(())

    @cached_property
    def tunnels(self) -> Connections | None:
        """The tunnels that it is configured for."""
        parsed = self._reading.tunnels(self.device, self.sections)
        return parsed.model if parsed else None

    @cached_property
    def coverage(self) -> tuple[Coverage, ...]:
        """How much of each section is modelled."""
        if self._like is not None:
            own = {name for name, _ in self._parsed}
            alike = tuple(replace(one, device=self.device) for one in self._like.coverage if one.section not in own)
        else:
            alike = ()
        return alike + tuple(Coverage(self.device, name, one.read, one.modelled) for name, one in self._parsed)

    @cached_property
    def unmodelled(self) -> tuple[Unmodelled, ...]:
        """What is not modelled."""
        return tuple(found for _, one in self._parsed for found in one.unmodelled)

    @cached_property
    def notices(self) -> tuple[Notice, ...]:
        """What is wrong in itself."""
        return tuple(found for _, one in self._parsed for found in one.notices)

    @cached_property
    def _parsed(self) -> list[tuple[str, Parsed[object]]]:
        """The sections with what they were parsed as; of a device with another like it, its tunnels alone.

        What is alike has nothing wrong and nothing unmodelled; tunnels are no part of the likeness.
        """
        parsers = self._reading.parsers
        if self._like is not None:
            parsers = [(name, parser) for name, parser in parsers if parser is self._reading.tunnels]
        every = [(name, parser(self.device, self.sections)) for name, parser in parsers]
        return [(name, one) for name, one in every if one is not None]


class _Parser(Generic[Model]):
    """The parser of one section, and what it made so far."""

    def __init__(self, section: str, parse: Callable[[EquipmentName, str], Parsed[Model]]) -> None:
        self.section = section
        self._parse = parse
        self._made: dict[tuple[EquipmentName, str], Parsed[Model]] = {}

    def __call__(self, device: EquipmentName, configuration: Configuration) -> Parsed[Model] | None:
        """Return the section of a device; None when it has none."""
        text = configuration.get(self.section)
        if text is None:
            return None
        key = (device, text)
        if key not in self._made:
            self._made[key] = self._parse(device, text)
        return self._made[key]


class Reading:
    """Parses sections and keeps what it parsed."""

    def __init__(self) -> None:
        self.switch = _Parser("switch", parse_switch)
        self.edge = _Parser("edge", parse_edge)
        self.stack = _Parser("interfaces", parse_interfaces)
        self.filter = _Parser("filter", parse_filter)
        self.tunnels = _Parser("tunnels", parse_tunnels)
        every = (self.switch, self.stack, self.edge, self.filter, self.tunnels)
        self.parsers: Sequence[tuple[str, _Parser[object]]] = tuple((one.section, one) for one in every)

    def read(self, device: EquipmentName, configuration: Configuration, like: Running | None = None) -> Running:
        """Return the models of a device's sections; see Running for `like`.

        Raises DeviceError for a text that is no configuration.
        """
        running = Running(device, configuration, self, like)
        _ = running.coverage if like is None else running.tunnels
        return running
