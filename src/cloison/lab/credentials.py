"""Everything secret of one twin: its authorities, certificates, SSH keys and passwords, made once and kept with it."""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509 import IPAddress, SubjectAlternativeName
from pydantic import ConfigDict, Field, ValidationError

from cloison.errors import LabError
from cloison.flow import Protocol
from cloison.lab.configure.rsyslog import SYSLOG_TLS_PORT
from cloison.lab.configure.sshd import SSH_PORT
from cloison.model import EquipmentName, HostKeyFingerprint, Model
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
from cloison.pki.encoding import certificate_pem, key_pem, load_certificate, load_key, new_key
from cloison.pki.holding import HORIZON
from cloison.pki.register import LIFETIME, SLACK, TunnelAuthority

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address
    from pathlib import Path

    from cloison.flow import Flow
    from cloison.intent.network import Equipment, Intent


class HostSecrets(Model):
    """What one equipment proves itself with; PEM, and OpenSSH's own form for the host key.

    The key of a tunnel is not among them: a firewall makes its own, and it stays there.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    tls_certificate: bytes
    tls_key: bytes = Field(repr=False)
    ssh_host_key: bytes = Field(repr=False)
    ssh_fingerprint: HostKeyFingerprint


class Credentials(Model):
    """Every secret of one twin. It is kept in the twin's own untracked folder, and read for no live network."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    expires: datetime
    """When the certificates and the revocation lists do."""
    root: bytes
    tls_authority: bytes
    tls_authority_key: bytes = Field(repr=False)
    tunnel_authority: bytes
    tunnel_authority_key: bytes = Field(repr=False)
    root_revocations: bytes
    tunnel_revocations: bytes
    hosts: dict[EquipmentName, HostSecrets]
    passwords: dict[EquipmentName, dict[str, str]] = Field(repr=False)
    """By server, then by user: a user is the host name of the client, and no password serves twice (R52)."""
    engineer_key: bytes = Field(repr=False)
    """Private, in OpenSSH's form, as the next."""
    auditor_key: bytes = Field(repr=False)
    engineer_public: str
    """One line of an `authorized_keys` file, as the next."""
    auditor_public: str


def make_credentials(
    intent: Intent, now: datetime, *, new_serial: Callable[[], int], new_password: Callable[[], str]
) -> Credentials:
    """Return fresh credentials for every equipment of the intent, good for LIFETIME from `now`.

    Keys are random in any case; serial numbers (RFC 5280 4.1.2.2: positive, at most 20 octets) and passwords come from
    the two callables.
    """
    validity = Validity(now - SLACK, now + LIFETIME)
    # The authorities outlive what they sign: a certificate is renewed on the last day of these credentials too.
    lasting = Validity(now - SLACK, now + 2 * LIFETIME)
    root = make_root(f"{intent.network} twin", lasting, serial=new_serial())
    tls = make_subordinate(root, Purpose.TLS, lasting, serial=new_serial())
    tunnel = make_subordinate(root, Purpose.TUNNEL, lasting, serial=new_serial())
    hosts = {
        equipment.name: _host(equipment, tls, validity, new_serial) for equipment in intent.equipment_by_name.values()
    }
    engineer_key, engineer_public = _ssh_key("engineer")
    auditor_key, auditor_public = _ssh_key("auditor")
    return Credentials(
        expires=validity.end,
        root=certificate_pem(root.certificate),
        tls_authority=certificate_pem(tls.certificate),
        tls_authority_key=key_pem(tls.key),
        tunnel_authority=certificate_pem(tunnel.certificate),
        tunnel_authority_key=key_pem(tunnel.key),
        root_revocations=_nothing_revoked(root, validity),
        tunnel_revocations=_nothing_revoked(tunnel, validity),
        hosts=hosts,
        passwords=_passwords(intent, new_password),
        engineer_key=engineer_key,
        auditor_key=auditor_key,
        engineer_public=engineer_public,
        auditor_public=auditor_public,
    )


def _nothing_revoked(authority: Authority, validity: Validity) -> bytes:
    crl = make_revocation_list(authority, [], validity, number=1)
    return crl.public_bytes(serialization.Encoding.PEM)


