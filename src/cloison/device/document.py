"""A whole configuration as one text, for interfaces that know nothing of sections (NAPALM's)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cloison.render.config import Config, Section, SectionName

if TYPE_CHECKING:
    from cloison.model import EquipmentName, Platform

_HEAD = re.compile(r"^#= section ([a-z]+)\n", re.MULTILINE)


def write_document(config: Config) -> str:
    """Return the sections one after the other, each below a line `#= section NAME`."""
    return "".join(f"#= section {section.name}\n{section.text}" for section in config.sections)


def read_document(text: str, device: EquipmentName, platform: Platform) -> Config:
    """Return the configuration that `write_document` wrote; ValueError for another text."""
    before, *parts = _HEAD.split(text)
    names = parts[::2]
    unknown = sorted(set(names) - set(SectionName))
    if before.strip() or not names or unknown or len(set(names)) < len(names):
        known = ", ".join(SectionName)
        msg = f"expected sections, each once and below a line `#= section NAME` with one of {known}"
        raise ValueError(msg)
    sections = [Section(name=SectionName(name), text=body) for name, body in zip(names, parts[1::2], strict=True)]
    sections.sort(key=lambda section: section.name.order)
    return Config(device=device, platform=platform, sections=tuple(sections))
