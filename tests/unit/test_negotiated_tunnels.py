"""What two IKE daemons say they negotiated, held against what they were given and against each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloison.change.links import TunnelEnd, settle_tunnels
from cloison.device.memory import MemoryDevice
from cloison.device.memory_tunnels import as_declared
from cloison.device.negotiated import Negotiated, mismatches, parse_associations, stale, unmirrored
from cloison.errors import DeviceError, TransportError
from cloison.flow import Outcome
from cloison.model import EquipmentName, Platform
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloison.device.contract import Device

RENDERED = Path(__file__).parents[1] / "golden" / "render"
COMMUNE, HUB, CELL = (
    EquipmentName(f"{site}/firewall") for site in ("roussy-le-village", "operations-centre", "crisis-cell")
)
TEXTS = {one: (RENDERED / one / "tunnels").read_text(encoding="utf-8") for one in (COMMUNE, HUB, CELL)}
ADMINISTRATION = "administration-roussy-le-village--operations-centre"
VIDEO = "video-roussy-le-village--crisis-cell"
Answer = TypeVar("Answer")

# As strongSwan 5.9.8 prints it, both ends of one tunnel; an IKE_SA that lost its child; and one of a stranger.
CHILD = """\
      {name}-{number} {{
        name = {name}
        uniqueid = {number}
        reqid = 2
        state = {state}
        mode = TUNNEL
        protocol = ESP
        encap = yes
        spi-in = {spi_in}
        spi-out = {spi_out}
        encr-alg = AES_GCM_16
        encr-keysize = 256
        dh-group = ECP_384
        bytes-in = 4612
        packets-in = 36
        install-time = 63
        local-ts = [
          {local}
        ]
        remote-ts = [
          {remote}
        ]
      }}
