"""The way of a log message from every host that sends its log to the collector."""

import secrets
import shlex
from collections.abc import Callable

import pytest
from testinfra.host import Host

from cloison.intent.network import Equipment, Intent
from cloison.model import EquipmentName
from cloison.probe.hosts import said_by
from cloison.probe.readback import log

HostFor = Callable[[EquipmentName], Host]


@pytest.mark.check("hosts/logs", title="what a host logs arrives at the collector", controls=("ANSSI-PA-72 R102",))
def test_log(logging: Equipment, intent: Intent, host_for: HostFor, say: Callable[[str], None]) -> None:
    """A line written at the host is found at the collector in time."""
    marker = secrets.token_hex(16)
    said_by(host_for(logging.name), log.write_command(marker))
    collector = host_for(intent.log_collector.name)
    if collector.run(shlex.join(log.await_command(marker))).rc != 0:
        message = f"the line written at {logging.name} was not at the collector within {log.BOUND_SECONDS:g} s"
        raise AssertionError(message)
    say("a line written there was found at the collector")
