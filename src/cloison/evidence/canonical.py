"""JSON that cannot be read two ways: a strict loader and a canonical writer.

Canonical: keys sorted, no space, ASCII, one newline at the end; the same value is always the same bytes.
"""

from __future__ import annotations

import json
from typing import TypeAlias

from cloison.errors import EvidenceError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

DEPTH_LIMIT = 20
SIZE_LIMIT = 64_000_000
"""Bytes of one document."""
_NUMBER_DIGITS = 30


def canonical(value: Json) -> bytes:
    """Return the canonical bytes of a value; EvidenceError when it holds a number that JSON has no word for."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        msg = f"cannot be written as JSON: {error}"
        raise EvidenceError(msg) from error
    return text.encode("ascii") + b"\n"


def strict(content: bytes, place: str) -> Json:
    """Return the one value that the bytes mean.

    Refuses duplicate keys, NaN and infinities, numbers that overflow, more than DEPTH_LIMIT levels, more than
    SIZE_LIMIT bytes and anything that is not UTF-8. Raises EvidenceError, which names `place`.
    """
    if len(content) > SIZE_LIMIT:
        msg = f"{place}: larger than {SIZE_LIMIT} bytes"
        raise EvidenceError(msg)
    try:
        value: Json = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_pairs,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        msg = f"{place}: not strict JSON: {reason}"
        raise EvidenceError(msg) from error
    if _depth_exceeds(value, DEPTH_LIMIT):
        msg = f"{place}: not strict JSON: more than {DEPTH_LIMIT} levels"
        raise EvidenceError(msg)
    return value


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        # The key is the writer's text: shown as a JSON string, which escapes every control.
        twice = json.dumps(next(name for name in names if names.count(name) > 1)[:80])
        msg = f"the key {twice} stands twice in one object"
        raise ValueError(msg)
    return found


def _constant(text: str) -> float:
    msg = f"{text} is not a number of JSON"
    raise ValueError(msg)


def _float(text: str) -> float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        msg = "a number overflows"
        raise ValueError(msg)
    return value


def _int(text: str) -> int:
    if len(text) > _NUMBER_DIGITS:
        msg = f"a number of more than {_NUMBER_DIGITS} digits"
        raise ValueError(msg)
    return int(text)


def _depth_exceeds(value: Json, limit: int) -> bool:
    level: list[Json] = [value]
    for _ in range(limit + 1):
        inner: list[Json] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        if not inner:
            return False
        level = inner
    return True
