"""What the page says in each language. What machines read is never translated."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cloison.errors import EvidenceError
from cloison.evidence.truth import subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloison.flow import Outcome, Verdict

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
    checks: Mapping[str, str]
    """What the checks of one `<family>/<check>` show."""
    phrases: Mapping[str, str]
    """Whole sentences of the document in this language, by their text there; empty in the language of the document."""

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

    def title(self, verdict: Verdict) -> str:
        """Return the title of one check and what it is about; in the check's own words where no others are known."""
        about = readable(subject(verdict.check))
        known = self.checks.get(kind_of(verdict.check), verdict.title)
        return known if about in known else f"{known}{self['colon']} {about}"

    def kind(self, kind: str) -> str:
        """Return what the checks of one `<family>/<check>` show; empty when it is not known."""
        return self.checks.get(kind, "")

    def phrase(self, sentence: str) -> str:
        """Return a sentence of the document in this language; unchanged when none is known."""
        return self.phrases.get(sentence, sentence)

    def family(self, family: str) -> str:
        """Return what a family of checks is about; its own name when it has no other."""
        return self.texts.get(f"family_{family}", family)


@cache
def wording(language: Language) -> Wording:
    """Return the texts of a language, as shipped."""
    tables = tomllib.loads((_FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    parts = [tables.pop(name, {}) for name in ("controls_known", "checks_known", "phrases_known")]
    return Wording(language, tables, *parts)


def kind_of(check: str) -> str:
    """Return the `<family>/<check>` of a check."""
    return "/".join(check.split("/")[:2])


def readable(subject: str) -> str:
    """Return `town.a--cell.b--service` as `town/a → cell/b (service)`; any other subject with its dots as slashes."""
    parts = subject.split("--")
    ends = [part.replace(".", "/", 1) for part in parts[:2]]
    if len(parts) not in {2, 3} or not all("/" in end for end in ends):
        return subject.replace(".", "/", 1)
    return " → ".join(ends) + "".join(f" ({service})" for service in parts[2:])
