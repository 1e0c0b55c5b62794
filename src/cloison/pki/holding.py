"""What a device holds for its tunnels: its certificate, its key's public half, its revocation list; and what is due."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cloison.errors import DeviceError
from cloison.model import EquipmentName, Untrusted
from cloison.pki.on_device import READ

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

HORIZON = timedelta(days=30)
"""A third of a certificate's life: what is due is seen by four weekly audits before it ends, and there is time left
for an authority that answers by post."""
_LIMIT_BYTES = 256 * 1024
_PARTS = ("certificate", "key", "mode", "loaded", "authority", "revocations")
_MARK = re.compile(rb"^@(%s)$" % "|".join(_PARTS).encode(), re.MULTILINE)

_SERIAL = re.compile(rb"^(?:[0-9a-f]{2}:){0,20}[0-9a-f]{2}$", re.MULTILINE)


class Answer(Protocol):
    """What a finished command left."""

    @property
    def exit_status(self) -> int:
        """Its exit status."""

    @property
    def stdout(self) -> bytes:
        """Its output."""

    @property
    def stderr(self) -> bytes:
        """What it wrote on standard error."""


class Commands(Protocol):
    """Runs commands on one device, as `cloison.transport.base.Runner` does."""

    @property
    def place(self) -> str:
        """The device."""

    def run(self, arguments: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0) -> Answer:
        """Run one command to its end. Raises TransportError."""


class State(StrEnum):
    """What is to be said of a certificate."""

    OK = "ok"
    DUE = "within horizon"
    """It, or the revocation list that its peers are judged by, ends within the horizon."""
    EARLY = "not yet valid"
    EXPIRED = "expired"
    FACTORY = "factory default"
    """It is signed by itself: what a device comes with, and what no peer believes."""
    REVOKED = "revoked"
    WRONG = "wrong"
    """It is another's, or of another authority, or the device's key is not its key."""
    MISSING = "missing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Holding:
    """What one device holds. All of it is the device's word, but for signatures."""

    device: EquipmentName
    certificate: x509.Certificate | None
    authority: x509.Certificate | None
    """The one that its peers' certificates have to be of, which is the one of its own."""
    revocations: x509.CertificateRevocationList | None
    public_key: bytes
    """Of the private key that it has, as DER; empty when it has none."""
    key_mode: str
    """Mode and owner of the file of the private key, as `600 root`; empty when there is none."""
    loaded: frozenset[int]
    """The serial numbers of its certificates that its IKE daemon knows; none when the daemon does not answer."""
    unreadable: tuple[str, ...] = ()
    """What is there and cannot be read."""


def read(device: Commands, name: EquipmentName) -> Holding:
    """Return what a device holds. Raises DeviceError when its answer has no known form, TransportError."""
    answer = device.run(["sh", "-c", READ, "read", str(name.host_name)])
    if answer.exit_status != 0:
        said = Untrusted(answer.stderr).shown(300).strip()
        raise DeviceError(str(name), f"its certificate cannot be read: {said or f'status {answer.exit_status}'}")
    parts = _parts(name, answer.stdout)
    unreadable: list[str] = []
    authority = _certificate(parts["authority"], "authority's certificate", unreadable)
    certificate = _certificate(parts["certificate"], "certificate", unreadable)
    return Holding(
        device=name,
        certificate=certificate,
        authority=authority,
        revocations=_revocations(parts["revocations"], authority, unreadable),
        public_key=_public_key(parts["key"], unreadable),
        key_mode=Untrusted(parts["mode"]).shown(40).strip(),
        loaded=frozenset(int(line.replace(b":", b""), 16) for line in _SERIAL.findall(parts["loaded"])),
        unreadable=tuple(unreadable),
    )


def _parts(name: EquipmentName, answer: bytes) -> dict[str, bytes]:
    """Split the answer at its marks, which no PEM text holds."""
    if len(answer) > _LIMIT_BYTES:
        raise DeviceError(str(name), f"it answers {len(answer)} bytes for a certificate; expected a few thousand")
    parts: dict[str, bytes] = {}
    marked = _MARK.split(answer)[1:]
    for title, content in zip(marked[::2], marked[1::2], strict=True):
        if title.decode() in parts:
            raise DeviceError(str(name), f"it answers twice for its {title.decode()}")
        parts[title.decode()] = content
    if tuple(parts) != _PARTS:
        raise DeviceError(str(name), f"it answers {', '.join(parts) or 'nothing'} for a certificate")
    return parts


