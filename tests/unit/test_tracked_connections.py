"""What a device lists of tracked connections: read whole or not at all, and weighed by the chain it would pass."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from cloison.change.plan import candidates
from cloison.errors import DeviceError
from cloison.flow import Outcome
from cloison.gate.refusals import RefusedConversations
from cloison.intent.load import load
from cloison.model import EquipmentName
from cloison.prove.conversation import Conversation, weigh
from cloison.prove.parse.tracked import read_tracked
from cloison.render.config import Config, SectionName

ROOT = Path(__file__).parents[2]
COMMUNE = EquipmentName("roussy-le-village/firewall")


def tcp(source: str, destination: str, port: int, *, answers_from: str | None = None) -> str:
    return (
        f"ipv4     2 tcp      6 431999 ESTABLISHED src={source} dst={destination} sport=40872 dport={port} "
        f"src={answers_from or destination} dst={source} sport={port} dport=40872 [ASSURED] mark=0 use=1\n"
    )


def udp(source: str, destination: str, port: int, sport: int = 41054) -> str:
    return (
        f"ipv4     2 udp      17 13 src={source} dst={destination} sport={sport} dport={port} "
        f"src={destination} dst={source} sport={port} dport={sport} mark=0 use=1\n"
    )


RELAY = tcp("10.56.1.50", "10.56.1.90", 322)
RECORD = tcp("10.56.1.34", "10.56.1.90", 322)
LOG = tcp("10.56.1.1", "10.56.3.18", 6514)
MANAGED = tcp("10.56.3.2", "10.56.1.1", 22)
LAPTOP = tcp("192.168.56.10", "192.168.56.9", 22)
TIME = udp("10.56.1.82", "10.56.1.81", 123)
IKE = udp("192.0.2.2", "203.0.113.2", 4500, 4500)
IKE_FROM_THERE = udp("203.0.113.2", "192.0.2.2", 4500, 4500)
ITSELF = tcp("127.0.0.1", "127.0.0.1", 5000)
HEALTHY = RELAY + RECORD + LOG + MANAGED + LAPTOP + TIME + IKE + IKE_FROM_THERE + ITSELF
PING = (
    "ipv4     2 icmp     1 29 src=10.56.1.50 dst=10.56.1.90 type=8 code=0 id=77 "
    "src=10.56.1.90 dst=10.56.1.50 type=0 code=0 id=77 mark=0 use=1\n"
)
ESP = "ipv4     2 unknown  50 599 src=203.0.113.2 dst=192.0.2.2 src=192.0.2.2 dst=203.0.113.2 mark=0 use=1\n"


@pytest.fixture(scope="module")
def declared() -> Config:
    return candidates(load(ROOT), ROOT / "templates")[COMMUNE]


def without(config: Config, rule: str, instead: str = "") -> Config:
    """Return a configuration without the rules of a name; one text takes the place of all of them, behind the last."""
    sections = []
    for section in config.sections:
        if section.name is SectionName.FILTER:
            lines = section.text.splitlines(keepends=True)
            left = [line for line in lines if f'comment "{rule}"' not in line]
            assert len(left) < len(lines)
            text = "".join(left).replace("\t\tjump noise\n", f"{instead}\t\tjump noise\n")
            sections.append(section.model_copy(update={"text": text}))
        else:
            sections.append(section)
    return config.model_copy(update={"sections": tuple(sections)})


def test_what_the_rules_let_open_is_left_alone(declared: Config) -> None:
    refusals = RefusedConversations()
    assert refusals(declared, HEALTHY) == ()
    assert refusals.checks() == ()
    assert refusals(declared, "") == ()


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        ("relay", [RELAY]),
        ("record", [RECORD]),
        ("log-remote", [LOG]),
        ("manage-devices", [MANAGED]),
        ("local-management", [LAPTOP]),
        ("time", [TIME]),
        ("ike", [IKE, IKE_FROM_THERE]),
        ("loopback", [ITSELF]),
    ],
)
def test_each_is_judged_by_the_chain_that_it_would_pass(declared: Config, rule: str, refused: list[str]) -> None:
    expected = tuple(one.words for one in read_tracked(COMMUNE, "".join(refused)))
    assert RefusedConversations()(without(declared, rule), HEALTHY) == expected


def test_the_words_select_by_addresses_and_ports(declared: Config) -> None:
    refusals = RefusedConversations()
    assert refusals(without(declared, "relay"), RELAY) == (
        "-p tcp -s 10.56.1.50 -d 10.56.1.90 --sport 40872 --dport 322",
    )
    assert refusals(declared, PING) == ("-p icmp -s 10.56.1.50 -d 10.56.1.90 --icmp-type 8 --icmp-code 0 --icmp-id 77",)
    six = Conversation(6, 58, "icmpv6", IPv4Address(0), IPv4Address(0), 0, 128, identifier=3)
    assert six.words.startswith("-f ipv6 -p icmpv6 ")


def test_what_nobody_can_tell_is_reported_and_not_cut(declared: Config) -> None:
    odd = without(declared, "relay", '\t\tmeta cgroup 7 accept comment "odd"\n')
    refusals = RefusedConversations()
    assert refusals(odd, RELAY + RECORD) == ()
    (check,) = refusals.checks()
    assert (check.name, check.outcome, check.device) == ("conversations", Outcome.UNKNOWN, COMMUNE)
    assert "10.56.1.50" in check.detail
    assert "not modelled" in check.detail
    assert refusals(declared, RELAY) == ()
    assert refusals.checks() == ()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (tcp("10.56.1.50", "10.56.1.90", 9, answers_from="10.56.1.99"), "translated"),
        (tcp("10.56.1.50", "10.56.1.90", 9).replace("mark=0", "mark=0 zone=4"), "no words"),
        (ESP, "no words"),
    ],
)
def test_what_has_no_words_of_its_own_is_reported(declared: Config, line: str, why: str) -> None:
    refusals = RefusedConversations()
    assert refusals(declared, line) == ()
    (check,) = refusals.checks()
    assert why in check.detail


def test_a_session_that_was_picked_up_backwards_is_left_alone_only_where_that_can_be(declared: Config) -> None:
    backwards = tcp("10.56.1.90", "10.56.1.50", 40872).replace("sport=40872 dport=40872", "sport=322 dport=40872", 1)
    backwards = backwards.replace("sport=40872 dport=40872", "sport=40872 dport=322")
    assert len(RefusedConversations()(declared, backwards)) == 1
    loose = declared.model_copy(
        update={
            "sections": tuple(
                one.model_copy(update={"text": one.text.replace("tcp_loose=0", "tcp_loose=1")})
                for one in declared.sections
            )
        }
    )
    assert RefusedConversations()(loose, backwards) == ()


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        RELAY[:60],
        RELAY.replace("sport=40872", "sport=408720000"),
        RELAY.replace("sport=40872", "sport=-1"),
        RELAY.replace("sport=40872", "sport=٤"),
        RELAY.replace("src=10.56.1.50", "src=10.56.1.500"),
        RELAY.replace("ipv4     2 tcp      6", "ipv4     2 tcp      600"),
        RELAY.replace("ipv4 ", "ipv5 "),
        RELAY.replace("ipv4 ", "ipv6 "),
        RELAY.replace("src=10.56.1.50", "source=10.56.1.50"),
        "ipv6 10 tcp 6 9 src=fe80::1%$(id) dst=fe80::2 sport=1 dport=2 src=fe80::2 dst=fe80::1 sport=2 dport=1",
        f"{RELAY}\x1b]0;title\x07",
        PING.replace("id=77", ""),
    ],
)
def test_half_a_line_or_nonsense_is_an_error_that_names_the_device(text: str) -> None:
    with pytest.raises(
        DeviceError, match=r"^roussy-le-village/firewall: a tracked connection of no known form"
    ) as raised:
        read_tracked(COMMUNE, RECORD + text)
    assert "\x1b" not in str(raised.value)


def test_connections_over_ipv6_are_read_and_refused(declared: Config) -> None:
    line = (
        "ipv6     10 tcp      6 9 ESTABLISHED src=2001:db8::1 dst=2001:db8::2 sport=40000 dport=22 "
        "src=2001:db8::2 dst=2001:db8::1 sport=22 dport=40000 [ASSURED] mark=0 use=1"
    )
    (read,) = read_tracked(COMMUNE, line)
    assert read.words == "-f ipv6 -p tcp -s 2001:db8::1 -d 2001:db8::2 --sport 40000 --dport 22"
    sections = {section.name.value: section.text for section in declared.sections}
    assert weigh(COMMUNE, sections, (read,)).refused == (read,)
