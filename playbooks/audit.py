"""Read only: every device is read back and compared with what is declared; nothing is changed.

Run it with `cloison play audit`. A candidate is put in the device's own words by loading it into a throw-away instance
of the tool on the device; what runs is not touched, and no section is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.fleet.select import fibre_ends
from cloison.fleet.tasks import compare, optics

if TYPE_CHECKING:
    from nornir.core import Nornir


def play(nornir: Nornir) -> None:
    """Compare every section of every device, and read the optics of the fibre."""
    nornir.run(task=compare)
    fibre_ends(nornir).run(task=optics)
