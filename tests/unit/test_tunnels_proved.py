from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloison.errors import DeviceError
from cloison.model import EquipmentName
from cloison.prove.packet import ETHERNET_IPV4, Frames
from cloison.prove.parse.interfaces import parse_interfaces
from cloison.prove.parse.swanctl import Connections, parse_tunnels
from cloison.prove.statement import Notice, Parsed
from cloison.prove.tunnel import Carried, SecurityAssociation, agreed

RENDERED = Path(__file__).parents[1] / "golden" / "render"
DEVICES = sorted(path.parent.relative_to(RENDERED).as_posix() for path in RENDERED.glob("*/*/tunnels"))
COMMUNE, CELL, CENTRE = (
    EquipmentName(f"{site}/firewall") for site in ("roussy-le-village", "crisis-cell", "operations-centre")
)
VIDEO = "video-roussy-le-village--crisis-cell"
ADMINISTRATION = "administration-roussy-le-village--operations-centre"


def golden(device: str) -> str:
    return (RENDERED / device / "tunnels").read_text(encoding="utf-8")


def parse(text: str) -> Parsed[Connections]:
    return parse_tunnels(COMMUNE, text)


def pilot(**changed: tuple[str, str]) -> tuple[tuple[SecurityAssociation, ...], tuple[Notice, ...]]:
    """Return what comes up in the pilot, a text of the commune's or the cell's section replaced."""
    texts = {COMMUNE: golden(COMMUNE), CELL: golden(CELL), CENTRE: golden(CENTRE)}
    for name, (old, new) in changed.items():
        device = {"commune": COMMUNE, "cell": CELL, "centre": CENTRE}[name]
        assert old in texts[device]
        texts[device] = texts[device].replace(old, new)
    return agreed({device: parse_tunnels(device, text).model for device, text in texts.items()}, lambda _: True)


@pytest.mark.parametrize("device", DEVICES)
def test_rendered_tunnels_are_modelled_whole(device: str) -> None:
    parsed = parse_tunnels(EquipmentName(device), golden(device))
    assert (parsed.unmodelled, parsed.notices) == ((), ())
    assert parsed.model.connections
    uncommented = "".join(line for line in golden(device).splitlines(keepends=True) if not line.startswith("#"))
    again = parse_tunnels(EquipmentName(device), uncommented)
    assert [(c.name, c.local, c.remote) for c in again.model.connections] == [
        (c.name, c.local, c.remote) for c in parsed.model.connections
    ]
    assert again.read == parsed.read


def test_three_tunnels_come_up_in_the_pilot() -> None:
    associations, notices = pilot()
    assert notices == ()
    assert {(one.name, one.one.device, one.other.device) for one in associations} == {
        (VIDEO, COMMUNE, CELL),
        (ADMINISTRATION, COMMUNE, CENTRE),
        ("administration-crisis-cell--operations-centre", CELL, CENTRE),
    }


def test_a_tunnel_that_is_down_carries_nothing() -> None:
    sections = {device: parse_tunnels(device, golden(device)).model for device in (COMMUNE, CELL, CENTRE)}
    associations, notices = agreed(sections, lambda name: name != VIDEO)
    assert VIDEO not in {one.name for one in associations}
    assert notices == ()


def test_selectors_are_narrowed_to_what_both_ends_have() -> None:
    associations, notices = pilot(cell=("remote_ts = 10.56.1.48/28", "remote_ts = 10.56.1.0/24"))
    (video,) = (one for one in associations if one.name == VIDEO)
    assert video.one.selectors == (IPv4Network("10.56.1.48/28"),)
    assert [notice.statement.place.device for notice in notices] == [CELL]
    assert "not those of the other end" in notices[0].what


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("remote_ts = 10.56.1.48/28", "remote_ts = 10.99.0.0/16", "no selectors in common"),
        ("id = firewall.roussy-le-village", "id = firewall.elsewhere", "another identity"),
        ("remote_addrs = 192.0.2.2", "remote_addrs = 192.0.2.9", "no device has the other end"),
        ("esp_proposals = aes256gcm16-ecp384", "esp_proposals = aes128gcm16-ecp384", "no algorithms of ESP"),
        ("\tproposals = aes256gcm16-prfsha384-ecp384", "\tproposals = aes256gcm16-prfsha384-ecp521", "of IKE"),
        ("auth = pubkey", "auth = psk", "in another way"),
    ],
)
def test_ends_that_do_not_agree_bring_nothing_up(old: str, new: str, said: str) -> None:
    associations, notices = pilot(cell=(old, new))
    assert VIDEO not in {one.name for one in associations}
    assert any(said in notice.what for notice in notices)


