"""A camera of the twin: one H.264 picture with the scene's bar code, served over RTSP to its users.

`python3 -m node.camera CONFIG`, a JSON file with the fields of `rtsp_server.Listening`, `path` and `scene`.
The scene is a file that holds the nonce as 8 hexadecimal digits; it may be replaced at any moment.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from .gstreamer import GLib, Gst, GstRtspServer
from .rtsp_server import Listening, make_server, mount, serve
from .scene_code import Scene, cells_of, draw

WIDTH, HEIGHT, FRAMES_PER_SECOND = 640, 360, 10
# One encoder for all clients; a key frame each second, so that who joins waits no longer than that.
_LAUNCH = (
    "( appsrc name=frames is-live=true do-timestamp=true format=time block=false max-buffers=2 leaky-type=downstream"
    f" caps=video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={FRAMES_PER_SECOND}/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast threads=1 bitrate=400 vbv-buf-capacity=1000"
    f" key-int-max={FRAMES_PER_SECOND} option-string=scenecut=0 ! video/x-h264,profile=constrained-baseline"
    " ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
_CHROMA = b"\x80" * (WIDTH * HEIGHT // 2)
# A slow wave of grey, wide enough that any shift of it is a slice; neither black nor white, and cheap to encode.
_WAVE = bytes(96 + abs(x % 128 - 64) for x in range(WIDTH + 128))


class Sensor:
    """What the camera looks at: the scene file, read again whenever it was replaced."""

    def __init__(self, scene: Path) -> None:
        self._scene = scene
        self._seen: tuple[int, int, int] | None = None
        self._nonce: int | None = None
        self._frame = 0

    def picture(self) -> bytes:
        """Return the next frame, I420; without a bar code while the scene file holds no nonce."""
        self._look()
        shift = self._frame % 128
        self._frame += 1
        luma = bytearray(_WAVE[shift : shift + WIDTH] * HEIGHT)
        if self._nonce is not None:
            moment = int(time.time() * 1000) % (1 << 32)
            draw(luma, WIDTH, HEIGHT, cells_of(Scene(self._nonce, moment)))
        return bytes(luma) + _CHROMA

    def _look(self) -> None:
        try:
            status = self._scene.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen == self._seen:
                return
            self._seen, self._nonce = seen, None
            self._nonce = int(self._scene.read_text(encoding="ascii").strip(), 16) & 0xFFFFFFFF
        except (OSError, ValueError):
            self._nonce = None


class Encoder:
    """Feeds pictures into the one encoder that the server makes for the first client and ends after the last."""

    def __init__(self, sensor: Sensor) -> None:
        self._sensor = sensor
        self.factory = GstRtspServer.RTSPMediaFactory()
        self.factory.set_launch(_LAUNCH)
        self.factory.connect("media-configure", self._configure)

    def _configure(self, _factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
        source = media.get_element().get_by_name("frames")
        timer = GLib.timeout_add(1000 // FRAMES_PER_SECOND, self._push, source)
        media.connect("unprepared", lambda _media: GLib.source_remove(timer))

    def _push(self, source: Gst.Element) -> bool:
        source.emit("push-buffer", Gst.Buffer.new_wrapped(self._sensor.picture()))
        return True


def main(config: str) -> None:
    """Serve the camera that the configuration file describes."""
    fields = json.loads(Path(config).read_text(encoding="utf-8"))
    path, scene = fields.pop("path"), Path(fields.pop("scene"))
    server = make_server(Listening(**fields))
    mount(server, path, Encoder(Sensor(scene)).factory)
    serve(server)


if __name__ == "__main__":
    main(sys.argv[1])
