"""Open vSwitch of one device: its own database and its own switch, in user space, at Debian's paths."""

from __future__ import annotations

from pathlib import PurePosixPath

from cloison.lab.service import CommandReady, NodeFile, NodeFolder, NodeServices, Service, SocketReady

DATABASE = PurePosixPath("/etc/openvswitch/conf.db")
DATABASE_SOCKET = PurePosixPath("/run/openvswitch/db.sock")
_RUN = PurePosixPath("/run/openvswitch")
_READY_SECONDS = 10.0
_SCRIPTS = PurePosixPath("/opt/twin")
_DATABASE_SCRIPT = f"""\
#!/bin/sh
# The database outlives a reboot, as on a real switch: what was written is there again.
set -e
test -f {DATABASE} || ovsdb-tool create {DATABASE} /usr/share/openvswitch/vswitch.ovsschema
exec ovsdb-server {DATABASE} --remote=punix:{DATABASE_SOCKET} --pidfile -vconsole:warn
"""
_SWITCH_SCRIPT = f"""\
#!/bin/sh
set -e
ovs-vsctl --no-wait init
# No kernel datapath: it would be the host's, and shared by all.
exec ovs-vswitchd unix:{DATABASE_SOCKET} --pidfile --disable-system -vconsole:warn
"""


def open_vswitch() -> NodeServices:
    """Return the files and the two services of Open vSwitch; a new database holds no bridge."""
    database, switch = _SCRIPTS / "ovsdb-server", _SCRIPTS / "ovs-vswitchd"
    return NodeServices(
        folders=(
            NodeFolder(_RUN),
            NodeFolder(DATABASE.parent),
            NodeFolder(PurePosixPath("/var/lib/openvswitch")),
            NodeFolder(PurePosixPath("/var/log/openvswitch")),
        ),
        files=(
            NodeFile(database, _DATABASE_SCRIPT.encode(), 0o755),
            NodeFile(switch, _SWITCH_SCRIPT.encode(), 0o755),
        ),
        services=(
            Service("ovsdb-server", (str(database),), SocketReady(DATABASE_SOCKET, _READY_SECONDS)),
            Service(
                "ovs-vswitchd",
                (str(switch),),
                CommandReady(("/usr/bin/ovs-appctl", "-t", "ovs-vswitchd", "version"), _READY_SECONDS),
            ),
        ),
    )
