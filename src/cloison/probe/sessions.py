"""TCP sessions that stay open across a change, and what became of them: answered, silent, or ended by the server.

No application data is sent. Whether a session lives is asked by a keepalive, which the far kernel answers by an empty
ACK (RFC 9293 section 3.8.4; tcp(7)): counted are the segments without data that came in (`tcpi_segs_in` less
`tcpi_data_segs_in`, linux/tcp.h), so that what a server goes on sending by itself is never taken for an answer.
All sessions are asked at once and there is one window for all of them, never a time-out for each.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

from cloison.errors import CloisonError, TransportError, TransportTimeout
from cloison.flow import Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future

    from cloison.flow import Flow
    from cloison.model import EquipmentName
    from cloison.transport.base import Dialer

    DialerAt = Callable[[EquipmentName], Dialer]
    """Opens connections from a place; a dialer with a `close` is closed after it dialled."""

_IDLE, _INTERVAL, _COUNT = 1, 1, 3
"""Seconds before the first keepalive of a fresh session, between two, and how many go unanswered at most."""
_LOOKS_A_SECOND: Final = 20
_MOST_AT_ONCE: Final = 64
_SEGMENTS: Final = struct.Struct("=136x I I I I I I")
"""tcpi_segs_out, tcpi_segs_in, tcpi_notsent_bytes, tcpi_min_rtt, tcpi_data_segs_in, tcpi_data_segs_out."""
_OVER: Final = frozenset({4, 5, 6, 7, 8, 9, 11})
"""States (net/tcp_states.h) in which one side has said that it is done, such as CLOSE (7) and CLOSE_WAIT (8)."""
_RESET: Final = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})


class Life(StrEnum):
    """What became of a session when it was asked."""

    ALIVE = "alive"
    """The other end answered after the question."""
    SILENT = "silent"
    """Nothing came back within the window, or the network said that the other end cannot be reached."""
    ENDED = "ended"
    """The other end, or whoever speaks in its name, ended it: that says nothing about the way there."""


class Opening(StrEnum):
    """What became of the attempt to open a session."""

    OPENED = "opened"
    SILENT = "silent"
    """No answer within the window."""
    REFUSED = "refused"
    """A reset or an ICMP error came back."""
    UNTRIED = "untried"
    """The place could not be spoken from."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to open a session, and whether it then answered."""

    opening: Opening
    detail: str = ""
    """The words of whoever failed; untrusted."""
    life: Life | None = None
    """What became of it when it was asked at once; None where it was not opened or not asked."""

    @property
    def works(self) -> bool:
        """Whether it opened, and answered when it was asked."""
        return self.opening is Opening.OPENED and self.life in {None, Life.ALIVE}

    def __str__(self) -> str:
        """Return it in a few words."""
        if self.opening is Opening.OPENED:
            return {None: "opened", Life.ALIVE: "opened and answered", Life.SILENT: "opened, then silent"}.get(
                self.life, "opened, and ended by the other end"
            )
        return f"{self.opening}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one flow in one window."""

    flow: Flow
    kept: Life | None
    """What became of the session that was opened before; None where there is none."""
    fresh: Attempt
    """A session opened in this window."""


