"""What a player at a station reports, and what becomes of it; a player that reports nonsense is never believed."""

import json
from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest

from cloison.errors import ProbeError
from cloison.lab.configure import video
from cloison.model import EquipmentName
from cloison.probe import stream as probe
from cloison.probe.stream import Refusal, Stream, watch
from cloison.transport.base import DEFAULT_TIMEOUT_SECONDS, CommandResult

GATEWAY = Stream(EquipmentName("roussy-le-village/live-gateway"), IPv4Address("10.56.1.50"), 8322, "cam-context")
REPORT: dict[str, object] = {
    "url": "rtsps://10.56.1.50:8322/cam-context",
    "error": "",
    "detail": "",
    "certificate": "ab" * 32,
    "tls": "TLSv1.3",
    "codec": "h264",
    "width": 640,
    "height": 360,
    "audio_tracks": 0,
    "frames": 20,
    "bytes": 61136,
    "unreadable": 0,
    "nonces": {"deadbeef": 19, "00000007": 1},
    "delay_milliseconds": [3, 129],
}


class Player:
    """A station whose player answers what it is told."""

    place = "crisis-cell/station-fire"

    def __init__(self, stdout: bytes, exit_status: int = 0, stderr: bytes = b"") -> None:
        self.asked: list[str] = []
        self.limit = 0.0
        self._result = CommandResult(exit_status, stdout, stderr)

    def run(
        self, arguments: Sequence[str], *, stdin: bytes = b"", timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> CommandResult:
        assert stdin == b""
        self.asked, self.limit = list(arguments), timeout
        return self._result

    def close(self) -> None:
        """Nothing is held."""


def reporting(**changes: object) -> Player:
    return Player(json.dumps(REPORT | changes).encode())


def test_what_the_player_saw_is_what_is_returned() -> None:
    seen = watch(reporting(), GATEWAY)
    assert (seen.refusal, seen.frames, seen.bytes, seen.codec) == (None, 20, 61136, "h264")
    assert seen.nonces == (7, 0xDEADBEEF)
    assert seen.delay_milliseconds == (3, 129)
    assert seen.certificate == "ab" * 32


def test_the_player_is_given_files_and_no_secret() -> None:
    station = reporting()
    watch(station, GATEWAY, frames=5, seconds=3)
    assert station.asked == [
        "/opt/twin/play",
        "rtsps://10.56.1.50:8322/cam-context",
        "--credential",
        "/etc/cloison/credentials/live-gateway.roussy-le-village",
        "--authority",
        "/etc/cloison/authority.pem",
        "--frames",
        "5",
        "--seconds",
        "3",
    ]
    assert station.limit > 3


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_stream_that_is_not_seen_is_a_finding(refusal: Refusal) -> None:
    changes: dict[str, object] = {
        "error": refusal.value,
        "detail": "as \x1b[31mthe player\u202e says",
        "frames": 0,
        "nonces": {},
        "delay_milliseconds": [],
    }
    seen = watch(reporting(**changes), GATEWAY)
    assert (seen.refusal, seen.nonces, seen.delay_milliseconds) == (refusal, (), None)
    assert seen.detail == "as \\x1b[31mthe player\\x202e says"


def test_a_report_without_pictures_is_short() -> None:
    report = {key: REPORT[key] for key in ("url", "tls")} | {"error": "certificate", "detail": "x", "certificate": ""}
    seen = watch(Player(json.dumps(report).encode()), GATEWAY)
    assert (seen.refusal, seen.frames, seen.certificate) == (Refusal.CERTIFICATE, 0, "")


@pytest.mark.parametrize(
    "changes",
    [
        {"error": "all is well"},
        {"url": "rtsps://10.56.1.50:8322/cam-narrow"},
        {"certificate": "AB" * 32},
        {"nonces": {"xyz": 1}},
        {"nonces": {"deadbeef": 0}},
        {"frames": -1},
        {"delay_milliseconds": [1]},
        {"more": 1},
    ],
    ids=str,
)
def test_nonsense_is_no_report(changes: dict[str, object]) -> None:
    with pytest.raises(ProbeError, match="crisis-cell/station-fire: /opt/twin/play"):
        watch(reporting(**changes), GATEWAY)


def test_a_player_that_cannot_run_is_an_error_with_its_words() -> None:
    with pytest.raises(ProbeError, match=r"status 127; it said: no such file"):
        watch(Player(b"", 127, b"no such file\n"), GATEWAY)


def test_no_answer_is_no_report() -> None:
    with pytest.raises(ProbeError, match=r"no report of a stream: \(nothing\)"):
        watch(Player(b""), GATEWAY)


def test_twin_and_probe_agree_on_where_things_are() -> None:
    assert (probe.PLAYER, probe.CREDENTIALS) == (video.PLAYER, video.CREDENTIALS)
    assert probe.AUTHORITY == video.AUTHORITY
