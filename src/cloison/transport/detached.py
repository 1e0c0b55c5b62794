"""Starts a program that outlives its caller, in process-id, mount, network and IPC namespaces of its own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from cloison.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def start_detached(
    place: str, arguments: Sequence[str], *, log: Path, pass_fds: Sequence[int], environment: Mapping[str, str]
) -> None:
    """Start `arguments` as the first process of its namespaces, in a session of its own, and return at once.

    The process outside the namespaces (`unshare`) and the program end together, whichever is killed, and all that
    lives in the namespaces with them. TransportError when it cannot be started.
    """
    command = [
        "setsid",
        "--fork",
        "unshare",
        "--pid",
        "--net",
        "--mount",
        "--ipc",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation=private",
        *arguments,
    ]
    try:
        with log.open("wb") as stream:
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                pass_fds=pass_fds,
                env=dict(environment),
                cwd="/",
                timeout=10,
            )
    except OSError as error:
        raise TransportError(place, f"{command[0]} cannot be started: {error.strerror}") from error
    except subprocess.SubprocessError as error:
        raise TransportError(place, f"the daemon cannot be started: {error}") from error
