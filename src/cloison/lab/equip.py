"""What the lab daemon is ordered to build for a network: the design, and everything each node is given."""

from __future__ import annotations

import contextlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cloison.errors import LabError
from cloison.intent.models import Kind
from cloison.lab.credentials import Credentials, keep, kept, make_credentials, still_serve, tunnel_authority
from cloison.lab.design import design_lab
from cloison.lab.folder import LabFolder
from cloison.lab.modules import modules_of_all
from cloison.lab.order import LabOrder
from cloison.lab.service import NodeServices
from cloison.lab.services import services_of_all
from cloison.model import Name
from cloison.pki.register import LIFETIME
from cloison.pki.renewal import act, place, request_key

if TYPE_CHECKING:
    from pathlib import Path

    from cloison.intent.network import Intent
    from cloison.lab.client import LabClient
    from cloison.model import EquipmentName
    from cloison.pki.register import TunnelAuthority
    from cloison.transport.base import Runner

_SERIAL_BITS = 159
"""RFC 5280 section 4.1.2.2: a positive integer of at most 20 octets."""
_PASSWORD_BYTES = 24
_SCENE_BITS = 32
_AT_ONCE = 8


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
    now = _now()
    known = kept(folder.path)
    if known is not None and still_serve(known, intent, now):
        return known
    made = make_credentials(
        intent,
        now,
        new_serial=_new_serial,
        new_password=lambda: secrets.token_urlsafe(_PASSWORD_BYTES),
    )
    keep(folder.path, made)
    return made


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)  # certificates know whole seconds (RFC 5280 section 4.1.2.5)


def _new_serial() -> int:
    return secrets.randbits(_SERIAL_BITS) + 1


def authority_of(folder: LabFolder) -> TunnelAuthority:
    """Return the authority of a twin for the certificates of its tunnels; LabError when it has no credentials."""
    credentials = kept(folder.path)
    if credentials is None:
        msg = f"{folder.path} holds no credentials; `cloison lab up` makes them"
        raise LabError(msg)
    return tunnel_authority(folder.path, credentials, _now, _new_serial)


def commission(intent: Intent, client: LabClient) -> None:
    """Have every firewall of a fresh twin make the key of its tunnels, and give it a certificate for its request.

    The keys stay on the firewalls' disks. Raises LabError, DeviceError with the firewall's name.
    """
    authority = authority_of(client.folder)
    firewalls = sorted({end.firewall for one in intent.tunnels for end in (one.initiator, one.responder)})
    if not firewalls:
        return
    revocations = authority.new_revocations()

    def equip(name: EquipmentName) -> None:
        with contextlib.closing(client.runner(name)) as runner:
            act(runner, name, "revocations", stdin=revocations)
            _certify(runner, name, authority, LIFETIME)

    with ThreadPoolExecutor(max_workers=min(len(firewalls), _AT_ONCE)) as pool:
        list(pool.map(equip, firewalls))


def certify(client: LabClient, name: EquipmentName, lifetime: timedelta) -> None:
    """Have a firewall of a twin make another key, and give it a certificate that ends after `lifetime`.

    Its daemon knows both from now on, and its tunnels stay what they are. Raises LabError, DeviceError.
    """
    with contextlib.closing(client.runner(name)) as runner:
        _certify(runner, name, authority_of(client.folder), lifetime)


def _certify(runner: Runner, name: EquipmentName, authority: TunnelAuthority, lifetime: timedelta) -> None:
    place(runner, name, authority.issue(name, request_key(runner, name, fresh=True), lifetime))
