"""What a firewall holds, when it is due, what an authority remembers, and how a renewal ends when things go wrong."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloison.errors import DeviceError, HostKeyError, InputError, RefusedError, TransportError
from cloison.model import EquipmentName, Name
from cloison.pki.authority import Authority, Purpose, Subject, Validity, issue, make_revocation_list, make_root
from cloison.pki.authority import make_subordinate as make_sub
from cloison.pki.encoding import certificate_pem, load_certificate, new_key
from cloison.pki.holding import Holding, State, judge, read
from cloison.pki.publication import publish_list
from cloison.pki.register import LIFETIME, TunnelAuthority
from cloison.pki.renewal import Connection, Effects, Holder, install, renew
from cloison.transport.base import CommandResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HERE, THERE = EquipmentName("village/firewall"), EquipmentName("hub/firewall")
TUNNEL = Name("administration")
HOLDER = Holder(HERE, (Connection(TUNNEL, THERE, initiates=True),))
VALIDITY = Validity(NOW - timedelta(days=1), NOW + timedelta(days=400))
ROOT = make_root("test", VALIDITY, serial=1)
AUTHORITY = make_sub(ROOT, Purpose.TUNNEL, VALIDITY, serial=2)
OTHER = make_sub(ROOT, Purpose.TUNNEL, VALIDITY, serial=3)
KEY = new_key()


def spki(key: ec.EllipticCurvePrivateKey, encoding: serialization.Encoding) -> bytes:
    return key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def crl(
    *serials: int, number: int = 1, by: Authority = AUTHORITY, end: datetime = NOW + timedelta(days=90)
) -> x509.CertificateRevocationList:
    entries = [(serial, NOW) for serial in serials]
    return make_revocation_list(by, entries, Validity(NOW - timedelta(days=1), end), number=number)


def leaf(
    *, days: float = 90, name: EquipmentName = HERE, by: Authority = AUTHORITY, start: datetime = VALIDITY.start
) -> x509.Certificate:
    validity = Validity(start, NOW + timedelta(days=days))
    return issue(by, Subject(name.host_name), KEY.public_key(), validity, serial=77)


def self_signed() -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "factory")])
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), 77, VALIDITY.start, VALIDITY.end)
    return builder.sign(KEY, hashes.SHA384())


def holding(certificate: x509.Certificate | None = None) -> Holding:
    return Holding(
        device=HERE,
        certificate=certificate or leaf(),
        authority=AUTHORITY.certificate,
        revocations=crl(),
        public_key=spki(KEY, serialization.Encoding.DER),
        key_mode="600 root",
        loaded=frozenset({77}),
    )


@pytest.mark.parametrize(
    ("held", "state", "why"),
    [
        (holding(), State.OK, ""),
        (holding(leaf(days=31)), State.OK, ""),
        (holding(leaf(days=30)), State.DUE, "it ends on 2026-03-31"),
        (replace(holding(), revocations=crl(end=NOW + timedelta(days=3))), State.DUE, "list ends on 2026-03-04"),
        (holding(leaf(days=0, start=NOW - timedelta(hours=1))), State.EXPIRED, "it ended on 2026-03-01"),
        (replace(holding(), revocations=crl(end=NOW)), State.EXPIRED, "its revocation list ended on 2026-03-01"),
        (holding(leaf(start=NOW + timedelta(days=1))), State.EARLY, "it is valid from 2026-03-02"),
        (replace(holding(), revocations=crl(77)), State.REVOKED, "names it"),
        (holding(self_signed()), State.FACTORY, "signed by itself"),
        (replace(holding(), certificate=None), State.MISSING, "no certificate"),
        (replace(holding(), unreadable=("certificate",)), State.UNREADABLE, "its certificate cannot be read"),
        (holding(leaf(name=THERE)), State.WRONG, "it is for firewall.hub; expected firewall.village"),
        (holding(leaf(by=OTHER)), State.WRONG, "not issued by the tunnel authority"),
        (replace(holding(), authority=None), State.WRONG, "no certificate of the tunnel authority"),
        (replace(holding(), public_key=b""), State.WRONG, "the device has no key"),
        (
            replace(holding(), public_key=spki(new_key(), serialization.Encoding.DER)),
            State.WRONG,
            "private key is not its",
        ),
        (replace(holding(), key_mode="644 root"), State.WRONG, "is 644 root; expected 600 root"),
        (replace(holding(), loaded=frozenset({76})), State.WRONG, "the IKE daemon has not loaded it"),
        (replace(holding(), revocations=None), State.WRONG, "it believes no peer"),
    ],
)
def test_what_is_said_of_a_certificate(held: Holding, state: State, why: str) -> None:
    said, reason = judge(held, NOW)
    assert (said, why in reason, bool(reason)) == (state, True, state is not State.OK), reason


def test_a_certificate_on_the_list_of_a_peer_is_revoked_though_its_own_list_does_not_say_so() -> None:
    assert judge(holding(), NOW, revoked={77})[0] is State.REVOKED
    assert judge(holding(), NOW, revoked={78})[0] is State.OK


# --- what a device answers -------------------------------------------------------------------------------------------


@dataclass
class Device:
    """Answers for one firewall in memory: its certificates, its daemon's associations, what was asked of it."""

    name: EquipmentName
    peers: dict[EquipmentName, Device] = field(default_factory=dict)
    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    waiting: ec.EllipticCurvePrivateKey | None = None
    certificate: bytes = b""
    before: bytes = b""
    state: str = "none"
    refuses: str = ""
    spi: int = 1
    shown_spi: int | None = None
    asked: list[str] = field(default_factory=list)
    answer: CommandResult | None = None
    unreachable: int = 0
    host_key_changed: bool = False

    @property
    def place(self) -> str:
        return self.name

    def run(self, arguments: Sequence[str], *, stdin: bytes = b"", timeout: float = 30.0) -> CommandResult:
        del timeout
        if self.answer is not None:
            return self.answer
        if arguments[3] == "read":
            return CommandResult(0, self.shown(), b"")
        verb, *rest = arguments[5], *arguments[7:]
        self.asked.append(" ".join([verb, *rest]))
        return CommandResult(0, getattr(self, f"do_{verb}")(stdin).encode(), b"")

    def shown(self) -> bytes:
        key = spki(self.key, serialization.Encoding.PEM)
        parts = {
            b"certificate": self.certificate,
            b"key": key,
            b"mode": b"600 root\n",
            b"loaded": b"4d\n",
            b"authority": certificate_pem(AUTHORITY.certificate),
            b"revocations": crl().public_bytes(serialization.Encoding.PEM),
        }
        return b"".join(b"@" + title + b"\n" + content + b"\n" for title, content in parts.items())

    def do_request(self, _: bytes) -> str:
        self.waiting = new_key()
        return self.do_pending(b"")

    def do_pending(self, _: bytes) -> str:
        if self.waiting is None:
            return ""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name.host_name)])
        names = x509.SubjectAlternativeName([x509.DNSName(self.name.host_name)])
        builder = x509.CertificateSigningRequestBuilder(name).add_extension(names, critical=False)
        return builder.sign(self.waiting, hashes.SHA384()).public_bytes(serialization.Encoding.PEM).decode()

    def do_attempt(self, certificate: bytes) -> str:
        self.before, self.certificate, self.state = self.certificate, certificate, "trying"
        if self.refuses:
            return self.do_withdraw(b"")
        self.spi += 1
        return ""

    def do_associations(self, _: bytes) -> str:
        spi = self.spi if self.shown_spi is None else self.shown_spi
        return (
            f"list-sa event {{{TUNNEL} {{uniqueid=1 version=2 state=ESTABLISHED local-host=192.0.2.2 "
            f"initiator-spi={spi:016x} responder-spi={spi:016x} tasks-passive=[x] child-sas {{{TUNNEL}-1 "
            f"{{name={TUNNEL} state=INSTALLED local-ts=[10.0.0.0/24]}}}}}}}}\n"
        )

    def do_state(self, _: bytes) -> str:
        return f"{self.state}\n"

    def do_keep(self, _: bytes) -> str:
        if self.state == "trying":
            assert self.waiting is not None
            self.key, self.waiting, self.state = self.waiting, None, "kept"
        return f"{self.state}\n"

    def do_withdraw(self, _: bytes) -> str:
        self.certificate, self.state = self.before, f"back {self.refuses or 'it was told to'}"
        return ""

    def do_authenticate(self, _: bytes) -> str:
        self.spi += 1
        return ""

    def do_revocations(self, _: bytes) -> str:
        return ""


