"""The switch section: every row of the Open vSwitch database, one line a row, as a dump of the database shows them."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloison.device.batch import shell, step
from cloison.device.concealed import CONCEALED, is_secret
from cloison.device.section import joined, lines_of, load_steps
from cloison.errors import DeviceError
from cloison.model import read_json
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cloison.device.batch import Step
    from cloison.device.section import Answers
    from cloison.model import Json
    from cloison.transport.base import Runner

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"

NOT_CONFIGURATION: Mapping[str, frozenset[str]] = {
    table: frozenset(columns.split())
    for table, columns in {
        "Open_vSwitch": """next_cfg cur_cfg statistics ovs_version db_version system_type system_version datapath_types
            iface_types dpdk_initialized dpdk_version bridges""",
        "Bridge": "datapath_id datapath_version status rstp_status ports",
        "Port": "interfaces status rstp_status rstp_statistics statistics bond_active_slave",
        "Interface": """mac_in_use ifindex ofport bfd_status cfm_fault cfm_fault_status cfm_flap_count cfm_health
            cfm_remote_mpids cfm_remote_opstate lacp_current statistics status admin_state link_state link_resets
            link_speed duplex mtu error""",
        "Mirror": "statistics",
        "Controller": "is_connected role status",
        "Manager": "is_connected status",
    }.items()
}
"""Columns in which the daemon reports and which nobody sets (ovs-vswitchd.conf.db(5)).

