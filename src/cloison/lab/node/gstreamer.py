"""GStreamer and GLib as the programs of a node use them: the versions, and the TLS versions, are chosen here alone."""

from __future__ import annotations

import os

import gi

# Read by glib-networking when TLS is first used: 1.3, and 1.2 for clients that have no better (ANSSI-PA-035 R3, R4).
os.environ.setdefault("G_TLS_GNUTLS_PRIORITY", "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2")
for _name in ("Gst", "GstApp", "GstRtsp", "GstRtspServer"):
    gi.require_version(_name, "1.0")
# The versions have to be required before the first import.
from gi.repository import Gio, GLib, Gst, GstApp, GstRtsp, GstRtspServer  # noqa: E402

Gst.init(None)

__all__ = ["GLib", "Gio", "Gst", "GstApp", "GstRtsp", "GstRtspServer"]
