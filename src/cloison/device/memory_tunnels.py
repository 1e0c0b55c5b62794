"""The tunnels of a device in memory: each is up as it is declared, whatever the other end has."""

from __future__ import annotations

from cloison.device import swanctl
from cloison.device.negotiated import Negotiated


def as_declared(text: str) -> tuple[Negotiated, ...]:
    """Return an association for every child of a text; none for a text that is no swanctl.conf.

    The other end has the same ones, seen from there.
    """
    try:
        connections = swanctl.section(swanctl.parse(text), "connections")
    except ValueError:
        return ()
    found: list[Negotiated] = []
    for connection in connections:
        options = swanctl.section(connections, connection)
        children = swanctl.section(options, "children")
        own, other = (f"{connection}@{options.get(key)}" for key in ("local_addrs", "remote_addrs"))
        found += [
            _association(connection, child, swanctl.section(children, child), (own, other), number)
            for number, child in enumerate(children, len(found) + 1)
        ]
    return tuple(found)


def _association(connection: str, child: str, options: swanctl.Tree, keys: tuple[str, str], number: int) -> Negotiated:
    encryption, _, exchange = swanctl.members(options.get("esp_proposals", "default"))[0].rpartition("-")
    return Negotiated(
        connection=connection,
        ike=number,
        established=True,
        child=child,
        number=number,
        state="INSTALLED",
        local=swanctl.members(options.get("local_ts", "dynamic")),
        remote=swanctl.members(options.get("remote_ts", "dynamic")),
        encryption=encryption,
        exchange=exchange,
        keys=(f"{child}/{keys[0]}", f"{child}/{keys[1]}"),
    )