`bridges`, `ports` and `interfaces` are told by the rows themselves, each named below its owner.
"""
_FALSE_UNLESS_SET = """stp_enable rstp_enable mcast_snooping_enable bond_fake_iface fake_bridge protected select_all
    bond_updelay bond_downdelay ingress_policing_rate ingress_policing_burst ingress_policing_kpkts_rate
    ingress_policing_kpkts_burst add_id_to_interface bootstrap_ca_cert"""
_UNSET_WHEN_FALSE = frozenset(_FALSE_UNLESS_SET.split())
"""Columns that are never empty and say nothing when they are false or 0. In any other, 0 is a value: `tag=0`."""
_HOST_IDENTITY = frozenset({"hostname", "rundir", "system-id"})
"""Keys of Open_vSwitch:external_ids that the start-up script of the distribution writes."""

_TRY = f"""
set -e
ovsdb-tool create "$1" {SCHEMA}
exec ovsdb-server "$1" --remote="punix:$2" --unixctl="$3" --no-chdir --log-file=/dev/null --run="sh $4"
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the database."""

    table: str
    identity: str
    columns: Mapping[str, object]

    def reference(self, column: str) -> list[str]:
        """Return the rows that a column refers to, by identity."""
        return [str(value) for kind, value in _atoms(self.columns.get(column)) if kind == "uuid"]

    def numbers(self, column: str) -> list[int]:
        """Return the numbers in a column, one or several."""
        return [value for _, value in _atoms(self.columns.get(column)) if isinstance(value, int)]


def _atoms(value: object) -> Iterator[tuple[str, object]]:
    """Yield what a column holds, each with `uuid` or an empty text before it (RFC 7047 section 5.1)."""
    match value:
        case ["uuid" | "named-uuid", identity]:
            yield "uuid", identity
        case ["set", [*members]]:
            for member in members:
                yield from _atoms(member)
        case ["map", [*pairs]]:
            for pair in pairs:
                match pair:
                    case [key, member]:
                        yield "", (key, member)
        case None:
            return
        case _:
            yield "", value


def parse_dump(place: str, dump: str) -> list[Row]:
    """Return every row of `ovsdb-client dump -f json`: one JSON object a table and a line.

    Raises DeviceError when it is something else.
    """
    rows: list[Row] = []
    try:
        for line in filter(None, dump.splitlines()):
            match read_json(line):
                case {"caption": str(caption), "headings": [*headings], "data": [*data]}:
                    rows += [_row(caption.removesuffix(" table"), headings, values) for values in data]
                case _:
                    msg = "a line is no table"
                    raise ValueError(msg)  # noqa: TRY301  as for every other line that is none
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DeviceError(place, f"the dump of the switch database cannot be read: {error}") from error
    return rows


def _row(table: str, headings: Sequence[Json], values: Json) -> Row:
    if not isinstance(values, list) or len(set(map(str, headings))) != len(headings):
        msg = f"a row of {table} is none, or has a column twice"
        raise ValueError(msg)
    columns: dict[str, object] = dict(zip(map(str, headings), values, strict=True))
    ((_, identity),) = _atoms(columns.pop("_uuid"))
    return Row(table, str(identity), columns)


def canonical_rows(rows: Sequence[Row]) -> str:
    """Return one line a row, sorted: its table, its name below its owners' names, and every column that is set.

    What a row refers to is named by the name of the row. The root row shows only when something is set on it.
    """
    names = _names(rows)
    lines = []
    for row in rows:
        said = [
            f"{column}={shown}"
            for column, value in sorted(row.columns.items())
            if column not in NOT_CONFIGURATION.get(row.table, frozenset()) | {"name"}
            and (shown := _shown(row, column, value, names))
        ]
        if said or row.table != "Open_vSwitch":
            lines.append(" ".join([row.table.lower(), names[row.identity], *said]))
    return joined(sorted(lines))


def _names(rows: Sequence[Row]) -> dict[str, str]:
    """Name every row: `bridge/port/interface`, a row without a name by its place among those its owner refers to."""
    by_identity = {row.identity: row for row in rows}
    owners: dict[str, Row] = {}
    for table in ("Open_vSwitch", "Bridge", "Port", "QoS"):
        for row in (row for row in rows if row.table == table):
            for column in row.columns:
                for identity in row.reference(column):
                    owners.setdefault(identity, row)

    def name(row: Row, depth: int = 0) -> str:
        own = str(row.columns.get("name") or row.columns.get("target") or "-")
        owner = owners.get(row.identity)
        if owner is None or owner.table == "Open_vSwitch" or depth > 3:  # noqa: PLR2004  root, bridge, port, interface
            return "." if row.table == "Open_vSwitch" else own
        return f"{name(owner, depth + 1)}/{own}"

    return {identity: name(row) for identity, row in by_identity.items()}


def _shown(row: Row, column: str, value: object, names: Mapping[str, str]) -> str:
    """Return a column's value in one word; an empty text for a value that is the schema's default."""
    words = []
    for kind, atom in _atoms(value):
        if kind == "uuid":
            words.append(names.get(str(atom), "?"))
        elif isinstance(atom, tuple):
            key, member = atom
            if row.table == "Open_vSwitch" and column == "external_ids" and key in _HOST_IDENTITY:
                continue
            if is_secret(str(key)):
                words.append(f"{_word(key)}:{CONCEALED}")
                continue
            words.append(
                f"{_word(key)}:{names.get(str(member[1]), '?') if isinstance(member, list) else _word(member)}"
            )
        elif atom != "" and (atom or column not in _UNSET_WHEN_FALSE):
            words.append(_word(atom))
    return ",".join(words if all(isinstance(atom, int) for _, atom in _atoms(value)) else sorted(words))


def _word(atom: object) -> str:
    """Return an atom as one word without blanks: plain where it is one, as a JSON string otherwise."""
    text = str(atom).lower() if isinstance(atom, bool) else str(atom)
    plain = text and all(char.isascii() and (char.isalnum() or char in "._:/-<>@+%") for char in text)
    return text if plain else json.dumps(text).replace(" ", "\\u0020")


class SwitchReading:
    """Reads the rows back with `ovsdb-client dump`, so that whatever anybody added to the database shows."""

    name = SectionName.SWITCH

    def read_steps(self) -> Sequence[Step]:
        """Return the command that dumps the database."""
        return (step("ovsdb", "ovsdb-client", "-f", "json", "dump"),)

    def running(self, answers: Answers) -> str:
        """Return one line a row."""
        return canonical_rows(parse_dump(answers.place, answers.text("ovsdb", "the switch database")))

    def trial_steps(self, candidate: str) -> Sequence[Step]:
        """Return the command that makes the transaction in an empty database of its own and dumps that."""
        words = shlex.join(transaction(candidate))
        inner = f'set -e\ndb="unix:${{0%/*}}/db.sock"\novs-vsctl --db="$db" --no-wait -- init -- {words}\n'
        inner += 'exec ovsdb-client -f json dump "$db"\n'
        return (
            shell(
                "ovsdb-try",
                _TRY,
                *("@/conf.db", "@/db.sock", "@/db.ctl", "@/inner"),
                files={"inner": inner},
            ),
        )

    def canonical(self, candidate: str, answers: Answers) -> str:
        """Return the rows that the transaction makes of an empty database."""
        del candidate
        return canonical_rows(parse_dump(answers.place, answers.accepted("ovsdb-try", self.name)))


class SwitchLoading:
    """Deletes and rebuilds in one transaction: no frame is lost on what does not change, while the daemon is up."""

    name = SectionName.SWITCH

    def load(self, runner: Runner, candidate: str) -> None:
        """Make the candidate's rows the only ones: other bridges, mirrors, controllers and managers go."""
        script = """
        set -e
        others=$(ovs-vsctl list-br)
        for bridge in $others; do set -- --if-exists del-br "$bridge" -- "$@"; done
        exec ovs-vsctl --timeout=10 -- del-manager -- del-ssl -- clear open_vswitch . other_config -- "$@"
        """
        load_steps(runner, self.name, [shell("ovs-load", script, *transaction(candidate), seconds=15)])


