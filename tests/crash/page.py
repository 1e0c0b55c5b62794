"""What many trials came to: the tables of docs/crash.md."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.crash.guards import score
from tests.crash.trial import KILL, STOP, Found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Line = dict[str, object]
"""A line of the record."""

_HEAD = (
    "| {} | trials | not reached | devices old | new | neither | sites old | new | proven mixture | outside | "
    "resumed: old | new | other | told truly |"
)


def _trial(line: Line) -> Mapping[str, object]:
    trial = line["trial"]
    return trial if isinstance(trial, dict) else {}


def _found(line: Line, key: str) -> list[str]:
    found = line[key]
    return [str(one) for one in found.values()] if isinstance(found, dict) else []


def _site(found: Iterable[str]) -> str:
    kinds = set(found)
    if not kinds:
        return "unread"
    if Found.NEITHER in kinds:
        return "outside"
    return kinds.pop() if len(kinds) == 1 else "mixture"


def wrong(line: Line) -> list[str]:
    """Return what was not as promised."""
    said = line["wrong"]
    return [str(one) for one in said] if isinstance(said, list) else []


def fault(line: Line) -> str:
    """Return the kind of a trial, for the rows of the table."""
    trial = _trial(line)
    if trial["fault"] == KILL:
        return "coordinator killed at a step" if trial["point"] else "coordinator killed at a random moment"
    if trial["fault"] == STOP:
        return "coordinator stopped past the deadline, then let go"
    if trial["also"]:
        return "coordinator killed while it takes back"
    return str(trial["fault"]) or "nothing (control)"


def point(line: Line) -> str:
    """Return the name of the point of a trial, without its device."""
    trial = _trial(line)
    return str(trial["also"] or trial["point"]).partition("@")[0] or "any moment"


def table(lines: Sequence[Line], head: str, key: Callable[[Line], str]) -> list[str]:
    """Return a table in Markdown, a row a kind, with a last row of the sums."""
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(key(line), []).append(line)
    rows = [_HEAD.format(head), f"| --- |{' ---: |' * (_HEAD.count('|') - 2)}"]
    rows += [_row(name, groups[name]) for name in sorted(groups)]
    return [*rows, _row("**all**", lines)]


def _row(name: str, lines: Sequence[Line]) -> str:
    devices = Counter(one for line in lines for one in (*_found(line, "quiet"), *_found(line, "end")))
    quiet = Counter(_site(_found(line, "quiet")) for line in lines if line["quiet"])
    end = Counter(_site(_found(line, "end")) for line in lines)
    true = sum(not any(text.startswith("status says") for text in wrong(line)) for line in lines)
    cells: list[object] = [
        name,
        len(lines),
        sum(not line["reached"] for line in lines),
        *(devices[one] for one in Found),
        quiet["old"],
        quiet["new"],
        quiet["mixture"],
        quiet["outside"],
        end["old"],
        end["new"],
        end["mixture"] + end["outside"] + end["unread"],
        f"{true} of {len(lines)}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def sentence(lines: Sequence[Line]) -> str:
    """Return what all trials came to, in one sentence."""
    neither = sum(one == Found.NEITHER for line in lines for one in (*_found(line, "quiet"), *_found(line, "end")))
    outside = sum(_site(_found(line, key)) == "outside" for line in lines for key in ("quiet", "end"))
    mixed = sum(_site(_found(line, "end")) not in {"old", "new"} for line in lines)
    bad = sum(bool(wrong(line)) for line in lines)
    return (
        f"{len(lines)} trials: {neither} devices neither old nor new, {outside} sites outside the proven mixtures, "
        f"{mixed} sites mixed or not read once resumed; {bad} trials in which anything else was not as promised"
    )


def failures(lines: Sequence[Line]) -> list[str]:
    """Return every trial in which something was not as promised, with what it was."""
    return [f"- {line['direction']}, {_trial(line)['name']}: {'; '.join(wrong(line))}" for line in lines if wrong(line)]


def whole(lines: Sequence[Line], fates: Sequence[Line], when: str, kernel: str) -> list[str]:
    """Return the page, of the trials and of what became of every guard."""
    failed = failures(lines)
    return [
        "# What becomes of a change that is injured",
        "",
        _INTRODUCTION,
        "",
        f"The last run of `make crash`, {when} (Linux {kernel}): {sentence(lines)}.",
        "",
        "## By fault",
        "",
        *table(lines, "fault", fault),
        "",
        "## By the step at which it was dealt",
        "",
        *table(lines, "step", point),
        "",
        *(["## What was not as promised", "", *failed, ""] if failed else []),
        *(score(fates) if fates else []),
    ]


_INTRODUCTION = """\
`make crash` changes the pilot's twin again and again, and injures every change: it kills or stops the coordinator at
every step of it on every device and at random moments, cuts power and cables, loses answers, stops sshd, fills disks,
makes tools refuse a load, pauses daemons, freezes whole devices. Three changes are made and taken back in turn:
another VLAN for a camera (both switches and the firewall of the commune), a flow that is taken away (rules and a
tunnel, at both its ends), and another time in every tunnel (three firewalls). Each goes through the tunnel that it
may change.

After each injury every device is read through its local port and compared, whole and in canonical text, with what it
reads back in the old intent and in the new one. *Devices* counts both readings of a trial: once every device has come
to rest by itself, and at the end. *Sites* counts the state of all changed devices at rest, before anybody resumes
(only in the trials that were left alone so long), *resumed* the end. A change that was decided must end new
everywhere, one that was not old everywhere. A trial is *told truly* when `cloison status` said of each device what
the device itself said and what it then ran. Besides, after each trial: no lease, nothing pending, the dead-man alive,
and the device boots with what it runs; of every eighth one device is started anew to see it. *Not reached* counts the
trials whose step the change did not come to, so that nothing was injured: they are changes like any other, and
count."""
