"""The tunnel authority of a twin at work: what it has issued and revoked is kept in the twin's own untracked folder.

A live network has an authority of its own, which is not this one.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from pydantic import ValidationError

from cloison.errors import InputError, RefusedError
from cloison.model import EquipmentName, Model
from cloison.pki.authority import Authority, Subject, Validity, make_revocation_list
from cloison.pki.encoding import certificate_pem, fingerprint
from cloison.pki.request import issue_from_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIFETIME = timedelta(days=90)
"""Of a certificate and of a revocation list, as that of the certificates that public authorities issue."""
SLACK = timedelta(hours=1)
"""Before now: a node whose clock is a little behind has to believe a fresh certificate."""


class Issued(Model):
    """One certificate that was issued."""

    serial: int
    device: EquipmentName
    start: datetime
    end: datetime


class Revoked(Model):
    """One certificate that was revoked."""

    serial: int
    date: datetime


class Register(Model):
    """Everything that one authority remembers. It holds no key."""

    authority: str
    """SHA-256 of the authority's certificate: the register of another one says nothing."""
    issued: tuple[Issued, ...] = ()
    revoked: tuple[Revoked, ...] = ()
    number: int = 1
    """Of the last revocation list (RFC 5280 5.2.3); a list with a lower one is not believed any more."""


@dataclass(frozen=True, slots=True)
class TunnelAuthority:
    """Issues and revokes; every call reads and writes the register under a lock, so that two commands may run."""

    authority: Authority
    file: Path
    now: Callable[[], datetime]
    new_serial: Callable[[], int]

    def issue(self, device: EquipmentName, request_pem: bytes, lifetime: timedelta = LIFETIME) -> bytes:
        """Return the PEM of a certificate for the request of a device; see `check_request` for what is refused."""
        with self._opened() as register:
            validity = self._validity(lifetime)
            subject = Subject(device.host_name)
            made = issue_from_request(self.authority, request_pem, subject, validity, serial=self.new_serial())
            issued = Issued(serial=made.serial_number, device=device, start=validity.start, end=validity.end)
            self._keep(register.model_copy(update={"issued": (*register.issued, issued)}))
        return certificate_pem(made)

    def revoke(self, device: EquipmentName) -> tuple[int, ...]:
        """Revoke every certificate of a device that has not ended, for the next list; return the serials of all.

        Asked again, it changes nothing. Raises RefusedError when there is none.
        """
        with self._opened() as register:
            now = self.now()
            gone = {entry.serial for entry in register.revoked}
            found = [one.serial for one in register.issued if one.device == device and one.end > now]
            fresh = [serial for serial in found if serial not in gone]
            if not found:
                msg = f"{device}: it has no certificate to revoke; this authority has issued none that has not ended"
                raise RefusedError(msg)
            revoked = (*register.revoked, *(Revoked(serial=serial, date=now) for serial in fresh))
            self._keep(register.model_copy(update={"revoked": revoked}))
        return tuple(found)

    def new_revocations(self) -> bytes:
        """Return the PEM of a new revocation list, with a higher number than any before, good for LIFETIME from now."""
        with self._opened() as register:
            number = register.number + 1
            entries = [(entry.serial, entry.date) for entry in register.revoked]
            made = make_revocation_list(self.authority, entries, self._validity(LIFETIME), number=number)
            self._keep(register.model_copy(update={"number": number}))
        return made.public_bytes(serialization.Encoding.PEM)

    def register(self) -> Register:
        """Return everything it remembers."""
        with self._opened() as register:
            return register

    def _validity(self, lifetime: timedelta) -> Validity:
        """Return from a little before now to so long after, within the authority's own."""
        certificate, now = self.authority.certificate, self.now()
        start = max(now - SLACK, certificate.not_valid_before_utc)
        return Validity(start, min(now + lifetime, certificate.not_valid_after_utc))

    @contextmanager
    def _opened(self) -> Iterator[Register]:
        """Hold the lock; give what is kept, or an empty register when it is another authority's or there is none."""
        fd = os.open(self.file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield self._read()
        finally:
            os.close(fd)

    def _read(self) -> Register:
        mine = fingerprint(self.authority.certificate)
        try:
            kept = Register.model_validate_json(self.file.read_bytes())
        except FileNotFoundError:
            return Register(authority=mine)
        except (OSError, ValidationError) as error:
            msg = f"{self.file}: cannot be read as the register of an authority; expected what Cloison wrote there"
            raise InputError(msg) from error
        return kept if kept.authority == mine else Register(authority=mine)

    def _keep(self, register: Register) -> None:
        fresh = self.file.with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as stream:
            stream.write(register.model_dump_json(indent=1).encode() + b"\n")
            stream.flush()
            os.fsync(fd)
        fresh.replace(self.file)
