"""A switch as Open vSwitch has it: bridges, ports, VLANs, and what copies frames. The parser makes it.

The words are those of ovs-vswitchd.conf.db(5). Two models are equal when the switch does the same with every frame,
wherever their statements stand and whatever their words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloison.prove.statement import Statement, Unmodelled

LOCAL = "LOCAL"
"""The OpenFlow number of the bridge's own port, by its name (OpenFlow 1.4 section 7.2.1)."""


class VlanMode(StrEnum):
    """What a port does with tags (ovs-vswitchd.conf.db(5), Port, "VLAN Configuration")."""

    ACCESS = "access"
    TRUNK = "trunk"
    NATIVE_TAGGED = "native-tagged"
    NATIVE_UNTAGGED = "native-untagged"
    DOT1Q_TUNNEL = "dot1q-tunnel"


class PriorityTags(StrEnum):
    """Whether frames that leave untagged get a tag with VLAN 0."""

    NEVER = "never"
    MAYBE = "maybe"
    """`if-nonzero` (when they have a priority) and `always`, which in OVS 3.1 comes to the same (measured)."""


@dataclass(frozen=True, slots=True)
class SwitchPort:
    """One port of a bridge."""

    statement: Statement = field(compare=False)
    name: str
    mode: VlanMode
    tag: int
    """The VLAN of an access port, the native VLAN of a trunk; 0 where none is set."""
    trunks: frozenset[int]
    """The VLANs a trunk carries; empty for all."""
    customer_vlans: frozenset[int]
    """The outer tags that a dot1q-tunnel takes in; empty for all."""
    protected: bool
    """Never forwards to another protected port."""
    priority_tags: PriorityTags
    number: int | str | None
    """The OpenFlow number that is asked for, LOCAL for the bridge's own port; None where the daemon chooses."""
    opaque: tuple[Unmodelled, ...] = field(default=(), compare=False)
    """What is set on the port and not modelled: no frame that comes in or goes out by it is known."""
    is_opaque: bool = False
    """Whether there is such a thing; it takes part in comparisons."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copier of frames (SPAN). All conditions that are set must hold."""

    statement: Statement = field(compare=False)
    sources: frozenset[str]
    """Ports whose arriving frames are copied; with both sets empty and `every` false, none is."""
    destinations: frozenset[str]
    """Ports whose leaving frames are copied."""
    every: bool
    vlans: frozenset[int]
    """The VLANs that are copied; empty for all."""
    output: str
    """The port that gets the copies, and no other frame; empty where there is none."""


@dataclass(frozen=True, slots=True)
class SwitchBridge:
    """One bridge."""

    statement: Statement = field(compare=False)
    name: str
    secure: bool
    """With `fail_mode=secure` nothing passes without a flow; otherwise the bridge begins with one NORMAL flow."""
    forward_bpdu: bool
    """Whether NORMAL forwards the reserved multicast addresses."""
    ports: tuple[SwitchPort, ...]
    mirrors: tuple[Mirror, ...] = ()
    opaque: tuple[Unmodelled, ...] = field(default=(), compare=False)
    """What is set on the bridge, or on the whole switch, and not modelled: no frame through it is known."""
    is_opaque: bool = False


@dataclass(frozen=True, slots=True)
class Switch:
    """Every bridge of a device."""

    bridges: tuple[SwitchBridge, ...]
    opaque: tuple[Unmodelled, ...] = field(default=(), compare=False)
    """What is not modelled and belongs to no bridge."""
    is_opaque: bool = False
