"""The commands matrix and packets, as a user meets them: texts, documents, the page, exit codes."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cloison.cli import main  # noqa: F401  it adds the commands to the application
from cloison.cli.app import app
from cloison.cli.matrix_page import matrix_page
from cloison.cli.proving_tables import matrix_document
from cloison.errors import IntentError
from cloison.prove.matrix import Cell, CellState, Matrix

ROOT = Path(__file__).parents[2]
LEAKING = Matrix(
    ("here/one", "here/two"),
    ("here/<b>spare</b>", "wan"),
    {
        ("here/one", "here/two"): Cell(
            "here/one", "here/two", CellState.LEAK, ("https", "tcp/23"), ("tcp/23",), ("https",), ()
        ),
        ("wan", "here/one"): Cell("wan", "here/one", CellState.OUTAGE, (), (), ("ssh",), ("ssh",)),
    },
    (),
)


def cloison(*arguments: str, root: Path = ROOT) -> Result:
    return CliRunner().invoke(app, ["--root", str(root), *arguments], env={"COLUMNS": "120"})


class _Page(HTMLParser):
    """What a page holds: its elements, and all that it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scopes = 0
        self.fetched: list[str] = []
        self.signs: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.scopes += "scope" in given
        self.fetched += [str(given[name]) for name in ("src", "href") if not str(given.get(name, "#")).startswith("#")]
        if given.get("role") == "img":
            self.signs.append(given.get("aria-label") or "")