def transaction(candidate: str) -> list[str]:
    """Return the arguments of one ovs-vsctl call from a section with a sub-command a line."""
    words: list[str] = []
    for line in lines_of(candidate):
        words += (["--"] if words else []) + shlex.split(line)
    return words


_MAPS = frozenset({"other_config", "external_ids", "options", "bfd", "lldp"})
_OWN_TABLES = ("bridge", "port", "interface")


_REFERENCES = frozenset("mirrors controller netflow sflow ipfix flow_tables auto_attach qos".split())  # noqa: SIM905
"""Columns of own rows that hold rows of tables that no section declares."""


def own_rows(canonical: str) -> str:
    """Return the rows that a section could hold, without what they hold of others: a mirror, a controller."""
    rows = [line.split(" ") for line in lines_of(canonical)]
    own = [[word for word in row if word.partition("=")[0] not in _REFERENCES] for row in rows if row[0] in _OWN_TABLES]
    return joined([" ".join(row) for row in own])


def rebuilding(canonical: str) -> str:
    """Return the section that makes these rows, one ovs-vsctl sub-command a line, from their canonical text.

    Raises ValueError for a row of a table that no section declares (a mirror, a controller, a manager).
    """
    rows = [line.split(" ") for line in lines_of(canonical)]
    foreign = [row[0] for row in rows if row[0] not in _OWN_TABLES]
    if foreign:
        msg = f"a row of table {foreign[0]} cannot be made again"
        raise ValueError(msg)
    lines = ["--if-exists del-br br0"]
    for table in _OWN_TABLES:
        for _, name, *settings in (row for row in rows if row[0] == table):
            bridge, *below = name.split("/")
            if table == "bridge":
                lines.append(f"add-br {bridge}")
            elif table == "port" and below != [bridge]:
                lines.append(f"add-port {bridge} {below[0]}")
            if words := [_setting(setting) for setting in settings]:
                lines.append(shlex.join(["set", table, name.split("/")[-1], *words]))
    return joined(lines)


def _setting(shown: str) -> str:
    column, _, value = shown.partition("=")
    if column not in _MAPS:
        return shown
    return f"{column}={{{','.join(pair.replace(':', '=', 1) for pair in value.split(','))}}}"
