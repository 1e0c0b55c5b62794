"""Keys, certificates and requests as PEM (RFC 7468), in and out."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cloison.errors import InputError


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a fresh private key on the curve P-384 (ANSSI-BP-028 and the pilot's IKE proposal use the same)."""
    return ec.generate_private_key(ec.SECP384R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the private key as unencrypted PKCS #8: every daemon of the twin reads that form."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_key(pem: bytes, *, source: str) -> ec.EllipticCurvePrivateKey:
    """Return the private key in `pem`; raise InputError naming `source` unless it is an unencrypted P-384 key."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        msg = f"{source}: no private key can be read; expected an unencrypted PEM key"
        raise InputError(msg) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
        msg = f"{source}: the private key is not on the curve P-384; make a new one"
        raise InputError(msg)
    return key


def certificate_pem(*certificates: x509.Certificate) -> bytes:
    """Return the certificates as one PEM file, in the order given (a chain starts with the leaf)."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def load_certificate(pem: bytes, *, source: str) -> x509.Certificate:
    """Return the first certificate in `pem`; raise InputError naming `source` when there is none."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        msg = f"{source}: no certificate can be read; expected PEM"
        raise InputError(msg) from error


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the certificate's DER form, in lower-case hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()
