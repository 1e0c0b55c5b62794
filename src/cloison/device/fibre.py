"""The fibre section: optical ports, their state, speed and VLANs. Speed is emulated where the optical module is.

A veth has neither speed nor module: where a file with a module's image stands in for the module, a file beside it
stands in for the speed, and what reads them says so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cloison.device.batch import shell, step
from cloison.device.interfaces import flags_of, parsed
from cloison.device.rows import parse_dump
from cloison.device.section import joined, lines_of, load_steps
from cloison.errors import DeviceError, LoadError
from cloison.optics import IMAGE_LENGTH
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloison.device.batch import Step
    from cloison.device.section import Answers
    from cloison.transport.base import Runner

IMAGES = "/run/cloison/sfp"
"""`<port>.eeprom`: an SFF-8472 image of 512 bytes, A0h then A2h. `<port>.link`: `speed=1000 duplex=full`."""
OPTICAL = re.compile(r"sfp[0-9]+")
"""What an optical port is called."""
_UNSET = "speed=unset duplex=unset"
_LINE = re.compile(
    r"port (?P<port>sfp[0-9]+) admin=(?P<admin>up|down) (?P<link>speed=(?P<speed>[0-9]+) duplex=(?P<duplex>full|half)) "
    r"mtu=(?P<mtu>[0-9]+) vlans=(?P<vlans>[0-9]+(?:,[0-9]+)*)"
)
_READ_LINKS = (
    f'for file in {IMAGES}/*.link; do [ -f "$file" ] && echo "$(basename "$file" .link) $(cat "$file")"; done; :'
)
_READ_IMAGES = f"""
for file in {IMAGES}/*.eeprom; do
  [ -f "$file" ] || continue
  echo "$(basename "$file" .eeprom) $(head -c {IMAGE_LENGTH + 1} "$file" | od -An -v -tx1 | tr -d ' \\n')"
done; :
"""


class FibreReading:
    """Reads optical ports back: state from the kernel, VLANs from the switch database, speed from the module."""

    name = SectionName.FIBRE

    def read_steps(self) -> Sequence[Step]:
        """Return the commands that show links, rows and modules."""
        return (
            step("ip-address", "ip", "-j", "-d", "address", "show"),
            step("ovsdb", "ovsdb-client", "-f", "json", "dump"),
            shell("sfp-links", _READ_LINKS),
            shell("sfp-images", _READ_IMAGES),
        )

    def running(self, answers: Answers) -> str:
        """Return one optical port a line."""
        vlans = _trunks(answers)
        speeds = dict(
            line.split(" ", 1) for line in answers.text("sfp-links", "optical ports").splitlines() if " " in line
        )
        lines = []
        for link in parsed(answers, "ip-address", "links and addresses"):
            port = str(link["ifname"])
            if OPTICAL.fullmatch(port):
                admin = "up" if "UP" in flags_of(link) else "down"
                rest = f"mtu={link.get('mtu')} vlans={vlans.get(port, 'none')}"
                lines.append(f"port {port} admin={admin} {speeds.get(port, _UNSET)} {rest}")
        return joined(sorted(lines))

    def trial_steps(self, candidate: str) -> Sequence[Step]:
        """Return nothing: the form of the lines says all."""
        del candidate
        return ()

    def canonical(self, candidate: str, answers: Answers) -> str:
        """Return the candidate's lines, sorted."""
        lines = lines_of(candidate)
        for line in lines:
            if not _LINE.fullmatch(line):
                raise LoadError(answers.place, f"section {self.name} is refused: a line of no known form: {line[:200]}")
        return joined(sorted(lines))


class FibreLoading:
    """Sets optical ports one after the other; a port whose values stay does not flap."""

    name = SectionName.FIBRE

    def load(self, runner: Runner, candidate: str) -> None:
        """Set state, speed, size and VLANs of every optical port that is named, and shut every other one."""
        steps, named = [], []
        for number, line in enumerate(lines_of(candidate)):
            found = _LINE.fullmatch(line)
            if found is None:
                raise LoadError(runner.place, f"section {self.name} is refused: a line of no known form: {line[:200]}")
            named.append(found["port"])
            steps.append(
                shell(
                    f"port-{number}",
                    _SET,
                    *(found["port"], found["admin"], found["speed"], found["duplex"], found["mtu"], found["vlans"]),
                    seconds=15,
                )
            )
        load_steps(runner, self.name, [*steps, shell("others", _SHUT_OTHERS, *named)])


_SHUT_OTHERS = """
for path in /sys/class/net/sfp*; do
  link=${path##*/}
  [ -e "$path" ] || continue
  for named in "$@"; do [ "$named" = "$link" ] && continue 2; done
  ip link set dev "$link" down
done
"""
_SET = f"""
set -e
ovs-vsctl --timeout=10 set port "$1" trunks="$6"
ip link set dev "$1" mtu "$5" "$2"
if [ -f {IMAGES}/"$1".eeprom ]; then
  printf 'speed=%s duplex=%s\\n' "$3" "$4" >{IMAGES}/"$1".link.new
  mv -f {IMAGES}/"$1".link.new {IMAGES}/"$1".link
else
  ethtool -s "$1" speed "$3" duplex "$4" autoneg off
fi
"""


def _trunks(answers: Answers) -> dict[str, str]:
    """Return the VLANs that each port lets through, joined by commas; a port without a list lets all through."""
    rows = parse_dump(answers.place, answers.text("ovsdb", "the switch database"))
    found = {}
    for row in rows:
        if row.table == "Port":
            found[str(row.columns.get("name"))] = ",".join(map(str, row.numbers("trunks"))) or "all"
    return found


def images_of(answers: Answers) -> dict[str, bytes]:
    """Return the image of each optical module, by port; raise DeviceError when one has another length."""
    images = {}
    for line in answers.text("sfp-images", "optical modules").splitlines():
        port, _, digits = line.partition(" ")
        image = bytes.fromhex(digits)
        if len(image) != IMAGE_LENGTH:
            raise DeviceError(answers.place, f"the image of {port} is not {IMAGE_LENGTH} bytes long")
        images[port] = image
    return images
