"""Time: every host follows the server that is declared for it (ANSSI-PA-72 R63)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloison.intent.network import Equipment, Intent

COMMAND = ("sh", "-c", "chronyc -n -c tracking && chronyc -n -c sources")
NTP_PORT = 123
OFFSET_LIMIT_SECONDS = 0.5
_TRACKING_FIELDS, _SOURCE_FIELDS = 14, 10
_ADDRESS, _STRATUM, _OFFSET, _LEAP = 1, 2, 4, 13
_STRATUM_LIMIT = 15
_SELECTED = "*"


def declared_source(intent: Intent, equipment: Equipment) -> str | None:
    """Return the address that an equipment takes its time from; None for the time server itself."""
    for flow in intent.flows:
        if flow.source.name == equipment.name and flow.service.port == NTP_PORT:
            return str(flow.destination.address)
    return None


def differences(source: str | None, text: str) -> list[str]:
    """Return why the time is not taken as declared (output of COMMAND); the time server follows nothing but itself."""
    lines = [line.split(",") for line in text.splitlines()]
    tracking = [line for line in lines if len(line) == _TRACKING_FIELDS]
    sources = [line for line in lines if len(line) == _SOURCE_FIELDS]
    if len(tracking) != 1:
        return ["chronyc says nothing of what it follows"]
    followed, leap = tracking[0][_ADDRESS], tracking[0][_LEAP]
    found = [] if leap == "Normal" else [f"the clock is not synchronised ({leap})"]
    if not 1 <= int(tracking[0][_STRATUM]) <= _STRATUM_LIMIT:
        found.append(f"stratum {tracking[0][_STRATUM]}")
    if abs(float(tracking[0][_OFFSET])) > OFFSET_LIMIT_SECONDS:
        found.append(f"the clock is {float(tracking[0][_OFFSET]):.3f} s off")
    if source is None:
        return found + [f"it follows {line[2]}; the time server has no source" for line in sources]
    if followed != source:
        found.append(f"it follows {followed or 'nothing'}; expected {source}")
    selected = [line[2] for line in sources if line[1] == _SELECTED]
    if selected != [source]:
        found.append(f"selected sources: {selected}; expected {source}")
    return found + [f"{line[2]} is a source too; expected {source} alone" for line in sources if line[2] != source]
