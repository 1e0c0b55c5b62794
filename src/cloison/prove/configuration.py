"""What one device runs, section by section, parsed. A text is parsed once, however many networks it is part of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from cloison.prove.parse.interfaces import parse_interfaces
from cloison.prove.parse.nftables import parse_filter
from cloison.prove.parse.openflow import parse_edge
from cloison.prove.parse.swanctl import parse_tunnels
from cloison.prove.parse.switch import parse_switch
from cloison.prove.ruleset import Ruleset
from cloison.prove.stack import Stack
from cloison.prove.statement import Coverage

if TYPE_CHECKING:
    from collections.abc import Callable

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

Model = TypeVar("Model")


@dataclass(frozen=True, slots=True)
class Running:
    """What a device runs, as models. A section that it has not is None, or empty where emptiness means the same."""

    device: EquipmentName
    sections: Configuration
    """The texts it was made of."""
    switch: Switch | None
    edge: FlowTable | None
    stack: Stack
    filter: Ruleset
    tunnels: Connections | None
    coverage: tuple[Coverage, ...]
    unmodelled: tuple[Unmodelled, ...]
    notices: tuple[Notice, ...]


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
        self._switch = _Parser("switch", parse_switch)
        self._edge = _Parser("edge", parse_edge)
        self._stack = _Parser("interfaces", parse_interfaces)
        self._filter = _Parser("filter", parse_filter)
        self._tunnels = _Parser("tunnels", parse_tunnels)

    def read(self, device: EquipmentName, configuration: Configuration) -> Running:
        """Return the models of a device's sections.

        Raises DeviceError for a text that is no configuration.
        """
        switch, edge = self._switch(device, configuration), self._edge(device, configuration)
        stack, rules = self._stack(device, configuration), self._filter(device, configuration)
        tunnels = self._tunnels(device, configuration)
        named = (("switch", switch), ("interfaces", stack), ("edge", edge), ("filter", rules), ("tunnels", tunnels))
        parsed = [(name, one) for name, one in named if one is not None]
        return Running(
            device,
            dict(configuration),
            switch.model if switch else None,
            edge.model if edge else None,
            stack.model if stack else Stack(device, frozenset()),
            rules.model if rules else Ruleset(()),
            tunnels.model if tunnels else None,
            tuple(Coverage(device, name, one.read, one.modelled) for name, one in parsed),
            tuple(found for _, one in parsed for found in one.unmodelled),
            tuple(found for _, one in parsed for found in one.notices),
        )
