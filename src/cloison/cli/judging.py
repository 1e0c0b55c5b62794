"""Commands that judge a network and show what was found: audit, report."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import cloison
from cloison.cli.app import app
from cloison.cli.declared import JsonOption, workspace_of
from cloison.cli.lab import DEFAULT_LAB, NameOption
from cloison.cli.running import KeyOption, NetworkOption, open_network

if TYPE_CHECKING:
    from cloison.audit import AuditRun
    from cloison.cli.output import Narrator
    from cloison.evidence.document import AuditDocument, NotExamined, RunFacts
    from cloison.evidence.run import RunFolder
    from cloison.session import Session

EMULATED = ("optical modules: the device reads an SFF-8472 image computed from the declared link",)
NARRATED = 50
"""A person is told each time that so many more results came."""

JUnitOption = Annotated[Path | None, typer.Option("--junit", help="Also write the result as JUnit XML to this file.")]


@app.command()
def audit(
    context: typer.Context,
    *,
    only: Annotated[
        list[str] | None,
        typer.Option(help="A family of checks (reach, packets…), an id or a pattern of ids; may be repeated."),
    ] = None,
    network: NetworkOption = None,
    name: NameOption = DEFAULT_LAB,
    key: KeyOption = None,
    junit: JUnitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge the network by packets, streams and host checks, and leave the evidence in a run folder."""
    from cloison.cli.output import progress, require_writable
    from cloison.errors import InputError
    from cloison.evidence.run import RunFolder

    session = open_network(context, network, name, key, role="auditor")
    patterns = _known_patterns(session, only or [])
    require_writable(junit, "--junit")
    started = datetime.now(UTC)
    folder = RunFolder.create(session.workspace.runs, started, os.urandom)
    with progress("audit") as narrate:
        narrate("reading the devices back")
        unread = _read_back(session, folder)
        narrate("running the validators")
        try:
            done = _validate(session, folder, patterns, narrate)
        except InputError:
            folder.discard()  # nothing was asked: it is not the last audit
            raise
    document = _document(session, folder, started, done, [*_not_asked(patterns), *unread])
    folder.write_document(document.to_json())
    folder.write_page(_page(session, document))
    _show(folder, document, junit, as_json=as_json)


