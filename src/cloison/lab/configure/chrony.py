"""chronyd: the time server serves its own clock, a firewall serves its site from it, everything else is a client.

All run with `-x`: there is no clock of a node's own to set. A client has no `local` line: with one, `waitsync` passes
although no source was ever heard (measured).
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from cloison.lab.service import CommandReady, NodeFile, NodeFolder, NodeServices, Service

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address

_CONFIG = PurePosixPath("/etc/chrony/chrony.conf")
_SOCKET = "/run/chrony/chronyd.sock"
_READY_SECONDS = 5.0
# No command port on UDP: chronyc speaks over the unix socket. Polls are short because a twin does not live for hours.
_SETTINGS = "cmdport 0\ndriftfile /var/lib/chrony/chrony.drift\n"
_POLL = "iburst minpoll 2 maxpoll 4"
_LOCAL_STRATUM = 5


def server_config(address: IPv4Address, clients: Sequence[IPv4Address]) -> str:
    """Return the configuration of the time server: its own clock, for these clients, on this address."""
    allowed = "".join(f"allow {client}\n" for client in clients)
    return f"local stratum {_LOCAL_STRATUM}\nbindaddress {address}\n{allowed}{_SETTINGS}"


def relay_config(server: IPv4Address, own: IPv4Address, clients: Sequence[IPv4Address]) -> str:
    """Return the configuration of a firewall: client of the time server from its own address, server of its site.

    chronyd binds one address or all; all, here, and `allow` and the filter say who is answered.
    """
    allowed = "".join(f"allow {client}\n" for client in clients)
    return f"server {server} {_POLL}\nbindacqaddress {own}\n{allowed}{_SETTINGS}"


def client_config(server: IPv4Address, own: IPv4Address | None = None) -> str:
    """Return the configuration of a client that serves nobody; `own` is the address it asks from."""
    bind = f"bindacqaddress {own}\n" if own else ""
    return f"server {server} {_POLL}\nport 0\n{bind}{_SETTINGS}"


def chronyd(config: str) -> NodeServices:
    """Return the files and the service of chronyd; ready means that chronyc is heard, not that a source is."""
    return NodeServices(
        folders=(
            NodeFolder(PurePosixPath("/run/chrony"), 0o750, "_chrony"),
            NodeFolder(PurePosixPath("/var/lib/chrony"), 0o750, "_chrony"),
        ),
        files=(NodeFile(_CONFIG, config.encode(), 0o644),),
        services=(
            Service(
                "chronyd",
                ("/usr/sbin/chronyd", "-d", "-x", "-f", str(_CONFIG), "-u", "_chrony"),
                # Not by asking chronyc: too early, it waits for seconds before it says no.
                CommandReady(("/usr/bin/test", "-S", _SOCKET), _READY_SECONDS),
            ),
        ),
    )
