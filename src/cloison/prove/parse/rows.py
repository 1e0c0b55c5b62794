"""The rows of an Open vSwitch database, from either form of the section `switch`.

The rendered form has one ovs-vsctl(8) sub-command a line; the form that is read back has one row a line, named below
its owners' names: `port br0/p1 tag=110 vlan_mode=access`. Both become the same rows. A map is told key by key:
`other_config:forward-bpdu`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cloison.model import Untrusted
from cloison.prove.statement import Place, Statement, Unmodelled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloison.model import EquipmentName

_MAPS: Final = frozenset({"other_config", "external_ids", "options", "bfd", "bfd_status", "lldp", "status", "queues"})
_TABLES: Final = frozenset(
    {"open_vswitch", "bridge", "port", "interface", "mirror", "controller", "manager", "qos", "queue", "ssl"}
    | {"netflow", "sflow", "ipfix", "autoattach", "flow_table", "flow_sample_collector_set"}
    | {"datapath", "ct_zone", "ct_timeout_policy"}
)
_ITEM: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,"])+')
"""One member of a list, a quoted comma being none."""


@dataclass(slots=True)
class Row:
    """One row: its own statement, and every column that is set, each with the statement that sets it."""

    table: str
    name: str
    """`bridge`, `bridge/port`, `bridge/port/interface`; the target of a manager."""
    statement: Statement
    columns: dict[str, tuple[str, Statement]] = field(default_factory=dict)

    def text(self, column: str) -> str:
        """Return what a column holds, an empty text where it is not set."""
        return self.columns[column][0] if column in self.columns else ""


@dataclass(slots=True)
class Rows:
    """Every row of a section by table and name, in order."""

    rows: dict[tuple[str, str], Row]
    read: int
    strange: list[Unmodelled]
    """Lines that are neither a row nor a sub-command that is known."""
    bare: dict[tuple[str, str], Row] = field(default_factory=dict)
    """By table and the last part of the name, as `set TABLE NAME` means it: a port's name is its own in a database."""

    def add(self, table: str, name: str, statement: Statement) -> Row:
        """Add a row without columns; one that has no name of its own gets a number."""
        key, at = (table, name), 1
        while key in self.rows:
            at += 1
            key = (table, f"{name}#{at}")
        row = self.rows[key] = Row(table, name, statement)
        self.bare.setdefault((table, name.rpartition("/")[2]), row)
        return row

    def of(self, table: str) -> Iterator[Row]:
        """Yield the rows of a table."""
        return (row for row in self.rows.values() if row.table == table)


def read_rows(device: EquipmentName, text: str) -> Rows:
    """Return the rows of a section in either form. What cannot be read is in `strange`; nothing is raised."""
    rows = Rows({}, 0, [])
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        rows.read += 1
        statement = Statement(Place(device, "switch", number), Untrusted(line))
        words = line.split()
        known = _row(rows, statement, words) if words[0] in _TABLES else _command(rows, statement, line)
        if not known:
            rows.strange.append(Unmodelled(statement, words[0]))
    return rows


def items(text: str) -> list[str]:
    """Return the members of a list or a map, without the brackets that ovs-vsctl(8) allows around them."""
    inner = text[1:-1] if text[:1] + text[-1:] in {"[]", "{}"} else text
    return inner.split(",") if '"' not in inner else _ITEM.findall(inner)


def _row(rows: Rows, statement: Statement, words: list[str]) -> bool:
    """Take a line that is a row."""
    if len(words) == 1:
        return False
    table, name, *settings = words
    row = rows.add(table, name, statement)
    return all(_set(row, setting, statement, ":") for setting in settings)


def _command(rows: Rows, statement: Statement, line: str) -> bool:
    """Take a line that is a sub-command."""
    try:
        words = shlex.split(line) if "'" in line or '"' in line or "\\" in line else line.split()
    except ValueError:
        return False
    while words and words[0] in {"--if-exists", "--may-exist"}:
        del words[0]
    match words:
        case ["del-br", _]:
            return True
        case ["add-br", bridge] if "/" not in bridge:
            rows.add("bridge", bridge, statement)
            _add_port(rows, statement, bridge, bridge)
            rows.bare["interface", bridge].columns["type"] = "internal", statement
            return True
        case ["add-port", bridge, port, *settings] if ("bridge", bridge) in rows.rows and "/" not in port:
            row = _add_port(rows, statement, bridge, port)
            return all(_set(row, setting, statement, "=") for setting in settings)
        case ["set", ("bridge" | "port" | "interface") as table, name, *settings]:
            found = rows.bare.get((table, name))
            return found is not None and all(_set(found, setting, statement, "=") for setting in settings)
    return False


def _add_port(rows: Rows, statement: Statement, bridge: str, port: str) -> Row:
    rows.add("interface", f"{bridge}/{port}/{port}", statement)
    return rows.add("port", f"{bridge}/{port}", statement)


def _set(row: Row, setting: str, statement: Statement, separator: str) -> bool:
    """Take `column=value`, `column:key=value` or a whole map."""
    column, found, value = setting.partition("=")
    if not found or not column:
        return False
    value = _plain(value)
    if column in _MAPS:
        for item in items(value):
            key, found, member = item.partition(separator)
            if not found:
                return False
            row.columns[f"{column}:{_plain(key)}"] = _plain(member), statement
    else:
        row.columns[column] = value, statement
    return True


def _plain(word: str) -> str:
    """Return a word without the quotes around it; one that only looks quoted is left as it is."""
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] == '"' and '"' not in word[1:-1] else word
