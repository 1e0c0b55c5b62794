"""What this machine lacks for a verb, and the command that repairs it.

Kernel features and rights are tried, in namespaces that vanish with the try: a list of modules or capabilities says
what a kernel could do, not what it lets this process do.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from cloison.errors import TransportError
from cloison.model import Model, Untrusted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cloison.transport.base import Runner

PACKAGES_FILE = Path(__file__).with_name("debian-packages.txt")
SYSTEM_FOLDERS = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
_TRY_SECONDS = 10.0
_MEMORY_KIB = 1_500_000
"""What the twin of the pilot and its audit use at their height, with a margin."""


class Profile(StrEnum):
    """What the machine is to be used for."""

    LAB = "lab"
    """Grow the twin, and everything that runs against it."""
    AUDIT = "audit"
    """Judge a network."""
    APPLY = "apply"
    """Plan and push a change."""
    REPORT = "report"
    """Read what an audit left."""


UNUSABLE: dict[Profile, tuple[str, ...]] = {
    Profile.LAB: ("lab", "apply --network lab", "audit --network lab"),
    Profile.AUDIT: ("audit",),
    Profile.APPLY: ("plan", "apply", "play"),
    Profile.REPORT: ("check", "render", "report"),
}
"""The verbs that cannot be used when something the profile needs is missing."""

DISTRIBUTIONS: dict[Profile, dict[str, str]] = {
    Profile.LAB: {"cryptography": "cryptography", "paramiko": "paramiko"},
    Profile.AUDIT: {"pytest": "pytest", "testinfra": "pytest-testinfra", "scapy": "scapy", "paramiko": "paramiko"},
    Profile.APPLY: {"nornir": "nornir", "napalm": "napalm", "paramiko": "paramiko"},
    Profile.REPORT: {"pydantic": "pydantic", "yaml": "pyyaml", "jinja2": "jinja2", "rich": "rich"},
}
"""Importable name → distribution, for each profile."""


class State(StrEnum):
    """How one thing stands."""

    OK = "ok"
    WARN = "warn"
    """Works, with a limit that the text names."""
    FAIL = "fail"


class Diagnosis(Model):
    """How one thing that a profile needs stands on this machine."""

    name: str
    state: State
    missing: str = ""
    """What is missing, and what it is for; empty when nothing is."""
    repair: str = ""
    """The command, or the step, that repairs it."""
    verbs: tuple[str, ...] = ()
    """The verbs that cannot be used until then; empty for a warning."""


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package, how its presence shows, and what it is for."""

    name: str
    shows: str
    """The name of a program, or an absolute pattern of files."""
    purpose: str


