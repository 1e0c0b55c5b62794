"""The certificate authority of the twin: who may sign what, for whom, for how long; judged by OpenSSL as well."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID, NameOID

from cloison.errors import InputError, RefusedError
from cloison.model import HostName
from cloison.pki.authority import (
    Authority,
    Purpose,
    Subject,
    Validity,
    issue,
    make_revocation_list,
    make_root,
    make_subordinate,
)
from cloison.pki.encoding import certificate_pem, fingerprint, key_pem, load_certificate, load_key, new_key
from cloison.pki.request import issue_from_request

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

START = datetime(2026, 1, 1, tzinfo=UTC)
LONG = Validity(START, START + timedelta(days=3650))
SHORT = Validity(START, START + timedelta(days=365))
GATEWAY = Subject(HostName("live-gateway.roussy-le-village"), (IPv4Address("10.56.1.34"),))


NAMES: tuple[x509.GeneralName, ...] = (
    x509.DNSName("live-gateway.roussy-le-village"),
    x509.IPAddress(IPv4Address("10.56.1.34")),
)


@dataclass(frozen=True)
class Asked:
    """What a request asks for: by default what it should."""

    common: str | None = "live-gateway.roussy-le-village"
    organisation: str | None = None
    names: tuple[x509.GeneralName, ...] = NAMES
    extra: x509.ExtensionType | None = None
    challenge: bytes | None = None
    key: CertificateIssuerPrivateKeyTypes = field(default_factory=new_key)

    def pem(self) -> bytes:
        parts = [(NameOID.COMMON_NAME, self.common), (NameOID.ORGANIZATION_NAME, self.organisation)]
        subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value is not None])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        if self.names:
            builder = builder.add_extension(x509.SubjectAlternativeName(self.names), critical=False)
        if self.extra is not None:
            builder = builder.add_extension(self.extra, critical=False)
        if self.challenge is not None:
            builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, self.challenge)
        algorithm = None if isinstance(self.key, ed25519.Ed25519PrivateKey) else hashes.SHA384()
        return builder.sign(self.key, algorithm).public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class Authorities:
    """A root and its two sub-authorities, made once."""

    root: Authority
    tls: Authority
    tunnel: Authority


@pytest.fixture(scope="module")
def made() -> Authorities:
    """Return the three authorities."""
    root = make_root("twin", LONG, serial=1)
    return Authorities(
        root,
        make_subordinate(root, Purpose.TLS, LONG, serial=2),
        make_subordinate(root, Purpose.TUNNEL, LONG, serial=3),
    )


def test_a_tls_certificate_names_the_equipment_and_its_addresses(made: Authorities) -> None:
    leaf = issue(made.tls, GATEWAY, new_key().public_key(), SHORT, serial=10)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["live-gateway.roussy-le-village"]
    assert names.get_values_for_type(x509.IPAddress) == [IPv4Address("10.56.1.34")]
    usages = list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert usages == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    assert (leaf.not_valid_before_utc, leaf.not_valid_after_utc, leaf.serial_number) == (SHORT.start, SHORT.end, 10)


def test_a_tunnel_certificate_is_for_ike_alone(made: Authorities) -> None:
    leaf = issue(made.tunnel, Subject(HostName("firewall.crisis-cell")), new_key().public_key(), SHORT, serial=11)
    assert list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.IPSEC_IKE]


def test_each_signature_holds_under_its_issuer_and_under_no_other(made: Authorities) -> None:
    leaf = issue(made.tls, GATEWAY, new_key().public_key(), SHORT, serial=12)
    leaf.verify_directly_issued_by(made.tls.certificate)
    made.tls.certificate.verify_directly_issued_by(made.root.certificate)
    with pytest.raises((InvalidSignature, ValueError)):
        leaf.verify_directly_issued_by(made.tunnel.certificate)


def test_the_same_arguments_give_the_same_certificate_but_for_the_signature(made: Authorities) -> None:
    public = new_key().public_key()
    one, two = (issue(made.tls, GATEWAY, public, SHORT, serial=13) for _ in range(2))
    assert one.tbs_certificate_bytes == two.tbs_certificate_bytes


def test_a_sub_authority_may_sign_no_other_and_a_root_no_leaf(made: Authorities) -> None:
    with pytest.raises(RefusedError, match="expected the root"):
        make_subordinate(made.tls, Purpose.TLS, LONG, serial=4)
    with pytest.raises(RefusedError, match="signs sub-authorities alone"):
        issue(made.root, GATEWAY, new_key().public_key(), SHORT, serial=5)
    constraints = made.tls.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)


def test_nothing_outlives_its_issuer(made: Authorities) -> None:
    with pytest.raises(RefusedError, match="is not within that of twin tls"):
        issue(made.tls, GATEWAY, new_key().public_key(), Validity(START, LONG.end + timedelta(days=1)), serial=6)


@pytest.mark.parametrize(
    ("start", "end"),
    [(START, START), (START, START - timedelta(days=1)), (datetime(2026, 1, 1), START)],  # noqa: DTZ001  the point
)
def test_a_validity_needs_zones_and_an_end_after_its_start(start: datetime, end: datetime) -> None:
    with pytest.raises(InputError, match="expected two times with their zone"):
        Validity(start, end)


def test_a_request_gets_a_certificate_for_its_own_key(made: Authorities) -> None:
    key = new_key()
    leaf = issue_from_request(made.tls, Asked(key=key).pem(), GATEWAY, SHORT, serial=14)
    assert leaf.public_key() == key.public_key()
    leaf.verify_directly_issued_by(made.tls.certificate)


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        (Asked(common="nvr.roussy-le-village"), "the subject of the request is 'CN=nvr"),
        (Asked(organisation="Moselle"), "expected CN=live-gateway.roussy-le-village alone"),
        (Asked(common=None), "the subject of the request is ''"),
        (Asked(names=(x509.DNSName("nvr.roussy-le-village"),)), "asks for DNS nvr.roussy-le-village; expected"),
        (Asked(names=(*NAMES, x509.DNSName("nvr.roussy-le-village"))), "asks for DNS live-gateway.*, DNS nvr"),
        (Asked(names=(*NAMES, x509.RFC822Name("a@b.example"))), "RFC822Name a@b.example"),
        (Asked(names=NAMES[:1]), "asks for DNS live-gateway.roussy-le-village; expected"),
        (Asked(names=()), "asks for no name"),
        (Asked(extra=x509.BasicConstraints(ca=True, path_length=None)), "asks for 2.5.29.19 besides"),
        (Asked(extra=x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])), "asks for 2.5.29.37 besides"),
        (Asked(challenge=b"secret"), "asks for 1.2.840.113549.1.9.7 besides"),
        (Asked(key=ec.generate_private_key(ec.SECP256R1())), "P-384"),
        (Asked(key=rsa.generate_private_key(65537, 2048)), "P-384"),
        (Asked(key=ed25519.Ed25519PrivateKey.generate()), "P-384"),
    ],
)
def test_a_request_that_asks_for_anything_else_is_refused(made: Authorities, asked: Asked, match: str) -> None:
    with pytest.raises(RefusedError, match=match):
        issue_from_request(made.tls, asked.pem(), GATEWAY, SHORT, serial=15)


def test_a_request_with_a_broken_signature_is_refused(made: Authorities) -> None:
    der = bytearray(x509.load_pem_x509_csr(Asked().pem()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    pem = ssl.DER_cert_to_PEM_cert(bytes(der)).replace("CERTIFICATE", "CERTIFICATE REQUEST").encode()
    with pytest.raises(RefusedError, match="not signed by the key it holds"):
        issue_from_request(made.tls, pem, GATEWAY, SHORT, serial=17)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"no request",
        b"A" * 1_048_576,
        b"-----BEGIN CERTIFICATE REQUEST-----\n" + b"QUJD" * 1000 + b"\n-----END CERTIFICATE REQUEST-----\n",
        b"-----BEGIN CERTIFICATE REQUEST-----\n",
        Asked().pem() * 2,
        Asked().pem()[:-60],
        certificate_pem(make_root("a certificate", LONG, serial=1).certificate),
    ],
    ids=["nothing", "words", "a megabyte", "base64", "half", "two", "cut short", "certificate"],
)
def test_what_is_no_request_is_an_input_error(made: Authorities, garbage: bytes) -> None:
    with pytest.raises(InputError, match=r"live-gateway\.roussy-le-village: the request ") as caught:
        issue_from_request(made.tls, garbage, GATEWAY, SHORT, serial=18)
    assert not isinstance(caught.value, RefusedError)
    assert len(str(caught.value)) < 200


def test_a_revocation_list_names_serials_and_expires(made: Authorities) -> None:
    date = START + timedelta(days=2)
    crl = make_revocation_list(made.tunnel, [(99, date), (12, date)], SHORT, number=7)
    assert [entry.serial_number for entry in crl] == [12, 99]
    assert crl.next_update_utc == SHORT.end
    public = made.tunnel.key.public_key()
    assert crl.is_signature_valid(public)
    assert not crl.is_signature_valid(made.tls.key.public_key())


def test_keys_and_certificates_survive_pem(made: Authorities) -> None:
    key = new_key()
    again = load_key(key_pem(key), source="gateway.key")
    assert again.private_numbers() == key.private_numbers()
    assert load_certificate(certificate_pem(made.tls.certificate), source="tls.pem") == made.tls.certificate
    assert fingerprint(made.tls.certificate) == made.tls.certificate.fingerprint(hashes.SHA256()).hex()


def test_a_key_that_cannot_be_used_names_its_source() -> None:
    with pytest.raises(InputError, match=r"gateway\.key: no private key"):
        load_key(b"", source="gateway.key")
    small = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(InputError, match=r"gateway\.key: .* P-384"):
        load_key(key_pem(small), source="gateway.key")
    with pytest.raises(InputError, match=r"gateway\.pem: no certificate"):
        load_certificate(b"-----BEGIN", source="gateway.pem")


def test_no_private_key_shows_in_a_representation(made: Authorities) -> None:
    assert "key=" not in repr(made.tls)
