"""The plan of a device that communes share, when only some of them change: their fragments, and all else as it runs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cloison.change.fleetwide import on_each
from cloison.change.fragment import Sharing
from cloison.change.plan import phases_of
from cloison.errors import RefusedError
from cloison.render.config import Config, Section, SectionName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from cloison.change.plan import DevicePlan, Part, Plan
    from cloison.device.contract import Opener, Reader
    from cloison.intent.network import Intent
    from cloison.model import EquipmentName, Name


def narrowed(planned: DevicePlan, reader: Reader, intent: Intent, sites: Collection[Name]) -> DevicePlan:
    """Return the plan of a device for the fragments of these sites alone.

    Raises RefusedError where what runs has no place for a fragment, and LoadError when the device refuses what the
    fragments make together.
    """
    return _merged(planned, planned.config("running"), reader, intent, tuple(sorted(sites))).model_copy(
        update={"declared": declared_digest(planned.config("candidate"))}
    )


def rebased(planned: DevicePlan, now: Config, reader: Reader, intent: Intent) -> DevicePlan:
    """Return a narrowed plan over what the device runs now: somebody else's fragments may have changed meanwhile.

    The plan itself when nothing did. Raises RefusedError when a fragment of its own sites, or of the device itself, is
    no longer what it was made from.
    """
    if planned.sites is None or now.sections == planned.running:
        return planned
    sharing = _sharing(planned.config("running"), intent)
    for section in planned.running:
        for owner in sharing.stale(section, now.section(section.name), planned.sites):
            whose = f"the part of {owner} in section" if owner else "section"
            msg = f"the plan is stale: {whose} {section.name} of {planned.device} changed since; make it again"
            raise RefusedError(msg)
    return _merged(planned, now, reader, intent, planned.sites)


def declared_digest(rendered: Config) -> str:
    """Return what a narrowed plan keeps of the text that was rendered: its SHA-256."""
    return hashlib.sha256(rendered.model_dump_json().encode()).hexdigest()


def _sharing(running: Config, intent: Intent) -> Sharing:
    tunnels = running.section(SectionName.TUNNELS).text if SectionName.TUNNELS in running.names else ""
    return Sharing(intent, running.device, tunnels)


def _merged(
    planned: DevicePlan, running: Config, reader: Reader, intent: Intent, sites: tuple[Name, ...]
) -> DevicePlan:
    sharing = _sharing(running, intent)
    wanted = tuple(sharing.merge(running.section(section.name), section, sites) for section in planned.canonical)
    together = running.model_copy(update={"sections": wanted})
    candidate = together.model_copy(update={"sections": tuple(_loadable(planned, together, running, reader))})
    shown = together.model_copy(update={"sections": tuple(_shown(planned, together, candidate, running, reader))})
    return planned.model_copy(
        update={
            "running": running.sections,
            "canonical": shown.sections,
            "candidate": candidate.sections,
            "tunnel_phases": phases_of(reader, running, candidate, shown),
            "sites": sites,
        }
    )


def _loadable(planned: DevicePlan, together: Config, running: Config, reader: Reader) -> Iterator[Section]:
    """Yield every section in a text that can be loaded: as rendered where that is what it comes to."""
    for section in together.sections:
        as_declared = section == planned.config("canonical").section(section.name)
        if as_declared and section != running.section(section.name):
            yield planned.config("candidate").section(section.name)
        else:
            yield reader.loadable(together, section.name)


def _shown(
    planned: DevicePlan, together: Config, candidate: Config, running: Config, reader: Reader
) -> Iterator[Section]:
    """Yield every section as it will be read back: by the device's own word where nobody has seen that text before."""
    new = [
        section.name
        for section in together.sections
        if section not in (running.section(section.name), planned.config("canonical").section(section.name))
    ]
    loaded = candidate.model_copy(update={"sections": tuple(candidate.section(name) for name in new)})
    canonical = reader.canonical(loaded) if new else loaded
    for section in together.sections:
        if section.name not in new:
            yield section
            continue
        # What is found beside the section (a table of somebody else's) stays as it is. What the daemon of the tunnels
        # did not have as it was loaded is loaded again.
        kept = "" if section.name is SectionName.TUNNELS else _findings(section.text)
        yield Section(name=section.name, text=canonical.section(section.name).text + kept)


def _findings(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if line.startswith("foreign "))


def rebase(plan: Plan, opener: Opener, intent: Intent) -> Plan:
    """Return a plan over what the devices that it narrows run now, having read those; itself when it narrows none.

    Raises what `rebased` raises, and the errors of devices that cannot be read.
    """

    def again(name: EquipmentName) -> DevicePlan:
        device = opener(name)
        try:
            return rebased(plan.device(name), device.reader.read().config, device.reader, intent)
        finally:
            device.close()

    shared = [device.device for device in plan.devices if device.sites is not None]
    if not shared:
        return plan
    now = on_each(shared, again, intent.workers)
    return plan.model_copy(update={"devices": tuple(now.get(device.device, device) for device in plan.devices)})


def part_for(intent: Intent, sites: Collection[Name]) -> Part:
    """Return what narrows the plan of every device of another site to the fragments of these sites."""

    def part(planned: DevicePlan, reader: Reader) -> DevicePlan:
        whole = planned.device.site in sites
        return planned if whole else narrowed(planned, reader, intent, sites)

    return part
