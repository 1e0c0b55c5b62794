"""Plays a stream at a station, with the station's own player and credentials, and says what was seen of it.

The player verifies the server's certificate twice: in a TLS handshake of its own, and on the connection it plays over.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address  # noqa: TC003  a dataclass may be inspected at run time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError

from cloison.errors import ProbeError
from cloison.flow import PortNumber  # noqa: TC001  the same
from cloison.model import EquipmentName, Model, Untrusted

if TYPE_CHECKING:
    from cloison.transport.base import Runner

PLAYER = PurePosixPath("/opt/twin/play")
AUTHORITY = PurePosixPath("/etc/cloison/authority.pem")
CREDENTIALS = PurePosixPath("/etc/cloison/credentials")
_START_SECONDS = 20.0
"""The most that starting, two handshakes and the first key frame take, on a busy machine."""
_DETAIL_LIMIT = 300


class Refusal(StrEnum):
    """Why a stream was not seen as it should be."""

    UNREACHABLE = "unreachable"
    """No TCP connection, or no answer to the handshake."""
    CERTIFICATE = "certificate"
    """The certificate does not verify: another authority, another name or address, or expired."""
    AUTHENTICATION = "authentication"
    """The server does not know this user, or not with this password."""
    REFUSED = "refused"
    """The server has no such stream (now)."""
    NO_FRAMES = "no-frames"
    """Connected, and not one picture could be decoded."""
    BROKEN = "broken"
    """Something else ended it."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of one server, and what the station reaches it with (files at the station)."""

    server: EquipmentName
    address: IPv4Address
    port: PortNumber
    mount: str
    """The path, without the first slash."""
    authority: PurePosixPath = AUTHORITY
    player: PurePosixPath = PLAYER

    @property
    def url(self) -> str:
        """The address a player dials; user and password are in a file, never here."""
        return f"rtsps://{self.address}:{self.port}/{self.mount}"

    @property
    def credential(self) -> PurePosixPath:
        """The file at the station with the user and password for this server."""
        return CREDENTIALS / self.server.host_name


class StreamSeen(Model):
    """What a station saw of one stream. Nothing in it is what the server says of itself, but codec and audio tracks."""

    url: str
    refusal: Refusal | None
    """None when pictures were decoded and nothing ended the stream early."""
    detail: str
    """The player's words for people, escaped and capped; empty when there is nothing to say."""
    certificate: str
    """SHA-256 of the DER certificate that verified in the handshake, hexadecimal; empty when none did."""
    tls: str
    """The TLS version of the handshake, as OpenSSL names it."""
    codec: str
    width: int
    height: int
    audio_tracks: int
    frames: int
    """Decoded pictures."""
    bytes: int
    """Of video, before decoding."""
    unreadable: int
    """Pictures without a bar code that could be read beyond doubt."""
    nonces: tuple[int, ...]
    """Every nonce that was read, sorted; one, unless the scene changed meanwhile."""
    delay_milliseconds: tuple[int, int] | None
    """Shortest and longest time from drawing to decoding, by the clocks of camera and station."""
    longest_gap_milliseconds: int = 0
    """The longest time between two pictures that were decoded one after the other."""


class _Played(Model):
    """The line that the player prints (`lab/node/play.py`)."""

    url: str
    error: Literal["", "unreachable", "certificate", "authentication", "refused", "no-frames", "broken"]
    detail: str
    certificate: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    tls: Annotated[str, Field(pattern=r"^(TLSv1\.[23])?$")]
    codec: Annotated[str, Field(pattern=r"^[a-z0-9.-]{0,16}$")] = ""
    width: Annotated[int, Field(ge=0, le=16384)] = 0
    height: Annotated[int, Field(ge=0, le=16384)] = 0
    audio_tracks: Annotated[int, Field(ge=0)] = 0
    frames: Annotated[int, Field(ge=0)] = 0
    bytes: Annotated[int, Field(ge=0)] = 0
    unreadable: Annotated[int, Field(ge=0)] = 0
    nonces: dict[Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")], Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict
    )
    delay_milliseconds: tuple[int, int] | tuple[()] = ()
    longest_gap_milliseconds: Annotated[int, Field(ge=0)] = 0


def watch(runner: Runner, stream: Stream, *, frames: int = 20, seconds: float = 10.0) -> StreamSeen:
    """Play `stream` at the runner's place until `frames` pictures were decoded; return what was seen.

    It plays `seconds` at most. A stream that cannot be seen is no error: `refusal` says why. Raises ProbeError when the
    player cannot be run or answers what cannot be understood, and TransportTimeout when it does not end.
    """
    command = [str(stream.player), stream.url, "--credential", str(stream.credential)]
    command += ["--authority", str(stream.authority), "--frames", str(frames), "--seconds", str(seconds)]
    result = runner.run(command, timeout=seconds + _START_SECONDS)
    said = Untrusted(result.stderr).shown(_DETAIL_LIMIT).strip()
    if result.exit_status != 0:
        msg = f"{runner.place}: {stream.player} ended with status {result.exit_status}; it said: {said or '(nothing)'}"
        raise ProbeError(msg)
    try:
        played = _Played.model_validate_json(result.stdout)
    except ValidationError as error:
        shown = Untrusted(result.stdout).shown(_DETAIL_LIMIT).strip()
        msg = f"{runner.place}: {stream.player} answered what is no report of a stream: {shown or '(nothing)'}"
        raise ProbeError(msg) from error
    if played.url != stream.url:
        msg = f"{runner.place}: {stream.player} reports on {Untrusted(played.url).shown(100)}, asked for {stream.url}"
        raise ProbeError(msg)
    return _seen(played)


def _seen(played: _Played) -> StreamSeen:
    reported = played.model_dump(exclude={"error", "detail", "nonces", "delay_milliseconds"})
    return StreamSeen(
        **reported,
        refusal=Refusal(played.error) if played.error else None,
        detail=Untrusted(played.detail).shown(_DETAIL_LIMIT),
        nonces=tuple(sorted(int(nonce, 16) for nonce in played.nonces)),
        delay_milliseconds=played.delay_milliseconds or None,
    )
