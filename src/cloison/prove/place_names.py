"""The names that places have, and finding one from what a person typed."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from cloison.errors import InputError
from cloison.prove.places import WAN, out_of_tunnel, technician
from cloison.prove.question import trunk_places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.intent.network import Intent


def place_names(intent: Intent) -> Iterator[str]:
    """Yield the name of every place that packets are sent from or heard at, site by site, the WAN last."""
    for site in intent.sites:
        yield from (str(one.name) for one in site.equipment if one.address is not None)
        yield from (
            f"{one.name}:{port.name}"
            for one in site.equipment
            if one.is_device and one.name != site.firewall.name
            for port in one.ports
            if port.peer is None
        )
        yield from (place for place, _ in trunk_places(site))
        yield technician(site.name)
        yield out_of_tunnel(site.name)
    yield WAN


def place_named(intent: Intent, typed: str) -> str:
    """Return the place of that name, or the only one whose name ends so after a slash; InputError otherwise."""
    names = list(place_names(intent))
    if typed in names:
        return typed
    found = [name for name in names if name.endswith(f"/{typed}")]
    if len(found) == 1:
        return found[0]
    if found:
        msg = f"{typed}: more than one place ends so; expected one of {', '.join(found)}"
        raise InputError(msg)
    near = get_close_matches(typed, [*names, *(name.partition("/")[2] for name in names)], n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    msg = f"{typed}: no such place; expected <site>/<equipment>, <site>/<switch>:<port>, <site>/technician or wan{hint}"
    raise InputError(msg)
