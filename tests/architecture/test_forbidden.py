"""What may stand nowhere in the code: unpinned host keys, stray subprocesses, Scapy in the wrong process, patches."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "playbooks", "validators", "tests", "benchmarks", "scripts", "templates", "inventory")
CODE = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.py")
    if "architecture" not in path.parts  # these files hold the bad examples
)
TEXTS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and "architecture" not in path.parts and path.suffix not in {".pyc", ".bin", ".png"}
)

Checker = Callable[[str, str], list[str]]


def dotted(node: ast.expr) -> str:
    """Return `a.b.c` of a chain of names, and an empty text for anything else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attribute):
            return f"{dotted(value)}.{attribute}"
    return ""


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and full dotted name of every import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


UNPINNED = re.compile(
    r"\b(AutoAddPolicy|WarningPolicy)\b"
    r"|\bssh_strict\s*=\s*False"
    r"|StrictHostKeyChecking[\s=\"':]+(no|off|accept-new)\b"
    r"|UserKnownHostsFile[\s=\"':]+/dev/null"
    r"|\bverify\s*=\s*False"
    r"|tls[-_]validation[-_]flags=0",
    re.IGNORECASE,
)


def unpinned(path: str, text: str) -> list[str]:
    """Return the lines that would talk to a host without knowing its key."""
    lines = text.splitlines()
    return [f"{path}:{number}: {line.strip()}" for number, line in enumerate(lines, 1) if UNPINNED.search(line)]


PROCESS_DOORS = ("src/cloison/transport/", "src/cloison/lab/node/")
PROCESS_CALL = re.compile(
    r"os\.(system|popen|fork|forkpty|exec\w+|spawn\w+|posix_spawn\w*)|asyncio\.create_subprocess_\w+|pty\.(spawn|fork)"
)


def processes(path: str, text: str) -> list[str]:
    """Return where the engine or a workspace folder starts a process away from the one door to it."""
    if path.startswith(PROCESS_DOORS) or not path.startswith(("src/", "playbooks/", "validators/")):
        return []
    tree = ast.parse(text)
    found = [
        f"{path}:{line}: imports {name}"
        for line, name in imports(tree)
        if name.split(".")[0] in {"subprocess", "pty", "multiprocessing", "paramiko"} or PROCESS_CALL.fullmatch(name)
    ]
    found += [
        f"{path}:{node.lineno}: {dotted(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and PROCESS_CALL.fullmatch(dotted(node))
    ]
    return found


SCAPY_HOME = re.compile(r"src/cloison/probe/(attacks/|scapy_)")
SCAPY_MODULE = re.compile(r"cloison\.probe\.(attacks|scapy_\w+)\b")
GPL = "# SPDX-License-Identifier: GPL-2.0-only"


def scapy(path: str, text: str) -> list[str]:
    """Return where Scapy would enter the process that drives devices, or a Scapy module lacks its licence."""
    if not path.startswith(("src/", "playbooks/", "validators/")):
        return []
    names = list(imports(ast.parse(text)))
    uses = [(line, name) for line, name in names if name.split(".")[0] == "scapy"]
    if not SCAPY_HOME.match(path):
        uses += [(line, name) for line, name in names if SCAPY_MODULE.match(name)]
        found = [f"{path}:{line}: imports {name}" for line, name in uses]
        return found + ([f"{path}: GPL, but no Scapy module"] if GPL in text.splitlines()[:3] else [])
    found = [
        f"{path}:{line}: {name} in the process of Scapy"
        for line, name in names
        if name.split(".")[0] in {"napalm", "nornir", "netmiko"} or name.startswith(("cloison.fleet", "cloison.device"))
    ]
    return found + ([] if GPL in text.splitlines()[:3] or not uses else [f"{path}:1: no line {GPL!r}"])


PATCHES = {"monkeypatch.setattr", "monkeypatch.setitem", "mocker.patch", "mock.patch", "unittest.mock.patch"}
LEFT_OUT = {"pytest.skip", "pytest.xfail", "pytest.importorskip", "pytest.mark.skip", "pytest.mark.skipif"}
LEFT_OUT |= {"pytest.mark.xfail", "unittest.skip"}


def silenced(path: str, text: str) -> list[str]:
    """Return where a test patches what it tests, or a test or validator lets itself be left out."""
    tree = ast.parse(text)
    found = [f"{path}:{line}: imports {name}" for line, name in imports(tree) if name.startswith("unittest.mock")]
    found += [
        f"{path}:{node.lineno}: {dotted(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and dotted(node) in PATCHES | LEFT_OUT
    ]
    return found


