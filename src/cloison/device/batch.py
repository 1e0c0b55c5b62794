"""Runs many commands on a device in one go: one shell script, one answer, every output framed by its length."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.errors import DeviceError
from cloison.transport.base import CommandResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cloison.transport.base import Runner

SCRATCH = "@/"
"""In an argument: the scratch folder of the batch, which is removed when the batch ends."""

_TIMED_OUT = 124
"""What timeout(1) exits with."""
_HEAD = re.compile(rb"(?P<name>[a-z0-9-]{1,40}) (?P<status>[0-9]{1,3}) (?P<out>[0-9]{1,9}) (?P<err>[0-9]{1,9})\n")
"""What a step begins with: its name, its exit status, and the bytes of its two outputs."""
_PROLOGUE = r"""
set -u
export LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
scratch=$(mktemp -d) || exit 70
trap 'rm -rf "$scratch"' EXIT
trap 'exit 71' HUP INT TERM
step() {
  name=$1 limit=$2; shift 2
  timeout -k 2 "$limit" "$@" </dev/null >"$scratch/.out" 2>"$scratch/.err"
  status=$?
  echo "$name $status" $(stat -c %s "$scratch/.out" "$scratch/.err")
  cat "$scratch/.out" "$scratch/.err"
}
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a batch. Its name has no space; a batch runs a name once."""

    name: str
    arguments: tuple[str, ...]
    files: Mapping[str, str]
    """Files that are put into the scratch folder first, by name."""
    seconds: int = 10
    """Time limit; past it the command is killed."""


def step(name: str, *arguments: str, files: Mapping[str, str] | None = None, seconds: int = 10) -> Step:
    """Return a step."""
    return Step(name, arguments, files or {}, seconds)


def shell(name: str, script: str, *arguments: str, files: Mapping[str, str] | None = None, seconds: int = 10) -> Step:
    """Return a step that is a shell script, with `$1`, `$2`… from the arguments."""
    return Step(name, ("sh", "-c", script, "sh", *arguments), files or {}, seconds)


def run_batch(runner: Runner, steps: Iterable[Step], timeout: float = 60.0) -> dict[str, CommandResult]:
    """Run the steps one after the other in one command; return what each left, by name.

    A step that fails does not stop the others. Raises TransportError, and DeviceError when the frame is broken.
    """
    unique = {one.name: one for one in steps}
    script, payload = [_PROLOGUE], bytearray()
    for one in unique.values():
        for name, text in one.files.items():
            content = text.encode()
            script.append(f"head -c {len(content)} >{_quoted(SCRATCH + name)}")
            payload += content
    for one in unique.values():
        words = " ".join(_quoted(argument) for argument in one.arguments)
        script.append(f"step {one.name} {one.seconds} {words}")
    result = runner.run(["sh", "-c", "\n".join(script)], stdin=bytes(payload), timeout=timeout)
    if result.exit_status != 0:
        said = result.stderr.decode("utf-8", "backslashreplace").strip()[:300]
        raise DeviceError(runner.place, f"a batch of commands ended with status {result.exit_status}: {said}")
    return _unframed(runner.place, result.stdout, list(unique))


def _quoted(argument: str) -> str:
    """Quote for sh, with the scratch folder in place of its sign."""
    return '"$scratch"/'.join(shlex.quote(piece) if piece else "" for piece in argument.split(SCRATCH)) or "''"


def _unframed(place: str, stdout: bytes, names: list[str]) -> dict[str, CommandResult]:
    """Split the answer by its own lengths, so that no output can pose as another."""
    results: dict[str, CommandResult] = {}
    at = 0
    for name in names:
        head = _HEAD.match(stdout, at)
        if head is None or head["name"].decode() != name:
            raise DeviceError(place, f"the answer of a batch broke off before step {name}")
        first = head.end()
        second = first + int(head["out"])
        at = second + int(head["err"])
        results[name] = CommandResult(int(head["status"]), stdout[first:second], stdout[second:at])
    if at != len(stdout):
        end = "before its end" if at > len(stdout) else f"{len(stdout) - at} bytes after its end"
        raise DeviceError(place, f"the answer of a batch goes on or stops {end}")
    return results


def must(place: str, result: CommandResult, what: str) -> str:
    """Return the text of a step that has to succeed; raise DeviceError with the tool's words when it did not."""
    if result.exit_status != 0:
        raise DeviceError(place, f"{what} cannot be read back: {words(result)}")
    return result.text


def words(result: CommandResult) -> str:
    """Return the first words of a failed command, at most two lines and 300 characters, or how it ended."""
    lines = (result.stderr.strip() or result.stdout.strip()).decode("utf-8", "backslashreplace").splitlines()
    said = " ".join(" ".join(lines[:2]).split())[:300]
    late = result.exit_status == _TIMED_OUT
    return said or ("no answer in time" if late else f"exit status {result.exit_status}")
