"""What every device is given, byte for byte. `make golden` writes the files anew; what changed is then read and kept.

The pilot as shipped, and one more commune, behind an unmanaged media converter.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from cloison.desired import states_of
from cloison.intent.load import load
from cloison.model import Name
from cloison.render import render_all

ROOT = Path(__file__).parents[2]
RENDERED = Path(__file__).parent / "render"
MORE_SITES = Path(__file__).parent / "sites"
TEMPLATES = ROOT / "templates"

DEVICES = {
    "crisis-cell": ("firewall", "core-switch"),
    "operations-centre": ("firewall", "core-switch"),
    "roussy-le-village": ("firewall", "core-switch", "pole-switch"),
    "unmanaged-village": ("firewall", "core-switch"),
}
SECTIONS = {
    "firewall": ("switch", "interfaces", "filter", "tunnels"),
    "core-switch": ("switch", "interfaces", "edge"),
    "pole-switch": ("switch", "fibre", "interfaces", "edge"),
}
WITH_FIBRE = {"roussy-le-village/core-switch", "unmanaged-village/core-switch"}
EXPECTED = sorted(
    f"{site}/{device}/{section}"
    for site, devices in DEVICES.items()
    for device in devices
    for section in (*SECTIONS[device], *(("fibre",) if f"{site}/{device}" in WITH_FIBRE else ()))
)


def write(out: Path) -> None:
    """Render the pilot, then only the unmanaged commune of a network that has both."""
    render_all(states_of(load(ROOT)), TEMPLATES, out)
    with tempfile.TemporaryDirectory() as name:
        workspace = Path(name)
        shutil.copytree(ROOT / "inventory", workspace / "inventory")
        for file in MORE_SITES.glob("*.yaml"):
            shutil.copy(file, workspace / "inventory" / "sites")
        more = {Name(file.stem) for file in MORE_SITES.glob("*.yaml")}
        states = [state for state in states_of(load(workspace)) if state.device.site in more]
        render_all(states, TEMPLATES, out)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rendered")
    write(out)
    return out


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_every_device_has_its_sections_and_no_other(written: Path) -> None:
    assert files_below(written) == EXPECTED
    assert files_below(RENDERED) == EXPECTED


@pytest.mark.parametrize("file", EXPECTED)
def test_section_is_what_was_kept(written: Path, file: str) -> None:
    assert (written / file).read_bytes() == (RENDERED / file).read_bytes()


if __name__ == "__main__":
    write(Path(sys.argv[1]) if sys.argv[1:] else RENDERED)
