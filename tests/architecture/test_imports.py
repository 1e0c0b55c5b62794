"""Which room of the engine may import which: the table of docs/architecture.md, as data."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"

OPEN = frozenset({"errors", "model", "flow", "workspace", "document_schema"})
"""Rooms that every room may import."""

MAY_IMPORT: dict[str, frozenset[str]] = {  # a room, or one module of a room
    "errors": frozenset(),
    "model": frozenset(),
    "flow": frozenset(),
    "workspace": frozenset(),
    "document_schema": frozenset(),
    "transport": frozenset(),
    "intent": frozenset(),
    "desired": frozenset({"intent"}),
    "render": frozenset({"desired"}),
    "device": frozenset({"render.config", "transport", "optics"}),  # optics: an image is decoded where it is read
    "change": frozenset({"intent", "desired", "render", "device"}),
    "optics": frozenset(),
    "pki": frozenset(),
    "fleet": frozenset({"intent", "device", "change", "render.config", "optics"}),
    "prove": frozenset({"intent"}),
    "probe": frozenset({"intent", "transport", "optics"}),
    "evidence": frozenset(),
    "lab": frozenset({"intent", "transport", "optics", "pki"}),
    "audit": frozenset({"evidence", "transport"}),
    "gate": frozenset(
        {"intent", "change", "prove", "probe", "audit", "evidence", "session", "device", "render.config"}
    ),
    "doctor": frozenset({"transport"}),
    "ledger": frozenset({"intent", "change", "session"}),
    "operation": frozenset({"intent", "device", "change", "gate", "ledger", "session", "render.config"}),
    "session": frozenset({"intent", "transport", "change", "fleet", "lab"}),
}
EVERY_ROOM = frozenset(MAY_IMPORT) | {"testing", "cli"}
MAY_IMPORT |= {"testing": EVERY_ROOM - {"cli"}, "cli": EVERY_ROOM}

SPINE = {"errors": frozenset[str](), "model": frozenset({"errors"}), "flow": frozenset({"errors", "model"})}
"""What the open rooms may import of each other: nothing that imports them back."""


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of all that is imported, under TYPE_CHECKING and by name too."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(level=0, module=str(module), names=names):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)
            case ast.ImportFrom(level=level) if level:
                yield node.lineno, "." * level
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"), args=args
            ):
                name = args[0].value if args and isinstance(args[0], ast.Constant) else "?"
                yield node.lineno, str(name)


def violations(path: str, text: str) -> list[str]:
    """Return what a module, by its path under src, imports against the table."""
    room = Path(path).parts[1].removesuffix(".py")
    if room == "__init__":
        room = "errors"
    if room not in MAY_IMPORT:
        return [f"{path}: room {room} is not in the table"]
    allowed = {room} | SPINE.get(room, MAY_IMPORT[room] | OPEN)
    if path.startswith("cloison/lab/node/"):
        allowed = set()  # these programs run under the node's own Python, which has no cloison: they import each other
    found = []
    for line, name in imported(ast.parse(text)):
        if name.startswith("."):
            if not path.startswith("cloison/lab/node/"):
                found.append(f"{path}:{line}: relative import")
        elif name == "?":
            found.append(f"{path}:{line}: imports a name made at run time")
        elif name.split(".")[0] == "cloison":
            target = name.removeprefix("cloison").removeprefix(".") or "__version__"
            known = any(f"{target}.".startswith(f"{entry}.") for entry in allowed)
            if not known and not (target == "__version__" and allowed):
                found.append(f"{path}:{line}: {room} may not import {target}")
    return found


MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES)
def test_room_imports_what_the_table_allows(path: str) -> None:
    assert violations(path, (SOURCE / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("cloison/prove/space.py", "from cloison.desired import FirewallState"),
        ("cloison/prove/space.py", "import cloison.render"),
        ("cloison/prove/space.py", "if TYPE_CHECKING:\n    from cloison.render import Config"),
        ("cloison/prove/space.py", "def late():\n    from cloison.desired.firewall import FirewallState"),
        ("cloison/probe/craft.py", "from cloison import prove"),
        ("cloison/probe/craft.py", "importlib.import_module('cloison.desired')"),
        ("cloison/probe/craft.py", "__import__('cloison.desired')"),
        ("cloison/probe/craft.py", "import_module(name)"),
        ("cloison/render/filter.py", "from cloison.intent.network import Intent"),
        ("cloison/evidence/page.py", "from cloison.intent.network import Intent"),
        ("cloison/transport/ssh.py", "from cloison.intent import Intent"),
        ("cloison/device/driver.py", "from cloison.render.section import render"),
        ("cloison/device/driver.py", "from cloison.render import Config"),
        ("cloison/device/driver.py", "from cloison.renderer import Config"),
        ("cloison/errors.py", "from cloison.model import Model"),
        ("cloison/model.py", "from cloison.flow import Flow"),
        ("cloison/testing.py", "from cloison.cli import main"),
        ("cloison/intent/load.py", "from .models import Site"),
        ("cloison/lab/node/camera.py", "from cloison.errors import LabError"),
        ("cloison/attic/things.py", ""),
        ("cloison/things.py", ""),
    ],
)
def test_forbidden_import_is_found(path: str, text: str) -> None:
    assert violations(path, text) != []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("cloison/prove/space.py", "from cloison.intent.network import Intent\nfrom cloison.flow import Flow"),
        ("cloison/device/driver.py", "import napalm\nfrom cloison.render.config import Config"),
        ("cloison/cli.py", "from cloison import __version__, lab"),
    ],
)
def test_allowed_import_is_not_found(path: str, text: str) -> None:
    assert violations(path, text) == []


def written_table(text: str) -> dict[str, frozenset[str]]:
    """Return the rows of the table in a page that name their imports one by one."""
    table: dict[str, frozenset[str]] = {}
    for row in re.findall(r"^\| (`.*) \|$", text, flags=re.MULTILINE):
        rooms, _, targets = row.split(" | ")
        if targets.startswith(("`", "–")):
            table |= {room: frozenset(re.findall(r"`([\w.]+)`", targets)) for room in re.findall(r"`([\w.]+)`", rooms)}
    return table


def test_the_page_shows_this_table() -> None:
    unwritten = {"errors", "model", "flow", "testing", "cli"}  # told in words
    written = written_table((SOURCE.parent / "docs" / "architecture.md").read_text(encoding="utf-8"))
    assert written == {room: MAY_IMPORT[room] for room in EVERY_ROOM - unwritten}


def test_the_table_has_no_cycle() -> None:
    graph = {room: {target.split(".")[0] for target in targets} - {room} for room, targets in MAY_IMPORT.items()}
    graph = {room: targets for room, targets in graph.items() if room not in OPEN}
    while leaves := {room for room, targets in graph.items() if not targets & graph.keys()}:
        graph = {room: targets for room, targets in graph.items() if room not in leaves}
    assert graph == {}
