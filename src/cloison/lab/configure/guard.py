"""What guards a change on a device: the script, its run at every boot, and the ticker, started again when it dies."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePosixPath

from cloison.lab.service import CommandReady, NodeFile, NodeFolder, NodeServices, Service

SCRIPT = PurePosixPath("/usr/local/sbin/cloison-device")
STATE = PurePosixPath("/var/lib/cloison")
_SUPERVISOR = PurePosixPath("/opt/twin/guard")
_READY_SECONDS = 60.0
"""A boot loads every section of what was confirmed last."""
_SUPERVISOR_SCRIPT = f"""\
#!/bin/sh
# What a boot drops and loads, then the dead-man, for ever. What the loader could not do is told by `state`.
{SCRIPT} boot
while :; do
  {SCRIPT} tick
  sleep 0.2
done
"""


def guard() -> NodeServices:
    """Return the script and its service; it is ready once the device runs what it boots with and the ticker is alive.

    It is given after the daemons that sections live in: they answer by then.
    """
    script = (files("cloison") / "device" / "agent" / SCRIPT.name).read_bytes()
    alive = f"{SCRIPT} state | grep -qx 'timer-alive yes'"
    return NodeServices(
        folders=(NodeFolder(STATE, 0o700),),
        files=(NodeFile(SCRIPT, script, 0o755), NodeFile(_SUPERVISOR, _SUPERVISOR_SCRIPT.encode(), 0o755)),
        services=(Service("guard", (str(_SUPERVISOR),), CommandReady(("/bin/sh", "-c", alive), _READY_SECONDS)),),
    )
