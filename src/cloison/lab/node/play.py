"""A station's player: checks who serves a stream, plays some seconds of it, and says what it saw in one line of JSON.

First a TLS handshake of its own, which verifies the authority and the address; then GStreamer, which verifies both
again on the connection it plays over. What went wrong is a word in `error`, never an exit status: see `Failure`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import signal
import socket
import ssl
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .gstreamer import GLib, Gst
from .scene_code import UnreadableError, read
from .upstream import Remote, configure

if TYPE_CHECKING:
    from .gstreamer import GstApp

_PLAY = (
    "rtspsrc name=source protocols=tcp latency=50 tcp-timeout=5000000 ! rtph264depay ! h264parse name=parse"
    " ! openh264dec ! video/x-raw,format=I420 ! appsink name=pictures sync=false max-buffers=20 emit-signals=true"
)
_DIAL_SECONDS = 5.0


class Failure:
    """The words of `error`; an empty one says that all was as it should be."""

    UNREACHABLE = "unreachable"
    CERTIFICATE = "certificate"
    AUTHENTICATION = "authentication"
    REFUSED = "refused"
    NO_FRAMES = "no-frames"
    BROKEN = "broken"


class Player:
    """Plays one stream and counts; the main loop ends at the wanted number of frames, the time limit or an error."""

    def __init__(self, remote: Remote, frames: int) -> None:
        self._loop = GLib.MainLoop()
        self._wanted = frames
        self._delays: list[int] = []
        self._last, self._gap = 0.0, 0.0
        self._nonces: Counter[int] = Counter()
        self._tracks: Counter[str] = Counter()
        self.seen: dict[str, Any] = {
            "codec": "", "width": 0, "height": 0, "audio_tracks": 0, "frames": 0, "bytes": 0, "unreadable": 0
        }  # fmt: skip
        self._pipeline = Gst.parse_launch(_PLAY)
        source = self._pipeline.get_by_name("source")
        configure(source, remote)
        source.connect("select-stream", self._select)
        pad = self._pipeline.get_by_name("parse").get_static_pad("sink")
        pad.add_probe(Gst.PadProbeType.BUFFER, self._count)
        self._pipeline.get_by_name("pictures").connect("new-sample", self._look)
        bus = self._pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self._fail)
        bus.connect("message::eos", self._end)
        self.error = self.detail = ""

    def play(self, seconds: float) -> None:
        """Play until there were enough frames or SIGTERM comes, for `seconds` at most."""
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGTERM, self._loop.quit)
        GLib.timeout_add(int(seconds * 1000), self._loop.quit)
        self._pipeline.set_state(Gst.State.PLAYING)
        self._loop.run()
        self._pipeline.set_state(Gst.State.NULL)
        self.seen["audio_tracks"] = self._tracks["audio"]
        self.seen["nonces"] = {f"{nonce:08x}": count for nonce, count in sorted(self._nonces.items())}
        self.seen["longest_gap_milliseconds"] = round(self._gap * 1000)
        self.seen["delay_milliseconds"] = [min(self._delays), max(self._delays)] if self._delays else []
        if not self.error and not self.seen["frames"]:
            self.error, self.detail = Failure.NO_FRAMES, f"no frame decoded in {seconds:.0f} s"

    def _select(self, _source: Gst.Element, _number: int, caps: Gst.Caps) -> bool:
        structure = caps.get_structure(0)
        media = str(structure.get_string("media"))
        self._tracks[media] += 1
        if media == "video":
            self.seen["codec"] = str(structure.get_string("encoding-name")).lower()
        return media == "video"

    def _count(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        self.seen["bytes"] += info.get_buffer().get_size()
        return Gst.PadProbeReturn.OK

    def _look(self, sink: GstApp.AppSink) -> Gst.FlowReturn:
        sample = sink.emit("pull-sample")
        now, moment = int(time.time() * 1000), time.monotonic()
        self._gap = max(self._gap, moment - self._last) if self._last else 0.0
        self._last = moment
        structure = sample.get_caps().get_structure(0)
        width, height = structure.get_value("width"), structure.get_value("height")
        self.seen.update(width=width, height=height, frames=self.seen["frames"] + 1)
        held, plane = sample.get_buffer().map(Gst.MapFlags.READ)
        try:
            # I420 without a video meta: the luma comes first, its lines padded to four bytes.
            scene = read(memoryview(plane.data), width, height, (width + 3) // 4 * 4)
        except UnreadableError as error:
            self.seen["unreadable"] += 1
            self.detail = str(error)
        else:
            self._nonces[scene.nonce] += 1
            # Both clocks are modulo 2^32 milliseconds, and either may be a little ahead.
            self._delays.append((now - scene.moment + (1 << 31)) % (1 << 32) - (1 << 31))
        finally:
            if held:
                sample.get_buffer().unmap(plane)
        if self.seen["frames"] >= self._wanted:
            self._loop.quit()
        return Gst.FlowReturn.OK

    def _end(self, _bus: Gst.Bus, _message: Gst.Message) -> None:
        self.error, self.detail = Failure.BROKEN, "the server ended the stream"
        self._loop.quit()

    def _fail(self, _bus: Gst.Bus, message: Gst.Message) -> None:
        error, debug = message.parse_error()
        self.error = _word_for(error, debug or "")
        self.detail = f"{error.message} ({debug})"
        self._loop.quit()


def _word_for(error: GLib.Error, debug: str) -> str:
    if error.matches(Gst.ResourceError.quark(), Gst.ResourceError.NOT_AUTHORIZED):
        return Failure.AUTHENTICATION
    if "certificate" in debug.lower():
        return Failure.CERTIFICATE
    if re.search(r"\([45]\d\d\)\s*$", debug):  # the status of the answer (RFC 2326 section 7.1.1) stands last
        return Failure.REFUSED
    return Failure.BROKEN


def shake_hands(host: str, port: int, authority: str) -> dict[str, str]:
    """Return the certificate's SHA-256 and the TLS version of a server that verifies for `host`; raise OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority)
    # The authority is that of one purpose, below a root which vouches for other purposes too.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with (
        socket.create_connection((host, port), timeout=_DIAL_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        certificate = secure.getpeercert(binary_form=True) or b""
        return {"certificate": hashlib.sha256(certificate).hexdigest(), "tls": str(secure.version())}


def play(remote: Remote, frames: int, seconds: float) -> dict[str, object]:
    """Return what was seen of the stream; the fields are those of `cloison.probe.stream.StreamSeen`."""
    result: dict[str, object] = {"url": remote.url, "error": "", "detail": "", "certificate": "", "tls": ""}
    parts = urlsplit(remote.url)
    try:
        if remote.authority is not None:
            result.update(shake_hands(str(parts.hostname), int(parts.port or 322), remote.authority))
    except ssl.SSLError as error:
        return result | {"error": Failure.CERTIFICATE, "detail": str(error)}
    except OSError as error:
        return result | {"error": Failure.UNREACHABLE, "detail": str(error)}
    player = Player(remote, frames)
    player.play(seconds)
    return result | player.seen | {"error": player.error, "detail": player.detail}


def main() -> None:
    """Play what the command line names, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--credential", required=True, help="file with one line user:password")
    parser.add_argument("--authority", help="PEM file of the authority that must vouch for the server")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10.0)
    chosen = parser.parse_args()
    result = play(Remote(chosen.url, chosen.credential, chosen.authority), chosen.frames, chosen.seconds)
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
