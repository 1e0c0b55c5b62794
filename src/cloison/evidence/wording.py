"""What the page says in each language. What machines read is never translated."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cloison.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.flow import Outcome

_FOLDER = Path(__file__).with_name("wording")


class Language(StrEnum):
    """A language of the page."""

    FRENCH = "fr"
    ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class Wording:
    """The texts of one language."""

    language: Language
    texts: Mapping[str, str]
    controls: Mapping[str, str]
    """What a recommendation of ANSSI-PA-72 is about, by its number (`R16`)."""

    def __getitem__(self, key: str) -> str:
        """Return a text without values; EvidenceError when there is none of that key."""
        if key not in self.texts:
            msg = f"no text `{key}` in {self.language}; expected one of wording/{self.language}.toml"
            raise EvidenceError(msg)
        return self.texts[key]

    def text(self, key: str, **values: object) -> str:
        """Return a text with its values put in."""
        return self[key].format(**values)

    def count(self, key: str, count: int, **values: object) -> str:
        """Return the text for one or for many, with the count and its values put in."""
        return self.text(f"{key}_{'one' if count == 1 else 'many'}", count=count, **values)

    def outcome(self, outcome: Outcome | None) -> str:
        """Return the word for an outcome; for none, that no check looked."""
        return self["none_examined"] if outcome is None else self[f"outcome_{outcome}"]

    def family(self, family: str) -> str:
        """Return what a family of checks is about; its own name when it has no other."""
        return self.texts.get(f"family_{family}", family)


@cache
def wording(language: Language) -> Wording:
    """Return the texts of a language, as shipped."""
    tables = tomllib.loads((_FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    controls = tables.pop("controls_known")
    return Wording(language, tables, controls)
