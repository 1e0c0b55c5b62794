"""What the documentation shows is loaded as it stands there, and what it names is there."""

import importlib
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cloison.cli import main as _every_command  # noqa: F401  each module adds its commands to the application
from cloison.cli.app import app
from cloison.desired import states_of
from cloison.doctor import Profile
from cloison.fleet.play import names
from cloison.intent.load import load
from cloison.intent.rules import RULES
from cloison.lab.faults.catalogue import catalogue
from cloison.model import Name
from cloison.render import render_all
from cloison.workspace import Network, find_workspace

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])
GENERATED = ("docs/faults.md", "runs", "runs/*", ".cloison", ".cloison/*", ".venv/*", "rendered*")
"""What a command makes: it may be named before it is there."""
IN_A_RUN = {"audit.json", "audit.jsonl", "page.html"}
SUFFIXES = (".py", ".md", ".yaml", ".toml", ".j2", ".json", ".jsonl", ".html", ".txt", ".csv", ".pcap")
COMMAND_ENDS = re.compile(r"\s*(?:&&|\|\||[|;\n])\s*")


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(encoding="utf-8"), flags=re.DOTALL)


def inline(document: Path) -> list[str]:
    """Return what stands in inline code, a line break in it as a blank."""
    prose = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def test_the_site_of_the_page_about_sites_loads_and_renders(tmp_path: Path) -> None:
    for folder in ("inventory", "templates"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    before = load(tmp_path)
    (text,) = blocks(ROOT / "docs" / "add-a-site.md", "yaml")
    name = re.search(r"^site: (\S+)$", text, flags=re.MULTILINE)
    assert name
    (tmp_path / "inventory" / "sites" / f"{name[1]}.yaml").write_text(text, encoding="utf-8")
    after = load(tmp_path)
    assert {site.name for site in after.sites} - {site.name for site in before.sites} == {name[1]}
    assert len(after.tunnels) == len(before.tunnels) + 2
    written = render_all(states_of(after), tmp_path / "templates", tmp_path / "out")
    assert {path.parent.name for path in written if path.parts[-3] == name[1]} == {
        "firewall",
        "core-switch",
        "pole-switch",
    }


def test_the_waiver_of_the_page_about_checks_loads(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "inventory", tmp_path / "inventory")
    (text,) = blocks(ROOT / "docs" / "validators.md", "yaml")
    with (tmp_path / "inventory" / "sites" / "roussy-le-village.yaml").open("a", encoding="utf-8") as file:
        file.write(text)
    (waiver,) = load(tmp_path).site_by_name[Name("roussy-le-village")].waivers
    assert waiver.check.endswith("/roussy-le-village.nvr")


@pytest.mark.parametrize(
    ("document", "source"),
    [
        ("add-a-fault.md", "src/cloison/lab/faults/filter_rules.py"),
        ("add-a-validator.md", "validators/reach/test_reach.py"),
    ],
)
def test_the_code_that_is_shown_is_that_of_the_repository(document: str, source: str) -> None:
    (code,) = blocks(ROOT / "docs" / document, "python")
    assert code in (ROOT / source).read_text(encoding="utf-8")


def is_generated(path: str) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in GENERATED)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8"))
    there = [(document.parent / link).resolve() for link in links]
    assert [path for path in there if not path.exists() and not is_generated(path.relative_to(ROOT).as_posix())] == []


# --- commands --------------------------------------------------------------------------------------------------------


@cache
def known_words() -> dict[str, frozenset[str]]:
    """Return, by verb, the words that its argument may be; a word in capitals stands for one of them."""
    workspace = find_workspace(ROOT)
    faults = frozenset(str(fault.name) for fault in catalogue(load(workspace)))
    plays = {name.replace("-", sign) for name in names(workspace) for sign in "-_"}
    return {
        "lab fault": faults,
        "lab heal": faults,
        "play": frozenset(plays),
        "rule": frozenset(RULES),
        "--for": frozenset(Profile),
        "--network": frozenset(Network),
        "--via": frozenset({"local", "tunnel"}),
        "--site": frozenset(str(site.name) for site in load(workspace).sites),
    }


