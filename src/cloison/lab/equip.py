"""What the lab daemon is ordered to build for a network: the design, and everything each node is given."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cloison.intent.models import Kind
from cloison.lab.credentials import Credentials, keep, kept, make_credentials, still_serve
from cloison.lab.design import design_lab
from cloison.lab.folder import LabFolder
from cloison.lab.modules import modules_of_all
from cloison.lab.order import LabOrder
from cloison.lab.service import NodeServices
from cloison.lab.services import services_of_all
from cloison.model import Name

if TYPE_CHECKING:
    from pathlib import Path

    from cloison.intent.network import Intent

_SERIAL_BITS = 159
"""RFC 5280 section 4.1.2.2: a positive integer of at most 20 octets."""
_PASSWORD_BYTES = 24
_SCENE_BITS = 32


def order(intent: Intent, root: Path, name: str) -> LabOrder:
    """Return the order for the twin of that name; its credentials are made when it has none that serve.

    Raises LabError when the network holds what a twin cannot have, or the kept credentials cannot be read.
    """
    folder = LabFolder(root, Name(name))
    folder.make()
    credentials = current_credentials(intent, folder)
    cameras = [equipment.name for equipment in intent.equipment_by_name.values() if equipment.kind is Kind.CAMERA]
    given = services_of_all(intent, credentials, {camera: secrets.randbits(_SCENE_BITS) for camera in cameras})
    for device, modules in modules_of_all(intent).items():
        given[device] = modules + given.get(device, NodeServices())
    return LabOrder(design=design_lab(intent), given=given)


def current_credentials(intent: Intent, folder: LabFolder) -> Credentials:
    """Return the credentials kept for a twin, or fresh ones, kept from now on, when they no longer serve."""
    now = datetime.now(UTC).replace(microsecond=0)  # certificates know whole seconds (RFC 5280 section 4.1.2.5)
    known = kept(folder.path)
    if known is not None and still_serve(known, intent, now):
        return known
    made = make_credentials(
        intent,
        now,
        new_serial=lambda: secrets.randbits(_SERIAL_BITS) + 1,
        new_password=lambda: secrets.token_urlsafe(_PASSWORD_BYTES),
    )
    keep(folder.path, made)
    return made
