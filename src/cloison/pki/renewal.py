"""A new certificate put in force on a device, and kept once every tunnel has authenticated with it, at both ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives import serialization

from cloison.errors import DeviceError, HostKeyError, InputError, RefusedError, TransportError
from cloison.model import EquipmentName, Name, Untrusted
from cloison.pki.authority import Subject
from cloison.pki.encoding import certificate_pem, load_certificate
from cloison.pki.holding import Answer, Commands, faults_of, read
from cloison.pki.on_device import ACT
from cloison.pki.request import LIMIT_BYTES, check_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

VERIFY_SECONDS = 15.0
"""How long the tunnels may take to authenticate, and VERIFY_SECONDS_EACH for each of them besides: a tunnel is back in
0.3 s (measured), a peer that was refused asks again after 1 s, a connection into a tunnel that is down ends after 5."""
VERIFY_SECONDS_EACH = 0.5
GOING_BACK_SECONDS = 20
"""The rest of a trial, for telling the device to keep the certificate or to go back. Told neither, it goes back."""
_PAUSE_SECONDS = 0.2
_ASSOCIATION = re.compile(
    r"(?P<name>[a-z][a-z0-9-]{0,62}) \{uniqueid=\d+ version=2 state=ESTABLISHED [^{}]*?"
    r"initiator-spi=(?P<one>[0-9a-f]{16}) responder-spi=(?P<other>[0-9a-f]{16})"
    r"[^{}]*\{(?P<children>(?:[^{}]|\{[^{}]*\})*)\}"
)


@dataclass(frozen=True, slots=True)
class Connection:
    """One tunnel of a device, as its IKE daemon and that of its peer call it."""

    name: Name
    peer: EquipmentName
    initiates: bool
    """True when the device opens it, False when the peer does."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A device that holds a certificate, and the tunnels it is for."""

    device: EquipmentName
    connections: tuple[Connection, ...]

    @property
    def verify_seconds(self) -> float:
        """How long all of its tunnels together may take to authenticate."""
        return VERIFY_SECONDS + VERIFY_SECONDS_EACH * len(self.connections)

    @property
    def trial_seconds(self) -> int:
        """How long the device tries a certificate that nobody keeps."""
        return int(self.verify_seconds) + GOING_BACK_SECONDS


class Open(Protocol):
    """Opens a fresh connection to a device, released at the end of the context. Raises TransportError."""

    def __call__(self, device: EquipmentName) -> AbstractContextManager[Commands]:
        """Return what runs commands there."""


@dataclass(frozen=True, slots=True)
class Effects:
    """Everything outside of this module, so that tests may give their own."""

    open: Open
    monotonic: Callable[[], float]
    now: Callable[[], datetime]
    """With a zone."""
    sleep: Callable[[float], None]
    narrate: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Renewed:
    """What became of a device's certificate."""

    device: EquipmentName
    certificate: x509.Certificate
    verified: tuple[Name, ...]
    """The tunnels that were up before, and have authenticated anew, the same association at both ends."""
    down: tuple[Name, ...]
    """The tunnels that were down before: nothing is known of them."""
    seconds: float
    """From the load of the certificate to the last of them."""


def act(device: Commands, holder: EquipmentName, verb: str, *arguments: str, stdin: bytes = b"") -> str:
    """Run one verb of the script on a device; return what it says. Raises DeviceError with its words, TransportError.

    The answer is at most LIMIT_BYTES long, but for the list of associations.
    """
    answer: Answer = device.run(
        ["sh", "-c", ACT, "cloison-certificate", ACT, verb, str(holder.host_name), *arguments], stdin=stdin
    )
    if answer.exit_status != 0:
        said = Untrusted(answer.stderr or answer.stdout).shown(300).strip()
        raise DeviceError(device.place, f"{verb}: {said or f'status {answer.exit_status}'}")
    if verb != "associations" and len(answer.stdout) > LIMIT_BYTES:
        raise DeviceError(device.place, f"{verb}: it answers {len(answer.stdout)} bytes")
    return answer.stdout.decode("ascii", "backslashreplace")


def request_key(device: Commands, name: EquipmentName, *, fresh: bool) -> bytes:
    """Return the request of a device for its next key, which is made there; checked.

    Not `fresh`, it is the one of the key that waits for its certificate already, where there is one. Raises
    DeviceError when the device asks for something else than its own name on P-384.
    """
    asked = act(device, name, "request", "fresh" if fresh else "pending").encode()
    _key_asked_for(asked, name)
    return asked


def _key_asked_for(asked: bytes, name: EquipmentName) -> ec.EllipticCurvePublicKey:
    """Return the key of a device's request; DeviceError when it asks for anything but what it should."""
    try:
        return check_request(asked, Subject(name.host_name))
    except InputError as error:
        raise DeviceError(str(name), f"its request is not what it should be: {error}") from error


def place(device: Commands, name: EquipmentName, certificate: bytes) -> None:
    """Put the first certificate of a device in its place, for the key whose request was the last."""
    act(device, name, "place", stdin=certificate)


def renew(holder: Holder, effects: Effects, issue: Callable[[bytes], bytes]) -> Renewed:
    """Have a device make a new key and put it in force with the certificate that `issue` returns for its request.

    Raises what `install` raises, and RefusedError of the authority.
    """
    effects.narrate(f"{holder.device}: new key")
    with effects.open(holder.device) as device:
        asked = request_key(device, holder.device, fresh=True)
    return install(holder, effects, issue(asked))


