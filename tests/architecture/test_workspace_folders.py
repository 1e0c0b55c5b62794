"""The workspace: a model for each file of the inventory, a golden case for each template, a test for each play."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "templates"
GOLDEN = ROOT / "tests" / "golden"

MODELS = {
    "network.yaml": "NetworkFile",
    "policy.yaml": "PolicyFile",
    "invariants.yaml": "InvariantsFile",
    "groups.yaml": "GroupsFile",
    "defaults.yaml": "DefaultsFile",
    "blueprints/*.yaml": "BlueprintFile",
    "sites/*.yaml": "SiteFile",
    ".schema/*.json": "",  # made of the models, for editors
}
"""Pattern of a file of the inventory → its model in cloison.intent.models."""


def unmodelled(paths: Iterable[str], classes: set[str]) -> list[str]:
    """Return the files of an inventory for which there is no model."""
    kinds = {path: next((MODELS[pattern] for pattern in MODELS if Path(path).match(pattern)), None) for path in paths}
    return [path for path, kind in kinds.items() if kind is None or (kind and kind not in classes)]


def bad_filter_lines(path: str, text: str) -> list[str]:
    """Return the lines of a template that name an interface by its index, or log to the kernel's own log.

    An index cannot be loaded where the interface is not; the kernel's log says nothing of a network namespace.
    """
    found = []
    for number, line in enumerate(re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL).splitlines(), 1):
        rule = re.sub(r'comment "[^"]*"|(^|\s)#.*', "", line)
        by_index = re.search(r'\b[io]if\s+["{@!=]', rule)
        kernel_log = re.search(r"\blog\b(?!\s+(prefix\s+\S+\s+)?group\b)", re.sub(r"\{%.*?%\}", "", rule))
        if by_index or kernel_log:
            found.append(f"{path}:{number}: {line.strip()}")
    return found


def included(text: str) -> set[str]:
    """Return the templates that a template takes in."""
    return set(re.findall(r"\{%-?\s*(?:include|import|from|extends)\s+\"([^\"]+)\"", text))


def without_golden(templates: dict[str, str], golden: Iterable[str]) -> list[str]:
    """Return the templates that no golden file is made by.

    `templates` are texts by path, `<role>/<platform>/<section>.j2` and what those take in; golden files are called
    `<site>/<device>/<section>`, and a device whose name is not `firewall` is a switch.
    """
    covered = set()
    for path in golden:
        device, section = Path(path).parts[-2:]
        role = "firewall" if device == "firewall" else "switch"
        covered |= {name for name in templates if re.fullmatch(rf"{role}/[^/]+/{section}\.j2", name)}
    while more := {name for known in covered for name in included(templates[known])} - covered:
        covered |= more
    return sorted(set(templates) - covered)


def never_run(plays: Iterable[str], tests: Iterable[str]) -> list[str]:
    """Return the playbooks that no test names, as a whole word of a text: an argument, or on a command line."""
    words: set[str] = set()
    for text in tests:
        constants = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
        words |= {word for value in constants if isinstance(value, str) for word in value.split()}
    return [play for play in plays if not {Path(play).stem, Path(play).stem.replace("_", "-")} & words]


def texts(folder: Path, pattern: str) -> dict[str, str]:
    """Return the texts of the files below a folder, by their path from it."""
    files = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files}


def test_every_inventory_file_has_a_model() -> None:
    tree = ast.parse((ROOT / "src/cloison/intent/models.py").read_text(encoding="utf-8"))
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    inventory = ROOT / "inventory"
    names = [path.relative_to(inventory).as_posix() for path in inventory.rglob("*") if path.is_file()]
    assert names
    assert unmodelled(names, classes) == []


@pytest.mark.parametrize("path", texts(TEMPLATES, "*"))
def test_template_is_portable(path: str) -> None:
    assert bad_filter_lines(path, (TEMPLATES / path).read_text(encoding="utf-8")) == []


def test_every_template_has_a_golden_case() -> None:
    templates = texts(TEMPLATES, "*.j2")
    assert templates
    assert without_golden(templates, texts(GOLDEN / "render", "*")) == []


def test_every_playbook_is_run_by_a_test() -> None:
    plays = sorted(path.name for path in (ROOT / "playbooks").glob("*.py"))
    assert plays
    tests = texts(ROOT / "tests", "test_*.py")
    assert never_run(plays, (text for name, text in tests.items() if not name.startswith("architecture"))) == []


FIREWALL = {"firewall/debian/filter.j2": '{% include "firewall/debian/part.j2" %}', "firewall/debian/part.j2": "x"}


@pytest.mark.parametrize(
    "found",
    [
        unmodelled(["hosts.yaml"], set(MODELS.values())),
        unmodelled(["sites/notes.txt"], set(MODELS.values())),
        unmodelled(["sites/a.yaml"], {"NetworkFile"}),
        bad_filter_lines("filter.j2", '  iif "wan0" accept'),
        bad_filter_lines("filter.j2", "  oif {{ state.outside.interface }} accept"),
        bad_filter_lines("filter.j2", "  oif != {{ state.outside.interface }} accept"),
        bad_filter_lines("filter.j2", "  tcp dport 22 log accept"),
        bad_filter_lines("filter.j2", '  log prefix "x" drop'),
        bad_filter_lines("filter.j2", "  log"),
        without_golden(FIREWALL, []),
        without_golden(FIREWALL, ["a/core-switch/filter"]),
        without_golden({"firewall/debian/filter.j2": "x", "firewall/debian/part.j2": "x"}, ["a/firewall/filter"]),
        never_run(["firewall.py"], ["import firewall"]),
        never_run(["firewall.py"], ["def test(): assert play('roussy-le-village/firewall')"]),
    ],
    ids=str,
)
def test_bad_workspace_is_found(found: list[str]) -> None:
    assert found != []


@pytest.mark.parametrize(
    "found",
    [
        unmodelled(["sites/a.yaml"], {"SiteFile"}),
        bad_filter_lines("filter.j2", '  iifname "wan0" fib saddr . iif oif missing log group 2 drop comment "log"'),
        bad_filter_lines("filter.j2", '  # log it\n{# log #}\n  log prefix "x" group 2 drop'),
        without_golden(FIREWALL, ["a/firewall/filter"]),
        never_run(["firewall.py"], ["def test(): assert play('firewall')"]),
        never_run(["core_switch.py"], ["def test(): assert run('cloison play core-switch --site a')"]),
    ],
    ids=str,
)
def test_good_workspace_is_not_found(found: list[str]) -> None:
    assert found == []
