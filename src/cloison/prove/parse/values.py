"""Values of the fields of a frame as ovs-fields(7) writes them: addresses, numbers, each with or without a mask."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from cloison.prove.packet import UNTAGGED, Fragment

if TYPE_CHECKING:
    from cloison.prove.space import Values

_MOST_INTERVALS: Final = 4096
_LONGEST: Final = 80
"""Characters of the longest value: an IPv6 address with a mask that is an address."""
_PRESENT: Final = 0x1000
"""The bit of `vlan_tci` that says that there is a tag (ovs-fields(7), VLAN FIELDS)."""
_PRIORITY: Final = 0xE000
_NO_VLAN: Final = 0xFFFF
"""`dl_vlan=0xffff`: a frame without a tag, in the words of OpenFlow 1.0."""
_FLAGS: Final = {name: 1 << bit for bit, name in enumerate(("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"))}
_FRAGMENTS: Final[dict[str, Values]] = {
    "no": int(Fragment.WHOLE),
    "yes": (int(Fragment.FIRST), int(Fragment.LATER)),
    "first": int(Fragment.FIRST),
    "later": int(Fragment.LATER),
    "not_later": (int(Fragment.WHOLE), int(Fragment.FIRST)),
}


def masked(value: int, mask: int, bits: int) -> Values:
    """Return the values whose masked bits are those of `value`.

    Raises ValueError when `value` has a bit outside the mask, or there would be more than 4096 intervals.
    """
    whole = (1 << bits) - 1
    if value & ~mask or mask & ~whole:
        raise ValueError(value)
    if mask == whole:
        return value
    free = whole & ~mask
    low = (free ^ (free + 1)) >> 1 & free  # the free bits below every bit that counts
    upper = [1 << bit for bit in range(bits) if (free & ~low) >> bit & 1]
    if 1 << len(upper) > _MOST_INTERVALS:
        raise ValueError(mask)
    starts = [value]
    for bit in upper:
        starts += [start | bit for start in starts]
    if len(starts) == 1:
        return value, value | low
    return frozenset((start, start | low) for start in starts)


@lru_cache(maxsize=8192)
def mac_values(text: str) -> Values:
    """Return the values of `00:11:22:33:44:55[/mask]`; ValueError when it is something else."""
    address, slash, mask = text.partition("/")
    return masked(_mac(address), _mac(mask) if slash else (1 << 48) - 1, 48)


def _mac(text: str) -> int:
    pairs = text.split(":")
    if len(pairs) != 6 or not all(len(pair) in {1, 2} for pair in pairs):  # noqa: PLR2004  octets of an address
        raise ValueError(text)
    return int.from_bytes(bytes(int(pair, 16) for pair in pairs))


@lru_cache(maxsize=8192)
def ipv4_values(text: str) -> Values:
    """Return the values of `192.0.2.0[/prefix or mask]`; ValueError when it is something else."""
    return _address_values(text, 32)


@lru_cache(maxsize=8192)
def ipv6_values(text: str) -> Values:
    """Return the values of `2001:db8::[/prefix or mask]`; ValueError when it is something else."""
    return _address_values(text, 128)


def _address_values(text: str, bits: int) -> Values:
    if len(text) > _LONGEST:
        raise ValueError(text[:_LONGEST])
    kind = IPv4Address if bits == 32 else IPv6Address  # noqa: PLR2004  RFC 791
    address, slash, given = text.partition("/")
    value, whole = int(kind(address)), (1 << bits) - 1
    if not slash:
        return value
    if given.isascii() and given.isdigit():
        length = int(given)
        if length > bits:
            raise ValueError(text)
        mask = whole ^ (whole >> length)
    else:
        mask = int(kind(given))
    return masked(value & mask, mask, bits)  # ovs-ofctl clears the bits outside the mask


def number_values(text: str, bits: int) -> Values:
    """Return the values of `N[/mask]`, decimal or hexadecimal; ValueError when it is something else."""
    value, slash, mask = text.partition("/")
    whole = (1 << bits) - 1
    given = _number(mask) if slash else whole
    if _number(value) > whole or given > whole:
        raise ValueError(text)
    return masked(_number(value) & given, given, bits)


def _number(text: str) -> int:
    if not text.isascii() or not text.isalnum() or len(text) > 20:  # noqa: PLR2004  digits of 64 bits
        raise ValueError(text)
    return int(text, 0) if text[:2].lower() == "0x" else int(text, 10)


@lru_cache(maxsize=8192)
def vlan_values(text: str) -> Values:
    """Return the tags of `dl_vlan=N`; ValueError when it is something else."""
    number = _number(text)
    if number == _NO_VLAN:
        return UNTAGGED
    if number >= UNTAGGED:
        raise ValueError(text)
    return number


@lru_cache(maxsize=8192)
def tci_values(text: str, whole: int) -> Values:
    """Return the tags of `vlan_tci=N[/mask]` or, with `whole` 0x1fff, `vlan_vid=N[/mask]`.

    Raises ValueError for something else, and for one that asks for a priority, which the proof does not keep.
    """
    first, slash, second = text.partition("/")
    value, mask = _number(first), _number(second) if slash else whole
    value &= mask
    if not slash and value == 0:
        mask = _PRESENT  # `vlan_tci=0` is a frame without a tag: what else would be compared is 0 there
    if mask & ~whole or (mask & _PRIORITY and not (mask & _PRESENT and not value & _PRESENT)):
        raise ValueError(text)
    tagged = [tag for tag in range(UNTAGGED) if (tag | _PRESENT) & mask & ~_PRIORITY == value]
    return intervals([*tagged, *([UNTAGGED] if value == 0 else [])])


def intervals(numbers: list[int]) -> Values:
    """Return ascending numbers as intervals; ValueError when there is none."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    if not found:
        msg = "no value"
        raise ValueError(msg)
    if len(found) > 1:
        return frozenset(found)
    return found[0][0] if found[0][0] == found[0][1] else found[0]


def flag_values(text: str) -> Values:
    """Return the values of `tcp_flags=+syn-ack` or `tcp_flags=N/mask`; ValueError for bits that are not kept."""
    if text[:1] not in {"+", "-"}:
        value, slash, mask = text.partition("/")
        given = _number(mask) if slash else 0xFFF  # the four bits above are reserved, and the proof does not keep them
        return masked(_number(value), given, 8)
    value_bits = mask_bits = 0
    for sign, name in _signed(text):
        bit = _FLAGS.get(name)
        if bit is None or mask_bits & bit:
            raise ValueError(text)
        mask_bits |= bit
        value_bits |= bit if sign == "+" else 0
    return masked(value_bits, mask_bits, 8)


def _signed(text: str) -> list[tuple[str, str]]:
    return [(part[0], part[1:]) for part in text.replace("+", " +").replace("-", " -").split()]


def fragment_values(text: str) -> Values:
    """Return the values of `nw_frag`; ValueError when it is none."""
    if text not in _FRAGMENTS:
        raise ValueError(text)
    return _FRAGMENTS[text]
