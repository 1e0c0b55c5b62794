"""Every guard of a change, as what takes it away; and whether a test then turns red.

The numbers are those of the failure modes that a change over several devices can have: 1 a part of it kept, 2 armed and
refused, 3 never confirmed, 4 confirmed by somebody else, 5 the dead-man lost, 6 the dead-man late, 7 confirmed while it
fires, 8 nothing put back and nothing said, 9 put back in part, 10 somebody else's change undone, 11 booting otherwise
than running, 12 two at once or a stale plan, 13 locked out, 14 old conversations, 15 read back otherwise than
predicted, 16 changed by hand meanwhile, 17 started anew in between.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
SCRIPT = "src/cloison/device/agent/cloison-device"
CHANGE = "src/cloison/change"
CONTRACT = "tests/contract/test_guard_contract.py"
OWN = "tests/contract/test_device_script.py"
CLOCK = "tests/contract/test_script_clock.py"
MATRIX = "tests/unit/test_transaction_fault_matrix.py"
CRASHES = "tests/unit/test_transaction_crashes.py"
SINGLE = "tests/unit/test_transaction_single_faults.py"
SECONDS = 300.0
TICKER = "ticker"


@dataclass(frozen=True)
class Guard:
    """One guard: where it stands, and the same place without it."""

    mode: int
    what: str
    file: str
    guarded: str
    unguarded: str
    tests: tuple[str, ...]
    only: str = ""
    """Which of them are run, as an expression of `pytest -k`."""
    behind: str = ""
    """What else stands against the same, where no test can tell this guard from it."""


GUARDS = (
    Guard(
        1,
        "the decision is on the disk before the first confirmation",
        f"{CHANGE}/transaction.py",
        "        self.effects.journal(Event.DECIDED, None, self.token)\n",
        "",
        (CRASHES,),
    ),
    Guard(
        1,
        "what goes wrong while it is applied takes everything back",
        f"{CHANGE}/transaction.py",
        "        except CloisonError as error:\n            cut_off = _cut_off(error)\n",
        "        except CloisonError as error:\n            return self._ended(self._recovery().forward())\n",
        (MATRIX,),
    ),
    Guard(
        2,
        "a section that is refused takes the device back at once",
        SCRIPT,
        "\t\tfire refused\n\t\tgo_back\n\t\texit 0\n",
        "\t\texit 0\n",
        (CONTRACT,),
        f"{TICKER} and refused_section",
    ),
    Guard(
        3,
        "the dead-man fires at the deadline",
        SCRIPT,
        'elif [ "$now" -ge "$deadline" ]; then fire deadline; fi',
        "fi",
        (CONTRACT,),
        f"{TICKER} and nobody_confirms",
    ),
    Guard(
        4,
        "a confirmation names the token",
        SCRIPT,
        '\t\tarmed)\n\t\t\t[ "$token" = "$1" ] || fail 10 "transaction $token is pending"\n\t\t\tis_busy',
        "\t\tarmed)\n\t\t\tis_busy",
        (CONTRACT,),
        f"{TICKER} and (confirm or token)",
    ),
    Guard(
        5,
        "nothing is armed without a dead-man that is alive",
        SCRIPT,
        "timer_alive() {",
        "timer_alive() { return 0;",
        (CONTRACT,),
        f"{TICKER} and dead_man",
    ),
    Guard(
        5,
        "the gate asks whether the dead-man is alive",
        f"{CHANGE}/judging.py",
        "elif not state.timer_alive:",
        "elif False:",
        (MATRIX,),
        "row_23",
    ),
    Guard(
        6,
        "the clock is that of the machine, which nobody sets",
        SCRIPT,
        "\tread -r up _ </proc/uptime\n\tnow=$((${up%.*} * 100 + 1${up#*.} - 100))\n",
        "\tnow=$(($(date +%s) * 100))\n",
        (CLOCK,),
        "wall_clock",
    ),
    Guard(
        6,
        "a timer of systemd is accurate to the second",
        SCRIPT,
        " --timer-property=AccuracySec=1s",
        "",
        (CLOCK,),
        "accurate",
    ),
    Guard(
        7,
        "one rename decides between the confirmation and the deadline",
        SCRIPT,
        'mv -T "$base/armed" "$base/decided" 2>/dev/null || fail 10',
        '{ cp -a "$base/armed" "$base/decided" && rm -rf "$base/armed"; } || fail 10',
        (OWN,),
        "exactly_one_wins or kills_at_random or killed",
    ),
    Guard(
        8,
        "what was put back is compared with what ran before",
        SCRIPT,
        '\t\tprint_section "$section" | cmp -s - "$place/before/$section" || differing="$differing $section"\n',
        "\t\t:\n",
        (CONTRACT,),
        f"{TICKER} and differs_after",
    ),
    Guard(
        9,
        "whoever is killed on the way back is followed by another",
        SCRIPT,
        'if [ -d "$1" ] && { [ -z "$worker" ] || ! start_of "$worker"; }; then',
        "if false; then",
        (CONTRACT, OWN),
        f"({TICKER} and nobody_confirms) or kill or dies",
    ),
    Guard(
        10,
        "a section that the change never touched is not loaded to go back",
        SCRIPT,
        '\t\tif [ ! -e "$run/began.$section" ] && print_section "$section" | cmp -s',
        "\t\tif false | cmp -s",
        (OWN,),
        "not_touched or foreign",
    ),
    Guard(
        11,
        "a confirmed change is what the device boots with",
        SCRIPT,
        "\t\ti_am back\n\t\tload_startup\n\tfi\n",
        "\t\ti_am back\n\tfi\n",
        (CONTRACT,),
        f"{TICKER} and boots_with",
    ),
    Guard(
        12,
        "only who has the lease may arm",
        SCRIPT,
        '\tneed_lease "$token_"\n',
        "",
        (CONTRACT,),
        f"{TICKER} and lease",
    ),
    Guard(
        12,
        "the lease belongs to one",
        SCRIPT,
        '\tif [ -n "$lease_token" ] && [ "$lease_token" != "$1" ]; then\n\t\tshow\n\t\texit 11\n',
        "\tif false; then\n\t\tshow\n\t\texit 11\n",
        (CONTRACT,),
        f"{TICKER} and lease",
    ),
    Guard(
        12,
        "a plan is refused where a device runs something else by now",
        f"{CHANGE}/transaction.py",
        "            for name in differing(device.running, read[device.device]):\n",
        "            for name in ():\n",
        (MATRIX,),
        "row_29 or row_27",
    ),
    Guard(
        13,
        "the gate reaches every device over a new connection",
        f"{CHANGE}/judging.py",
        "        self.asking.connections.drop(name)\n",
        "",
        (MATRIX,),
    ),
    Guard(
        13,
        "a device that cannot be reached fails the gate",
        f"{CHANGE}/judging.py",
        "checks += [_unmanaged(name, error) for name, error in unread.items()]",
        "checks += []",
        (MATRIX, SINGLE),
    ),
    Guard(
        14,
        "tracked conversations that the rules refuse are forgotten",
        f"{CHANGE}/transaction.py",
        "            if refused:\n",
        "            if False:\n",
        (MATRIX,),
        "row_31",
    ),
    Guard(
        15,
        "what is read back must be the candidate",
        f"{CHANGE}/judging.py",
        "        outcome = Outcome.FAIL if left else Outcome.PASS\n",
        "        outcome = Outcome.PASS\n",
        (MATRIX,),
    ),
    Guard(
        16,
        "what somebody changed by hand meanwhile fails the gate",
        f"{CHANGE}/judging.py",
        '        left = "".join(difference(read.section(section.name), section) for section in device.canonical)\n',
        '        left = ""\n',
        (MATRIX,),
        "row_27",
    ),
    Guard(
        17,
        "a boot drops what is pending",
        SCRIPT,
        '\tfor place in "$base"/armed "$base"/fired-*; do\n\t\t[ ! -d "$place" ]',
        '\tfor place in "$base"/fired-*; do\n\t\t[ ! -d "$place" ]',
        (CONTRACT,),
        f"{TICKER} and boot_drops",
    ),
    Guard(
        17,
        "a further step is refused without the armed token",
        SCRIPT,
        """\t[ "$kind" = armed ] && [ "$token" = "$1" ] || fail 10 'the token is not pending here'\n\texec 8>>""",
        "\texec 8>>",
        (CONTRACT,),
        f"{TICKER} and without_the_token",
        behind="the worker that applies asks for the token again",
    ),
    Guard(
        17,
        "a device must be armed under this token before it counts as applied",
        f"{CHANGE}/asking.py",
        "    return require_pending(device, state, token)\n",
        "    return state\n",
        (MATRIX,),
        "row_17 or row_18",
        behind="the gate asks the dead-man of every device for the token",
    ),
)


def judged(guard: Guard, tree: Path) -> dict[str, object]:
    """Take a guard away in a tree, run its tests, and put it back; return a line of the record.

    Its `red` is the first test that turned red, empty when none did. Raises ValueError where it is not there once.
    """
    file = tree / guard.file
    text = file.read_text(encoding="utf-8")
    if text.count(guard.guarded) != 1:
        msg = f"{guard.file}: `{guard.what}` stands there {text.count(guard.guarded)} times as it was written down"
        raise ValueError(msg)
    file.write_text(text.replace(guard.guarded, guard.unguarded), encoding="utf-8")
    try:
        place = guard.file.rpartition("/")[2]
        return {
            "mode": guard.mode,
            "what": guard.what,
            "file": place,
            "red": first_red(guard, tree),
            "behind": guard.behind,
        }
    finally:
        file.write_text(text, encoding="utf-8")


def first_red(guard: Guard, tree: Path) -> str:
    """Run the tests of a guard in a tree; return the first that is red."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-rfE", *guard.tests]
    command += ["-k", guard.only] if guard.only else []
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=SECONDS, check=False, encoding="utf-8"
        )
    except subprocess.TimeoutExpired:
        return f"none ended within {SECONDS:g} s"
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode != 1 or not lines:
        msg = f"{guard.what}: the tests cannot be run: {done.stdout[-500:]} {done.stderr[-500:]}"
        raise ValueError(msg)
    return lines[0].split()[1].rpartition("::")[2]


def copied() -> Path:
    """Return a copy of the repository whose guards can be taken away."""
    tree = Path(tempfile.mkdtemp(prefix="cloison-guards-")) / "tree"
    shutil.copytree(
        ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", ".cloison", "runs", "__pycache__", ".*_cache")
    )
    return tree


def score(fates: Sequence[dict[str, object]]) -> list[str]:
    """Return the section of the page."""
    red = sum(bool(fate["red"]) for fate in fates)
    modes = {fate["mode"] for fate in fates if fate["red"]}
    rows = [f"| {fate['mode']} | {fate['what']} | `{fate['file']}` | {_named(fate)} |" for fate in fates]
    return [
        "## Guards that are taken away",
        "",
        f"One guard at a time is taken away and its tests are run: for {red} of {len(fates)} guards a test turns red.",
        f"They stand against {len(modes)} of the 17 ways in which a change over several devices fails.",
        "",
        "| way | guard | where | first test that turns red |",
        "| ---: | --- | --- | --- |",
        *rows,
        "",
    ]


def _named(fate: dict[str, object]) -> str:
    if fate["red"]:
        return f"`{fate['red']}`"
    return f"none: {fate['behind']}" if fate["behind"] else "**none**"
