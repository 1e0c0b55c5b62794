"""Core switches: bridge, ports and VLANs, then the switch's own address.

Run it alone with `cloison play core-switch --site SITE`. A rebuild of the switch rows is followed by the flows as they
ran, since a change of fail mode empties the tables; which flows there are is the business of camera_vlans.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.fleet.play import by_stage
from cloison.fleet.select import core_switches
from cloison.fleet.tasks import replace
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from nornir.core import Nornir

SECTIONS = (SectionName.SWITCH, SectionName.INTERFACES)


def play(nornir: Nornir) -> None:
    """Make the core switches' rows and addresses what is declared, the farthest first."""
    for stage in by_stage(core_switches(nornir)):
        stage.run(task=replace, sections=SECTIONS)
