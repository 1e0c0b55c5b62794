"""The certificate authority of the twin: who may sign what, for whom, for how long; judged by OpenSSL as well."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

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
from cloison.pki.request import issue_from_request, make_request

START = datetime(2026, 1, 1, tzinfo=UTC)
LONG = Validity(START, START + timedelta(days=3650))
SHORT = Validity(START, START + timedelta(days=365))
GATEWAY = Subject(HostName("live-gateway.roussy-le-village"), (IPv4Address("10.56.1.34"),))


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
    leaf = issue_from_request(made.tls, make_request(GATEWAY, key), GATEWAY, SHORT, serial=14)
    assert leaf.public_key() == key.public_key()
    leaf.verify_directly_issued_by(made.tls.certificate)


def test_a_request_for_another_name_is_refused(made: Authorities) -> None:
    request = make_request(Subject(HostName("nvr.roussy-le-village")), new_key())
    with pytest.raises(RefusedError, match=r"asks for nvr\.roussy-le-village; expected"):
        issue_from_request(made.tls, request, GATEWAY, SHORT, serial=15)


def test_a_request_on_another_curve_is_refused(made: Authorities) -> None:
    request = make_request(GATEWAY, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(RefusedError, match="P-384"):
        issue_from_request(made.tls, request, GATEWAY, SHORT, serial=16)


def test_a_request_with_a_broken_signature_is_refused(made: Authorities) -> None:
    request = x509.load_pem_x509_csr(make_request(GATEWAY, new_key()))
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    pem = ssl.DER_cert_to_PEM_cert(bytes(der)).replace("CERTIFICATE", "CERTIFICATE REQUEST").encode()
    with pytest.raises(RefusedError, match="not signed by the key it holds"):
        issue_from_request(made.tls, pem, GATEWAY, SHORT, serial=17)


def test_what_is_no_request_is_an_input_error(made: Authorities) -> None:
    with pytest.raises(InputError, match=r"live-gateway\.roussy-le-village: the request cannot be read"):
        issue_from_request(made.tls, b"no request", GATEWAY, SHORT, serial=18)


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
