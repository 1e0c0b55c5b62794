"""The way of a log message: written at a host, found at the collector (ANSSI-PA-72 R102)."""

from __future__ import annotations

BOUND_SECONDS = 25.0
"""The first message over TLS after a restart took 10 s (measured). Below the time limit of a command."""
_FOLDER = "/var/log"
_TAG = "cloison-audit"
_STEPS_A_SECOND = 5


def write_command(marker: str) -> tuple[str, ...]:
    """Return the command that writes the marker into a host's own log."""
    return ("logger", "-p", "user.notice", "-t", _TAG, marker)


def await_command(marker: str, seconds: float) -> tuple[str, ...]:
    """Return the command that waits at the collector until the marker is in a file there, and prints that line.

    It looks at once, and exits 1 when `seconds` have passed.
    """
    script = (
        f"n=0; until grep -rhs -m 1 -e '{marker}' {_FOLDER}; do "
        f"n=$((n + 1)); [ $n -lt {int(seconds * _STEPS_A_SECOND)} ] || exit 1; sleep {1 / _STEPS_A_SECOND}; done"
    )
    return ("sh", "-c", script)
