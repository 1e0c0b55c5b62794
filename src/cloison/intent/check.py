"""What the files of an inventory must say together: every problem, with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloison.errors import Problem
    from cloison.intent.files import InventoryFiles
    from cloison.workspace import Network


def check(files: InventoryFiles, network: Network) -> list[Problem]:
    """Return every problem of the inventory as a whole, for this network."""
    del files, network
    return []
