"""A client of one RTSP server: pulls its H.264 and hands every access unit on, for ever, through every restart.

The server's certificate is verified against one authority and the address dialled. ffmpeg cannot be used here: that of
Debian 12 ignores `-tls_verify` and `-ca_file` on rtsps:// (measured), and would give its password to anyone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .gstreamer import Gio, GLib, Gst

if TYPE_CHECKING:
    from collections.abc import Callable

    from .gstreamer import GstApp

UNIT_CAPS = "video/x-h264,stream-format=byte-stream,alignment=au"
_PULL = (
    # Interleaved TCP loses and reorders nothing, so a long jitter buffer would be delay and nothing else.
    "rtspsrc name=source protocols=tcp latency=50 tcp-timeout=5000000 ! rtph264depay"
    f" ! h264parse config-interval=-1 ! {UNIT_CAPS} ! appsink name=units sync=false max-buffers=20 drop=true"
    " emit-signals=true"
)
_SILENCE_SECONDS = 4
_RETRY_SECONDS = 1


class Remote(NamedTuple):
    """Whom to pull from, as whom, and who vouches for it."""

    url: str
    credential: str
    """A file with one line `user:password`, so that neither stands in a command line."""
    authority: str | None = None
    """PEM file of the authority; None for a camera that speaks RTSP in clear."""


def configure(source: Gst.Element, remote: Remote) -> None:
    """Set a `rtspsrc` to the remote: interleaved TCP, its user, and a certificate that must verify."""
    user, _, password = Path(remote.credential).read_text(encoding="utf-8").strip().partition(":")
    source.set_property("location", remote.url)
    source.set_property("user-id", user)
    source.set_property("user-pw", password)
    if remote.authority is None:
        return
    if not remote.url.startswith("rtsps://"):
        msg = f"{remote.url}: an authority is given for a stream in clear; expected rtsps://"
        raise SystemExit(msg)
    source.set_property("tls-database", Gio.TlsFileDatabase.new(str(Path(remote.authority).resolve(strict=True))))
    source.set_property("tls-validation-flags", Gio.TlsCertificateFlags.VALIDATE_ALL)


class Upstream:
    """Pulls one stream; after an error, an end or some seconds of silence it starts over."""

    def __init__(self, remote: Remote, came: Callable[[], None], went: Callable[[], None]) -> None:
        """Start pulling; `came` and `went` are called on the main loop when the stream is there and when it is gone."""
        self._remote = remote
        self._came = came
        self._went = went
        self._pipeline: Gst.Element | None = None
        self._silent_since = 0
        self._said = ""
        self.takers: list[Callable[[Gst.Buffer], None]] = []
        """Each is called with every access unit, on the streaming thread; it must not block."""
        self._is_live = False
        GLib.timeout_add_seconds(1, self._watch)
        self._start()

    def _start(self) -> bool:
        self._pipeline = Gst.parse_launch(_PULL)
        source = self._pipeline.get_by_name("source")
        configure(source, self._remote)
        source.connect("select-stream", lambda _source, _number, caps: _media_of(caps) == "video")
        self._pipeline.get_by_name("units").connect("new-sample", self._take)
        bus = self._pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self._fail)
        bus.connect("message::eos", self._fail)
        self._silent_since = GLib.get_monotonic_time()
        self._pipeline.set_state(Gst.State.PLAYING)
        return False

    def _take(self, sink: GstApp.AppSink) -> Gst.FlowReturn:
        buffer = sink.emit("pull-sample").get_buffer()
        self._silent_since = GLib.get_monotonic_time()
        if not self._is_live:
            self._is_live = True
            GLib.idle_add(self._announce)
        for taker in tuple(self.takers):
            taker(buffer)
        return Gst.FlowReturn.OK

    def _announce(self) -> bool:
        if self._is_live:
            self._say("live")
            self._came()
        return False

    def _fail(self, _bus: Gst.Bus, message: Gst.Message) -> None:
        if message.type == Gst.MessageType.EOS:
            return self._restart("ended by the server")
        error, debug = message.parse_error()
        return self._restart(f"{error.message} {(debug or '').splitlines()[-1:]}")

    def _watch(self) -> bool:
        silence = (GLib.get_monotonic_time() - self._silent_since) / 1_000_000
        if self._pipeline is not None and silence > _SILENCE_SECONDS:
            self._restart(f"nothing came for {_SILENCE_SECONDS} s")
        return True

    def _restart(self, reason: str) -> None:
        if self._pipeline is None:
            return
        self._say(f"{reason}; trying again every {_RETRY_SECONDS} s")
        pipeline, self._pipeline = self._pipeline, None
        pipeline.get_bus().remove_signal_watch()
        pipeline.set_state(Gst.State.NULL)
        # Only now is the streaming thread at rest.
        if self._is_live:
            self._is_live = False
            self._went()
        GLib.timeout_add_seconds(_RETRY_SECONDS, self._start)

    def _say(self, what: str) -> None:
        # A camera that is away for an hour is one line, not 3600.
        if what != self._said:
            print(f"{self._remote.url}: {what}", flush=True)
        self._said = what


def _media_of(caps: Gst.Caps) -> str:
    return str(caps.get_structure(0).get_string("media"))
