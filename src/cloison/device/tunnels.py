"""The tunnels section: one swanctl.conf. What the daemon shows is compared with what it was given.

No command of strongSwan prints all that a connection was given. So the text as loaded is kept beside the daemon's own
run-time files, what `swanctl --list-conns` shows is compared with it, and every difference is a line of the section.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloison.device import swanctl
from cloison.device.batch import run_batch, shell, step, words
from cloison.device.concealed import concealed_lines
from cloison.device.section import Answers, joined, load_steps
from cloison.errors import DeviceError, LoadError
from cloison.render.config import SectionName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloison.device.batch import Step
    from cloison.transport.base import Runner

FILE = "/etc/swanctl/swanctl.conf"
LOADED = "/run/cloison/swanctl.conf"
"""A copy of what was loaded last. It is gone after a boot, as are the connections of the daemon."""
NOT_READ_BACK = f"tunnels: no command shows {swanctl.NOT_SHOWN}; they are taken from the text as it was loaded"
_SECTIONS = {"connections", "authorities"}
_CAT = 'if [ -e "$1" ]; then exec cat "$1"; fi'


class TunnelsReading:
    """Reads the connections of the daemon back."""

    name = SectionName.TUNNELS

    def read_steps(self) -> Sequence[Step]:
        """Return the commands that show the daemon's connections, the text as loaded, and the file it would load."""
        return (
            step("connections", "swanctl", "--list-conns", "--pretty", seconds=8),
            shell("tunnels-loaded", _CAT, LOADED),
            shell("tunnels-file", _CAT, FILE),
        )

    def running(self, answers: Answers) -> str:
        """Return the text as loaded, then a line `differs: …` for everything that is not so."""
        loaded = answers.text("tunnels-loaded", "the tunnels as loaded")
        said = answers.results["connections"]
        if said.exit_status != 0:
            return _canonical(loaded) + f"differs: the IKE daemon does not answer: {words(said)}\n"
        try:
            shown = swanctl.listed_connections(said.text)
            found = swanctl.differences(swanctl.parse(loaded), shown)
        except (ValueError, RecursionError) as error:
            raise DeviceError(answers.place, f"the connections of the IKE daemon cannot be read: {error}") from error
        if loaded and answers.text("tunnels-file", FILE) != loaded:
            found.append(f"{FILE} holds something else than what was loaded")
        return _canonical(loaded) + joined([f"differs: {one}" for one in found])

    def trial_steps(self, candidate: str) -> Sequence[Step]:
        """Return nothing: the daemon is the only parser, and it must not be given what is not to run."""
        del candidate
        return ()

    def canonical(self, candidate: str, answers: Answers) -> str:
        """Return the candidate without comments and empty lines."""
        _checked(answers.place, candidate)
        return _canonical(candidate)


class TunnelsLoading:
    """Writes the whole file and has the daemon load it. A changed child drops its tunnel at once."""

    name = SectionName.TUNNELS

    def load(self, runner: Runner, candidate: str) -> None:
        """Load the candidate; when the daemon refuses it, load again what was there before."""
        _checked(runner.place, candidate)  # the daemon takes a misspelt section for none
        load_steps(
            runner,
            self.name,
            [shell("load", _LOAD, FILE, LOADED, "@/swanctl.conf", files={"swanctl.conf": candidate}, seconds=25)],
        )

    def bring_up(self, runner: Runner, candidate: str) -> tuple[str, ...]:
        """Initiate every child that this end starts and that has no SA; return those that stayed down.

        An SA in the list is not a path: whether packets pass is for who calls to try.
        """
        children = swanctl.initiated_children(candidate)
        if not children:
            return ()
        limit = 20 * len(children)
        answers = Answers(
            runner.place,
            run_batch(runner, [shell("up", _BRING_UP, *children, seconds=limit)], timeout=limit + 10),
        )
        return tuple(answers.text("up", "the state of the tunnels").split())


_LOAD = """
set -e
umask 077
load() { timeout -k 2 10 swanctl --load-all --clear --noprompt; }
mkdir -p "${2%/*}"
rm -f "$1.before"
[ ! -e "$1" ] || cp -p "$1" "$1.before"
cp "$3" "$1.new"
mv -f "$1.new" "$1"
if load >/dev/null; then
  cp "$3" "$2.new"
  mv -f "$2.new" "$2"
  rm -f "$1.before"
else
  if [ -e "$1.before" ]; then mv -f "$1.before" "$1"; else rm -f "$1"; fi
  load >/dev/null 2>&1 || :
  exit 1
fi
"""
# Loading starts a child by itself; only one that was refused meanwhile has to be asked again.
_BRING_UP = """
is_up() { timeout -k 2 5 swanctl --list-sas --raw --child "$1" | grep -q state=INSTALLED; }
for child; do
  tries=0
  until is_up "$child"; do
    tries=$((tries + 1))
    if [ $tries -le 3 ]; then sleep 0.2; continue; fi
    timeout -k 2 8 swanctl --initiate --child "$child" --timeout 5 >/dev/null 2>&1 && break
    if [ $tries -ge 5 ]; then echo "$child"; break; fi
  done
done
"""


def _checked(place: str, candidate: str) -> None:
    """Raise LoadError unless the candidate is written as strongSwan's configuration is, and holds nothing else."""
    try:
        unknown = sorted(swanctl.parse(candidate).keys() - _SECTIONS)
    except ValueError as error:
        raise LoadError(place, f"section {SectionName.TUNNELS} is refused: {error}") from error
    if unknown:
        raise LoadError(place, f"section {SectionName.TUNNELS} is refused: {unknown[0]} is no section of swanctl.conf")


def _canonical(text: str) -> str:
    """Return a text without comments, empty lines and secrets, its indents kept."""
    kept = (line.rstrip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))
    return concealed_lines(joined(list(kept)))
