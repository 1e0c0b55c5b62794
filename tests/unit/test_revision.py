"""Another git revision of a workspace: its data alone, whatever the repository holds, and nothing of it is run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from cloison.cli.revision import folder_in_repository, workspace_at
from cloison.errors import InputError
from cloison.intent.load import load
from cloison.workspace import Network, Workspace

ROOT = Path(__file__).parents[2]
IDENTITY = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], env=kept | IDENTITY, input=stdin, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def commit(folder: Path, message: str = "state") -> str:
    git(folder, "add", "--all", ".")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def populate(folder: Path) -> Workspace:
    for name in ("inventory", "templates"):
        shutil.copytree(ROOT / name, folder / name)
    return Workspace(folder.resolve(), Network.LAB)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Return a workspace at the top of a repository of two commits; the second renames the network."""
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch", "main")
    found = populate(root)
    commit(root, "first")
    network = found.inventory / "network.yaml"
    network.write_text(network.read_text().replace("moselle-fibre", "other-network"))
    commit(root, "second")
    return found


def state_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    }


def test_an_older_revision_is_read_and_gone_afterwards(workspace: Workspace) -> None:
    before, status = state_of(workspace.root), git(workspace.root, "status", "--porcelain")
    with workspace_at(workspace, "HEAD~1") as old:
        assert load(old).network == "moselle-fibre"
        assert state_of(old.templates) == state_of(ROOT / "templates")
        place = old.root
    assert load(workspace).network == "other-network"
    assert not place.exists()
    assert (state_of(workspace.root), git(workspace.root, "status", "--porcelain")) == (before, status)


def test_a_workspace_in_a_folder_of_the_repository_is_found(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    folder = tmp_path / "networks" / "été [1]"
    folder.mkdir(parents=True)
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "network.yaml").write_text("another workspace's\n")
    workspace = populate(folder)
    commit(tmp_path)
    shutil.rmtree(workspace.inventory)
    with workspace_at(workspace, "main") as old:
        assert load(old).network == "moselle-fibre"
    assert folder_in_repository(workspace) == PurePosixPath("networks/été [1]")


def test_code_is_neither_taken_nor_run(workspace: Workspace) -> None:
    root, ran = workspace.root, workspace.root.parent / "ran"
    script = f"#!/bin/sh\ntouch {ran}\n"
    for name in ("post-checkout", "reference-transaction", "fsmonitor-watchman", "pre-auto-gc"):
        hook = root / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(script)
        hook.chmod(0o755)
    for key in ("core.fsmonitor", "filter.evil.smudge", "diff.evil.textconv", "core.pager", "core.sshCommand"):
        git(root, "config", key, str(root / ".git" / "hooks" / "post-checkout"))
    (root / ".gitattributes").write_text("* filter=evil diff=evil export-subst\n")
    (root / "playbooks").mkdir()
    (root / "playbooks" / "site.py").write_text("raise SystemExit\n")
    (root / "pyproject.toml").write_text("[tool.cloison]\nnetwork = 'live'\n")
    git(root, "-c", "core.fsmonitor=false", "-c", "filter.evil.smudge=", "add", "--all", ".")
    made = git(root, "commit-tree", git(root, "write-tree"), "-m", "code")
    ran.unlink(missing_ok=True)
    with workspace_at(workspace, made) as old:
        assert sorted(path.name for path in old.root.iterdir()) == ["inventory", "templates"]
        assert old.network is Network.LAB
    assert not ran.exists()


def test_variables_of_a_hook_do_not_name_another_repository(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    with workspace_at(workspace, "main") as old:
        assert load(old).network == "other-network"


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        ("nowhere", "no such revision .* A shallow clone lacks most"),
        ("--output=/tmp/x", "no such revision"),
        ("HEAD:inventory", "no such revision"),
        ("", "not a git revision"),
        ("a b", "not a git revision"),
        ("a\nb", "not a git revision"),
        ("0" * 40, "no such revision"),
    ],
)
def test_an_unknown_revision_is_refused(workspace: Workspace, revision: str, said: str) -> None:
    with pytest.raises(InputError, match=said), workspace_at(workspace, revision):
        pass


def test_a_revision_without_an_inventory_is_refused(workspace: Workspace) -> None:
    root = workspace.root
    empty = git(root, "commit-tree", git(root, "mktree"), "-m", "empty")
    with pytest.raises(InputError, match=r"no inventory; expected a revision"), workspace_at(workspace, empty):
        pass


def test_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="git"), workspace_at(populate(tmp_path), "main"):
        pass
    assert folder_in_repository(Workspace(tmp_path / "elsewhere")) == PurePosixPath()


def test_no_git_is_said(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match=r"--against needs git: .*cannot be started"), workspace_at(workspace, "main"):
        pass


def planted(root: Path, line: str) -> str:
    """Return a commit whose inventory holds one more entry, as `git mktree` takes it; no work tree could."""
    inner = git(root, "ls-tree", "HEAD:inventory")
    inventory = git(root, "mktree", "--missing", stdin=f"{inner}\n{line}\n".encode())
    return git(
        root, "commit-tree", git(root, "mktree", stdin=f"040000 tree {inventory}\tinventory\n".encode()), "-m", "x"
    )


@pytest.mark.parametrize(
    ("mode", "name", "said"),
    [
        ("120000 blob", "sites-link", "neither a file nor a folder"),
        ("160000 commit", "submodule", "neither a file nor a folder"),
        ("100644 blob", "..", "not a path below"),
        ("100644 blob", ".", "not a path below"),
    ],
)
def test_what_is_no_plain_file_is_refused(workspace: Workspace, mode: str, name: str, said: str) -> None:
    root = workspace.root
    thing = (
        git(root, "rev-parse", "HEAD") if "commit" in mode else git(root, "hash-object", "-w", "--stdin", stdin=b"/")
    )
    made = planted(root, f"{mode} {thing}\t{name}")
    with pytest.raises(InputError, match=said), workspace_at(workspace, made):
        pass


def test_a_file_that_is_too_large_is_refused(workspace: Workspace) -> None:
    large = git(workspace.root, "hash-object", "-w", "--stdin", stdin=b"#" * 1_000_001)
    made = planted(workspace.root, f"100644 blob {large}\tlarge.yaml")
    with pytest.raises(InputError, match=r"large.yaml: larger than 1000000 bytes"), workspace_at(workspace, made):
        pass


def test_content_that_git_lacks_is_refused(workspace: Workspace) -> None:
    found = git(workspace.root, "rev-parse", "HEAD:inventory/network.yaml")
    (workspace.root / ".git" / "objects" / found[:2] / found[2:]).unlink()
    with pytest.raises(InputError, match="a partial clone lacks it"), workspace_at(workspace, "HEAD"):
        pass


def test_more_than_one_batch_of_files_is_read_whole(workspace: Workspace) -> None:
    notes = workspace.templates / "notes"
    notes.mkdir()
    for number in range(12):
        (notes / f"{number}.txt").write_bytes(bytes([number + 65]) * 900_000)
    made = commit(workspace.root)
    with workspace_at(workspace, made) as old:
        assert state_of(old.templates / "notes") == state_of(notes)
