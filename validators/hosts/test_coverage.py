"""Which hosts are examined, and which are not."""

from collections.abc import Callable

import pytest

from cloison.intent.network import Intent
from cloison.testing.subjects import examined_hosts


@pytest.mark.check(
    "hosts/coverage/network", title="the hosts that policy lets the administration station into are examined"
)
def test_coverage(intent: Intent, say: Callable[[str], None]) -> None:
    """There are hosts to examine; those that are not are named."""
    examined = {equipment.name for equipment in examined_hosts(intent).values()}
    others = sorted(set(intent.equipment_by_name) - examined)
    say(f"{len(examined)} hosts are examined over SSH. Not examined: {', '.join(others) or 'none'}")
    assert examined, "no host is examined: policy lets the administration station into none"
