"""Firewalls: the trunk's switch rows, addresses and routes, and the filter. The tunnels are the business of vpn.py.

Run it alone with `cloison play firewall --site SITE`. The sections go in the order switch, interfaces, filter: an
internal port that the switch rows bring back has no address until the interfaces follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.fleet.play import by_stage
from cloison.fleet.select import firewalls
from cloison.fleet.tasks import replace
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from nornir.core import Nornir

SECTIONS = (SectionName.SWITCH, SectionName.INTERFACES, SectionName.FILTER)


def play(nornir: Nornir) -> None:
    """Make the firewalls' sections what is declared, the farthest first; the tunnels stay as they run."""
    for stage in by_stage(firewalls(nornir)):
        stage.run(task=replace, sections=SECTIONS)
