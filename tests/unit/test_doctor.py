"""The doctor names what is missing and how to repair it, on machines made of folders and answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import ne
from pathlib import Path

import pytest

from cloison.doctor import DISTRIBUTIONS, Diagnosis, Machine, Package, Profile, State, diagnose, packages
from cloison.errors import TransportTimeout
from cloison.transport.base import CommandResult


@dataclass
class Answers:
    """A runner that answers by the words of a command, and keeps what it was asked."""

    refuse: dict[str, str | Exception] = field(default_factory=dict)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    place: str = "local"

    def run(self, arguments: Sequence[str], *, stdin: bytes = b"", timeout: float = 1.0) -> CommandResult:
        """Refuse what a word of the command says is to be refused."""
        assert timeout > 0
        assert isinstance(stdin, bytes)
        self.asked.append(tuple(arguments))
        for word, answer in self.refuse.items():
            if word in arguments:
                if isinstance(answer, Exception):
                    raise answer
                return CommandResult(1, b"", answer.encode())
        return CommandResult(0, b"", b"")

    def close(self) -> None:
        """Nothing is open."""


def everything(root: Path) -> Machine:
    """Return a machine that has all that a package of the list shows."""
    for package in packages():
        path = shown_at(root, package)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)
    for name, text in {
        "proc/sys/kernel/ostype": "Linux\n",
        "proc/meminfo": "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return Machine(root=root, importable=lambda _: True)


def unwell(found: tuple[Diagnosis, ...]) -> dict[str, State]:
    return {one.name: one.state for one in found if one.state is not State.OK}


@pytest.mark.parametrize("profile", list(Profile))
def test_a_whole_machine_lacks_nothing(profile: Profile, tmp_path: Path) -> None:
    found = diagnose(profile, runner=Answers(), machine=everything(tmp_path))
    assert found
    assert unwell(found) == {}
    assert all(not one.missing and not one.repair and not one.verbs for one in found)


def test_only_the_lab_needs_more_than_python(tmp_path: Path) -> None:
    for profile in set(Profile) - {Profile.LAB}:
        runner = Answers()
        assert unwell(diagnose(profile, runner=runner, machine=Machine(tmp_path, importable=lambda _: True))) == {}
        assert runner.asked == []


def shown_at(root: Path, package: Package) -> Path:
    shows = package.shows if package.shows.startswith("/") else f"/usr/sbin/{package.shows}"
    return root / shows.removeprefix("/").replace("*", "any")


LAB_PACKAGES = [package for package in packages() if package.purpose == "lab"]


@pytest.mark.parametrize("package", LAB_PACKAGES, ids=lambda package: package.name)
def test_a_missing_package_is_named_with_its_repair(package: Package, tmp_path: Path) -> None:
    machine = everything(tmp_path)
    shown_at(tmp_path, package).unlink()
    (one,) = (one for one in diagnose(Profile.LAB, runner=Answers(), machine=machine) if one.state is not State.OK)
    assert (one.name, one.state) == (package.name, State.FAIL)
    assert package.shows in one.missing
    assert one.repair.endswith(f"{package.name})")
    assert "lab" in one.verbs


def test_a_package_under_the_root_of_the_twin_counts(tmp_path: Path) -> None:
    machine = everything(tmp_path / "host")
    (tmp_path / "host/usr/sbin/chronyd").rename(tmp_path / "chronyd")
    assert unwell(diagnose(Profile.LAB, runner=Answers(), machine=machine)) == {"chrony": State.FAIL}
    (tmp_path / "twin/usr/sbin").mkdir(parents=True)
    (tmp_path / "chronyd").rename(tmp_path / "twin/usr/sbin/chronyd")
    beside = Machine(machine.root, tmp_path / "twin", importable=machine.importable)
    assert unwell(diagnose(Profile.LAB, runner=Answers(), machine=beside)) == {}


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("sh", "overlay file system"),
        ("veth", "virtual cables"),
        ("tuntap", "TUN"),
        ("nft", "nftables in the kernel"),
        ("conntrack", "conntrack in the kernel"),
    ],
)
@pytest.mark.parametrize("answer", ["Operation not permitted\n", TransportTimeout("local", "10 s passed")], ids=str)
def test_what_the_kernel_refuses_is_named(word: str, name: str, answer: str | Exception, tmp_path: Path) -> None:
    found = diagnose(Profile.LAB, runner=Answers({word: answer}), machine=everything(tmp_path))
    (one,) = (one for one in found if one.state is not State.OK)
    assert (one.name, one.state) == (name, State.FAIL)
    assert str(answer).strip() in one.missing
    assert one.repair
    assert one.verbs


def test_without_namespaces_nothing_else_is_blamed(tmp_path: Path) -> None:
    runner = Answers({"--pid": "Operation not permitted"})
    found = diagnose(Profile.LAB, runner=runner, machine=everything(tmp_path))
    states = unwell(found)
    assert [name for name, state in states.items() if state is State.FAIL] == ["namespaces"]
    assert set(states) - {"namespaces"} == {
        "overlay file system",
        "virtual cables",
        "TUN",
        "nftables in the kernel",
        "conntrack in the kernel",
    }
    assert len(runner.asked) == 1


@pytest.mark.parametrize("profile", list(Profile))
def test_a_missing_distribution_is_named(profile: Profile, tmp_path: Path) -> None:
    everything(tmp_path)
    for module, distribution in DISTRIBUTIONS[profile].items():
        machine = Machine(tmp_path, importable=partial(ne, module))
        found = [one for one in diagnose(profile, runner=Answers(), machine=machine) if one.state is not State.OK]
        assert [one.name for one in found] == [f"Python package {distribution}"]
        assert found[0].repair == "make setup"


def test_an_old_python_is_refused(tmp_path: Path) -> None:
    machine = Machine(tmp_path, python=(3, 10), importable=lambda _: True)
    (one,) = (one for one in diagnose(Profile.REPORT, runner=Answers(), machine=machine) if one.state is not State.OK)
    assert "3.10" in one.missing


def test_another_system_is_refused(tmp_path: Path) -> None:
    machine = everything(tmp_path)
    (tmp_path / "proc/sys/kernel/ostype").unlink()
    assert unwell(diagnose(Profile.LAB, runner=Answers(), machine=machine)) == {"Linux": State.FAIL}


def test_limits_are_warnings(tmp_path: Path) -> None:
    machine = everything(tmp_path)
    (tmp_path / "proc/meminfo").write_text("MemAvailable: 400000 kB\n", encoding="utf-8")
    profiles = tmp_path / "sys/kernel/security/apparmor/profiles"
    profiles.parent.mkdir(parents=True)
    profiles.write_text("/usr/sbin/swanctl (enforce)\ntcpdump (complain)\n", encoding="utf-8")
    found = diagnose(Profile.LAB, runner=Answers(), machine=machine)
    assert unwell(found) == {"memory": State.WARN, "AppArmor": State.WARN}
    texts = {one.name: one.missing for one in found}
    assert "390 MiB" in texts["memory"]
    assert "swanctl" in texts["AppArmor"]
    assert "tcpdump" not in texts["AppArmor"]


def test_the_list_of_packages_is_well_formed() -> None:
    names = [package.name for package in packages()]
    assert len(names) == len(set(names))
    assert {package.purpose for package in packages()} == {"set-up", "lab"}
    assert "nftables" in names
