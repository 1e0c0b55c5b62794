"""Whether a plan still follows from what is declared, and what a single device may not change through itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.change.order import Via
from cloison.change.plan import candidates, intent_digest, only
from cloison.change.portion import declared_digest as digest
from cloison.errors import RefusedError
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from pathlib import Path

    from cloison.change.plan import DevicePlan, Plan
    from cloison.intent.network import Intent


class StaleError(RefusedError):
    """The plan was made from something else than what is there now."""


def check(plan: Plan, intent: Intent, templates: Path) -> None:
    """Raise StaleError unless the plan follows from this intent and these templates and may go the way it goes."""
    if plan.intent != intent_digest(intent):
        msg = "the plan is stale: the inventory changed since; make it again with `cloison plan`"
        raise StaleError(msg)
    rendered = candidates(intent, templates, [device.device for device in plan.devices])
    for device in plan.devices:
        names = [section.name for section in device.candidate]
        declared = only(rendered[device.device], names)
        follows = declared.sections == device.candidate if device.sites is None else digest(declared) == device.declared
        if not follows:
            msg = f"the plan is stale: the templates now give {device.device} another text; make it again"
            raise StaleError(msg)


def refuse_tunnel_through_itself(via: Via, devices: tuple[DevicePlan, ...]) -> None:
    """Raise RefusedError when a tunnels section would be changed over the tunnel that it carries."""
    through = [device.device for device in devices if SectionName.TUNNELS in device.changed]
    if via is Via.TUNNEL and through:
        msg = (
            f"the tunnels of {', '.join(through)} would change under the connection that changes them, and a changed "
            "tunnel drops at once; plan and apply with `--via local`"
        )
        raise RefusedError(msg)
