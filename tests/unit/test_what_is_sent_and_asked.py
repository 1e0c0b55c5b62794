"""What places are called, what they can send, what may and what must get through, and what packets are called."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloison.errors import InputError
from cloison.flow import Protocol
from cloison.intent.load import load
from cloison.prove.answer import TunnelsAre
from cloison.prove.emission import Emission, number_of
from cloison.prove.packet import (
    ACK,
    ETHERNET_ARP,
    ETHERNET_IPV4,
    ETHERNET_IPV6,
    ICMP,
    SYN,
    TCP,
    UDP,
    UNTAGGED,
    Connection,
    Fragment,
    Frames,
)
from cloison.prove.place_names import place_named, place_names
from cloison.prove.places import CABLE_NUMBERS, WAN, Places
from cloison.prove.port_security import PortSecurity
from cloison.prove.question import Question, trunk_places
from cloison.prove.words import every_service, services, text, wishes

if TYPE_CHECKING:
    from cloison.intent.network import Intent, Site
    from cloison.prove.space import Packet, Region

PILOT = "roussy-le-village"
RECORDER, GATEWAY, CAMERA = (f"{PILOT}/{name}" for name in ("nvr", "live-gateway", "cam-context"))


@pytest.fixture(scope="module")
def intent() -> Intent:
    return load(Path(__file__).parents[2])


@pytest.fixture(scope="module")
def frames() -> Frames:
    return Frames()


@pytest.fixture(scope="module")
def places(frames: Frames) -> Places:
    return Places(frames)


@pytest.fixture(scope="module")
def question(frames: Frames, places: Places, intent: Intent) -> Question:
    return Question(frames, places, intent)


@pytest.fixture(scope="module")
def site(intent: Intent) -> Site:
    return next(site for site in intent.sites if site.name == PILOT)


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_place_has_two_numbers_and_one_name(places: Places) -> None:
    host, cable = places.host("a/b"), places.cable("a/b")
    assert host < CABLE_NUMBERS[0] <= cable
    assert places.name(host) == places.name(cable) == "a/b"
    assert places.both("a/b") == {(host, host), (cable, cable)}
    assert places.names([host, cable, CABLE_NUMBERS[0] - 1]) == {"a/b"}


def test_places_are_named_from_numbers_that_nobody_has(frames: Frames, places: Places) -> None:
    host = places.host("a/b")
    assert "a/b" in places.named([(0, 0xFFFF)])
    assert places.named([(host, host)]) == {"a/b"}
    assert places.named([(len(frames.places) + 5, 0x7FFF)]) == frozenset()


def test_every_place_has_one_name(intent: Intent) -> None:
    names = list(place_names(intent))
    assert len(names) == len(set(names))
    assert names[-1] == WAN
    assert {"crisis-cell/technician", "crisis-cell/tunnels", f"{PILOT}/core-switch:sfp1"} <= set(names)
    assert f"{PILOT}/core-switch:p6" in names
    assert f"{PILOT}/core-switch:p1" not in names  # a cable is on it


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        (RECORDER, RECORDER),
        ("nvr", RECORDER),
        ("wan", "wan"),
        ("station-fire", "crisis-cell/station-fire"),
        ("pole-switch:p3", f"{PILOT}/pole-switch:p3"),
        ("crisis-cell/tunnels", "crisis-cell/tunnels"),
    ],
)
def test_a_place_is_found_by_its_name_or_a_tail_of_it(intent: Intent, typed: str, name: str) -> None:
    assert place_named(intent, typed) == name


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("firewall", "more than one place ends so; expected one of"),
        ("tunnels", "more than one place ends so; expected one of"),
        ("nvrr", "did you mean nvr"),
        (f"{PILOT}/live-gatewy", f"did you mean {GATEWAY}"),
        ("", "no such place"),
        ("/", "no such place"),
        ("*", "no such place"),
        (f"{PILOT}/firewall:wan0", "no such place"),
        ("zzzzzzzzzz" * 1000, "no such place"),
    ],
)
def test_what_is_no_place_is_said_with_a_hint(intent: Intent, typed: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        place_named(intent, typed)


def test_whoever_holds_a_trunk_holds_the_names_behind_it(site: Site) -> None:
    behind = dict(trunk_places(site))
    assert set(behind) == {f"{PILOT}/core-switch:sfp1"}
    assert behind[f"{PILOT}/core-switch:sfp1"] == {CAMERA, f"{PILOT}/cam-narrow", f"{PILOT}/pole-switch"}


# --- what is sent -----------------------------------------------------------------------------------------------------


def sent_by_host(frames: Frames, places: Places, mac: str | None = "02:00:00:00:01:05") -> Region:
    emission = Emission(frames, places, tcp_loose=False)
    return emission.host(RECORDER, IPv4Address("10.56.1.34"), mac, IPv4Address("10.56.1.33"))


def test_a_host_speaks_in_its_own_name_alone(frames: Frames, places: Places) -> None:
    sent, box = sent_by_host(frames, places), frames.box
    assert sent <= box(tag=UNTAGGED, sender=places.host(RECORDER), source=int(IPv4Address("10.56.1.34")))
    assert sent <= box(mac_source=number_of("02:00:00:00:01:05"))
    asking = sent & frames.arp
    assert asking <= box(destination=int(IPv4Address("10.56.1.33")), arp_sender_mac=number_of("02:00:00:00:01:05"))
    assert asking
    assert not sent & frames.ipv6


def test_a_host_opens_and_answers(frames: Frames, places: Places) -> None:
    packets = sent_by_host(frames, places) & frames.ip
    assert packets.values("connection") == {(Connection.NEW, Connection.ESTABLISHED)}
    opening = packets & frames.box(protocol=TCP, connection=Connection.NEW)
    assert opening & frames.box(tcp_flags=SYN)
    assert not opening & frames.box(tcp_flags=ACK)


def test_a_cable_says_anything_but_what_belongs_to_a_conversation(frames: Frames, places: Places) -> None:
    sent = Emission(frames, places, tcp_loose=False).cable(RECORDER)
    assert sent <= frames.well_formed & frames.box(sender=places.cable(RECORDER))
    assert not sent & frames.ip & frames.box(connection=Connection.ESTABLISHED)
    for some in (
        {"ethernet_type": ETHERNET_IPV6},
        {"ethernet_type": ETHERNET_ARP},
        {"ethernet_type": 0x88CC},
        {"tag": 110, "inner_tag": 999},
        {"fragment": Fragment.LATER},
        {"header_length": 15},
        {"connection": Connection.RELATED, "protocol": ICMP, "destination_port": 3},
        {"connection": Connection.INVALID, "protocol": TCP, "tcp_flags": 0},
        {"source": int(IPv4Address("127.0.0.1"))},
    ):
        assert sent & frames.box(**some), some


def test_loose_tracking_takes_the_middle_of_a_connection_for_new(frames: Frames, places: Places) -> None:
    middle = frames.box(protocol=TCP, tcp_flags=ACK, connection=Connection.NEW, ethernet_type=ETHERNET_IPV4)
    assert Emission(frames, places, tcp_loose=True).cable(RECORDER) & middle
    assert not Emission(frames, places, tcp_loose=False).cable(RECORDER) & middle


def test_a_firewall_makes_whole_datagrams(frames: Frames, places: Places) -> None:
    emission = Emission(frames, places, tcp_loose=False)
    made, any_packet = emission.router("x/firewall"), emission.packets("x/firewall")
    assert made <= any_packet
    assert made.values("fragment") == {(Fragment.WHOLE, Fragment.WHOLE)}
    assert any_packet & frames.box(fragment=Fragment.LATER)


def test_no_cable_has_a_part_in_a_conversation_even_behind_tags(frames: Frames, places: Places) -> None:
    possible = Emission(frames, places, tcp_loose=False).possible
    established = frames.packets & frames.box(connection=Connection.ESTABLISHED)
    assert not possible & established & frames.box(sender=CABLE_NUMBERS)
    assert established & frames.box(sender=places.host(RECORDER)) <= possible


# --- what the edge lets up --------------------------------------------------------------------------------------------


def test_the_edge_admits_declared_hosts_in_their_own_names(frames: Frames, places: Places, site: Site) -> None:
    admitted, box = PortSecurity(frames, places).admitted(site), frames.box
    of_recorder = admitted & box(sender=places.cable(RECORDER))
    one = next(one for one in site.equipment if one.name == RECORDER)
    assert one.mac is not None
    assert of_recorder <= box(source=int(one.address or 0), mac_source=number_of(one.mac))
    assert of_recorder & box(destination=int(IPv4Address("10.56.1.33")), protocol=TCP)
    assert of_recorder & box(destination=int(IPv4Address("10.56.3.18")), protocol=TCP)
    for never in (
        {"destination": int(IPv4Address("10.56.1.35")), "ethernet_type": ETHERNET_IPV4},
        {"destination": int(IPv4Address("255.255.255.255"))},
        {"destination": int(IPv4Address("239.0.0.1"))},
        {"protocol": UDP, "source_port": 67, "ethernet_type": ETHERNET_IPV4},
        {"ethernet_type": ETHERNET_IPV6},
        {"tag": 120},
        {"fragment": Fragment.FIRST, "ethernet_type": ETHERNET_IPV4},
        {"ethernet_type": ETHERNET_ARP, "destination": int(IPv4Address("10.56.1.40"))},
    ):
        assert not of_recorder & box(**never), never
    assert not admitted & box(sender=places.cable(f"{PILOT}/core-switch:p6"))


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_what_must_pass_may_pass(frames: Frames, places: Places, question: Question) -> None:
    swaps = (("source", "destination"), ("source_port", "destination_port"), ("sender", "receiver"))
    permitted = question.permitted.without("sender", "receiver", "connection", "tcp_flags")
    for demand in question.demands:
        onwards = demand.region.swapping(*swaps) if demand.reply else demand.region
        assert onwards.without("sender", "receiver", "connection", "tcp_flags") <= permitted, demand.flow
        source, destination = (str(end.name) for end in (demand.flow.source, demand.flow.destination))
        assert onwards <= frames.box(sender=places.host(source), receiver=places.host(destination))


def test_every_flow_is_asked_for_in_both_directions(question: Question, intent: Intent) -> None:
    assert [(one.flow, one.reply) for one in question.demands] == [
        (flow, reply) for flow in intent.flows for reply in (False, True)
    ]
    assert all(demand.region for demand in question.demands)


def test_a_demand_opens_and_goes_on(frames: Frames, question: Question) -> None:
    for demand in question.demands:
        states = demand.region.values("connection")
        assert states == (
            {(Connection.ESTABLISHED, Connection.ESTABLISHED)}
            if demand.reply
            else {(Connection.NEW, Connection.ESTABLISHED)}
        )
        if demand.flow.service.protocol is Protocol.TCP:
            opening = demand.region & frames.box(connection=Connection.NEW)
            assert opening.values("tcp_flags") <= {(SYN, SYN), (0b11000010, 0b11000010)}
        else:
            assert demand.region.values("tcp_flags") == {(0, 0)}


def test_with_the_tunnels_down_what_is_within_one_site_is_asked_for(question: Question) -> None:
    up, down = question.demanded(TunnelsAre.UP), question.demanded(TunnelsAre.DOWN)
    assert down <= up
    assert down != up
    assert {demand.region <= down for demand in question.demands if question.same_site(demand.flow)} == {True}
    assert {bool(demand.region & down) for demand in question.demands if not question.same_site(demand.flow)} == {False}


def test_only_whole_first_packets_without_options_may_pass(frames: Frames, question: Question) -> None:
    opening = question.permitted & frames.box(protocol=frozenset({(TCP, TCP), (UDP, UDP)}))
    assert opening.values("fragment") == {(0, 0)}
    assert opening.values("header_length") == {(5, 5)}
    assert opening.values("connection") == {(Connection.NEW, Connection.NEW)}
    assert opening.values("ethernet_type") == {(ETHERNET_IPV4, ETHERNET_IPV4)}
    assert not question.permitted & frames.box(protocol=TCP, tcp_flags=SYN | ACK)


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ethernet_type": ETHERNET_IPV4, "protocol": TCP, "destination_port": 443}, "tcp/443"),
        ({"ethernet_type": ETHERNET_IPV4, "protocol": UDP}, "udp/any"),
        ({"ethernet_type": ETHERNET_IPV4, "protocol": UDP, "destination_port": (1, 9)}, "udp/1-9"),
        ({"ethernet_type": ETHERNET_IPV4, "protocol": 50}, "esp"),
        ({"ethernet_type": ETHERNET_IPV4, "protocol": 99}, "protocol 99"),
        ({"ethernet_type": ETHERNET_IPV6, "protocol": 58, "destination_port": 128}, "ipv6 icmpv6/128"),
        ({"ethernet_type": ETHERNET_ARP}, "arp"),
        ({"ethernet_type": 0x88CC}, "ethernet/88cc"),
        ({}, "any"),
    ],
)
def test_services_in_words(frames: Frames, fields: dict[str, int], words: str) -> None:
    assert services(frames.box(**fields)) == words


def test_beyond_four_services_are_counted(frames: Frames) -> None:
    ports = frozenset((port, port) for port in (1, 3, 5, 7, 9, 11))
    region = frames.box(ethernet_type=ETHERNET_IPV4, protocol=TCP, destination_port=ports)
    assert services(region) == "tcp/1, tcp/3, tcp/5, tcp/7, 2 more"
    assert len(every_service(region)) == len(ports)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "TCP SYN from 0.0.0.0 port 40000 to 0.0.0.0 port 443"),
        ({"protocol": UDP, "source": 1}, "UDP from 0.0.0.1 port 40000 to 0.0.0.0 port 443"),
        ({"protocol": TCP, "tcp_flags": 0}, "TCP without flags from 0.0.0.0 port 40000 to 0.0.0.0 port 443"),
        ({"protocol": TCP, "tcp_flags": SYN | ACK}, "TCP SYN+ACK from 0.0.0.0 port 40000 to 0.0.0.0 port 443"),
        ({"protocol": ICMP, "destination_port": 8}, "ICMP from 0.0.0.0 to 0.0.0.0 type 8 code 0"),
        ({"protocol": 50}, "ESP from 0.0.0.0 to 0.0.0.0"),
        ({"protocol": UDP, "fragment": Fragment.LATER}, "UDP later fragment from 0.0.0.0 to 0.0.0.0"),
        ({"header_length": 6}, "TCP SYN with IP options from 0.0.0.0 port 40000 to 0.0.0.0 port 443"),
        ({"tag": 110, "inner_tag": 0}, "TCP SYN from 0.0.0.0 port 40000 to 0.0.0.0 port 443, tag 110, tag 0"),
        ({"connection": 1}, "TCP SYN (established) from 0.0.0.0 port 40000 to 0.0.0.0 port 443"),
        ({"ethernet_type": ETHERNET_ARP, "source": 5, "destination": 6}, "ARP from 0.0.0.5 about 0.0.0.6"),
        ({"ethernet_type": 0x88CC}, "frame of type 88cc"),
        ({"ethernet_type": ETHERNET_IPV6, "source": 1}, "IPv6 TCP SYN from ::1 port 40000 to :: port 443"),
    ],
)
def test_a_packet_in_one_line(frames: Frames, fields: dict[str, int], words: str) -> None:
    packet: Packet = (frames.well_formed & frames.box(**fields)).witness(*wishes(frames))
    assert text(packet) == words