def _importable(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@dataclass(frozen=True, slots=True)
class Machine:
    """What is looked at: the file systems that hold programs, and the Python that runs."""

    root: Path = Path("/")
    twin_root: Path | None = None
    """Where set-up unpacked the packages that cannot stand beside others of the host."""
    python: tuple[int, int] = sys.version_info[:2]
    importable: Callable[[str], bool] = _importable

    def holds(self, shows: str) -> bool:
        """Return whether a program, or a file that matches an absolute pattern, is there."""
        roots = [self.root] if self.twin_root is None else [self.root, self.twin_root]
        if shows.startswith("/"):
            return any(True for root in roots for _ in root.glob(shows.removeprefix("/")))
        path = ":".join(str(root / folder) for root in roots for folder in SYSTEM_FOLDERS)
        return shutil.which(shows, path=path) is not None

    def text(self, path: str) -> str:
        """Return the text of a file of the kernel; empty when it cannot be read."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def packages() -> tuple[Package, ...]:
    """Return the Debian packages that set-up installs, in the order of the file."""
    lines = PACKAGES_FILE.read_text(encoding="utf-8").splitlines()
    return tuple(Package(*line.split()) for line in lines if line and not line.startswith("#"))


def diagnose(profile: Profile, *, runner: Runner, machine: Machine | None = None) -> tuple[Diagnosis, ...]:
    """Return how everything that a profile needs stands here, what every profile needs first.

    Commands are run by `runner` on this machine, each with a time limit; none leaves anything behind.
    """
    here = machine if machine is not None else Machine()
    found = [_python(profile, here), *_distributions(profile, here)]
    if profile is Profile.LAB:
        found += [_linux(here), *_programs(profile, here), *_tried(profile, runner), *_limits(here)]
    return tuple(found)


def _python(profile: Profile, here: Machine) -> Diagnosis:
    if here.python >= (3, 11):
        return Diagnosis(name="Python 3.11", state=State.OK)
    major, minor = here.python
    return Diagnosis(
        name="Python 3.11",
        state=State.FAIL,
        missing=f"this is Python {major}.{minor}; expected 3.11 or later",
        repair="use Debian 12, Ubuntu 24.04 or later, then: make setup",
        verbs=UNUSABLE[profile],
    )


def _distributions(profile: Profile, here: Machine) -> Iterator[Diagnosis]:
    wanted = DISTRIBUTIONS[Profile.REPORT] | DISTRIBUTIONS[profile]
    for module, distribution in wanted.items():
        if here.importable(module):
            yield Diagnosis(name=f"Python package {distribution}", state=State.OK)
        else:
            yield Diagnosis(
                name=f"Python package {distribution}",
                state=State.FAIL,
                missing=f"module {module} cannot be imported",
                repair="make setup",
                verbs=UNUSABLE[profile],
            )


def _linux(here: Machine) -> Diagnosis:
    if here.text("proc/sys/kernel/ostype").strip() == "Linux":
        return Diagnosis(name="Linux", state=State.OK)
    return Diagnosis(
        name="Linux",
        state=State.FAIL,
        missing="the twin is made of Linux namespaces; /proc/sys/kernel/ostype does not say Linux",
        repair="use a Linux machine, a virtual one will do; check and render work here",
        verbs=UNUSABLE[Profile.LAB],
    )


def _programs(profile: Profile, here: Machine) -> Iterator[Diagnosis]:
    for package in packages():
        if package.purpose != profile.value:
            continue
        if here.holds(package.shows):
            yield Diagnosis(name=package.name, state=State.OK)
        else:
            yield Diagnosis(
                name=package.name,
                state=State.FAIL,
                missing=f"{package.shows} is not there",
                repair=f"sudo make setup (or: sudo apt-get install --no-install-recommends {package.name})",
                verbs=UNUSABLE[profile],
            )


@dataclass(frozen=True, slots=True)
class _Try:
    """A command that ends with 0 where the kernel has a feature and lets this process use it."""

    name: str
    arguments: tuple[str, ...]
    missing: str
    repair: str
    stdin: bytes = b""


_PRIVILEGE = "run as root (sudo), on a machine or a virtual machine of its own; in a container, a privileged one"
_OVERLAY = (
    "mount -t tmpfs cloison /tmp && mkdir /tmp/up /tmp/work /tmp/root"
    " && mount -t overlay cloison -o lowerdir=/usr,upperdir=/tmp/up,workdir=/tmp/work /tmp/root"
)
_FILTER = b"""table inet try {
  set pairs { typeof ip saddr . tcp dport; elements = { 192.0.2.1 . 22 } }
  chain forward {
    type filter hook forward priority 0; policy drop
    ct state established accept
    fib saddr . iif oif missing drop
    tcp flags syn tcp option maxseg size set rt mtu
    ip saddr . tcp dport @pairs counter accept
    log group 5 drop
  }
}
"""
_TRIES = (
    _Try(
        "namespaces",
        ("unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "true"),
        "this process may not make mount, network and process namespaces (CAP_SYS_ADMIN)",
        _PRIVILEGE,
    ),
    _Try(
        "overlay file system",
        ("unshare", "--mount", "sh", "-c", _OVERLAY),
        "an overlay of /usr cannot be mounted; nodes of the twin run on one",
        f"modprobe overlay; else {_PRIVILEGE}",
    ),
    _Try(
        "virtual cables",
        ("unshare", "--net", "ip", "link", "add", "near", "type", "veth", "peer", "name", "far"),
        "the kernel makes no veth pair; cables of the twin are such",
        f"modprobe veth; else {_PRIVILEGE}",
    ),
    _Try(
        "TUN",
        ("unshare", "--net", "ip", "tuntap", "add", "dev", "try", "mode", "tun"),
        "the kernel makes no TUN interface; tunnels and switches of the twin use them",
        f"modprobe tun, and see that /dev/net/tun exists; else {_PRIVILEGE}",
    ),
    _Try(
        "nftables in the kernel",
        ("unshare", "--net", "nft", "-f", "-"),
        "the kernel refuses a rule set with conntrack, fib, MSS clamping and log groups",
        "use a kernel with nf_tables, nft_ct, nft_fib_inet, nft_exthdr, nft_rt and nft_log (Debian's and Ubuntu's are)",
        _FILTER,
    ),
    _Try(
        "conntrack in the kernel",
        ("unshare", "--net", "conntrack", "-L"),
        "the kernel does not list tracked connections",
        f"modprobe nf_conntrack_netlink; else {_PRIVILEGE}",
    ),
)


def _tried(profile: Profile, runner: Runner) -> Iterator[Diagnosis]:
    first = _tried_once(_TRIES[0], profile, runner)
    yield first
    for attempt in _TRIES[1:]:
        if first.state is State.OK:
            yield _tried_once(attempt, profile, runner)
        else:
            missing = f"not tried: it takes {first.name}, see there"
            yield Diagnosis(name=attempt.name, state=State.WARN, missing=missing, repair=first.repair)


def _tried_once(attempt: _Try, profile: Profile, runner: Runner) -> Diagnosis:
    try:
        result = runner.run(attempt.arguments, stdin=attempt.stdin, timeout=_TRY_SECONDS)
        said = Untrusted(result.stderr).shown(200).strip() if result.exit_status else None
    except TransportError as error:
        said = str(error)
    if said is None:
        return Diagnosis(name=attempt.name, state=State.OK)
    return Diagnosis(
        name=attempt.name,
        state=State.FAIL,
        missing=f"{attempt.missing} ({said})" if said else attempt.missing,
        repair=attempt.repair,
        verbs=UNUSABLE[profile],
    )


def _limits(here: Machine) -> Iterator[Diagnosis]:
    available = next(
        (int(line.split()[1]) for line in here.text("proc/meminfo").splitlines() if line.startswith("MemAvailable:")),
        0,
    )
    enough = available >= _MEMORY_KIB
    yield Diagnosis(
        name="memory",
        state=State.OK if enough else State.WARN,
        missing="" if enough else f"{available // 1024} MiB are available; the twin and its audit use up to 1.5 GiB",
        repair="" if enough else "end other programs, or give the machine more memory",
    )
    confined = [
        line.split()[0].rpartition("/")[2]
        for line in here.text("sys/kernel/security/apparmor/profiles").splitlines()
        if line.endswith("(enforce)") and line.split()[0].rpartition("/")[2] in {"charon-systemd", "swanctl", "tcpdump"}
    ]
    yield Diagnosis(
        name="AppArmor",
        state=State.WARN if confined else State.OK,
        missing=f"profiles of {', '.join(confined)} are enforced and know nothing of a node's folders"
        if confined
        else "",
        repair="if a tunnel of the twin does not come up: sudo aa-complain the program named" if confined else "",
    )
