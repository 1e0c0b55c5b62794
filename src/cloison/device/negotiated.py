"""What the IKE daemon of a device negotiated: the tunnels as they are, which is not what was loaded.

A security association keeps what it was made with. Loading other selectors changes none that is there (strongSwan
issue 2324), so what a change closes is closed only once the associations of before are gone. Nothing here says that a
tunnel is a path: a list holds associations whose peer died minutes ago.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import chain
from typing import TYPE_CHECKING

from cloison.device import swanctl
from cloison.device.batch import run_batch, shell, step
from cloison.device.section import Answers
from cloison.errors import DeviceError
from cloison.model import Untrusted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from cloison.device.batch import Step
    from cloison.device.swanctl import Tree
    from cloison.transport.base import Runner

_EVENT = re.compile(r"^list-sa event \{\n", re.MULTILINE)
_END = re.compile(r"^list-sas reply \{\n\}\s*\Z", re.MULTILINE)
_GONE = frozenset(("DELETING", "DELETED", "DESTROYING", "REKEYED"))
"""States of an association that carries no packet of its end any more (REKEYED has a successor)."""
_ANSWER_SECONDS = 10
_RENEW_SECONDS = 45


@dataclass(frozen=True, slots=True)
class Negotiated:
    """One pair of security associations, or an IKE_SA that has none. All of it is the device's word."""

    connection: str
    """The connection of the configuration that its end took it for."""
    ike: int
    """What the daemon calls the IKE_SA by."""
    established: bool
    """True once both ends of the IKE_SA proved who they are."""
    child: str = ""
    """The child of the configuration; empty for an IKE_SA without one."""
    number: int = 0
    """What the daemon calls the child by."""
    state: str = ""
    """`INSTALLED` when packets can pass."""
    local: tuple[str, ...] = ()
    """Traffic selectors of this end."""
    remote: tuple[str, ...] = ()
    encryption: str = ""
    """In the words of swanctl.conf(5), `aes256gcm16`; with the integrity algorithm where it has one of its own."""
    exchange: str = ""
    """`ecp384`; empty when its keys are those of the IKE_SA."""
    keys: tuple[str, str] = ("", "")
    """The numbers (SPI) by which this end and the other know it: swapped at the other end."""

    @property
    def passes(self) -> bool:
        """True when it is installed, whatever the peer makes of it."""
        return bool(self.child) and self.state not in _GONE and self.state != "CREATED"


def read_associations(runner: Runner) -> tuple[Negotiated, ...]:
    """Return every association of the daemon. Raises TransportError, DeviceError for an answer of another form."""
    answers = _run(runner, step("associations", "swanctl", "--list-sas", "--pretty", seconds=_ANSWER_SECONDS - 2))
    return parse_associations(runner.place, answers.text("associations", "the tunnels"))


def renew(runner: Runner, text: str, connections: Collection[str]) -> tuple[str, ...]:
    """End those of these connections that this end brings up by itself, and bring them up with what is loaded.

    `text` is what is loaded. Returns the children that stayed down. All of it is done there, so that it may be asked
    for over the very tunnel that is renewed, which is away meanwhile.
    """
    children = [(connection, child) for connection, child in swanctl.initiated(text) if connection in connections]
    if not children:
        return ()
    seconds = _RENEW_SECONDS * len(children)
    renewed = shell("renewed", _RENEW, *chain.from_iterable(children), seconds=seconds)
    return tuple(_run(runner, renewed, seconds + 5).text("renewed", "the state of the tunnels").split())


def terminate(runner: Runner, associations: Sequence[Negotiated]) -> None:
    """End these: a child, or an IKE_SA with all its children where no child is named; one that is gone is no failure.

    An end that initiates may bring another one up at once, and does where it was not itself that ended it.
    """
    numbers = [f"child {one.number}" if one.child else f"ike {one.ike}" for one in associations]
    if numbers:
        seconds = _ANSWER_SECONDS * len(numbers)
        ended = shell("ended", _TERMINATE, *numbers, seconds=seconds)
        _run(runner, ended, seconds + 5).text("ended", "which tunnels ended")


def _run(runner: Runner, one: Step, seconds: float = _ANSWER_SECONDS) -> Answers:
    return Answers(runner.place, run_batch(runner, [one], timeout=seconds))


