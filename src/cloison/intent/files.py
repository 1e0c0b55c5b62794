"""The inventory as read: one model a file, with the place of everything declared. Frozen."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  part of the value's own fields
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cloison.errors import Problem

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

INVENTORY = Path("inventory")
NETWORK = INVENTORY / "network.yaml"
POLICY = INVENTORY / "policy.yaml"
INVARIANTS = INVENTORY / "invariants.yaml"
GROUPS = INVENTORY / "groups.yaml"
DEFAULTS = INVENTORY / "defaults.yaml"


def blueprint_file(name: str) -> Path:
    """Return the file of a blueprint, relative to the workspace."""
    return INVENTORY / "blueprints" / f"{name}.yaml"


def site_file(name: str) -> Path:
    """Return the file of a site, relative to the workspace."""
    return INVENTORY / "sites" / f"{name}.yaml"


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