class _Question:
    """One session that was asked whether it lives."""

    def __init__(self, asked: socket.socket) -> None:
        """Ask: with the option on, the kernel sends the first probe once the session was idle long enough."""
        self.socket = asked
        self.life: Life | None = None
        self.over = False
        """Whether it can never answer again."""
        self._before = 0
        try:
            self._before = _answers(asked)
            asked.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _INTERVAL)
            asked.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _COUNT)
            asked.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            asked.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE)
        except OSError:
            self.life, self.over = Life.ENDED, True

    def look(self) -> bool:
        """Return whether it is known by now what became of it."""
        if self.life is None:
            self.life = self._life()
        return self.life is not None

    def _life(self) -> Life | None:
        try:
            failed = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self.over = bool(failed) or _state(self.socket) in _OVER
            if self.over:
                return Life.SILENT if failed and failed not in _RESET else Life.ENDED
            return Life.ALIVE if _answers(self.socket) > self._before else None
        except OSError:
            self.over = True
            return Life.ENDED

    def stop(self) -> None:
        """Ask no more, so that a session which is kept is not given up by its own kernel between two questions."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)


def _information(asked: socket.socket) -> bytes:
    return asked.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SEGMENTS.size)


def _state(asked: socket.socket) -> int:
    return _information(asked)[0]


def _answers(asked: socket.socket) -> int:
    """Return how many segments without data have come in."""
    _, segments, _, _, with_data, _ = _SEGMENTS.unpack(_information(asked))
    return int(segments) - int(with_data)


class Sessions:
    """Sessions of declared TCP flows, each opened at the place of the flow's source."""

    def __init__(self, dialer_at: DialerAt, *, window_seconds: float = 4.0) -> None:
        """Take what opens connections from a place, and how long silence must last to be believed.

        A window shorter than 3 s ends before the third keepalive and the second repetition of a SYN (RFC 6298).
        """
        self._dialer_at = dialer_at
        self._window = window_seconds
        self._kept: dict[str, socket.socket] = {}
        self._over: dict[str, Life] = {}
        """What became of those that can never answer again: what a session once was, it stays."""

    def __enter__(self) -> Self:
        """Return the sessions, to be closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close them."""
        self.close()

    def close(self) -> None:
        """Close every session; a second call does nothing."""
        while self._kept:
            self._kept.popitem()[1].close()

    def open(self, flows: Iterable[Flow]) -> Mapping[str, Attempt]:
        """Open a session of each TCP flow and keep it; return the attempts by the key of the flow."""
        wanted = tcp(flows)
        found: dict[str, Attempt] = {}
        with ThreadPoolExecutor(max(1, min(len(wanted), _MOST_AT_ONCE))) as pool:
            for flow, (dialled, attempt) in zip(wanted, pool.map(self._dial, wanted), strict=True):
                found[flow.key] = attempt
                if dialled is not None:
                    self._kept[flow.key] = dialled
        return found

    def look(self, flows: Iterable[Flow]) -> tuple[Seen, ...]:
        """Ask every kept session of these flows, open a fresh one of each and ask that too, all in one window."""
        wanted = tcp(flows)
        asked = {flow.key: _Question(self._kept[flow.key]) for flow in wanted if flow.key in self._kept}
        fresh: dict[str, _Question] = {}
        attempts: dict[str, Attempt] = {}
        with ThreadPoolExecutor(max(1, min(len(wanted), _MOST_AT_ONCE))) as pool:
            dialling = {pool.submit(self._dial, flow): flow.key for flow in wanted}
            self._settle(asked, dialling, fresh, attempts)
        for question in fresh.values():
            question.socket.close()
        kept = self._over | {key: question.life or Life.SILENT for key, question in asked.items()}
        for key, question in asked.items():
            question.stop()
            if question.over:
                self._over[key] = kept[key]
                self._kept.pop(key).close()
        return tuple(Seen(flow, kept.get(flow.key), _asked(attempts[flow.key], fresh.get(flow.key))) for flow in wanted)

    def _settle(
        self,
        asked: Mapping[str, _Question],
        dialling: dict[Future[tuple[socket.socket | None, Attempt]], str],
        fresh: dict[str, _Question],
        attempts: dict[str, Attempt],
    ) -> None:
        """Look at all of them until each is known or the window of the last one to be opened is over."""
        deadline = time.monotonic() + self._window
        with selectors.DefaultSelector() as selector:
            for question in asked.values():
                selector.register(question.socket, selectors.EVENT_READ)
            while True:
                for future in [future for future in dialling if future.done()]:
                    key = dialling.pop(future)
                    dialled, attempts[key] = future.result()
                    if dialled is not None:
                        fresh[key] = _Question(dialled)
                        deadline = max(deadline, time.monotonic() + self._window)
                # Every one is looked at, each time: an answer that came is not to be forgotten.
                known = [question.look() for question in (*asked.values(), *fresh.values())]
                if not dialling and (all(known) or time.monotonic() > deadline):
                    return
                _wait(selector, asked.values())

    def _dial(self, flow: Flow) -> tuple[socket.socket | None, Attempt]:
        try:
            dialer = self._dialer_at(flow.source.name)
        except CloisonError as error:
            return None, Attempt(Opening.UNTRIED, str(error))
        with contextlib.ExitStack() as stack:
            if hasattr(dialer, "close"):
                stack.callback(dialer.close)
            address, port = str(flow.destination.address), flow.service.port
            try:
                return dialer.dial(address, port, timeout=self._window), Attempt(Opening.OPENED)
            except TransportTimeout as error:
                return None, Attempt(Opening.SILENT, str(error))
            except TransportError as error:
                return None, Attempt(Opening.REFUSED, str(error))


def tcp(flows: Iterable[Flow]) -> tuple[Flow, ...]:
    """Return the flows that a session can be opened of, each once."""
    return tuple({flow.key: flow for flow in flows if flow.service.protocol is Protocol.TCP}.values())


def _asked(attempt: Attempt, question: _Question | None) -> Attempt:
    return attempt if question is None else Attempt(attempt.opening, attempt.detail, question.life or Life.SILENT)


def _wait(selector: selectors.BaseSelector, asked: Iterable[_Question]) -> None:
    """Wait for the next look: an empty ACK wakes nobody, so there is one twenty times a second.

    A session of which it is known what became of it would wake us at once, again and again.
    """
    for question in asked:
        if question.life is not None and question.socket.fileno() in selector.get_map():
            selector.unregister(question.socket)
    selector.select(1 / _LOOKS_A_SECOND)
