import json
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from cloison.errors import IntentError, WorkspaceError
from cloison.intent.document import read_document
from cloison.intent.load import load
from cloison.intent.rules import RULES, rule
from cloison.intent.schema import KINDS, schema_files, schemas, write_schemas
from cloison.workspace import find_workspace

ROOT = Path(__file__).parents[2]
FILES = sorted(path.relative_to(ROOT / "inventory").as_posix() for path in (ROOT / "inventory").rglob("*.yaml"))
CASES = ROOT / "tests" / "golden" / "errors"
STRUCTURAL = {f"CL10{digit}" for digit in range(1, 10)}
BEYOND_A_SCHEMA = {"prefix-with-host-bits", "date-impossible"}
"""Cases whose mistake no pattern can tell."""


def schema_name(file: str) -> str:
    """Return the schema of a file of the inventory."""
    folder = file.split("/", maxsplit=1)[0]
    return {"sites": "site.json", "blueprints": "blueprint.json"}.get(folder, f"{Path(file).stem}.json")


def complaints(file: str, content: bytes) -> list[str]:
    """Return what the schema of a file says against its content."""
    validator = Draft7Validator(schemas()[schema_name(file)])
    return [error.message for error in validator.iter_errors(read_document(content).data)]


def keys(schema: object) -> set[str]:
    """Return every word of the schema language that a schema uses."""
    if isinstance(schema, list):
        return set().union(*map(keys, schema))
    if not isinstance(schema, dict):
        return set()
    named = {"properties", "definitions", "patternProperties"}
    below = (keys(list(value.values())) if key in named else keys(value) for key, value in schema.items())
    return set(schema).union(*below)


def test_shipped_schemas_are_the_generated_ones() -> None:
    shipped = {path: path.read_text(encoding="utf-8") for path in (ROOT / "inventory" / ".schema").iterdir()}
    assert shipped == schema_files(find_workspace(ROOT))


@pytest.mark.parametrize("name", sorted(KINDS))
def test_schema_keeps_to_what_every_editor_reads(name: str) -> None:
    schema = schemas()[name]
    Draft7Validator.check_schema(schema)
    assert keys(schema) <= {
        *("$schema", "$ref", "definitions", "title", "description", "default"),
        *("type", "enum", "const", "allOf", "anyOf"),
        *("properties", "required", "additionalProperties", "patternProperties", "propertyNames"),
        *("items", "minItems", "maxItems"),
        *("minimum", "maximum", "exclusiveMinimum", "pattern", "minLength", "maxLength"),
    }
    assert all(set(part) == {"$ref"} for part in references(schema))


def references(schema: object) -> list[dict[str, object]]:
    """Return every schema that refers to another; draft-07 ignores what stands beside."""
    if isinstance(schema, list):
        return [part for item in schema for part in references(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if "$ref" in schema else []
    return own + [part for value in schema.values() for part in references(value)]


@pytest.mark.parametrize("file", FILES)
def test_shipped_file_names_its_schema_and_keeps_to_it(file: str) -> None:
    path = ROOT / "inventory" / file
    first, second = path.read_text(encoding="utf-8").splitlines()[:2]
    relative = first.removeprefix("# yaml-language-server: $schema=")
    assert second == f"# $schema: {relative}"
    assert (path.parent / relative).resolve() == ROOT / "inventory" / ".schema" / schema_name(file)
    assert complaints(file, path.read_bytes()) == []


def codes_of(name: str, file: str) -> set[str]:
    """Return the codes that the loader says of one file in one case."""
    lines = (CASES / name / "expected.txt").read_text(encoding="utf-8").splitlines()
    return {line.split(": ")[1] for line in lines if line.startswith(f"inventory/{file}:")}


def readable_changes() -> list[tuple[str, str]]:
    """Return case and file of every change after which the text can still be read as data."""
    return sorted(
        {
            (path.parent.name, change["file"])
            for path in CASES.glob("*/case.toml")
            for change in tomllib.loads(path.read_text(encoding="utf-8")).get("replace", [])
            if not any(code.startswith("CL0") for code in codes_of(path.parent.name, change["file"]))
        }
    )


@pytest.mark.parametrize(("name", "file"), readable_changes())
def test_schema_and_model_agree_on_what_is_wrong(name: str, file: str) -> None:
    case = tomllib.loads((CASES / name / "case.toml").read_text(encoding="utf-8"))
    text = (ROOT / "inventory" / file).read_text(encoding="utf-8")
    for change in case["replace"]:
        if change["file"] == file:
            text = text.replace(change["find"], change["by"])
    expected = bool(codes_of(name, file) & STRUCTURAL) and name not in BEYOND_A_SCHEMA
    assert bool(complaints(file, text.encode())) is expected


def test_cases_beyond_a_schema_are_still_refused() -> None:
    for name in BEYOND_A_SCHEMA:
        assert (CASES / name / "expected.txt").read_text(encoding="utf-8") != ""


def test_schema_text_ends_with_a_line_end() -> None:
    for text in schema_files(find_workspace(ROOT)).values():
        assert text.endswith("}\n")
        assert json.loads(text)["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_schemas_are_written_where_the_modelines_point(tmp_path: Path) -> None:
    (tmp_path / "inventory").mkdir()
    workspace = find_workspace(tmp_path)
    written = write_schemas(workspace)
    assert {path: path.read_text(encoding="utf-8") for path in written} == schema_files(workspace)


def test_schemas_of_no_inventory_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="No such file"):
        write_schemas(find_workspace(tmp_path))


def test_rule_is_explained_in_either_case() -> None:
    assert rule("cl503") == rule("CL503")
    assert "invariants.yaml" in rule("CL503").explanation


def test_every_rule_has_a_title_and_whole_sentences() -> None:
    for code, said in RULES.items():
        assert said.code == code
        assert 0 < len(said.title) <= 50
        assert said.explanation.endswith((".", ".)"))


def test_unknown_rule_is_refused_with_the_nearest() -> None:
    with pytest.raises(Exception, match="no rule `CL5033`; did you mean") as raised:
        rule("CL5033")
    assert not isinstance(raised.value, IntentError)


def test_shipped_inventory_loads() -> None:
    assert [site.name for site in load(ROOT).sites] == ["roussy-le-village", "crisis-cell", "operations-centre"]
