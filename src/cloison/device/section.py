"""What each section knows of itself: how it is read back, spelt in the same words as a candidate, and loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cloison.device.batch import must, run_batch, words
from cloison.errors import LoadError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cloison.device.batch import Step
    from cloison.render.config import SectionName
    from cloison.transport.base import CommandResult, Runner


@dataclass(frozen=True, slots=True)
class Answers:
    """What the steps of a batch left, by name, and the device that they ran on."""

    place: str
    results: Mapping[str, CommandResult]

    def text(self, step: str, what: str) -> str:
        """Return the output of a step; raise DeviceError, naming `what` was asked, when the step failed."""
        return must(self.place, self.results[step], what)

    def accepted(self, step: str, section: SectionName) -> str:
        """Return the output of a step that tries a candidate; raise LoadError with the tool's words when it failed."""
        result = self.results[step]
        if result.exit_status != 0:
            raise LoadError(self.place, f"section {section} is refused: {words(result)}")
        return result.text


class ReadableSection(Protocol):
    """A section that can be read back."""

    @property
    def name(self) -> SectionName:
        """Which section."""

    def read_steps(self) -> Sequence[Step]:
        """Return the commands that show what runs. Sections may ask for the same step; it is run once."""

    def running(self, answers: Answers) -> str:
        """Return the canonical text of what runs; an empty text when the device has nothing of this section."""

    def trial_steps(self, candidate: str) -> Sequence[Step]:
        """Return the commands that load the candidate into a throw-away instance and show it; none where none need."""

    def canonical(self, candidate: str, answers: Answers) -> str:
        """Return the canonical text of the candidate; raise LoadError when it is refused."""


class LoadableSection(Protocol):
    """A section that can be replaced."""

    @property
    def name(self) -> SectionName:
        """Which section."""

    def load(self, runner: Runner, candidate: str) -> None:
        """Make what runs equal to the candidate; raise LoadError when the device refuses it."""


def load_steps(runner: Runner, section: SectionName, steps: Sequence[Step], timeout: float = 60.0) -> Answers:
    """Run the steps of a load; raise LoadError at the first one that failed."""
    answers = Answers(runner.place, run_batch(runner, steps, timeout))
    for step in steps:
        answers.accepted(step.name, section)
    return answers


def lines_of(text: str) -> list[str]:
    """Return the lines that say something: comments and empty lines left out, blanks at the ends too."""
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def joined(lines: Sequence[str]) -> str:
    """Return the lines as a text, each ended by a newline."""
    return "".join(f"{line}\n" for line in lines)