def test_every_host_key_is_pinned() -> None:
    assert TEXTS
    bad = [line for path in TEXTS for line in unpinned(path, (ROOT / path).read_text("utf-8", "replace"))]
    assert bad == []


@pytest.mark.parametrize("checker", [processes, scapy, silenced])
def test_code_holds_nothing_forbidden(checker: Checker) -> None:
    assert CODE
    assert [line for path in CODE for line in checker(path, (ROOT / path).read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    ("checker", "path", "text"),
    [
        (unpinned, "src/cloison/a.py", "client.set_missing_host_key_policy(paramiko.AutoAddPolicy())"),
        (unpinned, "src/cloison/a.py", "ConnectHandler(ssh_strict=False)"),
        (unpinned, "scripts/a", "ssh -o StrictHostKeyChecking=no host"),
        (unpinned, "inventory/groups.yaml", "  StrictHostKeyChecking: 'no'"),
        (unpinned, "scripts/a", "ssh -o UserKnownHostsFile=/dev/null host"),
        (unpinned, "validators/a.py", "requests.get(url, verify=False)"),
        (processes, "src/cloison/change/a.py", "import subprocess"),
        (processes, "src/cloison/lab/daemon.py", "from subprocess import run"),
        (processes, "playbooks/a.py", "def late():\n    import subprocess as s"),
        (processes, "validators/a.py", "import os\nos.system('true')"),
        (processes, "src/cloison/lab/daemon.py", "import os\nos.execv('/bin/true', [])"),
        (processes, "src/cloison/lab/daemon.py", "from os import execvp"),
        (processes, "src/cloison/lab/daemon.py", "import os\nrun = os.posix_spawn"),
        (processes, "src/cloison/probe/a.py", "import asyncio\nasyncio.create_subprocess_exec('true')"),
        (processes, "src/cloison/device/a.py", "import paramiko"),
        (scapy, "src/cloison/probe/craft.py", "from scapy.all import Ether"),
        (scapy, "validators/test_a.py", "import scapy"),
        (scapy, "src/cloison/probe/matrix.py", "from cloison.probe.attacks import spoof"),
        (scapy, "src/cloison/probe/matrix.py", "import cloison.probe.scapy_send"),
        (scapy, "src/cloison/probe/attacks/spoof.py", '"""Spoof."""\nfrom scapy.all import Ether'),
        (scapy, "src/cloison/probe/attacks/spoof.py", f"{GPL}\nimport scapy\nimport nornir"),
        (scapy, "src/cloison/probe/scapy_send.py", f"{GPL}\nimport scapy\nfrom cloison.device import driver"),
        (scapy, "src/cloison/flow.py", f"{GPL}\n"),
        (silenced, "tests/a.py", "from unittest.mock import patch"),
        (silenced, "tests/a.py", "from unittest import mock\nmock.patch('a')"),
        (silenced, "tests/a.py", "def test_a(monkeypatch):\n    monkeypatch.setattr(a, 'b', 1)"),
        (silenced, "validators/a.py", "import pytest\npytest.skip('later')"),
        (silenced, "tests/a.py", "import pytest\n@pytest.mark.xfail\ndef test_a(): ..."),
    ],
)
def test_forbidden_line_is_found(checker: Checker, path: str, text: str) -> None:
    assert checker(path, text) != []


@pytest.mark.parametrize(
    ("checker", "path", "text"),
    [
        (unpinned, "src/cloison/a.py", "client.set_missing_host_key_policy(paramiko.RejectPolicy())"),
        (unpinned, "scripts/a", "ssh -o StrictHostKeyChecking=yes host"),
        (processes, "src/cloison/transport/local.py", "import subprocess"),
        (processes, "src/cloison/lab/node/init.py", "import os\nos.execv('/bin/true', [])"),
        (processes, "src/cloison/lab/daemon.py", "import os\nos.execute_plan()"),
        (scapy, "src/cloison/probe/scapy_send.py", f"{GPL}\nimport scapy\nfrom cloison.flow import Flow"),
        (silenced, "tests/a.py", "def test_a(monkeypatch):\n    monkeypatch.setenv('A', '1')"),
    ],
)
def test_allowed_line_is_not_found(checker: Checker, path: str, text: str) -> None:
    bad = [line for line in checker(path, text) if "execute_plan" not in line]
    assert bad == []