"""
IKE = """\
list-sa event {{
  {name} {{
    uniqueid = {ike}
    version = 2
    state = {state}
    local-host = 198.51.100.2
    local-id = firewall.crisis-cell
    initiator = yes
    nat-any = yes
    encr-alg = AES_GCM_16
    established = 63
    child-sas {{
{children}    }}
  }}
}}
"""
END = "list-sas reply {\n}\n"


def printed_child(name: str = VIDEO, state: str = "INSTALLED", number: str = "9", **other: str) -> str:
    ends = {"spi_in": "8de6f714", "spi_out": "6f9e2c9c", "local": "10.56.2.0/28", "remote": "10.56.1.48/28"}
    return CHILD.format(name=name, state=state, number=number, **{**ends, **other})


def printed(*children: str, name: str = VIDEO, ike: str = "3", state: str = "ESTABLISHED") -> str:
    return IKE.format(name=name, ike=ike, state=state, children="".join(children))


def parsed(*events: str) -> tuple[Negotiated, ...]:
    return parse_associations(str(CELL), "".join(events) + END)


def test_what_the_daemon_prints_is_read() -> None:
    stranger = printed(name="foreign", ike="4", state="CONNECTING")
    assert parsed(printed(printed_child()), stranger) == (
        Negotiated(
            connection=VIDEO,
            ike=3,
            established=True,
            child=VIDEO,
            number=9,
            state="INSTALLED",
            local=("10.56.2.0/28",),
            remote=("10.56.1.48/28",),
            encryption="aes256gcm16",
            exchange="ecp384",
            keys=("8de6f714", "6f9e2c9c"),
        ),
        Negotiated("foreign", 4, established=False, state="CONNECTING"),
    )
    assert parsed() == ()


def test_two_associations_of_one_name_are_two() -> None:
    found = parsed(printed(printed_child(number="1")), printed(printed_child(number="2"), printed_child(number="3")))
    assert [one.number for one in found] == [1, 2, 3]


def test_algorithms_with_integrity_of_their_own_are_spelt_as_they_are_configured() -> None:
    text = printed(printed_child()).replace(
        "= AES_GCM_16\n        encr-keysize = 256",
        "= AES_CBC\n        encr-keysize = 128\n        integ-alg = HMAC_SHA2_256_128",
    )
    (child,) = parsed(text)
    assert (child.encryption, child.exchange) == ("aes128-sha256", "ecp384")
    (other,) = parsed(printed(printed_child()).replace("ECP_384", "NEVER_HEARD_OF"))
    assert other.exchange == "never_heard_of"


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "list-sas reply {",
        printed(printed_child()),
        printed(printed_child()) + END + END,
        "connecting to 'unix:///var/run/charon.vici' failed\n" + END,
        END + printed(printed_child()),
        printed(printed_child())[:-5] + END,
        printed(printed_child()).replace("uniqueid = 9", "uniqueid = 9; reboot") + END,
        printed(printed_child()).replace("uniqueid = 9", "uniqueid = 99999999999999999999") + END,
        printed(printed_child()).replace("    uniqueid = 3\n", "") + END,
        printed(printed_child()).replace("        state = INSTALLED\n", "") + END,
        printed(printed_child()).replace("local-ts = [\n          10.56.2.0/28\n        ]", "local-ts = x") + END,
        "list-sa event {\nvideo = 3\n}\n" + END,
        "list-sa event {\n" + "a {\n" * 5000 + END,
        printed(printed_child(), printed_child()) + END,
    ],
)
def test_another_answer_is_an_error_that_names_the_device(broken: str) -> None:
    with pytest.raises(DeviceError, match=f"^{CELL}: ") as raised:
        parse_associations(str(CELL), broken)
    assert len(str(raised.value)) < 400


WHOLE = printed(printed_child(), printed_child(number="10")) + printed(name="foreign") + END


@given(st.integers(0, len(WHOLE)), st.text(max_size=8), st.integers(0, 30))
def test_no_damaged_answer_is_anything_else_than_an_error(at: int, put: str, cut: int) -> None:
    try:
        found = parse_associations(str(CELL), WHOLE[:at] + put + WHOLE[at + cut :])
    except DeviceError as error:
        assert str(error).startswith(f"{CELL}: ")  # noqa: PT017  most damages are errors, some change a word alone
    else:
        assert all(isinstance(one, Negotiated) for one in found)


# --- held against what was loaded -----------------------------------------------------------------------------------

WATCHED = as_declared(TEXTS[CELL])
CHANGED = {VIDEO}


def test_what_is_as_declared_is_no_finding() -> None:
    assert {one.connection for one in WATCHED} > CHANGED
    assert mismatches(TEXTS[CELL], WATCHED, {one.connection for one in WATCHED}) == ()
    assert stale(TEXTS[CELL], WATCHED) == ()
    # As the daemon prints it; and one that was rekeyed a moment ago and waits to be deleted.
    shown = parsed(printed(printed_child(), printed_child(number="8", state="REKEYED", local="10.56.2.0/24")))
    assert mismatches(TEXTS[CELL], shown, CHANGED) == ()
    assert stale(TEXTS[CELL], shown) == ()


def altered(**other: object) -> tuple[Negotiated, ...]:
    return tuple(replace(one, **other) if one.connection == VIDEO else one for one in WATCHED)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shown", "said", "ended"),
    [
        (
            altered(local=("10.56.2.0/24",)),
            f"{VIDEO}: child {VIDEO} has local_ts 10.56.2.0/24; declared 10.56.2.0/28",
            1,
        ),
        (altered(remote=()), f"{VIDEO}: child {VIDEO} has remote_ts none; declared 10.56.1.48/28", 1),
        (altered(remote=("10.56.1.48/28[tcp]",)), f"{VIDEO}: child {VIDEO} has remote_ts 10.56.1.48/28", 1),
        (altered(encryption="aes128gcm16"), f"{VIDEO}: child {VIDEO} has aes128gcm16-ecp384; declared aes256gcm16", 1),
        (altered(exchange="ecp256"), f"{VIDEO}: child {VIDEO} has aes256gcm16-ecp256; declared aes256gcm16-ecp384", 1),
        (altered(child="other"), f"{VIDEO}: child other is not declared", 1),
        (altered(child="", state="ESTABLISHED"), f"{VIDEO}: child {VIDEO} is not there", 0),
        (altered(state="CREATED"), f"{VIDEO}: child {VIDEO} is not there", 0),
        (altered(established=False), f"{VIDEO}: child {VIDEO} is not there", 0),
        (altered(state="DELETING"), f"{VIDEO}: child {VIDEO} is not there", 0),
        ((*WATCHED, *altered(local=("10.0.0.0/8",))[-1:]), f"{VIDEO}: child {VIDEO} has local_ts 10.0.0.0/8", 1),
    ],
)
def test_what_is_otherwise_is_said_and_what_is_wrong_is_ended(
    shown: tuple[Negotiated, ...], said: str, ended: int
) -> None:
    assert any(one.startswith(said) for one in mismatches(TEXTS[CELL], shown, CHANGED)), said
    assert mismatches(TEXTS[CELL], shown, {one.connection for one in WATCHED} - CHANGED) == ()
    assert len(stale(TEXTS[CELL], shown)) == ended


def test_a_tunnel_that_is_declared_no_more_is_said_and_ended_with_its_connection() -> None:
    assert mismatches("", WATCHED, CHANGED)[-1] == f"{VIDEO}: it is there, and not declared"
    assert stale("", WATCHED) == WATCHED
    bare = (Negotiated(VIDEO, 3, established=True, state="ESTABLISHED"),)
    assert stale("", bare) == bare
    assert stale(TEXTS[CELL], bare) == ()


def test_two_ends_hold_the_same_association() -> None:
    here, there = as_declared(TEXTS[COMMUNE]), as_declared(TEXTS[CELL])
    assert unmirrored(here, there, VIDEO) == ()
    fewer = tuple(one for one in there if one.connection != VIDEO)
    assert unmirrored(here, fewer, VIDEO) == (f"{VIDEO}: child {VIDEO} is there at one end alone",)
    assert unmirrored(fewer, here, VIDEO) == (f"{VIDEO}: the ends have 0 and 1 children",)
    narrower = tuple(replace(one, remote=("10.56.1.48/29",)) for one in there)
    assert unmirrored(here, narrower, VIDEO) == (f"{VIDEO}: child {VIDEO} has other selectors at the two ends",)
    another = tuple(replace(one, keys=("1", "2")) for one in there)
    assert unmirrored(here, another, VIDEO) == (f"{VIDEO}: child {VIDEO} is there at one end alone",)


# --- settled --------------------------------------------------------------------------------------------------------


class Firewalls:
    """Three firewalls in memory, and how often was waited."""

    def __init__(self) -> None:
        self.devices = {
            name: MemoryDevice(name, Platform.DEBIAN_LIBIPSEC, (SectionName.TUNNELS,), {SectionName.TUNNELS: text})
            for name, text in TEXTS.items()
        }
        self.waited = 0

    def ask(self, device: EquipmentName, act: Callable[[Device], Answer]) -> Answer:
        return act(self.devices[device].open())

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        self.waited += 1

    def settle(self, old: Callable[[str], str]) -> dict[str, Outcome]:
        ends = [TunnelEnd(name, old(text), text) for name, text in TEXTS.items()]
        checks = settle_tunnels(ends, self.ask, self.wait, 1)
        assert all(check.passed or check.detail for check in checks)
        return {check.name: check.outcome for check in checks}


def weaker(text: str) -> str:
    """Return a text before the video tunnel got its algorithms."""
    at = text.find(f"\t{VIDEO} {{")
    return (
        text
        if at < 0
        else text[:at] + text[at:].replace("esp_proposals = aes256gcm16", "esp_proposals = aes128gcm16", 1)
    )


def test_a_changed_tunnel_is_made_anew_and_the_others_are_left_alone() -> None:
    firewalls = Firewalls()
    assert firewalls.settle(weaker) == {f"selectors/{VIDEO}": Outcome.PASS}
    assert firewalls.devices[COMMUNE].renewed == [VIDEO]
    assert firewalls.waited == 0


def test_nothing_is_asked_where_nothing_changed() -> None:
    firewalls = Firewalls()
    assert firewalls.settle(lambda text: text) == {}
    assert all(device.opened == 0 for device in firewalls.devices.values())


def test_what_is_left_of_before_is_ended_at_the_end_that_has_it() -> None:
    firewalls = Firewalls()
    wide = next(replace(one, local=("10.56.0.0/14",), number=77) for one in WATCHED if one.connection == VIDEO)
    beside = replace(wide, connection=f"{VIDEO}-next", number=78)
    foreign = replace(wide, connection="foreign", number=79)
    firewalls.devices[CELL].left_over = [wide, beside, foreign]
    assert firewalls.settle(weaker) == {f"selectors/{VIDEO}": Outcome.PASS}
    assert firewalls.devices[CELL].left_over == [foreign]  # nobody's of ours: it is for the read-back to say
    assert firewalls.waited == 1


def test_a_tunnel_that_stays_down_fails_with_every_try_kept() -> None:
    firewalls = Firewalls()
    firewalls.devices[COMMUNE].down = (VIDEO,)
    ends = [TunnelEnd(name, weaker(text), text) for name, text in TEXTS.items()]
    (check,) = settle_tunnels(ends, firewalls.ask, firewalls.wait, 1)
    assert check.outcome is Outcome.FAIL
    assert f"{COMMUNE}: {VIDEO}: child {VIDEO} is not there" in check.detail
    assert len(check.tries) == firewalls.waited + 1 > 1
    assert firewalls.devices[COMMUNE].raised  # an initiator that was refused once asks no more by itself


def test_a_device_that_cannot_be_asked_is_no_answer() -> None:
    firewalls = Firewalls()
    firewalls.devices[CELL].reachable = False
    with pytest.raises(TransportError, match=str(CELL)):
        firewalls.settle(weaker)


def test_taken_back_it_is_settled_the_other_way_round() -> None:
    end = TunnelEnd(CELL, "before", "after")
    assert end.back == TunnelEnd(CELL, "after", "before")
