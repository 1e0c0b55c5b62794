"""JSON that cannot be read two ways: a strict loader and a canonical writer.

Canonical: keys sorted, no space, ASCII, one newline at the end; the same value is always the same bytes.
"""

from __future__ import annotations

import json

from cloison.errors import EvidenceError
from cloison.model import Json, read_json

__all__ = ["DEPTH_LIMIT", "SIZE_LIMIT", "Json", "canonical", "strict"]

DEPTH_LIMIT = 20
SIZE_LIMIT = 64_000_000
"""Bytes of one document."""


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

    Refuses what `read_json` refuses, more than DEPTH_LIMIT levels, more than SIZE_LIMIT bytes and anything that is not
    UTF-8. Raises EvidenceError, which names `place`.
    """
    if len(content) > SIZE_LIMIT:
        msg = f"{place}: larger than {SIZE_LIMIT} bytes"
        raise EvidenceError(msg)
    try:
        return read_json(content.decode("utf-8"), DEPTH_LIMIT)
    except ValueError as error:
        msg = f"{place}: not strict JSON: {error}"
        raise EvidenceError(msg) from error
