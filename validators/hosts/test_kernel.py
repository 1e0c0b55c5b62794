"""Kernel settings of every host that the administration station may enter."""

from collections.abc import Callable, Sequence

import pytest
from testinfra.host import Host

from cloison.intent.network import Equipment
from cloison.model import EquipmentName
from cloison.probe.hosts import said_by
from cloison.probe.readback import kernel

HostFor = Callable[[EquipmentName], Host]
AsDeclared = Callable[[Sequence[str], str], None]


@pytest.mark.check(
    "hosts/kernel", title="the kernel forwards only where it has to", controls=("ANSSI-BP-028 R12", "ANSSI-BP-028 R13")
)
def test_kernel(examined: Equipment, host_for: HostFor, as_declared: AsDeclared) -> None:
    """Only a firewall forwards, and the network stack of a device is set as ANSSI asks."""
    text = said_by(host_for(examined.name), kernel.command(examined))
    settings = ", ".join(f"{name}={value}" for name, value in kernel.declared(examined).items())
    as_declared(kernel.differences(examined, text), settings)
