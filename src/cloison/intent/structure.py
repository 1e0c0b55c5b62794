"""What pydantic finds wrong with the data of a file, said in the words of the inventory."""

from __future__ import annotations

import re
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Union, get_args, get_origin

from cloison.intent.document import Mistake
from cloison.intent.hint import cut, did_you_mean, one_of
from cloison.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from cloison.intent.document import Document, Path, Place

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
# What a value type says of a text: what the text is not, and which form was expected.
_DESCRIBED = re.compile(r"(not an? [^(<,]+?),? (\(.*\)|<.*|such as .*)", re.DOTALL)
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
        if not _is_noise(detail, path, document):
            yield _mistake(detail, path, model, document)


def _is_noise(detail: ErrorDetails, path: Path, document: Document) -> bool:
    """Return whether another mistake has been reported that explains this one."""
    # An unknown key is one whatever its value.
    about = path[:-1] if detail["type"] == "extra_forbidden" else path
    if any(about[:length] in document.refused for length in range(len(about) + 1)):
        return True
    if detail["type"] == "missing":
        return path[:-1] in document.incomplete
    # Pydantic counts the sound items of a list alone.
    return detail["type"] == "too_short" and len(detail["input"]) >= int(detail["ctx"]["min_length"])


def _mistake(detail: ErrorDetails, path: Path, model: type[Model], document: Document) -> Mistake:
    kind, found = detail["type"], detail["input"]
    place = document.places.of(path)
    if path and path[-1] == "[key]":
        path, found = path[:-1], str(path[-2])
        place = document.places.of_key(path)
    last = _called(path)
    if kind == "missing":
        return _missing(path, document.places.of(path[:-1]))
    if kind == "extra_forbidden":
        return _unknown_key(str(path[-1]), document.places.of_key(path), _keys_at(model, path[:-1]))
    if kind in _KINDS:
        hint = "quote it" if kind == "string_type" and isinstance(found, int | float) else ""
        return Mistake(place, "CL103", f"{last} is {_kind_of(found)}", _KINDS[kind], hint)
    return _wrong_value(detail, last, found, place)


def _wrong_value(detail: ErrorDetails, last: str, found: object, place: Place) -> Mistake:
    """Say what is wrong with a value of the right kind."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "enum":
        known = [word for word in str(context["expected"]).split("'") if word not in {"", ", ", " or "}]
        hint = did_you_mean(str(found), known)
        return Mistake(place, "CL104", f"{_shown(found)} is not known here", one_of(known), hint)
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return Mistake(place, "CL105", f"{last} is {found}", f"{words} {context[bound]:g}")
    if kind in _SIZES:
        bound, words, what = _SIZES[kind]
        size = len(found) if isinstance(found, str | list | dict) else 0
        return Mistake(place, "CL106", _count(last, size, what), f"{words} {context[bound]}")
    if kind.startswith("date"):
        return Mistake(place, "CL109", f"{_shown(found)} is not a date", "YYYY-MM-DD")
    reason = str(context.get("error", detail["msg"]))
    described = _DESCRIBED.fullmatch(reason)
    if described is not None:
        what, form = described.groups()
        form = f"a text {form}" if form.startswith("such") else form
        return Mistake(place, "CL107", f"{_shown(found)} is {what}", form.removeprefix("(").removesuffix(")"))
    return Mistake(place, "CL108", f"{_shown(found)} is no address or prefix: {reason}", "IPv4, such as 192.0.2.2/30")


def _missing(path: Path, holder: Place) -> Mistake:
    if isinstance(path[-1], int):
        return Mistake(holder, "CL106", _count(_called(path[:-1]), path[-1], "items"), f"at least {path[-1] + 1}")
    within = ".".join(str(part) for part in path[:-1])
    return Mistake(holder, "CL101", f"the key `{path[-1]}` is missing" + (f" in `{within}`" if within else ""))


def _called(path: Path) -> str:
    if not path:
        return "the file"
    return f"item {path[-1] + 1} of {_called(path[:-1])}" if isinstance(path[-1], int) else f"`{cut(path[-1])}`"


def _count(what: str, size: int, units: str) -> str:
    return f"{what} has {size} {units if size != 1 else units.removesuffix('s')}"


def _unknown_key(key: str, place: Place, known: list[str]) -> Mistake:
    return Mistake(place, "CL102", f"unknown key `{cut(key)}`", one_of(known), did_you_mean(key, known))


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


def _kind_of(found: object) -> str:
    if isinstance(found, bool):
        return "true or false"
    kinds = {str: "a text", int: "a whole number", float: "a number", list: "a list", dict: "a mapping"}
    return kinds.get(type(found), "no value")


def _shown(found: object) -> str:
    return f"`{cut(str(found))}`" if isinstance(found, str | int | float) else _kind_of(found)
