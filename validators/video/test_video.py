"""Live streams, as the stations of the crisis cell see them through the tunnel."""

from collections.abc import Callable, Sequence

import pytest

from cloison.errors import CloisonError
from cloison.intent.network import Equipment
from cloison.probe.stream import Refusal
from cloison.testing.checks import Undetermined
from cloison.testing.viewing import Viewing, faults_of


@pytest.mark.check(
    "video/live",
    title="the camera's live picture reaches every station that may watch it",
    controls=("ANSSI-PA-72 R50",),
)
def test_live(camera: Equipment, viewing: Viewing, as_declared: Callable[[Sequence[str], str], None]) -> None:
    """Each station decodes pictures with the nonce that the camera was shown in this run, fresh and without sound."""
    views = viewing.of_camera(camera.name)
    faults = [fault for view in views for fault in faults_of(view)]
    seen = "; ".join(
        f"{view.station} read {view.nonce:08x} in {view.seen.frames} pictures, "
        f"{view.seen.delay_milliseconds[1] if view.seen.delay_milliseconds else '?'} ms old at most"
        for view in views
        if not isinstance(view.seen, CloisonError)
    )
    as_declared(faults, seen)


@pytest.mark.check(
    "video/certificate", title="the gateway proves who it is to every station", controls=("ANSSI-PA-72 R50",)
)
def test_certificate(gateway: Equipment, viewing: Viewing, say: Callable[[str], None]) -> None:
    """In a TLS handshake of the station's own, the certificate is of the declared authority and for the address."""
    views = [view for view in viewing.views if view.gateway == gateway.name]
    seen = {view.station: view.seen for view in views if not isinstance(view.seen, CloisonError)}
    refused = {station: found for station, found in seen.items() if found.refusal is Refusal.CERTIFICATE}
    if refused:
        raise AssertionError("; ".join(f"{station}: {found.detail}" for station, found in refused.items()))
    silent = sorted({view.station for view in views} - {name for name, found in seen.items() if found.certificate})
    if silent or not views:
        reason = f"no handshake was made at {', '.join(silent) or 'any station'}"
        raise Undetermined(reason)
    shown = {found.certificate for found in seen.values()}
    assert len(shown) == 1, f"the gateway shows {len(shown)} different certificates"
    say(f"certificate {shown.pop()} verified by {', '.join(sorted(seen))}")