def _certificate(pem: bytes, what: str, unreadable: list[str]) -> x509.Certificate | None:
    if not pem.strip():
        return None
    try:
        made = x509.load_pem_x509_certificate(pem)
        _ = (made.not_valid_after_utc, made.subject.rfc4514_string(), list(made.extensions))
    except (ValueError, x509.DuplicateExtension, UnsupportedAlgorithm):
        unreadable.append(what)
        return None
    return made


def _revocations(
    pem: bytes, authority: x509.Certificate | None, unreadable: list[str]
) -> x509.CertificateRevocationList | None:
    """Return the list when it is the authority's; one that is not signed by it counts as unreadable."""
    if not pem.strip():
        return None
    try:
        made = x509.load_pem_x509_crl(pem)
        key = authority.public_key() if authority is not None else None
        if isinstance(key, ec.EllipticCurvePublicKey) and made.is_signature_valid(key):
            return made
    except (ValueError, UnsupportedAlgorithm):
        pass
    unreadable.append("revocation list")
    return None


def _public_key(pem: bytes, unreadable: list[str]) -> bytes:
    if not pem.strip():
        return b""
    try:
        return _der(serialization.load_pem_public_key(pem))
    except (ValueError, UnsupportedAlgorithm):
        unreadable.append("public key")
        return b""


def _der(key: object) -> bytes:
    """Return a public key on P-384 as DER; empty for any other."""
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        return b""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def faults_of(certificate: x509.Certificate, authority: x509.Certificate | None, name: EquipmentName) -> list[str]:
    """Return why a certificate cannot be the device's, whatever the date: its names, its authority, its key."""
    found = []
    try:
        names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    if names != [x509.DNSName(name.host_name)]:
        shown = ", ".join(str(one.value) for one in names) or "no name"
        found.append(f"it is for {Untrusted(shown).shown(200)}; expected {name.host_name}")
    if authority is None:
        found.append("the device has no certificate of the tunnel authority")
    else:
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            found.append("it was not issued by the tunnel authority that the device has")
    if not _der(certificate.public_key()):
        found.append("its key is not on the curve P-384")
    if certificate.signature_hash_algorithm is not None and not isinstance(
        certificate.signature_hash_algorithm, hashes.SHA384
    ):
        found.append(f"it is signed with {certificate.signature_hash_algorithm.name}; expected sha384")
    return found


def judge(
    holding: Holding, now: datetime, horizon: timedelta = HORIZON, revoked: Collection[int] = ()
) -> tuple[State, str]:
    """Return what is to be said of what a device holds, and why; the reason is empty when there is nothing.

    `revoked` are the serial numbers on the lists of its peers; its own it may not have been given.
    """
    certificate = holding.certificate
    if holding.unreadable:
        return State.UNREADABLE, f"its {', '.join(holding.unreadable)} cannot be read"
    if certificate is None:
        return State.MISSING, "it has no certificate"
    if certificate.issuer == certificate.subject:
        return State.FACTORY, "it is signed by itself"
    wrong = faults_of(certificate, holding.authority, holding.device)
    if holding.public_key != _der(certificate.public_key()):
        wrong.append("the device's private key is not its key" if holding.public_key else "the device has no key")
    if holding.key_mode not in {"600 root", ""}:
        wrong.append(f"the file of the private key is {holding.key_mode}; expected 600 root")
    if certificate.serial_number not in holding.loaded:
        wrong.append("the IKE daemon has not loaded it")
    if wrong:
        return State.WRONG, "; ".join(wrong)
    if certificate.serial_number in {*revoked, *serials_of(holding)}:
        return State.REVOKED, "a revocation list of its authority names it"
    return _by_date(certificate, holding.revocations, now, horizon)


def serials_of(holding: Holding) -> frozenset[int]:
    """Return the serial numbers on the revocation list that a device has."""
    return frozenset(entry.serial_number for entry in holding.revocations or ())


def _by_date(
    certificate: x509.Certificate,
    revocations: x509.CertificateRevocationList | None,
    now: datetime,
    horizon: timedelta,
) -> tuple[State, str]:
    if revocations is None or (update := revocations.next_update_utc) is None:
        return State.WRONG, "the device has no revocation list with an end: it believes no peer"
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    said = (
        (start > now, State.EARLY, f"it is valid from {start:%Y-%m-%d}"),
        (end <= now, State.EXPIRED, f"it ended on {end:%Y-%m-%d}"),
        (update <= now, State.EXPIRED, f"its revocation list ended on {update:%Y-%m-%d}"),
        (end <= now + horizon, State.DUE, f"it ends on {end:%Y-%m-%d}"),
        (update <= now + horizon, State.DUE, f"its revocation list ends on {update:%Y-%m-%d}"),
    )
    return next(((state, why) for is_so, state, why in said if is_so), (State.OK, ""))
