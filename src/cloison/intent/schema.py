"""A JSON Schema for each kind of inventory file, for editors: draft-07, the last version that all of them read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cloison.errors import WorkspaceError
from cloison.intent.models import (
    BlueprintFile,
    DefaultsFile,
    GroupsFile,
    InvariantsFile,
    NetworkFile,
    PolicyFile,
    SiteFile,
)
from cloison.workspace import SCHEMAS, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import JsonValue

    from cloison.model import Model

DRAFT = "http://json-schema.org/draft-07/schema#"
KINDS: dict[str, type[Model]] = {
    "network.json": NetworkFile,
    "policy.json": PolicyFile,
    "invariants.json": InvariantsFile,
    "blueprint.json": BlueprintFile,
    "site.json": SiteFile,
    "groups.json": GroupsFile,
    "defaults.json": DefaultsFile,
}
"""The model of each schema file."""
_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(\.{_OCTET}){{3}}"
_LENGTH = r"/(3[0-2]|[12]?[0-9])"
# Editors do not know these formats of pydantic, and need not assert the formats they know.
_FORMATS: dict[JsonValue, str] = {
    "ipv4": f"^{_IPV4}$",
    "ipv4network": f"^{_IPV4}({_LENGTH})?$",
    "ipv4interface": f"^{_IPV4}({_LENGTH})?$",
    "date": "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$",
}


def schemas() -> dict[str, dict[str, JsonValue]]:
    """Return the schemas by file name, as they are shipped in the inventory's `.schema` folder."""
    return {name: _schema(model) for name, model in KINDS.items()}


def schema_files(workspace: Workspace) -> dict[Path, str]:
    """Return the path and the text of each schema file of a workspace."""
    folder = workspace.root / SCHEMAS
    return {
        folder / name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas().items()
    }


def write_schemas(workspace: Workspace) -> tuple[Path, ...]:
    """Write the schemas where the modelines of the inventory's files point, and return their paths."""
    files = schema_files(workspace)
    try:
        (workspace.root / SCHEMAS).mkdir(exist_ok=True)
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"{workspace.root / SCHEMAS}: {error.strerror}; expected an inventory that can be written"
        raise WorkspaceError(msg) from error
    return tuple(files)


def _schema(model: type[Model]) -> dict[str, JsonValue]:
    schema = _draft_07(model.model_json_schema(by_alias=True))
    if not isinstance(schema, dict):
        raise TypeError(model.__name__)
    return {"$schema": DRAFT, **schema}


def _draft_07(schema: JsonValue) -> JsonValue:
    """Return the schema said in the words of draft-07: no `prefixItems`, no `$defs`, nothing beside a `$ref`."""
    if isinstance(schema, list):
        return [_draft_07(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    said = {key: _draft_07(value) for key, value in schema.items() if not (key == "default" and value is None)}
    if "$defs" in said:
        said["definitions"] = said.pop("$defs")
    reference = said.get("$ref")
    if isinstance(reference, str):
        said["$ref"] = reference.replace("#/$defs/", "#/definitions/")
        if len(said) > 1:
            said = {"allOf": [{"$ref": said.pop("$ref")}], **said}
    if "patternProperties" in said:
        said["additionalProperties"] = False
    if said.get("format") in _FORMATS:
        said["pattern"] = _FORMATS[said.pop("format")]
    items = said.pop("prefixItems", None)
    if isinstance(items, list):
        said["items"] = items[0]
    choices = said.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        return _without_null(said, [choice for choice in choices if choice != {"type": "null"}])
    return said


def _without_null(said: dict[str, JsonValue], choices: list[JsonValue]) -> JsonValue:
    """A key that may be absent has no null value in the inventory: the key is left out."""
    rest = {key: value for key, value in said.items() if key != "anyOf"}
    if len(choices) == 1 and isinstance(choices[0], dict):
        only = choices[0]
        return {"allOf": [only], **rest} if "$ref" in only and rest else {**rest, **only}
    return {**rest, "anyOf": choices}
