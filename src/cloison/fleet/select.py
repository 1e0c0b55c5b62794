"""Chooses hosts for a play by what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.fleet.reach import sections_of
from cloison.intent.models import Kind
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Callable

    from nornir.core import Nornir
    from nornir.core.inventory import Host

    from cloison.intent.network import Equipment


def _chosen(nornir: Nornir, wanted: Callable[[Equipment], bool]) -> Nornir:
    def is_wanted(host: Host) -> bool:
        return wanted(host["equipment"])

    return nornir.filter(filter_func=is_wanted)


def firewalls(nornir: Nornir) -> Nornir:
    """Return the firewalls."""
    return _chosen(nornir, lambda device: device.kind is Kind.FIREWALL)


def core_switches(nornir: Nornir) -> Nornir:
    """Return the switches that a site's firewall is cabled to."""
    return _chosen(nornir, lambda device: device.kind is Kind.SWITCH and _is_next_to_firewall(device))


def pole_switches(nornir: Nornir) -> Nornir:
    """Return the other switches: those behind a core switch, in camera boxes."""
    return _chosen(nornir, lambda device: device.kind is Kind.SWITCH and not _is_next_to_firewall(device))


def switches(nornir: Nornir) -> Nornir:
    """Return every switch."""
    return _chosen(nornir, lambda device: device.kind is Kind.SWITCH)


def fibre_ends(nornir: Nornir) -> Nornir:
    """Return the devices with an optical port."""
    return _chosen(nornir, lambda device: SectionName.FIBRE in sections_of(device))


def _is_next_to_firewall(device: Equipment) -> bool:
    return any(port.peer is not None and port.peer.port == "trunk" for port in device.ports)
