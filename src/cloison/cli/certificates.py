"""Commands about the certificates of the tunnels: shown, renewed, revoked; asked for and installed."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path  # noqa: TC003  Typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from cloison.cli.app import app
from cloison.cli.declared import JsonOption  # noqa: TC001  the same
from cloison.cli.lab import DEFAULT_LAB, NameOption
from cloison.cli.running import KeyOption, NetworkOption, SiteOption, ViaOption, open_network, via_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cloison.cli.certifying import Row
    from cloison.pki.register import TunnelAuthority
    from cloison.pki.renewal import Effects, Holder, Renewed

certificates = typer.Typer(
    name="certificates",
    help="The certificates that firewalls prove themselves with in tunnels: shown, renewed ahead of time, revoked.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)
app.add_typer(certificates)

HorizonOption = Annotated[
    int | None, typer.Option(min=1, metavar="DAYS", help="What ends within so many days is due; by default 30.")
]
DeviceArgument = Annotated[str, typer.Argument(metavar="DEVICE", help="A firewall, <site>/<equipment>.")]
_LIMIT_BYTES = 256 * 1024


@certificates.callback()
def show(  # noqa: PLR0913  one argument an option
    context: typer.Context,
    *,
    site: SiteOption = None,
    horizon: HorizonOption = None,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every certificate of a tunnel, and what is due. Exit code 1 when one is."""
    if context.invoked_subcommand is not None:
        return
    from cloison.cli import certifying

    session = open_network(context, network, name, key)
    made = certifying.effects(session, via_of(session, via, site), lambda _: None)
    found = certifying.rows(certifying.holders(session.intent, site), made, session.intent.workers, _days(horizon))
    _show(found, as_json=as_json)
    if any(row.state is not None and row.state != "ok" for row in found):
        raise typer.Exit(1)
    if any(row.state is None for row in found):
        raise typer.Exit(3)


def _days(horizon: int | None) -> timedelta:
    from cloison.pki.holding import HORIZON

    return HORIZON if horizon is None else timedelta(days=horizon)


def _show(found: Sequence[Row], *, as_json: bool) -> None:
    from cloison.cli.output import print_json, print_untrusted, say
    from cloison.model import Untrusted

    now = datetime.now(UTC)
    documents = [row.document(now) for row in found]
    if as_json:
        print_json({"certificates": documents})
        return
    say(f"{'device':<34} {'state':<15} {'key':<10} {'not before':<11} {'not after':<11} {'days':>4}  issuer")
    for row in documents:
        dates = [str(row[part] or "-")[:10] for part in ("not_before", "not_after")]
        days = "-" if row["days_left"] is None else row["days_left"]
        line = f"{row['device']:<34} {row['state']:<15} {row['key'] or '-':<10} {dates[0]:<11} {dates[1]:<11}"
        print_untrusted(Untrusted(f"{line} {days:>4}  {row['issuer'] or '-'}"))
        if row["why"]:
            print_untrusted(Untrusted(f"{'':34} {row['why']}"))
    due = sum(row.state != "ok" for row in found)
    say(f"{len(found)} certificates, {due} to see to" if due else f"{len(found)} certificates, none is due")


@certificates.command()
def renew(  # noqa: PLR0913  one argument an option
    context: typer.Context,
    devices: Annotated[
        list[str] | None, typer.Argument(metavar="DEVICE", help="Firewalls, <site>/<equipment>.")
    ] = None,
    *,
    all_due: Annotated[bool, typer.Option("--all-due", help="Every firewall whose certificate is due.")] = False,
    horizon: HorizonOption = None,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    as_json: JsonOption = False,
) -> None:
    """Have firewalls of the twin make new keys, one after the other; each is kept once the tunnels are up with it."""
    from cloison.cli import certifying
    from cloison.cli.output import print_json, progress, say
    from cloison.errors import InputError

    if bool(devices) == all_due:
        msg = "name the firewalls, or give --all-due"
        raise InputError(msg)
    session = open_network(context, network, name, None)
    authority = certifying.twin_authority(session, "see `cloison certificates request`")
    done: list[Renewed] = []
    with progress("renew") as narrate:
        made = certifying.effects(session, via_of(session, via, None), narrate)
        chosen = [certifying.holder(session.intent, device) for device in dict.fromkeys(devices or ())]
        if all_due:
            chosen = _due(certifying.holders(session.intent), made, session.intent.workers, _days(horizon))
        for each in _renewed(chosen, authority, made):
            done.append(each)
            if not as_json:
                say(_told(each))
    if as_json:
        print_json({"renewed": [_document(one) for one in done]})
    elif not done:
        say("no certificate is due")


def _renewed(chosen: Sequence[Holder], authority: TunnelAuthority, made: Effects) -> Iterator[Renewed]:
    """Renew one after the other, each with a fresh revocation list; the first that fails is the last."""
    from cloison.pki.publication import publish
    from cloison.pki.renewal import renew

    revocations = authority.new_revocations()
    for one in chosen:
        publish(one.device, made, revocations, ())
        yield renew(one, made, partial(authority.issue, one.device))


def _due(found: Sequence[Holder], made: Effects, workers: int, horizon: timedelta) -> list[Holder]:
    """Return whose certificate is due; TransportError when one cannot be asked. What was revoked is not taken back."""
    from cloison.cli.certifying import rows
    from cloison.errors import TransportError
    from cloison.pki.holding import State

    asked = dict(zip(found, rows(found, made, workers, horizon), strict=True))
    for row in asked.values():
        if row.state is None:
            raise TransportError(str(row.device), f"whether its certificate is due cannot be asked: {row.why}")
    return [one for one, row in asked.items() if row.state not in {State.OK, State.REVOKED}]