def install(holder: Holder, effects: Effects, certificate: bytes) -> Renewed:
    """Put a certificate in force for the key that waits for it; keep it once every tunnel is up with it.

    Every connection that was established has to be established anew, the same association at both ends. Otherwise the
    device goes back, as it does by itself when it hears nothing. Raises RefusedError for a certificate that is not
    for this key and this device, DeviceError when it went back, TransportError when nobody could ask.
    """
    with effects.open(holder.device) as device:
        leaf = _checked(device, holder.device, certificate, effects.now())
        before = associations(device, holder.device)
        up = tuple(one for one in holder.connections if one.name in before)
        effects.narrate(f"{holder.device}: {leaf.serial_number:x} on trial for {holder.trial_seconds} s")
        act(device, holder.device, "attempt", str(holder.trial_seconds), stdin=certificate_pem(leaf))
    started = effects.monotonic()
    try:
        missing = _await(holder, effects, before, started)
    except BaseException:
        _go_back(holder, effects)
        raise
    if missing:
        _go_back(holder, effects)
        why = _outcome(holder, effects)
        raise DeviceError(
            str(holder.device),
            f"the certificate before is in force: {', '.join(missing)} did not authenticate with the new one ({why})",
        )
    took = effects.monotonic() - started
    with effects.open(holder.device) as device:
        said = act(device, holder.device, "keep").strip()
    if said != "kept":
        shown = Untrusted(said).shown(300)
        raise DeviceError(str(holder.device), f"the certificate before is in force: {shown}")
    down = tuple(one.name for one in holder.connections if one.name not in before)
    return Renewed(holder.device, leaf, tuple(one.name for one in up), down, took)


def _checked(device: Commands, name: EquipmentName, certificate: bytes, now: datetime) -> x509.Certificate:
    """Return the certificate, which is for the key that waits on the device; RefusedError otherwise."""
    leaf = load_certificate(certificate, source=f"the certificate for {name}")
    pending = act(device, name, "pending").encode()
    if not pending:
        msg = f"{name}: no key waits for a certificate there; make one with `cloison certificates request {name}`"
        raise RefusedError(msg)
    key = _key_asked_for(pending, name)
    wrong = faults_of(leaf, read(device, name).authority, name)
    spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if not wrong and leaf.public_key().public_bytes(*spki) != key.public_bytes(*spki):
        wrong.append("it is for another key than the one that waits on the device")
    start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if not start <= now < end:
        wrong.append(f"it is good from {start:%Y-%m-%d} to {end:%Y-%m-%d}, and not now")
    if wrong:
        msg = f"{name}: the certificate is refused: {'; '.join(wrong)}"
        raise RefusedError(msg)
    return leaf


def associations(device: Commands, name: EquipmentName) -> dict[str, tuple[str, str]]:
    """Return the SPIs of each connection that is established on a device and carries an installed child."""
    text = act(device, name, "associations")
    return {
        found["name"]: (found["one"], found["other"])
        for found in _ASSOCIATION.finditer(text)
        if "state=INSTALLED" in found["children"]
    }


def _await(holder: Holder, effects: Effects, before: dict[str, tuple[str, str]], started: float) -> list[str]:
    """Return the tunnels that were up and have not authenticated anew in time; none once the device has loaded it."""
    waiting = [one for one in holder.connections if one.name in before]
    unasked = [one for one in waiting if not one.initiates]
    said = "loading"
    while effects.monotonic() - started < holder.verify_seconds:
        try:
            with effects.open(holder.device) as device:
                said = act(device, holder.device, "state").strip()
                here = associations(device, holder.device)
            if said == "trying":
                _ask(effects, unasked, holder.trial_seconds * 2)
                anew = [one for one in waiting if one.name in here and here[one.name] != before[one.name]]
                for one in anew:
                    if _same_there(effects, one, here[one.name]):
                        effects.narrate(f"{holder.device}: {one.name} has authenticated, at both ends")
                        waiting.remove(one)
        except HostKeyError:
            raise
        except (TransportError, DeviceError):  # the way there may be the tunnel itself
            pass
        if said.startswith("back") or (said == "trying" and not waiting):
            break
        effects.sleep(_PAUSE_SECONDS)
    return sorted(one.name for one in waiting) if said == "trying" else ["the IKE daemon"]


def _ask(effects: Effects, unasked: list[Connection], seconds: int) -> None:
    """Ask each peer that opens a tunnel to open it anew; one that was asked is not asked again."""
    while unasked:
        one = unasked[0]
        with effects.open(one.peer) as peer:
            act(peer, one.peer, "authenticate", str(one.name), str(seconds))
        unasked.pop(0)


def _same_there(effects: Effects, one: Connection, here: tuple[str, str]) -> bool:
    with effects.open(one.peer) as peer:
        return associations(peer, one.peer).get(one.name) == here


def _go_back(holder: Holder, effects: Effects) -> None:
    """Tell the device to go back now; it does so by itself when it cannot be told."""
    try:
        with effects.open(holder.device) as device:
            act(device, holder.device, "withdraw")
    except (TransportError, DeviceError):
        effects.narrate(f"{holder.device}: cannot be told; it goes back by itself")


def _outcome(holder: Holder, effects: Effects) -> str:
    """Return the device's own word on why it went back, once it has; TransportError when it cannot be asked."""
    deadline = effects.monotonic() + holder.trial_seconds + GOING_BACK_SECONDS
    while True:
        try:
            with effects.open(holder.device) as device:
                said = act(device, holder.device, "state").strip()
            if said.startswith("back "):
                return Untrusted(said.removeprefix("back ")).shown(300)
        except (TransportError, DeviceError):
            if effects.monotonic() > deadline:
                raise
        if effects.monotonic() > deadline:
            return "it has not said so"
        effects.sleep(_PAUSE_SECONDS)
