"""The document of a proof as SARIF 2.1.0 (OASIS Standard), for code scanning: each finding on a line of the inventory.

The statements of a packet's way are related locations: logical ones, since no file of the repository holds them. No
time is in it: the same findings make the same bytes.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cloison.cli.findings.wording import CHANGE_HEADINGS, HEADINGS, ends, explained, place_of, qualified_service
from cloison.flow import Outcome
from cloison.prove.answer import FindingKind
from cloison.prove.difference import ChangeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.cli.findings.document import ChangeEntry, FindingEntry, HopEntry, OriginEntry, ProofDocument

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT: Final = "cloisonIdentity/v1"
"""The name of what a result is known by in every run (SARIF 2.1.0 section 3.27.17)."""
_LEVELS: Final = {
    FindingKind.LEAK: "error",
    FindingKind.OUTAGE: "error",
    FindingKind.NOTICE: "warning",
    FindingKind.UNDETERMINED: "warning",
    ChangeKind.OPENED: "warning",
    ChangeKind.CLOSED: "note",
}
TOP: Final = PurePosixPath()
"""The folder of a workspace that is a repository of its own."""
_KINDS: Final = (*FindingKind, *ChangeKind)


def sarif(document: ProofDocument, folder: PurePosixPath = TOP) -> bytes:
    """Return the document as SARIF 2.1.0, UTF-8; `folder` is the workspace's own in its repository."""
    changes = document.difference.changes if document.difference is not None else ()
    run = {
        "tool": {"driver": {"name": "Cloison", "semanticVersion": document.version, "rules": list(_rules())}},
        "automationDetails": {"id": f"cloison/{document.network}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": document.outcome in {Outcome.PASS, Outcome.FAIL},
                "exitCode": document.exit_code,
            }
        ],
        "results": [
            *(_result(finding, folder) for finding in document.findings),
            *(_result(change, folder) for change in changes),
        ],
        "properties": {
            "outcome": document.outcome.value,
            "statementsRead": sum(entry.read for entry in document.coverage),
            "statementsModelled": sum(entry.modelled for entry in document.coverage),
        },
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return f"{json.dumps(log, sort_keys=True, ensure_ascii=False)}\n".encode()


def _rules() -> Iterator[dict[str, object]]:
    for kind in _KINDS:
        name, meaning = (
            (HEADINGS[kind][0], HEADINGS[kind][2]) if isinstance(kind, FindingKind) else CHANGE_HEADINGS[kind]
        )
        yield {
            "id": kind.value,
            "name": name.title().replace(" ", ""),
            "shortDescription": {"text": meaning},
            "defaultConfiguration": {"level": _LEVELS[kind]},
        }


def _result(entry: FindingEntry | ChangeEntry, folder: PurePosixPath) -> dict[str, object]:
    text = f"{entry.kind.value}: {ends(entry)} {qualified_service(entry)}\n{explained(entry)}"
    first, *others = entry.origins
    related = [{**_location(origin, folder), "message": {"text": origin.why}} for origin in others]
    related += [_logical(hop) for hop in entry.hops if hop.place is not None]
    return {
        "ruleId": entry.kind.value,
        "ruleIndex": _KINDS.index(entry.kind),
        "level": _LEVELS[entry.kind],
        "message": {"text": text},
        "locations": [_location(first, folder)],
        "relatedLocations": [{"id": number, **location} for number, location in enumerate(related, 1)],
        "partialFingerprints": {FINGERPRINT: entry.id},
    }


@cache
def _uri(folder: PurePosixPath, file: str) -> str:
    return quote((folder / file).as_posix())


def _location(origin: OriginEntry, folder: PurePosixPath) -> dict[str, object]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(folder, origin.file), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": origin.line, "startColumn": origin.column},
        }
    }


def _logical(hop: HopEntry) -> dict[str, object]:
    name = place_of(hop)
    location = {"name": hop.device, "fullyQualifiedName": name, "kind": "resource"}
    return {"logicalLocations": [location], "message": {"text": f"{hop.what} {hop.statement}".strip()}}
