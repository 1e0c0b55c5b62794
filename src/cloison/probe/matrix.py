"""Sends every probe at once, hears at every vantage point at once, and waits one time: never one time-out a packet.

A round is: a canary to every receiver, all probes in random order at a steady pace, canaries again, silence. What came
out otherwise than expected is asked again with fresh numbers and ports; every try is kept.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from cloison.errors import ProbeError
from cloison.probe.craft import canary, read_number
from cloison.probe.frames import FrameMaker
from cloison.probe.vantage import open_station, resolve_next_hops, sending_socket

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Mapping, Sequence
    from random import Random

    from cloison.model import EquipmentName
    from cloison.probe.capture import Capture, Captured
    from cloison.probe.question import Probe
    from cloison.probe.vantage import Attachment, Station
    from cloison.transport.base import Runner

_BURST = 32
"""Packets sent between two looks at what was heard."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast, and how long to wait."""

    packets_a_second: float = 4000.0
    settle_seconds: float = 3.0
    """After the last packet: longer than an ARP retry (1.016 s measured) and an idle tunnel take."""
    warm_seconds: float = 2.0
    """At most, for the packets that warm every authorised path."""
    rounds: int = 3
    """The first, and how often surprises are asked again at most."""


@dataclass(frozen=True, slots=True)
class Try:
    """One probe, sent once."""

    probe: Probe
    number: int
    """Which identifies it in the payload."""
    unsent: str
    """Why it could not be sent; empty otherwise."""
    refused: str
    """Why the sender's own filter or routes did not let it out; empty otherwise."""
    left: bool
    """Whether it was seen leaving on the sender's own link."""
    heard_at: frozenset[EquipmentName]
    """Every vantage point that it was heard arriving at, its sender excepted."""

    @property
    def delivered(self) -> bool:
        """Whether it was heard where it was going."""
        return self.probe.destination in self.heard_at

    @property
    def as_expected(self) -> bool:
        """Whether it arrived where policy lets it, and nowhere else."""
        return self.heard_at == ({self.probe.destination} if self.probe.flow else set())


@dataclass(frozen=True, slots=True)
class Round:
    """All that was sent and heard in one window."""

    tries: tuple[Try, ...]
    canaries: Mapping[EquipmentName, tuple[bool, bool]]
    """Whether a receiver heard the canaries put on its own cable before and after; absent where there is no cable."""
    drops: Mapping[EquipmentName, int]
    """Packets that a receiver's captures lost in this window."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the network did."""

    rounds: tuple[Round, ...]
    closed: Mapping[EquipmentName, str]
    """Vantage points that could not be opened or went deaf, with the reason."""
    frames: Mapping[int, tuple[tuple[EquipmentName, Captured], ...]]
    """Where and how every probe was captured, by its number."""
    seconds: float


