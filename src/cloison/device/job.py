"""What a device is given for one transaction: texts to load, the texts to go back with, and what it then boots with.

It is data and no program: the script on the device knows how each section is loaded. On the wire it is a header line,
then each file as a line `file NAME BYTES` and its bytes, then `end`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.render.config import SectionName


@dataclass(frozen=True, slots=True)
class Load:
    """One section to be made equal to a text."""

    section: SectionName
    text: str
    """In the form in which the section is loaded (for switch rows: one word of the transaction a line)."""
    removals: str = ""
    """For interfaces: one line of arguments of ip(8) or tc(8) for each thing to be taken away, the last made first."""


@dataclass(frozen=True, slots=True)
class Job:
    """One transaction on one device."""

    token: str
    """`<run>-<first 12 digits of the plan's hash>`: lower-case letters, digits and hyphens, 63 at most."""
    deadline: int
    """Seconds from arming until the dead-man goes back."""
    steps: tuple[tuple[Load, ...], ...]
    """What is loaded, in order; the first step with arming, the others each when it is asked for."""
    back: tuple[Load, ...]
    """What is loaded, in order, to go back from whichever step was reached."""
    startup: tuple[Load, ...]
    """Every section of the device after the change, in order: what it boots with once confirmed."""
    back_conversations: tuple[str, ...] = ()
    """Tracked connections to be deleted after going back, as words of conntrack(8): those of flows that it opened."""

    @property
    def files(self) -> tuple[tuple[str, bytes], ...]:
        """The files of the job, by name: `step1.00.filter`, `step1.00.interfaces.remove`, `back.00.…`, `boot.00.…`."""
        found = [file for number, loads in enumerate(self.steps, 1) for file in _files(f"step{number}", loads)]
        found += [*_files("back", self.back), *_files("boot", self.startup)]
        if self.back_conversations:
            found.append(("back.conversations", "".join(f"{one}\n" for one in self.back_conversations).encode()))
        return tuple(found)

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the files as they are sent: what the device checks before it does anything."""
        return hashlib.sha256(b"".join(_framed(*file) for file in self.files)).hexdigest()

    def encode(self) -> bytes:
        """Return the job as it is sent."""
        head = f"job {self.token} {self.deadline} {len(self.steps)} {self.sha256}\n".encode()
        return head + b"".join(_framed(*file) for file in self.files) + b"end\n"


def _files(prefix: str, loads: tuple[Load, ...]) -> Iterator[tuple[str, bytes]]:
    for number, load in enumerate(loads):
        name = f"{prefix}.{number:02}.{load.section}"
        yield name, load.text.encode()
        if load.removals:
            yield f"{name}.remove", load.removals.encode()


def _framed(name: str, content: bytes) -> bytes:
    return f"file {name} {len(content)}\n".encode() + content
