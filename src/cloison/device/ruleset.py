"""The filter section: the nftables table `inet cloison`, and the names of tables that are not Cloison's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cloison.device.batch import shell, step
from cloison.device.section import joined, load_steps
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloison.device.batch import Step
    from cloison.device.section import Answers
    from cloison.transport.base import Runner

FAMILY, TABLE = "inet", "cloison"
_OWN = f"table {FAMILY} {TABLE}"
# In an empty network namespace, so that what runs is neither touched nor mixed in.
_TRY = f'nft -f "$1" && nft -s list {_OWN}'
_TRY_APART = f'exec unshare --net sh -c {_TRY!r} sh "$1"'


class FilterReading:
    """Reads the table back with `nft -s list`, whose text is a fixpoint: list, load, list gives the same bytes."""

    name = SectionName.FILTER

    def read_steps(self) -> Sequence[Step]:
        """Return the commands that show the tables."""
        return step("nft-tables", "nft", "list", "tables"), step("nft-table", "nft", "-s", "list", *_OWN.split())

    def running(self, answers: Answers) -> str:
        """Return the table as listed, then a line `foreign …` for every other table."""
        tables = answers.text("nft-tables", "the list of filter tables").splitlines()
        own = answers.text("nft-table", f"the filter {_OWN}") if _OWN in tables else ""
        return without_dynamic_elements(own) + joined([f"foreign {table}" for table in sorted(tables) if table != _OWN])

    def trial_steps(self, candidate: str) -> Sequence[Step]:
        """Return the command that loads the candidate into a namespace of its own and lists it."""
        return (shell("nft-try", _TRY_APART, "@/filter.nft", files={"filter.nft": candidate}),)

    def canonical(self, candidate: str, answers: Answers) -> str:
        """Return the candidate as nft lists it."""
        del candidate
        return without_dynamic_elements(answers.accepted("nft-try", self.name))


class FilterLoading:
    """Replaces the table in one transaction: packets see the old rules or the new ones and never none."""

    name = SectionName.FILTER

    def load(self, runner: Runner, candidate: str) -> None:
        """Replace the own table and touch no other.

        An established conversation that the new rules refuse goes on: its tracked connection is not deleted here.
        """
        first = load_steps(runner, self.name, [shell("nft-track", _TRACK)]).text("nft-track", _SETTING).strip()
        # `add` first: a table that does not exist cannot be deleted.
        text = f"add {_OWN}\ndelete {_OWN}\n{candidate}" + (f"delete table {_FIRST}\n" if first else "")
        load = step("nft-load", "nft", "-f", "@/filter.nft", files={"filter.nft": text})
        back = step("nft-setting", "sysctl", "-q", "-w", f"{_SETTING}={first}")
        load_steps(runner, self.name, [load, back] if first else [load])


_FIRST = "inet cloison_first"
_SETTING = "net.netfilter.nf_conntrack_tcp_loose"
# The kernel tracks connections only once a rule asks for it. The connection that loads the first such rule began
# before, so a filter that takes no packet out of the middle of a conversation would cut it off, and with it this very
# load. A rule of its own, that accepts all and picks up conversations, goes before: the next packets make it known.
_TRACK = f"""
nft list {_OWN} >/dev/null 2>&1 && exit 0
set -e
was=$(sysctl -n {_SETTING})
sysctl -q -w {_SETTING}=1
nft add table {_FIRST}
nft 'add chain {_FIRST} track {{ type filter hook input priority filter; }}; add rule {_FIRST} track ct state new'
echo "$was"
"""


def without_dynamic_elements(listing: str) -> str:
    """Return a listing without the elements that packets, and not the configuration, put into dynamic sets."""
    kept: list[str] = []
    dynamic = skipping = False
    for line in listing.splitlines():
        words = line.strip()
        if re.match(r"(set|map) \S+ \{", words):
            dynamic = False
        elif words.startswith("flags ") and "dynamic" in words.removeprefix("flags ").split(","):
            dynamic = True
        if dynamic and words.startswith("elements = "):
            skipping = True
        if not skipping:
            kept.append(line)
        if skipping and words.endswith("}"):
            skipping = False
    return joined(kept)
