"""What a node shows to prove who it is, and whom it believes: certificate, key, authority."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloison.lab.service import NodeFile

if TYPE_CHECKING:
    from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """A TLS certificate with its key, and the authority that its holder accepts others by; all PEM."""

    certificate: bytes
    key: bytes = field(repr=False)
    authority: bytes

    def files(self, folder: PurePosixPath, *, owner: str = "root") -> tuple[NodeFile, ...]:
        """Return `certificate.pem`, `key.pem` and `authority.pem` of the folder; only `owner` reads the key."""
        return (
            NodeFile(folder / "certificate.pem", self.certificate, 0o644),
            NodeFile(folder / "key.pem", self.key, 0o600, owner),
            NodeFile(folder / "authority.pem", self.authority, 0o644),
        )