def _host(
    equipment: Equipment,
    tls: Authority,
    validity: Validity,
    new_serial: Callable[[], int],
) -> HostSecrets:
    addresses: tuple[IPv4Address, ...] = (equipment.address,) if equipment.address else ()
    subject = Subject(equipment.name.host_name, addresses)
    key = new_key()
    certificate = issue(tls, subject, key.public_key(), validity, serial=new_serial())
    ssh_host_key, ssh_public = _ssh_key(str(subject.name))
    return HostSecrets(
        tls_certificate=certificate_pem(certificate),
        tls_key=key_pem(key),
        ssh_host_key=ssh_host_key,
        ssh_fingerprint=fingerprint_of(ssh_public),
    )


def _ssh_key(comment: str) -> tuple[bytes, str]:
    """Return a fresh ed25519 key: its private form, and its public line."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private, f"{public.decode()} {comment}"


def fingerprint_of(public_line: str) -> HostKeyFingerprint:
    """Return the SHA-256 fingerprint of a line `<type> <base64> …`, as `ssh-keygen -l` prints it."""
    blob = base64.b64decode(public_line.split()[1])
    return HostKeyFingerprint(f"SHA256:{base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}")


def _passwords(intent: Intent, new_password: Callable[[], str]) -> dict[EquipmentName, dict[str, str]]:
    passwords: dict[EquipmentName, dict[str, str]] = {}
    for flow in intent.flows:
        if asks_for_password(flow):
            users = passwords.setdefault(flow.destination.name, {})
            user = str(flow.source.name.host_name)
            if user not in users:
                users[user] = new_password()
    return passwords


def asks_for_password(flow: Flow) -> bool:
    """Tell whether the server of this flow knows its clients by a password: video and web pages."""
    return flow.service.protocol is Protocol.TCP and flow.service.port not in {SSH_PORT, SYSLOG_TLS_PORT}


def keep(folder: Path, credentials: Credentials) -> None:
    """Write the credentials, and both SSH keys as files of their own, into the twin's folder, for root's eyes alone."""
    written = {
        "credentials.json": credentials.model_dump_json().encode(),
        "keys/engineer": credentials.engineer_key,
        "keys/auditor": credentials.auditor_key,
        "keys/engineer.pub": f"{credentials.engineer_public}\n".encode(),
        "keys/auditor.pub": f"{credentials.auditor_public}\n".encode(),
    }
    (folder / "keys").mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in written.items():
        path = folder / name
        fresh = path.with_name(f".{path.name}.new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as stream:
            stream.write(content)
        fresh.replace(path)


def kept(folder: Path) -> Credentials | None:
    """Return the credentials that were kept in the twin's folder; None when there are none.

    Raises LabError when the file cannot be understood.
    """
    path = folder / "credentials.json"
    try:
        return Credentials.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        msg = f"{path}: cannot be read as the credentials of a twin; delete it, and `cloison lab up` makes new ones"
        raise LabError(msg) from error


def tunnel_authority(
    folder: Path, credentials: Credentials, now: Callable[[], datetime], new_serial: Callable[[], int]
) -> TunnelAuthority:
    """Return the authority that issues the certificates of a twin's tunnels, with its register in the twin's folder."""
    authority = Authority(
        load_certificate(credentials.tunnel_authority, source="the tunnel authority"),
        load_key(credentials.tunnel_authority_key, source="the key of the tunnel authority"),
        Purpose.TUNNEL,
    )
    return TunnelAuthority(authority, folder / "tunnel-register.json", now, new_serial)


def still_serve(credentials: Credentials, intent: Intent, now: datetime) -> bool:
    """Tell whether the credentials fit the intent (every equipment, address and user) and are not due tomorrow."""
    passwords = {
        (flow.destination.name, str(flow.source.name.host_name)) for flow in intent.flows if asks_for_password(flow)
    }
    known = {(server, user) for server, users in credentials.passwords.items() for user in users}
    return (
        now + HORIZON + timedelta(days=1) < credentials.expires
        and passwords == known
        and all(_fits(credentials, equipment) for equipment in intent.equipment_by_name.values())
    )


def _fits(credentials: Credentials, equipment: Equipment) -> bool:
    host = credentials.hosts.get(equipment.name)
    if host is None:
        return False
    names = load_certificate(host.tls_certificate, source=str(equipment.name)).extensions
    shown = names.get_extension_for_class(SubjectAlternativeName).value.get_values_for_type(IPAddress)
    return shown == ([equipment.address] if equipment.address else [])
