"""Applies a plan: refuses a stale one, loads in a safe order, and believes nothing but what a new connection reads.

There is no timer, no gate and no resume here: when a load fails, what was loaded before it stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from cloison.change.fleetwide import SeveralDevicesError, on_each, on_each_that_can
from cloison.change.order import Via
from cloison.change.plan import candidates, intent_digest, only
from cloison.device.push import difference, push
from cloison.errors import CloisonError, HostKeyError, RefusedError, TransportError
from cloison.model import EquipmentName, Model
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from cloison.change.plan import DevicePlan, Plan
    from cloison.device.contract import Device, Opener, Running
    from cloison.intent.network import Intent

FRESH_CONNECTION_SECONDS = 30.0
"""How long management may take to come back: a tunnel renegotiates within 12 s of a peer's death."""
_PAUSE_SECONDS = 0.5
_BOTH: tuple[Literal["candidate"], Literal["canonical"]] = ("candidate", "canonical")


class Journal(Protocol):
    """Writes down what is done, as it is done."""

    def __call__(self, device: EquipmentName | None, event: str, detail: str) -> None:
        """Note one event (`read`, `load`, `up`, `verify`…) on a device, or on the change as a whole."""


@dataclass(frozen=True, slots=True)
class Effects:
    """Everything of the world that applying a plan touches, beside the devices themselves."""

    opener: Opener
    """Reaches the devices."""
    journal: Journal
    monotonic: Callable[[], float]
    """Seconds of a clock that never goes back."""
    sleep: Callable[[float], None]
    """Waits that many seconds."""


class Applied(Model):
    """What became of one device."""

    device: EquipmentName
    loaded: tuple[SectionName, ...]
    """The sections that were loaded, in order; a section that did not differ was not touched."""
    down: tuple[str, ...] = ()
    """Tunnels that stayed down after the load."""
    differences: str = ""
    """Where what was read back afterwards differs from the candidate, as unified diffs; untrusted."""
    error: str = ""
    """Why the device could not be loaded or verified; untrusted."""

    @property
    def conforms(self) -> bool:
        """True when a new connection read back exactly the candidate."""
        return not self.differences and not self.error and not self.down


def apply(plan: Plan, intent: Intent, templates: Path, effects: Effects) -> tuple[Applied, ...]:
    """Make the devices run the plan, and return what became of each, in the order of the plan.

    Raises RefusedError, with nothing changed, when the plan is stale (the intent, the templates or what a device runs
    is no longer what it was made from) or changes a tunnel through itself; the errors of devices that cannot be read
    before the first load. What goes wrong after that is in the outcome of its device.
    """
    check(plan, intent, templates)
    if not plan.changed:
        effects.journal(None, "done", "no change")
        return tuple(Applied(device=device.device, loaded=()) for device in plan.devices)
    refuse_stale(plan, effects, intent.workers)
    loaded, failed = _load_stages(plan, effects, intent.workers)
    down = _bring_up(plan, effects, intent.workers) if not failed else {}

    def outcome(name: EquipmentName) -> Applied:
        return _outcome(plan.device(name), loaded.get(name, ()), down.get(name, ()), failed, effects)

    return tuple(on_each([device.device for device in plan.devices], outcome, intent.workers).values())


def check(plan: Plan, intent: Intent, templates: Path) -> None:
    """Raise RefusedError unless the plan follows from this intent and these templates and may go the way it goes."""
    if plan.intent != intent_digest(intent):
        msg = "the plan is stale: the inventory changed since; make it again with `cloison plan`"
        raise RefusedError(msg)
    rendered = candidates(intent, templates, [device.device for device in plan.devices])
    for device in plan.devices:
        names = [section.name for section in device.candidate]
        if only(rendered[device.device], names).sections != device.candidate:
            msg = f"the plan is stale: the templates now give {device.device} another text; make it again"
            raise RefusedError(msg)


def refuse_tunnel_through_itself(via: Via, devices: tuple[DevicePlan, ...]) -> None:
    """Raise RefusedError when a tunnels section would be changed over the tunnel that it carries."""
    through = [device.device for device in devices if SectionName.TUNNELS in device.changed]
    if via is Via.TUNNEL and through:
        msg = (
            f"the tunnels of {', '.join(through)} would change under the connection that changes them, and a changed "
            "tunnel drops at once; plan and apply with `--via local`"
        )
        raise RefusedError(msg)


def refuse_stale(plan: Plan, effects: Effects, workers: int) -> None:
    """Read every device again; raise RefusedError when one runs something else than when the plan was made."""
    running = on_each([device.device for device in plan.devices], lambda name: _read(name, effects), workers)
    for device in plan.devices:
        now = running[device.device].config
        for section in device.running:
            if now.section(section.name).sha256 != section.sha256:
                msg = f"the plan is stale: section {section.name} of {device.device} changed since; make it again"
                raise RefusedError(msg)


