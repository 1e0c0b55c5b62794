"""Camera VLANs: the switch in the camera box whole, and the edge security of the core switch that it hangs on.

Run it alone with `cloison play camera-vlans --site SITE`. The pole's switch comes first: it is the farther one, and a
core switch that let go of it would leave it unreachable with its old VLANs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.fleet.play import by_stage
from cloison.fleet.select import core_switches, pole_switches
from cloison.fleet.tasks import replace
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from nornir.core import Nornir

ON_THE_POLE = (SectionName.SWITCH, SectionName.INTERFACES, SectionName.EDGE)
ON_THE_CORE = (SectionName.EDGE,)


def play(nornir: Nornir) -> None:
    """Make camera ports, their VLANs and who may speak on them what is declared."""
    for stage in by_stage(pole_switches(nornir)):
        stage.run(task=replace, sections=ON_THE_POLE)
    for stage in by_stage(core_switches(nornir)):
        stage.run(task=replace, sections=ON_THE_CORE)