def is_known(what: str, word: str) -> bool:
    known = known_words().get(what)
    return known is None or word in known or re.fullmatch(r"[A-Z]+", word) is not None


@dataclass
class Typed:
    """A command line as far as it was understood."""

    command: Any
    """Of Typer's tree: the verb, or the group that it is looked for in."""
    path: list[str] = field(default_factory=lambda: ["cloison"])
    options: set[str] = field(default_factory=set)
    arguments: list[str] = field(default_factory=list)
    wrong: str = ""

    def take(self, word: str, rest: Iterator[str]) -> None:
        """Take in the next word, and what belongs to it."""
        if word.startswith("-"):
            self._take_option(word, rest)
        elif not hasattr(self.command, "commands"):
            self.arguments.append(word)
        elif word in self.command.commands:
            self.command = self.command.commands[word]
            self.path.append(word)
        else:
            self.wrong = f"{' '.join(self.path)} has no command {word}"

    def _take_option(self, word: str, rest: Iterator[str]) -> None:
        name, _, value = word.partition("=")
        option = next((one for one in self.command.params if name in one.opts), None)
        self.options.add(name)
        if option is None and name != "--help":
            self.wrong = f"{' '.join(self.path)} has no option {name}"
        elif option is not None and not option.is_flag and not is_known(name, value or next(rest, "")):
            self.wrong = f"{name} is followed by what it does not know"

    def excess(self) -> str:
        """Return what is too much or not known in it."""
        wanted = [one for one in self.command.params if one.param_type_name == "argument"]
        verb = " ".join(self.path[1:])
        unknown = [word for word in self.arguments if not is_known(verb, word)]
        if len(self.arguments) > len(wanted):
            return f"{verb} takes {len(wanted)} arguments"
        return f"{verb} knows no {unknown[0]}" if unknown else ""

    def lack(self) -> str:
        """Return what is missing for it to run."""
        if hasattr(self.command, "commands"):
            return "" if self.options or self.command.invoke_without_command else "a verb is missing"
        required = [one for one in self.command.params if one.required]
        arguments = [one for one in required if one.param_type_name == "argument"]
        options = {one.opts[0] for one in required if one.param_type_name == "option"}
        if len(self.arguments) < len(arguments):
            return f"{len(arguments)} arguments are needed"
        return "" if options <= self.options else f"{sorted(options)} are needed"


def wrong_command(words: list[str], *, whole: bool) -> str:
    """Return what is wrong with a command line, empty when nothing is; a whole one has all that it needs."""
    typed = Typed(typer.main.get_command(app))
    rest = iter(words[1:])
    for word in rest:
        typed.take(word, rest)
        if typed.wrong:
            return typed.wrong
    return typed.excess() or (typed.lack() if whole else "")


def wrong_target(words: list[str]) -> str:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    unknown = [word for word in words[1:] if word not in targets]
    return f"make has no target {unknown[0]}" if unknown else ""


def wrong_line(line: str, *, whole: bool) -> str:
    """Return what is wrong with the commands of one line that are ours."""
    for part in COMMAND_ENDS.split(re.sub(r"(^|\s)#.*", "", line)):
        words = list(takewhile(lambda word: word not in {">", "<"}, shlex.split(part)))
        while words and re.match(r"\w+=", words[0]):
            words.pop(0)
        program = words[0] if words else ""
        found = ""
        if program in {"cloison", ".venv/bin/cloison"}:
            found = wrong_command(words, whole=whole)
        elif program == "make":
            found = wrong_target(words)
        if found:
            return f"{part}: {found}"
    return ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_are_those_of_the_command_line(document: Path) -> None:
    lines = [line for block in blocks(document, "sh") for line in block.splitlines()]
    wrong = [wrong_line(line, whole=True) for line in lines]
    wrong += [wrong_line(span, whole=False) for span in inline(document) if span.startswith(("cloison ", "make "))]
    assert list(filter(None, wrong)) == []


