"""A relay of live streams: pulls each from its camera and serves it to users of its own, as it came, never later.

`python3 -m node.relay CONFIG`, a JSON file: `listening` (fields of `rtsp_server.Listening`) and `mounts`, a list of
`path` and `remote` (fields of `upstream.Remote`). Nothing is encoded again, and nothing is kept: at most two seconds of
access units wait in memory for a slow taker, then the oldest are dropped.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, TypedDict

from .gstreamer import Gst, GstRtspServer
from .rtsp_server import Listening, make_server, mount, serve
from .upstream import UNIT_CAPS, Remote, Upstream

_WAITING_UNITS = 20
_LAUNCH = (
    f"( appsrc name=units is-live=true do-timestamp=true format=time block=false max-buffers={_WAITING_UNITS}"
    f" leaky-type=downstream caps={UNIT_CAPS} ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)


class Mount(TypedDict):
    """One stream of the configuration."""

    path: str
    remote: dict[str, str]


class Config(TypedDict):
    """The configuration file."""

    listening: dict[str, Any]
    mounts: list[Mount]


class Live:
    """One mount: there while its upstream gives pictures, not found (404) while it does not."""

    def __init__(self, server: GstRtspServer.RTSPServer, path: str, remote: Remote) -> None:
        self._server = server
        self._path = path
        self._factory = GstRtspServer.RTSPMediaFactory()
        self._factory.set_launch(_LAUNCH)
        self._factory.connect("media-configure", self._configure)
        self.upstream = Upstream(remote, self._come, self._go)

    def _come(self) -> None:
        mount(self._server, self._path, self._factory)

    def _go(self) -> None:
        self._server.get_mount_points().remove_factory(self._path)

    def _configure(self, _factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
        taker = Taker(media.get_element().get_by_name("units"))
        self.upstream.takers.append(taker)
        media.connect("unprepared", lambda _media: self.upstream.takers.remove(taker))


class Taker:
    """Pushes access units into an `appsrc`, from the first key frame on."""

    def __init__(self, source: Gst.Element) -> None:
        self._source = source
        self._started = False

    def __call__(self, unit: Gst.Buffer) -> None:
        """Push a unit with the time it arrives as its time."""
        self._started = self._started or not unit.has_flags(Gst.BufferFlags.DELTA_UNIT)
        if self._started:
            unit = unit.copy()
            unit.pts = unit.dts = unit.duration = Gst.CLOCK_TIME_NONE
            self._source.emit("push-buffer", unit)


def make_relay(config: Config) -> tuple[GstRtspServer.RTSPServer, list[Live]]:
    """Return the server of the configuration, and its mounts in the order given."""
    server = make_server(Listening(**config["listening"]))
    return server, [Live(server, entry["path"], Remote(**entry["remote"])) for entry in config["mounts"]]


def main(config: str) -> None:
    """Relay what the configuration file lists."""
    server, _mounts = make_relay(json.loads(Path(config).read_text(encoding="utf-8")))
    serve(server)


if __name__ == "__main__":
    main(sys.argv[1])
