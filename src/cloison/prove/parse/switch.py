"""The section `switch` of a device, in either form, as a model of what the switch does with frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloison.prove.parse.inert import COPYING, INERT, INERT_TABLES, INTERFACE_TYPES
from cloison.prove.parse.rows import Row, Rows, items, read_rows
from cloison.prove.statement import Notice, Parsed, Unmodelled
from cloison.prove.switch import LOCAL, Mirror, PriorityTags, Switch, SwitchBridge, SwitchPort, VlanMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.model import EquipmentName

_LAST_VLAN: Final = 4095
_LAST_NUMBER: Final = 65279
"""The greatest number a port can ask for (ovs-vswitchd.conf.db(5), ofport_request)."""
_PRIORITY_TAGS: Final = {
    "": PriorityTags.NEVER,
    "never": PriorityTags.NEVER,
    "false": PriorityTags.NEVER,
    "true": PriorityTags.MAYBE,
    "if-nonzero": PriorityTags.MAYBE,
    "always": PriorityTags.MAYBE,
}
_TRUTH: Final = {"": False, "false": False, "true": True}
_MODELLED: Final = {
    "bridge": frozenset({"fail_mode", "mirrors", "controller", "other_config:forward-bpdu", "name"}),
    "port": frozenset(
        {"vlan_mode", "tag", "trunks", "cvlans", "protected", "other_config:priority-tags", "name", "interfaces"}
    ),
    "interface": frozenset({"type", "ofport_request", "name"}),
    "open_vswitch": frozenset({"other_config:vlan-limit", "manager_options"}),
}
_KNOWN_TABLES: Final = _MODELLED.keys() | INERT_TABLES.keys() | COPYING.keys()
_TUNNELS: Final = frozenset(
    {"vxlan", "geneve", "gre", "stt", "lisp", "erspan", "ip6erspan", "ip6gre", "gtpu", "bareudp"}
)


def parse_switch(device: EquipmentName, text: str) -> Parsed[Switch]:
    """Return the model of the section `switch`, in the rendered form or as it is read back.

    A column that is not known, a value that is none and a line that is neither row nor sub-command are Unmodelled, and
    the frames they may concern are not known. Nothing is raised, whatever the text.
    """
    rows = read_rows(device, text)
    whole = (*rows.strange, *_of_whole_switch(rows))
    bridges = tuple(_bridge(rows, row, whole) for row in rows.of("bridge"))
    homeless = () if bridges else whole
    switch = Switch(bridges, homeless, bool(homeless))
    found = dict.fromkeys(homeless)
    for bridge in bridges:
        found.update(dict.fromkeys(bridge.opaque))
        for port in bridge.ports:
            found.update(dict.fromkeys(port.opaque))
    return Parsed(switch, rows.read, tuple(found), tuple(_notices(rows)))


def _of_whole_switch(rows: Rows) -> Iterator[Unmodelled]:
    """Yield what is not modelled and may concern every bridge."""
    bridges = {row.name for row in rows.of("bridge")}
    ports = {row.name for row in rows.of("port")}
    for row in rows.rows.values():
        owner = row.name.rpartition("/")[0]
        if row.table == "open_vswitch":
            yield from _unknown_columns(row)
            if row.text("other_config:vlan-limit") not in {"", "1"}:
                yield _unmodelled(row, "other_config:vlan-limit")
        elif (row.table == "port" and owner not in bridges) or (row.table == "interface" and owner not in ports):
            yield Unmodelled(row.statement, f"{row.table} without an owner")
        elif row.table == "controller" or row.table not in _KNOWN_TABLES:
            yield Unmodelled(row.statement, row.table)


def _bridge(rows: Rows, row: Row, whole: tuple[Unmodelled, ...]) -> SwitchBridge:
    wrong = [*whole, *_unknown_columns(row)]
    mode = row.text("fail_mode")
    if mode not in {"", "secure", "standalone"}:
        wrong.append(_unmodelled(row, "fail_mode"))
    if row.text("other_config:disable-in-band") != "true":
        wrong += [Unmodelled(manager.statement, "in-band flows") for manager in rows.of("manager")]
    forward = _truth(row, "other_config:forward-bpdu", wrong)
    prefix = f"{row.name}/"
    ports = tuple(_port(rows, port, row.name) for port in rows.of("port") if port.name.startswith(prefix))
    mirrors = tuple(
        mirror
        for each in rows.of("mirror")
        if each.name.startswith(prefix) and (mirror := _mirror(each, wrong)) is not None
    )
    ordered = tuple(sorted(ports, key=lambda port: port.name))
    return SwitchBridge(row.statement, row.name, mode == "secure", forward, ordered, mirrors, tuple(wrong), bool(wrong))


def _port(rows: Rows, row: Row, bridge: str) -> SwitchPort:
    wrong = list(_unknown_columns(row))
    name = row.name.rpartition("/")[2]
    tag = _numbers(row, "tag", _LAST_VLAN, wrong)
    mode = row.text("vlan_mode") or ("access" if tag else "trunk")
    if mode not in set(VlanMode):
        wrong.append(_unmodelled(row, "vlan_mode"))
        mode = VlanMode.TRUNK
    priority = row.text("other_config:priority-tags")
    if priority not in _PRIORITY_TAGS:
        wrong.append(_unmodelled(row, "other_config:priority-tags"))
    return SwitchPort(
        statement=row.statement,
        name=name,
        mode=VlanMode(mode),
        tag=min(tag, default=0),
        trunks=_numbers(row, "trunks", _LAST_VLAN, wrong),
        customer_vlans=_numbers(row, "cvlans", _LAST_VLAN, wrong),
        protected=_truth(row, "protected", wrong),
        priority_tags=_PRIORITY_TAGS.get(priority, PriorityTags.MAYBE),
        number=LOCAL if name == bridge else _interfaces(rows, row, wrong),
        opaque=tuple(wrong),
        is_opaque=bool(wrong),
    )


def _interfaces(rows: Rows, port: Row, wrong: list[Unmodelled]) -> int | None:
    """Return the OpenFlow number that the port's one interface asks for."""
    own = rows.rows.get(("interface", f"{port.name}/{port.name.rpartition('/')[2]}"))
    if own is None:
        prefix = f"{port.name}/"
        bond = [row for row in rows.of("interface") if row.name.startswith(prefix)]
        wrong.append(Unmodelled(port.statement, "bond" if bond else "port without an interface"))
        return None
    wrong += _unknown_columns(own)
    if own.text("type") not in INTERFACE_TYPES:
        wrong.append(_unmodelled(own, "type"))
    number = _numbers(own, "ofport_request", _LAST_NUMBER, wrong)
    return min(number, default=None)


