"""From an intent to the order of its twin: the design, and what every node is given, with the credentials it keeps."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cloison.intent.models import Kind
from cloison.lab.credentials import keep, kept, make_credentials, still_serve
from cloison.lab.design import design_lab
from cloison.lab.folder import LabFolder
from cloison.lab.order import LabOrder
from cloison.lab.services import services_of_all
from cloison.model import Name

if TYPE_CHECKING:
    from pathlib import Path

    from cloison.intent.network import Intent
    from cloison.lab.credentials import Credentials

_SERIAL_BITS = 159
"""Positive, and at most 20 octets (RFC 5280 section 4.1.2.2)."""


def order(intent: Intent, root: Path, name: str) -> LabOrder:
    """Return all that is needed to build the twin of that name; its credentials are made or renewed where needed.

    Raises LabError when the network holds what a twin cannot have, or the kept credentials cannot be read.
    """
    folder = LabFolder(root, Name(name))
    folder.make()
    cameras = [e.name for e in intent.equipment_by_name.values() if e.kind is Kind.CAMERA]
    scenes = {camera: secrets.randbits(32) for camera in cameras}
    given = services_of_all(intent, current_credentials(intent, folder), scenes)
    return LabOrder(design=design_lab(intent), given=given)


def current_credentials(intent: Intent, folder: LabFolder) -> Credentials:
    """Return the credentials kept for the twin, made anew when they do not fit the intent or end within a day."""
    now = datetime.now(UTC).replace(microsecond=0)  # a certificate knows no smaller time than a second
    credentials = kept(folder.path)
    if credentials is None or not still_serve(credentials, intent, now):
        credentials = make_credentials(
            intent,
            now,
            new_serial=lambda: secrets.randbits(_SERIAL_BITS) + 1,
            new_password=lambda: secrets.token_urlsafe(24),
        )
        keep(folder.path, credentials)
    return credentials
