"""Spoofing: through a tunnel with its own keys, and in clear from the wide-area network."""

from collections.abc import Callable
from random import SystemRandom
from typing import TYPE_CHECKING

import pytest

from cloison.flow import Outcome
from cloison.intent.network import Intent, Tunnel
from cloison.probe.spoof import Ground, attempts, try_spoof
from cloison.testing.checks import Undetermined
from cloison.testing.network import JudgedNetwork
from cloison.transport.local import LocalRunner

if TYPE_CHECKING:
    from cloison.probe.judge import Finding


@pytest.mark.check(
    "tunnel/spoof", title="no site can send in another's name through its own tunnel", controls=("ANSSI-PA-72 R24",)
)
def test_spoof(tunnel: Tunnel, intent: Intent, network: JudgedNetwork, say: Callable[[str], None]) -> None:
    """ESP made with the tunnel's own keys: legal packets arrive, one in the name of another tunnel's site does not."""
    tried = attempts(intent, tunnel)
    if not tried:
        reason = "no other tunnel's packet would pass the filter here, so none can show whether the tunnel stops it"
        raise Undetermined(reason)
    placed = {attachment.name: attachment for attachment in network.attachments()}
    findings: list[Finding] = []
    for attempt in tried:
        ground = Ground(
            attachments=placed,
            sender_uplink=network.uplinks()[attempt.sender.firewall.site],
            receiver_uplink=network.uplinks()[attempt.receiver.firewall.site],
            sender_runner=network.inside(attempt.sender.firewall),
            local_runner=LocalRunner(),
        )
        findings.append(try_spoof(intent, tunnel, attempt, ground, SystemRandom()))
    for finding in findings:
        assert finding.outcome is not Outcome.FAIL, finding.detail
    for finding in findings:
        if finding.outcome is not Outcome.PASS:
            raise Undetermined(finding.detail)
        say(finding.detail)
