"""The way of one packet on the terminal, and as a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.cli.output import say

if TYPE_CHECKING:
    from cloison.prove.answer import Hop
    from cloison.prove.explain import Explanation
    from cloison.prove.way import Way


def verdict(explained: Explanation) -> str:
    """Return what is declared and what happens, in one sentence."""
    ends = f"{explained.service} from {explained.sender} to {explained.receiver}"
    if not explained.determined:
        return f"{ends}: whether it gets through cannot be determined; what decides is not modelled."
    if explained.flow is not None:
        if explained.arrives:
            return f"{ends} gets through, as flow {explained.flow.rule} declares."
        part = "its answers do not come back" if explained.there.arrives else "it does not get through"
        return f"{ends} is declared by flow {explained.flow.rule}, and {part}."
    if explained.there.arrives and explained.permitted:
        return f"{ends} gets through; no flow declares it, the network itself needs it."
    if explained.there.arrives:
        return f"{ends} gets through, and no flow declares it."
    return f"{ends} does not get through, and no flow declares it."


def show_explanation(explained: Explanation) -> None:
    """Write an explanation to standard output."""
    say(verdict(explained), style="green" if explained.conforms else "red")
    say(f"Tunnels {explained.tunnels}.")
    _show_way("There", explained.there)
    if explained.back is not None:
        _show_way("Back", explained.back)


def _show_way(title: str, way: Way) -> None:
    say()
    say(title, style="bold")
    device = ""
    for hop in way.hops:
        if hop.device != device:
            device = hop.device
            say(f"  {device}", style="cyan")
        say(f"    {hop.what}")
        if hop.statement:
            say(f"        {hop.place}: {hop.statement}", style="dim")


def document(explained: Explanation) -> dict[str, object]:
    """Return an explanation for a program."""
    return {
        "sender": explained.sender,
        "receiver": explained.receiver,
        "service": explained.service,
        "tunnels": explained.tunnels.value,
        "flow": None if explained.flow is None else str(explained.flow.rule),
        "arrives": explained.there.arrives,
        "answered": explained.back.arrives if explained.back is not None else None,
        "permitted": explained.flow is not None or explained.permitted,
        "determined": explained.determined,
        "conforms": explained.conforms,
        "there": [_step(hop) for hop in explained.there.hops],
        "back": [_step(hop) for hop in explained.back.hops] if explained.back is not None else None,
    }


def _step(hop: Hop) -> dict[str, object]:
    place = None if hop.place is None else {"section": hop.place.section, "line": hop.place.line}
    return {"device": hop.device, "what": hop.what, "statement": hop.statement or None, "place": place}
