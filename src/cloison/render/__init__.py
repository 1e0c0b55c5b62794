"""From a device's state to the text of its configuration. Pure, but for reading templates."""

from cloison.render.config import Config, Section, SectionName
from cloison.render.section import render, render_all

__all__ = ["Config", "Section", "SectionName", "render", "render_all"]
