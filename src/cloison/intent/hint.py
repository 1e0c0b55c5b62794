"""What an unknown word was perhaps meant to be, and how a word of the inventory is shown in a message."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN_CHARACTERS = 60


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question with the nearest known word; empty when none is near."""
    nearest = difflib.get_close_matches(word[:_SHOWN_CHARACTERS], list(known), 1)
    return f"did you mean `{nearest[0]}`?" if nearest else ""


def one_of(known: Iterable[str]) -> str:
    """Return the known words as an expectation."""
    words = list(dict.fromkeys(known))
    return f"one of {', '.join(words)}" if len(words) > 1 else "".join(words)


def cut(text: str, limit: int = _SHOWN_CHARACTERS) -> str:
    """Return the text on one line of at most `limit` characters."""
    line = " ".join(text.split("\n"))
    return line if len(line) <= limit else line[: limit - 1] + "…"
