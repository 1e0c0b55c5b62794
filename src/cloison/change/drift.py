"""Compares what each device runs with what is declared, by meaning, and changes nothing.

The device itself spells the rendered text (`Reader.canonical`), so that order, blanks and comments are no drift where
the tool that runs a section sees none. A device that cannot be read is not one that drifts, and neither is one on
which a change is under way: both are told apart, and nothing is claimed about them.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from cloison.change.departure import Departure, departures
from cloison.change.fleetwide import on_each_that_can
from cloison.change.order import Via
from cloison.change.plan import candidates, intent_digest
from cloison.device.guard import NoGuardError, TransactionState
from cloison.device.push import unified
from cloison.document_schema import document_schema
from cloison.flow import Outcome
from cloison.model import EquipmentName, Model
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cloison.device.contract import Device, Opener
    from cloison.device.guard import GuardState
    from cloison.errors import CloisonError
    from cloison.intent.network import Intent
    from cloison.render.config import Config, Section

SCHEMA_FILE = Path(__file__).with_name("drift.schema.json")
_EXIT_CODES = {Outcome.PASS: 0, Outcome.FAIL: 1}
_UNDER_WAY = {TransactionState.ARMED, TransactionState.REVERTING}
Count = Annotated[int, Field(ge=0)]


class SectionDifference(Model):
    """One section that differs, whole. The text is the device's word: untrusted."""

    device: EquipmentName
    section: SectionName
    diff: str
    """A unified diff from what is declared to what runs, both in canonical text."""


class UnderWay(Model):
    """A device on which a change is pending or was decided meanwhile: it is not compared."""

    device: EquipmentName
    state: TransactionState
    token: str
    """Of the transaction; the device's word: untrusted."""
    seconds: Annotated[float, Field(ge=0)]
    """Until its dead-man acts; 0 when none is pending any more."""


class Unread(Model):
    """A device that could not be read, and so neither conforms nor drifts."""

    device: EquipmentName
    reason: str
    """Untrusted: it may have words of the device."""


class Drift(Model):
    """What a comparison found. Texts in it that devices wrote are untrusted."""

    version: Literal[1] = 1
    network: str
    """`lab` or `live`."""
    via: Via
    intent: str
    """SHA-256 of the intent that was compared with."""
    devices: Count
    """How many were compared."""
    sections: Count
    """How many of their sections were."""
    departures: tuple[Departure, ...]
    differences: tuple[SectionDifference, ...]
    under_way: tuple[UnderWay, ...]
    unread: tuple[Unread, ...]
    outcome: Outcome
    """FAIL when anything departs; else UNKNOWN when a device was not compared, or none was; else PASS."""

    @property
    def exit_code(self) -> int:
        """0 for no drift, 1 for drift, 3 for undetermined."""
        return _EXIT_CODES.get(self.outcome, 3)


def find(
    intent: Intent,
    templates: Path,
    opener: Opener,
    *,
    network: str,
    via: Via,
    devices: Collection[EquipmentName] | None = None,
) -> Drift:
    """Return how the devices (all of them by default) depart from the intent, having read all that can be read.

    Raises InputError (RenderError among them) before a device is opened, and no error of a device.
    """
    rendered = candidates(intent, templates, devices)
    done, failed = on_each_that_can(list(rendered), lambda name: _one(opener(name), rendered[name]), intent.workers)
    read = {name: each for name, each in done.items() if not isinstance(each, UnderWay)}
    found = tuple(one for running, declared in read.values() for one in departures(running, declared))
    under_way = tuple(each for each in done.values() if isinstance(each, UnderWay))
    return Drift(
        network=network,
        via=via,
        intent=intent_digest(intent),
        devices=len(read),
        sections=sum(len(declared.sections) for _, declared in read.values()),
        departures=found,
        differences=tuple(one for running, declared in read.values() for one in _differences(running, declared)),
        under_way=under_way,
        unread=_unread(failed),
        outcome=Outcome.FAIL if found else Outcome.UNKNOWN if under_way or failed or not read else Outcome.PASS,
    )


def _one(device: Device, rendered: Config) -> tuple[Config, Config] | UnderWay:
    """Return what the device runs and what is declared for it, in canonical text."""
    with closing(device):
        before = _standing(device)
        if before is not None and before.state in _UNDER_WAY:
            return _under_way(rendered.device, before)
        declared, running = device.reader.canonical(rendered), device.reader.read().config
        after = _standing(device)
        # Both times: a change that began, or was decided, in between may have been read half.
        if after is not None and (before is None or _position(before) != _position(after)):
            return _under_way(rendered.device, after)
        return running, declared


def _standing(device: Device) -> GuardState | None:
    """Return where the guard of a device stands; None where nothing guards it, and so no change can be pending."""
    try:
        return device.guard.state() if device.guard is not None else None
    except NoGuardError:
        return None


def _position(state: GuardState) -> tuple[str, str, int, str]:
    return state.state, state.token, state.step, state.boot


def _under_way(device: EquipmentName, state: GuardState) -> UnderWay:
    return UnderWay(device=device, state=state.state, token=state.token, seconds=max(0.0, state.remaining))


def _unread(failed: Mapping[EquipmentName, CloisonError]) -> tuple[Unread, ...]:
    return tuple(
        Unread(device=device, reason=str(error).removeprefix(f"{device}: ")) for device, error in failed.items()
    )


def _differences(running: Config, declared: Config) -> tuple[SectionDifference, ...]:
    pairs = [(running.section(section.name), section) for section in declared.sections]
    return tuple(
        SectionDifference(device=running.device, section=other.name, diff=_diff(other, one))
        for one, other in pairs
        if one.text != other.text
    )


def _diff(declared: Section, running: Section) -> str:
    return unified(declared.text, running.text, f"declared/{declared.name}", f"running/{running.name}")


def schema() -> dict[str, object]:
    """Return the JSON Schema (2020-12) of the document, every property required; SCHEMA_FILE holds the same."""
    return document_schema(Drift)