def _mirror(row: Row, wrong: list[Unmodelled]) -> Mirror | None:
    """Return what a mirror copies; None, and the reason, when it cannot be told or goes to a VLAN."""
    before = len(wrong)
    every = _truth(row, "select_all", wrong)
    vlans = _numbers(row, "select_vlan", _LAST_VLAN, wrong)
    names = {
        column: frozenset(item.rpartition("/")[2] for item in items(row.text(column)) if item)
        for column in ("select_src_port", "select_dst_port", "output_port")
    }
    known = {"name", "select_all", "select_vlan", *names} | INERT["mirror"].keys()
    wrong += [_unmodelled(row, column) for column in row.columns if column.partition(":")[0] not in known]
    if len(wrong) > before:
        return None
    output = min(names["output_port"], default="")
    return Mirror(row.statement, names["select_src_port"], names["select_dst_port"], every, vlans, output)


def _unknown_columns(row: Row) -> Iterator[Unmodelled]:
    modelled, inert = _MODELLED[row.table], INERT[row.table]
    for column in row.columns:
        if column not in modelled and column not in inert and column.partition(":")[0] not in inert:
            yield _unmodelled(row, column)


def _unmodelled(row: Row, column: str) -> Unmodelled:
    value, statement = row.columns[column]
    return Unmodelled(statement, f"{column}={value}")


def _truth(row: Row, column: str, wrong: list[Unmodelled]) -> bool:
    value = row.text(column)
    if value not in _TRUTH:
        wrong.append(_unmodelled(row, column))
    return _TRUTH.get(value, False)


def _numbers(row: Row, column: str, last: int, wrong: list[Unmodelled]) -> frozenset[int]:
    """Return the numbers of a column, none where it is not set."""
    found = set()
    for item in items(row.text(column)):
        if item.isascii() and item.isdigit() and len(item) < len(str(last)) + 1 and int(item) <= last:
            found.add(int(item))
        elif item:
            wrong.append(_unmodelled(row, column))
            return frozenset()
    return frozenset(found)


def _notices(rows: Rows) -> Iterator[Notice]:
    """Yield what is wrong in itself, whatever it does to frames."""
    bridges = list(rows.of("bridge"))
    for row in bridges[1:]:
        yield Notice(row.statement, "a second bridge, whose flows are not read back")
    for row in rows.rows.values():
        if row.table in COPYING:
            yield Notice(row.statement, COPYING[row.table])
        elif row.table == "interface" and (kind := row.text("type")):
            statement = row.columns["type"][1]
            if kind == "patch":
                yield Notice(statement, "a patch port: frames go to another bridge and come from it")
            elif kind in _TUNNELS:
                yield Notice(statement, f"a tunnel port ({kind}): frames go to another place and come from it")
