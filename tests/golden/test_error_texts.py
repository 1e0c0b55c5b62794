"""Each folder of errors/ spoils the shipped inventory in one way; its expected.txt is the exact text of the error.

`python tests/golden/test_error_texts.py` writes every expected.txt anew, for a review of the difference.
"""

import shutil
import sys
import tempfile
import tomllib
from datetime import date
from pathlib import Path

import pytest

from cloison.errors import InputError, IntentError
from cloison.intent.check import expired_waivers
from cloison.intent.load import load, read
from cloison.intent.rules import RULES
from cloison.workspace import Network, find_workspace

CASES = Path(__file__).parent / "errors"
SHIPPED = Path(__file__).parents[2] / "inventory"
NAMES = sorted(path.parent.name for path in CASES.glob("*/case.toml"))


def spoil(root: Path, case: dict[str, list[dict[str, str]]]) -> None:
    """Copy the shipped inventory below `root` and change it as the case says."""
    inventory = root / "inventory"
    shutil.copytree(SHIPPED, inventory)
    for change in case.get("replace", []):
        file = inventory / change["file"]
        text = file.read_text(encoding="utf-8")
        assert text.count(change["find"]) == 1, (
            f"{change['find']!r} stands {text.count(change['find'])} times in {file}"
        )
        file.write_text(text.replace(change["find"], change["by"]), encoding="utf-8")
    for change in case.get("write", []):
        file = inventory / change["file"]
        file.parent.mkdir(exist_ok=True)
        text = change["text"] * int(change.get("times", 1))
        file.write_bytes(text.encode(change.get("encoding", "utf-8")))
    for change in case.get("copy", []):
        text = (inventory / change["file"]).read_text(encoding="utf-8")
        for pair in change["replacing"]:
            assert pair[0] in text, f"{pair[0]!r} does not stand in {change['file']}"
            text = text.replace(pair[0], pair[1])
        (inventory / change["to"]).write_text(text, encoding="utf-8")
    for change in case.get("remove", []):
        (inventory / change["file"]).unlink()
    for change in case.get("link", []):
        (inventory / change["file"]).unlink()
        (inventory / change["file"]).symlink_to(change["target"])


def error_text(root: Path, name: str) -> str:
    """Return the text that the spoilt inventory of this case gives."""
    case = tomllib.loads((CASES / name / "case.toml").read_text(encoding="utf-8"))
    spoil(root, case)
    network = Network(case.get("network", "lab"))
    if "today" in case:
        problems = expired_waivers(read(root, network), date.fromisoformat(case["today"]))
        return "".join(f"{problem}\n" for problem in problems)
    try:
        load(root, network)
    except InputError as error:
        return f"{error}\n".replace(str(root), "<root>")
    return "nothing is wrong\n"


@pytest.mark.parametrize("name", NAMES)
def test_error_is_said_exactly(name: str, tmp_path: Path) -> None:
    assert error_text(tmp_path, name) == (CASES / name / "expected.txt").read_text(encoding="utf-8")


def test_every_code_of_the_catalogue_has_a_case_and_every_code_said_is_in_the_catalogue() -> None:
    said = {
        line.split(": ")[1]
        for name in NAMES
        for line in (CASES / name / "expected.txt").read_text(encoding="utf-8").splitlines()
    }
    assert said == set(RULES)


def test_every_code_in_the_source_is_in_the_catalogue() -> None:
    source = Path(sys.modules[IntentError.__module__].__file__ or "").parent / "intent"
    text = "".join(path.read_text(encoding="utf-8") for path in source.glob("*.py") if path.name != "rules.py")
    named = {text[at + 1 : at + 6] for at in range(len(text)) if text.startswith('"CL', at) and text[at + 6] == '"'}
    assert named == set(RULES)


def test_shipped_inventory_is_sound() -> None:
    assert len(load(find_workspace(SHIPPED.parent)).sites) == 3


if __name__ == "__main__":
    for case_name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            expected = error_text(Path(folder), case_name)
        (CASES / case_name / "expected.txt").write_text(expected, encoding="utf-8")
