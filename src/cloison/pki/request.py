"""Certificate requests (PKCS #10, RFC 2986): the private key is made where it lives, and only the request travels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloison.errors import InputError, RefusedError
from cloison.pki.authority import issue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloison.pki.authority import Authority, Subject, Validity


def make_request(subject: Subject, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the PEM of a request for `subject`, signed with its own key."""
    names: list[x509.GeneralName] = [x509.DNSName(subject.name)]
    names += [x509.IPAddress(address) for address in subject.addresses]
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject.name)]))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA384())
    )
    return request.public_bytes(serialization.Encoding.PEM)


def issue_from_request(
    authority: Authority, request_pem: bytes, subject: Subject, validity: Validity, *, serial: int
) -> x509.Certificate:
    """Return a certificate for the key in the request, naming `subject` and nothing that the request adds.

    Who the requester is was settled before, over the pinned SSH connection the request came by: the request may ask
    for exactly `subject`'s names. Raises InputError when it cannot be read, RefusedError when its signature does not
    hold, its key is not on P-384, or it asks for other names.
    """
    try:
        request = x509.load_pem_x509_csr(request_pem)
        asked = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        asked = None
    except ValueError as error:
        msg = f"{subject.name}: the request cannot be read; expected a PEM PKCS #10 request"
        raise InputError(msg) from error
    key = request.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        msg = f"{subject.name}: the key of the request is not on the curve P-384; make a new key and ask again"
        raise RefusedError(msg)
    if not request.is_signature_valid:
        msg = f"{subject.name}: the request is not signed by the key it holds; make it again on the device"
        raise RefusedError(msg)
    wanted = {x509.DNSName(subject.name), *(x509.IPAddress(address) for address in subject.addresses)}
    if asked is not None and set(asked) != wanted:
        shown = ", ".join(sorted(str(name.value) for name in asked))
        msg = (
            f"{subject.name}: the request asks for {shown}; expected {', '.join(sorted(str(n.value) for n in wanted))}"
        )
        raise RefusedError(msg)
    return issue(authority, subject, key, validity, serial=serial)


def _shown(names: Iterable[x509.GeneralName]) -> str:
    return ", ".join(sorted(str(name.value) for name in names))
