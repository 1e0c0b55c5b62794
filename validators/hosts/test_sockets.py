"""Listening sockets of every host that the administration station may enter."""

from collections.abc import Callable, Sequence

import pytest
from testinfra.host import Host

from cloison.intent.network import Equipment, Intent
from cloison.model import EquipmentName
from cloison.probe.hosts import said_by
from cloison.probe.readback import sockets

HostFor = Callable[[EquipmentName], Host]
AsDeclared = Callable[[Sequence[str], str], None]


@pytest.mark.check("hosts/sockets", title="what listens is what is declared", controls=("ANSSI-BP-028 R80",))
def test_sockets(examined: Equipment, intent: Intent, host_for: HostFor, as_declared: AsDeclared) -> None:
    """Every declared service listens at its address, and nothing else does."""
    text = said_by(host_for(examined.name), sockets.COMMAND)
    listening = "; ".join(sorted(map(str, sockets.read(text))))
    as_declared(sockets.differences(intent, examined, text), f"listening: {listening}")
