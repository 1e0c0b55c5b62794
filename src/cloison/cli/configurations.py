"""The two kinds of configuration that can be proved: what would be loaded, and what the devices run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from cloison.change.order import Via
    from cloison.intent.network import Intent
    from cloison.prove.configuration import Configuration, Configurations
    from cloison.render.config import Config
    from cloison.session import Session


def texts(config: Config) -> Configuration:
    """Return the text of each section, by its name: all that the proof gets to see of a rendered device."""
    return {section.name.value: section.text for section in config.sections}


def rendered(intent: Intent, templates: Path) -> Configurations:
    """Return the configuration that follows from an intent, of every device.

    Raises RenderError for a template that is wrong.
    """
    from cloison.desired import state_of
    from cloison.render import render

    return {device.name: texts(render(state_of(intent, device.name), templates)) for device in intent.devices}


def running(session: Session, via: Via) -> Configurations:
    """Return what every device runs, read back over its own connection; nothing is changed.

    Raises the errors of every device that could not be read.
    """
    from cloison.change.fleetwide import read_each

    devices = [device.name for device in session.intent.devices]
    read = read_each(devices, session.reach(via), session.intent.workers)
    return {name: texts(config) for name, config in read.items()}
