"""The clock of the script that guards a change: no wall clock moves its deadline, no timer rounds it by a minute."""

from __future__ import annotations

import pytest
from tests.contract.guarded_nodes import Node
from tests.contract.test_device_script import job_of, lease

from cloison.device.guard import TransactionState

pytestmark = pytest.mark.lab
# A day ahead with every look at it.
WALL = """
cat >/usr/local/sbin/date <<'END'
#!/bin/sh
days=$(cat /run/days 2>/dev/null || echo 0)
echo $((days + 1)) >/run/days
exec /usr/bin/date -d "+$days days" "$@"
END
chmod 755 /usr/local/sbin/date
"""


def test_a_wall_clock_that_is_set_moves_no_deadline() -> None:
    token = "20261124t220000z-0001-0123456789ab"
    with Node("ticker") as node:
        node.shell(WALL)
        assert node.shell("date +%F") != node.shell("date +%F")
        lease(node, token)
        before = node.guard.arm(job_of(token, 60))
        node.wait(1.5)
        after = node.guard.state()
        assert (before.state, after.state) == (TransactionState.ARMED, TransactionState.ARMED)
        assert 0.5 < before.remaining - after.remaining < 30
        node.guard.revert(token)


def test_a_timer_of_systemd_is_accurate_to_the_second() -> None:
    token = "20261124t220000z-0002-0123456789ab"
    with Node("systemd") as node:
        lease(node, token)
        node.guard.arm(job_of(token, 60))
        shown = node.shell("systemctl show --property=AccuracyUSec --value cloison-deadman.timer")
        assert shown.strip() == "1s"
        node.guard.revert(token)