class World:
    """Two firewalls and a clock."""

    def __init__(self) -> None:
        self.here, self.there = Device(HERE), Device(THERE)
        self.seconds = 0.0
        self.told: list[str] = []
        self.follows = True
        self.effects = Effects(self.open, lambda: self.seconds, lambda: NOW, self.sleep, self.told.append)

    @contextmanager
    def open(self, device: EquipmentName) -> Iterator[Device]:
        found = {HERE: self.here, THERE: self.there}[device]
        if found.host_key_changed:
            raise HostKeyError(device, "shows another key")
        if found.unreachable and "attempt" in " ".join(self.here.asked):
            found.unreachable -= 1
            raise TransportError(device, "no way")
        if self.follows:
            latest = max(self.here.spi, self.there.spi)
            self.here.spi = self.there.spi = latest
        yield found

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def world() -> World:
    return World()


def certified(request: bytes) -> bytes:
    asked = x509.load_pem_x509_csr(request).public_key()
    assert isinstance(asked, ec.EllipticCurvePublicKey)
    validity = Validity(VALIDITY.start, NOW + timedelta(days=90))
    return certificate_pem(issue(AUTHORITY, Subject(HERE.host_name), asked, validity, serial=99))


def verbs(device: Device) -> list[str]:
    return [asked.split()[0] for asked in device.asked if not asked.startswith(("associations", "state", "pending"))]


