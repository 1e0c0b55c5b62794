"""Every fault there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.errors import InputError, LabError
from cloison.lab.faults import (
    bridge,
    bypass,
    certificates,
    detours,
    edge,
    edge_flows,
    fibre,
    filter_rules,
    filter_words,
    hosts,
    ports,
    routes,
    selectors,
    stream,
    switch,
    tunnel,
)
from cloison.lab.faults.shown import SHOWN

if TYPE_CHECKING:
    from cloison.intent.network import Intent
    from cloison.lab.fault import Fault

_LAYERS = (
    switch,
    ports,
    bridge,
    edge,
    edge_flows,
    filter_rules,
    filter_words,
    tunnel,
    selectors,
    certificates,
    bypass,
    routes,
    detours,
    hosts,
    stream,
    fibre,
)


def catalogue(intent: Intent) -> tuple[Fault, ...]:
    """Return every fault, layer by layer. They are about the pilot: LabError when the intent has no such site."""
    try:
        every = [fault for layer in _LAYERS for fault in layer.faults(intent)]
    except KeyError as error:
        msg = f"the catalogue of faults is written for the pilot's network, which has {error}; this one has not"
        raise LabError(msg) from error
    return tuple(fault.model_copy(update={"shown": SHOWN.get(str(fault.name), ())}) for fault in every)


def find(intent: Intent, name: str) -> Fault:
    """Return the fault of that name; InputError with the names there are."""
    known = {str(fault.name): fault for fault in catalogue(intent)}
    if name not in known:
        msg = f"{name}: no such fault; expected one of {', '.join(known)}"
        raise InputError(msg)
    return known[name]
