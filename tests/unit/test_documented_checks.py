"""The page about the checks is held against the validators, the intent and the catalogue of faults."""

import ast
import re
from math import prod
from pathlib import Path

import pytest

from cloison.intent.load import load
from cloison.lab.faults.catalogue import catalogue
from cloison.testing.subjects import SUBJECTS
from cloison.workspace import find_workspace

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "validators.md").read_text(encoding="utf-8")
INTENT = load(find_workspace(ROOT))


def checks() -> dict[str, int]:
    """Return how many subjects each check of the validators has, by the first two parts of its id."""
    found: dict[str, int] = {}
    for path in sorted((ROOT / "validators").rglob("test_*.py")):
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(function, ast.FunctionDef):
                names = {argument.arg for argument in function.args.args} & set(SUBJECTS)
                for mark in function.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.check":
                        check = "/".join(ast.literal_eval(mark.args[0]).split("/")[:2])
                        found[check] = prod(len(SUBJECTS[name](INTENT)) for name in names)
    return found


def rows() -> dict[str, list[str]]:
    """Return the cells of each row about a check, the first one aside."""
    found = re.findall(r"^\| `([a-z]+/[a-z-]+)` \| (.*) \|$", PAGE, flags=re.MULTILINE)
    return {check: cells.split(" | ") for check, cells in found}


def test_every_check_has_its_row_with_the_number_of_its_subjects() -> None:
    assert {check: int(cells[0].split()[0]) for check, cells in rows().items()} == checks()


def test_every_check_names_the_faults_that_must_turn_it_red() -> None:
    caught: dict[str, list[str]] = {check: [] for check in checks()}
    for fault in catalogue(INTENT):
        for check in dict.fromkeys("/".join(must.split("/")[:2]) for must in fault.must):
            caught[check].append(str(fault.name))
    named = {
        check: [] if cells[-1].startswith("none") else re.findall(r"`([a-z0-9-]+)`", cells[-1])
        for check, cells in rows().items()
    }
    assert named == caught
    assert all(caught.values()), "a check that no fault must turn red was never shown able to fail"


@pytest.mark.parametrize("name", ["README.md", "docs/validators.md"])
def test_the_number_of_checks_is_the_right_one(name: str) -> None:
    numbers = re.findall(r"\b(\d{3,}) checks\b", (ROOT / name).read_text(encoding="utf-8"))
    assert numbers
    assert {int(number) for number in numbers} == {sum(checks().values())}


def test_the_number_of_faults_is_the_right_one() -> None:
    (number,) = re.findall(r"(\d+) ways to break it", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert int(number) == len(catalogue(INTENT))
