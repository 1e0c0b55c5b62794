"""Revocation lists, brought to the firewalls: what is on one ends there, and cannot come up again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from cloison.errors import DeviceError, InputError, RefusedError, TransportError
from cloison.pki.holding import read
from cloison.pki.renewal import act

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from cloison.model import EquipmentName, Name
    from cloison.pki.holding import Holding
    from cloison.pki.renewal import Effects, Holder


@dataclass(frozen=True, slots=True)
class Published:
    """Who has a revocation list now."""

    number: int
    told: tuple[EquipmentName, ...]
    failed: dict[EquipmentName, str]
    """Who could not be given it, and why."""


def publish(holder: EquipmentName, effects: Effects, revocations: bytes, ended: Sequence[Name]) -> None:
    """Give a device a revocation list, and have it end these connections: whoever it names cannot come back.

    Raises DeviceError, TransportError.
    """
    with effects.open(holder) as device:
        act(device, holder, "revocations", *map(str, ended), stdin=revocations)


def publish_list(holders: Sequence[Holder], effects: Effects, pem: bytes, now: datetime) -> Published:
    """Give every holder a list that somebody else made, and end the connections with whoever it names.

    The list has to be signed by the authority that the firewalls have, to be in force, and to have a higher number
    than theirs. Raises InputError when it cannot be read, RefusedError when it is not such a list; a device that
    cannot be asked is among those that failed.
    """
    made = _loaded(pem)
    held: dict[EquipmentName, Holding] = {}
    failed: dict[EquipmentName, str] = {}
    for one in holders:
        try:
            with effects.open(one.device) as device:
                held[one.device] = read(device, one.device)
        except (DeviceError, TransportError) as error:
            failed[one.device] = str(error)
    for holding in held.values():
        _check(made, holding, now)
    gone = {
        name
        for name, holding in held.items()
        if holding.certificate
        and made.get_revoked_certificate_by_serial_number(holding.certificate.serial_number) is not None
    }
    told, untold = give([one for one in holders if one.device in held], gone, effects, pem)
    return Published(_number(made), told, failed | untold)


def give(
    holders: Sequence[Holder], gone: Collection[EquipmentName], effects: Effects, pem: bytes
) -> tuple[tuple[EquipmentName, ...], dict[EquipmentName, str]]:
    """Give a list to every holder, and end the connections with the devices that are gone.

    Return who has it now, and why the others have not.
    """
    told: list[EquipmentName] = []
    failed: dict[EquipmentName, str] = {}
    for one in holders:
        effects.narrate(f"{one.device}: revocation list")
        try:
            publish(one.device, effects, pem, [link.name for link in one.connections if link.peer in gone])
            told.append(one.device)
        except (DeviceError, TransportError) as error:
            failed[one.device] = str(error)
    return tuple(told), failed


def _loaded(pem: bytes) -> x509.CertificateRevocationList:
    try:
        made = x509.load_pem_x509_crl(pem)
        _ = (made.next_update_utc, list(made.extensions))
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        msg = "the revocation list cannot be read; expected PEM (openssl crl -inform DER -in FILE makes it)"
        raise InputError(msg) from error
    return made


def _number(made: x509.CertificateRevocationList) -> int:
    """Return the number of a list; 0 when it has none (RFC 5280 5.2.3 asks for one)."""
    try:
        return made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return 0


def _check(made: x509.CertificateRevocationList, holding: Holding, now: datetime) -> None:
    """Raise RefusedError unless the list may take the place of the one that a device has."""
    key = holding.authority.public_key() if holding.authority else None
    wrong = ""
    if not isinstance(key, ec.EllipticCurvePublicKey) or not made.is_signature_valid(key):
        wrong = "it is not signed by the tunnel authority that the device has"
    elif made.next_update_utc is None or made.next_update_utc <= now:
        wrong = "it is past its next update: with it no tunnel would come up any more"
    elif holding.revocations is not None and _number(made) <= _number(holding.revocations):
        wrong = f"its number is {_number(made)}; the device has {_number(holding.revocations)}"
    if wrong:
        msg = f"{holding.device}: the revocation list is refused: {wrong}"
        raise RefusedError(msg)
