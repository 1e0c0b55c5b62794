"""The command `wave`: one transaction a commune, a canary first, then so many communes at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cloison.cli.app import app
from cloison.cli.declared import JsonOption  # noqa: TC001  Typer reads it at run time
from cloison.cli.lab import DEFAULT_LAB, NameOption
from cloison.cli.planning import DEFAULT_GATE, GateOption, operation_of
from cloison.cli.running import KeyOption, NetworkOption, SiteOption, ViaOption, open_network, via_of
from cloison.errors import InputError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cloison.change.wave_journal import Order, SiteOutcome, Table, Wave
    from cloison.change.waves import Pace
    from cloison.cli.site_changes import SiteChanges
    from cloison.session import Session


def share_of(halt: str) -> float:
    """Return the share of all sites at which a wave halts: 0 for `first`; InputError for another word."""
    words = halt.removesuffix("%")
    try:
        share = 0.0 if halt == "first" else float(words) / (100 if words != halt else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        msg = f"--halt {halt}: expected `first`, or a share such as 0.05 or 5%"
        raise InputError(msg)
    return share


@app.command()
def wave(  # noqa: PLR0913  one argument an option
    context: typer.Context,
    *,
    site: SiteOption = None,
    canary: Annotated[str | None, typer.Option(help="The site that all others wait for; by default the first.")] = None,
    size: Annotated[int, typer.Option(min=1, help="How many sites are changed at the same time.")] = 5,
    halt: Annotated[str, typer.Option(help="When no further site is begun: `first`, or a share such as 5%.")] = "first",
    again: Annotated[str | None, typer.Option("--resume", metavar="WAVE", help="Go on with a wave.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Change devices; without it the order is shown.")] = False,
    gate: GateOption = DEFAULT_GATE,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring what is declared to many communes, each as one transaction; halt at the first that fails."""
    from cloison.change.plan import intent_digest
    from cloison.change.wave_journal import begin_wave, find_wave
    from cloison.change.waves import Pace
    from cloison.cli.site_changes import SiteChanges

    pace = Pace(share=share_of(halt))
    session = open_network(context, network, name, key)
    operation = operation_of(session, gate)
    folder = operation.ledger.folder / "waves"
    order = _order(session, site, canary, size) if again is None else find_wave(folder, again).order
    if order.intent != intent_digest(session.intent):
        msg = f"the inventory changed since wave {again} was begun; begin another one"
        raise RefusedError(msg)
    if not yes:
        _show_order(order)
        msg = "nothing was changed: give --yes"
        raise RefusedError(msg)
    changes = SiteChanges(operation, via_of(session, via, order.sites))
    begun = begin_wave(folder, order) if again is None else find_wave(folder, again)
    _show(_carried_out(begun, changes, pace, session), folder / begun.name, as_json=as_json)


def _order(session: Session, sites: Sequence[str] | None, canary: str | None, size: int) -> Order:
    from cloison.change.plan import intent_digest
    from cloison.change.wave_journal import Order
    from cloison.change.waves import waves
    from cloison.intent.models import Role
    from cloison.model import Name

    session.devices_of(sites)  # its error names a site that there is not
    known = [found.name for found in session.intent.sites if found.role is Role.COMMUNE]
    chosen = [Name(one) for one in sites] if sites else known
    if not chosen:
        msg = "there is no commune to be changed"
        raise InputError(msg)
    first = chosen[0] if canary is None else next((one for one in known if one == canary), None)
    if first is None:
        msg = f"--canary {canary}: expected one of {', '.join(known)}"
        raise InputError(msg)
    return Order(intent=intent_digest(session.intent), canary=True, waves=waves(chosen, first, size))


def _carried_out(begun: Wave, changes: SiteChanges, pace: Pace, session: Session) -> Table:
    import time
    from random import SystemRandom

    from cloison.change.fragment import sharing_devices
    from cloison.change.waves import Around, run_waves
    from cloison.cli.output import progress
    from cloison.model import Untrusted

    with progress(f"wave {begun.name}") as narrate:

        def tell(outcome: SiteOutcome) -> None:
            narrate(Untrusted(f"{outcome.site}: {outcome.state} {outcome.reason}").shown(400))

        around = Around(
            paths=lambda site: sharing_devices(session.intent, site),
            tell=tell,
            monotonic=time.monotonic,
            sleep=time.sleep,
            random=SystemRandom(),
        )
        return run_waves(begun, changes, pace, around)


def _show_order(order: Order) -> None:
    from cloison.cli.output import say

    for number, sites in enumerate(order.waves):
        word = "canary" if order.canary and not number else f"wave {number}"
        say(f"{word:<10} {' '.join(sites)}")


def _show(table: Table, folder: Path, *, as_json: bool) -> None:
    from cloison.change.wave_journal import SiteState
    from cloison.cli.output import print_json, print_untrusted, say
    from cloison.model import Untrusted

    if as_json:
        print_json(table.model_dump(mode="json"))
    else:
        for state in SiteState:
            say(f"{state.value:<12} {table.states[state]:>5}")
        say(f"{'sites':<12} {table.sites:>5}")
        halted = f"halted: {table.halted}; " if table.halted else ""
        left = (
            f"next: cloison wave --resume {table.wave} --yes" if table.states[SiteState.CONFIRMED] < table.sites else ""
        )
        print_untrusted(
            Untrusted(f"wave {table.wave}: {halted}{left or 'all sites run what is declared'} ({folder})\n")
        )
    raise typer.Exit(table.exit_code)
