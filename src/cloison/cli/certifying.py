"""What the commands about certificates are made of: who holds one, how each is reached, what it holds."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cloison.device.access import ssh_runner
from cloison.errors import DeviceError, InputError, RefusedError, TransportError
from cloison.lab.equip import authority_of
from cloison.pki.holding import HORIZON, Holding, State, judge, read, serials_of
from cloison.pki.renewal import Connection, Effects, Holder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import timedelta

    from cloison.change.order import Via
    from cloison.intent.network import Intent
    from cloison.model import EquipmentName
    from cloison.pki.register import TunnelAuthority
    from cloison.session import Session
    from cloison.transport.base import Runner

CONNECT_SECONDS = 5.0
"""A tunnel that is authenticating is down for less than one; what takes longer is asked again."""


def holders(intent: Intent, sites: Collection[str] | None = None) -> tuple[Holder, ...]:
    """Return every firewall that ends a tunnel, of these sites or of all; InputError for a site that is not there."""
    unknown = sorted(set(sites or ()) - set(intent.site_by_name))
    if unknown:
        msg = f"no site {unknown[0]}; expected one of {', '.join(sorted(intent.site_by_name))}"
        raise InputError(msg)
    found = []
    for device in intent.devices:
        tunnels = intent.tunnels_of(device.name)
        if tunnels and (not sites or device.name.site in sites):
            ends = [(one, *one.end_of(device.name)) for one in tunnels]
            connections = (Connection(one.name, peer.firewall, own == one.initiator) for one, own, peer in ends)
            found.append(Holder(device.name, tuple(connections)))
    return tuple(found)


def holder(intent: Intent, text: str) -> Holder:
    """Return the firewall of that name; InputError with the names there are."""
    known = {str(one.device): one for one in holders(intent)}
    if text not in known:
        msg = f"{text} holds no certificate of a tunnel; expected one of {', '.join(known)}"
        raise InputError(msg)
    return known[text]


def effects(session: Session, via: Via, narrate: Callable[[str], None]) -> Effects:
    """Return how devices are reached for their certificates: a fresh SSH connection each time, its host key pinned."""
    reach = session.reach(via)

    @contextlib.contextmanager
    def opened(device: EquipmentName) -> Iterator[Runner]:
        with contextlib.ExitStack() as stack:
            access = reach.access(reach.equipment(device))
            if hasattr(access.dialer, "close"):
                stack.callback(access.dialer.close)
            runner = ssh_runner(access, device, min(access.connect_seconds, CONNECT_SECONDS))
            stack.callback(runner.close)
            yield runner

    return Effects(opened, time.monotonic, lambda: datetime.now(UTC), time.sleep, narrate)


def twin_authority(session: Session, instead: str) -> TunnelAuthority:
    """Return the authority of the twin; RefusedError on a live network, whose authority is the customer's."""
    if session.lab is None:
        msg = f"the certificates of the live network are its owner's to issue and to revoke; {instead}"
        raise RefusedError(msg)
    return authority_of(session.lab.folder)


@dataclass(frozen=True, slots=True)
class Row:
    """What is to be said of one firewall's certificate."""

    device: EquipmentName
    state: State | None
    """None when the device could not be asked."""
    why: str
    holding: Holding | None

    def document(self, now: datetime) -> dict[str, object]:
        """Return the row for `--json`."""
        certificate = self.holding.certificate if self.holding else None
        revocations = self.holding.revocations if self.holding else None
        update = revocations.next_update_utc if revocations else None
        return {
            "device": self.device,
            "state": self.state.value if self.state else "unreachable",
            "why": self.why,
            "issuer": certificate.issuer.rfc4514_string() if certificate else None,
            "key": self.key,
            "serial": f"{certificate.serial_number:x}" if certificate else None,
            "not_before": certificate.not_valid_before_utc.isoformat() if certificate else None,
            "not_after": certificate.not_valid_after_utc.isoformat() if certificate else None,
            "days_left": (certificate.not_valid_after_utc - now).days if certificate else None,
            "revocations_until": update.isoformat() if update else None,
        }

    @property
    def key(self) -> str | None:
        """Kind and size of the certificate's key, as `secp384r1`; None without a certificate."""
        if self.holding is None or self.holding.certificate is None:
            return None
        key = self.holding.certificate.public_key()
        curve = getattr(key, "curve", None)
        return str(curve.name) if curve is not None else f"{type(key).__name__} {getattr(key, 'key_size', '')}".strip()


def rows(found: Sequence[Holder], made: Effects, workers: int, horizon: timedelta = HORIZON) -> tuple[Row, ...]:
    """Return what each holds, asked side by side; one that cannot be asked is a row too."""

    def asked(one: Holder) -> Holding | str:
        try:
            with made.open(one.device) as device:
                return read(device, one.device)
        except (TransportError, DeviceError) as error:
            return str(error)

    with ThreadPoolExecutor(max_workers=max(1, min(workers, len(found)))) as pool:
        held = list(pool.map(asked, found))
    revoked = frozenset[int]().union(*(serials_of(one) for one in held if isinstance(one, Holding)))
    return tuple(
        Row(one.device, None, said, None)
        if isinstance(said, str)
        else Row(one.device, *judge(said, datetime.now(UTC), horizon, revoked), said)
        for one, said in zip(found, held, strict=True)
    )
