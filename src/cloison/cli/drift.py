"""The command drift: what devices run otherwise than declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cloison.cli.app import app
from cloison.cli.declared import JsonOption  # noqa: TC001  Typer reads the annotations at run time
from cloison.cli.lab import DEFAULT_LAB, NameOption
from cloison.cli.running import KeyOption, NetworkOption, SiteOption, ViaOption, open_network, via_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.change.drift import Drift


@app.command()
def drift(
    context: typer.Context,
    *,
    site: SiteOption = None,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare what every device runs with what is declared, by meaning; name what is foreign, missing or changed."""
    from cloison.change.drift import find
    from cloison.cli.output import print_json, print_untrusted, progress
    from cloison.model import Untrusted

    session = open_network(context, network, name, key)
    way = via_of(session, via, site)
    devices = session.devices_of(site)
    with progress("drift") as narrate:
        narrate(f"reading {len(devices)} devices, via {way}")
        found = find(
            session.intent,
            session.workspace.templates,
            session.reach(way),
            network=session.network.value,
            via=way,
            devices=devices,
        )
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        print_untrusted(Untrusted("".join(f"{line}\n" for line in _lines(found))))
    raise typer.Exit(found.exit_code)


def _lines(found: Drift) -> Iterator[str]:
    """Yield the whole differences, then one line a departure and a device, then the tally."""
    for difference in found.differences:
        yield f"{difference.device}: section {difference.section}"
        yield from difference.diff.splitlines()
        yield ""
    yield from summary(found)


def summary(found: Drift) -> Iterator[str]:
    """Yield one line for each departure and for each device that was not compared, and the tally last. Untrusted."""
    from cloison.change.departure import words

    for departure in found.departures:
        yield f"{departure.device}: {words(departure)}"
    for pending in found.under_way:
        rest = f", {pending.seconds:.0f} s left" if pending.seconds else ""
        yield f"{pending.device}: not compared: a change is under way ({pending.state}, {pending.token}{rest})"
    for unread in found.unread:
        yield f"{unread.device}: could not be read: {unread.reason}"
    yield tally(found)


def tally(found: Drift) -> str:
    """Return one line: how much drifts, of how much that was compared."""
    compared = f"{_counted(found.devices, 'device')}, {_counted(found.sections, 'section')} compared"
    left = len(found.under_way) + len(found.unread)
    beside = f"; {_counted(left, 'device')} not compared" if left else ""
    if not found.departures:
        return f"drift: {'undetermined' if left or not found.devices else 'none'}; {compared}{beside}"
    devices = len({departure.device for departure in found.departures})
    count = _counted(len(found.departures), "departure")
    return f"drift: {count} on {_counted(devices, 'device')}; {compared}{beside}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
