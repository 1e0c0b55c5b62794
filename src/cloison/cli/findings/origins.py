"""From what the proof found to the line of the inventory that someone would edit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from cloison.intent.files import INVARIANTS, NETWORK, POLICY, blueprint_file, site_file
from cloison.intent.load import read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cloison.intent.files import InventoryFiles
    from cloison.intent.models import BlueprintFile, SiteFile
    from cloison.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Origin:
    """A place in the inventory."""

    file: Path
    """Relative to the workspace."""
    line: int
    """1 for the first line."""
    column: int
    """1 for the first character."""
    why: str
    """What is declared there: `flow watch-live`."""


class Located(Protocol):
    """What a finding and a change say of where they come from."""

    @property
    def sender(self) -> str: ...  # noqa: D102  see Finding
    @property
    def receiver(self) -> str: ...  # noqa: D102
    @property
    def rule(self) -> str: ...  # noqa: D102


class Origins:
    """Finds the lines of one workspace's inventory, which is read once, and only when something is found.

    It raises what `cloison.intent.load.read` does; of a workspace whose intent was loaded, nothing.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def of(self, found: Located) -> tuple[Origin, ...]:
        """Return the places that a finding or a change follows from, the one to edit first; at least one.

        The flow or the invariant that it is about, then both its ends: a port in its blueprint, an equipment in its
        site's file and in its blueprint, a segment in its blueprint, anything else of a site in its file. What belongs
        to no site is on the first line of network.yaml.
        """
        places = [*self._declaration(found.rule), *self._end(found.receiver), *self._end(found.sender)]
        return tuple(dict.fromkeys(places)) or (self._at(NETWORK, ("network",), "the network"),)

    @cached_property
    def _files(self) -> InventoryFiles:
        return read(self._workspace)

    @cached_property
    def _sites(self) -> dict[str, SiteFile]:
        return {str(name): site for name, site in self._files.sites.items()}

    @cached_property
    def _declarations(self) -> dict[str, tuple[Path, tuple[str | int, ...], str]]:
        """Where each flow and each invariant is declared, by its id; of one that is both, the flow."""
        found: dict[str, tuple[Path, tuple[str | int, ...], str]] = {}
        for index, invariant in enumerate(self._files.invariants.no_path):
            found[invariant.id] = (INVARIANTS, ("no_path", index), f"invariant {invariant.id}")
        for index, flow in enumerate(self._files.policy.flows):
            found[flow.id] = (POLICY, ("flows", index), f"flow {flow.id}")
        return found

    def _declaration(self, rule: str) -> Iterator[Origin]:
        if rule in self._declarations:
            yield self._at(*self._declarations[rule])

    def _end(self, name: str) -> Iterator[Origin]:
        """Yield the places of one end, `<site>`, `<site>/<thing>` or `<site>/<equipment>:<port>`."""
        site_name, _, thing = name.partition("/")
        site = self._sites.get(site_name)
        if site is None:
            return
        equipment, _, port = thing.partition(":")
        known = [*self._of_equipment(site, equipment, port)]
        yield from known
        if not known:
            yield self._at(site_file(site_name), ("wan",) if thing == "wan" else ("site",), f"site {site_name}")

    def _of_equipment(self, site: SiteFile, name: str, port: str) -> Iterator[Origin]:
        blueprint = self._files.blueprint_of(site)
        file = blueprint_file(site.blueprint)
        if blueprint is not None:
            yield from self._of_part(blueprint, file, name, port)
        if any(declared == name for declared in site.equipment):
            yield self._at_key(site_file(site.site), ("equipment", name), f"equipment {site.site}/{name}")
        if blueprint is not None and any(declared == name for declared in blueprint.equipment):
            yield self._at_key(file, ("equipment", name), f"equipment {name} of blueprint {blueprint.blueprint}")

    def _of_part(self, blueprint: BlueprintFile, file: Path, name: str, port: str) -> Iterator[Origin]:
        """Yield a port of an equipment, and a segment."""
        for equipment, declared in blueprint.equipment.items():
            if equipment == name and port in declared.ports:
                at = ("equipment", name, "ports", [str(each) for each in declared.ports].index(port))
                yield self._at(file, at, f"port {port} of {name}")
        for index, segment in enumerate(blueprint.segments):
            if name in {segment.name, f"{segment.name}-segment"}:
                yield self._at(file, ("segments", index), f"segment {segment.name} of blueprint {blueprint.blueprint}")

    def _at(self, file: Path, path: tuple[str | int, ...], why: str) -> Origin:
        return Origin(file, *self._files.places[file].of(path), why)

    def _at_key(self, file: Path, path: tuple[str | int, ...], why: str) -> Origin:
        return Origin(file, *self._files.places[file].of_key(path), why)
