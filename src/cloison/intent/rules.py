"""The catalogue of what can be wrong with an inventory: rules.toml, as `cloison rule CODE` shows it."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import NamedTuple

from cloison.errors import InputError
from cloison.intent.hint import did_you_mean


class Rule(NamedTuple):
    """What a code stands for."""

    code: str
    title: str
    explanation: str


def _catalogue() -> dict[str, Rule]:
    tables = tomllib.loads(files("cloison.intent").joinpath("rules.toml").read_text(encoding="utf-8"))
    return {code: Rule(code, texts["title"], texts["explanation"].replace("\n", " ")) for code, texts in tables.items()}


RULES = _catalogue()
"""Every code that a check can give."""


def rule(code: str) -> Rule:
    """Return what a code stands for, in either case of letters; InputError when there is no such code."""
    found = RULES.get(code.upper())
    if found is None:
        msg = " ".join(filter(None, [f"there is no rule `{code[:20]}`;", did_you_mean(code.upper(), RULES)]))
        raise InputError(msg)
    return found