@app.command()
def report(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(help="A run, by its folder's name; by default the last one.")] = None,
    *,
    junit: JUnitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show again what an audit found."""
    from cloison.cli.output import require_writable
    from cloison.evidence.document import read_document
    from cloison.evidence.run import DOCUMENT_FILE, RunFolder

    runs = workspace_of(context).runs
    require_writable(junit, "--junit")
    folder = RunFolder.latest(runs) if run is None else RunFolder.named(runs, run)
    _show(folder, read_document(folder.read_document(), str(folder.path / DOCUMENT_FILE)), junit, as_json=as_json)


def _read_back(session: Session, folder: RunFolder) -> list[NotExamined]:
    """Keep what every device runs; return the devices that could not be read, with the reason."""
    from cloison.change.fleetwide import on_each_that_can
    from cloison.change.order import Via
    from cloison.evidence.document import NotExamined
    from cloison.model import EquipmentName, Name, Untrusted

    reach = session.reach(Via.TUNNEL)

    def keep(device: EquipmentName) -> None:
        opened = reach(device)
        with closing(opened):
            for section in opened.reader.read().config.sections:
                folder.write_configuration(device, Name(section.name.value), section.text)

    devices = [device.name for device in session.intent.devices]
    _, failed = on_each_that_can(devices, keep, session.intent.workers)
    return [
        NotExamined(name=f"configuration of {device}", reason=Untrusted(str(error)).shown(300))
        for device, error in failed.items()
    ]


def _validate(session: Session, folder: RunFolder, only: tuple[str, ...], narrate: Narrator) -> AuditRun:
    from cloison.audit import run

    lab_name = DEFAULT_LAB if session.lab is None else session.lab.name
    with folder.open_stream() as stream:
        heard = 0

        def hear(line: bytes) -> None:
            nonlocal heard
            stream.append(line)
            heard += 1
            if heard % NARRATED == 0:
                narrate(f"running the validators: {heard} lines of results")

        captures = folder.captures()
        return run(
            session.workspace, session.network, lab_name, hear, captures=captures, key=session.key_file, only=only
        )


def _known_patterns(session: Session, only: list[str]) -> tuple[str, ...]:
    """Return the patterns; InputError for one of a family that there is not."""
    from cloison.errors import InputError

    known = _families(session)
    for pattern in only:
        family = pattern.split("/")[0]
        if not any(fnmatchcase(each, family) for each in known):
            msg = f"--only {pattern}: no validators/{family}; expected one of {', '.join(known)}"
            raise InputError(msg)
    return tuple(only)


def _families(session: Session) -> list[str]:
    from cloison.errors import WorkspaceError

    folder = session.workspace.validators
    try:
        return sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "_")
    except OSError as error:
        msg = f"{folder}: {error.strerror}; expected the validators of the workspace"
        raise WorkspaceError(msg) from error


def _document(
    session: Session, folder: RunFolder, started: datetime, done: AuditRun, unexamined: list[NotExamined]
) -> AuditDocument:
    from cloison.evidence.document import AuditWaiver, audit_document
    from cloison.evidence.truth import truth_table
    from cloison.probe.question import pairs

    intent, verdicts = session.intent, done.stream.verdicts
    return audit_document(
        _facts(session, folder, started),
        done.stream,
        truth=truth_table([(pair.source, pair.destination) for pair in pairs(intent)], intent.flows, verdicts),
        waivers=tuple(
            AuditWaiver(check=waiver.check, reason=waiver.reason, owner=waiver.owner, expires=waiver.expires)
            for site in intent.sites
            for waiver in site.waivers
        ),
        not_examined=(*_not_examined(session), *unexamined),
        emulated=EMULATED if session.lab is not None else (),
        complaint=done.complaint,
    )


def _facts(session: Session, folder: RunFolder, started: datetime) -> RunFacts:
    from cloison.change.plan import intent_digest
    from cloison.evidence.document import RunFacts
    from cloison.evidence.run import RunId
    from cloison.model import Name

    return RunFacts(
        run_id=RunId(folder.path.name),
        started=started,
        finished=datetime.now(UTC),
        network=session.network,
        lab=None if session.lab is None else Name(session.lab.name),
        version=cloison.__version__,
        intent=intent_digest(session.intent),
    )


def _not_asked(patterns: tuple[str, ...]) -> list[NotExamined]:
    from cloison.evidence.document import NOT_ASKED, NotExamined

    return [NotExamined(name=f"every check but {', '.join(patterns)}", reason=NOT_ASKED)] if patterns else []


def _not_examined(session: Session) -> list[NotExamined]:
    from cloison.evidence.document import NotExamined
    from cloison.testing.subjects import examined_hosts

    examined = {equipment.name for equipment in examined_hosts(session.intent).values()}
    return [
        NotExamined(name=str(name), reason="policy lets no one log in to it")
        for name in sorted(set(session.intent.equipment_by_name) - examined)
    ]


def _page(session: Session, document: AuditDocument) -> str:
    from cloison.cli.picture import picture_of
    from cloison.evidence.page import render_page
    from cloison.probe.question import OUTSIDE

    return render_page(document, picture_of(session.intent, OUTSIDE))


def _show(folder: RunFolder, document: AuditDocument, junit: Path | None, *, as_json: bool) -> None:
    from cloison.cli.output import console, say
    from cloison.evidence.junit import junit as junit_xml
    from cloison.evidence.terminal import findings, tally_table, truth_table, verdict_line
    from cloison.evidence.truth import Reach

    if junit is not None:
        junit.write_bytes(junit_xml(document))
    if as_json:
        typer.echo(document.to_json().decode(), nl=False)
    else:
        terminal = console()
        if any(cell.reach is not Reach.UNKNOWN for cell in document.truth):
            terminal.print(truth_table(document.truth))
        for part in (findings(document), tally_table(document), verdict_line(document)):
            terminal.print(part)
        say(f"page: {folder.path / 'page.html'}")
    raise typer.Exit(document.exit_code)