def _told(done: Renewed) -> str:
    every = len(done.verified) + len(done.down)
    up = f"{len(done.verified)} of {every} tunnels authenticated anew within {done.seconds:.1f} s"
    up += f"; {', '.join(done.down)} was down before" if done.down else ""
    until = f"{done.certificate.not_valid_after_utc:%Y-%m-%d}"
    return f"{done.device}: new key and certificate {done.certificate.serial_number:x}, until {until}; {up}"


def _document(done: Renewed) -> dict[str, object]:
    return {
        "device": done.device,
        "serial": f"{done.certificate.serial_number:x}",
        "not_after": done.certificate.not_valid_after_utc.isoformat(),
        "verified": list(done.verified),
        "down": list(done.down),
        "seconds": round(done.seconds, 2),
    }


@certificates.command()
def revoke(
    context: typer.Context,
    device: DeviceArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before revoking.")] = False,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    as_json: JsonOption = False,
) -> None:
    """Revoke the certificates of a firewall of the twin: its tunnels end, and cannot come up until it is renewed."""
    from cloison.cli import certifying
    from cloison.cli.output import print_json, progress, say
    from cloison.pki.publication import give

    session = open_network(context, network, name, None)
    chosen = certifying.holder(session.intent, device)
    authority = certifying.twin_authority(session, "have it revoke there, and see `cloison certificates publish`")
    if not yes:
        _ask(f"every tunnel of {device} ends, and with it the way to what is behind")
    serials = authority.revoke(chosen.device)
    others = [one for one in certifying.holders(session.intent) if one.device != chosen.device]
    with progress("revoke") as narrate:
        made = certifying.effects(session, via_of(session, via, None), narrate)
        told, failed = give(others, {chosen.device}, made, authority.new_revocations())
    if as_json:
        shown = [f"{serial:x}" for serial in serials]
        print_json({"revoked": shown, "device": device, "told": told, "failed": failed})
    else:
        say(f"{device}: {len(serials)} certificates are revoked; {len(told)} firewalls know, and end its tunnels")
        for why in failed.values():
            say(f"not told: {why}", style="red")
    if failed:
        raise typer.Exit(3)


def _ask(consequence: str) -> None:
    """Return when a person at the terminal says yes; RefusedError otherwise."""
    from cloison.errors import RefusedError

    sys.stderr.write(f"{consequence}. Revoke? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        msg = "nothing was revoked: nobody said yes; where nobody can be asked, give --yes"
        raise RefusedError(msg)


@certificates.command()
def request(  # noqa: PLR0913  one argument an option
    context: typer.Context,
    device: DeviceArgument,
    *,
    out: Annotated[Path, typer.Option(help="Write the request (PEM) to this file.")],
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make another key, though one waits for its certificate already.")
    ] = False,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
) -> None:
    """Have a firewall make a key, and write its request for the authority. What it runs stays as it is."""
    from cloison.cli import certifying
    from cloison.cli.output import require_writable, say
    from cloison.pki.renewal import request_key

    require_writable(out)
    session = open_network(context, network, name, key)
    chosen = certifying.holder(session.intent, device)
    with certifying.effects(session, via_of(session, via, None), lambda _: None).open(chosen.device) as opened:
        asked = request_key(opened, chosen.device, fresh=new_key)
    out.write_bytes(asked)
    say(f"{out}: the request of {device}, whose key waits there. Next: cloison certificates install {device} FILE.crt")


@certificates.command()
def install(  # noqa: PLR0913  one argument an option
    context: typer.Context,
    device: DeviceArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The certificate (PEM) that the authority issued.")],
    *,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a certificate in force for the key that waits on a firewall; kept once its tunnels are up with it."""
    from cloison.cli import certifying
    from cloison.cli.output import print_json, progress, say
    from cloison.pki.renewal import install as put

    content = _content(file)
    session = open_network(context, network, name, key)
    chosen = certifying.holder(session.intent, device)
    with progress("install") as narrate:
        done = put(chosen, certifying.effects(session, via_of(session, via, None), narrate), content)
    if as_json:
        print_json(_document(done))
    else:
        say(_told(done))


@certificates.command("publish")
def publish_file(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The revocation list (PEM) of the tunnel authority.")],
    *,
    site: SiteOption = None,
    network: NetworkOption = None,
    via: ViaOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
) -> None:
    """Give every firewall a new revocation list of the authority, and end the tunnels of whoever it names."""
    from cloison.cli import certifying
    from cloison.cli.output import progress, say
    from cloison.pki.publication import publish_list

    content = _content(file)
    session = open_network(context, network, name, key)
    with progress("publish") as narrate:
        made = certifying.effects(session, via_of(session, via, site), narrate)
        found = certifying.holders(session.intent, site)
        done = publish_list(found, made, content, datetime.now(UTC))
    say(f"{len(done.told)} of {len(found)} firewalls have revocation list {done.number}")
    for why in done.failed.values():
        say(f"not told: {why}", style="red")
    if done.failed:
        raise typer.Exit(3)


def _content(file: Path) -> bytes:
    """Return a file that a person names; InputError when it cannot be read or is no such file."""
    from cloison.errors import InputError

    try:
        with file.open("rb") as stream:
            content = stream.read(_LIMIT_BYTES + 1)
    except OSError as error:
        msg = f"{file}: {error.strerror}; expected a PEM file"
        raise InputError(msg) from error
    if len(content) > _LIMIT_BYTES:
        msg = f"{file}: expected a PEM file of {_LIMIT_BYTES} bytes at most"
        raise InputError(msg)
    return content
