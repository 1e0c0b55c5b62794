"""What the first page shows of commands is what they print."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloison.cli import main as _every_command  # noqa: F401  each module adds its commands to the application
from cloison.cli.app import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
SESSIONS = re.findall(r"^```\n\$ cloison (.*)\n((?:(?!```).*\n)*)```$", PAGE, flags=re.MULTILINE)
(LEAK,) = re.findall(r"^```\n(LEAKS …(?:(?!```).*\n)*)```$", PAGE, flags=re.MULTILINE)
FROM_TUNNELS, FROM_ANYWHERE = 'iifname "{{ state.tunnel_interface }}" icmp type', "icmp type"


def printed(words: list[str], root: Path = ROOT) -> str:
    return str(CliRunner().invoke(app, ["--root", str(root), *words]).stdout)


def missing(shown: str, output: str) -> str:
    """Return the first part of what is shown that the output does not hold in that order; `…` stands for anything."""
    rest = " ".join(output.split())
    for part in shown.split("…"):
        wanted = " ".join(part.split())
        if wanted not in rest:
            return wanted
        rest = rest[rest.index(wanted) + len(wanted) :]
    return ""


def test_sessions_are_found() -> None:
    assert [words.split()[0] for words, _ in SESSIONS] == ["check", "explain"]


@pytest.mark.parametrize(("words", "shown"), SESSIONS, ids=[words for words, _ in SESSIONS])
def test_what_is_shown_is_printed(words: str, shown: str) -> None:
    assert missing(shown, printed(shlex.split(words))) == ""


def test_the_leak_of_the_page_is_found_with_the_template_as_it_once_was(tmp_path: Path) -> None:
    for folder in ("inventory", "templates"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    template = tmp_path / "templates" / "firewall" / "debian-libipsec" / "filter.j2"
    text = template.read_text(encoding="utf-8")
    assert text.count(FROM_TUNNELS) == 1
    template.write_text(text.replace(FROM_TUNNELS, FROM_ANYWHERE), encoding="utf-8")
    assert missing(LEAK, printed(["check"], tmp_path)) == ""


@pytest.mark.parametrize(
    ("shown", "wrong"),
    [
        ("one … three", ""),
        ("one  two\n … four", ""),
        ("two … one", "one"),
        ("five", "five"),
        ("one three", "one three"),
    ],
)
def test_what_is_not_printed_is_seen(shown: str, wrong: str) -> None:
    assert missing(shown, "one two\nthree\n  four") == wrong
