"""The shape of the tree: sizes, names, where an `__init__.py` may stand, what the wheel and the pins hold."""

import ast
import re
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
WORKSPACE = ("inventory", "templates", "playbooks", "validators")
MODULE_LINES = 400
FUNCTION_LINES = 40
DRAWERS = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "misc",
    "manager",
    "managers",
    "tools",
    "shared",
    "base_utils",
}


def oversized(path: str, text: str) -> list[str]:
    """Return a module, and each of its functions, that is too long to be read at once."""
    lines = len(text.splitlines())
    found = [f"{path}: {lines} lines"] if lines > MODULE_LINES else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > FUNCTION_LINES:
                found.append(f"{path}:{node.lineno}: {node.name} has {size} lines")
    return found


def drawers(paths: list[str]) -> list[str]:
    """Return the files and folders whose name says nothing of what they hold."""
    return [path for path in paths if {Path(part).stem for part in Path(path).parts} & DRAWERS]


def repeated_names(paths: list[str]) -> list[str]:
    """Return the names of test files that stand in more than one folder: pytest would import the wrong one."""
    counts = Counter(Path(path).name for path in paths if Path(path).name != "conftest.py")
    return sorted(name for name, count in counts.items() if count > 1)


def importable(paths: list[str]) -> list[str]:
    """Return what would make a workspace folder a package, and shadow the distribution of that name."""
    return [path for path in paths if Path(path).name == "__init__.py" and Path(path).parts[0] in WORKSPACE]


def strangers(names: list[str], version: str) -> list[str]:
    """Return the files of a wheel that are neither the package nor its metadata."""
    return [name for name in names if not name.startswith(("cloison/", f"cloison-{version}.dist-info/"))]


def weak_pins(text: str) -> list[str]:
    """Return the lines of a requirements file that hold an address, an option, or no exact version with its hash."""
    found = [line for line in text.splitlines() if "://" in line or re.match(r"-[a-z-]|\s*--(?!hash=sha256:)", line)]
    pin = re.compile(r"[a-z0-9.-]+==\S+ (; .+)?\\\n +--hash=sha256:[0-9a-f]{64}")
    entries = re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n?", "", text).strip())
    return found + [entry.partition("\n")[0] or "nothing is pinned" for entry in entries if not pin.match(entry)]


def python_files(*folders: str) -> list[str]:
    """Return the paths of the Python files under some folders of the repository."""
    return sorted(path.relative_to(ROOT).as_posix() for folder in folders for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", python_files("src"))
def test_module_can_be_read_at_once(path: str) -> None:
    assert oversized(path, (ROOT / path).read_text(encoding="utf-8")) == []


def test_no_drawer() -> None:
    assert drawers(python_files("src", "tests", "benchmarks", *WORKSPACE)) == []


def test_test_files_have_names_of_their_own() -> None:
    names = python_files("tests", "validators", "benchmarks")
    assert names
    assert repeated_names(names) == []


def test_workspace_folders_are_not_importable() -> None:
    assert importable(python_files(*WORKSPACE)) == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the names of the files in a wheel built now."""
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def test_wheel_holds_the_package_alone(wheel: list[str]) -> None:
    version = WheelBuilder(str(ROOT)).metadata.version
    assert strangers(wheel, version) == []
    assert f"cloison-{version}.dist-info/licenses/LICENSES/GPL-2.0-only.txt" in wheel
    assert f"cloison-{version}.dist-info/licenses/LICENSES/MIT.txt" in wheel


def test_wheel_holds_the_whole_package(wheel: list[str]) -> None:
    package = {
        path.relative_to(SOURCE).as_posix()
        for path in (SOURCE / "cloison").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "cloison/py.typed" in package
    assert package - set(wheel) == set()


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").iterdir()), ids=lambda path: path.name)
def test_pins_are_exact_and_name_no_index(path: Path) -> None:
    assert weak_pins(path.read_text(encoding="utf-8")) == []


HASH = "--hash=sha256:" + "0" * 64


@pytest.mark.parametrize(
    "found",
    [
        oversized("src/cloison/a.py", "\n" * (MODULE_LINES + 1)),
        oversized("src/cloison/a.py", "def f():\n" + "    pass\n" * FUNCTION_LINES),
        oversized("src/cloison/a.py", "class A:\n  async def f(self):\n" + "    pass\n" * FUNCTION_LINES),
        drawers(["src/cloison/device/utils.py"]),
        drawers(["src/cloison/helpers/names.py"]),
        repeated_names(["tests/unit/test_flow.py", "validators/reach/test_flow.py"]),
        importable(["validators/__init__.py"]),
        importable(["playbooks/deep/__init__.py"]),
        strangers(["cloison/flow.py", "validators/reach/test_reach.py"], "1"),
        strangers(["cloison_extra/flow.py"], "1"),
        weak_pins(""),
        weak_pins("pytest>=9\n"),
        weak_pins("pytest==9.2.0\n"),
        weak_pins(f"--index-url https://pypi.example/simple\npytest==9.2.0 \\\n    {HASH}\n"),
        weak_pins(f"pytest @ file:///tmp/pytest.whl \\\n    {HASH}\n"),
        weak_pins(f"--pre\npytest==9.2.0 \\\n    {HASH}\n"),
    ],
    ids=str,
)
def test_bad_shape_is_found(found: list[str]) -> None:
    assert found != []


def test_good_shape_is_not_found() -> None:
    assert oversized("src/cloison/a.py", "def f():\n" + "    pass\n" * (FUNCTION_LINES - 1)) == []
    assert weak_pins(f"# a comment\npytest==9.2.0 \\\n    {HASH} \\\n    {HASH}\n    # via x\n") == []