# A peer that does not answer has its IKE_SA dropped. The tunnel may be refused while the other end still ends its own.
_RENEW = """
end() { timeout -k 2 8 swanctl --terminate --ike "$1" "$2" --timeout 5 >/dev/null 2>&1; }
before=
while [ $# -gt 1 ]; do
  [ "$1" = "$before" ] || end "$1" || end "$1" --force
  before=$1 tries=0
  until timeout -k 2 8 swanctl --initiate --child "$2" --ike "$1" --timeout 5 >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -ge 5 ]; then echo "$2"; break; fi
    sleep 0.5
  done
  shift 2
done
"""
# One that is gone already is no failure.
_TERMINATE = """
for one; do
  timeout -k 2 8 swanctl --terminate "--${one% *}-id" "${one#* }" --timeout 5 >/dev/null 2>&1 || :
done
"""


# --- what the daemon says -------------------------------------------------------------------------------------------


def parse_associations(place: str, printed: str) -> tuple[Negotiated, ...]:
    """Return what `swanctl --list-sas --pretty` printed; DeviceError, naming the place, for any other text."""
    end = _END.search(printed)
    if end is None:
        raise DeviceError(place, "the list of its tunnels breaks off, or is none")
    before, *events = _EVENT.split(printed[: end.start()])
    if before.strip():
        raise DeviceError(place, "something stands outside of the list of its tunnels")
    try:
        trees = [swanctl.parse(event.rstrip().removesuffix("}")) for event in events]
        return tuple(one for tree in trees for name, ike in tree.items() for one in _of(name, ike))
    except (ValueError, RecursionError) as error:
        said = Untrusted(str(error)).shown(200)
        raise DeviceError(place, f"the list of its tunnels cannot be read: {said}") from error


def _of(connection: str, ike: object) -> Iterator[Negotiated]:
    if not isinstance(ike, dict):
        msg = f"{connection} is no IKE_SA"
        raise ValueError(msg)  # noqa: TRY004  a text of another form, not a mistake of the caller's
    number, established = _number(ike, "uniqueid"), ike.get("state") == "ESTABLISHED"
    children = swanctl.section(ike, "child-sas")
    for name in children:
        child = swanctl.section(children, name)
        yield Negotiated(
            connection=connection,
            ike=number,
            established=established,
            child=_text(child, "name"),
            number=_number(child, "uniqueid"),
            state=_text(child, "state"),
            local=_selectors(child, "local-ts"),
            remote=_selectors(child, "remote-ts"),
            encryption=_encryption(child),
            exchange=_spelt(child, "dh-group"),
            keys=(_text(child, "spi-in", ""), _text(child, "spi-out", "")),
        )
    if not children:
        yield Negotiated(connection, number, established, state=_text(ike, "state"))


def _text(tree: Tree, key: str, default: str | None = None) -> str:
    value = tree.get(key, default)
    if isinstance(value, str):
        return value
    msg = f"no {key} of an association"
    raise ValueError(msg)


def _number(tree: Tree, key: str) -> int:
    value = _text(tree, key)
    if not re.fullmatch(r"[0-9]{1,10}", value):
        msg = f"{key} of an association is no number"
        raise ValueError(msg)
    return int(value)


def _selectors(child: Tree, key: str) -> tuple[str, ...]:
    value = child.get(key, ())
    if not isinstance(value, tuple):
        msg = f"{key} of an association is no list"
        raise ValueError(msg)  # noqa: TRY004  a text of another form, not a mistake of the caller's
    return value


_KEYWORDS = {
    "AES_GCM_16": "aes{}gcm16",
    "AES_GCM_12": "aes{}gcm12",
    "AES_GCM_8": "aes{}gcm8",
    "AES_CCM_16": "aes{}ccm16",
    "AES_CBC": "aes{}",
    "AES_CTR": "aes{}ctr",
    "CHACHA20_POLY1305": "chacha20poly1305",
    "HMAC_SHA2_256_128": "sha256",
    "HMAC_SHA2_384_192": "sha384",
    "HMAC_SHA2_512_256": "sha512",
    "ECP_256": "ecp256",
    "ECP_384": "ecp384",
    "ECP_521": "ecp521",
    "CURVE_25519": "x25519",
    "CURVE_448": "x448",
}
"""From the words of IANA, as strongSwan prints them, to those of swanctl.conf(5); others stay as they are."""


def _spelt(child: Tree, key: str) -> str:
    value = _text(child, key, "")
    return _KEYWORDS.get(value, value.lower())


