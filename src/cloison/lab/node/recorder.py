"""A recorder of the twin: relays its cameras live to its users, and keeps each stream as files of a few seconds.

`python3 -m node.recorder CONFIG`: the file of `relay`, with `recordings`: `folder`, `segment_seconds` and
`retention_seconds`. GStreamer records what it pulled over verified TLS; ffmpeg would verify nothing: see `upstream`.
A segment is `<folder>/<mount>/<UTC time of its first picture>.mp4`, whole once it has that name.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from .gstreamer import GLib, Gst
from .relay import Config, Taker, make_relay
from .rtsp_server import serve
from .upstream import UNIT_CAPS

if TYPE_CHECKING:
    from .upstream import Upstream

_RECORD = (
    f"appsrc name=units is-live=true do-timestamp=true format=time block=false max-buffers=100 leaky-type=downstream"
    f" caps={UNIT_CAPS} ! h264parse ! splitmuxsink name=files muxer-factory=mp4mux send-keyframe-requests=false"
)
_OPEN_SUFFIX, _SUFFIX = ".part", ".mp4"
_TIME_FORMAT = "%Y%m%dT%H%M%S"


class Recordings(TypedDict):
    """How recordings are kept."""

    folder: str
    segment_seconds: int
    retention_seconds: int


class RecorderConfig(Config):
    """The configuration file."""

    recordings: Recordings


class Recording:
    """Records one upstream; a segment older than the retention is deleted within a second."""

    def __init__(self, upstream: Upstream, folder: Path, settings: Recordings) -> None:
        self._folder = folder
        self._settings = settings
        self._upstream = upstream
        folder.mkdir(parents=True, exist_ok=True)
        for part in folder.glob(f"*{_OPEN_SUFFIX}"):
            part.unlink()  # a segment that was open when the recorder died: it has no index, nobody can play it
        GLib.timeout_add_seconds(1, self._prune)
        self._start()

    def _start(self) -> bool:
        self._pipeline = Gst.parse_launch(_RECORD)
        files = self._pipeline.get_by_name("files")
        files.set_property("max-size-time", self._settings["segment_seconds"] * Gst.SECOND)
        files.connect("format-location", lambda _files, _number: self._next_name())
        bus = self._pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self._fail)
        bus.connect("message::element", self._finish)
        self._taker = Taker(self._pipeline.get_by_name("units"))
        self._upstream.takers.append(self._taker)
        self._pipeline.set_state(Gst.State.PLAYING)
        return False

    def _next_name(self) -> str:
        return str(self._folder / f"{datetime.now(UTC).strftime(_TIME_FORMAT)}{_OPEN_SUFFIX}")

    def _finish(self, _bus: Gst.Bus, message: Gst.Message) -> None:
        structure = message.get_structure()
        if structure.get_name() == "splitmuxsink-fragment-closed":
            part = Path(structure.get_string("location"))
            part.rename(part.with_suffix(_SUFFIX))

    def _fail(self, _bus: Gst.Bus, message: Gst.Message) -> None:
        print(f"{self._folder}: {message.parse_error()[0].message}; starting over", flush=True)
        self._upstream.takers.remove(self._taker)
        self._pipeline.get_bus().remove_signal_watch()
        self._pipeline.set_state(Gst.State.NULL)
        GLib.timeout_add_seconds(1, self._start)

    def _prune(self) -> bool:
        oldest = datetime.now(UTC) - timedelta(seconds=self._settings["retention_seconds"])
        for segment in self._folder.glob(f"*{_SUFFIX}"):
            if segment.stem < oldest.strftime(_TIME_FORMAT):
                segment.unlink()
        return True


def main(path: str) -> None:
    """Record and relay what the configuration file lists."""
    config: RecorderConfig = json.loads(Path(path).read_text(encoding="utf-8"))
    settings = config["recordings"]
    server, mounts = make_relay(config)
    folders = [Path(settings["folder"]) / entry["path"].strip("/") for entry in config["mounts"]]
    _recordings = [Recording(live.upstream, folder, settings) for live, folder in zip(mounts, folders, strict=True)]
    serve(server)


if __name__ == "__main__":
    main(sys.argv[1])