def _read(name: EquipmentName, effects: Effects) -> Running:
    device = effects.opener(name)
    try:
        return device.reader.read()
    finally:
        device.close()


def _load_stages(
    plan: Plan, effects: Effects, workers: int
) -> tuple[dict[EquipmentName, tuple[SectionName, ...]], dict[EquipmentName, CloisonError]]:
    """Load everything but tunnels, stage by stage, then tunnels everywhere; stop after a stage that failed."""
    loaded: dict[EquipmentName, tuple[SectionName, ...]] = {}
    tunnels = [device.device for device in plan.changed if SectionName.TUNNELS in device.changed]
    others = set(SectionName) - {SectionName.TUNNELS}
    for names, sections in [*((stage, others) for stage in plan.stages), (tuple(tunnels), {SectionName.TUNNELS})]:
        chosen = [name for name in names if sections.intersection(plan.device(name).changed)]

        def load_one(name: EquipmentName, sections: set[SectionName] = sections) -> tuple[SectionName, ...]:
            return _push(plan.device(name), sections, effects)

        done, failed = on_each_that_can(chosen, load_one, workers) if chosen else ({}, {})
        for name, these in done.items():
            loaded[name] = loaded.get(name, ()) + these
        if failed:
            return loaded, failed
    return loaded, {}


def _push(planned: DevicePlan, sections: set[SectionName], effects: Effects) -> tuple[SectionName, ...]:
    device = effects.opener(planned.device)
    try:
        done = load(planned, sections, device)
    finally:
        device.close()
    effects.journal(planned.device, "load", " ".join(done))
    return done


def load(planned: DevicePlan, sections: Collection[SectionName], device: Device) -> tuple[SectionName, ...]:
    """Load those of these sections that differ, and what hangs on them; return what was loaded, in order.

    Raises LoadError for the first one that is refused; what was loaded before it stays.
    """
    candidate, canonical = (only(planned.config(which), sections) for which in _BOTH)
    return push(device, planned.config("running"), candidate, canonical)


def _bring_up(plan: Plan, effects: Effects, workers: int) -> Mapping[EquipmentName, tuple[str, ...]]:
    """Have every end start its tunnels, once all ends are loaded; nothing to do when no tunnels section changed."""
    if not any(SectionName.TUNNELS in device.changed for device in plan.devices):
        return {}
    ends = [
        device for device in plan.devices if any(section.name is SectionName.TUNNELS for section in device.candidate)
    ]

    def raise_one(name: EquipmentName) -> tuple[str, ...]:
        device = effects.opener(name)
        try:
            down = device.writer.bring_up(plan.device(name).config("candidate").section(SectionName.TUNNELS))
        finally:
            device.close()
        effects.journal(name, "up", f"down: {' '.join(down)}" if down else "all tunnels that it starts")
        return down

    done, failed = on_each_that_can([device.device for device in ends], raise_one, workers)
    return done | {name: (str(error),) for name, error in failed.items()}


def _outcome(
    planned: DevicePlan,
    loaded: tuple[SectionName, ...],
    down: tuple[str, ...],
    failed: Mapping[EquipmentName, CloisonError],
    effects: Effects,
) -> Applied:
    """Read the device over a new connection and compare; an error becomes the outcome of the device."""
    error = failed.get(planned.device)
    if error is not None:
        return Applied(device=planned.device, loaded=loaded, down=down, error=str(error))
    try:
        differences = verify(planned, effects)
    except CloisonError as problem:
        return Applied(device=planned.device, loaded=loaded, down=down, error=str(problem))
    effects.journal(planned.device, "verify", "differs" if differences else "conforms")
    return Applied(device=planned.device, loaded=loaded, down=down, differences=differences)


def verify(planned: DevicePlan, effects: Effects) -> str:
    """Return the difference between the candidate and what a new connection reads back; empty when there is none.

    Raises TransportError when no new connection stands within FRESH_CONNECTION_SECONDS.
    """
    device = _reopened(planned.device, effects)
    try:
        running = device.reader.read().config
    finally:
        device.close()
    return "".join(difference(running.section(section.name), section) for section in planned.canonical)


def _reopened(name: EquipmentName, effects: Effects) -> Device:
    deadline = effects.monotonic() + FRESH_CONNECTION_SECONDS
    while True:
        try:
            return effects.opener(name)
        except HostKeyError:
            raise
        except TransportError:
            if effects.monotonic() >= deadline:
                raise
            effects.sleep(_PAUSE_SECONDS)


def raise_failures(outcomes: tuple[Applied, ...]) -> None:
    """Raise a CloisonError that names every device that does not conform; do nothing when all do."""
    errors = [CloisonError(f"{one.device}: {one.error or _why(one)}") for one in outcomes if not one.conforms]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SeveralDevicesError(errors)


def _why(outcome: Applied) -> str:
    if outcome.down:
        return f"tunnels that stayed down: {', '.join(outcome.down)}"
    return f"what was read back differs from what was loaded:\n{outcome.differences}"
