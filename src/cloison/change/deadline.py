"""How long a device waits for its confirmation: three times what everything before it may take, with its reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cloison.change.plan import Plan

LEAST_SECONDS: Final = 120
"""A shorter one teaches people to do without: OpenWrt raised its 30 s to 90 s after complaints."""
SHORTEST_SECONDS: Final = 5
"""Below it no confirm could come in time."""
_FACTOR: Final = 3
_LOAD_SECONDS: Final = 8
"""What one stage may take to be loaded; a stage is all devices that are changed at the same time."""
_TUNNEL_SECONDS: Final = 12
"""What a tunnel may take to be negotiated again after its peer went away (measured: 11.3 s)."""
_GATE_SECONDS: Final = 20
"""What a new connection to every device, its read-back, the proof and the sessions of flows may take."""


def deadline_of(plan: Plan, watch_seconds: int = 0) -> int:
    """Return the seconds until the dead-man of a plan, from its own bounds and what the gate's watch may take."""
    stages = sum(1 for stage in plan.stages if any(plan.device(name).changed for name in stage))
    phases = 3 if any(device.tunnel_phases for device in plan.devices) else 0
    bound = stages * _LOAD_SECONDS + phases * (_LOAD_SECONDS + _TUNNEL_SECONDS) + _GATE_SECONDS + watch_seconds
    return max(LEAST_SECONDS, _FACTOR * bound)