def _encryption(child: Tree) -> str:
    size = _text(child, "encr-keysize", "")
    parts = [_spelt(child, "encr-alg").format(size), _spelt(child, "integ-alg")]
    return "-".join(part for part in parts if part)


# --- what it should be ----------------------------------------------------------------------------------------------


def stale(text: str, shown: Iterable[Negotiated]) -> tuple[Negotiated, ...]:
    """Return the associations that are otherwise than a loaded text has them.

    Those are of none of its children, or of other selectors or algorithms; and IKE_SAs without a child of a connection
    that is not in the text.
    """
    declared = _declared(text)
    connections = {connection for connection, _ in declared}
    return tuple(
        one
        for one in shown
        if (one.state not in _GONE)
        and (one.connection not in connections if not one.child else _unlike(one, declared) is not None)
    )


def mismatches(text: str, shown: Sequence[Negotiated], connections: Iterable[str]) -> tuple[str, ...]:
    """Return where the associations of some connections are otherwise than a loaded text has them, one sentence each.

    Every child of those connections has to be installed, and no association of a child or a connection that is not in
    the text may be there.
    """
    declared, wanted = _declared(text), set(connections)
    found = []
    for one in shown:
        if one.connection in wanted and one.state not in _GONE:
            unlike = _unlike(one, declared) if one.child else None
            found += [f"{one.connection}: {unlike}"] if unlike else []
    installed = {(one.connection, one.child) for one in shown if one.passes and one.established}
    found += [
        f"{connection}: child {child} is not there"
        for connection, child in declared
        if connection in wanted and (connection, child) not in installed
    ]
    gone = {one.connection for one in shown if one.state not in _GONE} - {connection for connection, _ in declared}
    found += [f"{connection}: it is there, and not declared" for connection in gone & wanted]
    return tuple(Untrusted(one).shown(300) for one in sorted(set(found)))


def unmirrored(one: Sequence[Negotiated], other: Sequence[Negotiated], connection: str) -> tuple[str, ...]:
    """Return where two ends hold different associations of a connection, or the same one with other selectors."""
    these, those = (
        {child.keys: child for child in end if child.passes and child.connection == connection} for end in (one, other)
    )
    found = []
    for keys, child in these.items():
        across = those.get((keys[1], keys[0]))
        if across is None:
            found.append(f"{connection}: child {child.child} is there at one end alone")
        elif (_networks(child.local), _networks(child.remote)) != (_networks(across.remote), _networks(across.local)):
            found.append(f"{connection}: child {child.child} has other selectors at the two ends")
    if len(those) > len(these):
        found.append(f"{connection}: the ends have {len(these)} and {len(those)} children")
    return tuple(Untrusted(sentence).shown(300) for sentence in found)


def _declared(text: str) -> Mapping[tuple[str, str], Tree]:
    connections = swanctl.section(swanctl.parse(text), "connections")
    return {
        (name, child): swanctl.section(swanctl.section(swanctl.section(connections, name), "children"), child)
        for name in connections
        for child in swanctl.section(swanctl.section(connections, name), "children")
    }


def _unlike(one: Negotiated, declared: Mapping[tuple[str, str], Tree]) -> str | None:
    """Return what about a child is otherwise than declared; None when nothing is."""
    child = declared.get((one.connection, one.child))
    if child is None:
        return f"child {one.child} is not declared"
    for key, has in (("local_ts", one.local), ("remote_ts", one.remote)):
        wanted = swanctl.members(child.get(key, "dynamic"))
        if "dynamic" not in wanted and _networks(has) != _networks(wanted):
            return f"child {one.child} has {key} {', '.join(has) or 'none'}; declared {', '.join(wanted)}"
    proposals = swanctl.members(child.get("esp_proposals", "default"))
    words = {word for word in (*one.encryption.split("-"), one.exchange) if word}
    if "default" not in proposals and not any(words <= set(proposal.split("-")) for proposal in proposals):
        return f"child {one.child} has {one.encryption}-{one.exchange}; declared {', '.join(proposals)}"
    return None


def _networks(selectors: Iterable[str]) -> frozenset[object]:
    """Return selectors as what they mean; one that is no network (a protocol, a port) as its word."""
    return frozenset(_network(one) for one in selectors)


def _network(selector: str) -> object:
    try:
        return ip_network(selector)
    except ValueError:
        return selector
