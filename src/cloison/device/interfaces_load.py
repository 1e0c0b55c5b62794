"""Loads the interfaces section: makes what is declared, then takes away what is not."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from cloison.device.batch import run_batch, shell
from cloison.device.interfaces import place_of
from cloison.device.section import Answers, lines_of, load_steps
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloison.device.interfaces import InterfacesReading
    from cloison.transport.base import Runner

_MUST = """
must() { "$@" || { echo "at: $*" >&2; exit 1; }; }
rule() {
  said=$(ip rule add "$@" 2>&1) && return
  case $said in *"File exists"*) ;; *) echo "$said at: rule add $*" >&2; exit 1;; esac
}
"""


class InterfacesLoading:
    """Makes addresses, links, routes and settings equal to the candidate, without taking down what stays."""

    name = SectionName.INTERFACES

    def __init__(self, reading: InterfacesReading) -> None:
        self.reading = reading

    def load(self, runner: Runner, candidate: str) -> None:
        """Make the candidate's lines in their order, delete everything that is not among them, make them again.

        Again, because the kernel takes routes and second addresses away together with the address that they hang on.
        """
        wanted = set(lines_of(self.reading.canonical(candidate, Answers(runner.place, {}))))
        make = shell("make", make_script(candidate), seconds=20)
        load_steps(runner, self.name, [make])
        answers = Answers(runner.place, run_batch(runner, self.reading.read_steps()))
        extra = set(lines_of(self.reading.running(answers))) - wanted
        if removal := removal_script(extra):
            load_steps(runner, self.name, [shell("remove", removal), make])


def make_script(candidate: str) -> str:
    """Return the shell script that makes the lines of a candidate, in their order, and stops at the first failure."""
    calls = []
    for line in lines_of(candidate):
        words = line.split()
        match words:
            case ["sysctl", setting]:
                call = ["must", "sysctl", "-q", "-w", setting]
            case ["rule", "add", *rule]:
                call = ["rule", *rule]
            case _:
                call = ["must", "ip", *words]
        calls.append(f"{shlex.join(call)}\n")
    return _MUST + "".join(calls)


def removal_script(extra: Iterable[str]) -> str:
    """Return the shell script that takes lines away, the last made first; an empty text when there is nothing to do.

    A setting is not taken away: the candidate's own value is written over it.
    """
    # What hung on something that is gone already is gone too: what is left over shows when it is read back.
    return "".join(f"{call} 2>/dev/null || :\n" for call in removals(extra))


def removals(extra: Iterable[str]) -> list[str]:
    """Return the calls of ip(8) and tc(8) that take lines away, the last made first."""
    calls = [_removal(line.split()) for line in sorted(extra, key=place_of, reverse=True)]
    return [shlex.join(call) for call in calls if call]


def _removal(words: list[str]) -> list[str]:
    call: list[str] = []
    match words:
        case ["address", "replace", address, "dev", link]:
            call = ["ip", "address", "delete", address, "dev", link]
        case ["link", "set", "dev", link, "mtu", _]:
            call = ["ip", "link", "set", "dev", link, "mtu", "1500"]
        case ["link", "set", "dev", link, "up"]:
            call = ["ip", "link", "set", "dev", link, "down"]
        case ["route", "replace", *route]:
            call = ["ip", "route", "delete", *route]
        case ["rule", "add", *rule]:
            six = any(":" in word for word in rule)
            every = " ".join(rule).replace(" from ::/0", "").split()  # by its family, `from ::/0` is no rule's
            call = ["ip", *(["-6"] if six else []), "rule", "delete", *every]
        case ["neighbour", "replace", address, "lladdr", _, "dev", link, *_]:
            call = ["ip", "neighbour", "delete", address, "dev", link]
        case ["qdisc", kind, "dev", link]:
            call = ["tc", "qdisc", "delete", "dev", link, kind]
    return call
