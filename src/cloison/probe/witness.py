"""Sends single frames from where somebody could send them, and tells whether each arrives where it was claimed to.

All are sent together and listened for together. A frame that was claimed to arrive is sent again when it was not heard:
the first packet to a neighbour that is not known yet may be lost. One that was claimed not to arrive is waited for a
whole time in silence, in which the ears hear what is put on their cables.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

from cloison.errors import ProbeError
from cloison.probe.capture import Capture, everything, prepared
from cloison.probe.craft import MAGIC, NOBODY, PAYLOAD_BYTES, payload
from cloison.probe.vantage import CableEnd, hardware_address, sending_socket
from cloison.probe.witness_frame import UNTAGGED, WitnessFrame, frames_of, packets_of
from cloison.transport.namespace import open_socket_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

_KEPT_BYTES: Final = 256
"""Of each packet: two tags, the longest header of IP, a fragment's, TCP's, and the payload that tells."""
_EXPECTED_PACKETS: Final = 4000
_ICMP_ERRORS: Final = frozenset({3, 4, 5, 11, 12})
_LOCAL_EXPERIMENT: Final = 0x88B5
"""The Ethernet type of a canary: no host answers it (IEEE 802, clause 9.2.3)."""
_EVERYBODY: Final = 0xFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where a frame is sent."""

    namespace: int
    """An open descriptor of a network namespace."""
    interface: str | None
    """None: by the host's own stack, through its output filter."""
    next_hops: tuple[int, ...] = ()
    """MAC addresses: one copy goes to each of them, as to a router that has several. None: to the frame's own."""
    in_its_own_name: bool = False
    """Whether the frame has the MAC address of the interface, and no tag, whatever it says."""


@dataclass(frozen=True, slots=True)
class Ear:
    """Where a frame is listened for."""

    namespace: int
    interface: str | None
    """None: past the host's input filter."""
    peer: CableEnd | None = None
    """The other end of the cable, where a canary is put in to show that the ear hears."""
    takes_tags: bool = True
    """Whether a frame with the tag of a VLAN counts as heard: a host whose interface has no VLANs takes none."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One frame, where it is sent, where it is listened for, and what is claimed of it."""

    frame: WitnessFrame
    outlets: tuple[Outlet, ...]
    ears: tuple[Ear, ...]
    arrives: bool
    """What is claimed."""


class Fate(StrEnum):
    """What became of a frame."""

    ARRIVED = "arrived"
    LOST = "did not arrive"
    UNTRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one trial, and why it was not tried or what else there is to say."""

    fate: Fate
    why: str = ""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long, and how often."""

    silence_seconds: float = 1.5
    """After the last frame: longer than an ARP retry takes (1.016 s measured)."""
    tries: int = 3
    """Of a frame that is claimed to arrive."""


def try_all(trials: Sequence[Trial], random: Random, patience: Patience | None = None) -> tuple[Outcome, ...]:
    """Return what became of every trial, in their order; ProbeError when an ear cannot be opened."""
    with Attempt(trials, random) as attempt:
        return attempt.run(patience or Patience())


