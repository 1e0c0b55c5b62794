"""The interfaces section: addresses, links, routes, rules and kernel settings, in the words of `ip -batch`.

Left out, by these rules and no others: the loopback; the tunnel interface with its routes and rule (the IKE daemon
makes them, and the tunnels section answers for them); what the kernel makes of an address by itself; links that are
down (a link that is not named is down).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.device.batch import shell, step
from cloison.device.section import joined, lines_of
from cloison.errors import DeviceError, LoadError
from cloison.model import read_json
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cloison.device.batch import Step
    from cloison.device.capabilities import Capabilities
    from cloison.device.section import Answers

TUNNEL_INTERFACE, TUNNEL_TABLE, TUNNEL_PRIORITY = "ipsec0", "220", 220
"""What kernel-libipsec of strongSwan makes: a TUN device, and a table of its own looked up by one rule."""
LEFT_OUT = frozenset({"lo", "ovs-netdev", "ovs-system", TUNNEL_INTERFACE})
_USUAL_RULES = {(0, "local"), (32766, "main"), (32767, "default")}
_ORDER = ("sysctl", "link", "address", "route", "rule", "neighbour", "qdisc")
_DEFAULT_MTU = 1500
_KEYWORDS = "priority from to iif oif fwmark ipproto sport dport via dev src metric table".split()  # noqa: SIM905

Json = dict[str, object]


class InterfacesReading:
    """Reads the kernel's own tables back."""

    name = SectionName.INTERFACES

    def __init__(self, capabilities: Capabilities) -> None:
        self.capabilities = capabilities

    def read_steps(self) -> Sequence[Step]:
        """Return the commands that show links, addresses, routes, rules, neighbours, queues and settings."""
        files = " ".join(f"/proc/sys/{name.replace('.', '/')}" for name in self.capabilities.settings)
        files += "".join(f" /proc/sys/net/ipv4/conf/*/{name}" for name in self.capabilities.interface_settings)
        return (
            step("ip-address", "ip", "-j", "-d", "address", "show"),
            step("ip-route", "ip", "-j", "route", "show", "table", "all"),
            step("ip-rule", "ip", "-j", "rule", "show"),
            step("ip-rule6", "ip", "-j", "-6", "rule", "show"),
            step("ip-neighbour", "ip", "-j", "neighbour", "show", "nud", "permanent"),
            step("queues", "tc", "-j", "qdisc", "show"),
            shell("settings", f"exec grep -s . {files} /dev/null || true"),
        )

    def running(self, answers: Answers) -> str:
        """Return one line a thing, in the order in which things are made."""
        links = parsed(answers, "ip-address", "links and addresses")
        lines = [
            *(line for link in links for line in _link_lines(link)),
            *(line for route in parsed(answers, "ip-route", "routes") for line in _route_lines(route)),
            *(line for rule in parsed(answers, "ip-rule", "rules") for line in _rule_lines(rule)),
            *(line for rule in parsed(answers, "ip-rule6", "rules") for line in _rule_lines(rule, "::/0")),
            *(_neighbour_line(entry) for entry in parsed(answers, "ip-neighbour", "neighbours")),
            *(f"qdisc {q['kind']} dev {q['dev']}" for q in parsed(answers, "queues", "queues") if _redirects(q)),
            *self._setting_lines(answers, links),
        ]
        return joined(sorted(set(lines), key=place_of))

    def trial_steps(self, candidate: str) -> Sequence[Step]:
        """Return nothing: the words of a candidate are put in order here."""
        del candidate
        return ()

    def canonical(self, candidate: str, answers: Answers) -> str:
        """Return the candidate's lines in the words in which they are read back."""
        lines = {line for given in lines_of(candidate) for line in self._canonical_line(answers.place, given)}
        return joined(sorted(lines, key=place_of))

    def _setting_lines(self, answers: Answers, links: Iterable[Json]) -> list[str]:
        addressed = {str(link["ifname"]) for link in links if _addresses(link)}
        own = set(self.capabilities.settings)
        own |= {f"net.ipv4.conf.{link}.{name}" for link in addressed for name in self.capabilities.interface_settings}
        lines = []
        for line in answers.text("settings", "kernel settings").splitlines():
            path, _, value = line.partition(":")
            name = path.removeprefix("/proc/sys/").replace("/", ".")
            if name in own:
                lines.append(f"sysctl {name}={' '.join(value.split())}")
        return lines

    def _canonical_line(self, place: str, line: str) -> list[str]:
        match line.split():
            case ["sysctl", setting] if "=" in setting:
                self._check_setting(place, setting.partition("=")[0])
                return [line]
            case ["link", "set", "dev", link, *words] if words:
                return _declared_link(place, line, link, words)
            case ["address", "replace", address, "dev", link]:
                return [f"address replace {address} dev {link}"]
            case ["route", "replace", *words] if words:
                kind = words[:1] if len(words) % 2 == 0 else []
                return [" ".join(["route replace", *kind, words[len(kind)], *_in_order(words[len(kind) + 1 :])])]
            case ["rule", "add", *words] if words and len(words) % 2 == 0:
                return [" ".join(["rule add", *_in_order(words)])]
            case _:
                raise LoadError(place, f"section {self.name} is refused: a line of no known form: {line[:200]}")

    def _check_setting(self, place: str, name: str) -> None:
        parts = name.split(".")
        per_interface = parts[:3] == ["net", "ipv4", "conf"] and parts[-1] in self.capabilities.interface_settings
        if name not in self.capabilities.settings and not per_interface:
            message = f"section {self.name} is refused: {name} is no setting that is read back; see capabilities"
            raise LoadError(place, message)


