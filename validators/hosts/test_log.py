"""The way of a log message from every host that sends its log to the collector."""

import secrets
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from testinfra.host import Host

from cloison.errors import CloisonError
from cloison.intent.network import Equipment, Intent
from cloison.model import EquipmentName
from cloison.probe.hosts import said_by
from cloison.probe.readback import log
from cloison.testing.subjects import logging_hosts

HostFor = Callable[[EquipmentName], Host]


@dataclass(frozen=True)
class Written:
    """A line of its own for every host, written before any is looked for, so that they travel side by side."""

    markers: dict[EquipmentName, str | CloisonError]
    deadline: float


@pytest.fixture(scope="session")
def written(intent: Intent, host_for: HostFor) -> Written:
    """Return the lines that were written, or why one could not be, and when the last may arrive."""
    markers: dict[EquipmentName, str | CloisonError] = {}
    for equipment in logging_hosts(intent).values():
        marker = secrets.token_hex(16)
        try:
            said_by(host_for(equipment.name), log.write_command(marker))
            markers[equipment.name] = marker
        except CloisonError as error:
            markers[equipment.name] = error
    return Written(markers, time.monotonic() + log.BOUND_SECONDS)


@pytest.mark.check("hosts/logs", title="what a host logs arrives at the collector", controls=("ANSSI-PA-72 R102",))
def test_log(
    logging: Equipment, intent: Intent, host_for: HostFor, say: Callable[[str], None], written: Written
) -> None:
    """A line written at the host is found at the collector in time."""
    marker = written.markers[logging.name]
    if isinstance(marker, CloisonError):
        raise marker
    left = max(0.0, written.deadline - time.monotonic())
    if host_for(intent.log_collector.name).run(shlex.join(log.await_command(marker, left))).rc != 0:
        message = f"the line written at {logging.name} was not at the collector within {log.BOUND_SECONDS:g} s"
        raise AssertionError(message)
    say("a line written there was found at the collector")