def test_a_tunnel_that_nobody_starts_stays_down() -> None:
    associations, notices = pilot(commune=("start_action = start", "start_action = none"))
    assert {one.one.device for one in associations} == {CELL}
    assert any("neither end" in notice.what for notice in notices)


def test_inner_packets_have_the_addresses_of_their_own_tunnel() -> None:
    frames = Frames()
    carried = Carried(frames, pilot()[0])
    inside = carried.inbound(COMMUNE)

    def comes_out(source: str, destination: str) -> bool:
        ends = {"source": int(IPv4Network(source)[0]), "destination": int(IPv4Network(destination)[0])}
        return bool(inside & frames.box(ethernet_type=ETHERNET_IPV4, **ends))

    assert comes_out("10.56.2.2", "10.56.1.50")
    assert comes_out("10.56.3.2", "10.56.1.34")
    assert not comes_out("10.56.2.2", "10.56.1.34")
    assert not comes_out("10.56.4.2", "10.56.1.50")
    assert frames.union(carried.outbound(COMMUNE).values()).swapping(("source", "destination")) == inside
    assert not carried.contested(COMMUNE)


def test_a_tunnel_is_routed_only_where_the_device_has_an_address_in_it() -> None:
    carried = Carried(Frames(), pilot()[0])
    text = (RENDERED / COMMUNE / "interfaces").read_text(encoding="utf-8")
    stack = parse_interfaces(COMMUNE, text).model
    assert len(carried.routes(COMMUNE, stack)[0]) == 3
    without = parse_interfaces(COMMUNE, text.replace("10.56.1.49/28", "10.57.1.49/28")).model
    networks, notices = carried.routes(COMMUNE, without)
    assert IPv4Network("10.56.2.0/28") not in networks
    assert VIDEO in notices[0].what


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("if_id_in = 5", "if_id_in"),
        ("mark_out = 5", "mark_out"),
        ("mode = transport", "mode transport"),
        ("mode = drop", "mode drop"),
        ("updown = /bin/anything", "updown"),
        ("policies = no", "policies"),
        ("local_ts = 10.0.0.0/8[tcp/80]", "10.0.0.0/8[tcp/80]"),
        ("include other.conf", "include"),
    ],
)
def test_what_changes_the_way_of_packets_is_said_not_to_be_modelled(body: str, word: str) -> None:
    parsed = parse(f"connections {{\n a {{\n version = 2\n children {{\n c {{\n {body}\n }}\n }}\n }}\n}}\n")
    assert word in {one.what for one in parsed.unmodelled}


def test_what_is_weak_is_a_notice() -> None:
    text = golden(CELL).replace("version = 2", "version = 1").replace("revocation = strict", "revocation = relaxed")
    text = text.replace("auth = pubkey", "auth = psk").replace("id = firewall.roussy-le-village", "id = %any")
    said = " ".join(notice.what for notice in parse(text + "differs: connection x: not in the daemon\n").notices)
    for word in ("IKEv1", "revoked", "not by key", "whoever", "something else"):
        assert word in said


def test_braces_on_one_line_quotes_and_comments() -> None:
    text = 'connections { a { version = 2 # two\n local_addrs = "192.0.2.2" } }\n'
    (connection,) = parse(text).model.connections
    assert connection.version == "2"
    assert [str(address) for address in connection.local or ()] == ["192.0.2.2"]


@pytest.mark.parametrize("text", ["connections {\n", "}\n", "a {\n" * 50])
def test_braces_that_do_not_match_are_an_error(text: str) -> None:
    with pytest.raises(DeviceError, match="tunnels:"):
        parse(text)


@given(st.text() | st.lists(st.sampled_from(golden(CELL).splitlines()), max_size=30).map("\n".join))
def test_whatever_is_read_there_is_an_answer_or_an_error_of_ours(text: str) -> None:
    try:
        parsed = parse(text)
    except DeviceError:
        return
    assert 0 <= parsed.modelled <= parsed.read