def test_a_renewal_is_kept_once_both_ends_have_authenticated_anew(world: World) -> None:
    done = renew(HOLDER, world.effects, certified)
    assert (done.verified, done.down, done.certificate.serial_number) == ((TUNNEL,), (), 99)
    assert verbs(world.here) == ["request", "attempt", "keep"]
    assert world.here.certificate == certificate_pem(done.certificate)
    assert "associations" in world.there.asked


def test_a_peer_that_opens_the_tunnel_is_asked_to_open_it_anew(world: World) -> None:
    renew(Holder(HERE, (Connection(TUNNEL, THERE, initiates=False),)), world.effects, certified)
    assert verbs(world.there) == ["authenticate"]
    assert world.there.asked[0].startswith(f"authenticate {TUNNEL} ")


def test_the_way_to_the_firewall_may_be_gone_for_a_while(world: World) -> None:
    world.here.unreachable = 20
    assert renew(HOLDER, world.effects, certified).verified == (TUNNEL,)
    assert world.here.unreachable == 0


def test_a_tunnel_that_was_down_is_said_to_have_been(world: World) -> None:
    other = Connection(Name("video"), THERE, initiates=True)
    done = renew(Holder(HERE, (*HOLDER.connections, other)), world.effects, certified)
    assert (done.verified, done.down) == ((TUNNEL,), ("video",))


@pytest.mark.parametrize(
    ("shown", "follows", "why"),
    [(1, True, "administration did not authenticate"), (None, False, "administration did not authenticate")],
    ids=["no new association", "another at the far end"],
)
def test_what_does_not_authenticate_is_taken_back(world: World, shown: int | None, follows: bool, why: str) -> None:  # noqa: FBT001  a parameter of the test
    world.here.certificate, world.here.shown_spi, world.follows = b"old", shown, follows
    with pytest.raises(DeviceError, match=f"the certificate before is in force: {why}.*it was told to"):
        renew(HOLDER, world.effects, certified)
    assert verbs(world.here) == ["request", "attempt", "withdraw"]
    assert world.here.certificate == b"old"
    assert 15 <= world.seconds < 20