def place_of(line: str) -> tuple[int, str]:
    """Return the sort key of a line: the order in which things are made, then its text."""
    word = line.split(maxsplit=1)[0]
    return (_ORDER.index(word) if word in _ORDER else len(_ORDER), line)


def parsed(answers: Answers, name: str, what: str) -> list[Json]:
    """Return the objects of an `ip -j` answer; raise DeviceError when it is something else."""
    try:
        found = read_json(answers.text(name, what) or "[]")
    except ValueError as error:
        raise DeviceError(answers.place, f"{what} cannot be read: not JSON that means one thing: {error}") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise DeviceError(answers.place, f"{what} cannot be read: not a list of objects")
    return [dict(one) for one in found if isinstance(one, dict) and one]


def flags_of(link: Mapping[str, object]) -> list[str]:
    """Return the flags of a link, such as `UP`."""
    flags = link.get("flags")
    return [str(flag) for flag in flags] if isinstance(flags, list) else []


def _addresses(link: Mapping[str, object]) -> list[Json]:
    """Return the addresses that somebody gave to a link; the kernel gives link-local IPv6 ones by itself."""
    found = link.get("addr_info")
    if str(link.get("ifname")) in LEFT_OUT or not isinstance(found, list):
        return []
    return [entry for entry in found if not (entry.get("family") == "inet6" and entry.get("scope") == "link")]


def _link_lines(link: Json) -> list[str]:
    name = str(link["ifname"])
    lines = [f"address replace {entry['local']}/{entry['prefixlen']} dev {name}" for entry in _addresses(link)]
    if name not in LEFT_OUT and "UP" in flags_of(link):
        lines.append(f"link set dev {name} up")
        if link.get("mtu") != _DEFAULT_MTU:
            lines.append(f"link set dev {name} mtu {link.get('mtu')}")
    return lines


def _declared_link(place: str, line: str, name: str, words: list[str]) -> list[str]:
    lines = []
    while words:
        match words:
            case ["up", *rest]:
                lines.append(f"link set dev {name} up")
            case ["down", *rest]:
                pass
            case ["mtu", size, *rest] if size.isdigit():
                lines += [] if int(size) == _DEFAULT_MTU else [f"link set dev {name} mtu {size}"]
            case _:
                raise LoadError(place, f"section interfaces is refused: a line of no known form: {line[:200]}")
        words = rest
    return lines


def _route_lines(route: Json) -> list[str]:
    device, table = str(route.get("dev", "")), str(route.get("table", "main"))
    if route.get("protocol") == "kernel" or device == TUNNEL_INTERFACE:
        return []
    if route.get("type") == "multicast" and route.get("dst") == "ff00::/8":
        return []
    kind = str(route.get("type", "unicast"))
    words = ["route replace", *([] if kind == "unicast" else [kind]), _destination(route)]
    via = route.get("via")
    gateway = via.get("host") if isinstance(via, dict) else route.get("gateway")
    for word, value in (
        ("via", gateway),
        ("dev", device),
        ("src", route.get("prefsrc")),
        ("metric", route.get("metric")),
    ):
        words += [word, str(value)] if value and not (value == "lo" and kind != "unicast") else []
    words += [] if table == "main" else ["table", table]
    hops = route.get("nexthops")
    for hop in hops if isinstance(hops, list) else []:
        words += ["nexthop", "via", str(hop.get("gateway")), "dev", str(hop.get("dev"))]
    return [" ".join(words)]


def _destination(route: Json) -> str:
    """Return the destination; the default route of IPv6 by its prefix, since `default` alone is IPv4's."""
    destination = str(route["dst"])
    six = destination == "default" and ":" in str(route.get("gateway", ""))
    return "::/0" if six else destination


def _rule_lines(rule: Json, everything: str = "all") -> list[str]:
    """Return a rule in one line; `everything` is how a rule for every source of its family is written."""
    priority, table = rule.get("priority"), str(rule.get("table", ""))
    bare = set(rule) <= {"priority", "src", "table"} and rule.get("src") == "all"
    if bare and ((priority, table) in _USUAL_RULES or (priority, table) == (TUNNEL_PRIORITY, TUNNEL_TABLE)):
        return []
    words = []
    for key, value in rule.items():
        if key in {"src", "dst"}:
            shown = everything if value == "all" else str(value)
            length = rule.get(f"{key}len")
            words += ["from" if key == "src" else "to", f"{shown}/{length}" if length is not None else shown]
        elif key not in {"srclen", "dstlen"}:
            words += [key, "" if value is None else str(value)]
    return [" ".join(["rule add", *_in_order(words)]).rstrip()]


def _in_order(words: Sequence[str]) -> list[str]:
    """Return pairs of a keyword and its value in one order, whatever order they were given in."""
    pairs = list(zip(words[::2], words[1::2], strict=True))
    known = {keyword: place for place, keyword in enumerate(_KEYWORDS)}
    pairs.sort(key=lambda pair: (known.get(pair[0], len(known)), pair))
    return [word for pair in pairs for word in pair if word]


def _neighbour_line(entry: Json) -> str:
    return f"neighbour replace {entry.get('dst')} lladdr {entry.get('lladdr')} dev {entry.get('dev')} nud permanent"


def _redirects(queue: Json) -> bool:
    """Tell whether a queue can hold a filter that copies or redirects frames as they come in."""
    return queue.get("kind") in {"ingress", "clsact"}
