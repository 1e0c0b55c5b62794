"""A host key goes into the file of a site where a person would have put it, and nothing else of the file changes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cloison.cli import main as _every_command  # noqa: F401  each module adds its commands to the application
from cloison.cli.app import app
from cloison.errors import InputError, OutputError, RefusedError, WorkspaceError
from cloison.intent.load import load
from cloison.intent.pinning import pin
from cloison.model import EquipmentName, HostKeyFingerprint
from cloison.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
CORE = EquipmentName("here/core-switch")
KEY = HostKeyFingerprint("SHA256:" + "k" * 43)
OLD = "SHA256:" + "A" * 43
ENTRY = f'host_key: "{KEY}"'


def switch(entry: str) -> str:
    """Return a file in braces in which the switch has this entry."""
    return f"equipment: {{core-switch: {{{entry}}}}}"


FORMS = {
    "in braces": ("equipment:\n  core-switch: {a: b} # c\n", f"equipment:\n  core-switch: {{a: b, {ENTRY}}} # c\n"),
    "in empty braces": ("equipment:\n  core-switch: {}\n", f"equipment:\n  core-switch: {{{ENTRY}}}\n"),
    "before a last comma": (switch("a: b,"), switch(f"a: b, {ENTRY},")),
    "instead of a plain one": (switch(f"host_key: {OLD}, a: b"), switch(f"{ENTRY}, a: b")),
    "instead of a quoted one": (switch(f"host_key: '{OLD}'"), switch(ENTRY)),
    "on a line of its own": (
        "equipment:\n  core-switch:\n    # why\n    serial: X # c\n  nvr: {}\n",
        f"equipment:\n  core-switch:\n    # why\n    {ENTRY}\n    serial: X # c\n  nvr: {{}}\n",
    ),
    "on an old line": (
        f"equipment:\n  core-switch:\n    serial: X\n    host_key: {OLD}   # at last\n",
        f"equipment:\n  core-switch:\n    serial: X\n    {ENTRY}   # at last\n",
    ),
    "for a device that has no entry": (
        "equipment:\n  # first\n  nvr: {serial: NVR}\nname: Here\n",
        f"equipment:\n  # first\n  core-switch: {{{ENTRY}}}\n  nvr: {{serial: NVR}}\nname: Here\n",
    ),
    "for a site that has no equipment": ("# head\nname: Here\n", f"# head\n{switch(ENTRY)}\nname: Here\n"),
    "with the line ends that are there": (
        "equipment:\r\n  core-switch:\r\n    serial: X\r\n",
        f"equipment:\r\n  core-switch:\r\n    {ENTRY}\r\n    serial: X\r\n",
    ),
    "behind letters of more than one byte": (switch("a: Évêché"), switch(f"a: Évêché, {ENTRY}")),
}


@pytest.fixture
def site(tmp_path: Path) -> Callable[[str], Path]:
    (tmp_path / "inventory" / "sites").mkdir(parents=True)

    def write(text: str) -> Path:
        path = tmp_path / "inventory" / "sites" / "here.yaml"
        path.write_bytes(text.encode())
        return path

    return write


def workspace_of(path: Path) -> Workspace:
    return Workspace(path.parents[2])


@pytest.mark.parametrize(("before", "after"), FORMS.values(), ids=FORMS)
def test_the_key_is_put_where_a_person_would(site: Callable[[str], Path], before: str, after: str) -> None:
    path = site(before)
    path.chmod(0o640)
    pinning = pin(workspace_of(path), CORE, KEY)
    assert (pinning.before, pinning.after) == (before, after)
    assert path.read_bytes() == before.encode()
    pinning.write(workspace_of(path))
    assert path.read_bytes() == after.encode()
    assert path.stat().st_mode & 0o777 == 0o640
    assert pin(workspace_of(path), CORE, KEY).diff == ""


@pytest.mark.parametrize(("before", "after"), FORMS.values(), ids=FORMS)
def test_the_difference_is_one_that_git_applies(site: Callable[[str], Path], before: str, after: str) -> None:
    path = site(before)
    pinning = pin(workspace_of(path), CORE, KEY)
    command = ["git", "apply", "--whitespace=nowarn", "-"]
    done = subprocess.run(command, cwd=path.parents[2], input=pinning.diff.encode(), check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == after.encode()


@pytest.mark.parametrize(
    "text",
    ["equipment: [core-switch]\n", "equipment: {core-switch: text}\n", "- a\n", "a: &b {c: d}\n", "", "a: b: c\n"],
)
def test_a_file_that_is_written_otherwise_is_left_to_a_person(site: Callable[[str], Path], text: str) -> None:
    with pytest.raises(InputError, match=r"here\.yaml: no place for the key was found; write `host_key: .*` by hand"):
        pin(workspace_of(site(text)), CORE, KEY)


def test_a_link_is_not_followed(site: Callable[[str], Path], tmp_path: Path) -> None:
    path = site("")
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WorkspaceError, match="a symbolic link"):
        pin(workspace_of(path), CORE, KEY)


def test_a_file_that_cannot_be_written_stays(site: Callable[[str], Path]) -> None:
    path = site("equipment: {}\n")
    pinning = pin(workspace_of(path), CORE, KEY)
    (path.parent / ".here.yaml.new").mkdir()
    with pytest.raises(OutputError, match="nothing was written"):
        pinning.write(workspace_of(path))
    assert path.read_text() == "equipment: {}\n"


def test_every_device_of_the_shipped_sites_can_be_pinned(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "inventory", tmp_path / "inventory")
    workspace = Workspace(tmp_path)
    devices = [device.name for device in load(workspace).devices]
    keys = {name: HostKeyFingerprint("SHA256:" + f"{number:0>43}") for number, name in enumerate(devices)}
    for name, key in keys.items():
        pin(workspace, name, key).write(workspace)
    assert {device.name: device.host_key for device in load(workspace).devices} == keys


NAMES = st.sampled_from(["core-switch", "nvr", "firewall", "ups"])
ENTRIES = st.dictionaries(
    NAMES, st.dictionaries(st.sampled_from(["serial", "mac", "host_key"]), st.just(OLD), max_size=3)
)


@given(entries=ENTRIES, flow=st.sampled_from([None, True, False]), indent=st.integers(1, 6))
def test_however_a_file_is_laid_out_the_key_alone_is_new(
    tmp_path_factory: pytest.TempPathFactory, *, entries: dict[str, dict[str, str]], flow: bool | None, indent: int
) -> None:
    root = tmp_path_factory.mktemp("site")
    path = root / "inventory" / "sites" / "here.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        "# a\n" + yaml.safe_dump({"name": "x", "equipment": entries}, default_flow_style=flow, indent=indent)
    )
    expected = {
        "name": "x",
        "equipment": {**entries, CORE.equipment: {**entries.get(CORE.equipment, {}), "host_key": KEY}},
    }
    pinning = pin(Workspace(root), CORE, KEY)
    assert yaml.safe_load(pinning.after) == expected
    kept = [line for line in pinning.diff.splitlines() if line.startswith("-") and not line.startswith("---")]
    assert len(kept) <= 1


# --- what `cloison trust` refuses before it asks anybody --------------------------------------------------------------


def test_only_a_device_of_the_plan_is_asked() -> None:
    done = CliRunner().invoke(app, ["--root", str(ROOT), "trust", "192.0.2.1", "--network", "live"])
    assert isinstance(done.exception, InputError)
    assert str(done.exception).startswith("192.0.2.1 is not a device; expected one of roussy-le-village/")


def test_a_twins_key_is_not_written_into_the_inventory() -> None:
    done = CliRunner().invoke(app, ["--root", str(ROOT), "trust", str(CORE), "--network", "lab", "--write"])
    assert isinstance(done.exception, RefusedError)
    assert "none of them belongs in the inventory" in str(done.exception)
