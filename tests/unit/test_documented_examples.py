"""What the documentation shows is loaded as it stands there."""

import re
import shutil
from pathlib import Path

import pytest

from cloison.desired import states_of
from cloison.intent.load import load
from cloison.render import render_all

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(encoding="utf-8"), flags=re.DOTALL)


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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []
