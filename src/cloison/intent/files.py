"""The inventory as read: one model a file, with the place of everything declared. Frozen."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  part of the value's own fields
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cloison.errors import Problem
from cloison.workspace import BLUEPRINTS, INVENTORY, SITES

if TYPE_CHECKING:
    from cloison.intent.document import Places
    from cloison.intent.models import (
        BlueprintFile,
        DefaultsFile,
        GroupsFile,
        InvariantsFile,
        NetworkFile,
        PolicyFile,
        SiteFile,
    )
    from cloison.model import Name

NETWORK = Path(INVENTORY, "network.yaml")
POLICY = Path(INVENTORY, "policy.yaml")
INVARIANTS = Path(INVENTORY, "invariants.yaml")
GROUPS = Path(INVENTORY, "groups.yaml")
DEFAULTS = Path(INVENTORY, "defaults.yaml")


def blueprint_file(name: str) -> Path:
    """Return the file of a blueprint, relative to the workspace."""
    return Path(BLUEPRINTS, f"{name}.yaml")


def site_file(name: str) -> Path:
    """Return the file of a site, relative to the workspace."""
    return Path(SITES, f"{name}.yaml")


@dataclass(frozen=True, slots=True)
class InventoryFiles:
    """Every file of the inventory. Blueprints and sites are keyed by the name of their file."""

    network: NetworkFile
    policy: PolicyFile
    invariants: InvariantsFile
    blueprints: Mapping[Name, BlueprintFile]
    sites: Mapping[Name, SiteFile]
    groups: GroupsFile
    defaults: DefaultsFile
    places: Mapping[Path, Places]
    """By file, relative to the workspace."""
    unsound: frozenset[Path] = frozenset()
    """Files of blueprints and sites that are wrong by themselves: what refers to them is not judged."""

    def is_blueprint(self, name: str) -> bool:
        """Return whether there is a file for a blueprint of this name, sound or not."""
        return name in self.blueprints or blueprint_file(name) in self.unsound

    def is_site(self, name: str) -> bool:
        """Return whether there is a file for a site of this name, sound or not."""
        return name in self.sites or site_file(name) in self.unsound

    def blueprint_of(self, site: SiteFile) -> BlueprintFile | None:
        """Return the blueprint of a site; None when it is missing or unsound."""
        return self.blueprints.get(site.blueprint)

    def place(self, file: Path, path: tuple[str | int, ...]) -> str:
        """Return `file:line:column` of the value that stands at `path` in `file`."""
        line, column = self.places[file].of(path)
        return f"{file}:{line}:{column}"

    def problem(
        self,
        file: Path,
        path: tuple[str | int, ...],
        code: str,
        message: str,
        *,
        expected: str = "",
        hint: str = "",
        at_key: bool = False,
    ) -> Problem:
        """Return a problem at the value (or at the key) that stands at `path` in `file`."""
        places = self.places[file]
        line, column = places.of_key(path) if at_key else places.of(path)
        return Problem(file, line, column, code, message, expected, hint)