class Attempt:
    """The open sockets of one attempt. Its nonce makes every frame of it recognisable."""

    def __init__(self, trials: Sequence[Trial], random: Random) -> None:
        self._trials = trials
        self._nonce = random.randbytes(8)
        self._last_number = random.getrandbits(32)
        self._numbers: dict[tuple[WitnessFrame, tuple[Outlet, ...]], int] = {}
        self._heard: defaultdict[int, set[Ear]] = defaultdict(set)
        self._refused: dict[int, str] = {}
        self._canaries: dict[Ear, set[int]] = {}
        self._selector = selectors.DefaultSelector()
        with contextlib.ExitStack() as opened:
            opened.callback(self._selector.close)
            for ear, protocols in self._wanted().items():
                for protocol in protocols:
                    capture = opened.enter_context(contextlib.closing(_capture(ear, *protocol)))
                    self._selector.register(capture.socket, selectors.EVENT_READ, (ear, capture))
            self._opened = opened.pop_all()

    def _wanted(self) -> dict[Ear, set[tuple[int, int]]]:
        """Return every ear, with the versions of IP and the protocols that are listened for past a filter."""
        wanted: defaultdict[Ear, set[tuple[int, int]]] = defaultdict(set)
        for trial in self._trials:
            for ear in trial.ears:
                own = (trial.frame.version, trial.frame.protocol)
                wanted[ear].add(own if ear.interface is None else (0, 0))
        return wanted

    def __enter__(self) -> Self:
        """Return the attempt, to be closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close every socket."""
        self._opened.close()

    def run(self, patience: Patience) -> tuple[Outcome, ...]:
        """Send and listen; return what became of every trial."""
        waiting = list(self._trials)
        for _ in range(patience.tries):
            self._send_canaries()
            for number, trial in {self._number(trial): trial for trial in waiting}.items():
                self._send(trial, number)
            self._hear_for(patience.silence_seconds)
            waiting = [trial for trial in self._trials if trial.arrives and not self._arrived(trial)]
            if not waiting:
                break
        return tuple(map(self._outcome, self._trials))

    def _number(self, trial: Trial) -> int:
        """Return the number of a frame from one place, which may be listened for at several."""
        key = (trial.frame, trial.outlets)
        if key not in self._numbers:
            self._numbers[key] = self._fresh_number()
        return self._numbers[key]

    def _fresh_number(self) -> int:
        self._last_number += 1
        return self._last_number

    def _arrived(self, trial: Trial) -> bool:
        return not self._heard[self._number(trial)].isdisjoint(trial.ears)

    # --- sending ----------------------------------------------------------------------------------------------------

    def _send(self, trial: Trial, number: int) -> None:
        body = payload(self._nonce, number)
        for outlet in trial.outlets:
            try:
                if outlet.interface is None:
                    _send_by_stack(outlet, trial.frame, body)
                else:
                    _send_on_cable(outlet, outlet.interface, trial.frame, body)
            except OSError as error:
                self._refused[number] = error.strerror or str(error)

    def _send_canaries(self) -> None:
        """Put a frame on the cable of every ear from its other end: its own ear, and no other, is to hear it."""
        for ear in {ear for trial in self._trials for ear in trial.ears if ear.peer is not None}:
            assert ear.peer is not None  # noqa: S101  the line above chose it
            number = self._fresh_number()
            canary = WitnessFrame(_LOCAL_EXPERIMENT, int(NOBODY.replace(":", ""), 16), _EVERYBODY, 0, 0, 0)
            # A cable that is down carries none, and then none is missed.
            with (
                contextlib.suppress(OSError),
                sending_socket(ear.peer.namespace, ear.peer.interface) as out,
            ):
                out.send(frames_of(canary, payload(self._nonce, number))[0])
                self._canaries.setdefault(ear, set()).add(number)

    # --- hearing ----------------------------------------------------------------------------------------------------

    def _hear_for(self, seconds: float) -> None:
        """Take in what comes; to the end, unless everything is claimed to arrive and has arrived."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                self._take_in(*key.data)
            if all(trial.arrives and self._arrived(trial) for trial in self._trials):
                return

    def _take_in(self, ear: Ear, capture: Capture) -> None:
        marked = MAGIC + self._nonce
        for packet in capture.drain():
            at = packet.data.find(marked)
            if at < 0 or packet.outgoing or quoted(packet.data[:at], ethernet=packet.ethernet):
                continue
            if packet.vlan and not ear.takes_tags:
                continue
            self._heard[int.from_bytes(packet.data[at + PAYLOAD_BYTES - 8 : at + PAYLOAD_BYTES])].add(ear)

    # --- judging ----------------------------------------------------------------------------------------------------

    def _outcome(self, trial: Trial) -> Outcome:
        number = self._number(trial)
        if self._arrived(trial):
            return Outcome(Fate.ARRIVED)
        deaf = [ear for ear in trial.ears if ear in self._canaries and not self._heard_canary(ear)]
        if deaf:
            return Outcome(Fate.UNTRIED, f"{deaf[0].interface} of the receiver hears nothing of what is on its cable")
        refused = self._refused.get(number)
        return Outcome(Fate.LOST, f"the sender itself refuses it: {refused}" if refused else "")

    def _heard_canary(self, ear: Ear) -> bool:
        return any(ear in self._heard[number] for number in self._canaries[ear])


def quoted(before: bytes, *, ethernet: bool) -> bool:
    """Tell whether what stands before a payload is that of an ICMP error which quotes it (RFC 792)."""
    at = 14 if ethernet else 0
    if len(before) < at + 28 or before[at] >> 4 != 4 or before[at + 9] != 1:  # noqa: PLR2004  IPv4; ICMP is protocol 1
        return False
    message = at + (before[at] & 0xF) * 4
    return len(before) > message + 8 + 20 and before[message] in _ICMP_ERRORS


def _capture(ear: Ear, version: int, protocol: int) -> Capture:
    """Return an open ear; ProbeError when it cannot be opened."""
    program = everything(_KEPT_BYTES)
    try:
        if ear.interface is not None:
            return Capture.on_link(ear.namespace, ear.interface, program, _EXPECTED_PACKETS)
        family = socket.AF_INET6 if version == 6 else socket.AF_INET  # noqa: PLR2004  the version of IP
        sock = open_socket_in(ear.namespace, family, socket.SOCK_RAW, protocol)
        return Capture(prepared(sock, program, _EXPECTED_PACKETS), ethernet=False)
    except OSError as error:
        msg = f"{ear.interface or 'what passes an input filter'} cannot be listened to: {error.strerror or error}"
        raise ProbeError(msg) from error


def _send_on_cable(outlet: Outlet, interface: str, frame: WitnessFrame, body: bytes) -> None:
    with sending_socket(outlet.namespace, interface) as out:
        if outlet.in_its_own_name:
            own = int(hardware_address(out, interface).replace(":", ""), 16)
            frame = replace(frame, mac_source=own, tag=UNTAGGED, inner_tag=UNTAGGED)
        for next_hop in outlet.next_hops or (frame.mac_destination,):
            for data in frames_of(replace(frame, mac_destination=next_hop), body):
                out.send(data)


def _send_by_stack(outlet: Outlet, frame: WitnessFrame, body: bytes) -> None:
    """Send a packet by the host's own stack, which takes its addresses from the packet (raw(7))."""
    six = frame.version == 6  # noqa: PLR2004  the version of IP
    family = socket.AF_INET6 if six else socket.AF_INET
    address = socket.inet_ntop(family, frame.destination.to_bytes(16 if six else 4, "big"))
    with open_socket_in(outlet.namespace, family, socket.SOCK_RAW, socket.IPPROTO_RAW) as out:
        for packet in packets_of(frame, body):
            out.sendto(packet, (address, 0))
