"""The rows of a device's Open vSwitch: the declared ports in their VLANs, and nothing that copies or diverts frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloison.intent.models import Kind
from cloison.intent.network import PortMode
from cloison.model import read_json

if TYPE_CHECKING:
    from cloison.intent.network import Equipment, Intent, Port

_TABLES = ("Open_vSwitch", "Bridge", "Port", "Interface", "Mirror")
COMMAND = ("sh", "-c", "; ".join(f"ovsdb-client -f json dump Open_vSwitch {table}" for table in _TABLES))
BRIDGE, MANAGEMENT = "br0", "management"
_DIVERTING = ("mirrors", "netflow", "sflow", "ipfix", "controller", "flood_vlans")
"""Columns of a bridge that make it copy frames elsewhere, or obey somebody else."""
Row = dict[str, Any]
Want = tuple[str, int | None, frozenset[int], bool | None, str]
"""vlan_mode, tag, trunks, protected (None: either), type of the interface."""


def read(text: str) -> dict[str, list[Row]]:
    """Return the rows of each table in the output of COMMAND; ValueError or KeyError when it is something else."""
    tables: dict[str, list[Row]] = {}
    for name, line in zip(_TABLES, text.splitlines(), strict=True):
        table: Any = read_json(line)
        tables[name] = [
            {column: _plain(value) for column, value in zip(table["headings"], row, strict=True)}
            for row in table["data"]
        ]
    return tables


def _plain(value: Any) -> Any:  # noqa: ANN401  whatever OVSDB holds (RFC 7047 section 5.1)
    """Return an OVSDB value as Python's own: a set as a list, a set of one as its member, a map as a dictionary."""
    match value:
        case ["set", list(members)]:
            return [_plain(member) for member in members]
        case ["map", list(entries)]:
            return {str(key): _plain(entry) for key, entry in entries}
        case ["uuid", str(identifier)]:
            return identifier
        case _:
            return value


def declared(intent: Intent, device: Equipment) -> dict[str, Want]:
    """Return what every port of the bridge has to be."""
    parking = intent.parking_vlan
    segments = intent.site_by_name[device.name.site].segments
    wanted: dict[str, Want] = {BRIDGE: ("access", parking, frozenset(), None, "internal")}
    if device.kind is Kind.FIREWALL:
        for segment in segments:
            wanted[f"vlan{segment.vlan}"] = ("access", segment.vlan, frozenset(), None, "internal")
    else:
        vlan = next(segment.vlan for segment in segments if segment.name == device.segment)
        wanted[MANAGEMENT] = ("access", vlan, frozenset(), True, "internal")
    for port in device.ports:
        if port.mode is not PortMode.ROUTED:
            wanted[str(port.name)] = _wanted_of(port, parking)
    return wanted


def _wanted_of(port: Port, parking: int) -> Want:
    if port.mode is PortMode.TRUNK:
        return ("native-tagged", parking, frozenset(port.vlans), None, "")
    return ("access", port.vlans[0], frozenset(), True, "")


def differences(intent: Intent, device: Equipment, text: str) -> list[str]:
    """Return everything in the rows that is not as declared."""
    tables = read(text)
    found = _bridges(device, tables)
    found += [f"a mirror, {row['name'] or 'without a name'}, copies frames" for row in tables["Mirror"]]
    found += [
        "a manager may change the rows from elsewhere" for row in tables["Open_vSwitch"] if row["manager_options"]
    ]
    interfaces = {row["_uuid"]: row for row in tables["Interface"]}
    ports = {row["name"]: row for row in tables["Port"]}
    wanted = declared(intent, device)
    found += [f"port {name} is not declared" for name in sorted(ports.keys() - wanted.keys())]
    found += [f"port {name} is declared and missing" for name in sorted(wanted.keys() - ports.keys())]
    for name in sorted(ports.keys() & wanted.keys()):
        found += _port(name, ports[name], interfaces, wanted[name])
    return found


def _bridges(device: Equipment, tables: dict[str, list[Row]]) -> list[str]:
    names = sorted(row["name"] for row in tables["Bridge"])
    found = [] if names == [BRIDGE] else [f"bridges are {names}; expected {BRIDGE} alone"]
    for row in sorted(tables["Bridge"], key=lambda row: str(row["name"])):
        found += [f"bridge {row['name']} has {column} {row[column]}" for column in _DIVERTING if row[column]]
        if device.kind is not Kind.FIREWALL and row["fail_mode"] != "secure":
            found.append(f"bridge {row['name']} forwards without flows (fail_mode is not secure)")
    return found


def _port(name: str, row: Row, interfaces: dict[str, Row], want: Want) -> list[str]:
    mode, tag, trunks, protected, kind = want
    owned = [row["interfaces"]] if isinstance(row["interfaces"], str) else row["interfaces"]
    types = sorted(interfaces[identifier]["type"] for identifier in owned)
    carried = frozenset(row["trunks"] if isinstance(row["trunks"], list) else [row["trunks"]])
    pairs = [
        ("mode", row["vlan_mode"] or "unset", mode),
        ("VLAN", row["tag"] if row["tag"] != [] else None, tag),
        ("trunk VLANs", sorted(carried), sorted(trunks)),
        ("interfaces", types, [kind]),
    ]
    if protected is not None:
        pairs.append(("protected", row["protected"], protected))
    return [f"port {name}: {what} {is_so}; expected {should}" for what, is_so, should in pairs if is_so != should]
