"""From the intent to what each device shall be, in no vendor's words. Pure.

A template sees one of these states and nothing else, so every text in them is a value type of `cloison.model`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.desired.firewall import FirewallState, firewall_state
from cloison.desired.link import LinkState
from cloison.desired.switch import SwitchState, switch_state
from cloison.desired.tunnel import TunnelState
from cloison.errors import InputError
from cloison.intent.models import Kind
from cloison.model import Platform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.flow import Flow
    from cloison.intent.network import Equipment, Intent
    from cloison.model import EquipmentName, Name

__all__ = ["FirewallState", "LinkState", "Platform", "SwitchState", "TunnelState", "state_of", "states_of"]


def state_of(intent: Intent, device: EquipmentName) -> FirewallState | SwitchState:
    """Return what one device shall be; InputError when nothing of that name is a device.

    The flows of the intent are sorted by site once, whatever number of devices is asked for.
    """
    equipment = intent.equipment_by_name.get(device)
    if equipment is None or not equipment.is_device:
        names = ", ".join(sorted(known.name for known in intent.devices))
        msg = f"{device} is not a device; expected one of {names}"
        raise InputError(msg)
    return _state(intent, equipment, intent.flows_of_site)


def states_of(intent: Intent) -> tuple[FirewallState | SwitchState, ...]:
    """Return what every device shall be, in the order of the intent."""
    return tuple(_state(intent, device, intent.flows_of_site) for device in intent.devices)


def _state(intent: Intent, device: Equipment, flows: Mapping[Name, tuple[Flow, ...]]) -> FirewallState | SwitchState:
    if device.kind is Kind.FIREWALL:
        return firewall_state(intent, device, flows.get(device.name.site, ()))
    return switch_state(intent, device)