@pytest.fixture(scope="module")
def leaking_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace whose firewall template lets too much through."""
    root = tmp_path_factory.mktemp("leaking")
    for folder in ("inventory", "templates"):
        shutil.copytree(ROOT / folder, root / folder)
    (template,) = (
        path
        for path in root.glob("templates/firewall/*/*.j2")
        if "chain business {" in path.read_text(encoding="utf-8")
    )
    text = template.read_text(encoding="utf-8")
    spoilt, count = re.subn(
        r"(chain business \{\n\s*type [^\n]*\n)", r'\1\t\ttcp dport 9 accept comment "open"\n', text
    )
    assert count == 1
    template.write_text(spoilt, encoding="utf-8")
    return root


def test_matrix_of_the_shipped_network_conforms_and_fits() -> None:
    done = cloison("matrix")
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= 120
    assert "to roussy-le-village" in done.stdout
    assert re.search(r"crisis-cell/station-fire .*✓ live-relay", done.stdout)
    assert "✓ wan → roussy-le-village/firewall: udp/4500, udp/500" in done.stdout


def test_matrix_document_says_what_passes_between_each_two() -> None:
    done = cloison("matrix", "--json")
    document = json.loads(done.stdout)
    cells = {(cell["sender"], cell["receiver"]): cell for cell in document["cells"]}
    assert document["outcome"] == "PASS"
    assert cells["crisis-cell/station-fire", "roussy-le-village/live-gateway"]["services"] == ["live-relay"]
    assert ("crisis-cell/station-fire", "roussy-le-village/nvr") not in cells


def test_matrix_of_one_site_leaves_out_the_others() -> None:
    document = json.loads(cloison("matrix", "--site", "crisis-cell", "--json").stdout)
    assert "roussy-le-village/nvr" not in document["equipment"]
    assert "roussy-le-village/live-gateway" in document["equipment"]


def test_matrix_of_an_unknown_site_names_those_there_are() -> None:
    done = cloison("matrix", "--site", "atlantis")
    assert str(done.exception) == (
        "--site atlantis: no such site; expected one of crisis-cell, operations-centre, roussy-le-village"
    )


def test_a_leak_is_exit_code_1_and_is_named(leaking_workspace: Path) -> None:
    done = cloison("matrix", root=leaking_workspace)
    assert done.exit_code == 1
    assert "LEAK" in done.stdout
    assert "not declared: tcp/9" in done.stdout


def test_a_page_is_written_where_it_was_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "matrix.html"
    done = cloison("matrix", "--html", str(file))
    assert f"page: {file}" in done.stdout
    page = _Page(file.read_text(encoding="utf-8"))
    equipment = len(json.loads(cloison("matrix", "--json").stdout)["equipment"])
    assert page.scopes >= 4 * equipment
    assert page.fetched == []
    assert "script" not in page.tags


def test_a_page_that_cannot_be_written_is_said_before_anything_is_done(tmp_path: Path) -> None:
    done = cloison("matrix", "--html", str(tmp_path / "nowhere" / "matrix.html"))
    assert str(done.exception).startswith("--html ")
    assert "cannot be written" in str(done.exception)


@pytest.mark.parametrize("command", [("matrix",), ("packets",), ("explain", "nvr", "cam-context", "rtsps")])
def test_what_is_rendered_for_the_live_network_needs_its_host_keys(command: tuple[str, ...]) -> None:
    assert cloison(*command, "--network", "lab").exit_code == 0
    done = cloison(*command, "--network", "live")
    assert isinstance(done.exception, IntentError)
    assert all("host_key" in str(problem) for problem in done.exception.problems)


def test_packets_that_a_rule_without_a_model_decides_about_are_not_said_to_be_all(
    tmp_path: Path, leaking_workspace: Path
) -> None:
    root = shutil.copytree(leaking_workspace, tmp_path / "root")
    for template in root.glob("templates/firewall/*/*.j2"):
        text = template.read_text(encoding="utf-8")
        template.write_text(text.replace("tcp dport 9 accept", "meta cpu 0 accept"), encoding="utf-8")
    done = cloison("packets", "--json", root=root)
    assert done.exit_code == 3
    assert all("meta cpu 0" in one for one in json.loads(done.stdout)["undetermined"])
    assert "meta cpu 0" in cloison("packets", root=root).stdout


def test_a_page_shows_each_cell_by_sign_and_words_in_both_languages() -> None:
    page = matrix_page(LEAKING, None)
    signs = _Page(page).signs
    assert "here/one → here/two: leak: something unauthorised arrives (https, tcp/23)" in signs
    assert any(sign.startswith("here/one → here/two : fuite") for sign in signs)
    assert "<b>spare</b>" not in page
    assert "read back from the devices" not in page
    assert "“moon”" in matrix_page(LEAKING, "moon")


def test_a_document_holds_every_field_of_a_cell() -> None:
    document = matrix_document(LEAKING)
    assert document["outcome"] == "FAIL"
    assert document["cells"] == [
        {
            "sender": "here/one",
            "receiver": "here/two",
            "state": "leak",
            "services": ["https", "tcp/23"],
            "leaking": ["tcp/23"],
            "declared": ["https"],
            "missing": [],
        },
        {
            "sender": "wan",
            "receiver": "here/one",
            "state": "outage",
            "services": [],
            "leaking": [],
            "declared": ["ssh"],
            "missing": ["ssh"],
        },
    ]


def test_packets_are_listed_with_what_must_become_of_them() -> None:
    done = cloison("packets")
    assert done.exit_code == 0, done.output
    assert (
        "→ crisis-cell/station-fire → roussy-le-village/live-gateway: TCP SYN from 10.56.2.2 port 40000" in done.stdout
    )
    assert "just outside: destination port 8322 → 8323" in done.stdout


def test_packets_document_can_be_sent_by_a_program() -> None:
    document = json.loads(cloison("packets", "--json").stdout)
    expected = {packet["expected"] for packet in document["packets"]}
    assert expected == {"arrives", "must not arrive"}
    (test,) = (
        packet
        for packet in document["packets"]
        if packet["sender"] == "crisis-cell/station-fire" and packet["expected"] == "arrives"
        if packet["packet"]["destination_port"] == 8322
    )
    assert {rule["comment"] for rule in test["rules"]} >= {"watch-live"}
    assert test["packet"]["source"] == 0x0A380202
