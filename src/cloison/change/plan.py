"""The plan of a change: what every device runs, what it shall run, and the difference. Frozen, hashed, saved."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import ValidationError

from cloison.change.fleetwide import on_each
from cloison.change.links import tunnel_phases
from cloison.change.order import Via, stages
from cloison.change.rules import RuleChange, rule_changes
from cloison.desired import state_of
from cloison.device.guard import NoGuardError, Timer, TransactionState
from cloison.device.push import changed, difference
from cloison.errors import InputError
from cloison.model import EquipmentName, Model, Name, Platform
from cloison.render import render
from cloison.render.config import Config, Section, SectionName
from cloison.workspace import read_start

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from cloison.device.contract import Opener, Reader
    from cloison.device.guard import Guard, GuardState
    from cloison.intent.network import Intent

_SIZE_LIMIT = 64 * 1024 * 1024


class DevicePlan(Model):
    """What one device runs and what it shall run, for the sections of the plan."""

    device: EquipmentName
    platform: Platform
    running: tuple[Section, ...]
    """Every section of the device, in canonical text, as read back when the plan was made."""
    canonical: tuple[Section, ...]
    """The sections of the plan, in the words in which the device will show them."""
    candidate: tuple[Section, ...]
    """The same sections, as rendered: what is loaded."""
    emulated: tuple[str, ...] = ()
    """What is emulated in these sections and no evidence about hardware."""
    not_read_back: tuple[str, ...] = ()
    """What these sections set and no daemon shows."""
    guard: Timer = Timer.NONE
    """What goes back by itself on this device when nobody confirms."""
    script: str = ""
    """SHA-256 of the script that guards the change there."""
    under_way: str = ""
    """The token of a change that is pending there: what runs may not stay; empty when there is none."""
    tunnel_phases: tuple[str, ...] = ()
    """The loadable tunnels of each phase of a change at both ends; empty when the section does not change."""
    sites: tuple[Name, ...] | None = None
    """Whose fragments change, at a device that other sites share; None where all of it is planned."""
    declared: str = ""
    """SHA-256 of what was rendered for the device, where `candidate` holds others' fragments as they run."""

    def config(self, which: Literal["running", "canonical", "candidate"]) -> Config:
        """Return one of the three as the configuration of the device."""
        sections: tuple[Section, ...] = getattr(self, which)
        return Config(device=self.device, platform=self.platform, sections=sections)

    @property
    def changed(self) -> tuple[SectionName, ...]:
        """The sections that will be loaded because they differ, in order."""
        return changed(self.config("running"), self.config("canonical"))

    def diff(self, name: SectionName) -> str:
        """Return a unified diff of one section, in canonical text; an empty text when nothing changes."""
        return difference(self.config("running").section(name), self.config("canonical").section(name))

    @property
    def rules(self) -> tuple[RuleChange, ...]:
        """The accepting rules that come and go."""
        if SectionName.FILTER not in self.changed:
            return ()
        running, canonical = self.config("running"), self.config("canonical")
        return rule_changes(
            self.device, running.section(SectionName.FILTER).text, canonical.section(SectionName.FILTER).text
        )


class Intermediate(Model):
    """What the proof says of every mixture of old and new devices that the change can stop in."""

    states: int
    kept: int
    """The states that keep every invariant, or break none that was not broken before."""
    interrupted: tuple[str, ...] = ()
    """What some of them interrupt, one sentence each."""
    refused: tuple[str, ...] = ()
    """Why the plan may not be applied as it is, one sentence a reason; empty when it may."""
    sentence: str = ""
    """All of it in one sentence."""


class Plan(Model):
    """A change over several devices. Nothing in it is secret; text in it that devices wrote is untrusted."""

    version: Literal[2] = 2
    network: str
    """`lab` or `live`."""
    via: Via
    intent: str
    """SHA-256 of the intent that it follows from."""
    devices: tuple[DevicePlan, ...]
    stages: tuple[tuple[EquipmentName, ...], ...]
    """The devices in the order in which they are changed, those of one stage at the same time."""
    revision: str = ""
    """The git revision of the workspace, followed by `+` when it holds changes; empty outside a repository."""
    deadline: int = 0
    """Seconds after which a device that nobody confirmed goes back."""
    opens: tuple[str, ...] = ()
    """The flows of the intent that the change opens, in words."""
    closes: tuple[str, ...] = ()
    """The flows of the intent that it closes, in words."""
    takes_back: str = ""
    """The run that it takes back; empty for a plan that follows from the intent."""
    conversations: tuple[str, ...] = ()
    """The flows that it opens as words of conntrack(8), to be forgotten where the change is taken back."""
    intermediate: Intermediate | None = None
    """What every mixture of old and new does; None when it was not computed."""

    @property
    def sha256(self) -> str:
        """What identifies the plan: the hash of all that it holds."""
        return _digest(self.model_dump(mode="json"))

    @property
    def changed(self) -> tuple[DevicePlan, ...]:
        """The devices on which something changes."""
        return tuple(device for device in self.devices if device.changed)

    @property
    def rules(self) -> tuple[RuleChange, ...]:
        """The accepting rules that come and go, on every device."""
        return tuple(change for device in self.devices for change in device.rules)

    def device(self, name: EquipmentName) -> DevicePlan:
        """Return the plan of one device; KeyError when it has no part."""
        for device in self.devices:
            if device.device == name:
                return device
        raise KeyError(name)


def intent_digest(intent: Intent) -> str:
    """Return the SHA-256 of everything declared and derived."""
    return intent.sha256


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def candidates(
    intent: Intent, templates: Path, devices: Collection[EquipmentName] | None = None
) -> Mapping[EquipmentName, Config]:
    """Return the whole rendered configuration of each device (all of them by default), in the order of the intent.

    Raises RenderError, and InputError for a name that is no device.
    """
    known = [device.name for device in intent.devices]
    for name in devices or ():
        if name not in known:
            msg = f"{name} is not a device; expected one of {', '.join(sorted(known))}"
            raise InputError(msg)
    chosen = [name for name in known if devices is None or name in devices]
    return {name: render(state_of(intent, name), templates) for name in chosen}


def only(config: Config, sections: Collection[SectionName] | None) -> Config:
    """Return a configuration with no other than these sections; all of them for None."""
    if sections is None:
        return config
    return config.model_copy(update={"sections": tuple(s for s in config.sections if s.name in sections)})


def plan_device(reader: Reader, candidate: Config, guarded: Guard | None = None) -> DevicePlan:
    """Return the plan of one device for the sections of a rendered candidate; see `Reader` for what it raises."""
    canonical, read = reader.canonical(candidate), reader.read()
    guard = _guard_state(guarded)
    return DevicePlan(
        device=reader.device,
        platform=reader.platform,
        running=read.config.sections,
        canonical=canonical.sections,
        candidate=candidate.sections,
        emulated=read.facts.emulated if SectionName.FIBRE in candidate.names else (),
        not_read_back=read.facts.not_read_back if SectionName.TUNNELS in candidate.names else (),
        guard=guard.timer if guard is not None else Timer.NONE,
        script=guard.script if guard is not None else "",
        under_way=guard.token if guard is not None and guard.state is TransactionState.ARMED else "",
        tunnel_phases=phases_of(reader, read.config, candidate, canonical),
    )


def _guard_state(guarded: Guard | None) -> GuardState | None:
    """Return what guards a device; None where nothing does, which is for the plan to say."""
    try:
        return guarded.state() if guarded is not None else None
    except NoGuardError:
        return None


def phases_of(reader: Reader, running: Config, candidate: Config, canonical: Config) -> tuple[str, ...]:
    """Return the loadable tunnels of each phase of a change at both ends; none where the section does not change."""
    if SectionName.TUNNELS not in changed(running, canonical):
        return ()
    old = reader.loadable(running, SectionName.TUNNELS).text
    return tunnel_phases(old, candidate.section(SectionName.TUNNELS).text)


class Part(Protocol):
    """Narrows the plan of one device (`cloison.change.portion`)."""

    def __call__(self, planned: DevicePlan, reader: Reader) -> DevicePlan:
        """Return the plan of the device for less than all of it; see `Reader` for what it raises."""


def make(  # noqa: PLR0913  one argument a thing that it is made from, or narrowed by
    intent: Intent,
    templates: Path,
    opener: Opener,
    *,
    network: str,
    via: Via,
    devices: Collection[EquipmentName] | None = None,
    sections: Collection[SectionName] | None = None,
    part: Part | None = None,
) -> Plan:
    """Return the plan that makes the devices run what the intent says, having read all of them; nothing is changed.

    `devices` and `sections` narrow it, `part` what each device is planned for. Raises InputError (RenderError among
    them) before a device is opened, and the errors of every device that could not be read or refuses its candidate.
    """
    rendered = candidates(intent, templates, devices)

    def plan_one(name: EquipmentName) -> DevicePlan:
        device = opener(name)
        try:
            planned = plan_device(device.reader, only(rendered[name], sections), device.guard)
            return planned if part is None else part(planned, device.reader)
        finally:
            device.close()

    planned = on_each(list(rendered), plan_one, intent.workers)
    return Plan(
        network=network,
        via=via,
        intent=intent_digest(intent),
        devices=tuple(planned.values()),
        stages=stages(intent, via, planned.keys()),
    )


def save(plan: Plan, folder: Path) -> Path:
    """Write the plan as `<first 12 digits of its hash>.json`, for its owner alone, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{plan.sha256[:12]}.json"
    beside = file.with_suffix(".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(plan.model_dump_json(indent=1) + "\n")
    beside.replace(file)
    return file


def read(file: Path) -> Plan:
    """Return the plan in a file; InputError when it is not one, WorkspaceError when it cannot be read."""
    content = read_start(file, _SIZE_LIMIT)
    try:
        return Plan.model_validate_json(content[:_SIZE_LIMIT])
    except (ValidationError, RecursionError) as error:
        msg = f"{file}: not a plan of this version; make it again with `cloison plan`"
        raise InputError(msg) from error


def load(file: Path) -> Plan:
    """Return a saved plan; InputError when it is not one, WorkspaceError when it cannot be read."""
    plan = read(file)
    if file.stem != plan.sha256[: len(file.stem)] or not file.stem:
        msg = f"{file}: its name is not the hash of what it holds; it was altered, or renamed. Make it again"
        raise InputError(msg)
    return plan


def sections_of(plan: Plan) -> Sequence[tuple[EquipmentName, SectionName]]:
    """Return every section that the plan changes, with its device, in the order of the plan."""
    return [(device.device, name) for device in plan.devices for name in device.changed]
