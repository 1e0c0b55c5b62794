"""The edge section: the OpenFlow tables of the bridge, as `ovs-ofctl` writes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cloison.device.batch import shell, step
from cloison.device.section import joined, load_steps
from cloison.errors import DeviceError
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloison.device.batch import Step
    from cloison.device.section import Answers
    from cloison.transport.base import Runner

BRIDGE = "br0"
# Bundles, by which flows are replaced in one transaction, begin with OpenFlow 1.4.
_PROTOCOL = "OpenFlow14"
_ABSENT = "is not a bridge or a socket"

# What runs goes through the same parser as the candidate, so that both are in the same words.
_READ = f"""
set -e
ovs-ofctl -O {_PROTOCOL} --no-stats --no-names dump-flows "$1" >"$2"
ovs-ofctl -O {_PROTOCOL} parse-flows "$2" 2>/dev/null
ovs-ofctl -O {_PROTOCOL} dump-groups "$1" | sed -n 's/^ *group_id=/group_id=/p'
ovs-ofctl -O {_PROTOCOL} dump-meters "$1" | sed -n 's/^ *meter=/meter=/p'
"""
_MODIFICATION = re.compile(r"OFPT_FLOW_MOD \(OF1\.4\) \(xid=0x[0-9a-f]+\): ADD (?P<words>.*)actions=(?P<actions>.*)")
_TABLE = re.compile(r"table:(\d+)")
_EXTRA = re.compile(r"(cookie|idle|hard|importance|out_port|out_group):\S+")
_PRIORITY = re.compile(r"(?:^|,)priority=(\d+)")


class EdgeReading:
    """Reads the flows back with `ovs-ofctl dump-flows`; groups and meters show too, since nobody declares any."""

    name = SectionName.EDGE

    def read_steps(self) -> Sequence[Step]:
        """Return the command that dumps the flows."""
        return (shell("flows", _READ, BRIDGE, "@/flows"),)

    def running(self, answers: Answers) -> str:
        """Return one flow a line, by table and falling priority; an empty text where there is no bridge yet."""
        result = answers.results["flows"]
        if result.exit_status != 0 and _ABSENT.encode() in result.stderr:
            return ""
        return canonical_flows(answers.place, answers.text("flows", "the OpenFlow tables"))

    def trial_steps(self, candidate: str) -> Sequence[Step]:
        """Return the command that parses the candidate."""
        return (step("flows-try", "ovs-ofctl", "-O", _PROTOCOL, "parse-flows", "@/try", files={"try": candidate}),)

    def canonical(self, candidate: str, answers: Answers) -> str:
        """Return the candidate's flows as the parser prints them."""
        del candidate
        return canonical_flows(answers.place, answers.accepted("flows-try", self.name))


class EdgeLoading:
    """Replaces the flows in one bundle: a frame meets the old tables or the new ones."""

    name = SectionName.EDGE

    def load(self, runner: Runner, candidate: str) -> None:
        """Replace every flow of the bridge, and remove groups and meters."""
        script = f"""
        set -e
        ovs-ofctl -O {_PROTOCOL} --bundle replace-flows "$1" "$2"
        ovs-ofctl -O {_PROTOCOL} del-groups "$1"
        ovs-ofctl -O {_PROTOCOL} del-meters "$1"
        """
        load_steps(runner, self.name, [shell("flows-load", script, BRIDGE, "@/flows", files={"flows": candidate})])


def canonical_flows(place: str, printed: str) -> str:
    """Return what `ovs-ofctl parse-flows` printed as a flow file: one flow a line, by table and falling priority.

    Raises DeviceError for a line that it does not know.
    """
    flows: list[tuple[int, int, str]] = []
    for line in printed.splitlines():
        if not line or line.startswith(("usable protocols:", "chosen protocol:")):
            continue
        if line.startswith(("group_id=", "meter=")):
            flows.append((256, 0, line))
            continue
        found = _MODIFICATION.fullmatch(line)
        if found is None:
            raise DeviceError(place, f"a flow is printed in a form that is not known: {line[:200]}")
        table, extra, match = 0, [], []
        for word in found["words"].split():
            if is_table := _TABLE.fullmatch(word):
                table = int(is_table[1])
            elif _EXTRA.fullmatch(word):
                extra.append(word.replace(":", "=", 1))
            else:
                match.append(word)
        priority = _PRIORITY.search(",".join(match))
        words = ",".join([f"table={table}", *extra, *match])
        flows.append((table, -int(priority[1]) if priority else -32768, f"{words} actions={found['actions']}"))
    return joined([line for _, _, line in sorted(flows)])
