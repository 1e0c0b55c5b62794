"""What a device says of itself beside its configuration: names, versions, interfaces, optics."""

from __future__ import annotations

import re
from collections import defaultdict
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import TYPE_CHECKING

from cloison import optics
from cloison.device.batch import shell, step
from cloison.device.contract import Facts, InterfaceState
from cloison.device.fibre import IMAGES, images_of
from cloison.device.interfaces import flags_of, parsed
from cloison.device.rows import parse_dump
from cloison.device.tunnels import NOT_READ_BACK
from cloison.errors import DeviceError
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cloison.device.batch import Step
    from cloison.device.interfaces import Json
    from cloison.device.section import Answers

_SYSTEM = """
hostname
cut -d' ' -f1 /proc/uptime
for release in /etc/os-release /usr/lib/os-release; do
  [ -r "$release" ] && { . "$release"; echo "${PRETTY_NAME:-}"; break; }
done
uname -sr
ovs-vsctl --version | head -n 1
nft --version
:
"""
_UPTIME = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_SPEEDS = "grep -s . /sys/class/net/*/speed /dev/null || :"


def fact_steps() -> Sequence[Step]:
    """Return the commands that show what facts are made of; some are those of sections, and are run once."""
    return (
        shell("system", _SYSTEM),
        shell("speeds", _SPEEDS),
        step("ip-address", "ip", "-j", "-d", "address", "show"),
        step("ovsdb", "ovsdb-client", "-f", "json", "dump"),
    )


def facts_of(answers: Answers, sections: Sequence[SectionName]) -> Facts:
    """Return the facts; raise DeviceError when an answer cannot be used."""
    lines = [*answers.text("system", "names and versions").splitlines(), "", ""]
    if not _UPTIME.fullmatch(lines[1]):
        raise DeviceError(answers.place, "the time since the start cannot be read")
    readings = _optics(answers) if SectionName.FIBRE in sections else {}
    return Facts(
        hostname=lines[0].strip(),
        system="; ".join(line.strip() for line in lines[2:] if line.strip()),
        uptime_seconds=float(lines[1]),
        interfaces=_interfaces(answers),
        vlan_ports=_vlan_ports(answers),
        optics=readings,
        emulated=tuple(
            f"{port}: speed and optics are emulated, from {IMAGES}/{port}.eeprom; they are no evidence about hardware"
            for port in sorted(readings)
        ),
        not_read_back=(NOT_READ_BACK,) if SectionName.TUNNELS in sections else (),
    )


def _optics(answers: Answers) -> dict[str, optics.Reading]:
    readings = {}
    for port, image in images_of(answers).items():
        try:
            readings[port] = optics.decode(image)
        except ValueError as error:
            raise DeviceError(answers.place, f"the image of {port} cannot be read: {error}") from error
    return readings


def _interfaces(answers: Answers) -> tuple[InterfaceState, ...]:
    said = [line.partition(":") for line in answers.text("speeds", "speeds").splitlines()]
    speeds = {path.removeprefix("/sys/class/net/").removesuffix("/speed"): speed for path, _, speed in said}
    return tuple(_interface(link, speeds) for link in parsed(answers, "ip-address", "links and addresses"))


def _interface(link: Json, speeds: Mapping[str, str]) -> InterfaceState:
    name, flags, found = str(link["ifname"]), flags_of(link), link.get("addr_info")
    speed = speeds.get(name, "")
    return InterfaceState(
        name=name,
        enabled="UP" in flags,
        up="UP" in flags and "LOWER_UP" in flags,
        mac=str(link.get("address", "")),
        mtu=int(str(link.get("mtu", 0))),
        speed=int(speed) if speed.isdigit() else 0,
        addresses=tuple(_address(entry) for entry in found if entry) if isinstance(found, list) else (),
    )


def _address(entry: Mapping[str, object]) -> IPv4Interface | IPv6Interface:
    return ip_interface(f"{entry['local']}/{entry['prefixlen']}")


def _vlan_ports(answers: Answers) -> dict[int, tuple[str, ...]]:
    """Return the ports of each VLAN; a port with neither a VLAN nor a list of them is in none that has a number."""
    ports: dict[int, set[str]] = defaultdict(set)
    for row in parse_dump(answers.place, answers.text("ovsdb", "the switch database")):
        if row.table == "Port":
            for column in ("tag", "trunks"):
                for vlan in row.numbers(column):
                    ports[vlan].add(str(row.columns.get("name")))
    return {vlan: tuple(sorted(names)) for vlan, names in sorted(ports.items())}
