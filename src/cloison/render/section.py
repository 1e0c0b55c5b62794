"""Turns states into sections of text, and writes them out."""

from __future__ import annotations

import traceback
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import TemplateError, TemplateNotFound, TemplateSyntaxError

from cloison.desired import FirewallState, SwitchState
from cloison.errors import RenderError
from cloison.render.config import Config, Section, SectionName
from cloison.render.environment import SpellingError, environment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jinja2 import Template
    from jinja2.sandbox import ImmutableSandboxedEnvironment

State = FirewallState | SwitchState


def sections_of(state: State) -> tuple[SectionName, ...]:
    """Return the sections that a device has, in the order of application."""
    if isinstance(state, FirewallState):
        return SectionName.SWITCH, SectionName.INTERFACES, SectionName.FILTER, SectionName.TUNNELS
    fibre = (SectionName.FIBRE,) if state.links else ()
    return SectionName.SWITCH, *fibre, SectionName.INTERFACES, SectionName.EDGE


def template_name(state: State, section: SectionName) -> str:
    """Return the path of the template of a section, from the folder of templates, with slashes."""
    role = "firewall" if isinstance(state, FirewallState) else "switch"
    return f"{role}/{state.platform}/{section}.j2"


def render(state: State, templates: Path) -> Config:
    """Return the configuration of one device, spelt by the templates of its platform.

    Raises RenderError, with the template's file and line, when a template is missing or wrong, asks for what the state
    does not hold, or lets out what is no value type.
    """
    return _config(_kept(templates), templates, state)


_kept = lru_cache(maxsize=8)(environment)
"""Compiling the templates takes longer than filling them; a template that changed is compiled anew (its mtime)."""


def render_all(states: Iterable[State], templates: Path, out: Path) -> tuple[Path, ...]:
    """Write every section to `<out>/<site>/<device>/<section>` and return the files, in the order of the states.

    The same states and templates give the same bytes. Raises RenderError, before anything is written, for a template,
    and for a folder that cannot be written to.
    """
    sandbox = environment(templates)
    configs = [_config(sandbox, templates, state) for state in states]
    written = []
    try:
        for config in configs:
            folder = out / config.device.site / config.device.equipment
            folder.mkdir(parents=True, exist_ok=True)
            for section in config.sections:
                file = folder / section.name
                file.write_bytes(section.text.encode())
                written.append(file)
    except OSError as error:
        msg = f"{error.filename or out}: {error.strerror}; expected a folder that can be written to"
        raise RenderError(msg) from error
    return tuple(written)


def _config(sandbox: ImmutableSandboxedEnvironment, templates: Path, state: State) -> Config:
    return Config(
        device=state.device,
        platform=state.platform,
        sections=tuple(
            Section(name=name, text=_text(sandbox, templates, template_name(state, name), state))
            for name in sections_of(state)
        ),
    )


def _text(sandbox: ImmutableSandboxedEnvironment, templates: Path, name: str, state: State) -> str:
    text = _fill(_template(sandbox, templates, name), templates, name, state)
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if not line.endswith("\n") or line != f"{line.rstrip()}\n" or not line.isascii():
            msg = f"{templates / name}: {state.device}: line {number} of its text is {line!r}; expected ASCII text "
            raise RenderError(msg + "without blanks at the end, ended by a newline")
    if not text.strip():
        msg = f"{templates / name}: {state.device}: expected a text, got nothing"
        raise RenderError(msg)
    return text


def _template(sandbox: ImmutableSandboxedEnvironment, templates: Path, name: str) -> Template:
    try:
        return sandbox.get_template(name)
    except TemplateNotFound as error:
        msg = f"{templates / name}: no such template; expected one file a section of each platform in use"
        raise RenderError(msg) from error
    except TemplateSyntaxError as error:
        msg = f"{error.filename or templates / name}:{error.lineno}: {error.message}"
        raise RenderError(msg) from error
    except TemplateError as error:
        msg = f"{templates / name}: {error}"
        raise RenderError(msg) from error
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{templates / name}: {error}; expected a readable file in UTF-8"
        raise RenderError(msg) from error


def _fill(template: Template, templates: Path, name: str, state: State) -> str:
    try:
        return template.render(state=state)
    except (TemplateError, SpellingError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        msg = f"{_place(error, templates, name)}: {state.device}: {error}"
        raise RenderError(msg) from error


def _place(error: Exception, templates: Path, name: str) -> str:
    """Return `file:line` of the innermost line of a template that an error came from (Jinja rewrites its frames)."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).is_relative_to(templates):
            return f"{frame.filename}:{frame.lineno}"
    return str(templates / name)