class Matrix:
    """The open vantage points of one run. Its nonce makes every packet of the run recognisable."""

    def __init__(
        self, attachments: Iterable[Attachment], random: Random, expected: int, pace: Pace | None = None
    ) -> None:
        self._random = random
        self._pace = pace or Pace()
        self.nonce = random.randbytes(8)
        self._stations: dict[EquipmentName, Station] = {}
        self._closed: dict[EquipmentName, str] = {}
        self._injectors: dict[EquipmentName, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._probes: dict[int, Probe] = {}
        self._left: set[int] = set()
        self._heard: defaultdict[int, set[EquipmentName]] = defaultdict(set)
        self._frames: defaultdict[int, list[tuple[EquipmentName, Captured]]] = defaultdict(list)
        self._last_number = random.getrandbits(32)
        for attachment in attachments:
            self._open(attachment, expected)

    def _open(self, attachment: Attachment, expected: int) -> None:
        try:
            station = open_station(attachment, self.nonce, expected)
        except ProbeError as error:
            self._closed[attachment.name] = str(error)
            return
        self._stations[attachment.name] = station
        for capture in station.captures:
            self._selector.register(capture.socket, selectors.EVENT_READ, (station, capture))
        if attachment.peer is not None:
            # Without it, what the receiver proves to hear is the authorised packets that reach it.
            with contextlib.suppress(OSError):
                self._injectors[attachment.name] = sending_socket(attachment.peer.namespace, attachment.peer.interface)

    def close(self) -> None:
        """Close every socket."""
        self._selector.close()
        for injector in self._injectors.values():
            injector.close()
        for station in self._stations.values():
            station.close()

    def __enter__(self) -> Self:
        """Return the matrix, to be closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close every socket."""
        self.close()

    def run(self, probes: Sequence[Probe], runner: Runner) -> Observation:
        """Return what became of every probe; `runner` runs the Scapy process on this machine.

        Raises ProbeError when frames cannot be crafted, or a capture breaks.
        """
        began = time.monotonic()
        maker = FrameMaker(self._stations, resolve_next_hops(self._stations), self.nonce, self._random)
        maker.prepare(probes, runner)
        self._warm([probe for probe in probes if probe.flow], maker)
        rounds = [self._round(probes, maker)]
        while len(rounds) < self._pace.rounds and (again := surprises(rounds)):
            rounds.append(self._round(again, maker))
        return Observation(
            rounds=tuple(rounds),
            closed=self._closed | self._broken(),
            frames={number: tuple(heard) for number, heard in self._frames.items()},
            seconds=time.monotonic() - began,
        )

    def _broken(self) -> dict[EquipmentName, str]:
        return {
            name: f"{name}: the capture broke: {capture.broken}"
            for name, station in self._stations.items()
            for capture in station.captures
            if capture.broken
        }

    def _warm(self, probes: Sequence[Probe], maker: FrameMaker) -> None:
        """Send what is authorised once, and wait until all of it was heard or the time is over."""
        sent = {self._send(probe, maker)[0]: probe for probe in probes}
        deadline = time.monotonic() + self._pace.warm_seconds
        while (now := time.monotonic()) < deadline and any(
            probe.destination not in self._heard[number] for number, probe in sent.items()
        ):
            self._hear_until(now + 0.05)

    def _round(self, probes: Sequence[Probe], maker: FrameMaker) -> Round:
        before = {name: lost(station) for name, station in self._stations.items()}
        first = self._send_canaries()
        order = list(probes)
        self._random.shuffle(order)
        sent: list[tuple[int, Probe, str, str]] = []
        began = time.monotonic()
        for index, probe in enumerate(order, 1):
            number, unsent, refused = self._send(probe, maker)
            sent.append((number, probe, unsent, refused))
            if index % _BURST == 0:
                self._hear_until(began + index / self._pace.packets_a_second)
        last = self._send_canaries()
        self._hear_until(time.monotonic() + self._pace.settle_seconds)
        return Round(
            tries=tuple(
                Try(probe, number, unsent, refused, number in self._left, frozenset(self._heard[number]))
                for number, probe, unsent, refused in sent
            ),
            canaries={
                name: (name in self._heard[first[name]], name in self._heard[last[name]]) for name in self._injectors
            },
            drops={name: lost(station) - before[name] for name, station in self._stations.items()},
        )

    def _send(self, probe: Probe, maker: FrameMaker) -> tuple[int, str, str]:
        """Send a probe with a fresh number; return the number, why it could not be sent, why it was refused."""
        self._last_number += 1
        number = self._last_number
        self._probes[number] = probe
        unsent = maker.hindrance(probe)
        if unsent:
            return number, unsent, ""
        station = self._stations[probe.source]
        error = station.send(maker.frame(probe, number), probe)
        return (number, "", error) if station.attachment.interface is None else (number, error, "")

    def _send_canaries(self) -> dict[EquipmentName, int]:
        """Put a frame on every cable from its other end; return the numbers."""
        numbers: dict[EquipmentName, int] = {}
        for name, injector in self._injectors.items():
            self._last_number += 1
            numbers[name] = self._last_number
            station = self._stations[name]
            with contextlib.suppress(OSError):  # a cable that is down carries none, and none is heard
                injector.send(canary(station.mac, station.attachment.address, self._last_number, self.nonce))
        return numbers

    def _hear_until(self, deadline: float) -> None:
        """Take in what comes, at least once, until the deadline."""
        while True:
            for key, _ in self._selector.select(max(0.0, deadline - time.monotonic())):
                station, capture = key.data
                self._take_in(station, capture)
            if time.monotonic() >= deadline:
                return

    def _take_in(self, station: Station, capture: Capture) -> None:
        name = station.attachment.name
        for captured in capture.drain():
            number = read_number(captured.data, capture.header_at, self.nonce)
            if number is None:
                continue
            probe = self._probes.get(number)
            self._frames[number].append((name, captured))
            if probe is not None and name == probe.source:
                if captured.outgoing:
                    self._left.add(number)
            elif capture.shows_arrival and not captured.outgoing:
                self._heard[number].add(name)


def lost(station: Station) -> int:
    """Return how many packets the captures of a station could not keep so far."""
    return sum(capture.drops() for capture in station.captures)


def surprises(rounds: Sequence[Round]) -> list[Probe]:
    """Return what the last round saw otherwise than expected, and could send; from the third on what is missing alone.

    A leak that was seen twice is one; what is missing may still come.
    """
    again = len(rounds) > 1
    return [
        attempt.probe
        for attempt in rounds[-1].tries
        if not attempt.as_expected and not attempt.unsent and not (again and attempt.probe.flow is None)
    ]