def test_a_daemon_that_refuses_is_known_at_once(world: World) -> None:
    world.here.refuses = "the IKE daemon refuses it: parsing failed"
    with pytest.raises(DeviceError, match="refuses it: parsing failed"):
        renew(HOLDER, world.effects, certified)
    assert world.seconds < 1


def test_a_firewall_that_cannot_be_told_goes_back_by_itself_and_nothing_else_is_said(world: World) -> None:
    world.here.unreachable = 10_000
    with pytest.raises(TransportError):
        renew(HOLDER, world.effects, certified)
    assert verbs(world.here) == ["request", "attempt"]
    assert world.seconds > HOLDER.trial_seconds
    assert f"{HERE}: cannot be told; it goes back by itself" in world.told


def test_another_host_key_stops_a_renewal(world: World) -> None:
    world.there.host_key_changed = True
    with pytest.raises(HostKeyError):
        renew(HOLDER, world.effects, certified)
    assert verbs(world.here)[-1] == "withdraw"


def test_an_interruption_takes_the_trial_back(world: World) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    world.here.shown_spi = 1
    with pytest.raises(KeyboardInterrupt):
        renew(HOLDER, replace(world.effects, sleep=interrupt), certified)
    assert verbs(world.here)[-1] == "withdraw"


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        (leaf(), "another key than the one that waits"),
        (leaf(by=OTHER), "not issued by the tunnel authority"),
        (leaf(name=THERE), "it is for firewall.hub"),
        (leaf(days=0, start=NOW - timedelta(hours=1)), "and not now"),
        (leaf(start=NOW + timedelta(days=1)), "and not now"),
        (self_signed(), "it is for no name"),
    ],
)
def test_a_certificate_for_anything_else_is_not_tried(world: World, certificate: x509.Certificate, why: str) -> None:
    world.here.waiting = new_key()
    with pytest.raises(RefusedError, match=why):
        install(HOLDER, world.effects, certificate_pem(certificate))
    assert verbs(world.here) == []


def test_a_certificate_is_not_tried_where_no_key_waits(world: World) -> None:
    with pytest.raises(RefusedError, match="no key waits for a certificate there"):
        install(HOLDER, world.effects, certificate_pem(leaf()))
    with pytest.raises(InputError, match="no certificate can be read"):
        install(HOLDER, world.effects, b"A" * 1_048_576)


@pytest.mark.parametrize(
    "answer",
    [
        CommandResult(0, b"", b""),
        CommandResult(0, b"A" * 1_048_576, b""),
        CommandResult(0, b"\xff\xfe@certificate\n", b""),
        CommandResult(0, b"@certificate\n" * 7, b""),
        CommandResult(127, b"", b"sh: \x1b[31mnot found"),
    ],
    ids=["nothing", "a megabyte", "bytes", "the same again", "an error"],
)
def test_nonsense_of_a_device_is_an_error_with_its_name(world: World, answer: CommandResult) -> None:
    world.here.answer = answer
    with pytest.raises(DeviceError, match=r"^village/firewall: ") as caught:
        read(world.here, HERE)
    with pytest.raises(DeviceError, match=r"^village/firewall: ") as asked:
        renew(HOLDER, world.effects, certified)
    assert "\x1b" not in str(caught.value) + str(asked.value)
    assert len(str(caught.value)) < 400


def test_what_cannot_be_read_of_a_device_is_named_and_not_believed(world: World) -> None:
    world.here.certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert read(world.here, HERE).unreadable == ("certificate",)
    forged = crl(by=OTHER).public_bytes(serialization.Encoding.PEM)
    shown = world.here.shown().replace(crl().public_bytes(serialization.Encoding.PEM), b"")
    assert re.search(rb"@revocations\n.*", shown, re.DOTALL)
    world.here.answer = CommandResult(
        0, re.sub(rb"@revocations\n.*", b"@revocations\n" + forged, shown, flags=re.DOTALL), b""
    )
    assert "revocation list" in read(world.here, HERE).unreadable


