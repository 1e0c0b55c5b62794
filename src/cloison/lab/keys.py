"""The SSH keys of a twin: a host key a node, and those of who may log in. Made once, then kept."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cloison.errors import LabError
from cloison.model import EquipmentName, HostKeyFingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cloison.lab.folder import LabFolder

ENGINEER: Final = "engineer"
"""Who may change devices."""
AUDITOR: Final = "auditor"
"""Who may read them, with a key of their own."""
_FINGERPRINTS: Final = "host-keys.json"


@dataclass(frozen=True, slots=True)
class SshKey:
    """One ed25519 key pair."""

    file: Path
    """The private key, OpenSSH format, mode 0600."""
    private: bytes = field(repr=False)
    public: str
    """`ssh-ed25519 …`, with no comment."""

    @property
    def fingerprint(self) -> HostKeyFingerprint:
        """The SHA-256 fingerprint, as `ssh-keygen -l` prints it."""
        blob = base64.b64decode(self.public.split()[1])
        return HostKeyFingerprint("SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("="))


@dataclass(frozen=True, slots=True)
class LabKeys:
    """Every SSH key of a twin."""

    hosts: dict[EquipmentName, SshKey]
    engineer: SshKey
    auditor: SshKey


def ensure_keys(folder: LabFolder, nodes: Iterable[EquipmentName]) -> LabKeys:
    """Return the keys of the twin, those that are missing made anew; write the fingerprints of the host keys.

    Raises LabError when a key file is damaged.
    """
    _private_folder(folder.keys)
    hosts: dict[EquipmentName, SshKey] = {}
    for node in nodes:
        _private_folder(folder.keys / node.site)
        hosts[node] = _ensure(folder.keys / node.site / node.equipment)
    keys = LabKeys(hosts, _ensure(folder.keys / ENGINEER), _ensure(folder.keys / AUDITOR))
    fingerprints = {str(node): str(key.fingerprint) for node, key in sorted(hosts.items())}
    _write(folder.keys / _FINGERPRINTS, json.dumps(fingerprints, indent=1).encode() + b"\n")
    return keys


def host_key_fingerprints(folder: LabFolder) -> dict[EquipmentName, HostKeyFingerprint]:
    """Return the fingerprint of every node's host key, as the last `up` wrote them; LabError when there are none."""
    path = folder.keys / _FINGERPRINTS
    try:
        known = json.loads(path.read_bytes())
        return {EquipmentName(node): HostKeyFingerprint(print_) for node, print_ in known.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        msg = f"{path}: {error}; expected the fingerprints that `cloison lab up --name {folder.name}` writes"
        raise LabError(msg) from error


def client_key_file(folder: LabFolder, who: str) -> Path:
    """Return where the private key of `engineer` or `auditor` is."""
    if who not in {ENGINEER, AUDITOR}:
        msg = f"no key for {who!r}; expected {ENGINEER} or {AUDITOR}"
        raise LabError(msg)
    return folder.keys / who


def _private_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def _ensure(path: Path) -> SshKey:
    if not path.exists():
        made = Ed25519PrivateKey.generate()
        private = made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        public = made.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        _write(path.with_name(path.name + ".pub"), public + b"\n")
        _write(path, private)  # last: a key that is there has its other half
    try:
        public_text = path.with_name(path.name + ".pub").read_text(encoding="ascii").strip()
        key = SshKey(path, path.read_bytes(), public_text)
        _ = key.fingerprint
    except (OSError, ValueError, IndexError) as error:
        msg = f"{path}: {error}; remove it and its .pub, and `cloison lab up` makes a new pair"
        raise LabError(msg) from error
    return key


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, in one step for a reader."""
    fresh = path.with_name(f".{path.name}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as stream:
        stream.write(content)
    fresh.replace(path)
