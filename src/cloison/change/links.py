"""Changes a tunnel at both ends without locking the far one out: the end that answers takes old and new meanwhile.

What strongSwan does decides the form of the text in between (swanctl.conf(5); all of it measured on 5.9.8). Of several
children with selectors in common the responder takes the one that has more of them, whatever its algorithms are, and
what it takes keeps its name for as long as it lives. So a changed child stays one child of one name, with the lists of
both: IKEv2 narrows to what the initiator asks for (RFC 7296 section 2.9), which is the old or the new and no mixture.
A connection whose peers name themselves otherwise cannot be one connection: the new one stands beside the old one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Protocol, TypeVar

from cloison.change.fleetwide import on_each
from cloison.change.gate import GateCheck
from cloison.device import swanctl
from cloison.device.negotiated import mismatches, stale, unmirrored
from cloison.errors import InputError
from cloison.flow import Outcome
from cloison.render.config import Section, SectionName

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from cloison.change.plan import Plan
    from cloison.device.contract import Device
    from cloison.device.negotiated import Negotiated
    from cloison.device.swanctl import Tree
    from cloison.model import EquipmentName

Answer = TypeVar("Answer")

NEXT = "-next"
"""What the name of a new connection ends with while it stands beside the old one of its name."""

_CONNECTION_LISTS = {"local_addrs": "%any", "remote_addrs": "%any", "proposals": "default"}
_AUTHENTICATION_LISTS = {"certs": "", "cacerts": ""}
_CHILD_LISTS = {"local_ts": "dynamic", "remote_ts": "dynamic", "esp_proposals": "default"}
"""Lists of what is accepted, with what strongSwan takes where the key is left out."""
_CHOICES = {"childless": "allow"}
"""Where two values differ, the one that accepts both."""
_TIMES = ("dpd_delay", "dpd_timeout", "reauth_time", "rekey_time", "over_time", "rand_time")
_MESSAGES = ("unique", "keyingtries", "encap", "mobike", "fragmentation", "send_cert", "send_certreq", "dscp")
_OWN = frozenset((*_TIMES, *_MESSAGES))
"""What an end decides for itself: it hinders no peer, and is new at once."""
_AUTHENTICATION_FREE = frozenset((*_AUTHENTICATION_LISTS, "revocation"))
_FINDING = re.compile(r"^differs: .*\n?", re.MULTILINE)
_TRIES = 8
_PAUSE_SECONDS = 0.5
_ACTIONS = ("start_action", "close_action", "dpd_action")


def tunnel_phases(old: str, new: str) -> tuple[str, str, str]:
    """Return the texts that one device loads one after the other, each once all its peers have loaded the one before.

    In the first, the connections that it answers take what was and what comes; in the second, those that it initiates
    are as they come; the third is `new`. An end on which nothing changes has three times the same text, and a phase
    that changes nothing has the text of the phase before it (of `old`, for the first). `old` and `new` are
    swanctl.conf(5) as it is loaded; an empty `old` is a device with no tunnel yet. Raises InputError for text of
    another form.
    """
    before, after = _tree(old), _tree(new)
    known = [(old, _without_empty(before)), (new, _without_empty(after))]
    texts = []
    for initiators_are_new in (False, True):
        between = _between(before, after, initiators_are_new=initiators_are_new)
        texts.append(next((text for text, tree in reversed(known) if tree == between), None) or swanctl.write(between))
        known.insert(1, (texts[-1], between))
    return texts[0], texts[1], new


def initiates(connection: Mapping[str, object]) -> bool:
    """Tell whether this end brings up one of the children of a connection by itself."""
    children = swanctl.section(connection, "children")
    return any(
        swanctl.section(children, child).get("start_action", "none") not in {"", "none", "clear"} for child in children
    )


def connections_of(text: str) -> Mapping[str, object]:
    """Return the connections of a text by name; InputError for a text of another form."""
    return swanctl.section(_tree(text), "connections")


def _tree(text: str) -> Tree:
    try:
        return swanctl.parse(text)
    except ValueError as error:
        msg = f"the tunnels cannot be changed in phases: {error}"
        raise InputError(msg) from error


def _between(before: Tree, after: Tree, *, initiators_are_new: bool) -> Tree:
    olds, news = swanctl.section(before, "connections"), swanctl.section(after, "connections")
    connections: Tree = {}
    for name in dict.fromkeys((*olds, *news)):
        was, comes = (swanctl.section(these, name) if name in these else None for these in (olds, news))
        if initiates(comes if comes is not None else was or {}):
            kept = comes if initiators_are_new else was
            if kept is not None:
                connections[name] = kept
        elif was is None or comes is None:
            connections[name] = was or comes or {}
        else:
            connections |= _both(name, was, comes, {**olds, **news})
    return _without_empty({**before, **after, "connections": connections})


def _without_empty(tree: Tree) -> Tree:
    return {name: part for name, part in tree.items() if part != {}}


def _both(name: str, was: Tree, comes: Tree, others: Tree) -> Tree:
    """Return the connections with which a responder takes the old and the new one of a name."""
    if _fixed(was) == _fixed(comes):
        return {name: _one(was, comes)}
    beside = name + NEXT
    while others.get(beside, comes) != comes:
        beside += NEXT
    choices = _choices(was, comes)
    return {name: {**was, **choices}, beside: {**comes, **choices}}


def _fixed(connection: Tree) -> Tree:
    """Return what has to be the same in two connections for one connection to take the peers of both."""
    free = {*_CONNECTION_LISTS, *_CHOICES, *_OWN, "children"}
    return {
        key: {name: inner for name, inner in value.items() if name not in _AUTHENTICATION_FREE}
        if isinstance(value, dict)
        else value
        for key, value in connection.items()
        if key not in free
    }


def _one(was: Tree, comes: Tree) -> Tree:
    """Return the connection that takes the peers of both; its own matters are as they come."""
    one = {**_lists_joined(was, comes, _CONNECTION_LISTS), **_choices(was, comes)}
    for key, value in one.items():
        if isinstance(value, dict) and key != "children":
            one[key] = _lists_joined(swanctl.section(was, key), value, _AUTHENTICATION_LISTS)
    olds, news = swanctl.section(was, "children"), swanctl.section(comes, "children")
    both = {name: _child(swanctl.section(olds, name), swanctl.section(news, name)) for name in news if name in olds}
    one["children"] = {**olds, **news, **both}
    return one


def _choices(was: Tree, comes: Tree) -> dict[str, str]:
    return {key: accepts_both for key, accepts_both in _CHOICES.items() if was.get(key) != comes.get(key)}


def _child(was: Tree, comes: Tree) -> Tree:
    """Return the child that takes both; what this end does by itself stays as it was until the end."""
    kept = {key: was[key] for key in _ACTIONS if key in was}
    return {**_lists_joined(was, comes, _CHILD_LISTS), **kept}


def _lists_joined(was: Tree, comes: Tree, lists: Mapping[str, str]) -> Tree:
    """Return a section as it comes, its lists followed by what is in those of the old one alone.

    What comes is first: the order is that of preference, and for selectors that in which routes get their source.
    """
    joined: Tree = dict(comes)
    for key, default in lists.items():
        if was.get(key) != comes.get(key):
            members = [swanctl.members(one.get(key, default)) for one in (comes, was)]
            joined[key] = ", ".join(dict.fromkeys(member for one in members for member in one))
    return joined


# --- once every end has loaded what it shall run ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TunnelEnd:
    """A device that ends tunnels: what it ran before a change, and what it has loaded since."""

    device: EquipmentName
    before: str
    after: str

    @property
    def back(self) -> TunnelEnd:
        """The same end once the change was taken back."""
        return TunnelEnd(self.device, self.after, self.before)

    @property
    def changed(self) -> frozenset[str]:
        """The names of its connections that come, go or change."""
        was, comes = (connections_of(text) for text in (self.before, self.after))
        return frozenset(name for name in {*was, *comes} if was.get(name) != comes.get(name))


class Ask(Protocol):
    """Asks one device something that may be asked twice, over a new connection where the one before has died."""

    def __call__(self, device: EquipmentName, act: Callable[[Device], Answer]) -> Answer:
        """Return what `act` returns. Raises TransportError, DeviceError."""


def tunnel_ends(plan: Plan) -> tuple[TunnelEnd, ...]:
    """Return every device of a plan that ends tunnels, whether or not they change there."""
    return tuple(
        TunnelEnd(
            one.device,
            _FINDING.sub("", one.config("running").section(SectionName.TUNNELS).text),
            one.config("candidate").section(SectionName.TUNNELS).text,
        )
        for one in plan.devices
        if SectionName.TUNNELS in one.config("candidate").names
    )


def settle_tunnels(
    ends: Sequence[TunnelEnd], ask: Ask, sleep: Callable[[float], None], workers: int
) -> tuple[GateCheck, ...]:
    """Have every changed tunnel negotiated anew, end what is left of before, and compare both ends with what they have.

    It is for when all ends have loaded `after`. A security association keeps what it was made with, whatever is loaded
    afterwards: what a change closes is closed from here on. Returns one check for each changed tunnel,
    `selectors/<name>`; none where nothing changed. Raises what a device that cannot be asked raises.
    """
    changed = frozenset(name for end in ends for name in end.changed)
    if not changed:
        return ()
    by_name = {end.device: end for end in ends}

    def start(name: EquipmentName, act: Callable[[Device, Section], tuple[str, ...]]) -> tuple[str, ...]:
        section = Section(name=SectionName.TUNNELS, text=by_name[name].after)
        return ask(name, lambda device: act(device, section))

    on_each(list(by_name), lambda name: start(name, lambda device, text: device.writer.renew(text, changed)), workers)
    tries: list[Mapping[str, tuple[str, ...]]] = []
    while True:
        shown = on_each(list(by_name), lambda name: ask(name, lambda device: device.reader.negotiated()), workers)
        tries.append({name: _wrong(name, ends, shown) for name in sorted(changed)})
        if len(tries) == _TRIES or not any(tries[-1].values()):
            return tuple(_check(name, [one[name] for one in tries]) for name in sorted(changed))
        on_each(list(by_name), partial(_end_stale, ends=by_name, shown=shown, changed=changed, ask=ask), workers)
        sleep(_PAUSE_SECONDS)
        on_each(list(by_name), lambda name: start(name, lambda device, text: device.writer.bring_up(text)), workers)


def _end_stale(
    name: EquipmentName,
    ends: Mapping[EquipmentName, TunnelEnd],
    shown: Mapping[EquipmentName, Sequence[Negotiated]],
    changed: Collection[str],
    ask: Ask,
) -> None:
    left = [one for one in stale(ends[name].after, shown[name]) if _name_without_next(one.connection) in changed]
    if left:
        ask(name, lambda device: device.writer.terminate(left))


def _wrong(
    name: str, ends: Sequence[TunnelEnd], shown: Mapping[EquipmentName, Sequence[Negotiated]]
) -> tuple[str, ...]:
    """Return what is wrong about a tunnel at its ends, one sentence each."""
    has = [end for end in ends if name in {*connections_of(end.before), *connections_of(end.after)}]
    found = []
    for end in has:
        names = {one.connection for one in shown[end.device] if _name_without_next(one.connection) == name} | {name}
        found += [f"{end.device}: {one}" for one in mismatches(end.after, shown[end.device], names)]
    for one, other in combinations([end.device for end in has if name in connections_of(end.after)], 2):
        found += [f"{one} and {other}: {what}" for what in unmirrored(shown[one], shown[other], name)]
    return tuple(found)


def _name_without_next(connection: str) -> str:
    while connection.endswith(NEXT):
        connection = connection.removesuffix(NEXT)
    return connection


def _check(name: str, tries: Sequence[tuple[str, ...]]) -> GateCheck:
    wrong = tries[-1]
    said = tuple("; ".join(one) or "both ends have what is declared" for one in tries)
    return GateCheck(
        name=f"selectors/{name}",
        outcome=Outcome.FAIL if wrong else Outcome.PASS,
        detail=said[-1],
        tries=said if len(said) > 1 else (),
    )
