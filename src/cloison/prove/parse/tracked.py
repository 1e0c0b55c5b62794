"""The tracked connections of a device, as conntrack(8) lists them with `-o extended`.

A line is the family and its number, the protocol and its number, then the time left and a state where there are any,
then the first packet's fields, then those of the answers, with words in brackets between. The text is the device's
word: a line of another form is an error and never skipped.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from cloison.errors import DeviceError
from cloison.model import Untrusted
from cloison.prove.conversation import Conversation
from cloison.prove.packet import ICMP, ICMPV6, WITH_PORTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.model import EquipmentName

_ADDRESSES: Final[Mapping[str, type[IPv4Address | IPv6Address]]] = {"ipv4": IPv4Address, "ipv6": IPv6Address}
_HEAD = 4
_SHOWN = 120
_LONGEST_NUMBER = 20

Fields = dict[str, str]


def read_tracked(device: EquipmentName, listing: str) -> tuple[Conversation, ...]:
    """Return the connections; DeviceError for a line that has no known form."""
    found = []
    for line in listing.splitlines():
        if line.strip():
            try:
                found.append(_conversation(line.split()))
            except (ValueError, KeyError, IndexError) as error:
                msg = f"a tracked connection of no known form: {Untrusted(line).shown(_SHOWN)}"
                raise DeviceError(device, msg) from error
    return tuple(found)


def _conversation(words: list[str]) -> Conversation:
    address = _ADDRESSES[words[0]]
    protocol = _number(words[3], 0xFF)
    first, answer, rest = _fields(words[_HEAD:])
    if "%" in first["src"] + first["dst"]:  # an address with a zone, whose name could be anything
        raise ValueError(words[0])
    with_ports, message = protocol in WITH_PORTS, protocol in {ICMP, ICMPV6}
    return Conversation(
        version=4 if words[0] == "ipv4" else 6,
        protocol=protocol,
        name=words[2],
        source=address(first["src"]),
        destination=address(first["dst"]),
        source_port=_number(first["sport"], 0xFFFF) if with_ports else _number(first["code"], 0xFF) if message else 0,
        destination_port=(
            _number(first["dport"], 0xFFFF) if with_ports else _number(first["type"], 0xFF) if message else 0
        ),
        identifier=_number(first["id"], 0xFFFF) if message else None,
        translated=not _mirrored(first, answer),
        zone="zone" in rest,
    )


def _fields(words: list[str]) -> tuple[Fields, Fields, Fields]:
    """Return the fields of the first packet, those of the answers, and what is said of the connection."""
    first: Fields = {}
    answer: Fields = {}
    rest: Fields = {}
    at = first
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            continue
        if key == "src" and at is first and first:
            at = answer
        # Behind the fields of a packet stand words about the connection; `id` of a message is one of a packet.
        into = at if key in {"src", "dst", "sport", "dport", "type", "code", "id"} and key not in at else rest
        into[key] = value
    return first, answer, rest


def _mirrored(first: Fields, answer: Fields) -> bool:
    """Tell whether the answers are of who was asked, to who asked: otherwise addresses are translated."""
    pairs = (("src", "dst"), ("dst", "src"), ("sport", "dport"), ("dport", "sport"))
    return all(first.get(one) == answer.get(other) for one, other in pairs)


def _number(text: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_NUMBER or int(text) > most:
        raise ValueError(text)
    return int(text)
