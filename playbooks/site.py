"""Everything of a site, in the safe order.

Switches before firewalls, each group from the far end in, so that nothing is cut off before it was changed; tunnels
last, at every end before any is started. Run it with `cloison play site --site SITE`, and the first time, when there is
no tunnel yet, with `--via local`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.fleet.play import by_stage
from cloison.fleet.select import fibre_ends, firewalls
from cloison.fleet.tasks import bring_up, optics, replace
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from nornir.core import Nornir

TUNNELS = (SectionName.TUNNELS,)
BEFORE_TUNNELS = tuple(name for name in SectionName if name is not SectionName.TUNNELS)


def play(nornir: Nornir) -> None:
    """Make every device of the sites what is declared, and read the optics of the fibre."""
    for stage in by_stage(nornir):
        stage.run(task=replace, sections=BEFORE_TUNNELS)
    ends = firewalls(nornir)
    if not nornir.data.failed_hosts and any(one.changed for one in ends.run(task=replace, sections=TUNNELS).values()):
        ends.run(task=bring_up)
    fibre_ends(nornir).run(task=optics)
