"""The clock of every host that the administration station may enter."""

import shlex
from collections.abc import Callable, Sequence

import pytest
from testinfra.host import Host

from cloison.intent.network import Equipment, Intent
from cloison.model import EquipmentName
from cloison.probe.readback import clock

HostFor = Callable[[EquipmentName], Host]
AsDeclared = Callable[[Sequence[str], str], None]


@pytest.mark.check("hosts/time", title="the clock follows the declared server", controls=("ANSSI-PA-72 R63",))
def test_time(examined: Equipment, intent: Intent, host_for: HostFor, as_declared: AsDeclared) -> None:
    """The clock is synchronised to the one declared source; the time server answers for itself."""
    source = clock.declared_source(intent, examined)
    # A time daemon that does not run is a finding about the host: its silence is read as what it says.
    text = str(host_for(examined.name).run(shlex.join(clock.COMMAND)).stdout)
    as_declared(clock.differences(source, text), f"synchronised to {source or 'itself, as the time server'}")
