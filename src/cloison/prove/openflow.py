"""The flow table of a switch, as OpenFlow has it: which frames, of which port, go where. The parser makes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cloison.prove.space import Values

if TYPE_CHECKING:
    from cloison.prove.statement import Statement, Unmodelled

Output = int | str
"""The number of a port, the name of one, or one of the words below."""
NORMAL: Final = "NORMAL"
"""As a switch does that learns and knows VLANs (ovs-actions(7))."""
FLOOD: Final = "FLOOD"
ALL: Final = "ALL"
IN_PORT: Final = "IN_PORT"
"""Back where the frame came from; any other way to name that port does nothing."""

Conditions = tuple[tuple[str, Values], ...]
"""Fields of the frame (packet.FIELDS) and what each may be: all of them must hold."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow: of the frames that match, every one goes to all the outputs; to none, it is dropped."""

    statement: Statement = field(compare=False)
    table: int
    priority: int
    in_port: Output | None
    """None for every port."""
    match: tuple[Conditions, ...]
    """The frames are those for which one of these holds. Where `opaque`, those and perhaps fewer."""
    outputs: tuple[Output, ...]
    opaque: tuple[Unmodelled, ...] = field(default=(), compare=False)
    """What the flow asks for or does and is not modelled: what becomes of its frames is not known."""
    is_opaque: bool = False


@dataclass(frozen=True, slots=True)
class FlowTable:
    """Every flow of a bridge, in the order of the section."""

    flows: tuple[Flow, ...]
    opaque: tuple[Unmodelled, ...] = field(default=(), compare=False)
    """Lines that are no flow: what becomes of any frame is not known."""
    is_opaque: bool = False
