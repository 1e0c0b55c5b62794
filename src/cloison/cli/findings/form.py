"""The forms of the result; apart, because the command line reads it before any command runs."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """A form of the result."""

    TERMINAL = "terminal"
    JSON = "json"
    JUNIT = "junit"
    SARIF = "sarif"
    MARKDOWN = "markdown"
