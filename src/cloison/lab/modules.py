"""The optical modules of the twin: emulated, as the EEPROM image that follows from the fibre as built."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cloison import optics
from cloison.intent.models import Medium
from cloison.lab.service import NodeFile, NodeServices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.intent.models import FibreAsBuilt, ModuleDeclaration
    from cloison.intent.network import Intent, PortReference, Site
    from cloison.model import EquipmentName

IMAGES = PurePosixPath("/run/cloison/sfp")
"""Where a device of the twin finds the image of each of its modules."""
_VENDOR = "CLOISON EMULATED"


def image_path(port: str) -> PurePosixPath:
    """Return where the image of a port's module is."""
    return IMAGES / f"{port}.eeprom"


def image(fibre: FibreAsBuilt, *, at_pole: bool, extra_loss: float = 0.0, module: str | None = None) -> bytes:
    """Return the SFF-8472 image (512 bytes, A0h then A2h) of the module at one end of a link.

    `extra_loss` dB are lost on the way besides what the link as built loses; `module` is another kind than declared.
    """
    near, far = (fibre.near, fibre.far) if at_pole else (fibre.far, fibre.near)
    link = optics.Link(
        length=fibre.length,
        connectors=fibre.connectors,
        splices=fibre.splices,
        transmitter=far.module.value,
        receiver=module or near.module.value,
    )
    measured = optics.typical(link)
    received = optics.milliwatts(optics.dbm(measured.receive) - extra_loss)
    return optics.encode(_identity(near, module), replace(measured, receive=received))


def _identity(declared: ModuleDeclaration, module: str | None) -> optics.Module:
    kind = module or declared.module.value
    specification = optics.SPECIFICATIONS[kind]
    return optics.Module(
        vendor=_VENDOR,
        part=kind,
        serial=str(declared.serial or "NONE"),
        wavelength=specification.wavelength,
        reach=specification.reach,
    )


def modules_of_all(intent: Intent) -> dict[EquipmentName, NodeServices]:
    """Return the images that every device with an end of a fibre is given."""
    given: dict[EquipmentName, NodeServices] = {}
    for site in intent.sites:
        for end, at_pole in fibre_ends(site):
            if site.fibre is not None and site_device(site, end):
                file = NodeFile(image_path(end.port), image(site.fibre, at_pole=at_pole), 0o644)
                given[end.equipment] = given.get(end.equipment, NodeServices()) + NodeServices(files=(file,))
    return given


def site_device(site: Site, end: PortReference) -> bool:
    """Tell whether this end is at a device that Cloison configures."""
    return any(device.name == end.equipment for device in site.devices)


def fibre_ends(site: Site) -> Iterator[tuple[PortReference, bool]]:
    """Yield both ends of each fibre of a site, and whether it is the one at the pole: away from the firewall."""
    for cable in site.cables:
        if cable.medium is Medium.FIBRE:
            for end in cable.ends:
                other = cable.other(end).equipment
                yield end, _is_nearer(site, other, end.equipment)


def _is_nearer(site: Site, one: EquipmentName, other: EquipmentName) -> bool:
    """Tell whether `one` is cabled to the firewall and `other` is not."""

    def touches(name: EquipmentName) -> bool:
        return any(
            cable.other(end).equipment == site.firewall.name
            for cable in site.cables
            for end in cable.ends
            if end.equipment == name
        )

    return touches(one) and not touches(other)
