"""What a port of a switch does with tags, on sets of frames (ovs-vswitchd.conf.db(5), Port; measured on OVS 3.1).

Inside the switch a frame is in one VLAN and has the tag of it taken off; what follows (another tag, say) is payload.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloison.prove.packet import ETHERNET_VLAN, UNTAGGED
from cloison.prove.switch import PriorityTags, VlanMode

if TYPE_CHECKING:
    from cloison.prove.packet import Frames
    from cloison.prove.space import Packet, Region, Values
    from cloison.prove.switch import SwitchPort

_SERVICE_VLAN: Final = 0x88A8
_LAST_VLAN: Final = 4095
_RESERVED: Final[tuple[tuple[int, int], ...]] = (
    (0x00E02B000000, 0x00E02B000000),  # EDP
    (0x00E02B000004, 0x00E02B000004),  # EAPS
    (0x00E02B000006, 0x00E02B000006),
    (0x01000C000000, 0x01000C000000),  # ISL
    (0x01000CCCCCC0, 0x01000CCCCCC7),  # CFM
    (0x01000CCCCCCC, 0x01000CCCCCCD),  # CDP, VTP, PAgP, UDLD, PVST+
    (0x01000CCDCDCD, 0x01000CCDCDCD),  # uplink fast
    (0x0180C2000000, 0x0180C200000F),  # STP, pause, LACP, 802.1X, LLDP (IEEE 802.1Q table 8-1)
)
"""Destinations that NORMAL does not forward unless `forward-bpdu` is set (measured, each one and its neighbours)."""
_BEHIND: Final = (
    *("arp_sender_mac", "arp_target_mac", "source", "destination", "protocol", "destination_port", "source_port"),
    *("tcp_flags", "fragment", "header_length"),
)
"""Every field of what follows the EtherType."""


class Tags:
    """Taking tags off and putting them on, and the sets that this needs; one for each space."""

    def __init__(self, frames: Frames) -> None:
        box = frames.box
        self._frames = frames
        self.tagged = box(tag=(0, _LAST_VLAN))
        self.more = box(ethernet_type=frozenset({(ETHERNET_VLAN, ETHERNET_VLAN), (_SERVICE_VLAN, _SERVICE_VLAN)}))
        """Frames with a third tag, of which nothing is kept."""
        self.sensible = ~(self.more & box(inner_tag=UNTAGGED)) - (box(tag=UNTAGGED) - box(inner_tag=UNTAGGED))
        """Frames that are not said to have a tag, by their EtherType, where the model has room for it."""
        self.reserved = box(mac_destination=frozenset(_RESERVED))
        self.low = box(tag=frozenset({(0, 0), (UNTAGGED, UNTAGGED)}))
        """Frames without a VLAN: untagged or priority-tagged."""
        self._single = box(inner_tag=UNTAGGED)
        self._unknown_payload = frames.well_formed.without("sender", "tag", "inner_tag", "receiver", "connection")
        self._third = box(ethernet_type=ETHERNET_VLAN, **dict.fromkeys(_BEHIND, 0))

    @staticmethod
    def of(frames: Frames) -> Tags:
        """Return the one of a space."""
        found = frames.kept.get(Tags)
        if not isinstance(found, Tags):
            found = frames.kept[Tags] = Tags(frames)
        return found

    def strip(self, region: Region) -> Region:
        """Return frames without their outer tag, if they have one; of what comes behind a third, anything."""
        if not region:
            return region
        opaque = region & self.more
        plain = region - opaque if opaque else region
        bare = plain.without("tag").swapping(("tag", "inner_tag")) & self._single
        if not opaque:
            return bare
        shifted = opaque.without("tag", "ethernet_type", *_BEHIND).swapping(("tag", "inner_tag"))
        return bare | (shifted & self._frames.box(inner_tag=(0, _LAST_VLAN)) & self._unknown_payload)

    def push(self, region: Region, vlan: int) -> Region:
        """Return frames with one tag more in front; a third is kept as the EtherType of one alone."""
        double = region - self._single
        single = region - double if double else region
        pushed = single
        if double:
            pushed = single | (double.without("inner_tag", "ethernet_type", *_BEHIND) & self._third)
        return pushed.without("inner_tag").swapping(("tag", "inner_tag")) & self._frames.box(tag=vlan)


@dataclass(frozen=True, slots=True)
class Entered:
    """Frames inside the switch, by how they came in."""

    tagged: Region
    """With the tag of their VLAN, as they arrived."""
    vlan: int
    """The VLAN of all others."""
    bare: Region
    """Those, without a tag of that VLAN."""
    priority: Region
    """Those of them that may still be put out with a VLAN 0 tag, since they came with one; without it."""
    tunnelled: bool
    """Whether the others came in whole at a dot1q-tunnel, so that a tag in front of them is their own."""

    def of(self, frames: Frames, vlans: frozenset[int]) -> Entered:
        """Return the frames of some VLANs; of all, for none."""
        if not vlans:
            return self
        tagged = self.tagged & frames.box(tag=_intervals(vlans)) if vlans - {0} else frames.nothing
        if self.vlan in vlans:
            return Entered(tagged, self.vlan, self.bare, self.priority, tunnelled=self.tunnelled)
        return Entered(tagged, self.vlan, frames.nothing, frames.nothing, tunnelled=self.tunnelled)


class VlanPort:
    """A port, as what lets frames into VLANs and out of them."""

    def __init__(self, frames: Frames, port: SwitchPort) -> None:
        self.port = port
        self.frames = frames
        self.tags = Tags.of(frames)
        self._access, self._tunnel = port.mode is VlanMode.ACCESS, port.mode is VlanMode.DOT1Q_TUNNEL
        native = port.mode in {VlanMode.NATIVE_TAGGED, VlanMode.NATIVE_UNTAGGED}
        carried = set(port.trunks)
        zero = (not carried or 0 in carried) and not (native and port.tag)
        if native and carried:
            carried.add(port.tag)
        of_one = self._access or self._tunnel
        self._carries = frames.nothing if of_one else frames.box(tag=_intervals(carried))
        """By the VLAN, the frames that a trunk lets in and out with their tag."""
        self._low_vlan = port.tag if of_one or native else (0 if zero else None)
        """The VLAN of frames that arrive without one."""
        untagged = of_one or (port.mode is VlanMode.NATIVE_UNTAGGED and port.tag != 0)
        self._bare_vlan = port.tag if untagged else (0 if zero else None)
        """The VLAN whose frames leave without a tag."""
        self.form = (port.mode, self._carries, self._bare_vlan, port.priority_tags)
        """Ports of one form put out the same frames."""

    def entering(self, arriving: Region) -> Entered:
        """Return the frames that the port lets in, each in its VLAN."""
        nothing, tags = self.frames.nothing, self.tags
        vlan = self._low_vlan
        if self._tunnel:
            allowed = self.port.customer_vlans
            if allowed:
                arriving &= self.frames.box(tag=_intervals(allowed)) | (tags.low if 0 in allowed else nothing)
            without = tags.strip(arriving & self.frames.box(tag=0))  # VLAN 0 with priority 0 is no tag to OVS
            return Entered(nothing, self.port.tag, arriving | without, nothing, tunnelled=True)
        tagged = arriving & self._carries
        if vlan is None:
            return Entered(tagged, 0, nothing, nothing, tunnelled=False)
        low = arriving & tags.low
        marked = low & tags.tagged
        bare = tags.strip(marked) | (low - marked) if marked else low
        return Entered(tagged, vlan, bare, tags.strip(marked), tunnelled=False)

    def carries_any(self, entered: Entered) -> bool:
        """Tell whether frames may go out by the port; false is certain, and quickly said."""
        if entered.tagged:
            return True
        return bool(entered.bare) and (entered.vlan == self._bare_vlan or {"tag": entered.vlan} in self._carries)

    def put_out(self, entered: Entered) -> Entered:
        """Return the frames that go out by the port, of the VLANs it carries."""
        tags, own = self.tags, self._bare_vlan
        tagged = entered.tagged & self._carries
        bare = priority = self.frames.nothing
        if own is not None:
            with_tag = entered.tagged & self.frames.box(tag=own) if own else bare
            tagged -= with_tag
            bare = tags.strip(with_tag)
            if entered.vlan == own:
                bare |= self._taken_off(entered)
                priority = entered.priority
        if entered.bare and entered.vlan != own and {"tag": entered.vlan} in self._carries:
            tagged |= tags.push(entered.bare, entered.vlan)
        return Entered(tagged, own or 0, bare, priority, tunnelled=entered.tunnelled and not self._access)

    def leaving(self, entered: Entered) -> Region:
        """Return the frames that leave by the port, as they are on the wire."""
        out = self.put_out(entered)
        return out.tagged | out.bare | self._with_priority(out.bare, out)

    def copying(self, entered: Entered) -> Region:
        """Return the frames as a mirror puts them out by this port, whatever VLANs it carries."""
        tags, own = self.tags, self._bare_vlan
        if self._access or self._tunnel:
            tagged, bare = self.frames.nothing, tags.strip(entered.tagged) | self._taken_off(entered)
        else:
            with_tag = entered.tagged & self.frames.box(tag=own) if own else self.frames.nothing
            tagged, bare = entered.tagged - with_tag, tags.strip(with_tag)
            if entered.vlan in {own, 0}:
                bare |= entered.bare
            else:
                tagged |= tags.push(entered.bare, entered.vlan)
        return tagged | bare | self._with_priority(bare, entered)

    def _taken_off(self, entered: Entered) -> Region:
        """Return the frames of the port's own VLAN without its tag.

        An access port takes off both tags that OVS may know of: that of the tunnel, and the customer's behind it.
        """
        return self.tags.strip(entered.bare) if entered.tunnelled and self._access else entered.bare

    def _with_priority(self, bare: Region, entered: Entered) -> Region:
        """Return the frames that leave with a VLAN 0 tag for their priority's sake."""
        if self.port.priority_tags is PriorityTags.MAYBE:
            return self.tags.push(bare, 0) if bare else bare
        kept = self.port.mode in {VlanMode.TRUNK, VlanMode.NATIVE_TAGGED} and entered.vlan == 0
        return self.tags.push(entered.priority, 0) if kept and entered.priority else self.frames.nothing

    def in_words(self, packet: Packet) -> str:
        """Say in which VLAN a frame is that came in here."""
        low = packet["tag"] in {0, UNTAGGED}
        vlan = self._low_vlan if low or self._tunnel else packet["tag"]
        return f"in VLAN {vlan} by port {self.port.name} ({self.port.mode})"

    def out_words(self, leaving: Region) -> str:
        """Say how frames leave here."""
        tag = leaving.witness()["tag"]
        return f"leaves by {self.port.name} {'untagged' if tag == UNTAGGED else f'with tag {tag}'}"


def _intervals(vlans: set[int] | frozenset[int]) -> Values:
    """Return VLANs as intervals, all of them for none; VLAN 0 left out, since a tag with it names no VLAN."""
    numbers = sorted(vlans - {0}) if vlans else []
    if not vlans:
        return 1, _LAST_VLAN
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return frozenset(found)
