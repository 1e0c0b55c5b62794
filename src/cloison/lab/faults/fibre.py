"""Faults of the fibre: the modules are emulated, so a fault is another image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.lab.fault import Fault, Layer, Put
from cloison.lab.faults.pilot import CORE_SWITCH, POLE_SWITCH, shows
from cloison.lab.modules import image, image_path
from cloison.model import Name

if TYPE_CHECKING:
    from cloison.intent.network import Intent

_PORT = "sfp1"
_BEND_DB = 16.0
_WRONG_MODULE = "1000BASE-BX10-D"


def faults(intent: Intent) -> tuple[Fault, ...]:
    """Return the faults of this layer."""
    fibre = intent.site_by_name[POLE_SWITCH.site].fibre
    if fibre is None:
        raise KeyError(POLE_SWITCH.site)
    path = str(image_path(_PORT))
    good_core, good_pole = image(fibre, at_pole=False), image(fibre, at_pole=True)
    return (
        Fault(
            name=Name("fibre-bent"),
            layer=Layer.FIBRE,
            title="the fibre is bent: the town hall receives too little light (emulated)",
            inject=(Put(node=CORE_SWITCH, path=path, content=image(fibre, at_pole=False, extra_loss=_BEND_DB)),),
            heal=(Put(node=CORE_SWITCH, path=path, content=good_core),),
            healed=(shows(CORE_SWITCH, f"[ -s {path} ]"),),
            must=("fibre/budget/roussy-le-village.core-switch",),
            may=("fibre/*",),
            unproved="light is no configuration",
        ),
        Fault(
            name=Name("wrong-module"),
            layer=Layer.FIBRE,
            title="the pole switch has a single-fibre module instead of the declared one (emulated)",
            inject=(Put(node=POLE_SWITCH, path=path, content=image(fibre, at_pole=True, module=_WRONG_MODULE)),),
            heal=(Put(node=POLE_SWITCH, path=path, content=good_pole),),
            healed=(shows(POLE_SWITCH, f"[ -s {path} ]"),),
            must=("fibre/module/roussy-le-village.pole-switch",),
            may=("fibre/*",),
            unproved="a module is no configuration",
        ),
    )