# --- the authority ---------------------------------------------------------------------------------------------------


def authority(folder: Path, made: Authority = AUTHORITY, now: datetime = NOW) -> TunnelAuthority:
    serials = count(1000)
    return TunnelAuthority(made, folder / "register.json", lambda: now, lambda: next(serials))


def asked_by(name: EquipmentName = HERE) -> bytes:
    device = Device(name)
    return device.do_request(b"").encode()


def test_what_was_issued_is_remembered_and_nothing_of_a_key(tmp_path: Path) -> None:
    made = load_certificate(authority(tmp_path).issue(HERE, asked_by()), source="test")
    assert (made.serial_number, made.not_valid_after_utc) == (1000, NOW + LIFETIME)
    (issued,) = authority(tmp_path).register().issued
    assert (issued.serial, issued.device) == (1000, HERE)
    kept = (tmp_path / "register.json").read_text(encoding="utf-8")
    assert "PRIVATE" not in kept
    assert (tmp_path / "register.json").stat().st_mode & 0o777 == 0o600


def test_a_device_gets_no_certificate_for_the_name_of_another(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"expected CN=firewall\.village alone"):
        authority(tmp_path).issue(HERE, asked_by(THERE))
    assert authority(tmp_path).register().issued == ()


def test_lists_have_higher_and_higher_numbers_and_name_what_is_revoked(tmp_path: Path) -> None:
    mine = authority(tmp_path)
    mine.issue(HERE, asked_by())
    mine.issue(THERE, asked_by(THERE))
    first = x509.load_pem_x509_crl(mine.new_revocations())
    assert mine.revoke(HERE) == mine.revoke(HERE) == (1000,)
    second = x509.load_pem_x509_crl(mine.new_revocations())
    numbers = [one.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for one in (first, second)]
    assert numbers == [2, 3]
    assert ([entry.serial_number for entry in first], [entry.serial_number for entry in second]) == ([], [1000])
    with pytest.raises(RefusedError, match="no certificate to revoke"):
        mine.revoke(EquipmentName("elsewhere/firewall"))
    with pytest.raises(RefusedError, match="no certificate to revoke"):
        authority(tmp_path, now=NOW + LIFETIME).revoke(HERE)


def test_the_register_of_another_authority_says_nothing_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    authority(tmp_path).issue(HERE, asked_by())
    assert authority(tmp_path, OTHER).register().issued == ()
    (tmp_path / "register.json").write_text("{", encoding="ascii")
    with pytest.raises(InputError, match=r"register\.json: cannot be read"):
        authority(tmp_path).register()


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (crl(number=1), "its number is 1; the device has 1"),
        (crl(number=2, by=OTHER), "not signed by the tunnel authority"),
        (crl(number=2, end=NOW), "past its next update"),
    ],
)
def test_a_list_that_may_not_take_the_place_of_the_other_is_refused(
    world: World, made: x509.CertificateRevocationList, why: str
) -> None:
    with pytest.raises(RefusedError, match=why):
        publish_list([HOLDER], world.effects, made.public_bytes(serialization.Encoding.PEM), NOW)
    with pytest.raises(InputError, match="cannot be read"):
        publish_list([HOLDER], world.effects, b"A" * 1_048_576, NOW)
    assert verbs(world.here) == []


def test_a_list_ends_the_tunnels_of_whoever_it_names(world: World) -> None:
    world.there.certificate = certificate_pem(leaf(name=THERE))
    both = [HOLDER, Holder(THERE, (Connection(TUNNEL, HERE, initiates=False),))]
    done = publish_list(both, world.effects, crl(77, number=2).public_bytes(serialization.Encoding.PEM), NOW)
    assert (done.number, done.told, done.failed) == (2, (HERE, THERE), {})
    assert world.here.asked == [f"revocations {TUNNEL}"]
    assert world.there.asked == ["revocations"]
