"""An RTSP server as cameras, recorders and gateways have it: TLS, digest users, interleaved TCP and nothing else.

Run by Debian's own Python inside a node of the twin: the standard library and GStreamer, nothing of the engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .gstreamer import Gio, GLib, Gst, GstRtsp, GstRtspServer

if TYPE_CHECKING:
    from collections.abc import Callable

_ROLE = "viewer"
_SESSION_SWEEP_SECONDS = 5


class Listening(NamedTuple):
    """Where a server listens, who it is, and whom it lets in."""

    address: str
    port: int
    users: str
    """A file as `htdigest` writes it: `user:realm:HA1` a line. The realm is the one announced."""
    realm: str
    certificate: str | None = None
    """PEM file; None serves RTSP in clear (a camera declared `transport: rtsp`)."""
    key: str | None = None


def make_server(listening: Listening) -> GstRtspServer.RTSPServer:
    """Return a server that listens once it is attached; it lets in the users of the file, by digest alone."""
    server = GstRtspServer.RTSPServer()
    server.set_address(listening.address)
    server.set_service(str(listening.port))
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    auth.set_realm(listening.realm)
    if listening.certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_files(listening.certificate, listening.key))
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", _ROLE)
    if not auth.parse_htdigest(listening.users, token):
        msg = f"{listening.users}: no user can be read; expected lines `user:{listening.realm}:HA1`"
        raise SystemExit(msg)
    server.set_auth(auth)
    return server


def mount(server: GstRtspServer.RTSPServer, path: str, factory: GstRtspServer.RTSPMediaFactory) -> None:
    """Serve `factory` at `path` to the users, one media for all of them, over the RTSP connection itself."""
    factory.set_shared(True)
    factory.set_protocols(GstRtsp.RTSPLowerTrans.TCP)
    permission = f"{_ROLE}, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
    structure = Gst.Structure.new_from_string(permission)
    factory.add_role_from_structure(structure[0] if isinstance(structure, tuple) else structure)
    server.get_mount_points().add_factory(path, factory)


def serve(server: GstRtspServer.RTSPServer, *beside: Callable[[], bool]) -> None:
    """Answer until the process is ended; `beside` are called every second for as long as they return true."""
    if server.attach(None) == 0:
        msg = f"{server.get_address()}:{server.get_service()}: cannot listen; is the address up and the port free?"
        raise SystemExit(msg)
    # A session whose client vanished keeps its place, and its transports, until it is swept.
    GLib.timeout_add_seconds(_SESSION_SWEEP_SECONDS, lambda: server.get_session_pool().cleanup() >= 0)
    for callback in beside:
        GLib.timeout_add_seconds(1, callback)
    GLib.MainLoop().run()
