"""Certificate requests (PKCS #10, RFC 2986): the private key is made where it lives, and only the request travels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloison.errors import InputError, RefusedError
from cloison.pki.authority import issue

if TYPE_CHECKING:
    from cloison.pki.authority import Authority, Subject, Validity

LIMIT_BYTES = 16 * 1024
"""A request for one name on P-384 has some 600."""
_EXTENSION_REQUEST = x509.ObjectIdentifier("1.2.840.113549.1.9.14")
"""PKCS #9 (RFC 2985 5.4.2): the attribute that carries the extensions asked for."""
_BEGIN = b"-----BEGIN CERTIFICATE REQUEST-----"


def check_request(pem: bytes, subject: Subject) -> ec.EllipticCurvePublicKey:
    """Return the key that a request asks a certificate for, which is exactly the one that `subject` should ask for.

    The request is text of somebody else: its subject has to be the one common name, its alternative names have to be
    the subject's and no other, and it may ask for nothing besides (a request for `CA:TRUE` is not quietly cut down, it
    is refused: whoever made it did not mean what we do). Raises InputError when it cannot be read, RefusedError when
    it asks for something else, is on another curve, or is not signed by the key it holds.
    """
    request = _read(pem, subject)
    try:
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        msg = f"{subject.name}: the key of the request cannot be read; expected one on the curve P-384"
        raise RefusedError(msg) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        msg = f"{subject.name}: the key of the request is not on the curve P-384; make a new key and ask again"
        raise RefusedError(msg)
    if not _is_signed(request):
        msg = f"{subject.name}: the request is not signed by the key it holds; make it again on the device"
        raise RefusedError(msg)
    _check_names(request, subject)
    return key


def issue_from_request(
    authority: Authority, request_pem: bytes, subject: Subject, validity: Validity, *, serial: int
) -> x509.Certificate:
    """Return a certificate for the key in the request, naming `subject` and nothing that the request adds.

    Who the requester is was settled before, over the pinned SSH connection the request came by. Raises as
    `check_request` does.
    """
    return issue(authority, subject, check_request(request_pem, subject), validity, serial=serial)


def _read(pem: bytes, subject: Subject) -> x509.CertificateSigningRequest:
    if len(pem) > LIMIT_BYTES:
        msg = f"{subject.name}: the request has {len(pem)} bytes; expected {LIMIT_BYTES} at most"
        raise InputError(msg)
    if pem.count(b"-----BEGIN") != 1 or _BEGIN not in pem:
        msg = f"{subject.name}: the request cannot be read; expected one PEM PKCS #10 request and nothing else"
        raise InputError(msg)
    try:
        return x509.load_pem_x509_csr(pem)
    except ValueError as error:
        msg = f"{subject.name}: the request cannot be read; expected a PEM PKCS #10 request"
        raise InputError(msg) from error


def _is_signed(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm):  # of an algorithm nobody should sign with
        return False


def _check_names(request: x509.CertificateSigningRequest, subject: Subject) -> None:
    """Raise RefusedError unless the request asks for the names of the subject, and for nothing else."""
    wanted = sorted([f"DNS {subject.name}", *(f"IP {address}" for address in subject.addresses)])
    try:
        common = [(part.oid, part.value) for part in request.subject]
        asked = {extension.oid: extension.value for extension in request.extensions}
        names = asked.pop(x509.SubjectAlternativeName.oid, None)
        others = [oid.dotted_string for oid in asked]
        others += [a.oid.dotted_string for a in request.attributes if a.oid != _EXTENSION_REQUEST]
    except (ValueError, x509.DuplicateExtension) as error:
        msg = f"{subject.name}: what the request asks for cannot be read"
        raise RefusedError(msg) from error
    if common != [(NameOID.COMMON_NAME, str(subject.name))]:
        msg = f"{subject.name}: the subject of the request is {request.subject.rfc4514_string()!r}; "
        msg += f"expected CN={subject.name} alone"
        raise RefusedError(msg)
    shown = sorted(_shown(name) for name in names) if isinstance(names, x509.SubjectAlternativeName) else []
    if shown != wanted:
        msg = f"{subject.name}: the request asks for {', '.join(shown) or 'no name'}; expected {', '.join(wanted)}"
        raise RefusedError(msg)
    if others:
        msg = f"{subject.name}: the request asks for {', '.join(sorted(others))} besides its names; expected nothing"
        raise RefusedError(msg)


def _shown(name: x509.GeneralName) -> str:
    kinds = {x509.DNSName: "DNS", x509.IPAddress: "IP"}
    return f"{kinds.get(type(name), type(name).__name__)} {name.value}"
