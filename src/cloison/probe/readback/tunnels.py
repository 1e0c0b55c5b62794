"""The tunnels of a firewall, by what its IKE daemon has negotiated and loaded (`swanctl --raw`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.intent.network import Tunnel, TunnelEnd
    from cloison.model import EquipmentName

SECURITY_ASSOCIATIONS = ("swanctl", "--list-sas", "--raw")
CONNECTIONS = ("swanctl", "--list-conns", "--raw")
IKE_ALGORITHMS = {
    "encr-alg": "AES_GCM_16",
    "encr-keysize": "256",
    "prf-alg": "PRF_HMAC_SHA2_384",
    "dh-group": "ECP_384",
}
ESP_ALGORITHMS = {"encr-alg": "AES_GCM_16", "encr-keysize": "256", "dh-group": "ECP_384"}
"""DAT-NT-003 R7, R12 and R16: algorithms fixed beforehand, and a key exchange (ECP group 20) for each child."""

Message = dict[str, "Message | list[str] | str"]
_NAME = r"[^\s{}\[\]=]+"
# A value may hold spaces (`class=public key`): it ends before the next key, the next section or the closing brace.
_ITEM = re.compile(
    rf"\s*(?:(?P<end>\}})|(?P<section>{_NAME}) \{{|(?P<list>{_NAME})=\[(?P<members>[^\]]*)\]"
    rf"|(?P<key>{_NAME})=(?P<value>[^{{}}\[\]=]*?)(?=\s+{_NAME}(?:=|\s\{{)|\s*\}}))"
)


def read(text: str) -> dict[str, Message]:
    """Return the sections of all events in the output of a `--raw` command, by name; ValueError when it is none."""
    merged: dict[str, Message] = {}
    for line in text.splitlines():
        kind, brace, rest = line.partition(" event {")
        if brace and kind:
            event, _ = _section(rest, 0)
            merged |= {name: part for name, part in event.items() if isinstance(part, dict)}
    return merged


def _section(text: str, at: int) -> tuple[Message, int]:
    """Read from after the opening brace to after the closing one."""
    found: Message = {}
    while (item := _ITEM.match(text, at)) is not None:
        at = item.end()
        if item["end"]:
            return found, at
        if item["section"]:
            found[item["section"]], at = _section(text, at)
        elif item["list"]:
            found[item["list"]] = item["members"].split()
        else:
            found[item["key"]] = item["value"]
    msg = f"swanctl answered something else than sections, at {text[at : at + 40]!r}"
    raise ValueError(msg)


def child_of(associations: dict[str, Message], tunnel: Tunnel) -> tuple[Message, Message] | None:
    """Return the IKE_SA of a tunnel and its youngest installed CHILD_SA; None when it has not both."""
    ike = associations.get(tunnel.name)
    children = ike.get("child-sas") if ike else None
    if ike is None or not isinstance(children, dict):
        return None
    installed = [child for child in children.values() if isinstance(child, dict) and child.get("state") == "INSTALLED"]
    if not installed:
        return None
    return ike, min(installed, key=lambda child: int(str(child.get("install-time", "0"))))


def algorithm_differences(ike: Message, child: Message) -> list[str]:
    """Return what was negotiated otherwise than it has to be."""
    return [
        f"{layer} {key} is {negotiated.get(key, 'none')}; expected {value}"
        for layer, negotiated, wanted in (("IKE", ike, IKE_ALGORITHMS), ("ESP", child, ESP_ALGORITHMS))
        for key, value in wanted.items()
        if negotiated.get(key) != value
    ]


def selector_differences(firewall: EquipmentName, tunnel: Tunnel, child: Message) -> list[str]:
    """Return which traffic selectors are otherwise than declared, as this firewall has them."""
    here, there = tunnel.end_of(firewall)
    wanted = {"local-ts": here.selectors, "remote-ts": there.selectors}
    return _unlike(child, {key: {str(prefix) for prefix in prefixes} for key, prefixes in wanted.items()})


def _unlike(message: Message, wanted: dict[str, set[str]]) -> list[str]:
    found: list[str] = []
    for key, values in wanted.items():
        said = message.get(key, [])
        members = {said} if isinstance(said, str) else set(said)
        if members != values:
            found.append(f"{key} {', '.join(sorted(members)) or 'none'}; expected {', '.join(sorted(values))}")
    return found


def connection_differences(firewall: EquipmentName, tunnels: tuple[Tunnel, ...], text: str) -> list[str]:
    """Return which connections are loaded otherwise than declared (output of CONNECTIONS)."""
    loaded = read(text)
    wanted = {str(tunnel.name): tunnel for tunnel in tunnels}
    found = [f"connection {name} is not declared" for name in sorted(loaded.keys() - wanted.keys())]
    found += [f"connection {name} is not loaded" for name in sorted(wanted.keys() - loaded.keys())]
    for name in sorted(loaded.keys() & wanted.keys()):
        tunnel = wanted[name]
        here, there = tunnel.end_of(firewall)
        found += [f"{name}: {difference}" for difference in _connection(loaded[name], here, there)]
    return found


def _connection(message: Message, here: TunnelEnd, there: TunnelEnd) -> Iterator[str]:
    yield from _unlike(message, {"local_addrs": {str(here.address)}, "remote_addrs": {str(there.address)}})
    for side, end in (("local-1", here), ("remote-1", there)):
        part = message.get(side)
        yield from _unlike(part if isinstance(part, dict) else {}, {"id": {str(end.identity)}, "class": {"public key"}})
    children = message.get("children")
    for name, child in children.items() if isinstance(children, dict) else ():
        if isinstance(child, dict):
            prefixes = {"local-ts": here.selectors, "remote-ts": there.selectors}
            wanted = {key: {str(prefix) for prefix in value} for key, value in prefixes.items()}
            yield from (f"child {name}: {difference}" for difference in _unlike(child, wanted))
    if not isinstance(children, dict) or len(children) != 1:
        yield f"{len(children) if isinstance(children, dict) else 0} children; expected 1"
