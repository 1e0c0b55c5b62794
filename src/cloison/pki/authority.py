"""The authorities and what they sign: certificates for TLS hosts and for tunnel ends (RFC 5280).

Dates, serial numbers and keys enter by argument, so the same arguments give the same certificate but for its signature.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloison.errors import InputError, RefusedError
from cloison.pki.encoding import new_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from ipaddress import IPv4Address

    from cryptography.hazmat.primitives.asymmetric import ec

    from cloison.model import HostName


class Purpose(StrEnum):
    """What a sub-authority signs for; a certificate of one purpose is worth nothing for the other."""

    TUNNEL = "tunnel"
    TLS = "tls"


_USAGES = {
    # id-kp-ipsecIKE (RFC 4945 5.1.3.12): no TLS library takes it for a server or a client.
    Purpose.TUNNEL: (ExtendedKeyUsageOID.IPSEC_IKE,),
    # Both: a device is a client of the log collector, and a host may be a server as well.
    Purpose.TLS: (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
}


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when a certificate or a revocation list may be relied on."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        """Raise InputError unless both are aware of their time zone and the end is after the start."""
        if self.start.tzinfo is None or self.end.tzinfo is None or self.start >= self.end:
            msg = f"validity {self.start} to {self.end}: expected two times with their zone, the end after the start"
            raise InputError(msg)


@dataclass(frozen=True, slots=True)
class Subject:
    """Who a certificate names: the equipment's host name, and the addresses a client may dial it by."""

    name: HostName
    addresses: tuple[IPv4Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that may sign others, with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    purpose: Purpose | None = None
    """None for the root, which signs sub-authorities alone."""


def make_root(
    name: str, validity: Validity, *, serial: int, key: ec.EllipticCurvePrivateKey | None = None
) -> Authority:
    """Return a self-signed root that may sign sub-authorities and nothing below them."""
    key = key or new_key()
    subject = _subject(name)
    builder = _builder(subject, key.public_key(), validity, serial).issuer_name(subject)
    builder = _as_authority(builder, path_length=1)
    return Authority(builder.sign(key, hashes.SHA384()), key)


def make_subordinate(
    root: Authority, purpose: Purpose, validity: Validity, *, serial: int, key: ec.EllipticCurvePrivateKey | None = None
) -> Authority:
    """Return the sub-authority of one purpose, signed by the root; its validity lies within the root's."""
    if root.purpose is not None:
        msg = f"{_common_name(root.certificate)}: a sub-authority cannot sign another; expected the root"
        raise RefusedError(msg)
    _check_within(validity, root)
    key = key or new_key()
    name = f"{_common_name(root.certificate)} {purpose.value}"
    builder = _as_authority(
        _signed_by(root, _builder(_subject(name), key.public_key(), validity, serial)), path_length=0
    )
    return Authority(builder.sign(root.key, hashes.SHA384()), key, purpose)


def issue(
    authority: Authority,
    subject: Subject,
    public_key: ec.EllipticCurvePublicKey,
    validity: Validity,
    *,
    serial: int,
) -> x509.Certificate:
    """Return a leaf certificate for `subject` under a sub-authority, good for that authority's purpose alone.

    The subject's DNS name and addresses are the alternative names (RFC 6125 6.4: clients look nowhere else).
    Raises RefusedError for the root, or for a validity that outlives the authority.
    """
    if authority.purpose is None:
        msg = f"{_common_name(authority.certificate)}: the root signs sub-authorities alone; expected one of them"
        raise RefusedError(msg)
    _check_within(validity, authority)
    names: list[x509.GeneralName] = [x509.DNSName(subject.name)]
    names += [x509.IPAddress(address) for address in subject.addresses]
    builder = _signed_by(authority, _builder(_subject(subject.name), public_key, validity, serial))
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(authority=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(_USAGES[authority.purpose]), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(authority.key, hashes.SHA384())


def make_revocation_list(
    authority: Authority, revoked: Sequence[tuple[int, datetime]], validity: Validity, *, number: int
) -> x509.CertificateRevocationList:
    """Return the authority's revocation list (RFC 5280 5): serial and date of each revoked certificate, and an expiry.

    The end of `validity` is the next update: a list past it must be read as no list at all.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(validity.start)
        .next_update(validity.end)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    for serial, date in sorted(revoked):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(date).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(authority.key, hashes.SHA384())


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _common_name(certificate: x509.Certificate) -> str:
    value = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return value if isinstance(value, str) else value.decode()


def _builder(
    subject: x509.Name, public_key: ec.EllipticCurvePublicKey, validity: Validity, serial: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(validity.start)
        .not_valid_after(validity.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _signed_by(authority: Authority, builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return builder.issuer_name(authority.certificate.subject).add_extension(identifier, critical=False)


def _as_authority(builder: x509.CertificateBuilder, *, path_length: int) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    return builder.add_extension(_key_usage(authority=True), critical=True)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _check_within(validity: Validity, authority: Authority) -> None:
    certificate = authority.certificate
    if validity.start < certificate.not_valid_before_utc or validity.end > certificate.not_valid_after_utc:
        msg = (
            f"validity {validity.start} to {validity.end} is not within that of {_common_name(certificate)}, "
            f"{certificate.not_valid_before_utc} to {certificate.not_valid_after_utc}"
        )
        raise RefusedError(msg)
