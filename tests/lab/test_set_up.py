"""Set-up on a machine with a pretended apt: in a mount namespace, over a copy of the folders that it writes to."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_POLICY = "#!/bin/sh\n# cloison set-up: no service starts\nexit 101\n"
HOST_POLICY = "#!/bin/sh\n# the host's own\nexit 0\n"
APT = """#!/bin/sh
echo "$*" >>"$MACHINE/asked"
case " $* " in
  *" -s "*) case " $* " in *" chrony "*) echo "Remv systemd-timesyncd [252]" ;; esac ;;
  *" --download-only "*)
    for word in "$@"; do case $word in Dir::Cache::archives=*) cp "$MACHINE/chrony.deb" "${word#*=}" ;; esac; done ;;
  *" install "*)
    /usr/sbin/policy-rc.d nginx start; echo "$?" >"$MACHINE/policy-said"
    ln -s /lib/systemd/system/pretended.service /etc/systemd/system/multi-user.target.wants/pretended.service
    exit "${APT_FAILS:-0}" ;;
esac
"""
INSIDE = """
set -e
for folder in /usr/sbin /etc/systemd/system; do
  mkdir -p "$MACHINE/over$folder" "$MACHINE/work$folder"
  mount -t overlay machine -o "lowerdir=$folder,upperdir=$MACHINE/over$folder,workdir=$MACHINE/work$folder" "$folder"
done
rm -f /usr/sbin/policy-rc.d*
mkdir -p /etc/systemd/system/multi-user.target.wants
if [ -e "$MACHINE/policy-before" ]; then cp "$MACHINE/policy-before" /usr/sbin/policy-rc.d; fi
status=0
"$MACHINE/tree/scripts/setup" || status=$?
cat /usr/sbin/policy-rc.d >"$MACHINE/policy-after" 2>/dev/null || rm -f "$MACHINE/policy-after"
ls /usr/sbin/policy-rc.d* >"$MACHINE/policies" 2>/dev/null || true
ls /etc/systemd/system/multi-user.target.wants >"$MACHINE/wanted"
exit "$status"
"""

pytestmark = pytest.mark.lab
SetUp = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine that lacks every package, with a tree whose virtual environment is up to date."""
    folder = tmp_path_factory.mktemp("machine")
    tree = folder / "tree"
    for name in ("scripts/setup", "src/cloison/debian-packages.txt", "requirements/all.txt", "pyproject.toml"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    pinned = hashlib.sha256((tree / "requirements/all.txt").read_bytes() + (tree / "pyproject.toml").read_bytes())
    (tree / ".venv/bin").mkdir(parents=True)
    (tree / ".venv/bin/cloison").touch(mode=0o755)
    (tree / ".venv/pins").write_text(f"{pinned.hexdigest()}  - {tree}\n", encoding="utf-8")
    (folder / "bin").mkdir()
    for name, text in {"apt-get": APT, "dpkg-query": '#!/bin/sh\ncat "$MACHINE/installed"\n'}.items():
        (folder / "bin" / name).write_text(text, encoding="utf-8")
        (folder / "bin" / name).chmod(0o755)
    (folder / "installed").touch()
    (folder / "asked").touch()
    package = folder / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "usr/sbin").mkdir(parents=True)
    (package / "usr/sbin/chronyd").touch(mode=0o755)
    control = "Package: chrony\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: pretended\n"
    (package / "DEBIAN/control").write_text(control, encoding="utf-8")
    subprocess.run(["dpkg-deb", "-b", package, folder / "chrony.deb"], check=True, capture_output=True)
    return folder


@pytest.fixture
def set_up(machine: Path) -> SetUp:
    """Run set-up on the machine; where its folders stand for those of the host, in a mount namespace alone."""

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{machine / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", INSIDE],
            env={"PATH": path, "MACHINE": str(machine), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def wanted_packages() -> list[str]:
    lines = (ROOT / "src/cloison/debian-packages.txt").read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if not line.startswith("#")]


def install_lines(machine: Path) -> list[str]:
    lines = (machine / "asked").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if " install " in line and " -s " not in line and "--download-only" not in line]


def test_what_is_missing_is_installed_in_one_go_and_starts_nothing(machine: Path, set_up: SetUp) -> None:
    result = set_up()
    assert result.returncode == 0, result.stderr
    (line,) = install_lines(machine)
    assert set(wanted_packages()) - set(line.split()) == {"chrony"}
    assert {"--no-install-recommends", "--no-remove"} < set(line.split())
    assert (machine / "policy-said").read_text(encoding="utf-8") == "101\n"
    assert "pretended.service" not in (machine / "wanted").read_text(encoding="utf-8")
    assert not (machine / "policy-after").exists()


def test_what_would_remove_a_package_is_unpacked_for_the_twin(machine: Path, set_up: SetUp) -> None:
    result = set_up()
    assert "chrony would remove systemd-timesyncd" in result.stderr
    assert (machine / "tree/.cloison/root/usr/sbin/chronyd").is_file()
    assert (machine / "tree/.cloison/unpacked").read_text(encoding="utf-8") == "chrony\n"


def test_a_second_run_asks_nothing_of_apt(machine: Path, set_up: SetUp) -> None:
    assert set_up().returncode == 0
    installed = "".join(f"installed {name}\n" for name in wanted_packages() if name != "chrony")
    (machine / "installed").write_text(installed, encoding="utf-8")
    (machine / "asked").write_text("", encoding="utf-8")
    result = set_up()
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert (machine / "asked").read_text(encoding="utf-8") == ""


@pytest.mark.parametrize("fails", ["0", "100"])
def test_the_policy_of_the_host_comes_back(fails: str, machine: Path, set_up: SetUp) -> None:
    (machine / "policy-before").write_text(HOST_POLICY, encoding="utf-8")
    (machine / "policy-before").chmod(0o755)
    result = set_up(APT_FAILS=fails)
    assert (result.returncode != 0) == (fails != "0")
    assert (machine / "policy-said").read_text(encoding="utf-8") == "101\n"
    assert (machine / "policy-after").read_text(encoding="utf-8") == HOST_POLICY
    assert (machine / "policies").read_text(encoding="utf-8") == "/usr/sbin/policy-rc.d\n"
    assert "pretended.service" not in (machine / "wanted").read_text(encoding="utf-8")


def test_what_a_killed_set_up_left_is_cleared_away(machine: Path, set_up: SetUp) -> None:
    (machine / "policy-before").write_text(
        "#!/bin/sh\n# cloison set-up: no service starts\nexit 101\n", encoding="utf-8"
    )
    (machine / "installed").write_text("".join(f"installed {name}\n" for name in wanted_packages()), encoding="utf-8")
    assert set_up().returncode == 0
    assert install_lines(machine) == []
    assert not (machine / "policy-after").exists()


def test_a_failed_installation_says_so(set_up: SetUp) -> None:
    result = set_up(APT_FAILS="100")
    assert result.returncode == 1
    assert "failed: apt -y --no-remove install" in result.stderr
    assert ".cloison/set-up.log" in result.stderr
