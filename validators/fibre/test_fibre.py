"""The optical modules at both ends of each fibre. In a twin they are emulated, and every verdict says so."""

from collections.abc import Callable, Sequence

import pytest
from testinfra.host import Host

from cloison import optics
from cloison.intent.network import Intent, PortReference
from cloison.model import EquipmentName
from cloison.probe.hosts import said_by
from cloison.probe.readback import fibre

HostFor = Callable[[EquipmentName], Host]
AsDeclared = Callable[[Sequence[str], str], None]


@pytest.mark.check("fibre/module", title="the optical module is the declared one", emulated=True)
def test_module(fibre_end: PortReference, intent: Intent, host_for: HostFor, as_declared: AsDeclared) -> None:
    """Kind, serial number and reach are those of the link as built."""
    reading = fibre.read(said_by(host_for(fibre_end.equipment), fibre.command(fibre_end.port)))
    module = reading.module
    shown = f"{fibre_end.port}: {module.vendor} {module.part}, serial {module.serial}, {module.wavelength} nm"
    as_declared(fibre.module_differences(fibre.declared(intent, fibre_end), reading), shown)


@pytest.mark.check("fibre/budget", title="this end receives what the link as built promises", emulated=True)
def test_budget(fibre_end: PortReference, intent: Intent, host_for: HostFor, as_declared: AsDeclared) -> None:
    """The received power is within the optical budget of the declared link."""
    declared = fibre.declared(intent, fibre_end)
    reading = fibre.read(said_by(host_for(fibre_end.equipment), fibre.command(fibre_end.port)))
    least, most = fibre.bounds(declared)
    received = optics.dbm(reading.measured.receive) if reading.measured else optics.NO_LIGHT_DBM
    shown = f"{fibre_end.port} receives {received:.1f} dBm, between {least:.1f} and {most:.1f} dBm"
    as_declared(fibre.budget_differences(declared, reading), shown)
