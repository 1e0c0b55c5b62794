"""Tunnels: every end is loaded first, then each end that initiates starts what is down.

Run it with `cloison play vpn --via local`: a changed tunnel drops at once, so it is refused through the tunnel itself.
An initiator that the other end refused does not try again by itself; that is why starting comes last, and for both
ends of a tunnel the sites of both have to be in the play.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.fleet.select import firewalls
from cloison.fleet.tasks import bring_up, replace
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from nornir.core import Nornir

SECTIONS = (SectionName.TUNNELS,)


def play(nornir: Nornir) -> None:
    """Make the firewalls' tunnels what is declared at every end, then have them up."""
    ends = firewalls(nornir)
    loaded = ends.run(task=replace, sections=SECTIONS)
    if any(one.changed for one in loaded.values()):
        ends.run(task=bring_up)