@pytest.mark.parametrize(
    "line",
    [
        "cloison verify",
        "cloison lab reboot nvr",
        "cloison audit --fast",
        "cloison lab --name x up",
        "cloison render",
        "cloison rule",
        "cloison rule CL999",
        "cloison play no-such-play",
        "cloison lab fault no-such-fault",
        "cloison doctor --for fun",
        "cloison plan --network elsewhere",
        "cloison check && cloison lab up down",
        "PATH=x; cloison aplly --yes",
        "make nothing",
    ],
)
def test_a_command_that_is_not_there_is_found(line: str) -> None:
    assert wrong_line(line, whole=True)


@pytest.mark.parametrize(
    "line",
    [
        "cloison --root . check",
        "cloison rule CODE",
        "cloison lab fault camera-opened && cloison audit --network lab; echo $?   # 1",
        "cloison apply --yes --site crisis-cell --via local | tail",
        "git clone … cloison && cd cloison",
        "make demo",
    ],
)
def test_a_command_that_is_there_is_not_found(line: str) -> None:
    assert wrong_line(line, whole=True) == ""


def test_the_first_page_names_every_command() -> None:
    def every(command: Any, path: tuple[str, ...] = ("cloison",)) -> Iterator[str]:  # noqa: ANN401  Typer's own tree
        for name, below in command.commands.items():
            if hasattr(below, "commands"):
                yield from every(below, (*path, name))
            else:
                yield " ".join((*path, name))

    named = "\n".join(inline(ROOT / "README.md"))
    missing = [name for name in every(typer.main.get_command(app)) if not re.search(rf"^{name}\b", named, re.MULTILINE)]
    assert missing == []


# --- files and modules -----------------------------------------------------------------------------------------------


@cache
def files() -> frozenset[str]:
    """Return every path of the repository that one may name, folders too."""
    hidden = {".git", ".venv", ".cloison", "runs", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
    found: set[str] = set()
    ahead = [ROOT]
    while ahead:
        for path in ahead.pop().iterdir():
            if path.name not in hidden:
                found.add(path.relative_to(ROOT).as_posix())
                ahead += [path] if path.is_dir() and not path.is_symlink() else []
    return frozenset(found)


def is_a_path(span: str) -> bool:
    top = span.split("/", maxsplit=1)[0]
    looks_so = re.fullmatch(r"[\w.<>|*/-]+", span) is not None
    return looks_so and (("/" in span and bool(top) and (ROOT / top).exists()) or span.endswith(SUFFIXES))


def wrong_path(span: str) -> bool:
    """Tell whether nothing of the repository has that path, or ends with it; `<…>` stands for one name."""
    pattern = re.sub(r"<[^>]*>", "*", span).strip("/")
    if is_generated(pattern) or pattern.split("/")[-1] in IN_A_RUN or pattern.startswith("configuration/*"):
        return False
    return not any(fnmatchcase(path, pattern) or fnmatchcase(path, f"*/{pattern}") for path in files())


def is_a_module(span: str) -> bool:
    return re.fullmatch(r"cloison(\.\w+)+", span) is not None


def wrong_module(span: str) -> bool:
    """Tell whether no module, and nothing in a module, has that dotted name."""
    parts = span.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            if not hasattr(found, name):
                return True
            found = getattr(found, name)
        return False
    return True


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_and_modules_that_are_named_are_there(document: Path) -> None:
    spans = inline(document)
    assert [span for span in spans if is_a_path(span) and wrong_path(span)] == []
    assert [span for span in spans if is_a_module(span) and wrong_module(span)] == []


@pytest.mark.parametrize(
    ("span", "wrong"),
    [
        ("src/cloison/probe/attacks/", True),
        ("inventory/sites/<name>.yaml", False),
        ("inventory/towns/<name>.yaml", True),
        ("invariants.yaml", False),
        ("no-such-page.md", True),
        ("docs/faults.md", False),
        ("validators/", False),
    ],
)
def test_a_file_that_is_not_there_is_found(span: str, *, wrong: bool) -> None:
    assert is_a_path(span)
    assert wrong_path(span) is wrong


@pytest.mark.parametrize(
    ("span", "wrong"),
    [
        ("cloison.model.Platform", False),
        ("cloison.lab.fault", False),
        ("cloison.proof", True),
        ("cloison.model.X", True),
    ],
)
def test_a_module_that_is_not_there_is_found(span: str, *, wrong: bool) -> None:
    assert is_a_module(span)
    assert wrong_module(span) is wrong
