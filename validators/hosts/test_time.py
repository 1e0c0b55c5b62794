"""The clock of every host that the administration station may enter."""

import shlex
import time
from collections.abc import Callable, Sequence

import pytest
from testinfra.host import Host

from cloison.intent.network import Equipment, Intent
from cloison.model import EquipmentName
from cloison.probe.readback import clock

HostFor = Callable[[EquipmentName], Host]
AsDeclared = Callable[[Sequence[str], str], None]
SETTLING_SECONDS = 45.0
"""After a change of the network a client needs some polls of its source, and its source some of its own."""
_PAUSE_SECONDS = 0.5


@pytest.fixture(scope="session")
def settled_by() -> float:
    """Return when every clock has to be set by: one deadline for all hosts, which wait side by side."""
    return time.monotonic() + SETTLING_SECONDS


@pytest.mark.check("hosts/time", title="the clock follows the declared server", controls=("ANSSI-PA-72 R63",))
def test_time(
    examined: Equipment, intent: Intent, host_for: HostFor, as_declared: AsDeclared, settled_by: float
) -> None:
    """The clock is synchronised to the one declared source; the time server answers for itself."""
    source = clock.declared_source(intent, examined)
    while True:
        # A time daemon that does not run is a finding about the host: its silence is read as what it says.
        text = str(host_for(examined.name).run(shlex.join(clock.COMMAND)).stdout)
        found = clock.differences(source, text)
        if not found or time.monotonic() > settled_by:
            break
        time.sleep(_PAUSE_SECONDS)
    as_declared(found, f"synchronised to {source or 'itself, as the time server'}")
