"""The optical module of one end of a fibre: what it is, and whether it receives what the link as built promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison import optics
from cloison.errors import ProbeError
from cloison.intent.models import Medium

if TYPE_CHECKING:
    from cloison.intent.models import ModuleDeclaration
    from cloison.intent.network import Intent, PortReference, Site

_IMAGES = "/run/cloison/sfp"
"""Where the image of an emulated module stands."""


def command(port: str) -> tuple[str, ...]:
    """Return the command that prints the image of a port's module in hexadecimal: a real module's is its own."""
    file = f"{_IMAGES}/{port}.eeprom"
    script = f'if [ -f "{file}" ]; then cat "{file}"; else ethtool -m {port} raw on; fi | od -An -v -tx1'
    return ("sh", "-c", f"set -e; {script}")


@dataclass(frozen=True, slots=True)
class FibreEnd:
    """What is declared of one end of a fibre."""

    module: ModuleDeclaration
    link: optics.Link
    """In the direction in which this end receives."""


def declared(intent: Intent, end: PortReference) -> FibreEnd:
    """Return what is declared of an end; ProbeError when its site has no fibre as built."""
    site = intent.site_by_name[end.equipment.site]
    if site.fibre is None:
        msg = f"{site.name} has a fibre and nothing declared of it as built"
        raise ProbeError(msg)
    near = is_at_pole(site, end)
    own, other = (site.fibre.near, site.fibre.far) if near else (site.fibre.far, site.fibre.near)
    link = optics.Link(
        length=site.fibre.length,
        connectors=site.fibre.connectors,
        splices=site.fibre.splices,
        transmitter=other.module.value,
        receiver=own.module.value,
    )
    return FibreEnd(own, link)


def is_at_pole(site: Site, end: PortReference) -> bool:
    """Tell whether an end of a fibre is the one away from the firewall."""
    fibre = next(cable for cable in site.cables if cable.medium is Medium.FIBRE and end in cable.ends)
    other = fibre.other(end).equipment
    return any({far.equipment for far in cable.ends} == {other, site.firewall.name} for cable in site.cables)


def read(text: str) -> optics.Reading:
    """Return what the image in the output of `command` says; ValueError when it is none."""
    return optics.decode(bytes.fromhex(text))


def module_differences(end: FibreEnd, reading: optics.Reading) -> list[str]:
    """Return in what the module is another than the declared one."""
    wanted = optics.SPECIFICATIONS[end.module.module.value]
    module = reading.module
    pairs: list[tuple[str, object, object]] = [
        ("wavelength", f"{module.wavelength} nm", f"{wanted.wavelength} nm"),
        ("checksums", "wrong" if not reading.sound else "right", "right"),
    ]
    if end.module.serial is not None:
        pairs.append(("serial number", module.serial, end.module.serial))
    found = [f"{what} {is_so}; expected {should}" for what, is_so, should in pairs if is_so != should]
    if module.reach < end.link.length:
        found.append(f"reach {module.reach} m, for a fibre of {end.link.length} m")
    return found


def budget_differences(end: FibreEnd, reading: optics.Reading) -> list[str]:
    """Return why this end does not receive what the link as built promises."""
    measured = reading.measured
    if measured is None or not reading.average_power:
        return ["the module measures no average received power"]
    least, most = bounds(end)
    received = optics.dbm(measured.receive)
    found = (
        [] if least <= received <= most else [f"receives {received:.1f} dBm; expected {least:.1f} to {most:.1f} dBm"]
    )
    return found + [f"the module itself reports: {flag}" for flag in reading.flags]


def bounds(end: FibreEnd) -> tuple[float, float]:
    """Return the least and the most that this end may receive, in dBm.

    The least: the weakest transmitter over the link with every part at its worst, and never less than the receiver can
    read. The most: the strongest transmitter over no loss at all, and never more than the receiver bears.
    """
    sent = optics.SPECIFICATIONS[end.link.transmitter]
    receiver = optics.SPECIFICATIONS[end.link.receiver]
    least = max(receiver.sensitivity, sent.transmit_minimum - end.link.loss(optics.WORST))
    return least, min(receiver.overload, sent.transmit_maximum)
