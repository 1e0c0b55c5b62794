import os
from pathlib import Path

import pytest

from cloison.errors import WorkspaceError
from cloison.model import Name
from cloison.workspace import Network, Workspace, files_below, find_workspace, read_start


def project(folder: Path, text: str = '[tool.cloison]\nnetwork = "live"\n') -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_nearest_project_above_is_the_workspace(tmp_path: Path) -> None:
    project(tmp_path, "[tool.cloison]\n")
    inner = project(tmp_path / "second")
    deep = inner / "inventory" / "sites"
    deep.mkdir(parents=True)
    assert find_workspace(start=deep) == Workspace(inner.resolve(), Network.LIVE)


def test_project_without_the_table_is_passed_over(tmp_path: Path) -> None:
    project(tmp_path)
    other = project(tmp_path / "other", "[project]\nname = 'other'\n")
    assert find_workspace(start=other).root == tmp_path.resolve()


def test_default_network_is_the_lab(tmp_path: Path) -> None:
    assert find_workspace(project(tmp_path, "[tool.cloison]\n")).network is Network.LAB
    assert find_workspace(tmp_path).network is Network.LAB


def test_named_root_needs_no_project_file(tmp_path: Path) -> None:
    assert find_workspace(tmp_path) == Workspace(tmp_path.resolve(), Network.LAB)


def test_named_root_is_resolved_once(tmp_path: Path) -> None:
    project(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    assert find_workspace(tmp_path / "link").root == (tmp_path / "real").resolve()


def test_folders_stand_below_the_root(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    folders = [workspace.inventory, workspace.templates, workspace.playbooks, workspace.validators, workspace.runs]
    assert [folder.name for folder in folders] == ["inventory", "templates", "playbooks", "validators", "runs"]
    assert workspace.lab(Name("demo")) == tmp_path / ".cloison" / "lab" / "demo"
    assert workspace.plans == tmp_path / ".cloison" / "plans"


def test_path_is_shown_relative_to_the_root(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.shown(workspace.inventory / "network.yaml") == Path("inventory/network.yaml")
    assert workspace.shown(Path("/etc/hosts")) == Path("/etc/hosts")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.cloison\n", "not TOML"),
        ("[tool]\ncloison = 3\n", "tool.cloison is not a table"),
        ('[tool.cloison]\nnetwrok = "lab"\n', "unknown key `netwrok`; expected `network`"),
        ('[tool.cloison]\nnetwork = "production"\n', "neither `lab` nor `live`"),
        ("[tool.cloison]\nnetwork = []\n", "neither `lab` nor `live`"),
        ("# " + "x" * 1_000_001, "larger than 1000000 bytes"),
    ],
)
def test_project_file_that_is_wrong_is_refused(tmp_path: Path, text: str, said: str) -> None:
    project(tmp_path, text)
    with pytest.raises(WorkspaceError) as raised:
        find_workspace(start=tmp_path)
    assert said in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_no_workspace_anywhere_above_names_the_way_out() -> None:
    with pytest.raises(WorkspaceError, match=r"\[tool\.cloison\].*--root"):
        find_workspace(start=Path("/proc"))


def test_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name, said in (("none", "no such folder"), ("file", "not a folder"), ("loop", "no such folder")):
        with pytest.raises(WorkspaceError, match=said):
            find_workspace(tmp_path / name)


def test_reading_follows_no_link_and_waits_for_no_pipe(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert read_start(tmp_path / "file", 3) == b"1234"
    for name, said in (
        ("link", "a symbolic link"),
        ("pipe", "not a regular file"),
        (".", "not a regular file"),
        ("none", "No such file"),
    ):
        with pytest.raises(WorkspaceError, match=said):
            read_start(tmp_path / name, 10)


def test_listing_is_sorted_and_enters_no_link(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "c").symlink_to("b")
    assert [str(path.relative_to(tmp_path)) for path in files_below(tmp_path)] == ["a", "b/1", "b/2", "c"]
    with pytest.raises(WorkspaceError, match="expected a folder of the workspace"):
        list(files_below(tmp_path / "none"))
