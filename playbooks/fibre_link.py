"""The fibre link: admin state, speed and allowed VLANs of the optical ports at both ends, then what the optics say.

Run it alone with `cloison play fibre-link --site SITE`. In the twin speed and optics are emulated: an image of an
SFF-8472 module stands in for the module, and every record of a device with such an image says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.fleet.play import by_stage
from cloison.fleet.select import fibre_ends
from cloison.fleet.tasks import optics, replace
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from nornir.core import Nornir

SECTIONS = (SectionName.FIBRE,)


def play(nornir: Nornir) -> None:
    """Make both ends of each fibre what is declared, the far one first, then read their optics."""
    ends = fibre_ends(nornir)
    for stage in by_stage(ends):
        stage.run(task=replace, sections=SECTIONS)
    ends.run(task=optics)
