"""The signs of the page: one shape and one sign for each outcome and each reach, and a pictogram for each kind."""

from __future__ import annotations

from markupsafe import Markup

from cloison.evidence.truth import Reach
from cloison.flow import Outcome

NONE = "none"
"""The sign of what no check looked at."""

_CHECK = '<path d="M5.6 10.3l3 3 5.8-6.4" class="s"/>'
_CROSS = '<path d="M6.4 6.4l7.2 7.2M13.6 6.4l-7.2 7.2" class="s"/>'
_ASK = '<path d="M7.6 8c0-3.4 5-3.2 5-.3 0 1.9-2.4 2-2.4 4M10.2 14.1v.5" class="s"/>'
_SIGNS = {
    Outcome.PASS.value: f'<circle cx="10" cy="10" r="9" class="f PASS"/>{_CHECK}',
    Outcome.FAIL.value: f'<path d="M6.2 1h7.6L19 6.2v7.6L13.8 19H6.2L1 13.8V6.2z" class="f FAIL"/>{_CROSS}',
    Outcome.ERROR.value: '<path d="M10 .8l9.4 17.4H.6z" class="f ERROR"/><path d="M10 7v5.4M10 15v.4" class="s"/>',
    Outcome.UNKNOWN.value: f'<path d="M10 .4l9.6 9.6-9.6 9.6L.4 10z" class="f UNKNOWN"/>{_ASK}',
    Outcome.NOT_RUN.value: '<circle cx="10" cy="10" r="8.2" class="o NOT_RUN"/><path d="M6 10h8" class="o NOT_RUN"/>',
    NONE: '<circle cx="10" cy="10" r="7.4" class="o none" stroke-dasharray="2 2.6"/>',
    f"reach-{Reach.DELIVERED}": f'<circle cx="10" cy="10" r="9" class="f PASS"/>{_CHECK}',
    f"reach-{Reach.SILENT}": '<path d="M5.5 10h9" class="o silent"/>',
    f"reach-{Reach.LEAK}": f'<path d="M6.2 1h7.6L19 6.2v7.6L13.8 19H6.2L1 13.8V6.2z" class="f FAIL"/>{_CROSS}',
    f"reach-{Reach.OUTAGE}": ('<path d="M1 3h18L10 19z" class="f outage"/><path d="M10 5.6v5M10 13.4v.4" class="s"/>'),
    f"reach-{Reach.UNKNOWN}": f'<path d="M10 .4l9.6 9.6-9.6 9.6L.4 10z" class="f UNKNOWN"/>{_ASK}',
}
# Drawn 24 by 24, in lines.
_PICTOGRAMS = {
    "camera": '<path d="M3 8.5l11-3.2 1.8 6L5 14.6zM15 7l4-1.1 1 3.4-4 1.2M8 14v3.5H3.5M3.5 15v5"/>',
    "switch": '<rect x="2" y="7" width="20" height="10" rx="1.5"/><path d="M6 10.5h5l-1.6-1.4M18 13.5h-5l1.6 1.4"/>',
    "firewall": '<path d="M3 5h18v14H3zM3 9.7h18M3 14.3h18M9 5v4.7M15 5v4.7M6 9.7v4.6M12 9.7v4.6M18 9.7v4.6M9 14.3V19M15 14.3V19"/>',  # noqa: E501  one drawing
    "recorder": '<ellipse cx="12" cy="6" rx="8" ry="3"/><path d="M4 6v12c0 4 16 4 16 0V6M4 12c0 4 16 4 16 0"/>',
    "live-gateway": '<circle cx="12" cy="12" r="8.5"/><path d="M10 8.5l5.5 3.5-5.5 3.5z"/>',
    "workstation": '<rect x="3" y="4" width="18" height="12" rx="1.2"/><path d="M12 16v4M8 20h8"/>',
    "log-collector": '<path d="M5 3h10l4 4v14H5zM8.5 10h7M8.5 13.5h7M8.5 17h4"/>',
    "time-server": '<circle cx="12" cy="12" r="8.5"/><path d="M12 6.8V12l3.6 2.2"/>',
    "ups": '<rect x="3" y="7" width="16" height="10" rx="1.2"/><path d="M21 10.4v3.2M11.8 8.6l-2.6 3.8h3.6l-2.6 3.4"/>',
    "laptop": '<rect x="5" y="5" width="14" height="10" rx="1"/><path d="M2.5 18.5h19"/>',
}
_SAME = {
    "unmanaged-switch": "switch",
    "station": "workstation",
    "administration-station": "workstation",
    "internet-host": "laptop",
    "rogue-laptop": "laptop",
}


def definitions() -> Markup:
    """Return the signs and pictograms as SVG symbols `s-…` and `k-…`, to be placed once in a page."""
    signs = [f'<symbol id="s-{name}" viewBox="0 0 20 20">{drawn}</symbol>' for name, drawn in _SIGNS.items()]
    kinds = [f'<symbol id="k-{name}" viewBox="0 0 24 24">{drawn}</symbol>' for name, drawn in _PICTOGRAMS.items()]
    return Markup("".join(signs + kinds))  # noqa: S704  constants of this module


def sign(name: str, title: str, size: float = 16) -> Markup:
    """Return one sign for running text, with the words that it stands for."""
    return Markup(
        '<svg class="sign" width="{0}" height="{0}" role="img" aria-label="{1}"><title>{1}</title>'
        '<use href="#s-{2}"/></svg>'
    ).format(size, title, name)


def pictogram(kind: str) -> str:
    """Return the identifier of the pictogram of a kind of equipment; that of a workstation when it has none."""
    known = _SAME.get(kind, kind)
    return f"k-{known if known in _PICTOGRAMS else 'workstation'}"
