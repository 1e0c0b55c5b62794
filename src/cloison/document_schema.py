"""The JSON Schema of a document that is written for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic.json_schema import GenerateJsonSchema

if TYPE_CHECKING:
    from pydantic_core import core_schema

    from cloison.model import Model


def document_schema(document: type[Model]) -> dict[str, object]:
    """Return the JSON Schema (2020-12) of a document as it is written: every property is required."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **document.model_json_schema(mode="serialization", schema_generator=_EverythingRequired),
    }


class _EverythingRequired(GenerateJsonSchema):
    """A written document holds every property, so none may be missing, whatever has a default when it is made."""

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,  # noqa: FBT001  the signature is pydantic's
    ) -> bool:
        """Return True for every field."""
        del field, total
        return True
