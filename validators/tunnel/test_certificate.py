"""What each firewall proves itself with: its own certificate, for a month to come, with a key that is root's alone."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from cloison.intent.network import Equipment
from cloison.model import EquipmentName
from cloison.pki.holding import HORIZON, State, judge, read
from cloison.transport.base import Runner

RunnerFor = Callable[[EquipmentName], Runner]
AsDeclared = Callable[[Sequence[str], str], None]


@pytest.mark.check("tunnel/certificate", title="the firewall's certificate is its own, and does not end within a month")
def test_certificate(firewall: Equipment, runner_for: RunnerFor, as_declared: AsDeclared) -> None:
    """Name, authority, key and dates of the certificate that the IKE daemon has, and of the revocation list."""
    holding = read(runner_for(firewall.name), firewall.name)
    state, why = judge(holding, datetime.now(UTC))
    until = f"{holding.certificate.not_valid_after_utc:%Y-%m-%d}" if holding.certificate else "none"
    said = f"{firewall.name.host_name}, until {until}: more than {HORIZON.days} days, as its revocation list"
    as_declared([] if state is State.OK else [f"{state}: {why}"], said)
