"""What pydantic finds wrong with the data of a file, said in the words of the inventory."""

from __future__ import annotations

import difflib
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Union, get_args, get_origin

from cloison.intent.document import Mistake
from cloison.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from cloison.intent.document import Document, Path

_SHOWN_CHARACTERS = 60
_KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "date_type": "a date",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_SIZES = {
    "too_short": ("min_length", "at least", "items"),
    "too_long": ("max_length", "at most", "items"),
    "string_too_short": ("min_length", "at least", "characters"),
    "string_too_long": ("max_length", "at most", "characters"),
}


def structure_mistakes(error: ValidationError, model: type[Model], document: Document) -> Iterator[Mistake]:
    """Yield one mistake for each error of pydantic, but for those about a value that was refused as it was read."""
    for detail in error.errors(include_url=False):
        path: Path = detail["loc"]
        if not any(path[:length] in document.refused for length in range(len(path) + 1)):
            yield _mistake(detail, path, model, document)


def _mistake(detail: ErrorDetails, path: Path, model: type[Model], document: Document) -> Mistake:
    kind, context, found = detail["type"], detail.get("ctx", {}), detail["input"]
    last = f"`{path[-1]}`" if path else "the file"
    if path and path[-1] == "[key]":
        return _key_mistake(detail, path[:-1], document)
    place = document.places.of(path)
    if kind == "missing":
        holder = document.places.of(path[:-1])
        if isinstance(path[-1], int):
            return Mistake(holder, "CL106", f"item {path[-1] + 1} of the list is missing")
        return Mistake(holder, "CL101", f"the key {last} is missing", hint=f"add it to {_called(path[:-1])}")
    if kind == "extra_forbidden":
        return _unknown_key(str(path[-1]), path, model, document)
    if kind in _KINDS:
        hint = "quote it" if kind == "string_type" and isinstance(found, int | float) else ""
        return Mistake(place, "CL103", f"{last} is {_kind_of(found)}", _KINDS[kind], hint)
    if kind == "enum":
        return _not_one_of(found, str(context["expected"]), document.places.of(path))
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return Mistake(place, "CL105", f"{last} is {_shown(found)}", f"{words} {context[bound]}")
    if kind in _SIZES:
        bound, words, what = _SIZES[kind]
        size = len(found) if isinstance(found, str | list | dict) else 0
        return Mistake(place, "CL106", f"{last} has {size} {what}", f"{words} {context[bound]}")
    if kind == "date_parsing":
        return Mistake(place, "CL109", f"{_shown(found)} is not a date", "YYYY-MM-DD")
    return _wrong_value(detail, place_of=path, document=document)


def _wrong_value(detail: ErrorDetails, place_of: Path, document: Document) -> Mistake:
    """Say what a value type expected: its own words are the message of the ValueError it raised."""
    place, found = document.places.of(place_of), _shown(detail["input"])
    reason = str(detail.get("ctx", {}).get("error", detail["msg"]))
    if reason.startswith("not "):
        return Mistake(place, "CL107", f"{found} is {reason.split(' (', 1)[0]}", reason.removeprefix("not "))
    return Mistake(place, "CL108", f"{found} is not an address or a prefix: {reason}", "IPv4, such as 192.0.2.1")


def _key_mistake(detail: ErrorDetails, path: Path, document: Document) -> Mistake:
    place = document.places.of_key(path)
    if detail["type"] == "enum":
        return _not_one_of(path[-1], str(detail.get("ctx", {})["expected"]), place)
    reason = str(detail.get("ctx", {}).get("error", detail["msg"]))
    return Mistake(place, "CL107", f"the key `{path[-1]}` is {reason.split(' (', 1)[0]}", reason.removeprefix("not "))


def _not_one_of(found: object, expected: str, place: tuple[int, int]) -> Mistake:
    known = [word for word in expected.split("'") if word.strip(" ,") not in {"", "or"}]
    nearest = difflib.get_close_matches(str(found), known, 1)
    hint = f"did you mean `{nearest[0]}`?" if nearest else ""
    listed = "one of " + ", ".join(known) if len(known) > 1 else known[0]
    return Mistake(place, "CL104", f"{_shown(found)} is not known here", listed, hint)  # type: ignore[arg-type]


def _unknown_key(key: str, path: Path, model: type[Model], document: Document) -> Mistake:
    known = _keys_at(model, path[:-1])
    nearest = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean `{nearest[0]}`?" if nearest else ""
    expected = "one of " + ", ".join(known)
    return Mistake(document.places.of_key(path), "CL102", f"unknown key `{_cut(key)}`", expected, hint)


def _keys_at(model: object, path: Path) -> list[str]:
    """Return the keys that the model at this path has."""
    model = _plain(model)
    if not path:
        if isinstance(model, type) and issubclass(model, Model):
            return [field.alias or name for name, field in model.model_fields.items()]
        return []
    if isinstance(model, type) and issubclass(model, Model):
        for name, field in model.model_fields.items():
            if (field.alias or name) == path[0]:
                return _keys_at(field.annotation, path[1:])
        return []
    inner = get_args(model)
    return _keys_at(inner[-1] if get_origin(model) is dict else inner[0], path[1:]) if inner else []


def _plain(annotation: object) -> object:
    """Return the type under `Annotated` and `| None`."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return _plain(next(part for part in get_args(annotation) if part is not type(None)))
    return annotation


def _called(path: Path) -> str:
    return "`" + ".".join(str(part) for part in path) + "`" if path else "the file"


def _kind_of(found: object) -> str:
    if isinstance(found, bool):
        return "true or false"
    kinds = {str: "a text", int: "a whole number", float: "a number", list: "a list", dict: "a mapping"}
    return kinds.get(type(found), "no value")


def _shown(found: object) -> str:
    return f"`{_cut(str(found))}`" if isinstance(found, str | int | float) else _kind_of(found)


def _cut(text: str) -> str:
    line = text.replace("\n", " ")
    return line if len(line) <= _SHOWN_CHARACTERS else line[: _SHOWN_CHARACTERS - 1] + "…"
